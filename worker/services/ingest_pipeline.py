"""The messages of one batch, with the steps of several uploads side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from worker.domain import metrics
from worker.domain.asset import ObjectVersion
from worker.domain.errors import Postponed
from worker.services.ingest import Decision, Fetched, Ingest, IngestResult
from worker.services.messages import changes_in

RESERVE_SECONDS = 2.0
"""Kept back for the response and for telling the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was delivered."""

    id: str
    body: str
    receives: int = 1
    traceparent: str = ""
    """Of its attributes."""


class IngestPipeline:
    """Handles the messages of one batch in order, with three steps at work at a time.

    While one picture's renditions are stored, the next one is encoded and the one after that is
    downloaded. Encoding stays on the caller's thread, whose memory is used again from picture to
    picture; two others do the waiting. A context manager: leaving it waits for what is under way.

    Knows nothing of Lambda or queues: it is given bodies and a clock. The entry point turns what it
    raises into a partial batch response.
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
        self._fetches: dict[int, Future[list[Fetched]]] = {}
        self._rendered: dict[int, list[Decision] | Exception] = {}
        self._traces: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fetching.shutdown(cancel_futures=True)
        self._committing.shutdown()

    def handle(self, delivery_id: str) -> tuple[IngestResult, ...]:
        """Do what a delivery asks for, and meanwhile render the one after it.

        Raises:
            Postponed: less time is left than the slowest picture so far has taken.
            MalformedMessage: the body is no event of an object.
            TransientError: a store does not answer.
        """
        index = self._order[delivery_id]
        if not self._enough_time():
            raise Postponed("not enough time is left for another picture")
        self._render(index)
        rendered = self._rendered.pop(index)
        if isinstance(rendered, Exception):
            raise rendered
        committing = self._committing.submit(self._commit, rendered)
        if index + 1 < len(self._deliveries) and self._enough_time():
            self._render(index + 1)
        return committing.result()

    def trace(self, delivery_id: str) -> str:
        """The traceparent of what a delivery was about, as far as it is known; else empty."""
        return self._traces.get(delivery_id, "")

    def _enough_time(self) -> bool:
        return self._remaining() - RESERVE_SECONDS >= self._slowest

    def _commit(self, decisions: list[Decision]) -> tuple[IngestResult, ...]:
        with metrics.timed(metrics.STAGE_SECONDS, stage="commit"):
            return tuple(self._ingest.commit(one) for one in decisions)

    def _render(self, index: int) -> None:
        """Render a delivery unless that is done; what goes wrong is raised at its own turn."""
        if index in self._rendered:
            return
        started = self._clock()
        self._fetch(index)
        self._fetch(index + 1)
        try:
            fetched = self._fetches.pop(index).result()
            with metrics.timed(metrics.STAGE_SECONDS, stage="render"):
                self._rendered[index] = [self._ingest.render(one) for one in fetched]
        except Exception as error:  # noqa: BLE001 - belongs to another delivery than the caller's
            self._rendered[index] = error
        self._slowest = max(self._slowest, self._clock() - started)

    def _fetch(self, index: int) -> None:
        if index < len(self._deliveries) and index not in self._fetches:
            self._fetches[index] = self._fetching.submit(self._read, self._deliveries[index])

    def _read(self, delivery: Delivery) -> list[Fetched]:
        changes = changes_in(delivery.body, delivery.traceparent)
        fetched: list[Fetched] = []
        for change in changes:
            upload = change if isinstance(change, ObjectVersion) else change.target
            self._traces.setdefault(delivery.id, upload.trace)
            with metrics.timed(metrics.STAGE_SECONDS, stage="fetch"):
                fetched.append(self._ingest.fetch(change, receives=delivery.receives))
            self._traces[delivery.id] = fetched[0].upload.trace
        return fetched
