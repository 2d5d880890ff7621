"""Access to the files of an asset: public, or closed until a person has decided.

The distribution reads the delivery bucket without asking the catalog. So files have the tag
``CLOSED`` while their record is not ``PUBLIC``, and the bucket's policy denies the distribution
access to tagged objects: S3 answers 403, the distribution fails over, and the delivery function
gives the reason. Files that must wait for a person have the tag from their first write; untagged
files are public. Tagging costs one request a file, moves no bytes and changes no key, so URLs stay
the same. The record is changed first, then the files, then the edges. Each step is idempotent, so
repeating an interrupted call completes it.

``hold`` opens a review, and ``publish`` withdraws it if it is undecided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from worker.domain import trace
from worker.domain.asset import (
    CLOSED,
    HELD,
    PUBLIC,
    SUPERSEDED,
    AssetRecord,
    LogEntry,
    Status,
    Verdict,
)
from worker.domain.errors import AssetMissing, Conflict, InputError, Superseded, Throttled
from worker.domain.keys import blurred_key, version_prefix
from worker.domain.review import MOST_REASON, Review, ReviewState
from worker.ports import Catalog, ObjectStore
from worker.services.originals import quarantine, remove_original

INVALIDATED = "invalidated"
"""Kind of the timeline entry that causes an invalidation."""
MUST_LOOK = "a person has to look at it"
THREADS = 16
"""Parallel requests: a long video has ten thousand files."""
_PAGE = 1_000
_TURNS = 5
"""Attempts to bring the files in line with a record that others change meanwhile."""


def tags_of(record: AssetRecord) -> Mapping[str, str]:
    """The tags that the files of a record get at their first write."""
    return {} if record.status in PUBLIC else CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The use cases."""

    catalog: Catalog
    store: ObjectStore
    bucket: str
    """The delivery bucket."""
    quarantine: str = ""
    """The bucket of rejected originals; empty if this process rejects nothing."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def hold(self, asset: str, reason: str = "") -> AssetRecord:
        """Close an asset until a person publishes it.

        Raises:
            AssetMissing: there is none.
            Conflict: ``undecidable``: it is not accepted, published or held.
            InputError: the reason is too long.
            TransientError: a store does not answer. The same call completes the work.
        """
        if len(reason) > MOST_REASON:
            raise InputError(f"a reason has at most {MOST_REASON} characters, not {len(reason)}")
        held = self.close(asset, Verdict(code=HELD, message=reason or MUST_LOOK))
        self.ask(held)
        return held

    def close(self, asset: str, verdict: Verdict) -> AssetRecord:
        """Close the files of an asset without opening a review.

        Raises:
            AssetMissing: there is none.
            Conflict: ``undecidable``: it is not accepted, published or held.
            TransientError: a store does not answer. The same call completes the work.
        """
        closed = self._decide(asset, Status.REVIEW, verdict)
        # Only after the files are closed: otherwise an edge could fetch and cache an open file
        # again.
        invalidate(self.catalog, closed, "closed")
        return closed

    def ask(self, record: AssetRecord) -> Review:
        """Open a review that no workflow waits for, unless a review is open."""
        wanted = Review(
            asset=record.asset,
            version=record.version,
            owner=record.owner,
            reason=record.verdict or Verdict(code=HELD, message=MUST_LOOK),
            asked_at=self._time(),
            traceparent=record.source.trace,
        )
        return self.catalog.open_review(wanted)

    def publish(self, asset: str, version: str = "") -> AssetRecord:
        """Publish an asset, so that everybody may read it.

        Args:
            version: that the decision is about; empty for whatever is current.

        Raises:
            AssetMissing: there is none.
            Superseded: another version is current.
            Conflict: ``undecidable``: it does not wait for a person.
            TransientError: a store does not answer. The same call completes the work.
        """
        published = self._decide(asset, Status.PUBLISHED, None, version)
        for review in self.catalog.reviews_of(asset):
            if review.state is ReviewState.OPEN:
                self.catalog.close_review(review.id, ReviewState.WITHDRAWN, time=self._time())
        return published

    def isolate(self, asset: str, verdict: Verdict) -> AssetRecord:
        """Close an asset, copy its original to quarantine, and open a review.

        Raises:
            AssetMissing: there is none.
            Conflict: ``undecidable``: it is not accepted, published or held.
            TransientError: a store does not answer. The same call completes the work.
        """
        closed = self.close(asset, verdict)
        quarantine(self.store, self.quarantine, closed)
        self.ask(closed)
        return closed

    def reject(self, asset: str, verdict: Verdict, version: str = "") -> AssetRecord:
        """Reject a held asset: its original moves to quarantine and its files are removed.

        Args:
            version: that the decision is about; empty for whatever is current.

        Raises:
            AssetMissing: there is none.
            Superseded: another version is current.
            Conflict: ``undecidable``: it is not held.
            TransientError: a store does not answer. The same call completes the work.
        """
        known = self.catalog.get(asset)
        done = known is not None and known.status is Status.REJECTED and known.verdict == verdict
        record = known if done else self._write(asset, Status.REJECTED, verdict, version)
        assert record is not None
        # Close the files first: a video has thousands of them, and their removal takes time.
        prefix = version_prefix(record)
        self._tag(prefix, CLOSED)
        quarantine(self.store, self.quarantine, record)
        self._each(prefix, lambda key: self.store.delete(self.bucket, key))
        invalidate(self.catalog, record, "removed")
        # Without a version id a delete could hit a newer upload: then expiry does it.
        if record.source.version_id is not None:
            remove_original(self.store, record.source)
        return record

    def follow(self, asset: str) -> AssetRecord | None:
        """Close or open the files of an asset by its current record; None if it is erased.

        Raises:
            Throttled: others changed the record several times meanwhile.
        """
        known: AssetRecord | None = None
        record = self.catalog.get(asset)
        for _ in range(_TURNS):
            if record is None or (known and _alike(known, record)):
                return record
            self._tag(version_prefix(record), tags_of(record))
            self._follow_blurred(record)
            known, record = record, self.catalog.get(asset)
            if record is not None and record.version != known.version:
                # It was replaced meanwhile, and this call has removed the tags by which its files
                # expire.
                self._tag(version_prefix(known), {**SUPERSEDED, **CLOSED})
        raise Throttled(f"asset {asset}: others changed it {_TURNS} times in a row")

    def _decide(
        self, asset: str, status: Status, verdict: Verdict | None, version: str = ""
    ) -> AssetRecord:
        self._write(asset, status, verdict, version)
        found = self.follow(asset)
        if found is None:
            raise AssetMissing(f"there is no asset {asset}")
        return found

    def _write(
        self, asset: str, status: Status, verdict: Verdict | None, version: str
    ) -> AssetRecord:
        """Change the record, and add a timeline entry."""
        decided = self._changed(asset, (status, verdict), version)
        entry = LogEntry(
            time=self._time(),
            kind=HELD if status is Status.REVIEW else status.value,
            detail={"version": decided.version}
            | ({"reason": verdict.message[:300]} if verdict is not None else {}),
            id=f"{decided.version}-{decided.revision}",
        )
        self.catalog.log(asset, entry)
        return decided

    def _follow_blurred(self, record: AssetRecord) -> None:
        """Open the blurred picture while it is needed, and remove it afterwards."""
        if record.blurred:
            self.store.tag(self.bucket, blurred_key(record), {})
        elif record.moderation is not None:
            self.store.delete(self.bucket, blurred_key(record))

    def _tag(self, prefix: str, tags: Mapping[str, str]) -> None:
        self._each(prefix, lambda key: self.store.tag(self.bucket, key, tags))

    def _changed(
        self, asset: str, decision: tuple[Status, Verdict | None], version: str
    ) -> AssetRecord:
        """Change the record by a decision. A decision about one version never changes another, even
        if the version changes between the read and the write."""
        if not version:
            return self.catalog.update(asset, decision=decision)
        for _ in range(_TURNS):
            known = self.catalog.get(asset)
            if known is None:
                raise AssetMissing(f"there is no asset {asset}")
            if known.version != version:
                raise Superseded(f"asset {asset}: version {version} is not the current one")
            try:
                return self.catalog.update(asset, decision=decision, revision=known.revision)
            except Conflict as error:
                if error.code != Conflict.code:
                    raise
        raise Throttled(f"asset {asset}: others changed it {_TURNS} times in a row")

    def _each(self, prefix: str, action: Callable[[str], None]) -> None:
        """Call a function for every file below a prefix, in parallel."""
        listed = self.store.list(self.bucket, prefix)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="access") as pool:
            while page := [one.key for one in islice(listed, _PAGE)]:
                for done in [pool.submit(action, key) for key in page]:
                    done.result()

    def _time(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _alike(one: AssetRecord, other: AssetRecord) -> bool:
    return (one.status, one.version) == (other.status, other.version)


def invalidate(catalog: Catalog, record: AssetRecord, cause: str) -> None:
    """Invalidate the cached files of an asset, after access to them has changed.

    A timeline entry causes the event (``domain.events``). The record cannot, because it is written
    before its files are closed: an edge would fetch and cache an open file again. A repeated call
    with the same record and cause makes one entry and one event.

    Args:
        cause: ``closed``, ``replaced``, ``upgraded`` or ``removed``.
    """
    entry = LogEntry(
        time=record.updated_at,
        kind=INVALIDATED,
        detail={
            "version": record.version,
            "cause": cause,
            trace.NAME: record.source.trace,
        },
        id=f"{record.version}-{record.revision}-{cause}",
    )
    catalog.log(record.asset, entry)
