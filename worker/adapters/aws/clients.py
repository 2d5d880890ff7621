"""boto3 clients: one session, one configuration; each client is made at its first use.

Importing boto3 takes about 0.2 s and a client's model up to 0.15 s, so neither happens before the
first use; commands that only use files never import them. Only the environment selects the endpoint
(``AWS_ENDPOINT_URL``, ``AWS_ENDPOINT_URL_<SERVICE>``): Safelight has no setting for it, so no code
can use the wrong endpoint by forgetting a parameter.

With ``SAFELIGHT_CALLS=FILE`` a :class:`CallLog` writes down every call, to compare it with what
roles allow.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import worker
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from botocore.config import Config
    from types_boto3_batch import BatchClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_rekognition import RekognitionClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient
    from types_boto3_stepfunctions import SFNClient

CONNECT_SECONDS = 3.0
READ_SECONDS = 25.0
"""Seconds between two packets. More than the 20 s of SQS's long polling."""
ATTEMPTS = 3
"""Attempts of every call, the first included. The queue retries for longer."""
CONNECTIONS = 32
"""Open connections per service; further threads would open a connection for each call."""

_SERVICE_IDS = {"stepfunctions": "SFN", "events": "EVENTBRIDGE", "logs": "CLOUDWATCH_LOGS"}
"""Service ids in the names of endpoint variables that differ from the service name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Credentials and endpoint of a signed request."""

    credentials: Any = field(repr=False)
    """Of botocore, which renews them."""
    region: str
    endpoint: str
    """URL without a path."""


