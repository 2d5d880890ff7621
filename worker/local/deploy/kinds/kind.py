"""What a type of resource is, and the clients that create it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_iam import IAMClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient
    from types_boto3_stepfunctions import SFNClient


@dataclass(frozen=True, slots=True)
class DeclaredResource:
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
        if "namePrefix" in self.inputs:
            return f"{self.inputs['namePrefix']}local"
        return str(self.inputs.get("name") or self.name)

    @property
    def tag_list(self) -> list[Any]:
        """Tags in the form most services take."""
        return [{"Key": key, "Value": text} for key, text in self.inputs.get("tags", {}).items()]

    @property
    def tags(self) -> dict[str, str]:
        """Tags in the form the other services take."""
        return dict(self.inputs.get("tags", {}))


Created = tuple[str, Mapping[str, Any]]
"""Id and computed properties."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """How to create, or take over, a resource of one type."""

    create: Callable[[EmulatorClients, DeclaredResource], Created]
    inputs: frozenset[str] | None
    """Every input it heeds; None where nothing is created."""
    reason: str = ""
    """Why it is not created, of one that is only registered."""


class EmulatorClients:
    """Clients for one endpoint, each made when a resource first needs it. Safe between threads.

    Args:
        environment: endpoint, credentials and region, from ``emulator.client_environment``; what
            the process has of its own might lead to a real account.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = environment["AWS_ENDPOINT_URL"]
        self.region = environment["AWS_REGION"]
        self._session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.region,
        )
        # Making a client is not thread-safe in boto3; using one is.
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}
        self.account: str = self._client("sts").get_caller_identity()["Account"]

    @property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @property
    def events(self) -> EventBridgeClient:
        """EventBridge."""
        client: EventBridgeClient = self._client("events")
        return client

    @property
    def iam(self) -> IAMClient:
        """IAM."""
        client: IAMClient = self._client("iam")
        return client

    @property
    def s3(self) -> S3Client:
        """S3."""
        client: S3Client = self._client("s3")
        return client

    @property
    def sqs(self) -> SQSClient:
        """SQS."""
        client: SQSClient = self._client("sqs")
        return client

    @property
    def stepfunctions(self) -> SFNClient:
        """Step Functions."""
        client: SFNClient = self._client("stepfunctions")
        return client

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def _client(self, service: str) -> Any:
        found = self._made.get(service)
        if found is not None:
            return found
        with self._lock:
            if service not in self._made:
                client = self._session.client(service, endpoint_url=self._endpoint)  # type: ignore[call-overload]
                # botocore makes these classes at first use, and two threads that are first at once
                # get different ones: what one of them raises, the other's except does not catch.
                _ = client.exceptions
                self._made[service] = client
            return self._made[service]


def camel_to_pascal(value: Any) -> Any:
    """Nested inputs in the spelling of the AWS APIs: ``blockPublicAcls`` -> ``BlockPublicAcls``."""
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: camel_to_pascal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [camel_to_pascal(item) for item in value]
    return value
