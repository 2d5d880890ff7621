"""Spans on their way out: which are kept, for how long, and what becomes of them if nobody listens.

A span is a small value until its invocation is over. Then it is decided by trace what is written:

- what is sampled, by the last 64 bits of the trace's id, as OpenTelemetry's ``TraceIdRatioBased``
  does it (Specification, "Trace SDK"): every process decides alike, and asks nobody;
- of all others, those in which something ended in an error here.

The rest is forgotten, and that is why OpenTelemetry is imported only now (``adapters.otlp``): at
1 % most invocations, and with them most cold starts, never pay for it.

Telling must not disturb: it has two seconds, what cannot be told is counted and forgotten, and
after a failure nothing is tried for a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, TypeVar, cast

from worker.domain import trace
from worker.domain.trace import Attribute, Kind, Span

if TYPE_CHECKING:
    from worker.adapters.aws.clients import AwsClients

Port = TypeVar("Port")

MOST_SPANS = 5_000
"""Kept in memory, about 1 kB each. A batch of ten photos makes two hundred."""
PAUSE_SECONDS = 60.0
"""Seconds after a failure in which no spans are sent."""
XRAY = "xray"
FILE = "file:"
_HALF = 1 << 64
_CALLS: frozenset[Kind] = frozenset({"client", "producer"})

logger = logging.getLogger("safelight.tracing")


def start(to: str | None, percent: float, clients: AwsClients) -> None:
    """Let spans of this process go where the settings of these names say; once a process."""
    if to is not None and not trace.recording():
        trace.install(_buffer(to, percent, clients))


def _buffer(target: str, percent: float, clients: AwsClients) -> SpanBuffer:
    if target == XRAY:
        from worker.adapters.aws.xray import XRaySpans, batches

        return SpanBuffer(XRaySpans(clients).send, percent=percent, batches=batches)
    from worker.adapters.span_files import SpanFiles

    return SpanBuffer(SpanFiles(target.removeprefix(FILE)).send, percent=percent)


def _one_batch(spans: Sequence[Span]) -> Iterable[Sequence[Span]]:
    return (spans,)


class SpanBuffer:
    """The recorder: it keeps spans until their invocation is over. Safe from any thread.

    Args:
        send: takes one request of OTLP as JSON, at most 4 MB; raises whatever it likes.
        percent: of traces that are written although nothing failed, 0 to 100.
        most: spans in memory.
        batches: divides spans into those of different requests.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        *,
        percent: float,
        most: int = MOST_SPANS,
        batches: Callable[[Sequence[Span]], Iterable[Sequence[Span]]] = _one_batch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._bound = round(percent / 100 * _HALF)
        self._most = most
        self._batches = batches
        self._clock = clock
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        self._paused = float("-inf")
        self._lost = 0

    def sampled(self, trace: str) -> bool:
        """See ``Recorder``."""
        return int(trace[16:], 16) < self._bound

    def record(self, span: Span) -> None:
        """See ``Recorder``. With too many, those of traces that are not sampled go first."""
        with self._lock:
            if len(self._spans) >= self._most:
                kept = [one for one in self._spans if self.sampled(one.trace)]
                kept = kept if len(kept) < self._most else []
                self._lost += len(self._spans) - len(kept)
                self._spans = kept
            self._spans.append(span)

    def flush(self, service: str) -> None:
        """See ``Recorder``. Spans whose top span goes on, on another thread, stay."""
        with self._lock:
            mine: list[Span] = []
            others: list[Span] = []
            for one in self._spans:
                ended = one.service in ("", service) and one.top.stop
                (mine if ended else others).append(one)
            self._spans = others
        kept = self._kept(mine)
        if not kept or self._clock() < self._paused:
            self._lost += len(kept)
            return
        try:
            from worker.adapters.otlp import requests

            for batch in self._batches(kept):
                for request in requests(service, batch):
                    self._send(request)
        except Exception as error:  # noqa: BLE001 - a trace is never worth the work it is about
            self._paused = self._clock() + PAUSE_SECONDS
            self._lost += len(kept)
            extra = {"code": trace.code_of(error), "spans_lost": self._lost}
            logger.warning("spans are not sent", extra=extra)
            self._lost = 0

    def _kept(self, spans: Sequence[Span]) -> list[Span]:
        traces: dict[str, list[Span]] = defaultdict(list)
        for one in spans:
            traces[one.trace].append(one)
        return [
            one
            for name, together in traces.items()
            if self.sampled(name) or any(_failed(each) for each in together)
            for one in together
        ]


def _failed(span: Span) -> bool:
    """Whether a span's error is one of its trace. The error of a call alone is not: who calls may
    expect it, and if not it is the end of a span above as well."""
    return bool(span.error) and span.kind not in _CALLS


# --- ports ------------------------------------------------------------------------------------

NO_REQUEST = frozenset(
    {*("uploads.form", "uploads.put", "uploads.parts", "uploads.readable"), "jobs.logs"}
)
"""Methods that make no request, or none while they are called."""


def traced(port: Port, name: str, kind: Kind = "client") -> Port:
    """The port, each call of which is a span of the trace that is current; itself without tracing.

    Args:
        name: of the port in names of spans: ``store`` makes ``store.get``.
        kind: of its spans.
    """
    return cast(Port, TracedPort(port, name, kind)) if trace.recording() else port


class TracedPort:
    """Stands before a port; see :func:`traced`. Everything else of it is as it was."""

    def __init__(self, port: object, name: str, kind: Kind) -> None:
        self._port = port
        self._name = name
        self._kind = kind

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        name = f"{self._name}.{method}"
        untraced = method.startswith("_") or name in NO_REQUEST
        if untraced or not callable(found) or isgeneratorfunction(found):
            return found
        wrapped = self.__dict__[method] = _wrapped(found, name, self._kind)
        return wrapped


def _wrapped(call: Callable[..., Any], name: str, kind: Kind) -> Callable[..., Any]:
    says = _SAYS.get(name)

    def traced_call(*arguments: Any, **named: Any) -> Any:
        if not trace.inside():  # a trace of one call helps nobody
            return call(*arguments, **named)
        with trace.span(name, kind=kind) as span:
            result = call(*arguments, **named)
            if says is not None:
                span.set(**says(arguments, result))
            return result

    return traced_call


def _bucket(arguments: Sequence[Any], result: Any) -> Mapping[str, Attribute]:  # noqa: ARG001
    return {"bucket": str(arguments[0])}


def _read_bytes(arguments: Sequence[Any], result: Any) -> Mapping[str, Attribute]:
    return {"bucket": str(arguments[0]), "bytes": len(result[0])}


def _written_bytes(arguments: Sequence[Any], result: Any) -> Mapping[str, Attribute]:  # noqa: ARG001
    return {"bucket": str(arguments[0]), "bytes": len(arguments[2])}


def _queue(arguments: Sequence[Any], result: Any) -> Mapping[str, Attribute]:  # noqa: ARG001
    # The last part of a URL: the part before it is the account.
    said: dict[str, Attribute] = {"queue": str(arguments[0]).rpartition("/")[2]}
    return {**said, "messages": len(arguments[1])} if isinstance(arguments[1], list) else said


def _count(arguments: Sequence[Any], result: Any) -> Mapping[str, Attribute]:  # noqa: ARG001
    return {"count": len(arguments[0])}


_SAYS: Mapping[str, Callable[[Sequence[Any], Any], Mapping[str, Attribute]]] = {
    "store.get": _read_bytes,
    "store.put": _written_bytes,
    **dict.fromkeys(("store.head", "store.tag", "store.renew", "store.delete"), _bucket),
    **dict.fromkeys(("queue.send", "queue.hide", "queue.delete"), _queue),
    **dict.fromkeys(("events.publish", "edges.forget"), _count),
}
"""Attributes of a call's span: names that the deployment chose, and numbers.
Never a key, which may have the name of a file in it."""
