"""The clients of whoever holds the account: what the local stack does that nothing deployed may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.adapters.aws.clients import AwsClients

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient


class RootClients(AwsClients):
    """As ``AwsClients``, and IAM, which the images do not even hold the description of."""

    @property
    def iam(self) -> IAMClient:
        """IAM."""
        client: IAMClient = self._client("iam")
        return client
