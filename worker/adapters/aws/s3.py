"""ObjectStore on S3. One request for each call, except a copy with new metadata (two).

The role needs ``s3:ListBucket`` on buckets that are read: without it S3 answers 403 instead of
404 for a missing object, which would be ``AccessDenied`` instead of ``ObjectMissing``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from botocore.exceptions import ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code
from worker.adapters.aws.object_rules import (
    decode_metadata,
    encode_metadata,
    encoded_key,
    readable_key,
    writable_key,
)
from worker.adapters.timestamps import utc_text
from worker.domain.errors import ObjectChanged, ObjectMissing, Unreachable
from worker.ports import StoredObject

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

COPY_BYTES = 5 * 1024**3
"""Largest object that one CopyObject copies; larger ones are copied in parts."""
PART_BYTES = 1024**3
"""Of such a copy."""

_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
"""What S3 answers to a put on condition that there is nothing, when there is or soon will be."""
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
        part_bytes: int = PART_BYTES,
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
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version_id:
            asked["VersionId"] = version_id
        if etag:
            asked["IfMatch"] = f'"{etag}"'
        if first is not None:
            asked["Range"] = f"bytes=0-{max(first, 1) - 1}"
        with aws_call(f"get s3://{bucket}/{key}"):
            try:
                answer = self._clients.s3.get_object(**asked)
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
        once: bool = False,
    ) -> str:
        """See ``ObjectStore.put``."""
        writable_key(key)
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key, "Body": data}
        asked["ContentType"] = content_type
        if cache_control:
            asked["CacheControl"] = cache_control
        if metadata:
            asked["Metadata"] = encode_metadata(metadata)
        if once:
            asked["IfNoneMatch"] = "*"
        with aws_call(f"put s3://{bucket}/{key}"):
            try:
                return _bare(self._clients.s3.put_object(**asked)["ETag"])
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
    ) -> None:
        """See ``ObjectStore.copy``. Content type and cache control stay in any case."""
        readable_key(*source)
        writable_key(target[1])
        place: CopySourceTypeDef = {"Bucket": source[0], "Key": source[1]}
        if version_id:
            place["VersionId"] = version_id
        asked: dict[str, Any] = {"Bucket": target[0], "Key": target[1]}
        # A tag may be why the source expires; and whoever copies one needs further rights.
        asked["TaggingDirective"] = "REPLACE"
        size = 0
        if metadata is not None:
            # Replacing the metadata replaces these headers too, so they must be known.
            found = self._head(*source, version_id)
            size = found["ContentLength"]
            asked |= {"Metadata": encode_metadata(metadata), "ContentType": found["ContentType"]}
            if found.get("CacheControl"):
                asked["CacheControl"] = found["CacheControl"]
        with aws_call(f"copy s3://{'/'.join(source)} to s3://{'/'.join(target)}"):
            if size > self._copy_bytes:
                del asked["TaggingDirective"]  # parts have no tags
                self._copy_parts(place, asked, size)
            elif metadata is None:
                self._clients.s3.copy_object(CopySource=place, **asked)
            else:
                self._clients.s3.copy_object(CopySource=place, MetadataDirective="REPLACE", **asked)

    def renew(self, bucket: str, key: str, *, tags: Mapping[str, str]) -> None:
        """See ``ObjectStore.renew``: a copy onto itself, which S3 asks to replace something."""
        if encoded_key(key) is None:
            return
        try:
            found = self._head(bucket, key, None)
        except ObjectMissing:
            return
        place: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key, "Tagging": urlencode(tags)}
        asked |= {"Metadata": found.get("Metadata", {}), "ContentType": found["ContentType"]}
        if found.get("CacheControl"):
            asked["CacheControl"] = found["CacheControl"]
        try:
            with aws_call(f"renew s3://{bucket}/{key}"):
                if found["ContentLength"] > self._copy_bytes:
                    self._copy_parts(place, asked, found["ContentLength"])
                else:
                    self._clients.s3.copy_object(
                        CopySource=place,
                        MetadataDirective="REPLACE",
                        TaggingDirective="REPLACE",
                        **asked,
                    )
        except ObjectMissing:
            return

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """See ``ObjectStore.delete``. Without a version a versioned bucket keeps the old ones."""
        if encoded_key(key) is None:
            return
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version_id:
            asked["VersionId"] = version_id
        if etag is not None:
            asked["IfMatch"] = f'"{etag}"'
        # Only a condition can fail: without one S3 deletes what is not there as well.
        refused = (ObjectMissing, ObjectChanged) if etag is not None else ()
        with suppress(*refused), aws_call(f"delete s3://{bucket}/{key}"):
            self._clients.s3.delete_object(**asked)

    def all_versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        """See the port. A bucket without versions calls its only one ``null``."""
        if prefix and encoded_key(prefix) is None:
            return
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        asked["PaginationConfig"] = {"PageSize": self._page}
        with aws_call(f"list versions of s3://{bucket}/{prefix}"):
            pages = iter(self._clients.s3.get_paginator("list_object_versions").paginate(**asked))
        while True:
            with aws_call(f"list versions of s3://{bucket}/{prefix}"):
                page = next(pages, None)
            if page is None:
                return
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                yield item["Key"], item["VersionId"]

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """See ``ObjectStore.list``. Metadata and content type are not listed."""
        if prefix and encoded_key(prefix) is None:
            return
        asked: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        asked["PaginationConfig"] = {"PageSize": self._page}
        if after:
            asked["StartAfter"] = after
        with aws_call(f"list s3://{bucket}/{prefix}"):
            pages = iter(self._clients.s3.get_paginator("list_objects_v2").paginate(**asked))
        while True:
            with aws_call(f"list s3://{bucket}/{prefix}"):
                page = next(pages, None)
            if page is None:
                return
            for item in page.get("Contents", ()):
                yield StoredObject(
                    key=item["Key"],
                    size=item["Size"],
                    etag=_bare(item["ETag"]),
                    modified=utc_text(item["LastModified"]),
                )

    def _copy_parts(self, place: CopySourceTypeDef, asked: Mapping[str, Any], size: int) -> None:
        """Copy what one request cannot: a gigabyte a part, one after the other."""
        s3 = self._clients.s3
        upload = s3.create_multipart_upload(**asked)["UploadId"]
        named = {"Bucket": asked["Bucket"], "Key": asked["Key"], "UploadId": upload}
        try:
            parts: list[CompletedPartTypeDef] = []
            for number, start in enumerate(range(0, size, self._part_bytes), start=1):
                done = s3.upload_part_copy(
                    **named,
                    PartNumber=number,
                    CopySource=place,
                    CopySourceRange=f"bytes={start}-{min(start + self._part_bytes, size) - 1}",
                )
                parts.append({"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]})
            s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        except BaseException:
            s3.abort_multipart_upload(**named)
            raise

    def _head(self, bucket: str, key: str, version_id: str | None) -> Mapping[str, Any]:
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if version_id:
            asked["VersionId"] = version_id
        with aws_call(f"head s3://{bucket}/{key}"):
            return self._clients.s3.head_object(**asked)


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
