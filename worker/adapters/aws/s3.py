"""Objects in S3: ``S3ObjectStore`` holds them in memory, ``S3Transfers`` moves files of any size.

``S3ObjectStore`` makes one request for each call, except a copy with new metadata (two). The role
needs ``s3:ListBucket`` on buckets that are read: without it S3 answers 403 instead of 404 for a
missing object, which would be ``AccessDenied`` instead of ``ObjectMissing``.

``S3Transfers`` moves inputs and results of Batch jobs, many gigabytes, in parallel ranges and
parts, and stops at once. Both directions are all or nothing: a download that fails is removed, an
upload of parts is completed or aborted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code, translate
from worker.adapters.disk_errors import disk_call
from worker.adapters.timestamps import utc_text
from worker.atomic import disk_full
from worker.domain.errors import (
    Conflict,
    EngineError,
    InputError,
    ObjectChanged,
    ObjectMissing,
    SafelightError,
    ScratchFull,
    Stopped,
    Unreachable,
)
from worker.job_context import Stop
from worker.ports import StoredObject

if TYPE_CHECKING:
    from s3transfer.manager import TransferManager
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

COPY_BYTES = 5 * 1024**3
"""Largest object that one CopyObject copies; larger ones are copied in parts."""
COPY_PART_BYTES = 1024**3
"""Of such a copy."""

_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
"""Codes of S3 for a conditional put if the key already has an object, or soon will."""
_NO_RANGE = frozenset({"InvalidRange", "416"})


class S3ObjectStore:
    """Objects in S3 buckets.

    Args:
        page: objects asked for by one request of ``list``, at most 1000.
        copy_bytes, part_bytes: see the constants.
    """

    def __init__(
        self,
        clients: AwsClients,
        *,
        page: int = 1000,
        copy_bytes: int = COPY_BYTES,
        part_bytes: int = COPY_PART_BYTES,
    ) -> None:
        self._clients = clients
        self._page = page
        self._copy_bytes, self._part_bytes = copy_bytes, part_bytes

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """See ``ObjectStore.get``. A body shorter than promised is ``Unreachable``."""
        readable_key(bucket, key)
        parameters = _named(bucket, key, version_id=version_id, etag=etag or None)
        if first is not None:
            parameters["Range"] = f"bytes=0-{max(first, 1) - 1}"
        with aws_call(f"get s3://{bucket}/{key}"):
            try:
                answer = self._clients.s3.get_object(**parameters)
            except ClientError as error:
                # An object of zero bytes has no first one.
                if first is not None and error_code(error) in _NO_RANGE:
                    return b"", self.head(bucket, key, version_id=version_id)
                raise
            # Read to the end even if it turns out short: only then is the connection used again.
            data = answer["Body"].read()
        promised = answer["ContentLength"]
        if len(data) != promised:
            text = f"get s3://{bucket}/{key}: {len(data)} of {promised} bytes arrived"
            raise Unreachable(text)
        return data if first is None else data[: max(first, 0)], _described(key, answer)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """See ``ObjectStore.head``."""
        readable_key(bucket, key)
        return _described(key, self._head(bucket, key, version_id))

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> str:
        """See ``ObjectStore.put``."""
        writable_key(key)
        parameters: dict[str, Any] = {"Bucket": bucket, "Key": key, "Body": data}
        parameters["ContentType"] = content_type
        if cache_control:
            parameters["CacheControl"] = cache_control
        if metadata:
            parameters["Metadata"] = encode_metadata(metadata)
        if tags:
            parameters["Tagging"] = urlencode(tags)
        if once:
            parameters["IfNoneMatch"] = "*"
        with aws_call(f"put s3://{bucket}/{key}"):
            try:
                return _bare(self._clients.s3.put_object(**parameters)["ETag"])
            except ClientError as error:
                if once and error_code(error) in _EXISTS:
                    return ""
                raise

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        version_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """See ``ObjectStore.copy``. Content type and cache control stay in any case."""
        readable_key(*source)
        writable_key(target[1])
        copy_source: CopySourceTypeDef = {"Bucket": source[0], "Key": source[1]}
        if version_id:
            copy_source["VersionId"] = version_id
        parameters: dict[str, Any] = {"Bucket": target[0], "Key": target[1]}
        # A tag may be why the source expires; and copying one needs further rights.
        parameters["TaggingDirective"] = "REPLACE"
        if tags:
            parameters["Tagging"] = urlencode(tags)
        size = 0
        if metadata is not None:
            # Replacing the metadata replaces these headers too, so they must be known.
            found = self._head(*source, version_id)
            size = found["ContentLength"]
            parameters |= {
                "Metadata": encode_metadata(metadata),
                "ContentType": found["ContentType"],
            }
            if found.get("CacheControl"):
                parameters["CacheControl"] = found["CacheControl"]
        with aws_call(f"copy s3://{'/'.join(source)} to s3://{'/'.join(target)}"):
            if size > self._copy_bytes:
                del parameters["TaggingDirective"]  # parts take none from their source
                self._copy_parts(copy_source, parameters, size)
            elif metadata is None:
                self._clients.s3.copy_object(CopySource=copy_source, **parameters)
            else:
                self._clients.s3.copy_object(
                    CopySource=copy_source, MetadataDirective="REPLACE", **parameters
                )

    def tag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """See ``ObjectStore.tag``."""
        if encoded_key(key) is None:
            return
        pairs: Any = [{"Key": name, "Value": value} for name, value in tags.items()]
        s3 = self._clients.s3
        with suppress(ObjectMissing), aws_call(f"tag s3://{bucket}/{key}"):
            if pairs:
                s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": pairs})
            else:
                s3.delete_object_tagging(Bucket=bucket, Key=key)

    def tags(self, bucket: str, key: str) -> Mapping[str, str]:
        """See ``ObjectStore.tags``."""
        readable_key(bucket, key)
        with aws_call(f"read the tags of s3://{bucket}/{key}"):
            found = self._clients.s3.get_object_tagging(Bucket=bucket, Key=key)
        return {one["Key"]: one["Value"] for one in found["TagSet"]}

    def renew(
        self,
        bucket: str,
        key: str,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """See ``ObjectStore.renew``: a copy onto itself, which S3 asks to replace something."""
        if encoded_key(key) is None:
            return
        try:
            found = self._head(bucket, key, None)
        except ObjectMissing:
            return
        copy_source: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        parameters: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if tags is not None:
            parameters["Tagging"] = urlencode(tags)
        kept = {**found.get("Metadata", {}), **encode_metadata(metadata or {})}
        parameters |= {"Metadata": kept, "ContentType": found["ContentType"]}
        if found.get("CacheControl"):
            parameters["CacheControl"] = found["CacheControl"]
        try:
            with aws_call(f"renew s3://{bucket}/{key}"):
                if found["ContentLength"] > self._copy_bytes:
                    if tags is None:  # parts take none from their source
                        named = self._clients.s3.get_object_tagging(Bucket=bucket, Key=key)
                        pairs = {one["Key"]: one["Value"] for one in named["TagSet"]}
                        parameters["Tagging"] = urlencode(pairs)
                    self._copy_parts(copy_source, parameters, found["ContentLength"])
                else:
                    self._clients.s3.copy_object(
                        CopySource=copy_source,
                        MetadataDirective="REPLACE",
                        TaggingDirective="COPY" if tags is None else "REPLACE",
                        **parameters,
                    )
        except ObjectMissing:
            return

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """See ``ObjectStore.delete``. Without a version a versioned bucket keeps the old ones."""
        if encoded_key(key) is None:
            return
        parameters = _named(bucket, key, version_id=version_id, etag=etag)
        # Only a condition can fail: without one, deleting a missing object succeeds.
        refused = (ObjectMissing, ObjectChanged) if etag is not None else ()
        with suppress(*refused), aws_call(f"delete s3://{bucket}/{key}"):
            self._clients.s3.delete_object(**parameters)

    def all_versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        """See the port. A bucket without versions calls its only one ``null``."""
        if prefix and encoded_key(prefix) is None:
            return
        for page in self._pages("list_object_versions", bucket, prefix):
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                yield item["Key"], item["VersionId"]

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See ``ObjectStore.list``. Metadata and content type are not listed."""
        if prefix and encoded_key(prefix) is None:
            return
        extra = {"StartAfter": after} if after else {}
        for page in self._pages("list_objects_v2", bucket, prefix, **extra):
            for item in page.get("Contents", ()):
                yield StoredObject(
                    key=item["Key"],
                    size=item["Size"],
                    etag=_bare(item["ETag"]),
                    modified=utc_text(item["LastModified"]),
                )

    def _pages(
        self, operation: Any, bucket: str, prefix: str, **extra: str
    ) -> Iterator[Mapping[str, Any]]:
        what = f"{operation} s3://{bucket}/{prefix}"
        with aws_call(what):
            paginator = self._clients.s3.get_paginator(operation)
            size = {"PageSize": self._page}
            pages = iter(
                paginator.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig=size, **extra)
            )
        while True:
            with aws_call(what):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def _copy_parts(
        self, copy_source: CopySourceTypeDef, parameters: Mapping[str, Any], size: int
    ) -> None:
        """Copy what one request cannot: a gigabyte a part, one after the other."""
        s3 = self._clients.s3
        upload = s3.create_multipart_upload(**parameters)["UploadId"]
        named = {"Bucket": parameters["Bucket"], "Key": parameters["Key"], "UploadId": upload}
        try:
            parts: list[CompletedPartTypeDef] = []
            for number, start in enumerate(range(0, size, self._part_bytes), start=1):
                done = s3.upload_part_copy(
                    **named,
                    PartNumber=number,
                    CopySource=copy_source,
                    CopySourceRange=f"bytes={start}-{min(start + self._part_bytes, size) - 1}",
                )
                parts.append({"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]})
            s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        except BaseException:
            s3.abort_multipart_upload(**named)
            raise

    def _head(self, bucket: str, key: str, version_id: str | None) -> Mapping[str, Any]:
        with aws_call(f"head s3://{bucket}/{key}"):
            return self._clients.s3.head_object(**_named(bucket, key, version_id=version_id))


def _named(
    bucket: str, key: str, *, version_id: str | None, etag: str | None = None
) -> dict[str, Any]:
    """Parameters that name an object, one version of it, or only the one with an etag."""
    named: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if version_id:
        named["VersionId"] = version_id
    if etag is not None:
        named["IfMatch"] = f'"{etag}"'
    return named


def _described(key: str, answer: Mapping[str, Any]) -> StoredObject:
    version = answer.get("VersionId")
    return StoredObject(
        key=key,
        size=_size(answer),
        etag=_bare(answer["ETag"]),
        # "null" names the one version of a bucket without versioning.
        version_id=None if version in {None, "null"} else version,
        content_type=answer.get("ContentType", "application/octet-stream"),
        modified=utc_text(answer["LastModified"]),
        metadata=decode_metadata(answer.get("Metadata", {})),
    )


def _size(answer: Mapping[str, Any]) -> int:
    """Of the whole object, of which ``ContentLength`` may be a part only."""
    total: str = answer.get("ContentRange", "").rpartition("/")[2]
    return int(total) if total.isdigit() else int(answer["ContentLength"])


def _bare(etag: str) -> str:
    return etag.strip('"')


# --- files of any size ------------------------------------------------------------------------

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
            pinned = [_pinned(etag, size)] if etag and size is not None else []
            future = self._manager().download(
                bucket, key, str(path), subscribers=[*pinned, *_reporting(progress)]
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
        tags: Mapping[str, str] | None = None,
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
        if tags:
            extra["Tagging"] = urlencode(tags)
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
    unsubscribe = stop.add_callback(future.cancel)
    try:
        future.result()
    finally:
        unsubscribe()


def _pinned(etag: str, size: int) -> Any:
    """Spares a HEAD, and makes every request one for exactly this object (``If-Match``)."""
    from s3transfer.subscribers import BaseSubscriber

    class Pinned(BaseSubscriber):
        def on_queued(self, future: Any, **_: Any) -> None:
            future.meta.provide_transfer_size(size)
            future.meta.provide_object_etag(f'"{etag}"')

    return Pinned()


def _reporting(progress: Callable[[int], None] | None) -> list[Any]:
    from s3transfer.subscribers import BaseSubscriber

    if progress is None:
        return []
    report = progress

    class Arrived(BaseSubscriber):
        def on_progress(self, future: Any, bytes_transferred: int, **_: Any) -> None:  # noqa: ARG002 - its signature
            report(bytes_transferred)

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
    if isinstance(mapped, Conflict):  # another process has aborted this part upload
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


# --- keys and metadata ------------------------------------------------------------------------

KEY_BYTES = 1024
"""Longest key, in UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects")."""
METADATA_BYTES = 2048
"""Names and values of all metadata together, as sent (the same, "Working with object metadata")."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_PLAIN = re.compile(r"(?!.*=\?)[!-~](?:[ -~]*[!-~])?|")
_WORD_BYTES = 45
"""Of text in one encoded word: 60 in base64, and 75 is the most (RFC 2047, section 2)."""


def encoded_key(key: str) -> bytes | None:
    """The key in UTF-8, or None if no object can have it."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return None
    return encoded if 0 < len(encoded) <= KEY_BYTES else None


def readable_key(bucket: str, key: str) -> bytes:
    """The key of an object that is asked for. Raises ``ObjectMissing`` if none can have it."""
    encoded = encoded_key(key)
    if encoded is None:
        raise ObjectMissing(f"no object can be called {_short(key)} (bucket {bucket})")
    return encoded


def writable_key(key: str) -> bytes:
    """The key of an object to be written. Raises ``InputError`` if none can have it."""
    encoded = encoded_key(key)
    if encoded is None:
        message = f"an object key is 1 to {KEY_BYTES} bytes of UTF-8, not {_short(key)}"
        raise InputError(message)
    return encoded


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata as HTTP headers can carry it.

    Text that is not printable ASCII is written as encoded words (RFC 2047), which is also how S3
    itself hands out metadata that somebody stored in UTF-8.

    Raises:
        EngineError: a name is not lower-case letters, digits, ``.``, ``_`` and ``-``, or all of
            it is longer than ``METADATA_BYTES``.
    """
    encoded = {name: _encode(value) for name, value in metadata.items()}
    for name in encoded:
        if not _NAME.fullmatch(name):
            raise EngineError(f"metadata cannot be called {_short(name)}")
    size = sum(len(name) + len(value) for name, value in encoded.items())
    if size > METADATA_BYTES:
        raise EngineError(f"metadata of {size} bytes; {METADATA_BYTES} is the most")
    return encoded


def decode_metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Metadata as it was given; what is not an encoded word is taken as it is."""
    return {name.lower(): _decode(value) for name, value in headers.items()}


def _encode(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    words: list[str] = []
    word = b""
    # Lone surrogates are no text; "?" is what a strict reader would show.
    for character in value:
        piece = character.encode(errors="replace")
        if len(word) + len(piece) > _WORD_BYTES:
            words.append(_word(word))
            word = b""
        word += piece
    words.append(_word(word))
    return " ".join(words)


def _word(piece: bytes) -> str:
    return f"=?UTF-8?B?{base64.b64encode(piece).decode()}?="


def _decode(value: str) -> str:
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return value  # somebody else's metadata that only looks like an encoded word


def _short(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
