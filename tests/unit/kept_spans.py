"""A recorder of spans for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.domain import trace


class KeptSpans:
    """Keeps every span that has ended, and takes every trace for sampled."""

    def __init__(self) -> None:
        """Start empty."""
        self.spans: list[trace.Span] = []
        self.flushed: list[str] = []

    def sampled(self, trace: str) -> bool:
        """See ``Recorder``."""
        return True

    def record(self, span: trace.Span) -> None:
        """See ``Recorder``."""
        self.spans.append(span)

    def flush(self, service: str) -> None:
        """See ``Recorder``."""
        self.flushed.append(service)

    def named(self, name: str) -> list[trace.Span]:
        """Those of a name, in the order of their ends."""
        return [one for one in self.spans if one.name == name]

    def one(self, name: str) -> trace.Span:
        """The only one of a name."""
        (found,) = self.named(name)
        return found


@contextmanager
def keeping_spans() -> Iterator[KeptSpans]:
    """Keep the spans of a block."""
    kept = KeptSpans()
    trace.install(kept)
    try:
        yield kept
    finally:
        trace.install(None)
