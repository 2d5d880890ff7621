"""Caches of a CloudFront distribution."""

from __future__ import annotations

from collections.abc import Sequence

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call

TAG = "#"
"""Prefix of an item of an invalidation that is a cache tag instead of a path (CloudFront Developer
Guide, "What you need to know when invalidating tags"). Each counts and costs as one path; at most
3,000 are in progress at a time (the same, "Concurrent invalidation request maximum")."""


class CloudFrontCaches:
    """The caches of one distribution, which must name the header of its cache tags."""

    def __init__(self, clients: AwsClients, distribution: str) -> None:
        """``distribution`` is its id."""
        self._clients, self._distribution = clients, distribution

    def forget(self, tags: Sequence[str], *, once: str) -> None:
        """See ``EdgeCaches.forget``. The edges follow within seconds.

        Raises:
            Throttled: too many invalidations are in progress.
            ConfigurationError: there is no such distribution.
        """
        items = [f"{TAG}{tag}" for tag in tags]
        with aws_call(f"invalidate {len(tags)} tags of {self._distribution}"):
            self._clients.cloudfront.create_invalidation(
                DistributionId=self._distribution,
                InvalidationBatch={
                    "Paths": {"Quantity": len(items), "Items": items},
                    "CallerReference": once,
                },
            )
