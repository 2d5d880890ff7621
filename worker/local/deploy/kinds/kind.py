"""What a kind of resource is, and the clients that create it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3


@dataclass(frozen=True, slots=True)
class Declared:
    """A resource as the program registered it."""

    name: str
    """The logical name."""
    inputs: Mapping[str, Any]
    """In camel case, whole numbers whole."""

    @property
    def physical_name(self) -> str:
        """The name given, or the logical one.

        Pulumi would add seven random characters; here the same name every time makes a second
        deploy find what the first one made.
        """
        return str(self.inputs.get("name") or self.name)

    @property
    def tag_list(self) -> list[dict[str, str]]:
        """Tags in the form most services take."""
        return [{"Key": key, "Value": text} for key, text in self.inputs.get("tags", {}).items()]


Created = tuple[str, Mapping[str, Any]]
"""Id and computed properties."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How to create, or take over, a resource of one type."""

    create: Callable[[Aws, Declared], Created]
    inputs: frozenset[str]
    """Every input it heeds."""


class Aws:
    """Clients for one endpoint, all made at once: making one is not thread-safe, using it is.

    Args:
        environment: endpoint, credentials and region, from ``emulator.client_environment``; what
            the process has of its own might lead to a real account.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        endpoint = environment["AWS_ENDPOINT_URL"]
        self.region = environment["AWS_REGION"]
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.region,
        )
        self.s3 = session.client("s3", endpoint_url=endpoint)
        self.sqs = session.client("sqs", endpoint_url=endpoint)
        self.dynamodb = session.client("dynamodb", endpoint_url=endpoint)
        self.iam = session.client("iam", endpoint_url=endpoint)
        self.logs = session.client("logs", endpoint_url=endpoint)
        self.events = session.client("events", endpoint_url=endpoint)
        for client in (self.s3, self.sqs, self.dynamodb, self.iam, self.logs, self.events):
            # botocore makes these classes at first use, and two threads that are first at once
            # get different ones: what one of them raises, the other's except does not catch.
            _ = client.exceptions
        sts = session.client("sts", endpoint_url=endpoint)
        self.account: str = sts.get_caller_identity()["Account"]

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def camel_to_pascal(value: Any) -> Any:
    """Nested inputs in the spelling of the AWS APIs: ``blockPublicAcls`` -> ``BlockPublicAcls``."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: camel_to_pascal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [camel_to_pascal(item) for item in value]
    return value