class AwsClients:
    """The AWS clients of one process. Safe to share between threads; make a new one after a fork.

    Args:
        environment: variables to take the region, endpoints and credentials from. None means
            those of the process and with them everything boto3 knows (profiles, roles).
        profile: of the process's AWS configuration, to take credentials from; for the few
            processes that act for several.
        attempts, connect_seconds, read_seconds, connections: see the constants.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        profile: str | None = None,
        attempts: int = ATTEMPTS,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        self._environment = environment
        self._profile = profile
        self._attempts = attempts
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._connections = connections
        self._made: dict[str, Any] = {}
        self._session: Any = None
        # Making a client is not thread-safe in boto3; using one is.
        self._lock = threading.Lock()

    @property
    def s3(self) -> S3Client:
        """S3."""
        client: S3Client = self._client("s3")
        return client

    @property
    def dynamodb(self) -> DynamoDBClient:
        """DynamoDB."""
        client: DynamoDBClient = self._client("dynamodb")
        return client

    @property
    def sqs(self) -> SQSClient:
        """SQS."""
        client: SQSClient = self._client("sqs")
        return client

    @property
    def events(self) -> EventBridgeClient:
        """EventBridge."""
        client: EventBridgeClient = self._client("events")
        return client

    @property
    def stepfunctions(self) -> SFNClient:
        """Step Functions."""
        client: SFNClient = self._client("stepfunctions")
        return client

    @property
    def rekognition(self) -> RekognitionClient:
        """Rekognition."""
        client: RekognitionClient = self._client("rekognition")
        return client

    @property
    def cloudfront(self) -> Any:
        """CloudFront, whose stubs would be the one new package for one call."""
        return self._client("cloudfront")

    @property
    def ssm(self) -> Any:
        """Systems Manager, for its Parameter Store; without stubs for the same reason."""
        return self._client("ssm")

    @property
    def functions(self) -> Any:
        """Lambda; without stubs for the same reason."""
        return self._client("lambda")

    @property
    def batch(self) -> BatchClient:
        """Batch."""
        client: BatchClient = self._client("batch")
        return client

    @property
    def logs(self) -> CloudWatchLogsClient:
        """CloudWatch Logs."""
        client: CloudWatchLogsClient = self._client("logs")
        return client

    def presigner(self, *, accelerated: bool = False) -> S3Client:
        """S3, for requests that somebody else will send: see ``aws.uploads``.

        Args:
            accelerated: through the edge, by S3 Transfer Acceleration.
        """
        client: S3Client = self._client(
            "s3", f"presigner {accelerated}", self._signing(accelerated)
        )
        return client

    def close(self) -> None:
        """Close the connections of every client. The next use makes new ones."""
        with self._lock:
            made, self._made = self._made, {}
        for client in made.values():
            client.close()

    def _client(self, service: str, name: str = "", more: Config | None = None) -> Any:
        """The client of a service, or another one of a name with further configuration."""
        name = name or service
        found = self._made.get(name)
        if found is not None:
            return found
        with self._lock, aws_call(f"make a client for {service}"):
            if name not in self._made:
                try:
                    self._made[name] = self._make(service, more)
                except ValueError as error:  # an endpoint that is no URL
                    text = f"no client for {service} can be made: {error}"
                    raise ConfigurationError(text) from error
            return self._made[name]

    def signer(self, service: str) -> Signer:
        """Credentials and endpoint for requests without a botocore client.

        Raises:
            ConfigurationError: no region or no credentials are found.
        """
        with self._lock, aws_call(f"sign for {service}"):
            session = self._boto()
            credentials, region = session.get_credentials(), session.region_name
        if credentials is None or not region:
            missing = "region" if credentials else "credentials"
            raise ConfigurationError(f"requests to {service} cannot be signed: no {missing}")
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        endpoint = self._endpoint_of(service) or f"https://{service}.{region}.{suffix}"
        return Signer(credentials=credentials, region=region, endpoint=endpoint)

    def _boto(self) -> Any:
        if self._session is None:
            import boto3  # 0.2 s: see the module's docstring
            import botocore.session

            core = botocore.session.Session()
            core.register_component("data_loader", _loader())
            self._session = boto3.Session(botocore_session=core, **self._identity())
            log = call_log(self._caller())
            if log is not None:
                log.attach(self._session)
        return self._session

    def _make(self, service: str, more: Config | None = None) -> Any:
        session = self._boto()
        config = self._config() if more is None else self._config().merge(more)
        made = session.client(service, config=config, endpoint_url=self._endpoint(service))
        if service == "s3":
            from botocore.handlers import add_expect_header

            # botocore sends "Expect: 100-continue" before a body and waits: a round trip for each
            # rendition.
            made.meta.events.unregister("before-call.s3", add_expect_header)
        return made

    def _read(self) -> Mapping[str, str]:
        return os.environ if self._environment is None else self._environment

    def _caller(self) -> str:
        read = self._read()
        return self._profile or read.get("AWS_PROFILE") or read.get("AWS_ACCESS_KEY_ID") or ""

    def _identity(self) -> dict[str, Any]:
        read = self._read()
        # boto3 reads only the second; ECS and Batch set only the first.
        region = read.get("AWS_REGION") or read.get("AWS_DEFAULT_REGION")
        named: dict[str, Any] = {"region_name": region} if region else {}
        if self._profile is not None:
            return {**named, "profile_name": self._profile}
        if self._environment is None:
            return named
        for argument in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
            value = self._environment.get(argument.upper())
            if value:
                named[argument] = value
        return named

    def _endpoint(self, service: str) -> str | None:
        if self._environment is None:
            return None  # botocore reads the same variables itself
        return self._endpoint_of(service)

    def _signing(self, accelerated: bool) -> Config | None:  # noqa: FBT001 - of one caller
        if f"presigner {accelerated}" in self._made:
            return None  # nothing is to be made
        from botocore.config import Config

        return Config(
            signature_version="s3v4",
            s3={
                "addressing_style": "virtual",
                # Otherwise the host of us-east-1 is the global one.
                "us_east_1_regional_endpoint": "regional",
                # The emulator has no edge.
                "use_accelerate_endpoint": accelerated and self._endpoint_of("s3") is None,
            },
            request_checksum_calculation="when_required",
        )

    def _endpoint_of(self, service: str) -> str | None:
        """The endpoint that the environment names."""
        read = self._read()
        suffix = _SERVICE_IDS.get(service, service.upper())
        return read.get(f"AWS_ENDPOINT_URL_{suffix}") or read.get("AWS_ENDPOINT_URL") or None

    def _config(self) -> Config:
        from botocore import __version__ as version
        from botocore.config import Config

        return Config(
            # Otherwise botocore builds a list of features twice for every call, which takes a tenth
            # of the processor time of a call.
            user_agent=f"safelight/{worker.__version__} botocore/{version}",
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            connect_timeout=self._connect_seconds,
            read_timeout=self._read_seconds,
            max_pool_connections=self._connections,
            tcp_keepalive=True,
            endpoint_discovery_enabled=False,
            # Adapters check their arguments. botocore's validation of every call takes 4 % of the
            # processor time that a worker spends outside the engine.
            parameter_validation=False,
            # Measured over TLS: the CRC-32 costs 0.07 ms for a 30 kB rendition and 0.7 ms a MB. S3
            # refuses a body that arrived damaged and keeps the checksum with the object. Without
            # it botocore signs the body with SHA-256 instead, for the same price.
            request_checksum_calculation="when_supported",
            # Originals come from browsers, with checksums botocore cannot check (CRC-64/NVME);
            # TLS and the exact length guard the bytes read.
            response_checksum_validation="when_required",
        )


@cache
def _loader() -> Any:
    """The loader of service models, shared by all sessions of this process.

    Loaded models stay in memory, 20 MB for the services used here; a forked process shares them.
    """
    from botocore.loaders import create_loader

    return create_loader()


# --- calls, written down ----------------------------------------------------------------------

VARIABLE = "SAFELIGHT_CALLS"
NAMES = frozenset(
    {
        "Bucket",
        "DistributionId",
        "IndexName",
        "Key",
        "Name",
        "Prefix",
        "QueueUrl",
        "StreamArn",
        "TableName",
        "VersionId",
        "jobDefinition",
        "jobId",
        "jobQueue",
        "jobs",
        "logGroupName",
        "stateMachineArn",
    }
)
"""Parameters whose value names a resource."""


class CallLog:
    """A log of AWS calls in a file."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity

    def attach(self, session: Any) -> None:
        """Log every call of clients that a boto3 session creates from now on."""
        # botocore's first event of a call, which occurs once, also if the call is retried.
        session.events.register("provide-client-params", self._called)

    def write(self, service: str, operation: str, resources: Mapping[str, Any]) -> None:
        """Write one call."""
        line = {
            "identity": self._identity,
            "service": service,
            "operation": operation,
            "resources": resources,
        }
        # One append per line, so that lines of several processes do not mix.
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(descriptor, (json.dumps(line, sort_keys=True) + "\n").encode())
        finally:
            os.close(descriptor)

    def _called(self, *, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        if service != "sts":  # botocore itself, by which somebody else lets this one act
            self.write(service, model.name, resources_of(params))


def call_log(identity: str) -> CallLog | None:
    """The log that the environment names; None if calls are not logged."""
    path = os.environ.get(VARIABLE)
    return CallLog(Path(path), identity) if path else None


def resources_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that name resources, including those inside lists."""
    found = {name: value for name, value in params.items() if name in NAMES}
    source = params.get("CopySource")
    if isinstance(source, Mapping):
        found["CopySource"] = dict(source)
    if "Tagging" in params:  # this parameter needs an additional permission
        found["Tagging"] = True
    if "TransactItems" in params:  # DynamoDB: each is authorised as the operation inside of it
        found["TransactItems"] = [
            [member, item[member]["TableName"]]
            for item in params["TransactItems"]
            for member in item
        ]
    if "RequestItems" in params:
        found["RequestItems"] = sorted(params["RequestItems"])
    buses = {
        entry["EventBusName"] for entry in params.get("Entries", ()) if "EventBusName" in entry
    }
    if buses:
        found["EventBusNames"] = sorted(buses)
    return found
