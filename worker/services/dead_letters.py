"""Messages that failed too often: what they are, why they failed, and what may become of them.

A queue cannot be looked into: messages are taken, shown, and put back when the look is over.
Sending a message back is harmless however often it happens: what it asks for is recorded once,
and the catalog refuses what it already has.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.domain import trace
from worker.domain.asset import LogEntry, Removal, Status, asset_id_of
from worker.domain.errors import Conflict, MalformedMessage, SafelightError
from worker.ports import Catalog, Message, Queue
from worker.services import ordering
from worker.services.messages import Change, Envelope, changes_in, not_started, unwrapped, wrapped

LOOK_SECONDS = 120
"""Messages are hidden for so long while they are looked at; they are put back before if possible.
A redrive at a low rate outlasts it: then a message is seen twice, and taken once."""
FAILED = "failed"
"""Kind of the timeline's lines that say why a try failed; see :func:`remember`."""
_REASON_LENGTH = 300
"""Characters of a reason that are kept."""

MALFORMED = MalformedMessage.code
NOTHING = "no_upload"
"""The message announces nothing: there is nothing to do for it."""
SETTLED = "settled"
"""The catalog has this upload or a newer one: sending it back will change nothing."""
NOT_RETRYABLE = frozenset({MALFORMED, NOTHING})
"""Sent back, these would only come here again: they are, if their cause is named."""
UNKNOWN = "unknown"
"""No failure is recorded: the worker was killed, or could not reach the catalog either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePair:
    """A queue and where its messages go that have failed too often. URLs or names."""

    queue: str
    """Empty for events of the workflow, which come from a bus: work is started again instead."""
    dead_letters: str
    direct: bool = True
    """The ingest function reads the queue; otherwise a pipe does."""

    @property
    def name(self) -> str:
        """The name of the queue, or of its dead letters where there is none, for people."""
        return (self.queue or self.dead_letters).rstrip("/").rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter with what could be found out about it."""

    lane: QueuePair
    message: Message
    cause: str
    """A code: of the last failure, or one of this module's."""
    reason: str = ""
    """A sentence for a person."""
    uploads: tuple[Change, ...] = ()
    assets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters are meant; everything that is given must fit."""

    causes: frozenset[str] = frozenset()
    """Empty: any."""
    ids: frozenset[str] = frozenset()
    """Message ids; empty: any."""
    limit: int | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant, the limit apart."""
        return (not self.causes or letter.cause in self.causes) and (
            not self.ids or letter.message.id in self.ids
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Letters of one queue that failed for one cause and one reason, names and numbers apart."""

    lane: QueuePair
    cause: str
    reason: str
    """Of the example."""
    count: int
    oldest: str
    """When the first of them was sent, ISO 8601; empty if unknown."""
    example: DeadLetter


@dataclass(slots=True, kw_only=True)
class Summary:
    """What a redrive or a drop has done so far."""

    done: Counter[str] = field(default_factory=Counter)
    """Letters by cause."""
    left: int = 0
    """Looked at and not meant."""


class DeadLetters:
    """The use case.

    Args:
        lanes: in the order in which they are looked at.
        restart: starts the work on a version of an asset again, for letters of the workflow.
        pause: waits so many seconds; keeps the rate.
        clock: seconds, monotonic.
        now: the time, by which letters that come back during a run are told from those before.
    """

    def __init__(
        self,
        queue: Queue,
        catalog: Catalog,
        lanes: Sequence[QueuePair],
        *,
        restart: Callable[[str, str], object] | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._queue = queue
        self._catalog = catalog
        self._lanes = tuple(lanes)
        self._restart = restart
        self._pause = pause
        self._clock = clock
        self._now = now

    def look(self, choice: Selection | None = None) -> list[DeadLetter]:
        """Take every letter, say what is known, put it back.

        Of a FIFO queue, messages of a group are seen as far as one take brings them; ``depth`` of
        the queue has the whole number.

        Raises:
            TransientError: the queue does not answer; what was taken comes back by itself.
        """
        choice = choice or Selection()
        found = []
        for letter in self._taken():
            if choice.fits(letter):
                found.append(letter)
            if choice.limit is not None and len(found) >= choice.limit:
                break
        return found

    def waiting(self) -> int:
        """About how many letters there are."""
        return sum(self._queue.depth(lane.dead_letters) for lane in self._lanes)

    def redrive(
        self,
        choice: Selection,
        *,
        rate: float,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Summary:
        """Send letters back to the queues they came from, at most ``rate`` a second.

        Each is sent before it is deleted: a crash in between sends it twice, which changes
        nothing. The group stays that of the object; the deduplication id is a new one, because
        under its old id a FIFO queue would swallow it for five minutes. What the workflow was not
        told is started instead. ``NOT_RETRYABLE`` ones are left, unless their cause or their id is
        chosen.
        """

        def send(letter: DeadLetter) -> None:
            if letter.lane.queue:
                self._queue.send(letter.lane.queue, [_returned(letter)])
            elif self._restart is not None and letter.cause not in NOT_RETRYABLE:
                event = not_started(letter.message.body, letter.message.attributes)
                self._restart(event.asset, event.version)

        def meant(letter: DeadLetter) -> bool:
            named = letter.cause in choice.causes or letter.message.id in choice.ids
            return choice.fits(letter) and (named or letter.cause not in NOT_RETRYABLE)

        return self._settle(choice, send, meant=meant, rate=rate, stopped=stopped)

    def drop(self, choice: Selection, *, stopped: Callable[[], bool] = lambda: False) -> Summary:
        """Delete letters for good."""

        def nothing(_letter: DeadLetter) -> None:
            pass

        return self._settle(choice, nothing, meant=choice.fits, rate=None, stopped=stopped)

    # --- steps ------------------------------------------------------------------------------

    def _settle(
        self,
        choice: Selection,
        act: Callable[[DeadLetter], None],
        *,
        meant: Callable[[DeadLetter], bool],
        rate: float | None,
        stopped: Callable[[], bool],
    ) -> Summary:
        tally = Summary()
        due = self._clock()
        # What this run sends back may fail and be here again before it ends; it is another run's.
        begun = self._now().strftime("%Y-%m-%dT%H:%M:%S.%f")
        for letter in self._taken():
            if stopped() or (choice.limit is not None and tally.done.total() >= choice.limit):
                break
            if letter.message.sent_at > begun or not meant(letter):
                tally.left += 1
                continue
            if rate is not None:
                if (early := due - self._clock()) > 0:
                    self._pause(early)
                due = max(due, self._clock()) + 1 / rate
            act(letter)
            # It is hidden no longer, but it was acted on: it will be seen again, harmlessly.
            with contextlib.suppress(Conflict):
                self._queue.delete(letter.lane.dead_letters, [letter.message])
            self._forget(letter.message)
            tally.done[letter.cause] += 1
        return tally

    def _taken(self) -> Iterator[DeadLetter]:
        """Every letter of every lane, once; puts back what was not forgotten."""
        for lane in self._lanes:
            self._held: dict[str, Message] = {}
            seen: set[str] = set()
            try:
                while fresh := self._take(lane, seen):
                    for message in fresh:
                        yield self._letter(lane, message)
            finally:
                self._put_back(lane)

    def _take(self, lane: QueuePair, seen: set[str]) -> list[Message]:
        """The next messages that were not seen; none when there are no more."""
        received = self._queue.receive(lane.dead_letters, wait=1, visibility=LOOK_SECONDS)
        for message in received:
            self._held[message.id] = message
        fresh = [message for message in received if message.id not in seen]
        seen.update(message.id for message in fresh)
        return fresh

    def _forget(self, message: Message) -> None:
        self._held.pop(message.id, None)

    def _put_back(self, lane: QueuePair) -> None:
        for message in self._held.values():
            with contextlib.suppress(Conflict):  # it is back already
                self._queue.hide(lane.dead_letters, message, 0)
        self._held = {}

    def _letter(self, lane: QueuePair, message: Message) -> DeadLetter:
        try:
            if not lane.queue:
                return self._of_workflow(lane, message)
            uploads = changes_in(message.body)
        except MalformedMessage as error:
            return DeadLetter(lane=lane, message=message, cause=MALFORMED, reason=error.message)
        assets = tuple(asset_id_of(upload.bucket, upload.key) for upload in uploads)
        if not uploads:
            text = "the message announces no upload and no deletion"
            return DeadLetter(lane=lane, message=message, cause=NOTHING, reason=text)
        cause, reason = self._cause(uploads, assets)
        return DeadLetter(
            lane=lane,
            message=message,
            cause=cause,
            reason=reason,
            uploads=uploads,
            assets=assets,
        )

    def _of_workflow(self, lane: QueuePair, message: Message) -> DeadLetter:
        event = not_started(message.body, message.attributes)
        record = self._catalog.get(event.asset)
        waits = record is not None and record.status is Status.PROCESSING
        if record is None or not waits or record.version != event.version:
            cause, reason = SETTLED, "the upload waits for no heavy work any more"
        else:
            cause, reason = event.cause, event.reason
        return DeadLetter(
            lane=lane, message=message, cause=cause, reason=reason, assets=(event.asset,)
        )

    def _cause(self, uploads: Sequence[Change], assets: Sequence[str]) -> tuple[str, str]:
        pairs = tuple(zip(uploads, assets, strict=True))
        lines = [line for pair in pairs for line in self._failures(*pair)]
        if lines:
            last = max(lines, key=lambda line: line.time)
            return last.detail.get("code", UNKNOWN), last.detail.get("reason", "")
        if all(self._settled(*pair) for pair in pairs):
            return SETTLED, "the catalog has this upload or a newer one"
        return UNKNOWN, "no failure is recorded: the worker was ended, or reached no catalog"

    def _settled(self, upload: Change, asset: str) -> bool:
        known = self._catalog.get(asset)
        if isinstance(upload, Removal):
            gone = known is None or known.status is Status.DELETED
            return gone or known.source.newer_than(upload.sequencer)  # type: ignore[union-attr]
        return known is not None and not upload.newer_than(known.source.sequencer)

    def _failures(self, upload: Change, asset: str) -> Iterable[LogEntry]:
        return [
            line
            for line in self._catalog.timeline(asset)
            if line.kind == FAILED and line.detail.get("sequencer") == upload.sequencer
        ]


def remember(
    catalog: Catalog, body: str, error: SafelightError, *, receives: int, time: str
) -> None:
    """Write why a try failed into the timelines of the assets that a message is about.

    Whoever finds the message in a dead-letter queue later learns the cause from there. A message
    that cannot be read has no asset; its cause is found by reading it again.

    Raises:
        SafelightError: the catalog does not take it.
    """
    with contextlib.suppress(MalformedMessage):
        for upload in changes_in(body):
            entry = LogEntry(
                time=time,
                kind=FAILED,
                detail={
                    "code": error.code,
                    "reason": error.message[:_REASON_LENGTH],
                    "receives": str(receives),
                    "sequencer": upload.sequencer,
                },
                id=f"{upload.sequencer}-{receives}",
            )
            catalog.log(asset_id_of(upload.bucket, upload.key), entry)


def groups(letters: Iterable[DeadLetter]) -> list[Group]:
    """Letters by queue, cause and reason, the most frequent first."""
    alike: dict[tuple[QueuePair, str, str], list[DeadLetter]] = {}
    for letter in letters:
        alike.setdefault((letter.lane, letter.cause, _gist(letter)), []).append(letter)
    found = [
        Group(
            lane=lane,
            cause=cause,
            reason=members[0].reason,
            count=len(members),
            oldest=min((one.message.sent_at for one in members if one.message.sent_at), default=""),
            example=members[0],
        )
        for (lane, cause, _), members in alike.items()
    ]
    return sorted(found, key=lambda group: (-group.count, group.cause, group.reason))


_PARTICULARS = re.compile(r"""s3://\S+|https?://\S+|'[^']*'|"[^"]*"|\b[0-9a-fA-F-]*\d[\w.,-]*""")
"""Addresses, quoted texts, ids and numbers: what differs between two failures of one kind."""


def _gist(letter: DeadLetter) -> str:
    """A reason without what is particular to one upload."""
    text = letter.reason
    for upload in letter.uploads:
        text = text.replace(f"s3://{upload.bucket}/{upload.key}", "")  # keys may have spaces
    return _PARTICULARS.sub("", text)


def _returned(letter: DeadLetter) -> tuple[str, str, str]:
    """The message to send: body, group, deduplication id.

    For the ingest function it is marked as one that has failed before: it then runs in the
    sandbox, and concludes a commit whose event was never sent. A pipe passes on what S3 has sent.
    """
    message = letter.message
    first = unwrapped(message.body)
    body = first.body
    group = message.group or ordering.handler([{"body": body}])[0]["group"]
    # The same as long as the message stays where it is: sent twice because of a crash, it is
    # delivered once. When it ends there again it has another id.
    text = f"redrive\n{message.id}\n{message.sent_at}"
    if letter.lane.direct:
        traceparent = first.traceparent or trace.valid(message.attributes.get(trace.NAME))
        body = wrapped(Envelope(id=message.id, body=body, traceparent=traceparent, redriven=True))
    return body, group, hashlib.sha256(text.encode()).hexdigest()
