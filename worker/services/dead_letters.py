"""Dead letters: listing them, finding their causes, sending them back and deleting them.

SQS has no peek: messages are received, shown, and made visible again afterwards. Sending a message
back several times is harmless, because the catalog refuses an outcome that it already has.
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
"""Visibility timeout of received messages, which are released earlier if possible. A slow redrive
may exceed it: then a message is received twice, and handled once."""
FAILED = "failed"
"""Kind of the timeline entries with the reason of a failed attempt; see :func:`remember`."""
_REASON_LENGTH = 300
"""Characters of a reason that are kept."""

MALFORMED = MalformedMessage.code
NOTHING = "no_upload"
"""The message announces no upload or deletion, so it needs no work."""
SETTLED = "settled"
"""The catalog has this upload or a newer one: sending the message back has no effect."""
NOT_RETRYABLE = frozenset({MALFORMED, NOTHING})
"""Causes whose messages would fail again. They are sent back only if the cause is named."""
NOT_INVALIDATED = "not_invalidated"
"""CloudFront accepted no invalidation: edges may still have files of the asset."""
UNKNOWN = "unknown"
"""No failure is recorded: the worker was killed, or could not reach the catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePair:
    """A queue and its dead-letter queue, by URL or name."""

    queue: str
    """Empty for events of the workflow, which come from a bus: their work is started again
    instead."""
    dead_letters: str
    direct: bool = True
    """Whether the ingest function reads the queue; otherwise a pipe reads it."""
    events: bool = False
    """Whether its messages are events of the bus, for invalidations or for a webhook endpoint."""
    endpoint: str = ""
    """Name of the webhook endpoint that the events are for."""
    changes: bool = False
    """Whether its messages are changes of the catalog that the outbox could make no event of. No
    function reads them: they can be shown and dropped, but not sent back."""

    @property
    def name(self) -> str:
        """The name of the queue, or of its dead-letter queue if there is no queue, for people."""
        return (self.queue or self.dead_letters).rstrip("/").rpartition("/")[2]


def webhook_pairs(endpoints: Iterable[WebhookEndpoint]) -> tuple[QueuePair, ...]:
    """The queue pairs of webhook endpoints."""
    return tuple(
        QueuePair(queue=one.queue, dead_letters=one.dead_letters, events=True, endpoint=one.name)
        for one in endpoints
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter with its asset and cause, as far as they are known."""

    pair: QueuePair
    message: Message
    cause: str
    """Code of the last failure, or one of this module's codes."""
    reason: str = ""
    """A sentence for a person."""
    uploads: tuple[Change, ...] = ()
    assets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Selects dead letters; all given criteria must match."""

    causes: frozenset[str] = frozenset()
    """Empty: any."""
    ids: frozenset[str] = frozenset()
    """Message ids; empty: any."""
    limit: int | None = None

    def fits(self, dead_letter: DeadLetter) -> bool:
        """Whether a dead letter matches, regardless of the limit."""
        return (not self.causes or dead_letter.cause in self.causes) and (
            not self.ids or dead_letter.message.id in self.ids
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Dead letters of one queue with the same cause and the same reason, ignoring names and
    numbers."""

    pair: QueuePair
    cause: str
    reason: str
    """Reason of the example."""
    count: int
    oldest: str
    """When the oldest was sent, ISO 8601; empty if unknown."""
    example: DeadLetter


@dataclass(slots=True, kw_only=True)
class Summary:
    """Progress of a redrive or a drop."""

    done: Counter[str] = field(default_factory=Counter)
    """Handled dead letters by cause."""
    left: int = 0
    """Dead letters that did not match."""


class DeadLetters:
    """The use case.

    Args:
        pairs: in the order in which they are read.
        restart: starts the work on a version of an asset again; used for dead letters of the
            workflow.
        pause: sleeps for the given seconds, to keep the rate.
        clock: seconds, monotonic.
        now: the time; it distinguishes dead letters that fail again during a run from earlier ones.
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
        """Receive every dead letter, find its cause, and release it.

        A FIFO queue returns only the first messages of a group; ``depth`` of the queue has the
        whole number.

        Raises:
            TransientError: the queue does not answer; received messages become visible again by
                themselves.
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

        Each message is sent before it is deleted: after a crash in between it is sent twice, which
        has no effect. The group stays that of the object; the deduplication id is new, because a
        FIFO queue would drop a message with the old id for five minutes. For dead letters of the
        workflow the work is started instead. Messages with a cause in ``NOT_RETRYABLE`` are left,
        unless their cause or id is selected.
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
        # A message that this run sends back may fail and return before the run ends. It is left to
        # another run.
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
            # Its visibility timeout has passed, so it is received again later, harmlessly.
            with contextlib.suppress(Conflict):
                self._queue.delete(dead_letter.pair.dead_letters, [dead_letter.message])
            self._forget(dead_letter.message)
            summary.done[dead_letter.cause] += 1
        return summary

    def _taken(self) -> Iterator[DeadLetter]:
        """Every dead letter of every queue pair, once; releases those that were not deleted."""
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
        """The next unseen messages; none at the end."""
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
        # An asset in review waits for a decision to be applied, or for its review to be opened.
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
    """Write the reason of a failed attempt into the timelines of the message's assets.

    ``look`` later reads the cause of the dead letter from there. A message that cannot be parsed
    has no asset; its cause is found by parsing it again.

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
"""Addresses, quoted texts, ids and numbers, which differ between failures of the same kind."""


def _gist(dead_letter: DeadLetter) -> str:
    """A reason without the parts that are specific to one upload."""
    text = dead_letter.reason
    for upload in dead_letter.uploads:
        text = text.replace(f"s3://{upload.bucket}/{upload.key}", "")  # keys may have spaces
    return _PARTICULARS.sub("", text)


def _returned(dead_letter: DeadLetter) -> tuple[str, str, str]:
    """The message to send: body, group, deduplication id.

    A message for the ingest function is marked as failed before: the function then uses the
    sandbox, and completes a commit that was interrupted. A message for a pipe is sent in S3's
    original form.
    """
    message = dead_letter.message
    if dead_letter.pair.events:  # a standard queue, which has neither groups nor such ids
        return message.body, "", ""
    first = unwrapped(message.body)
    body = first.body
    group = message.group or ordering.handler([{"body": body}])[0]["group"]
    # The id is the same while the message stays in this queue: if a crash causes it to be sent
    # twice, it is delivered once. If it returns here later it has a new id.
    text = f"redrive\n{message.id}\n{message.sent_at}"
    if dead_letter.pair.direct:
        traceparent = first.traceparent or trace.valid(message.attributes.get(trace.NAME))
        body = wrapped(Envelope(id=message.id, body=body, traceparent=traceparent, redriven=True))
    return body, group, hashlib.sha256(text.encode()).hexdigest()
