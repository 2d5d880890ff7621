"""Answers requests of the distribution for keys that the delivery bucket does not have.

The edge chooses a key without knowing an asset's files. So the distribution fails over to this
service (S3 returns 403 or 404). A file that the version's recipe allows is made now
(``first_view``); for any other file the nearest one is returned. docs/delivery.md has the order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from worker.domain import metrics, trace
from worker.domain.asset import PUBLIC, AssetRecord, Status
from worker.domain.delivery import (
    PictureKey,
    formats_for,
    read_key,
    read_picture_key,
    url_path,
    whole_cut,
)
from worker.domain.errors import AccessDenied, AssetMissing, ObjectMissing, SafelightError
from worker.domain.image import StoredRendition
from worker.domain.keys import (
    CACHE_TAG,
    IMMUTABLE,
    TAG_HEADER,
    blurred_key,
    cache_metadata,
    version_prefix,
)
from worker.domain.trace import Span
from worker.imaging.plan import AllowedFile
from worker.ports import Catalog, ObjectStore, StoredObject
from worker.services.first_view import FirstView
from worker.services.hot_files import CacheOutcome, HotFiles

MOST_BYTES = 4_000_000
"""Most bytes of a file in a response. Lambda limits responses to 6 MB, and bytes are base64."""
SUBSTITUTE_SECONDS = 86_400
"""A replacement of a missing file is cached for a day, because a better file may be made."""
ERROR_SECONDS = 10
"""A missing asset may exist a moment later, and so may a file that is being made."""
CACHE_HEADER = "Cache-Status"
"""Response header with the state of the cache of hot files (RFC 9211)."""
RETRY_SECONDS = 2
"""When to ask again for a file that is being made and has no replacement."""

TRACED_DAYS = 13
"""Days after the upload beyond which deliveries get no span in its trace."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginAnswer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision about a request for a missing key."""

    record: AssetRecord
    wanted: PictureKey
    key: str
    """The requested key, which is missing."""
    file: AllowedFile | None
    """The recipe's file for the key; None if unknown."""
    wider: bool
    """Whether the URL names a width above that of the widest file."""

    @property
    def target(self) -> str:
        """The key of ``file``; empty without a file."""
        return "" if self.file is None else version_prefix(self.record) + self.file.name

    @property
    def recorded(self) -> StoredRendition | None:
        """``file``, if it was made at upload."""
        return next((one for one in self.record.renditions if one.key == self.target), None)

    @property
    def said(self) -> str:
        """The decision in words."""
        file, recorded = self.file, self.recorded
        if file is None:
            nearest = substitute(self.record.renditions, self.wanted)
            assert nearest is not None  # ``decide`` looked
            return f"{nearest.name}.{nearest.format.extension}, the nearest file"
        if recorded is not None and self.target != self.key:
            return f"{file.name}, {recorded.bytes:,} bytes"
        source = "the original"
        if file.source is not None:
            source = f"{file.source.name}.{file.source.format.extension}"
        return f"{file.name}, made at first view from {source}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The body of a response."""

    data: bytes = field(repr=False)
    etag: str
    media_type: str
    outcome: CacheOutcome = CacheOutcome.BYPASS

    @staticmethod
    def of(read: tuple[bytes, StoredObject]) -> Content:
        """Bytes that were read from the store or just written to it."""
        data, there = read
        return Content(data=data, etag=there.etag, media_type=there.content_type)


