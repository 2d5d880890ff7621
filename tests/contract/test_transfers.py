"""Large objects to and from files, against the embedded AWS."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from s3transfer.exceptions import RetriesExceededError

from worker.adapters.aws import s3
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.s3 import S3ObjectStore, S3Transfers
from worker.domain.errors import (
    ConfigurationError,
    ObjectChanged,
    ObjectMissing,
    ScratchFull,
    Stopped,
    Unreachable,
)
from worker.job_context import Stop

PART = 5 * 1024**2
"""The smallest part that S3 takes."""


@pytest.fixture
def bucket(clients: AwsClients, fresh: Callable[[str], str]) -> str:
    """A bucket of its own."""
    name = fresh("transfers")
    clients.s3.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    return name


@pytest.fixture
def moved(clients: AwsClients) -> Any:
    """Transfers in the smallest parts."""
    made = S3Transfers(clients, part=PART, threshold=PART)
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, PART, 2 * PART + 7])
def test_files_come_back_as_they_went(
    moved: S3Transfers, clients: AwsClients, bucket: str, tmp_path: Path, size: int
) -> None:
    """In one request or in parts, with content type, cache rules and progress."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes((b"0123456789abcdef" * (size // 16 + 1))[:size])
    arrived: list[int] = []

    moved.upload(source, bucket, "a/b c.m4s", content_type="video/iso.segment", cache_control="x")
    stored = S3ObjectStore(clients).head(bucket, "a/b c.m4s")
    moved.download(
        *(bucket, "a/b c.m4s", copy),
        etag=stored.etag,
        size=stored.size,
        progress=arrived.append,
        stop=Stop(),
    )

    assert copy.read_bytes() == source.read_bytes()
    assert stored.content_type == "video/iso.segment"
    assert sum(arrived) == size


@pytest.mark.parametrize("size", [10, 2 * PART])
def test_an_object_that_was_replaced_is_not_taken(
    moved: S3Transfers, clients: AwsClients, bucket: str, tmp_path: Path, size: int
) -> None:
    """The etag of the listing must still hold, also between two ranges; no file is left."""
    store = S3ObjectStore(clients)
    store.put(bucket, "a", b"1" * size, content_type="x/y")
    before = store.head(bucket, "a")
    store.put(bucket, "a", b"2" * size, content_type="x/y")

    with pytest.raises(ObjectChanged):
        moved.download(bucket, "a", tmp_path / "a", etag=before.etag, size=before.size)

    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there(moved: S3Transfers, bucket: str, tmp_path: Path) -> None:
    """A missing object is ``object_missing``; a missing bucket is somebody's mistake."""
    with pytest.raises(ObjectMissing):
        moved.download(bucket, "none", tmp_path / "a", etag="0" * 32, size=3)
    source = tmp_path / "source"
    source.write_bytes(b"1")
    with pytest.raises(ConfigurationError):
        moved.upload(source, f"{bucket}-none", "a", content_type="x/y")


def test_a_stop_ends_a_transfer(moved: S3Transfers, bucket: str, tmp_path: Path) -> None:
    """It is ``stopped``; the object is not there, and neither is a file."""
    stop = Stop()
    stop.request("reclaimed")
    source = tmp_path / "source"
    source.write_bytes(b"1" * 3 * PART)

    with pytest.raises(Stopped, match="reclaimed"):
        moved.upload(source, bucket, "a", content_type="x/y", stop=stop)
    source.unlink()
    with pytest.raises((Stopped, ObjectMissing)):
        moved.download(bucket, "a", tmp_path / "copy", stop=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_in_the_middle_ends_a_transfer(
    clients: AwsClients, bucket: str, tmp_path: Path
) -> None:
    """Ranges that are under way are given up and nothing of them is left."""
    S3ObjectStore(clients).put(bucket, "a", b"1" * 12 * PART, content_type="x/y")
    stop = Stop()
    moved = S3Transfers(clients, part=PART, threshold=PART)

    with warnings.catch_warnings():
        # s3transfer drops the connections it gives up without closing them.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(Stopped, match="reclaimed"):
            moved.download(
                *(bucket, "a", tmp_path / "copy"),
                stop=stop,
                progress=lambda _: stop.request("reclaimed"),
            )
        moved.close()
        del moved
        gc.collect()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (EndpointConnectionError(endpoint_url="http://x"), Unreachable),
        (RetriesExceededError(OSError("reset")), Unreachable),
        (OSError(28, "No space left on device"), ScratchFull),
    ],
)
def test_other_failures_are_errors_of_ours(
    clients: AwsClients,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    expected: type[Exception],
) -> None:
    """Errors of the transfer library are mapped."""

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(s3, "_wait", fail)
    moved = S3Transfers(clients)
    with pytest.raises(expected):
        moved.download("bucket", "a", tmp_path / "a")
    moved.close()
