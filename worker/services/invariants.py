"""Consistency check of a deployment: records, files, originals, lists, events and caches.

The guarantees of the pipeline as rules that are checked from outside while it works. The check
changes nothing. A working stack always has intermediate states, so most rules apply only to assets
that have not changed for a while; the rules of ``ALWAYS`` hold at every moment. A violation is
checked again and counts only if the record has not changed meanwhile.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby, islice, pairwise
from typing import TypeAlias

from worker.domain.asset import (
    CLOSED,
    PUBLIC,
    SERVED,
    SUPERSEDED,
    AssetRecord,
    Page,
    Status,
    asset_id_of,
    is_folder,
    is_tombstone,
)
from worker.domain.errors import ObjectMissing
from worker.domain.events import HELD, Event, type_of
from worker.domain.keys import (
    BLURRED,
    CACHE_TAG,
    asset_of,
    asset_prefix,
    cache_tag,
    quarantine_key,
    version_prefix,
)
from worker.ports import Catalog, ObjectStore, Queue, StoredObject
from worker.settings import Settings

THREADS = 8
"""Assets that are checked in parallel."""
_PAGE = 1_000
_LINES = 100
QUARANTINED = timedelta(days=1)
"""Age up to which a rejected original must be in quarantine; later the bucket's rule may have
removed it."""
_OPEN_JOBS = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"})
"""States of unfinished jobs."""


class Invariant(StrEnum):
    """Rules of the check."""

    STATE = "state"
    """Every upload is in a final state, or is still being processed."""
    LOST = "lost"
    """Every original in the intake bucket has a record of these bytes."""
    ORIGINAL = "original"
    """The original of an asset is where its record says: in the intake bucket if it was accepted,
    in quarantine if it was rejected, gone if it was deleted."""
    FILE = "file"
    """Every file of a record exists and has the recorded size."""
    ACCESS = "access"
    """Files are closed exactly while their asset is not public."""
    CACHE_TAG = "cache_tag"
    """Every file has the cache tag of its asset."""
    ORPHAN = "orphan"
    """Every file belongs to the current version of an asset, or expires."""
    TIMELINE = "timeline"
    """The timeline of an asset has the outcome that its record has."""
    LIST = "list"
    """The lists by status, owner, tag and content agree with the records."""
    EVENT = "event"
    """Every outcome of a record has an event, and no outcome has two different events."""
    SERVED = "served"
    """The distribution serves every public file and no closed file."""
    DEAD_LETTER = "dead_letter"
    """The dead-letter queues are empty."""


ALWAYS = frozenset({Invariant.FILE, Invariant.TIMELINE})
"""Rules that hold at every moment, except during an erasure: a record is written last and removed
last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A violation of a rule."""

    rule: Invariant
    subject: str
    """An asset's id, ``s3://bucket/key``, or the URL of a queue."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The checked assets and objects, and the violations."""

    statuses: Mapping[str, int]
    """Assets by status."""
    objects: int
    """Objects in the three buckets."""
    files: int
    """Files of served assets."""
    events: int | None
    """Number of distinct events; None without a log of events."""
    busy: int
    """Assets that were skipped because they changed recently."""
    violations: tuple[Violation, ...]

    @property
    def assets(self) -> int:
        """Number of assets."""
        return sum(self.statuses.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFile:
    """The answer of the distribution to a HEAD request."""

    status: int
    etag: str
    """Without quotes; empty if there is none."""


Look: TypeAlias = Callable[[str], ServedFile]
"""Requests a path, without its leading slash, from the distribution."""


@dataclass
class _Count:
    """Intermediate results of one check."""

    statuses: Counter[str] = field(default_factory=Counter)
    objects: int = 0
    files: int = 0
    busy: int = 0
    met: set[str] = field(default_factory=set)
    """Assets that have objects in the buckets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariants:
    """The use case.

    Args:
        dead_letters: URLs of queues.
        events: reads the sent events, oldest first; None without a log of events.
        look: None skips the distribution.
        running: whether a run of the record's workflow has not ended.
        quiet: assets that have changed within this time are checked only by the rules of
            ``ALWAYS``.
        rules: the rules to check.
    """

    catalog: Catalog
    store: ObjectStore
    settings: Settings
    queue: Queue | None = None
    dead_letters: tuple[str, ...] = ()
    events: Callable[[], Iterable[Event]] | None = None
    look: Look | None = None
    running: Callable[[AssetRecord], bool] = lambda _: False
    quiet: timedelta = timedelta(minutes=15)
    rules: frozenset[Invariant] = frozenset(Invariant)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def check(self, *, newest: int | None = None) -> CheckReport:
        """Check everything, or only a number of the newest assets without lists and buckets.

        Raises:
            TransientError: a store does not answer.
        """
        count, since = _Count(), self.now() - self.quiet
        told = None
        if self.events is not None and Invariant.EVENT in self.rules:
            told = _Told.of(self.events())
        records: dict[str, AssetRecord] = {}
        found: list[Violation] = []
        everything = newest is None
        listed = islice(_all(self.catalog.list_assets), newest)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool:
            while page := list(islice(listed, _PAGE)):
                for record, wrong in zip(
                    page, pool.map(lambda one: self.of(one, since, told, count), page), strict=True
                ):
                    found += wrong
                    count.statuses[record.status.value] += 1
                    records[record.asset] = record
        if everything:
            found += self._unknown_files(since, count)
            found += self._unknown_originals(since, count)
            found += self._quarantined(since, count)
            if Invariant.LIST in self.rules:
                found += self._lists(records, count.met, since)
            found += self._dead_letters()
        return CheckReport(
            statuses=dict(sorted(count.statuses.items())),
            objects=count.objects,
            files=count.files,
            events=None if told is None else told.count,
            busy=count.busy,
            violations=tuple(sorted(found, key=lambda one: (one.rule, one.subject, one.message))),
        )

    def one(self, asset: str) -> tuple[Violation, ...]:
        """Check one asset; an unknown asset violates no rule."""
        record = self.catalog.get(asset)
        told = None if self.events is None else _Told.of(self.events())
        since = self.now() - self.quiet
        return () if record is None else tuple(self.of(record, since, told, _Count()))

    # --- one asset --------------------------------------------------------------------------

    def of(
        self, record: AssetRecord, since: datetime, told: _Told | None, count: _Count
    ) -> Sequence[Violation]:
        """The violations of an asset, unless its record has changed during the check."""
        settled = _time(record.updated_at) <= since
        count.busy += not settled
        found = [
            Violation(rule=rule, subject=record.asset, message=text)
            for rule, text in self._of(record, since, told, count)
            if rule in self.rules and (settled or rule in ALWAYS)
        ]
        if not found:
            return ()
        # The revision alone is not enough: an asset that was removed and uploaded again starts with
        # 1.
        return found if self.catalog.get(record.asset) == record else ()

    def _of(
        self, record: AssetRecord, since: datetime, told: _Told | None, count: _Count
    ) -> Iterator[tuple[Invariant, str]]:
        settled = _time(record.updated_at) <= since
        if record.status in SERVED | {Status.DELETED} and not is_tombstone(record):
            yield from self._files(record, count, settled=settled)
        yield from self._timeline(record)
        if not settled:
            return
        yield from self._state(record)
        yield from self._original(record)
        yield from self._orphans(record, since)
        if told is not None and not is_tombstone(record):
            yield from ((Invariant.EVENT, text) for text in told.of_record(record))

    def _state(self, record: AssetRecord) -> Iterator[tuple[Invariant, str]]:
        if record.status is Status.UPLOADED:
            yield (
                Invariant.STATE,
                f"uploaded at {record.source.time}, and nothing has been made of it",
            )
        elif record.status is Status.PROCESSING:
            states = [job.state for job in self.catalog.jobs(record.asset)]
            # The catalog has a job from its start on. While it waits for a machine, only the run of
            # its workflow tells of it.
            if not _OPEN_JOBS & set(states) and not self.running(record):
                ended = ", ".join(states) or "none"
                yield Invariant.STATE, f"waits for jobs, of which none runs ({ended})"

    def _timeline(self, record: AssetRecord) -> Iterator[tuple[Invariant, str]]:
        if is_tombstone(record) or record.status is Status.WAITING:
            return
        lines = self.catalog.timeline(record.asset, limit=_LINES)
        kinds = {line.kind for line in lines}
        wanted = {record.status.value} | ({"held"} if record.status is Status.REVIEW else set())
        if not wanted & kinds and len(lines) < _LINES:  # else it may be older than those
            yield Invariant.TIMELINE, f"no line says that it is {record.status.value}"

    def _files(
        self, record: AssetRecord, count: _Count, *, settled: bool
    ) -> Iterator[tuple[Invariant, str]]:
        bucket, prefix = self.settings.delivery_bucket, version_prefix(record)
        stored = {one.key: one for one in self.store.list(bucket, prefix)}
        # Files of a deleted original may have expired.
        named = _named(record) if record.status in SERVED else {}
        for key, size in sorted(named.items()):
            found = stored.get(key)
            if found is None:
                yield Invariant.FILE, f"{key} is missing"
            elif found.size != size:
                yield Invariant.FILE, f"{key} has {found.size} bytes and not {size}"
        count.files += len(stored)
        if not settled:
            return
        for one in stored.values():
            yield from self._file(record, one)

    def _file(self, record: AssetRecord, found: StoredObject) -> Iterator[tuple[Invariant, str]]:
        bucket, key = self.settings.delivery_bucket, found.key
        try:
            tags = self.store.tags(bucket, key)
            tag = self.store.head(bucket, key).metadata.get(CACHE_TAG, "")
        except ObjectMissing:
            return  # it was removed since; the second check decides by the record
        if tag != cache_tag(record.asset):
            yield Invariant.CACHE_TAG, f"{key} has the cache tag {tag!r}"
        is_open = record.status in PUBLIC or (record.blurred and key.endswith(BLURRED))
        if (CLOSED.items() <= tags.items()) == is_open:
            yield Invariant.ACCESS, f"{key} is {'closed' if is_open else 'open'}"
        if SUPERSEDED.items() <= tags.items():
            yield Invariant.FILE, f"{key} is current and expires"
        if self.look is not None and (is_open or not record.blurred):
            served = self.look(key.partition("/")[2])
            if is_open and (served.status != 200 or served.etag != found.etag):
                told = f"{served.status} with the etag {served.etag!r}"
                # Results and checkpoints of jobs are never served.
                if key in _named(record):
                    yield Invariant.SERVED, f"{key} is answered by {told} and not {found.etag!r}"
            elif not is_open and served.status == 200:
                yield Invariant.SERVED, f"{key} is closed, and is served all the same"

    def _original(self, record: AssetRecord) -> Iterator[tuple[Invariant, str]]:
        source = record.source
        try:
            there = self.store.head(source.bucket, source.key)
        except ObjectMissing:
            there = None
        where = f"s3://{source.bucket}/{source.key}"
        same = there is not None and there.etag == source.etag
        if record.status in SERVED | {Status.PROCESSING, Status.UPLOADED}:
            if there is None:
                yield Invariant.ORIGINAL, f"{where} is gone, and the record does not say so"
        elif record.status is Status.REJECTED:
            # Without a version id a delete could hit a newer upload: then expiry does it.
            if same and source.version_id is not None:
                yield Invariant.ORIGINAL, f"{where} was rejected, and is still there"
            recent = self.now() - _time(record.updated_at) < QUARANTINED
            key = quarantine_key(record)
            if recent and not self._exists(self.settings.quarantine_bucket, key):
                yield Invariant.ORIGINAL, f"{key} is not in quarantine"
        elif same and record.status is Status.DELETED and not is_tombstone(record):
            yield Invariant.ORIGINAL, f"{where} is there, and the record says that it was deleted"

    def _exists(self, bucket: str, key: str) -> bool:
        try:
            self.store.head(bucket, key)
        except ObjectMissing:
            return False
        return True

    def _orphans(self, record: AssetRecord, since: datetime) -> Iterator[tuple[Invariant, str]]:
        """Files of other versions, and files of an asset that may have none."""
        bucket, mine = self.settings.delivery_bucket, version_prefix(record)
        gone = record.status is Status.REJECTED or is_tombstone(record)
        for one in self.store.list(bucket, asset_prefix(record.asset)):
            current = bool(record.version) and one.key.startswith(mine)
            if (current and not gone) or _time(one.modified) > since:
                continue
            try:
                tags = self.store.tags(bucket, one.key)
            except ObjectMissing:
                continue
            if not SUPERSEDED.items() <= tags.items():
                yield Invariant.ORPHAN, f"{one.key} is of no current version, and does not expire"
            elif not CLOSED.items() <= tags.items():
                yield Invariant.ACCESS, f"{one.key} was replaced, and is open"

    # --- buckets ----------------------------------------------------------------------------

    def _unknown_files(self, since: datetime, count: _Count) -> Iterator[Violation]:
        """Files of assets without a record."""
        bucket = self.settings.delivery_bucket
        for asset, group in groupby(self.store.list(bucket), lambda one: asset_of(one.key)):
            stored = list(group)
            count.objects += len(stored)
            old = [one for one in stored if _time(one.modified) <= since]
            if asset is None or not old or Invariant.ORPHAN not in self.rules:
                continue
            count.met.add(asset)
            if self.catalog.get(asset) is None and self._exists(bucket, old[0].key):
                yield _orphan(bucket, old[0].key, f"{len(old)} files of an unknown asset {asset}")

    def _unknown_originals(self, since: datetime, count: _Count) -> Iterator[Violation]:
        bucket = self.settings.intake_bucket
        for one in self.store.list(bucket):
            count.objects += 1
            if _time(one.modified) > since or is_folder(one.key, one.size):
                continue
            if Invariant.LOST not in self.rules:
                continue
            wrong = self._lost(bucket, one)
            # It may have been replaced or removed since it was listed.
            if wrong and self._etag(bucket, one.key) == one.etag:
                subject = f"s3://{bucket}/{one.key}"
                yield Violation(rule=Invariant.LOST, subject=subject, message=wrong)

    def _lost(self, bucket: str, found: StoredObject) -> str:
        record = self.catalog.get(asset_id_of(bucket, found.key))
        if record is None:
            return "no record is of it"
        if is_tombstone(record):
            return "its asset is removed, and it is still there"
        if record.status is Status.WAITING or record.source.key != found.key:
            return f"the record {record.asset} does not know that it has arrived"
        if record.source.etag != found.etag:
            return f"the record {record.asset} is of other bytes under this key"
        return ""

    def _etag(self, bucket: str, key: str) -> str:
        try:
            return self.store.head(bucket, key).etag
        except ObjectMissing:
            return ""

    def _quarantined(self, since: datetime, count: _Count) -> Iterator[Violation]:
        """Rejected originals of erased assets, which must be removed too."""
        bucket = self.settings.quarantine_bucket
        for one in self.store.list(bucket):
            count.objects += 1
            asset = asset_of(one.key)
            if asset is None or _time(one.modified) > since or Invariant.ORPHAN not in self.rules:
                continue
            record = self.catalog.get(asset)
            if (record is None or is_tombstone(record)) and self._exists(bucket, one.key):
                yield _orphan(bucket, one.key, f"the asset {asset} is removed")

    # --- lists, queues ----------------------------------------------------------------------

    def _lists(
        self, records: Mapping[str, AssetRecord], met: Iterable[str], since: datetime
    ) -> Iterator[Violation]:
        """Compare every list with the records, for assets that have not changed recently.

        Args:
            met: assets that have objects, whether or not they are listed.
        """
        for asset in sorted(set(met) - records.keys()):
            unlisted = self.catalog.get(asset)
            if unlisted is not None and _time(unlisted.updated_at) <= since:
                text = "no list of all assets has it"
                yield Violation(rule=Invariant.LIST, subject=asset, message=text)
        wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
        for record in records.values():
            for name in _names(record):
                wanted[name].add(record.asset)
        for name, assets in sorted(wanted.items()):
            listed = self._listed(*name)
            for asset in sorted(assets ^ listed):
                now, known = self.catalog.get(asset), records.get(asset)
                if now is None or known is None or _time(now.updated_at) > since:
                    continue
                if known.revision != now.revision:
                    continue
                said = "lacks" if asset in assets else "has, by mistake,"
                text = f"the list by {name[0]} {name[1]!r} {said} the asset"
                yield Violation(rule=Invariant.LIST, subject=asset, message=text)

    def _listed(self, kind: str, value: str) -> set[str]:
        catalog = self.catalog

        def pages(*, limit: int, cursor: str | None) -> Page:
            match kind:
                case "status":
                    return catalog.by_status(Status(value), limit=limit, cursor=cursor)
                case "owner":
                    return catalog.by_owner(value, limit=limit, cursor=cursor)
                case _:
                    return catalog.by_tag(value, limit=limit, cursor=cursor)

        return {one.asset for one in _all(pages)}

    def _dead_letters(self) -> Iterator[Violation]:
        if self.queue is None or Invariant.DEAD_LETTER not in self.rules:
            return
        for url in self.dead_letters:
            depth = self.queue.depth(url)
            if depth:
                text = f"{depth} messages wait for a person: safelight dlq list"
                yield Violation(rule=Invariant.DEAD_LETTER, subject=url, message=text)


# --- events -----------------------------------------------------------------------------------


class _Told:
    """The events of each version of an asset."""

    def __init__(self) -> None:
        self.count = 0
        self._statuses: dict[tuple[str, str], dict[str, tuple[int, str]]] = defaultdict(dict)
        """By asset and version: the revision and the type of each event, by its id."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> _Told:
        told, types = cls(), {type_of(status) for status in Status}
        for event in events:
            version, revision = event.detail.get("version"), event.id.rpartition("/")[2]
            if event.type in types and isinstance(version, str) and revision.isdigit():
                seen = told._statuses[event.asset, version]
                told.count += event.id not in seen
                seen[event.id] = (int(revision), event.type)
        return told

    def of_record(self, record: AssetRecord) -> Iterator[str]:
        """Outcomes of a record without an event, or with two different events."""
        events = sorted(self._statuses.get((record.asset, record.version), {}).values())
        kind = type_of(record.status)
        if not events:
            yield f"no event tells of version {record.version!r}"
        elif events[-1][1] != kind:
            yield f"the last event of version {record.version!r} is {events[-1][1]}, not {kind}"
        for (before, one), (after, other) in pairwise(events):
            if one == other and one != HELD:  # which may be held for another reason
                yield f"{one} is told twice: of revisions {before} and {after}"


# --- small things -----------------------------------------------------------------------------


def _orphan(bucket: str, key: str, text: str) -> Violation:
    return Violation(rule=Invariant.ORPHAN, subject=f"s3://{bucket}/{key}", message=text)


def _named(record: AssetRecord) -> Mapping[str, int]:
    """The files of a record, with their sizes."""
    pictures = {one.key: one.bytes for one in record.renditions}
    return pictures | {one.key: one.bytes for one in record.media}


def _names(record: AssetRecord) -> Iterator[tuple[str, str]]:
    """The lists that contain a record. A tombstone has a status and an owner, and no tags."""
    yield "status", record.status.value
    if record.owner:
        yield "owner", record.owner
    for tag in record.tags:
        yield "tag", tag


def _all(pages: Callable[..., Page]) -> Iterator[AssetRecord]:
    cursor: str | None = None
    while True:
        page = pages(limit=_PAGE, cursor=cursor)
        yield from page.records
        cursor = page.cursor
        if cursor is None:
            return


def _time(text: str) -> datetime:
    """A time of a record or an object; a missing time counts as old."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
