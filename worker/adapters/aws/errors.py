"""Maps errors of AWS and botocore to ``domain.errors``. Only this module knows both.

Adapters wrap every call in :func:`aws_call`. It contains nothing specific to one service's data; a
new service adds its codes to the tables below. An unknown code is an ``EngineError``: a request
that AWS rejects as invalid is a defect of Safelight and must not be retried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto

from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    Conflict,
    EngineError,
    ObjectChanged,
    ObjectMissing,
    SafelightError,
    StateError,
    Throttled,
    Unreachable,
)

ARCHIVED = "object_archived"
"""Code of a ``StateError``: the object is in an archive and must be restored before it is read."""

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",  # S3: another conditional write of the key is under way
        "EC2ThrottledException",
        "ExecutionLimitExceeded",
        "KMS.ThrottlingException",
        "KmsThrottled",
        "LimitExceededException",
        "OperationAborted",  # S3: another operation on the same resource is under way
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyInvalidationsInProgress",
        "TooManyRequestsException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_UNREACHABLE = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    }
)
_DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthFailure",
        "AuthorizationError",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "KMS.AccessDeniedException",
        "KmsAccessDenied",
        "MissingAuthenticationToken",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
# HEAD has no body, so its errors have the status for a code. 405 is S3's answer to reading a
# delete marker by its version id.
_MISSING = frozenset({"404", "405", "MethodNotAllowed", "NoSuchKey", "NoSuchVersion", "NotFound"})
_CHANGED = frozenset({"412", "PreconditionFailed"})
_CONFLICT = frozenset(
    {
        "AWS.SimpleQueueService.MessageNotInflight",
        "ConditionalCheckFailed",
        "ConditionalCheckFailedException",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",  # SQS: the message came back in the meantime
    }
)
# A resource that the deployment should have made. Never ObjectMissing: code that takes a missing
# bucket for missing objects loses messages.
_ABSENT = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchDistribution",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "StateMachineDeleting",
        "StateMachineDoesNotExist",
    }
)

_NETWORK = (
    boto.HTTPClientError,  # every timeout, dropped connection, proxy and TLS failure
    boto.ConnectionError,  # a refused connection (EndpointConnectionError) is only this
    boto.IncompleteReadError,
    boto.ChecksumError,
    boto.FlexibleChecksumError,  # damaged on the way; the next transfer is another one
    boto.CredentialRetrievalError,  # the credential service of a container does not answer
    boto.MetadataRetrievalError,
    boto.CapacityNotAvailableError,
)
_IDENTITY = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.UnknownCredentialError,
    boto.UnknownTokenProviderError,
    boto.RefreshWithMFAUnsupportedError,
    boto.SSOError,
    boto.LoginError,
)
_SETTINGS = (
    boto.BaseEndpointResolverError,
    boto.EndpointProviderError,
    boto.InvalidEndpointConfigurationError,
    boto.UnknownRegionError,
    boto.InvalidRegionError,
    boto.ServiceNotInRegionError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.ConfigNotFound,
    boto.InvalidConfigError,
    boto.InvalidRetryConfigurationError,
    boto.InvalidProxiesConfigError,
    boto.InvalidDefaultsMode,
    boto.InvalidChecksumConfigError,
    boto.InvalidIMDSEndpointError,
    boto.InvalidIMDSEndpointModeError,
    boto.InvalidS3AddressingStyleError,
    boto.InvalidS3UsEast1RegionalEndpointConfigError,
    boto.InvalidSTSRegionalEndpointsConfigError,
    boto.InvalidDNSNameError,
    boto.InvalidHostLabelError,
)


@contextmanager
def aws_call(what: str) -> Iterator[None]:
    """Map whatever boto3 raises inside the block.

    Args:
        what: the call in words a person knows, ``get s3://bucket/key``; begins the message.
    """
    try:
        yield
    except (boto.ClientError, boto.BotoCoreError) as error:
        raise translate(error, what) from error


def translate(error: boto.ClientError | boto.BotoCoreError, what: str) -> SafelightError:
    """The error of ours that says the same."""
    if isinstance(error, boto.ClientError):
        return _answered(error, what)
    text = f"{what}: {_line(error)}"
    if isinstance(error, _NETWORK):
        return Unreachable(text)
    if isinstance(error, _IDENTITY):
        return AccessDenied(text)
    if isinstance(error, _SETTINGS):
        return ConfigurationError(text)
    return EngineError(text)


def error_code(error: boto.ClientError) -> str:
    """The service's own word for what happened; empty if it sent none."""
    # The modelled type says the keys are there; a proxy in between may have answered instead.
    answer: Mapping[str, Any] = error.response
    return str(answer.get("Error", {}).get("Code", ""))


def for_code(code: str, text: str) -> SafelightError:
    """The error for a service's code, for answers that carry codes of single entries."""
    for codes, kind in (
        (_THROTTLED, Throttled),
        (_UNREACHABLE, Unreachable),
        (_DENIED, AccessDenied),
        (_MISSING, ObjectMissing),
        (_CHANGED, ObjectChanged),
        (_CONFLICT, Conflict),
        (_ABSENT, ConfigurationError),
    ):
        if code in codes:
            return kind(text)
    if code in _CLOCK:
        return AccessDenied(f"{text}; the clock of this machine is wrong")
    if code == "InvalidObjectState":
        return StateError(text, code=ARCHIVED)
    return EngineError(text)


def _answered(error: boto.ClientError, what: str) -> SafelightError:
    answer: Mapping[str, Any] = error.response
    said, meta = answer.get("Error", {}), answer.get("ResponseMetadata", {})
    code, status = error_code(error), int(meta.get("HTTPStatusCode", 0))
    text = f"{what}: {_line(said.get('Message') or 'no message')} ({code or status}"
    text += f", request {meta['RequestId']})" if meta.get("RequestId") else ")"
    if code == "TransactionCanceledException":
        return _cancelled(answer, text)
    mapped = for_code(code, text)
    if type(mapped) is not EngineError:
        return mapped
    if status == 429:
        return Throttled(text)
    if status in {401, 403}:
        return AccessDenied(text)
    if status >= 500:
        return Unreachable(text)
    return mapped


def _cancelled(answer: Mapping[str, Any], text: str) -> SafelightError:
    """A cancelled transaction, by the reasons of its parts.

    A failed condition decides: that part would fail again however often it is tried.
    """
    reasons = [str(reason.get("Code")) for reason in answer.get("CancellationReasons", ())]
    parts = [for_code(code, text) for code in reasons if code not in {"None", ""}]
    for kind in (Conflict, Throttled):
        for part in parts:
            if isinstance(part, kind):
                return part
    return parts[0] if parts else EngineError(text)


def _line(message: object) -> str:
    """On one line: messages end up in logs and in records."""
    return " ".join(str(message).split())
