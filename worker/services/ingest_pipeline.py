"""Handles the messages of one batch, with overlapping steps of several uploads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Self, TypeAlias

from worker.domain import metrics, trace
from worker.domain.asset import ObjectVersion
from worker.domain.errors import Postponed
from worker.domain.trace import Span
from worker.services.ingest import Decision, Fetched, Ingest, IngestResult
from worker.services.messages import changes_in

RESERVE_SECONDS = 2.0
"""Time reserved for the response and for changes of visibility timeouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was delivered."""

    id: str
    body: str
    receives: int = 1
    traceparent: str = ""
    """Of its attributes."""


Traced: TypeAlias = tuple[Span, Fetched]
"""A fetched upload with its span, which continues through all steps."""
Decided: TypeAlias = tuple[Span, Decision]


class IngestPipeline:
    """Handles the messages of one batch in order, with three steps running at a time.

    While one picture's renditions are stored, the next one is encoded and the one after that is
    downloaded. Encoding stays on the caller's thread, which reuses its memory from picture to
    picture; two other threads wait for I/O. A context manager: leaving it waits for running steps.

    It does not depend on Lambda or queues: it gets bodies and a clock. The entry point turns its
    errors into a partial batch response.
    """

    def __init__(
        self,
        ingest: Ingest,
        deliveries: Sequence[Delivery],
        *,
        remaining: Callable[[], float] = lambda: float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a batch.

        Args:
            ingest: the service.
            deliveries: in the order in which they will be handled.
            remaining: seconds left in this invocation.
            clock: seconds, monotonic.
        """
        self._ingest = ingest
        self._order = {delivery.id: index for index, delivery in enumerate(deliveries)}
        self._deliveries = tuple(deliveries)
        self._remaining = remaining
        self._clock = clock
        self._slowest = 0.0
        self._fetching = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._committing = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._fetches: dict[int, Future[list[Traced]]] = {}
        self._rendered: dict[int, list[Decided] | Exception] = {}
        self._spans: list[Span] = []
        self._idle: dict[Span, int] = {}
        self._traces: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fetching.shutdown(cancel_futures=True)
        self._committing.shutdown()
        for span in self._spans:  # results of postponed or abandoned messages
            span.end()

    def handle(self, delivery_id: str) -> tuple[IngestResult, ...]:
        """Handle a delivery, and render the next one meanwhile.

        Raises:
            Postponed: less time is left than the slowest picture so far needed.
            MalformedMessage: the body is not an event of an object.
            TransientError: a store does not answer.
        """
        index = self._order[delivery_id]
        if not self._enough_time():
            raise Postponed("not enough time is left for another picture")
        self._render(index)
        rendered = self._rendered.pop(index)
        if isinstance(rendered, Exception):
            raise rendered
        committing = self._committing.submit(copy_context().run, self._commit, rendered)
        if index + 1 < len(self._deliveries) and self._enough_time():
            self._render(index + 1)
        return committing.result()

    def trace(self, delivery_id: str) -> str:
        """The traceparent of a delivery, if known; otherwise empty."""
        return self._traces.get(delivery_id, "")

    def _enough_time(self) -> bool:
        return self._remaining() - RESERVE_SECONDS >= self._slowest

    def _commit(self, decisions: list[Decided]) -> tuple[IngestResult, ...]:
        return tuple(self._commit_one(*one) for one in decisions)

    def _commit_one(self, upload: Span, decision: Decision) -> IngestResult:
        with self._traced_step("commit", upload):
            done = self._ingest.commit(decision)
        upload.set(outcome=done.outcome.value)
        if done.record is not None and done.record.verdict is not None:
            upload.set(code=done.record.verdict.code)
        upload.end()
        return done

    def _render_one(self, upload: Span, fetched: Fetched) -> Decision:
        with self._traced_step("render", upload):
            return self._ingest.render(fetched)

    @contextmanager
    def _traced_step(self, name: str, upload: Span) -> Iterator[None]:
        """Run a step of an upload with spans for the step and the wait before it; an error also
        ends the upload's span."""
        with upload.active():
            if idle := self._idle.get(upload):
                trace.finished("wait turn", start=idle)
            try:
                with (
                    trace.span(name) as step,
                    metrics.timed(metrics.STAGE_SECONDS, stage=name),
                ):
                    yield
            except BaseException as error:
                upload.end(error)
                raise
            self._idle[upload] = step.stop

    def _render(self, index: int) -> None:
        """Render a delivery unless it is rendered already. An error is raised at the delivery's
        turn."""
        if index in self._rendered:
            return
        started = self._clock()
        self._fetch(index)
        self._fetch(index + 1)
        try:
            fetched = self._fetches.pop(index).result()
            self._rendered[index] = [(one[0], self._render_one(*one)) for one in fetched]
        except Exception as error:  # noqa: BLE001 - belongs to another delivery than the caller's
            self._rendered[index] = error
        self._slowest = max(self._slowest, self._clock() - started)

    def _fetch(self, index: int) -> None:
        if index < len(self._deliveries) and index not in self._fetches:
            self._fetches[index] = self._fetching.submit(
                copy_context().run, self._read, self._deliveries[index]
            )

    def _read(self, delivery: Delivery) -> list[Traced]:
        changes = changes_in(delivery.body, delivery.traceparent)
        fetched: list[Traced] = []
        for change in changes:
            upload = change if isinstance(change, ObjectVersion) else change.target
            self._traces.setdefault(delivery.id, upload.trace)
            span = trace.begin(
                "ingest", kind="consumer", parent=upload.trace, receives=delivery.receives
            )
            self._spans.append(span)
            with self._traced_step("fetch", span):
                found = self._ingest.fetch(change, receives=delivery.receives)
            # The object says whose trace it is.
            span.join(found.upload.trace)
            span.set(asset=found.asset, bytes=found.upload.size)
            trace.finished(
                "wait intake",
                start=trace.moment(found.upload.time),
                end=span.start,
                kind="consumer",
                parent=found.upload.trace,
            )
            fetched.append((span, found))
            self._traces[delivery.id] = fetched[0][1].upload.trace
        return fetched
