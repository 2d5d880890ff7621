"""Objects between S3 and files, of any size: ranges and parts side by side, stopped at once.

What ``S3ObjectStore`` cannot do because it holds an object in memory. For Batch jobs: inputs and
results of many gigabytes. Whole or not at all in both directions: a download is renamed when it
is complete, an upload of parts is completed or aborted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import translate
from worker.adapters.aws.object_rules import encode_metadata, readable_key, writable_key
from worker.adapters.disk_errors import disk_call
from worker.atomic import disk_full
from worker.domain.errors import (
    Conflict,
    ObjectChanged,
    SafelightError,
    ScratchFull,
    Stopped,
    Unreachable,
)
from worker.job_context import Stop

if TYPE_CHECKING:
    from s3transfer.manager import TransferManager
    from types_boto3_s3 import S3Client

PART_BYTES = 32 * 1024**2
"""Of one range or part. 10,000 parts of it are 335 GB; larger files get larger parts."""
THRESHOLD_BYTES = 64 * 1024**2
"""Smaller files go in one request."""
PARALLEL = 8
"""Requests at the same time: about a gigabit for each on EC2."""


class S3Transfers:
    """Files to and from buckets.

    Args:
        part: bytes of one range or part; at least 5 MiB.
    """

    def __init__(
        self, clients: AwsClients, *, part: int = PART_BYTES, threshold: int = THRESHOLD_BYTES
    ) -> None:
        self._clients = clients
        self._part = part
        self._threshold = threshold
        self._made: TransferManager | None = None

    def download(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        etag: str | None = None,
        size: int | None = None,
        stop: Stop | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write an object to a file that does not exist yet.

        Args:
            etag, size: what ``head`` said. With them the object must still be that one.
            progress: called with the bytes that have just arrived, from several threads.

        Raises:
            ObjectMissing: there is none (any more).
            ObjectChanged: the object has been replaced.
            ScratchFull: the disk is full.
            Stopped: a stop was asked for; nothing is left of the file.
        """
        readable_key(bucket, key)
        with (
            _transfer(f"get s3://{bucket}/{key}", path, stop),
            _removed_on_failure(path),
        ):
            known = [_known(etag, size)] if etag and size is not None else []
            future = self._manager().download(
                bucket, key, str(path), subscribers=[*known, *_told(progress)]
            )
            _wait(future, stop)
        if size is not None and path.stat().st_size != size:
            found = path.stat().st_size
            path.unlink()
            raise ObjectChanged(f"s3://{bucket}/{key} has {found} bytes, not the {size} listed")

    def upload(
        self,
        path: Path,
        bucket: str,
        key: str,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Write a file to an object. Overwrites.

        Raises:
            Stopped: a stop was asked for; the object is what it was.
        """
        writable_key(key)
        extra: dict[str, Any] = {"ContentType": content_type}
        if cache_control:
            extra["CacheControl"] = cache_control
        if metadata:
            extra["Metadata"] = encode_metadata(metadata)
        with _transfer(f"put s3://{bucket}/{key}", path, stop):
            _wait(self._manager().upload(str(path), bucket, key, extra_args=extra), stop)

    def close(self) -> None:
        """End the threads of transfers."""
        made, self._made = self._made, None
        if made is not None:
            made.shutdown()

    def _manager(self) -> TransferManager:
        from s3transfer.manager import TransferConfig, TransferManager

        if self._made is None:
            client: S3Client = self._clients.s3
            config = TransferConfig(
                multipart_threshold=self._threshold,
                multipart_chunksize=self._part,
                max_request_concurrency=PARALLEL,
                # Both bound memory: parts wait for the disk or the network, not in a queue.
                max_io_queue_size=32,
                max_in_memory_upload_chunks=PARALLEL,
            )
            self._made = TransferManager(client, config)
        return self._made


def _wait(future: Any, stop: Stop | None) -> None:
    if stop is None:
        future.result()
        return
    take_back = stop.add_callback(future.cancel)
    try:
        future.result()
    finally:
        take_back()


def _known(etag: str, size: int) -> Any:
    """Spares a HEAD, and makes every request one for exactly this object (``If-Match``)."""
    from s3transfer.subscribers import BaseSubscriber

    class Known(BaseSubscriber):
        def on_queued(self, future: Any, **_: Any) -> None:
            future.meta.provide_transfer_size(size)
            future.meta.provide_object_etag(f'"{etag}"')

    return Known()


def _told(progress: Callable[[int], None] | None) -> list[Any]:
    from s3transfer.subscribers import BaseSubscriber

    if progress is None:
        return []
    told = progress

    class Arrived(BaseSubscriber):
        def on_progress(self, future: Any, bytes_transferred: int, **_: Any) -> None:  # noqa: ARG002 - its signature
            told(bytes_transferred)

    return [Arrived()]


@contextmanager
def _transfer(what: str, path: Path, stop: Stop | None) -> Iterator[None]:
    """Map what s3transfer raises: botocore's errors, its own, and those of the disk."""
    from s3transfer.exceptions import (
        CancelledError,
        RetriesExceededError,
        S3DownloadFailedError,
        S3UploadFailedError,
    )

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _of_answer(error, what) from error
    except CancelledError as error:
        if stop is not None:
            stop.check()
        raise Stopped(f"{what} was stopped") from error
    except S3DownloadFailedError as error:  # what If-Match refused
        raise ObjectChanged(f"{what}: {error}") from error
    except (RetriesExceededError, S3UploadFailedError) as error:
        raise Unreachable(f"{what}: {error}") from error
    except OSError as error:
        if disk_full(error):
            raise ScratchFull(f"{what}: no room for {path.name}") from error
        with disk_call(path):
            raise


def _of_answer(error: ClientError | BotoCoreError, what: str) -> SafelightError:
    mapped = translate(error, what)
    if isinstance(mapped, Conflict):  # a part upload that somebody else has aborted
        return Unreachable(str(mapped))
    return mapped


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise
