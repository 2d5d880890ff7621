"""Signs requests of clients that use the S3 protocol, as Uppy 6 does (``signRequest``).

Such a client normally sends the requests that begin, list and complete an upload to the store. Here
the API makes these requests itself, and returns the store's response as a ``data:`` URL. So the
client sends only bytes to the store, with the same signed requests as every other client.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from urllib.parse import quote

from worker.domain.asset import UploadMethod
from worker.domain.errors import ParameterError, Problem
from worker.entrypoints.api import models
from worker.services.owned_assets import Caller
from worker.services.upload import UploadRequest, Uploads


def signed(
    uploads: Uploads, caller: Caller, request: models.S3Request, wanted: UploadRequest | None
) -> models.SignedS3Request:
    """Sign a request, which the client sends unchanged.

    Args:
        wanted: the upload that a first request begins.

    Raises:
        ParameterError: the request is not part of an upload.
        AssetMissing, UploadError, NotAllowed: as the API calls that carry it out.
    """
    asset = str(request.uploadId) if request.uploadId else ""
    match request.method, bool(asset), request.partNumber:
        case "PUT" | "POST", False, None if wanted is not None:
            try:
                state = uploads.begin(caller, wanted)
            except ParameterError as error:
                of_file = (replace(one, path=f"file.{one.path}") for one in error.problems)
                raise ParameterError(error.subject, tuple(of_file)) from None
            begun = state.record.asset
            if state.ticket is None:
                return _answer("InitiateMultipartUploadResult", {"UploadId": begun}, key=begun)
            ticket = state.ticket
            return models.SignedS3Request(
                url=ticket.url,
                key=begun,
                headers=dict(ticket.headers) or None,
                fields=dict(ticket.fields) or None,
            )
        case "PUT", True, int() as number:
            ticket = uploads.parts(caller, asset, [number]).tickets[number]
            return models.SignedS3Request(url=ticket.url, key=asset)
        case "GET", True, None:
            parts = "".join(
                _xml("Part", {"PartNumber": str(one.number), "ETag": one.etag})
                for one in uploads.show(caller, asset).parts
            )
            return _answer("ListPartsResult", parts, key=asset)
        case "POST", True, None:
            key = uploads.complete(caller, asset).record.source.key
            return _answer(
                "CompleteMultipartUploadResult", {"Location": key, "Key": asset}, key=asset
            )
        case "DELETE", True, None:
            uploads.abort(caller, asset)
            return _answer("AbortMultipartUploadResult", "", key=asset)
    said = (
        "PUT or POST with `file`; then, with `uploadId`, PUT with `partNumber`, GET, POST, DELETE"
    )
    raise ParameterError("request", (Problem("method", f"is not of an upload: {said}"),))


def method_of(request: models.S3Request) -> UploadMethod:
    """The upload method for a first request. A form sends a small file whole."""
    return UploadMethod.MULTIPART if request.method == "POST" else UploadMethod.POST


def _xml(name: str, inner: dict[str, str] | str) -> str:
    if isinstance(inner, dict):
        inner = "".join(_xml(each, escape(text)) for each, text in inner.items())
    return f"<{name}>{inner}</{name}>"


def _answer(name: str, inner: dict[str, str] | str, *, key: str) -> models.SignedS3Request:
    return models.SignedS3Request(
        url=f"data:application/xml,{quote(_xml(name, inner), safe='')}", key=key
    )
