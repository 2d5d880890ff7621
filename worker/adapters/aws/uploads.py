"""``ports.UploadStore`` on S3: presigned requests, and uploads in parts.

Tickets are signed with version 4 in every region. Left alone, botocore signs the old way in
us-east-1, and names the global host, which answers for other regions with a redirect that ends a
browser's preflight request. Each parameter becomes a signed header: the store refuses a request in
which the header is missing or different.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.edge_tickets import EdgeTickets
from worker.adapters.aws.errors import aws_call, error_code
from worker.adapters.aws.s3 import encode_metadata, writable_key
from worker.domain.asset import UploadRoute
from worker.domain.errors import ConfigurationError, ObjectMissing
from worker.ports import UploadedPart, UploadTicket

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_GONE = frozenset({"NoSuchUpload", "404"})
"""An unknown id: the upload was completed or aborted, or never begun."""
_META = "x-amz-meta-"
_CLASS = "x-amz-storage-class"


class S3UploadStore:
    """Uploads into S3 buckets."""

    def __init__(
        self, clients: AwsClients, *, edge: EdgeTickets | None = None, storage_class: str = ""
    ) -> None:
        """Sign and call with these clients.

        Args:
            edge: signs uploads through the distribution; None if this route is off.
            storage_class: S3's, of what is uploaded; empty for the bucket's own, which whole files
                through the distribution have: the edge forwards no further header.
        """
        self._clients, self._edge = clients, edge
        self._class = storage_class

    def form(
        self,
        bucket: str,
        key: str,
        *,
        size: int,
        media_type: str,
        metadata: Mapping[str, str],
        sha256: str,
        seconds: int,
        route: UploadRoute = UploadRoute.DIRECT,
    ) -> UploadTicket:
        """See ``UploadStore.form``. S3 refuses a form with any further field."""
        writable_key(key)
        fields = {"Content-Type": media_type, "success_action_status": "201"}
        fields |= {_META + name: text for name, text in encode_metadata(metadata).items()}
        if sha256:
            fields |= {
                "x-amz-checksum-algorithm": "SHA256",
                "x-amz-checksum-sha256": _base64(sha256),
            }
        if self._class:
            fields[_CLASS] = self._class
        conditions: list[Any] = [{name: text} for name, text in fields.items()]
        with aws_call(f"sign a form for s3://{bucket}/{key}"):
            made = self._presigner(route).generate_presigned_post(
                bucket,
                key,
                Fields=dict(fields),
                # botocore adds the key, and "starts-with" if it ends in ${filename}.
                Conditions=[["content-length-range", size, size], *conditions],
                ExpiresIn=seconds,
            )
        return UploadTicket(method="POST", url=made["url"], fields=made["fields"])

    def put(
        self,
        bucket: str,
        key: str,
        *,
        size: int,
        media_type: str,
        metadata: Mapping[str, str],
        sha256: str,
        seconds: int,
        route: UploadRoute = UploadRoute.DIRECT,
    ) -> UploadTicket:
        """See ``UploadStore.put``."""
        writable_key(key)
        encoded = encode_metadata(metadata)
        parameters: dict[str, Any] = {
            "Bucket": bucket,
            "Key": key,
            "ContentLength": size,
            "ContentType": media_type,
            "IfNoneMatch": "*",
        }
        headers = {"content-type": media_type, "if-none-match": "*"}
        if encoded:
            parameters["Metadata"] = encoded
            headers |= {_META + name: text for name, text in encoded.items()}
        if sha256:
            parameters["ChecksumSHA256"] = _base64(sha256)
            headers["x-amz-checksum-sha256"] = _base64(sha256)
        if route is UploadRoute.DISTRIBUTION:
            url = self._at_edge().sign(key, size=size, seconds=seconds, headers=headers)
        else:
            if self._class:
                parameters["StorageClass"] = headers[_CLASS] = self._class
            url = self._signed("put_object", parameters, seconds, route)
        return UploadTicket(method="PUT", url=url, headers=headers)

    def readable(self, bucket: str, key: str, *, seconds: int) -> str:
        """See ``UploadStore.readable``."""
        named = {"Bucket": bucket, "Key": key}
        return self._signed("get_object", named, seconds)

    def begin(self, bucket: str, key: str, *, media_type: str, metadata: Mapping[str, str]) -> str:
        """See ``UploadStore.begin``."""
        writable_key(key)
        more: dict[str, Any] = {"StorageClass": self._class} if self._class else {}
        with aws_call(f"begin the upload of s3://{bucket}/{key}"):
            return self._s3.create_multipart_upload(
                Bucket=bucket,
                Key=key,
                ContentType=media_type,
                Metadata=encode_metadata(metadata),
                **more,
            )["UploadId"]

    def parts(
        self,
        bucket: str,
        key: str,
        upload: str,
        sizes: Mapping[int, int],
        *,
        seconds: int,
        route: UploadRoute = UploadRoute.DIRECT,
    ) -> Mapping[int, UploadTicket]:
        """See ``UploadStore.parts``."""
        writable_key(key)
        if route is UploadRoute.DISTRIBUTION:
            sign = partial(self._at_edge().sign, key, seconds=seconds, headers={}, upload=upload)
            return {
                number: UploadTicket(method="PUT", url=sign(size=size, part=number))
                for number, size in sizes.items()
            }
        named = {"Bucket": bucket, "Key": key, "UploadId": upload}
        return {
            number: UploadTicket(
                method="PUT",
                url=self._signed(
                    "upload_part",
                    {**named, "PartNumber": number, "ContentLength": size},
                    seconds,
                    route,
                ),
            )
            for number, size in sizes.items()
        }

    def uploaded(self, bucket: str, key: str, upload: str) -> Sequence[UploadedPart]:
        """See ``UploadStore.uploaded``."""
        found: list[UploadedPart] = []
        with _existing(f"list the parts of s3://{bucket}/{key}"):
            pages = self._s3.get_paginator("list_parts").paginate(
                Bucket=bucket, Key=key, UploadId=upload
            )
            for page in pages:
                found += [
                    UploadedPart(number=one["PartNumber"], size=one["Size"], etag=one["ETag"])
                    for one in page.get("Parts", ())
                ]
        return sorted(found, key=lambda one: one.number)

    def complete(self, bucket: str, key: str, upload: str, parts: Sequence[UploadedPart]) -> None:
        """See ``UploadStore.complete``."""
        with _existing(f"complete the upload of s3://{bucket}/{key}"):
            self._s3.complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=upload,
                IfNoneMatch="*",
                MultipartUpload={
                    "Parts": [{"PartNumber": one.number, "ETag": one.etag} for one in parts]
                },
            )

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """See ``UploadStore.abort``."""
        try:
            with _existing(f"abort the upload of s3://{bucket}/{key}"):
                self._s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        except ObjectMissing:
            return

    @property
    def _s3(self) -> S3Client:
        return self._clients.s3

    def _at_edge(self) -> EdgeTickets:
        if self._edge is None:
            raise ConfigurationError("the route distribution is off: set SAFELIGHT_UPLOAD_KEY")
        return self._edge

    def _presigner(self, route: UploadRoute) -> S3Client:
        return self._clients.presigner(accelerated=route is UploadRoute.ACCELERATED)

    def _signed(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        seconds: int,
        route: UploadRoute = UploadRoute.DIRECT,
    ) -> str:
        with aws_call(f"sign {operation} of s3://{parameters['Bucket']}/{parameters['Key']}"):
            return self._presigner(route).generate_presigned_url(
                operation, Params=dict(parameters), ExpiresIn=seconds
            )


@contextmanager
def _existing(what: str) -> Iterator[None]:
    """Map what S3 answers about an upload in parts that is gone."""
    with aws_call(what):
        try:
            yield
        except ClientError as error:
            if error_code(error) in _GONE:
                raise ObjectMissing(f"{what}: there is no such upload") from error
            raise


def _base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
