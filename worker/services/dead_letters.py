"""Messages that failed too often: what they are, why they failed, and what may become of them.

A queue cannot be looked into: messages are taken, shown, and put back when the look is over.
Sending a message back is harmless however often it happens: what it asks for is recorded once,
and the catalog refuses what it already has.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from worker.domain import trace
from worker.domain.asset import LogEntry, Removal, Status, asset_id_of
from worker.domain.errors import Conflict, MalformedMessage, SafelightError
from worker.domain.webhook import WebhookEndpoint
from worker.ports import Catalog, Message, Queue
from worker.services import ordering, webhooks
from worker.services.messages import (
    UNDELIVERED,
    Change,
    Envelope,
    asset_event,
    changes_in,
    mistake,
    not_started,
    unwrapped,
    wrapped,
)
from worker.services.workflow_runs import waits_for

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
NOT_INVALIDATED = "not_invalidated"
"""CloudFront accepted no invalidation: edges may still have files of the asset."""
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
    events: bool = False
    """Its messages are events of the bus: for the edges, which are to forget files of assets, or
    for an endpoint."""
    endpoint: str = ""
    """Name of the webhook endpoint that the events are for."""
    changes: bool = False
    """Its messages are changes of the catalog that the outbox could make no event of. Nothing reads
    them: they are shown and dropped, and not sent back."""

    @property
    def name(self) -> str:
        """The name of the queue, or of its dead letters where there is none, for people."""
        return (self.queue or self.dead_letters).rstrip("/").rpartition("/")[2]


def webhook_pairs(endpoints: Iterable[WebhookEndpoint]) -> tuple[QueuePair, ...]:
    """The queues of endpoints."""
    return tuple(
        QueuePair(queue=one.queue, dead_letters=one.dead_letters, events=True, endpoint=one.name)
        for one in endpoints
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter with what could be found out about it."""

    pair: QueuePair
    message: Message
    cause: str
    """A code: of the last failure, or one of this module's."""
    reason: str = ""
    """A sentence for a person."""
    uploads: tuple[Change, ...] = ()
    assets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant; everything that is given must fit."""

    causes: frozenset[str] = frozenset()
    """Empty: any."""
    ids: frozenset[str] = frozenset()
    """Message ids; empty: any."""
    limit: int | None = None

    def fits(self, dead_letter: DeadLetter) -> bool:
        """Whether a dead letter is meant, the limit apart."""
        return (not self.causes or dead_letter.cause in self.causes) and (
            not self.ids or dead_letter.message.id in self.ids
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Dead letters of one queue with one cause and one reason, names and numbers apart."""

    pair: QueuePair
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
    """Dead letters by cause."""
    left: int = 0
    """Looked at and not meant."""


