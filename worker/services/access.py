"""Who may read the files of an asset: everybody, or nobody until a person has decided.

The distribution reads the delivery bucket without asking the catalog. So files carry the tag
``CLOSED`` while their record is not ``PUBLIC``, and the bucket's policy refuses the distribution
what carries it: S3 answers 403, the distribution fails over, and the delivery function says why.
Files that must wait for a person carry the tag from their first write; untagged ones are open.

Tagging costs one request a file, moves no bytes and changes no key, so addresses stay as they are.
The record is changed first, the files after it, the edges last. Each step may be repeated, and a
call that was cut short is completed by the same call.

A held asset is a question to people: ``hold`` opens a review, and ``publish`` without an answer
withdraws it.
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
"""Kind of the line of the timeline that makes caches forget an asset."""
MUST_LOOK = "a person has to look at it"
THREADS = 16
"""Requests at the same time: a long video has ten thousand files."""
_PAGE = 1_000
_TURNS = 5
"""How often the files follow a record that others change meanwhile."""


def tags_of(record: AssetRecord) -> Mapping[str, str]:
    """Tags of the files of a record, from their first write."""
    return {} if record.status in PUBLIC else CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The use cases."""

    catalog: Catalog
    store: ObjectStore
    bucket: str
    """The delivery bucket."""
    quarantine: str = ""
    """The bucket of rejected originals; empty where nothing is rejected."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def hold(self, asset: str, reason: str = "") -> AssetRecord:
        """Keep an asset from everybody until a person publishes it.

        Raises:
            AssetMissing: there is none.
            Conflict: ``undecidable``: it is not accepted, published or held.
            InputError: the reason is too long to be told everywhere.
            TransientError: a store does not answer. The same call completes the work.
        """
        if len(reason) > MOST_REASON:
            raise InputError(f"a reason has at most {MOST_REASON} characters, not {len(reason)}")
        held = self.close(asset, Verdict(code=HELD, message=reason or MUST_LOOK))
        self.ask(held)
        return held

    def close(self, asset: str, verdict: Verdict) -> AssetRecord:
        """Close the files of an asset, without a question to people.

        Raises:
            AssetMissing: there is none.
            Conflict: ``undecidable``: it is not accepted, published or held.
            TransientError: a store does not answer. The same call completes the work.
        """
        closed = self._decide(asset, Status.REVIEW, verdict)
        # Only now: what an edge fetches from here on is refused.
        invalidate(self.catalog, closed, "closed")
        return closed

    def ask(self, record: AssetRecord) -> Review:
        """Open a review that no workflow waits for, unless one is open."""
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
        """Let everybody read an asset.

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
        """Close an asset, copy its original to quarantine, and ask people what becomes of it.

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
        """Reject an asset that is held: its original goes to quarantine, its files are removed.

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
        # First of all nobody may read them any more: a video has thousands, and removal takes time.
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
        """Close or open the files of an asset, as its record says by now; None if it is erased.

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
                # It was replaced meanwhile, and has lost the tags by which its files expire.
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
        """Change the record, and say so in the timeline."""
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
        """The blurred picture is open while it is needed, and goes then."""
        if record.blurred:
            self.store.tag(self.bucket, blurred_key(record), {})
        elif record.moderation is not None:
            self.store.delete(self.bucket, blurred_key(record))

    def _tag(self, prefix: str, tags: Mapping[str, str]) -> None:
        self._each(prefix, lambda key: self.store.tag(self.bucket, key, tags))

    def _changed(
        self, asset: str, decision: tuple[Status, Verdict | None], version: str
    ) -> AssetRecord:
        """The record after a decision: if it is about one version, of no other one, whatever comes
        between our look and the change."""
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
        """Do something with every file below a prefix, many at a time."""
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
    """Let caches forget the files of an asset, once everybody can read them no more, or anew.

    A line of the timeline says it, from which an event follows (``domain.events``). Not the record:
    it is written before its files are closed, and an edge that was told then would fetch an open
    file once more, and keep it. The same record and cause again are one line and one event.

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
