"""Responds to the distribution for keys that the delivery bucket does not have.

The edge chooses a key without knowing an asset's files: a format may have been dropped because it
was no smaller, and no recipe may make that width. So the distribution fails over to this service
(S3 returns 403 or 404), which gives the nearest file. docs/delivery.md has the order. Nothing is
decoded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from worker.domain.asset import SERVED, AssetRecord, Status
from worker.domain.delivery import FALLBACK, PictureKey, read_picture_key, url_path, whole_cut
from worker.domain.errors import ObjectMissing, SafelightError
from worker.domain.image import Format, StoredRendition
from worker.domain.keys import CACHE_TAG, TAG_HEADER, cache_metadata
from worker.ports import Catalog, ObjectStore
from worker.services.hot_files import CacheOutcome, HotFiles

MOST_BYTES = 4_000_000
"""Of a file in a response. Lambda limits responses to 6 MB, and bytes are base64."""
SUBSTITUTE_SECONDS = 86_400
"""A replacement of a missing file is cached for a day, because a better file may be made."""
ERROR_SECONDS = 10
"""A missing asset may exist a moment later."""
CACHE_HEADER = "Cache-Status"
"""What the cache of hot files had for this answer (RFC 9211)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginAnswer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


class Deliver:
    """The use case."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        catalog: Catalog,
        bucket: str,
        files: HotFiles | None = None,
    ) -> None:
        """Respond for missing keys of the delivery bucket ``bucket``.

        Args:
            store: has the files.
            catalog: is asked for each request: it decides who may see what.
            bucket: of the files.
            files: reads them; None: from the store, without a cache.
        """
        self._catalog = catalog
        self._files = files or HotFiles(store=store, bucket=bucket)

    def answer(self, key: str) -> OriginAnswer:
        """The response for a key that the bucket does not have.

        Raises:
            TransientError: store or catalog do not respond; nothing may be cached then.
        """
        wanted = read_picture_key(key)
        if wanted is None:
            return error(404, "there is no such file")
        record = self._catalog.get(wanted.asset)
        refused = _refusal(record)
        if refused is not None:
            return refused
        assert record is not None
        if record.version != wanted.version:
            # Files of a replaced version expire. Pages that still name it get the new version.
            name = key.split("/", 3)[3]
            return _elsewhere(f"/{wanted.asset}/{record.version}/{name}")
        found = substitute(record.renditions, wanted)
        if found is None:
            return error(404, "there is no such file")
        if found.bytes > MOST_BYTES:
            return _elsewhere(url_path(found.key))
        try:
            file = self._files.get(found)
        except ObjectMissing:  # it has expired, or was erased since the record was read
            return error(404, "this file no longer exists")
        return OriginAnswer(
            status=200,
            headers={
                "Content-Type": found.format.media_type,
                "Cache-Control": f"public, max-age={SUBSTITUTE_SECONDS}",
                "ETag": f'"{file.etag}"',
                TAG_HEADER: cache_metadata(key)[CACHE_TAG],
                CACHE_HEADER: cache_status(file.outcome),
            },
            body=file.data,
        )


def substitute(renditions: Sequence[StoredRendition], wanted: PictureKey) -> StoredRendition | None:
    """The stored file that is nearest to the requested one; None if there is none of that name.

    The format is the requested one, else WebP in place of JPEG XL or AVIF, else the common one,
    which every client accepts. For a width it is the narrowest whole picture that is at least as
    wide, else the widest; nothing is enlarged.
    """
    if wanted.name:
        sizes = [one for one in renditions if one.name == wanted.name]
    else:
        sizes = whole_cut(renditions)
    if not sizes:
        return None
    for chosen in _formats(wanted.format, common=sizes[0].format):
        mine = sorted((one for one in sizes if one.format is chosen), key=lambda one: one.width)
        if mine:
            return next((one for one in mine if one.width >= wanted.width), mine[-1])
    return sizes[0]


def _formats(wanted: Format, *, common: Format) -> Sequence[Format]:
    newer = wanted in (Format.JXL, Format.AVIF)
    return (wanted, *([FALLBACK] if newer else []), common)


def cache_status(outcome: CacheOutcome) -> str:
    """The value of ``Cache-Status``: ``safelight; hit``, or why the store was read."""
    kept = outcome in (CacheOutcome.HIT, CacheOutcome.STALE)
    detail = "; detail=stale" if outcome is CacheOutcome.STALE else ""
    return f"safelight; hit{detail}" if kept else f"safelight; fwd={outcome}"


def _refusal(record: AssetRecord | None) -> OriginAnswer | None:
    if record is None or record.status is Status.REJECTED:
        return error(404, "there is no such asset")
    if record.status is Status.DELETED:
        return error(410, "this asset was deleted")
    if record.status is Status.REVIEW:
        return error(403, "this asset waits for review by a person")
    if record.status not in SERVED:
        return error(404, "nothing has been made of this asset yet")
    return None


def error(status: int, said: str) -> OriginAnswer:
    """An error response that is cached for seconds."""
    return OriginAnswer(
        status=status,
        headers={
            "Content-Type": "text/plain",
            "Cache-Control": f"public, max-age={ERROR_SECONDS}",
        },
        body=f"{said}\n".encode(),
    )


def unavailable(failure: SafelightError) -> OriginAnswer:
    """A response that is not cached, because the failure may pass soon."""
    answer = error(503, failure.code)
    return replace(answer, headers={**answer.headers, "Cache-Control": "no-store"})


def _elsewhere(path: str) -> OriginAnswer:
    return OriginAnswer(status=302, headers={"Location": path, "Cache-Control": "no-store"})
