"""Lists assets of the catalog: by status, owner or tag, and by key, page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.asset import AssetRecord, Page, Similar, Status, asset_id_of
from worker.domain.errors import AssetMissing
from worker.ports import Catalog

MOST_LOOKED_AT = 10_000
"""Most records that one search for a key pattern reads; its cursor continues the search."""
SEARCH_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFilter:
    """Filter of a list of assets; all given criteria must match."""

    status: str | None = None
    owner: str | None = None
    tag: str | None = None
    confidence: float | None = None
    """Least confidence of the label with that tag, 0 to 100."""
    key: str | None = None
    """A key in the intake bucket, in which ``*`` stands for any text."""
    since: str | None = None
    """Only those whose first record is not older, ISO 8601 UTC."""
    until: str | None = None
    """Only those whose first record is older."""

    def matches(self, record: AssetRecord) -> bool:
        """Whether a record matches, apart from its key."""
        return (
            self.status in (None, record.status.value)
            and self.owner in (None, record.owner)
            and (self.tag is None or self.tag in record.tags)
            and (self.confidence is None or self._sure(record, self.confidence))
            and (self.since is None or record.created_at >= self.since)
            and (self.until is None or record.created_at < self.until)
        )

    def _sure(self, record: AssetRecord, confidence: float) -> bool:
        return any(one.tag == self.tag and one.confidence >= confidence for one in record.labels)

    @property
    def by_list(self) -> bool:
        """Whether one list of the catalog has exactly the matching assets."""
        named = [one for one in (self.status, self.owner, self.tag) if one is not None]
        others = (self.confidence, self.key, self.since, self.until)
        return len(named) <= 1 and all(one is None for one in others)


def find(
    catalog: Catalog, wanted: AssetFilter, *, bucket: str, limit: int, cursor: str | None
) -> Page:
    """One page of assets, newest first.

    Args:
        bucket: the intake bucket, whose keys the filter names.
        cursor: of the page before.
    """
    key = wanted.key
    if wanted.by_list:
        return _pages(catalog, wanted)(limit, cursor)
    if key is None or "*" in key:
        return _search(_pages(catalog, wanted), wanted, limit, cursor)
    # The id follows from the key: one read, however many assets there are.
    record = catalog.get(asset_id_of(bucket, key))
    if record is None or record.source.key != key or not wanted.matches(record):
        return Page(records=())
    return Page(records=(record,))


def key_matches(key: str, pattern: str) -> bool:
    """Whether a key is one of a pattern, in which ``*`` stands for any text.

    Each text between two stars is searched once, after the previous match: the earliest match
    leaves the most room for the rest. A regular expression would backtrack, which takes minutes for
    a pattern of some twenty characters, and patterns are untrusted.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return key == pattern
    *between, last = rest
    if len(key) < len(first) + len(last) or not (key.startswith(first) and key.endswith(last)):
        return False
    at, end = len(first), len(key) - len(last)
    for text in between:
        found = key.find(text, at, end)
        if found < 0:
            return False
        at = found + len(text)
    return True


def similar(catalog: Catalog, asset: str, limit: int) -> list[Similar]:
    """The assets that look most like one.

    Raises:
        AssetMissing: there is no such asset.
    """
    record = catalog.get(asset)
    if record is None:
        raise AssetMissing(f"there is no asset {asset}")
    found = catalog.similar(record.metadata.measures.phash) if record.metadata else ()
    return [one for one in found if one.record.asset != asset][:limit]


def _pages(catalog: Catalog, wanted: AssetFilter) -> Callable[[int, str | None], Page]:
    """The list of the catalog to read, as a function of limit and cursor."""
    if (owner := wanted.owner) is not None:
        return lambda limit, cursor: catalog.by_owner(owner, limit=limit, cursor=cursor)
    if (tag := wanted.tag) is not None:
        return lambda limit, cursor: catalog.by_tag(tag, limit=limit, cursor=cursor)
    if wanted.status is not None:
        status = Status(wanted.status)
        return lambda limit, cursor: catalog.by_status(status, limit=limit, cursor=cursor)
    return lambda limit, cursor: catalog.list_assets(limit=limit, cursor=cursor)


def _search(
    pages: Callable[[int, str | None], Page], wanted: AssetFilter, limit: int, cursor: str | None
) -> Page:
    """Records that match all criteria. No index covers them, so the list itself is read."""
    pattern = wanted.key or "*"
    # These lists are sorted by the time of the first record, so all later items are older.
    ordered = wanted.owner is not None or wanted.tag is not None
    found: list[AssetRecord] = []
    for _ in range(MOST_LOOKED_AT // SEARCH_PAGE):
        page = pages(SEARCH_PAGE, cursor)
        for number, record in enumerate(page.records, start=1):
            if ordered and wanted.since is not None and record.created_at < wanted.since:
                return Page(records=tuple(found))
            if wanted.matches(record) and key_matches(record.source.key, pattern):
                found.append(record)
            if len(found) == limit:
                # A cursor points after the last record of a page: read the page again up to this
                # record.
                return Page(records=tuple(found), cursor=pages(number, cursor).cursor)
        cursor = page.cursor
        if cursor is None:
            break
    return Page(records=tuple(found), cursor=cursor)
