"""What the delivery network is given where the bucket has no object under the key it asked for.

The edge chooses a key without knowing what was made of an asset: a format may have been dropped
because it was no smaller, and nobody may have made that width. So the distribution fails over to
here (S3 answers 403 or 404), and the best file there is stands in for it. docs/delivery.md has the
order. Nothing is decoded here.
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

MOST_BYTES = 4_000_000
"""Of a file that is answered with. Lambda's answers are limited to 6 MB, and bytes are base64."""
SUBSTITUTE_SECONDS = 86_400
"""A file that stands in for another one is kept for a day: a better one may be made meanwhile."""
ERROR_SECONDS = 10
"""An asset that is missing now may be there in a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginAnswer:
    """An answer in the words of HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)


class Deliver:
    """The use case."""

    def __init__(self, *, store: ObjectStore, catalog: Catalog, bucket: str) -> None:
        """Answer for the delivery bucket ``bucket``."""
        self._store, self._catalog, self._bucket = store, catalog, bucket

    def answer(self, key: str) -> OriginAnswer:
        """What to send for a key that the bucket has nothing for.

        Raises:
            TransientError: store or catalog do not answer: nothing may be cached.
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
            # Files of a replaced version expire: pages that still name it show the new one.
            file = key.split("/", 3)[3]
            return _elsewhere(f"/{wanted.asset}/{record.version}/{file}")
        found = substitute(record.renditions, wanted)
        if found is None:
            return error(404, "there is no such file")
        if found.bytes > MOST_BYTES:
            return _elsewhere(url_path(found.key))
        try:
            data, there = self._store.get(self._bucket, found.key)
        except ObjectMissing:  # it has expired, or was erased since the record was read
            return error(404, "there is no such file any more")
        return OriginAnswer(
            status=200,
            headers={
                "Content-Type": found.format.media_type,
                "Cache-Control": f"public, max-age={SUBSTITUTE_SECONDS}",
                "ETag": f'"{there.etag}"',
                TAG_HEADER: cache_metadata(key)[CACHE_TAG],
            },
            body=data,
        )


def substitute(renditions: Sequence[StoredRendition], wanted: PictureKey) -> StoredRendition | None:
    """The stored file that is nearest to the one asked for; None if there is none of that name.

    The format that is wanted, else WebP for who takes JPEG XL or AVIF, else the common one, which
    everybody takes. Of a width: the narrowest whole picture that is at least as wide, else the
    widest; nothing is enlarged.
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


def _refusal(record: AssetRecord | None) -> OriginAnswer | None:
    if record is None or record.status is Status.REJECTED:
        return error(404, "there is no such asset")
    if record.status is Status.DELETED:
        return error(410, "this asset was deleted")
    if record.status is Status.REVIEW:
        return error(403, "this asset waits for a person")
    if record.status not in SERVED:
        return error(404, "nothing has been made of this asset yet")
    return None


def error(status: int, said: str) -> OriginAnswer:
    """An answer that is kept for seconds."""
    return OriginAnswer(
        status=status,
        headers={
            "Content-Type": "text/plain",
            "Cache-Control": f"public, max-age={ERROR_SECONDS}",
        },
        body=f"{said}\n".encode(),
    )


def unavailable(failure: SafelightError) -> OriginAnswer:
    """An answer that nobody keeps: what failed may work again in a moment."""
    answer = error(503, failure.code)
    return replace(answer, headers={**answer.headers, "Cache-Control": "no-store"})


def _elsewhere(path: str) -> OriginAnswer:
    return OriginAnswer(status=302, headers={"Location": path, "Cache-Control": "no-store"})