class Deliver:
    """The use case."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        catalog: Catalog,
        bucket: str,
        first_view: FirstView,
        files: HotFiles | None = None,
    ) -> None:
        """Answer requests for missing keys of the delivery bucket ``bucket``.

        Args:
            store: stores the files.
            catalog: is read for each request and decides about access.
            bucket: of the files.
            first_view: makes files.
            files: reads those of the record; None: from the store, without a cache.
        """
        self._store, self._catalog, self._bucket = store, catalog, bucket
        self._first_view = first_view
        self._files = files or HotFiles(store=store, bucket=bucket)

    def answer(self, key: str) -> OriginAnswer:
        """The response for a key that the bucket does not have.

        Raises:
            TransientError: store or catalog do not respond; nothing may be cached then.
        """
        status = 503
        try:
            with (
                metrics.timed(metrics.STAGE_SECONDS, stage="deliver"),
                trace.span("deliver", kind="server") as span,
            ):
                answer = self._answer(key, span)
                span.set(status=answer.status, bytes=len(answer.body))
            status = answer.status
        finally:
            metrics.add(metrics.ORIGIN_ANSWERS, status=str(status))
        return answer

    def _answer(self, key: str, span: Span) -> OriginAnswer:
        found = self.decide(key)
        if isinstance(found, OriginAnswer):
            return found
        span.join(found.record.source.trace)
        span.set(asset=found.record.asset)
        try:
            answer = self._give(found)
        except AssetMissing:  # erased, replaced or held meanwhile: decide again
            again = self.decide(key)
            answer = again if isinstance(again, OriginAnswer) else self._nearest(again)
        # With the widest file as its body: browsers show it, and other programs see that there is
        # no such width.
        return replace(answer, status=404) if found.wider and answer.status == 200 else answer

    def decide(self, key: str) -> Decision | OriginAnswer:
        """The decision about a request, or the response if there is no file. Makes no file.

        Raises:
            TransientError: store or catalog do not respond.
        """
        named, wanted = read_key(key), read_picture_key(key)
        if named is None:
            return error(404, "there is no such file")
        asset, version, name = named
        record = self._catalog.get(asset)
        refused = _refusal(record)
        if refused is not None:
            return self._blurred(record, key) or refused
        assert record is not None
        if record.version != version:
            # Files of a replaced version expire. Pages with the old URL get the new version.
            # Segments of a video are excluded, because those of another version do not match its
            # playlists.
            if wanted is not None or _records(record, name):
                return _elsewhere(f"/{asset}/{record.version}/{name}")
            return error(404, "this file no longer exists")
        if wanted is None:
            return error(404, "there is no such file")
        file = self._first_view.find(record, wanted)
        if file is None and substitute(record.renditions, wanted) is None:
            return error(404, "there is no such file")
        widest = file.widest if file is not None else _widest(record.renditions)
        return Decision(
            record=record,
            wanted=wanted,
            key=key,
            file=file,
            wider=bool(wanted.width) and not wanted.auto and wanted.below >= widest,
        )

    def _blurred(self, record: AssetRecord | None, key: str) -> OriginAnswer | None:
        """The blurred picture that is served during a review; None if there is none."""
        if record is None or not record.blurred or not key.startswith(version_prefix(record)):
            return None
        if read_picture_key(key) is None and all(one.key != key for one in record.renditions):
            return None  # a file of a video
        try:
            content = Content.of(self._store.get(self._bucket, blurred_key(record)))
        except ObjectMissing:  # decided a moment ago
            return None
        return _content(content, blurred_key(record), _brief())

    # --- bytes ------------------------------------------------------------------------------

    def _give(self, found: Decision) -> OriginAnswer:
        """The requested file, or the nearest one.

        Raises:
            AssetMissing: the asset is not served any more.
        """
        if found.file is None or not self._first_view.can_make(found.record, found.file):
            return self._nearest(found, SUBSTITUTE_SECONDS)
        recorded, exact = found.recorded, found.target == found.key
        if recorded is not None and recorded.bytes > MOST_BYTES and not exact:
            return _elsewhere(url_path(found.target))
        try:
            content = self._read_or_make(found, found.file)
        except AssetMissing:
            raise
        except SafelightError as failure:
            _log.warning("%s was not made: %s: %s", found.target, failure.code, failure.message)
            answer = self._nearest(found)
            if answer.status == 404 and (failure.retryable or isinstance(failure, AccessDenied)):
                return unavailable(failure)
            return answer
        if len(content.data) > MOST_BYTES:
            return _elsewhere(url_path(found.target))
        lasting = IMMUTABLE if exact else f"public, max-age={SUBSTITUTE_SECONDS}"
        return _answer(found, content, lasting)

    def _read_or_make(self, found: Decision, file: AllowedFile) -> Content:
        with suppress(ObjectMissing):
            if found.recorded is not None:
                # Also try the key that the edge did not get: the file was closed then, and may be
                # open now.
                return self._read(found.recorded)
            if found.target != found.key:
                return Content.of(self._store.get(self._bucket, found.target))
        record = found.record
        waits_for_viewer(record.updated_at, record.source.trace)
        return Content.of(self._first_view.make(record, file))

    def _read(self, rendition: StoredRendition) -> Content:
        file = self._files.get(rendition)
        media_type = rendition.format.media_type
        return Content(data=file.data, etag=file.etag, media_type=media_type, outcome=file.outcome)

    def _nearest(self, found: Decision, seconds: int = ERROR_SECONDS) -> OriginAnswer:
        """The nearest file that is in the record and in the bucket."""
        left = list(found.record.renditions)
        while (one := substitute(left, found.wanted)) is not None:
            if one.bytes > MOST_BYTES and one.key != found.key:
                return _elsewhere(url_path(one.key))
            try:
                content = self._read(one)
            except ObjectMissing:  # it has expired, or was erased since the record was read
                left.remove(one)
                continue
            return _answer(found, content, f"public, max-age={seconds}")
        return error(404, "this file does not exist, and cannot be made")


def waits_for_viewer(made: str, traceparent: str) -> None:
    """Write a span for the wait between making a file and its first request.

    Args:
        made: when, ISO 8601 UTC.
        traceparent: of the upload.
    """
    start = trace.moment(made)
    # X-Ray rejects older spans.
    if time.time_ns() - start < TRACED_DAYS * 86_400 * 1_000_000_000:
        trace.finished("wait viewer", start=start, parent=traceparent)


def _answer(found: Decision, content: Content, lasting: str) -> OriginAnswer:
    return _content(content, found.key, _brief() if found.wider else lasting)


def _content(content: Content, key: str, lasting: str) -> OriginAnswer:
    return OriginAnswer(
        status=200,
        headers={
            "Content-Type": content.media_type,
            "Cache-Control": lasting,
            "ETag": f'"{content.etag}"',
            TAG_HEADER: cache_metadata(key)[CACHE_TAG],
            CACHE_HEADER: cache_status(content.outcome),
        },
        body=content.data,
    )


def substitute(renditions: Sequence[StoredRendition], wanted: PictureKey) -> StoredRendition | None:
    """The recorded file that is nearest to the requested file; None if no file has that name.

    The format is the requested format, else WebP in place of JPEG XL or AVIF, else the common
    format, which every client accepts. For a width it is the narrowest whole picture that is at
    least as wide, else the widest; nothing is enlarged.
    """
    if wanted.name:
        sizes = [one for one in renditions if one.name == wanted.name]
    else:
        sizes = whole_cut(renditions)
    if not sizes:
        return None
    for chosen in formats_for(wanted.format, common=sizes[0].format):
        mine = sorted((one for one in sizes if one.format is chosen), key=lambda one: one.width)
        if mine:
            return next((one for one in mine if one.width >= wanted.width), mine[-1])
    return sizes[0]


def _widest(renditions: Sequence[StoredRendition]) -> int:
    return max((one.width for one in whole_cut(renditions)), default=0)


def cache_status(outcome: CacheOutcome) -> str:
    """The value of ``Cache-Status``: ``safelight; hit``, or why the store was read."""
    kept = outcome in (CacheOutcome.HIT, CacheOutcome.STALE)
    detail = "; detail=stale" if outcome is CacheOutcome.STALE else ""
    return f"safelight; hit{detail}" if kept else f"safelight; fwd={outcome}"


def _records(record: AssetRecord, name: str) -> bool:
    """Whether the record of an asset names a file of its version."""
    key = version_prefix(record) + name
    return key in {one.key for one in record.media} | {one.key for one in record.renditions}


def _refusal(record: AssetRecord | None) -> OriginAnswer | None:
    if record is None or record.status is Status.REJECTED:
        return error(404, "there is no such asset")
    if record.status is Status.DELETED:
        return error(410, "this asset was deleted")
    if record.status is Status.REVIEW:
        return error(403, "this asset waits for review by a person")
    if record.status not in PUBLIC:
        return error(404, "nothing has been made of this asset yet")
    return None


def error(status: int, said: str) -> OriginAnswer:
    """An error response that is cached for seconds."""
    return OriginAnswer(
        status=status,
        headers={"Content-Type": "text/plain", "Cache-Control": _brief()},
        body=f"{said}\n".encode(),
    )


def unavailable(failure: SafelightError) -> OriginAnswer:
    """A response that is not cached, because the failure may pass soon."""
    answer = error(503, failure.code)
    headers = {"Cache-Control": "no-store", "Retry-After": str(RETRY_SECONDS)}
    return replace(answer, headers={**answer.headers, **headers})


def _brief() -> str:
    return f"public, max-age={ERROR_SECONDS}"


def _elsewhere(path: str) -> OriginAnswer:
    return OriginAnswer(status=302, headers={"Location": path, "Cache-Control": "no-store"})
