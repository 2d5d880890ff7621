"""What can go wrong below a store: the network, the service, the deployment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.stub import Stubber

from tests.contract.canned import Canned, clients_for, serving
from worker.adapters.aws import errors as aws_errors
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.s3 import COPY_BYTES, S3ObjectStore
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    SafelightError,
    StateError,
    Throttled,
    Unreachable,
)
from worker.local.emulator import free_port

OBJECT = {"ETag": '"abc"', "Last-Modified": "Wed, 01 Jul 2026 10:00:00 GMT"}


def failure(code: str) -> bytes:
    """The body of an error, as S3 writes it."""
    return f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", Throttled),
        (503, "ServiceUnavailable", Unreachable),
        (500, "InternalError", Unreachable),
        (502, "", Unreachable),
        (429, "", Throttled),
        (403, "AccessDenied", AccessDenied),
        (403, "RequestTimeTooSkewed", AccessDenied),
        (404, "NoSuchBucket", ConfigurationError),
        (403, "InvalidObjectState", StateError),
    ],
)
def test_what_s3_answers_has_a_name(status: int, code: str, kind: type[SafelightError]) -> None:
    """Every kind of refusal is an error of our own, whose message names the object."""
    canned = Canned(status=status, body=failure(code) if code else b"")
    with (
        serving(canned),
        clients_for(canned.endpoint) as clients,
        pytest.raises(kind, match="get s3://bucket/key") as caught,
    ):
        S3ObjectStore(clients).get("bucket", "key")

    assert type(caught.value) is kind


def test_a_short_body_is_transient() -> None:
    """A body that ends before its promised length is not taken for the object."""
    canned = Canned(body=b"only this", length=100, headers=OBJECT)
    with serving(canned), clients_for(canned.endpoint) as clients, pytest.raises(Unreachable):
        S3ObjectStore(clients).get("bucket", "key")


def test_a_silent_server_is_unreachable() -> None:
    """A server that takes the request and never answers is given up after the read timeout."""
    canned = Canned(silent=True)
    with (
        serving(canned),
        clients_for(canned.endpoint, read_seconds=0.2) as clients,
        pytest.raises(Unreachable),
    ):
        S3ObjectStore(clients).get("bucket", "key")


def test_nobody_listening_is_unreachable() -> None:
    """A refused connection is transient, whatever was asked."""
    with clients_for(f"http://127.0.0.1:{free_port()}") as clients:
        store = S3ObjectStore(clients)
        for ask in (
            lambda: store.get("bucket", "key"),
            lambda: store.head("bucket", "key"),
            lambda: store.put("bucket", "key", b"x", content_type="image/jpeg"),
            lambda: store.copy(("bucket", "key"), ("bucket", "copy")),
            lambda: store.delete("bucket", "key"),
            lambda: list(store.list("bucket")),
        ):
            with pytest.raises(Unreachable):
                ask()


def test_connections_are_used_again() -> None:
    """Twenty requests of one thread, failed ones among them, share one connection."""
    canned = Canned(body=b"x" * 1000, headers=OBJECT)
    with serving(canned), clients_for(canned.endpoint) as clients:
        store = S3ObjectStore(clients)
        for number in range(20):
            store.get("bucket", f"key{number}")

        assert len(canned.requests) == 20
        assert canned.connections == 1


def test_a_missing_bucket_is_not_a_missing_object(clients: AwsClients) -> None:
    """A bucket that was never made stops everything: its objects must not pass for deleted."""
    with pytest.raises(ConfigurationError):
        S3ObjectStore(clients).get("no-such-bucket", "key")


def test_a_bucket_without_versions_has_none(
    clients: AwsClients, fresh: Callable[[str], str]
) -> None:
    """Where S3 keeps no versions, an object has no version id."""
    bucket = fresh("bucket")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    store = S3ObjectStore(clients)
    store.put(bucket, "key", b"x", content_type="image/jpeg")

    assert store.head(bucket, "key").version_id is None


def test_cache_control_is_kept(clients: AwsClients, fresh: Callable[[str], str]) -> None:
    """Renditions say how long they live, and so does a copy of one with other metadata."""
    bucket = fresh("bucket")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    store = S3ObjectStore(clients)
    store.put(bucket, "a", b"x", content_type="image/jpeg", cache_control="max-age=60")
    store.copy((bucket, "a"), (bucket, "b"), metadata={"x": "1"})

    for key in ("a", "b"):
        assert clients.s3.head_object(Bucket=bucket, Key=key)["CacheControl"] == "max-age=60"


def copying_in_parts(s3: Stubber) -> dict[str, object]:
    """Let the source be just over one request's worth, up to the start of the upload."""
    named: dict[str, object] = {"Bucket": "quarantine", "Key": "b", "UploadId": "u"}
    source = {"Bucket": "intake", "Key": "a", "VersionId": "v"}
    head = {"ContentLength": COPY_BYTES + 1, "ContentType": "video/mp4", "CacheControl": "no-store"}
    s3.add_response("head_object", head, source)
    started = {"Bucket": "quarantine", "Key": "b", "Metadata": {"reason": "too_long_duration"}}
    started |= {"ContentType": "video/mp4", "CacheControl": "no-store"}
    s3.add_response("create_multipart_upload", {"UploadId": "u"}, started)
    return named


def copy_large(clients: AwsClients) -> None:
    """Quarantine an original."""
    reason = {"reason": "too_long_duration"}
    S3ObjectStore(clients).copy(
        ("intake", "a"), ("quarantine", "b"), version_id="v", metadata=reason
    )


def test_copies_beyond_one_request_go_in_parts() -> None:
    """An original over 5 GiB is copied by the gigabyte, with its type and the new metadata."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.s3) as s3:
        named = copying_in_parts(s3)
        source = {"Bucket": "intake", "Key": "a", "VersionId": "v"}
        spans = [(n * 1024**3, (n + 1) * 1024**3 - 1) for n in range(5)] + [(COPY_BYTES,) * 2]
        for number, (start, end) in enumerate(spans, start=1):
            part = {"PartNumber": number, "CopySource": source}
            part["CopySourceRange"] = f"bytes={start}-{end}"
            answer = {"CopyPartResult": {"ETag": f"e{number}"}}
            s3.add_response("upload_part_copy", answer, named | part)
        parts = [{"PartNumber": number, "ETag": f"e{number}"} for number in range(1, 7)]
        s3.add_response(
            "complete_multipart_upload", {}, named | {"MultipartUpload": {"Parts": parts}}
        )

        copy_large(clients)

        s3.assert_no_pending_responses()


def test_a_copy_in_parts_that_fails_leaves_nothing() -> None:
    """A part that cannot be copied ends the upload: parts left behind would be paid for."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.s3) as s3:
        named = copying_in_parts(s3)
        s3.add_client_error("upload_part_copy", "SlowDown", http_status_code=503)
        s3.add_response("abort_multipart_upload", {}, named)

        with pytest.raises(Throttled):
            copy_large(clients)

        s3.assert_no_pending_responses()


def test_an_archived_object_has_a_code_of_its_own() -> None:
    """Originals in an archive are told apart from those that a role may not read."""
    error = aws_errors.for_code("InvalidObjectState", "get")

    assert (type(error), error.code, error.retryable) == (StateError, "object_archived", False)
