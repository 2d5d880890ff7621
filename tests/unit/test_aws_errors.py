"""What AWS raises has a name of ours: every class of botocore's and the codes that matter."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from botocore import exceptions as boto

from worker.adapters.aws.errors import aws_call, translate
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    Conflict,
    EngineError,
    ObjectChanged,
    ObjectMissing,
    SafelightError,
    Throttled,
    Unreachable,
)


def answer(code: str, status: int = 400, **more: Any) -> boto.ClientError:
    """An error that a service sent."""
    said: Any = {
        "Error": {"Code": code, "Message": "No,\n not now."},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "R1"},
        **more,
    }
    return boto.ClientError(said, "PutItem")


def made(kind: type[boto.BotoCoreError]) -> boto.BotoCoreError:
    """One error of botocore's, whatever its message needs to know."""

    class Anything(dict[str, Any]):
        def __missing__(self, key: str) -> str:
            return key

    error = kind.__new__(kind)
    Exception.__init__(error, kind.fmt.format_map(Anything()))
    return error


CLASSES = [
    kind
    for _, kind in inspect.getmembers(boto, inspect.isclass)
    if issubclass(kind, boto.BotoCoreError) and kind.__module__ == boto.__name__
]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, Throttled),
        ("ProvisionedThroughputExceededException", 400, Throttled),
        ("SlowDown", 503, Throttled),
        ("RequestLimitExceeded", 400, Throttled),
        ("SomethingNew", 429, Throttled),
        ("TransactionConflictException", 400, Throttled),
        ("InternalServerError", 500, Unreachable),
        ("RequestTimeout", 400, Unreachable),
        ("SomethingNew", 504, Unreachable),
        ("AccessDenied", 403, AccessDenied),
        ("ExpiredTokenException", 400, AccessDenied),
        ("SomethingNew", 403, AccessDenied),
        ("NoSuchKey", 404, ObjectMissing),
        ("NoSuchVersion", 404, ObjectMissing),
        ("404", 404, ObjectMissing),
        ("405", 405, ObjectMissing),
        ("PreconditionFailed", 412, ObjectChanged),
        ("412", 412, ObjectChanged),
        ("ConditionalCheckFailedException", 400, Conflict),
        ("NoSuchBucket", 404, ConfigurationError),
        ("ResourceNotFoundException", 400, ConfigurationError),
        ("StateMachineDoesNotExist", 400, ConfigurationError),
        ("ValidationException", 400, EngineError),
        ("SomethingNew", 404, EngineError),
        ("", 0, EngineError),
    ],
)
def test_an_answer_has_a_name(code: str, status: int, kind: type[SafelightError]) -> None:
    """The code decides, then the status; what nobody knows is a defect and not retried."""
    assert type(translate(answer(code, status), "do it")) is kind


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (["None", "ConditionalCheckFailed"], Conflict),
        (["ThrottlingError", "ConditionalCheckFailed"], Conflict),
        (["TransactionConflict", "None"], Throttled),
        (["ValidationError", "ProvisionedThroughputExceeded"], Throttled),
        (["ValidationError"], EngineError),
        ([], EngineError),
    ],
)
def test_a_cancelled_transaction_is_what_cancelled_it(
    reasons: list[str], kind: type[SafelightError]
) -> None:
    """A failed condition is a conflict even if another part was throttled."""
    listed = [{"Code": reason} for reason in reasons]
    error = answer("TransactionCanceledException", CancellationReasons=listed)

    assert type(translate(error, "write")) is kind


def test_an_answer_without_content_has_a_name_too() -> None:
    """Something between us and AWS may answer anything."""
    empty: Any = {}

    assert type(translate(boto.ClientError(empty, "GetItem"), "read")) is EngineError


def test_the_message_says_what_was_asked_and_what_was_answered() -> None:
    """On one line: our words, the service's, its code and the request to look for."""
    error = translate(answer("AccessDenied", 403), "get s3://b/k")

    assert error.message == "get s3://b/k: No, not now. (AccessDenied, request R1)"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_botocore_has_a_name(kind: type[boto.BotoCoreError]) -> None:
    """Every exception of botocore maps to a SafelightError with a message of one line and its
    cause."""
    error = made(kind)
    with pytest.raises(SafelightError) as caught, aws_call("ask"):
        raise error

    assert caught.value.__cause__ is error
    assert caught.value.message.startswith("ask: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (boto.EndpointConnectionError, Unreachable),
        (boto.ConnectTimeoutError, Unreachable),
        (boto.ReadTimeoutError, Unreachable),
        (boto.ConnectionClosedError, Unreachable),
        (boto.ProxyConnectionError, Unreachable),
        (boto.SSLError, Unreachable),
        (boto.ResponseStreamingError, Unreachable),
        (boto.IncompleteReadError, Unreachable),
        (boto.FlexibleChecksumError, Unreachable),
        (boto.CredentialRetrievalError, Unreachable),
        (boto.NoCredentialsError, AccessDenied),
        (boto.UnauthorizedSSOTokenError, AccessDenied),
        (boto.NoRegionError, ConfigurationError),
        (boto.ProfileNotFound, ConfigurationError),
        (boto.ParamValidationError, EngineError),
    ],
)
def test_what_happens_before_an_answer(
    kind: type[boto.BotoCoreError], ours: type[SafelightError]
) -> None:
    """The network may recover, identity and settings need somebody, the rest is a defect."""
    assert type(translate(made(kind), "ask")) is ours


def test_other_errors_pass() -> None:
    """Other exceptions are not mapped."""
    with pytest.raises(KeyError), aws_call("ask"):
        raise KeyError("ours")