class DeadLetters:
    """The use case.

    Args:
        pairs: in the order in which they are looked at.
        restart: starts the work on a version of an asset again, for dead letters of the workflow.
        pause: waits so many seconds; keeps the rate.
        clock: seconds, monotonic.
        now: the time, by which dead letters that come back during a run are told from those before.
    """

    def __init__(
        self,
        queue: Queue,
        catalog: Catalog,
        pairs: Sequence[QueuePair],
        *,
        restart: Callable[[str, str], object] | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._queue = queue
        self._catalog = catalog
        self._pairs = tuple(pairs)
        self._restart = restart
        self._pause = pause
        self._clock = clock
        self._now = now

    def look(self, choice: Selection | None = None) -> list[DeadLetter]:
        """Take every dead letter, say what is known, put it back.

        Of a FIFO queue, messages of a group are seen as far as one take brings them; ``depth`` of
        the queue has the whole number.

        Raises:
            TransientError: the queue does not answer; what was taken comes back by itself.
        """
        choice = choice or Selection()
        found = []
        for dead_letter in self._taken():
            if choice.fits(dead_letter):
                found.append(dead_letter)
            if choice.limit is not None and len(found) >= choice.limit:
                break
        return found

    def redrive(
        self,
        choice: Selection,
        *,
        rate: float,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Summary:
        """Send dead letters back to the queues they came from, at most ``rate`` a second.

        Each is sent before it is deleted: a crash in between sends it twice, which changes
        nothing. The group stays that of the object; the deduplication id is a new one, because
        under its old id a FIFO queue would swallow it for five minutes. What the workflow was not
        told is started instead. ``NOT_RETRYABLE`` ones are left, unless their cause or their id is
        chosen.
        """

        def send(dead_letter: DeadLetter) -> None:
            if dead_letter.pair.queue:
                self._queue.send(dead_letter.pair.queue, [_returned(dead_letter)])
            elif self._restart is not None and dead_letter.cause not in NOT_RETRYABLE:
                event = not_started(dead_letter.message.body, dead_letter.message.attributes)
                self._restart(event.asset, event.version)

        def meant(dead_letter: DeadLetter) -> bool:
            if dead_letter.pair.changes:
                return False
            named = dead_letter.cause in choice.causes or dead_letter.message.id in choice.ids
            return choice.fits(dead_letter) and (named or dead_letter.cause not in NOT_RETRYABLE)

        return self._each(choice, send, meant=meant, rate=rate, stopped=stopped)

    def drop(self, choice: Selection, *, stopped: Callable[[], bool] = lambda: False) -> Summary:
        """Delete dead letters for good."""

        def nothing(_dead_letter: DeadLetter) -> None:
            pass

        return self._each(choice, nothing, meant=choice.fits, rate=None, stopped=stopped)

    # --- steps ------------------------------------------------------------------------------

    def _each(
        self,
        choice: Selection,
        act: Callable[[DeadLetter], None],
        *,
        meant: Callable[[DeadLetter], bool],
        rate: float | None,
        stopped: Callable[[], bool],
    ) -> Summary:
        summary = Summary()
        due = self._clock()
        # What this run sends back may fail and be here again before it ends; it is another run's.
        begun = self._now().strftime("%Y-%m-%dT%H:%M:%S.%f")
        for dead_letter in self._taken():
            if stopped() or (choice.limit is not None and summary.done.total() >= choice.limit):
                break
            if dead_letter.message.sent_at > begun or not meant(dead_letter):
                summary.left += 1
                continue
            if rate is not None:
                if (early := due - self._clock()) > 0:
                    self._pause(early)
                due = max(due, self._clock()) + 1 / rate
            act(dead_letter)
            # It is hidden no longer, but it was acted on: it will be seen again, harmlessly.
            with contextlib.suppress(Conflict):
                self._queue.delete(dead_letter.pair.dead_letters, [dead_letter.message])
            self._forget(dead_letter.message)
            summary.done[dead_letter.cause] += 1
        return summary

    def _taken(self) -> Iterator[DeadLetter]:
        """Every dead letter of every queue pair, once; puts back what was not forgotten."""
        for pair in self._pairs:
            self._held: dict[str, Message] = {}
            seen: set[str] = set()
            try:
                while fresh := self._take(pair, seen):
                    for message in fresh:
                        yield self._dead_letter(pair, message)
            finally:
                self._put_back(pair)

    def _take(self, pair: QueuePair, seen: set[str]) -> list[Message]:
        """The next messages that were not seen; none when there are no more."""
        received = self._queue.receive(pair.dead_letters, wait=1, visibility=LOOK_SECONDS)
        for message in received:
            self._held[message.id] = message
        fresh = [message for message in received if message.id not in seen]
        seen.update(message.id for message in fresh)
        return fresh

    def _forget(self, message: Message) -> None:
        self._held.pop(message.id, None)

    def _put_back(self, pair: QueuePair) -> None:
        for message in self._held.values():
            with contextlib.suppress(Conflict):  # it is back already
                self._queue.hide(pair.dead_letters, message, 0)
        self._held = {}

    def _dead_letter(self, pair: QueuePair, message: Message) -> DeadLetter:
        try:
            if pair.changes:
                return _of_change(pair, message)
            if not pair.queue:
                return self._of_workflow(pair, message)
            if pair.endpoint:
                return _of_webhook(pair, message)
            if pair.events:
                return _of_event(pair, message)
            uploads = changes_in(message.body)
        except MalformedMessage as error:
            return DeadLetter(pair=pair, message=message, cause=MALFORMED, reason=error.message)
        assets = tuple(asset_id_of(upload.bucket, upload.key) for upload in uploads)
        if not uploads:
            text = "the message announces no upload and no deletion"
            return DeadLetter(pair=pair, message=message, cause=NOTHING, reason=text)
        cause, reason = self._cause(uploads, assets)
        return DeadLetter(
            pair=pair,
            message=message,
            cause=cause,
            reason=reason,
            uploads=uploads,
            assets=assets,
        )

    def _of_workflow(self, pair: QueuePair, message: Message) -> DeadLetter:
        event = not_started(message.body, message.attributes)
        record = self._catalog.get(event.asset)
        # An asset in review waits for what people have decided, or for being asked about.
        waits = record is not None and (waits_for(record) or record.status is Status.REVIEW)
        if record is None or not waits or record.version != event.version:
            cause, reason = SETTLED, "the version waits for no workflow and no decision any more"
        else:
            cause, reason = event.cause, event.reason
        return DeadLetter(
            pair=pair, message=message, cause=cause, reason=reason, assets=(event.asset,)
        )

    def _cause(self, uploads: Sequence[Change], assets: Sequence[str]) -> tuple[str, str]:
        versions = tuple(zip(uploads, assets, strict=True))
        lines = [line for version in versions for line in self._failures(*version)]
        if lines:
            last = max(lines, key=lambda line: line.time)
            return last.detail.get("code", UNKNOWN), last.detail.get("reason", "")
        if all(self._settled(*version) for version in versions):
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


def _of_event(pair: QueuePair, message: Message) -> DeadLetter:
    event = asset_event(message.body)
    cause, reason = NOT_INVALIDATED, f"edges may still have files of this asset ({event.type})"
    if code := message.attributes.get("ERROR_CODE"):
        cause = UNDELIVERED
        said = (code, message.attributes.get("ERROR_MESSAGE", ""))
        reason = ": ".join(part for part in said if part)
    return DeadLetter(pair=pair, message=message, cause=cause, reason=reason, assets=(event.asset,))


def _of_change(pair: QueuePair, message: Message) -> DeadLetter:
    try:
        told = json.loads(message.body)
        cause, reason = str(told["code"]), str(told["reason"])
        asset = _ASSET.search(json.dumps(told["record"]["dynamodb"]["Keys"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        said = f"the message is no change of the catalog: {mistake(error)}"
        raise MalformedMessage(said) from error
    assets = () if asset is None else (asset[0],)
    return DeadLetter(pair=pair, message=message, cause=cause, reason=reason, assets=assets)


def _of_webhook(pair: QueuePair, message: Message) -> DeadLetter:
    event = webhooks.event_in(message.body)
    said = message.attributes
    cause, reason = said.get(webhooks.CODE, ""), said.get(webhooks.REASON, "")
    if not cause and "ERROR_CODE" in said:
        cause, reason = UNDELIVERED, f"{said['ERROR_CODE']}: {said.get('ERROR_MESSAGE', '')}"
    if not cause:
        cause, reason = UNKNOWN, "no failure is recorded: the function was ended each time"
    assets = (event.asset,) if event.asset else ()
    return DeadLetter(pair=pair, message=message, cause=cause, reason=reason, assets=assets)


def remember(
    catalog: Catalog, body: str, error: SafelightError, *, receives: int, time: str
) -> None:
    """Write why a try failed into the timelines of the assets that a message is about.

    The finder of the message in a dead-letter queue learns the cause from there. A message
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


def groups(dead_letters: Iterable[DeadLetter]) -> list[Group]:
    """Dead letters by queue, cause and reason, the most frequent first."""
    alike: dict[tuple[QueuePair, str, str], list[DeadLetter]] = {}
    for dead_letter in dead_letters:
        alike.setdefault((dead_letter.pair, dead_letter.cause, _gist(dead_letter)), []).append(
            dead_letter
        )
    found = [
        Group(
            pair=pair,
            cause=cause,
            reason=members[0].reason,
            count=len(members),
            oldest=min((one.message.sent_at for one in members if one.message.sent_at), default=""),
            example=members[0],
        )
        for (pair, cause, _), members in alike.items()
    ]
    return sorted(found, key=lambda group: (-group.count, group.cause, group.reason))


_ASSET = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PARTICULARS = re.compile(r"""s3://\S+|https?://\S+|'[^']*'|"[^"]*"|\b[0-9a-fA-F-]*\d[\w.,-]*""")
"""Addresses, quoted texts, ids and numbers: what differs between two failures of one kind."""


def _gist(dead_letter: DeadLetter) -> str:
    """A reason without what is particular to one upload."""
    text = dead_letter.reason
    for upload in dead_letter.uploads:
        text = text.replace(f"s3://{upload.bucket}/{upload.key}", "")  # keys may have spaces
    return _PARTICULARS.sub("", text)


def _returned(dead_letter: DeadLetter) -> tuple[str, str, str]:
    """The message to send: body, group, deduplication id.

    For the ingest function it is marked as one that has failed before: it then runs in the
    sandbox, and concludes a commit whose event was never sent. A pipe passes on what S3 has sent.
    """
    message = dead_letter.message
    if dead_letter.pair.events:  # a standard queue, which has neither groups nor such ids
        return message.body, "", ""
    first = unwrapped(message.body)
    body = first.body
    group = message.group or ordering.handler([{"body": body}])[0]["group"]
    # The same as long as the message stays where it is: sent twice because of a crash, it is
    # delivered once. When it ends there again it has another id.
    text = f"redrive\n{message.id}\n{message.sent_at}"
    if dead_letter.pair.direct:
        traceparent = first.traceparent or trace.valid(message.attributes.get(trace.NAME))
        body = wrapped(Envelope(id=message.id, body=body, traceparent=traceparent, redriven=True))
    return body, group, hashlib.sha256(text.encode()).hexdigest()
