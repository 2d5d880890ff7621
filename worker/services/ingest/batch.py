"""One batch of messages: the next download runs while this picture is encoded.

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

from worker.errors import Postponed
from worker.services.ingest.messages import uploads_in
from worker.services.ingest.service import Fetched, Ingest, Ingested

RESERVE_SECONDS = 2.0
"""Kept back for the response and for telling the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message as it was delivered."""

    id: str
    body: str
    receives: int = 1


class Batch:
    """Handles deliveries one after the other, in order, fetching one ahead.

    A context manager: leaving it waits for the fetch that is under way.
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
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._fetches: dict[int, Future[list[Fetched]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ahead.shutdown(cancel_futures=True)

    def handle(self, delivery_id: str) -> tuple[Ingested, ...]:
        """Do what a delivery asks for.

        Raises:
            Postponed: less time is left than the slowest delivery so far has taken.
            MalformedMessage: the body is no upload event.
            TransientError: a store does not answer.
        """
        if self._remaining() - RESERVE_SECONDS < self._slowest:
            raise Postponed("not enough time is left for another picture")
        index = self._order[delivery_id]
        started = self._clock()
        self._fetch(index)
        self._fetch(index + 1)
        try:
            receives = self._deliveries[index].receives
            return tuple(
                self._ingest.finish(fetched, receives=receives)
                for fetched in self._fetches.pop(index).result()
            )
        finally:
            self._slowest = max(self._slowest, self._clock() - started)

    def _fetch(self, index: int) -> None:
        if index < len(self._deliveries) and index not in self._fetches:
            self._fetches[index] = self._ahead.submit(self._read, self._deliveries[index])

    def _read(self, delivery: Delivery) -> list[Fetched]:
        return [self._ingest.fetch(upload) for upload in uploads_in(delivery.body)]
