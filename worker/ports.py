"""The ports: protocols of everything outside that the services use, in domain terms.

Every port has an AWS adapter, and a second one only where a person uses it; one contract suite
(tests/contract) runs on all of them and on the tests' fakes. Adapters map foreign errors to
``worker.domain.errors`` and nothing else: a missing object is ``ObjectMissing``, a throttled or
unreachable store is a ``TransientError``, a failed condition is ``Conflict``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import EllipsisType
from typing import Protocol

from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    Page,
    Similar,
    Status,
    UploadRoute,
    Verdict,
)
from worker.domain.events import Event
from worker.domain.image import StoredRendition
from worker.domain.job import JobRequest, JobState, JobStatus
from worker.domain.label import Label
from worker.domain.ledger import CountedWork, LedgerAccount, LedgerEntry, LedgerLine, Trip
from worker.domain.moderation import Moderation, Seen
from worker.domain.review import Choice, Review, ReviewDecision, ReviewPage, ReviewState
from worker.domain.workflow import Run, RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object without its bytes."""

    key: str
    size: int
    etag: str
    version_id: str | None = None
    content_type: str = "application/octet-stream"
    modified: str = ""
    """ISO 8601 UTC."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names; values are text."""


class ObjectStore(Protocol):
    """Named buckets of immutable bytes."""

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """Whole object, or its ``first`` bytes. With ``etag``: it must be that one.

        Raises:
            ObjectMissing: there is none (any more).
            ObjectChanged: the object has been replaced.
        """
        ...

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """Raises ``ObjectMissing``."""
        ...

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> str:
        """Write whole or not at all; returns the etag. ``tags`` are on it from the first moment.

        Overwrites; with ``once`` an object that is there stays, and the etag returned is empty.
        """
        ...

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        *,
        version_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Copy inside the store. ``metadata`` replaces that of the source; tags are not copied.

        Raises:
            ObjectMissing: there is nothing to copy.
        """
        ...

    def tag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Give an object these tags and no others, and leave all else as it is.

        A missing object is no error.
        """
        ...

    def tags(self, bucket: str, key: str) -> Mapping[str, str]:
        """The tags of an object. Raises ``ObjectMissing``."""
        ...

    def renew(
        self,
        bucket: str,
        key: str,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write an object again as it is, with these tags and no others, and with this metadata
        beside its own. None leaves the tags.

        Its age counts from now on, which is what rules of the bucket that expire objects with a
        tag go by. A missing object is no error.
        """
        ...

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """Delete; a missing object is no error. With ``etag``: only if the current one is that."""
        ...

    def list(self, bucket: str, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """Objects in order of key, lazily, those after ``after`` only."""
        ...

    def all_versions(self, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
        """Key and version id of all that is kept, markers of deletions too, lazily."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTicket:
    """A request that somebody without credentials may send to the store."""

    method: str
    """``POST`` for a form, ``PUT`` for anything else."""
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """To be sent exactly so."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Of a form, in this order; the file comes last, as ``file``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedPart:
    """A part of an upload that the store has."""

    number: int
    size: int
    """Bytes."""
    etag: str
    """With its quotes, as the store wants it back."""


class UploadStore(Protocol):
    """Lets others upload objects, in one piece or in parts. Tickets are made without a request."""

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
        """A form for exactly this key, size in bytes, type, metadata and SHA-256 (hex, if any)."""
        ...

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
        """The same as one request, which works only while nothing lies under the key."""
        ...

    def readable(self, bucket: str, key: str, *, seconds: int) -> str:
        """An address that anybody may read an object at."""
        ...

    def begin(self, bucket: str, key: str, *, media_type: str, metadata: Mapping[str, str]) -> str:
        """Begin an upload in parts; returns its id."""
        ...

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
        """A ticket for each part, by its number, from 1; ``sizes`` are bytes."""
        ...

    def uploaded(self, bucket: str, key: str, upload: str) -> Sequence[UploadedPart]:
        """The parts that are there, in order.

        Raises:
            ObjectMissing: the upload was completed or aborted, or has expired.
        """
        ...

    def complete(self, bucket: str, key: str, upload: str, parts: Sequence[UploadedPart]) -> None:
        """Make one object of the parts, unless there is one under the key.

        Raises:
            ObjectMissing: the upload was completed or aborted, or has expired.
            ObjectChanged: something lies under the key.
        """
        ...

    def abort(self, bucket: str, key: str, upload: str) -> None:
        """Remove the parts; an upload that is gone is no error."""
        ...


class Catalog(Protocol):
    """The memory of all assets."""

    def get(self, asset: str) -> AssetRecord | None:
        """The current record (strongly consistent)."""
        ...

    def commit(self, record: AssetRecord, entry: LogEntry, *, new: bool = False) -> AssetRecord:
        """Record the outcome of processing one upload.

        With ``new`` the caller has just seen that there is no record. That spares a read and
        decides nothing: if there is a record by now, the outcome is what it is without ``new``.

        Accepts it only if the catalog has nothing for the asset, an older upload, or the same
        upload under another recipe or in a status that this one may follow (``TRANSITIONS``).
        Tags, attributes, owner (if the new one is empty) and ``created_at`` of an existing record
        stay; those of a newer upload join them. A record that was read here before (its
        ``revision`` says so) must still be there. Idempotent.

        Raises:
            Superseded: a newer upload is recorded, or the asset is erased.
            AlreadyRecorded: exactly this upload and recipe is recorded as final.
        """
        ...

    def update(
        self,
        asset: str,
        *,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        set_attributes: Mapping[str, str] | None = None,
        remove_attributes: Iterable[str] = (),
        focal_point: tuple[float, float] | EllipsisType | None = ...,
        labels: tuple[Label, ...] | None = None,
        labelled: str | None = None,
        again: bool = False,
        decision: tuple[Status, Verdict | None] | None = None,
        rendition: StoredRendition | None = None,
        moderation: Moderation | None = None,
        revision: int | None = None,
    ) -> AssetRecord:
        """Change what is said of an asset.

        Args:
            decision: what a person has decided, of ``DECISIONS``, and why.
            rendition: a file that was replaced under its key.
            moderation: what moderation has decided since the record was committed.
            focal_point: None removes it; ``...`` leaves it.
            labels: what a model has seen, in place of what is recorded; the tags are then said to
                be of the model. None: people change tags, and refuse labels whose tags they remove.
            labelled: by which rules; see the record.
            again: what was made of it counts as made by no recipe, so that it is made again, and
                what a model has seen as seen by no rules.

        Raises:
            AssetMissing: no such asset.
            Conflict: ``revision`` is given and is not the current one; ``undecidable``: nothing can
                be decided of an asset in its status; ``rendition`` is no file of the asset.
        """
        ...

    def delete(self, asset: str) -> None:
        """Forget an asset with all its items; a missing one is no error."""
        ...

    def list_assets(self, *, limit: int = 50, cursor: str | None = None) -> Page:
        """All assets, whatever their status; newest outcome first."""
        ...

    def by_owner(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first."""
        ...

    def by_status(self, status: Status, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first."""
        ...

    def by_tag(self, tag: str, *, limit: int = 50, cursor: str | None = None) -> Page:
        """Newest first."""
        ...

    def by_content(self, sha256: str) -> Sequence[AssetRecord]:
        """Assets with identical bytes, oldest first, at most 25."""
        ...

    def similar(self, phash: str, *, distance: int = 3) -> Sequence[Similar]:
        """Assets that look alike, nearest first, at most 50.

        ``distance`` is at most 3 bits: the hash is indexed in four bands of 16, and of four
        bands at least one is untouched by three changed bits (Manku, Jain, Das Sarma, WWW 2007).
        """
        ...

    def timeline(self, asset: str, *, limit: int = 100) -> Sequence[LogEntry]:
        """Newest first."""
        ...

    def log(self, asset: str, entry: LogEntry) -> None:
        """Add a line to the timeline; the same ``id`` and time again is one line."""
        ...

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """Oldest first."""
        ...

    def put_job(self, job: JobRecord) -> None:
        """Add or replace a job of an asset."""
        ...

    def open_review(self, wanted: Review) -> Review:
        """Ask people about a version of an asset: a new review, or the one that asks already
        (``domain.review.opened``). Idempotent."""
        ...

    def review(self, review: str) -> Review | None:
        """One review by its id (strongly consistent).

        Raises:
            ReviewMissing: it is no id of a review.
        """
        ...

    def reviews_of(self, asset: str) -> Sequence[Review]:
        """All reviews of an asset, oldest first (strongly consistent)."""
        ...

    def reviews(
        self, state: ReviewState, *, limit: int = 50, cursor: str | None = None
    ) -> ReviewPage:
        """Open reviews by their deadline, the nearest first and those without one last; others by
        the time of their end, newest first."""
        ...

    def decide_review(self, review: str, decision: ReviewDecision) -> Review:
        """Write down what a person has decided (``domain.review.decided``). Of two people at the
        same time, the second is decided on with what the first has said.

        Raises:
            ReviewMissing: there is no such review.
            Conflict: ``review_expired``, ``review_decided``, ``review_withdrawn`` or
                ``review_same_reviewer``.
        """
        ...

    def close_review(
        self, review: str, state: ReviewState, *, time: str, default: Choice | None = None
    ) -> Review:
        """End a review without a decision, as expired or withdrawn; a closed one stays as it is.

        Raises:
            ReviewMissing: there is no such review.
        """
        ...

    def release_review(self, review: str) -> Review:
        """Write down that nobody waits for the answer any more, and forget the token
        (``domain.review.released``). Idempotent.

        Raises:
            ReviewMissing: there is no such review.
        """
        ...

    def claim(self, asset: str, work: str, *, holder: str, seconds: float) -> int:
        """Claim a piece of work of an asset for so many seconds, unless somebody else holds it.

        Claims end by time alone: of a holder that dies, and of one that is done. A holder may
        claim again, and so hold on for longer.

        Returns:
            How often it has been claimed, this time included; 0 if another one holds it.
        """
        ...


class Ledger(Protocol):
    """Counters of work by day."""

    def add(self, shard: str, counted: Sequence[LedgerEntry]) -> Mapping[str, CountedWork]:
        """Add work to its lines, each piece once.

        Args:
            shard: of the stream that tells of the work. Positions of one shard rise; what comes
                again, in whatever batch, is passed over.
            counted: in order of position.

        Returns:
            The newly added work, by day.
        """
        ...

    def lines(
        self, day: str, account: LedgerAccount, name: str | None = None
    ) -> Sequence[LedgerLine]:
        """The lines of a day (ISO 8601), one a name, in order of name; with ``name``, its own."""
        ...

    def forget(self, owner: str, days: Sequence[str]) -> int:
        """Count an owner's work of these days (ISO 8601) as nobody's; how many lines it was in.

        No sum changes. Work that is added afterwards is the owner's again. Ended anywhere, the same
        call completes it.
        """
        ...

    def trip(self, found: Trip) -> bool:
        """Write down that the limit of a day was passed; False if that is written already."""
        ...

    def tripped(self) -> Trip | None:
        """The newest trip, of whatever day."""
        ...

    def resume(self, day: str, *, time: str) -> Trip | None:
        """Let paused work go on for the rest of a day; None if there is no trip of that day."""
        ...


class Events(Protocol):
    """Tell others what happened."""

    def publish(self, events: Sequence[Event]) -> None:
        """All or an error; publishing an event twice is harmless: its id is the same."""
        ...


class Cache(Protocol):
    """Hot values that may vanish at any time. Never raises: a broken cache is a miss.

    A value comes back as it was put or not at all: an adapter checks what others may have written.
    """

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    def put(self, key: str, value: bytes, *, seconds: int) -> None:
        """Keep for at most ``seconds``."""
        ...

    def add(self, key: str, value: bytes, *, seconds: int) -> bool:
        """Put unless there is a value; whether there was none.

        Of all that try at once one gets True. A broken cache says True to everybody: use it to
        spare work, never to make something certain.
        """
        ...

    def drop(self, key: str) -> None:
        """Forget."""
        ...


class EdgeCaches(Protocol):
    """Caches between the delivery bucket and its viewers."""

    def forget(self, tags: Sequence[str], *, once: str) -> None:
        """Remove every response with one of the cache tags.

        Args:
            once: names the request: the same name and tags again are one request.
        """
        ...


class Moderator(Protocol):
    """Looks for content that not everybody should see: a model here, or a service."""

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """Examine a picture.

        Args:
            jpeg: at most 1,600 pixels a side and 5 MB.
            minimum: labels of a lower confidence, 0 to 100, are not needed.

        Raises:
            TransientError: throttled, or no response.
            EngineError: an invalid response, or a picture that the moderator refuses.
        """
        ...


class Labeller(Protocol):
    """Names what is in a picture: a model here, or a service."""

    def label(self, jpeg: bytes, *, minimum: float) -> Sequence[Label]:
        """The raw labels of a picture. ``domain.label.usable`` selects those that can be stored.

        Args:
            jpeg: at most 1,600 pixels a side and 5 MB.
            minimum: labels of a lower confidence, 0 to 100, are of no interest.

        Raises:
            TransientError: throttled, or no answer.
            EngineError: an answer that is none, or a picture that it does not take.
        """
        ...


class Workflows(Protocol):
    """Start long-running work that waits for jobs or people."""

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """Start once: the same ``name`` again returns the first run's id."""
        ...

    def answer(self, token: str, output: Mapping[str, object]) -> None:
        """Answer a stage that waits.

        Raises:
            TaskRefused: ``task_unknown``, or ``task_timed_out`` if the stage waits no more: its
                time is over, or it has an answer. Only the caller's own record can tell the two.
        """
        ...


class Executions(Workflows, Protocol):
    """Runs of workflows, looked at by people."""

    def runs(self, workflow: str, state: RunState | None = None, *, limit: int) -> Sequence[Run]:
        """Newest first, without inputs and states."""
        ...

    def run(self, workflow: str, name: str) -> Run | None:
        """A run with its input and the states that it has entered; None if there is none."""
        ...


class Jobs(Protocol):
    """Heavy work, run elsewhere: AWS Batch, or the runner of the local stack."""

    def submit(self, request: JobRequest) -> str:
        """Hand a job in; returns its id.

        A job of the same name in the same queue that has not failed is that job: its id is
        returned and nothing is submitted. A name whose last job failed (or was stopped) is tried
        anew.

        Raises:
            JobRejected: the request itself can never be accepted.
        """
        ...

    def describe(self, job: str) -> JobStatus:
        """How a job, or one child (``id:index``), stands. Raises ``JobMissing``."""
        ...

    def list(self, state: JobState | None = None, *, limit: int = 100) -> Sequence[JobStatus]:
        """Newest first, without the children of arrays."""
        ...

    def children(self, job: str) -> Sequence[JobStatus]:
        """Of an array job in order of index; none for any other. Raises ``JobMissing``."""
        ...

    def named(self, prefix: str) -> Sequence[JobStatus]:
        """Jobs whose names begin so, ended ones too, without the children of arrays."""
        ...

    def stop(self, job: str, reason: str) -> None:
        """Ask a job (and all children of it) to stop; one that has ended stays as it is.

        Raises:
            JobMissing: there is none.
        """
        ...

    def logs(self, job: str, *, follow: bool = False) -> Iterator[str]:
        """Lines so far; with ``follow`` those to come too, until the job has ended.

        Raises:
            JobMissing: there is none.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message taken from a queue."""

    id: str
    body: str
    receipt: str
    receives: int
    sent_at: str = ""
    group: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Queue(Protocol):
    """A queue, by name. Standard or FIFO."""

    def send(
        self,
        queue: str,
        bodies: Sequence[tuple[str, str, str]],
        *,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Send (body, group, deduplication id) triples; the latter two count for FIFO only.

        Args:
            attributes: of every message. Values are not empty.
        """
        ...

    def receive(
        self, queue: str, *, limit: int = 10, wait: int = 0, visibility: int = 30
    ) -> Sequence[Message]:
        """Take up to ten messages; they are hidden for ``visibility`` seconds."""
        ...

    def delete(self, queue: str, messages: Sequence[Message]) -> None:
        """Done with them."""
        ...

    def hide(self, queue: str, message: Message, seconds: int) -> None:
        """Let a message come back after so many seconds."""
        ...

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """About how many messages wait; with ``taken`` those being worked on, too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """A span as it was written: something that was done, or waited for."""

    id: str
    """16 hex digits."""
    parent: str
    """Those of the span above it; empty for the root of a trace."""
    name: str
    service: str
    """That wrote it: ``ingest``, ``batch`` ..."""
    start: int
    """Nanoseconds since 1970."""
    end: int
    """The same; not before ``start``."""
    error: str = ""
    """Code of what it ended with."""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSpans:
    """The available spans of a trace."""

    spans: tuple[SpanRecord, ...] = ()
    """In no order."""
    unreadable: int = 0
    """Lines that hold no spans, and spans that make no sense."""


class TraceStore(Protocol):
    """Where spans were written to."""

    def spans(self, trace: str, *, since: str = "") -> FoundSpans:
        """All spans of a trace.

        Args:
            trace: its id, 32 hex digits.
            since: nothing of it is older, ISO 8601 UTC.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a log."""

    text: str
    """As it was written: JSON, or words."""
    source: str
    """File or log group."""
    time: str = ""
    """When the store got it, ISO 8601 UTC; empty if it does not know."""


class LogStore(Protocol):
    """The logs of functions and jobs."""

    def lines(self, words: Sequence[str], *, since: str = "") -> Sequence[LogLine]:
        """Lines that have one of the words, in no order.

        Args:
            words: of hex digits and hyphens.
            since: older ones are of no interest, ISO 8601 UTC.

        Raises:
            TransientError: a store does not answer.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """The response of a webhook receiver, without its body."""

    status: int
    retry_after: float | None = None
    """Seconds to wait before the next try."""


class WebhookSender(Protocol):
    """Sends requests to receivers that nobody here vouches for."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> WebhookAnswer:
        """Send one request, and follow no redirect. Any status is an answer.

        Raises:
            WebhookFailed: the name leads to an address that is refused, or there is no answer that
                can be read in time.
        """
        ...


class Secrets(Protocol):
    """Texts that only those with a right to them may read."""

    def read(self, name: str) -> str:
        """The current text.

        Raises:
            ConfigurationError: ``secret_missing``: there is none of this name.
            AccessDenied: it may not be read.
        """
        ...

    def write(self, name: str, text: str) -> None:
        """Make or replace it."""
        ...
