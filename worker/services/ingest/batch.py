"""One batch of messages as a pipeline of three: while one picture's renditions are stored, the next
one is encoded and the one after that is downloaded.

Knows nothing of Lambda or queues: it is given bodies and a clock. The entry point turns what it
raises into a partial batch response.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from worker.domain.errors import Postponed
from worker.services.ingest.messages import changes_in
from worker.services.ingest.prepare import Decision, Download
from worker.services.ingest.service import Ingest, IngestResult

RESERVE_SECONDS = 2.0
"""Kept back for the response and for telling the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was delivered."""

    id: str
    body: str
    receives: int = 1


class Batch:
    """Handles deliveries one after the other, in order.

    Encoding stays on the caller's thread, whose memory is used again from picture to picture;
    the waiting is done on two others. A context manager: leaving it waits for what is under way.
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
        self._settling = ThreadPoolExecutor(1, thread_name_prefix="settle")
        self._fetches: dict[int, Future[list[Download]]] = {}
        self._rendered: dict[int, list[Decision] | Exception] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._fetching.shutdown(cancel_futures=True)
        self._settling.shutdown()

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
        prepared = self._rendered.pop(index)
        if isinstance(prepared, Exception):
            raise prepared
        settling = self._settling.submit(self._settle, prepared)
        if index + 1 < len(self._deliveries) and self._enough_time():
            self._render(index + 1)
        return settling.result()

    def _enough_time(self) -> bool:
        return self._remaining() - RESERVE_SECONDS >= self._slowest

    def _settle(self, prepared: list[Decision]) -> tuple[IngestResult, ...]:
        return tuple(self._ingest.settle(one) for one in prepared)

    def _render(self, index: int) -> None:
        """Render a delivery unless that is done; what goes wrong is raised at its own turn."""
        if index in self._rendered:
            return
        started = self._clock()
        self._fetch(index)
        self._fetch(index + 1)
        try:
            fetched = self._fetches.pop(index).result()
            self._rendered[index] = [self._ingest.render(one) for one in fetched]
        except Exception as error:  # noqa: BLE001 - belongs to another delivery than the caller's
            self._rendered[index] = error
        self._slowest = max(self._slowest, self._clock() - started)

    def _fetch(self, index: int) -> None:
        if index < len(self._deliveries) and index not in self._fetches:
            self._fetches[index] = self._fetching.submit(self._read, self._deliveries[index])

    def _read(self, delivery: Delivery) -> list[Download]:
        return [
            self._ingest.fetch(change, receives=delivery.receives)
            for change in changes_in(delivery.body)
        ]
