"""Assets that one caller may read and change: their own, or all assets for an administrator.

An asset of another owner is reported as missing, so that callers cannot detect it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import EllipsisType

from worker.domain.asset import (
    AssetRecord,
    Page,
    Similar,
    Status,
    is_tombstone,
)
from worker.domain.errors import Conflict, NotAllowed
from worker.ports import Catalog, Queue
from worker.services import find_assets
from worker.services.breaker import Breaker, OptionalWork
from worker.services.erase import Eraser, missing
from worker.services.find_assets import AssetFilter
from worker.services.remake import announce, settled

_EMPTY_PAGES = 10
"""Pages of only deleted assets that one call skips; then the caller must ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The caller of the API."""

    owner: str
    """The owner whose assets belong to the caller."""
    admin: bool = False
    """Whether the caller may read and change the assets of all owners."""
    reviewer: str = ""
    """Identity of the person in decisions: several people may share an owner."""
    judges_all: bool = False
    """Whether the caller may decide the reviews of all owners."""

    def owns(self, record: AssetRecord) -> bool:
        """Whether the caller may read and change an asset. Assets without an owner belong to
        administrators."""
        return self.admin or (record.owner != "" and record.owner == self.owner)

    def judges(self, owner: str) -> bool:
        """Whether the caller may decide the reviews of an owner's assets."""
        return self.admin or self.judges_all or (owner != "" and owner == self.owner)

    def require_owner(self, owner: str | None) -> str | None:
        """The owner to filter by: the caller's own, unless an administrator names another or none.

        Raises:
            NotAllowed: the owner is not the caller's.
        """
        if self.admin:
            return owner
        if owner not in (None, self.owner):
            raise NotAllowed("only an administrator may ask for what is somebody else's")
        return self.owner


def require_owned(catalog: Catalog, caller: Caller, asset: str) -> AssetRecord:
    """An asset of the caller.

    Raises:
        AssetMissing: there is none of the caller's; ``asset_erased`` if it was deleted.
    """
    record = catalog.get(asset)
    if record is None or not caller.owns(record):
        raise missing(asset, None)
    if is_tombstone(record):
        raise missing(asset, record)
    return record


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedAssets:
    """The use cases.

    Args:
        bucket: the intake bucket, whose keys filters match.
        queue_url: URL of the queue that the ingest function reads.
        restart: restarts the jobs that an asset waits for.
    """

    catalog: Catalog
    eraser: Eraser
    bucket: str
    queue: Queue
    queue_url: str
    restart: Callable[[AssetRecord], object]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    breaker: Breaker = field(default_factory=Breaker)

    def show(self, caller: Caller, asset: str) -> AssetRecord:
        """One asset. Raises ``AssetMissing``."""
        return require_owned(self.catalog, caller, asset)

    def find(self, caller: Caller, wanted: AssetFilter, *, limit: int, cursor: str | None) -> Page:
        """One page of the caller's assets, newest first.

        Raises:
            NotAllowed: the filter names another owner.
            InputError: ``input_cursor``: not a cursor of this list.
        """
        wanted = replace(wanted, owner=caller.require_owner(wanted.owner))
        for _ in range(_EMPTY_PAGES):
            page = find_assets.find(
                self.catalog, wanted, bucket=self.bucket, limit=limit, cursor=cursor
            )
            shown = tuple(one for one in page.records if caller.owns(one) and self._is_shown(one))
            cursor = page.cursor
            if shown or cursor is None:
                break
        return replace(page, records=shown)

    def similar(self, caller: Caller, asset: str, limit: int) -> list[Similar]:
        """The caller's assets that look most like one of them. Raises ``AssetMissing``."""
        require_owned(self.catalog, caller, asset)
        found = find_assets.similar(self.catalog, asset, find_assets.MOST_LOOKED_AT)
        return [one for one in found if caller.owns(one.record)][:limit]

    def change(
        self,
        caller: Caller,
        asset: str,
        *,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        attributes: Mapping[str, str | None] | None = None,
        focal_point: tuple[float, float] | EllipsisType | None = ...,
        revision: int | None = None,
    ) -> AssetRecord:
        """Change the tags, attributes and focal point of an asset. A new focal point makes cropped
        renditions again.

        Args:
            attributes: new values by name; None removes one.
            focal_point: fractions of upright width and height; None removes it, ``...`` keeps it.
            revision: expected revision of the asset.

        Raises:
            AssetMissing: the caller has no such asset.
            Conflict: ``revision`` is not the current one.
            InputError: a tag or attribute is too long, or there are too many.
        """
        known = require_owned(self.catalog, caller, asset)
        given = attributes or {}
        point = focal_point
        if isinstance(point, tuple):  # each point makes a new recipe: some thousands are enough
            point = (round(point[0], 2), round(point[1], 2))
        moved = not isinstance(point, EllipsisType) and point != known.focal_point
        if moved:
            self._require_makeable(known)
            self.breaker.require(OptionalWork.REMAKE)
        changed = self.catalog.update(
            asset,
            add_tags=add_tags,
            remove_tags=remove_tags,
            set_attributes={name: text for name, text in given.items() if text is not None},
            remove_attributes=[name for name, text in given.items() if text is None],
            focal_point=point,
            revision=revision,
        )
        if moved:
            announce(self.queue, self.queue_url, changed, sender="safelight:api")
        return changed

    def reprocess(self, caller: Caller, asset: str) -> AssetRecord:
        """Make all files again by the current recipe, or restart the failed jobs.

        The old files are served until the new files exist.

        Raises:
            AssetMissing: the caller has no such asset.
            Conflict: ``asset_unmade``: the asset cannot be made again.
            Paused: the daily limit of cost is spent.
        """
        record = require_owned(self.catalog, caller, asset)
        if record.status is Status.PROCESSING:
            self.restart(record)
            return record
        self._require_makeable(record)
        self.breaker.require(OptionalWork.REMAKE)
        changed = self.catalog.update(asset, again=True)
        announce(self.queue, self.queue_url, changed, sender="safelight:api")
        return changed

    def delete(self, caller: Caller, asset: str) -> None:
        """Remove an asset with everything that belongs to it. Its id is never reused.

        Raises:
            AssetMissing: the caller has no such asset.
            TransientError: ``jobs_end``: jobs have not ended yet; the same call completes it.
        """
        require_owned(self.catalog, caller, asset)
        self.eraser.erase(asset)

    def _require_makeable(self, record: AssetRecord) -> None:
        """Raise Conflict unless ingest can make the asset again from its original."""
        if said := settled(record, self.catalog.jobs(record.asset)):
            raise Conflict(f"asset {record.asset}: {said}", code="asset_unmade")

    def _is_shown(self, record: AssetRecord) -> bool:
        """False for tombstones and for expired uploads."""
        upload = record.upload
        gone = (
            record.status is Status.WAITING
            and upload is not None
            and datetime.fromisoformat(upload.expires_at) <= self.now()
        )
        return not (gone or is_tombstone(record))

    def _time(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
