"""Traces: the correlation id of an upload, and spans of what is done about it.

The id is a ``traceparent`` of W3C Trace Context (Recommendation, section 3.2). An uploader may send
one, as metadata of the object or with the message. Every other upload has one that is derived from
its event, so that each retry and each duplicate has the same. It is in every message, record, job,
event and log line about the upload. Its trace id is the asset's trace, and its span id that of the
span ``upload``, which all others lie under.

Spans are written by :func:`span`, :func:`begin` and :func:`finished`. They go to what
:func:`install` was given (``worker.adapters.tracing``: OpenTelemetry). Without it a call costs less
than two microseconds and writes nothing, and the id is passed on all the same.

A span may contain numbers, codes, and names that the deployment has chosen (buckets, recipes,
queues). Never a key with the name of a file, an owner, an address, a token or the text of an
error.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from logging import LogRecord
from typing import Literal, Protocol

NAME = "traceparent"
"""Of the metadata of an object, the attribute of a message, the field of an event or a log line."""

SPANS: Mapping[str, str] = {
    # From the upload to its record.
    "upload": "the root: the request for a ticket, or the moment at which the original was stored",
    "wait upload": "from the ticket to the original in the intake bucket",
    "wait intake": "from the original in the bucket to the ingest function: event, pipe and queue",
    "ingest": "one upload in the ingest function, from its message to its record",
    "wait turn": "between two steps of an upload, while another one of its batch is worked on",
    "fetch": "read the record and the original",
    "render": "probe, decide, and make the renditions",
    "store": "write the renditions",
    "commit": "write the record and what follows from it",
    # From the record to everybody else.
    "wait outbox": "from the change of the catalog to the outbox function",
    "tell": "put an event on the bus",
    "wait webhook": "from the event to the webhook function",
    "webhook": "one request to one receiver",
    "wait invalidate": "from the event to the invalidation function",
    "invalidate": "ask the distribution to forget the files of an asset",
    # Escalated work.
    "wait workflow": "from the event to the workflow function",
    "run": "a run of a state machine, from its start to the end of its last stage so far",
    "workflow": "start the state machine of an asset, or let a decision take effect",
    "stage *": "a stage of a workflow that is no job, by its task: finish, approve, moderate",
    "wait person": "from the question to the decision",
    "wait job": "from the submission of a job to its first attempt",
    "job *": "one attempt at a job of a kind, from its arguments to its exit code",
    # Views.
    "wait viewer": "from the record to the first request for a file that is not there yet",
    "deliver": "one request for a file",
    "upgrade": "encode the files of an asset at a higher effort",
    # Requests of people and programs.
    "request *": "one request to the API, by its method and route",
    # Calls of ports, by port and method: ``store.get``, ``catalog.commit``.
    "store.*": "object store",
    "transfers.*": "large objects to and from the disk of a job",
    "uploads.*": "uploads in parts",
    "catalog.*": "catalog",
    "queue.*": "queue",
    "events.*": "event bus",
    "cache.*": "cache of hot files",
    "edges.*": "the distribution's caches",
    "workflows.*": "state machines",
    "jobs.*": "jobs",
    "moderator.*": "Rekognition, moderation",
    "labeller.*": "Rekognition, labels",
    "secrets.*": "secrets",
    "sender.*": "webhook receivers",
}
"""All names, and what each span covers. ``*`` stands for one word, which is of a closed list too:
a task, a kind of job, a route, a method of a port."""

BEGAN = "safelight.began"
"""Attribute of a span that began earlier than it says: when, ISO 8601. Some receivers take no old
spans."""
Kind = Literal["internal", "server", "client", "producer", "consumer"]
"""As OpenTelemetry has them (Specification, "Trace API", "SpanKind")."""
Attribute = str | int | float | bool

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def valid(text: object) -> str:
    """The text if it is a traceparent of version 00, else nothing: it comes from outside."""
    return text if isinstance(text, str) and _FORM.fullmatch(text) else ""


def new() -> str:
    """Begin a trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def below(traceparent: str) -> str:
    """Another span of the same trace; of a new trace if there is none."""
    return f"{traceparent[:36]}{secrets.token_hex(8)}-01" if valid(traceparent) else new()


def derived(*parts: str) -> str:
    """The traceparent of something that brought none; the same for the same parts."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def trace_id(traceparent: str) -> str:
    """The 32 digits that all spans of a trace share."""
    return traceparent[3:35]


def span_id(traceparent: str) -> str:
    """The 16 digits of the span that a traceparent names."""
    return traceparent[36:52]


def moment(text: str) -> int:
    """Nanoseconds since 1970 of a time in ISO 8601; 0 if it says none: it may be from outside."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return 0
    return int(found.timestamp() * 1_000_000) * 1_000 if found.tzinfo is not None else 0


class Recorder(Protocol):
    """Where spans go."""

    def sampled(self, trace: str) -> bool:
        """Whether a trace is written whatever becomes of it. Follows from its id alone."""
        ...

    def record(self, span: Span) -> None:
        """Take a span that has ended. Never raises, never waits."""
        ...

    def flush(self, service: str) -> None:
        """Write what has been taken of a service. Never raises, and waits two seconds at most."""
        ...


_installed: list[Recorder] = []


def install(recorder: Recorder | None) -> None:
    """Send spans of this process there; None: nowhere."""
    _installed[:] = [] if recorder is None else [recorder]


def recording() -> bool:
    """Whether spans go anywhere."""
    return bool(_installed)


@dataclass(slots=True, eq=False, kw_only=True)
class Span:
    """Something that was done, from its start to its end.

    Its ids are known when it is written and not before: a top span may :meth:`join` the trace of an
    upload as late as the object says which one that is, and takes those below it along.
    """

    name: str
    kind: Kind
    span_id: str
    start: int
    """Nanoseconds since 1970."""
    stop: int = 0
    """The same; 0 while it goes on. Never before ``start``, whatever the clock does."""
    attributes: dict[str, Attribute]
    links: Sequence[str] = ()
    """Traceparents of others that this one is about."""
    error: str = ""
    """The code of what it ended with."""
    service: str = ""
    """The service that did the work; see :func:`flushing`."""
    above: Span | None = None
    """The span of this process that it lies in; None for a top span."""
    _trace: str = ""
    _parent: str = ""
    _began: int = field(default_factory=time.perf_counter_ns)

    @property
    def top(self) -> Span:
        """The span that began it all in this process; itself, if it did."""
        span = self
        while span.above is not None:
            span = span.above
        return span

    @property
    def trace(self) -> str:
        """Its trace id."""
        return self.top._trace

    @property
    def parent(self) -> str:
        """The id of the span that it lies in; empty for the root of a trace."""
        return self._parent if self.above is None else self.above.span_id

    @property
    def traceparent(self) -> str:
        """The trace context to pass on."""
        trace = self.trace
        flag = "01" if not _installed or _installed[0].sampled(trace) else "00"
        return f"00-{trace}-{self.span_id}-{flag}"

    def join(self, traceparent: str) -> None:
        """Belong to this trace after all, with everything below; an invalid one changes nothing.

        Of a top span. Any other stays where it is.
        """
        if self.above is None and valid(traceparent):
            self._trace, self._parent = trace_id(traceparent), span_id(traceparent)

    def set(self, **attributes: Attribute) -> None:
        """Say more about it. ``asset`` is the id of an asset."""
        self.attributes.update(_named(attributes))

    def fail(self, code: str) -> None:
        """It ends in an error of this code; its whole trace is kept."""
        self.error = code

    @contextmanager
    def active(self) -> Iterator[Span]:
        """Make it the current one in this block, on any thread. Does not end it."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def end(self, error: BaseException | None = None) -> None:
        """It is over; the first call counts.

        Args:
            error: what it ended with.
        """
        if self.stop:
            return
        if error is not None and not self.error:
            self.error = code_of(error)
        # The clock may be set meanwhile: a duration is no difference of two times of day.
        self.stop = max(self.stop, self.start + time.perf_counter_ns() - self._began)
        if _installed:
            _installed[0].record(self)


class _Nothing(Span):
    """A span that is not written. One for all; it keeps nothing."""

    __slots__ = ()

    @property
    def traceparent(self) -> str:
        return current()

    def join(self, traceparent: str) -> None:
        pass

    def set(self, **attributes: Attribute) -> None:
        pass

    def fail(self, code: str) -> None:
        pass

    @contextmanager
    def active(self) -> Iterator[Span]:
        yield self

    def end(self, error: BaseException | None = None) -> None:
        pass


_NOTHING = _Nothing(name="", kind="internal", span_id="0" * 16, start=0, attributes={})
_current: ContextVar[Span | str] = ContextVar(NAME, default="")
_service: ContextVar[str] = ContextVar("service", default="")


def code_of(error: BaseException) -> str:
    """The stable code of one of our errors, and the name of the class of any other."""
    return str(getattr(error, "code", "") or type(error).__name__)


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {name if "." in name else f"safelight.{name}": one for name, one in attributes.items()}


def begin(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str = "",
    own: str = "",
    start: int = 0,
    links: Sequence[str] = (),
    **attributes: Attribute,
) -> Span:
    """A span that is not the current one, and that the caller ends.

    Args:
        name: of :data:`SPANS`.
        kind: how it stands to the span above it. A call is ``client`` or ``producer``: its error
            alone is none of the trace, because the caller may expect it.
        parent: traceparent of the span above it, which may be of another process. Empty: the
            current one; without one it begins a trace. An invalid one counts as empty.
        own: the traceparent that it has itself, if that was promised to others before: the root.
        start: nanoseconds since 1970; 0 for now.
        links: traceparents of others that it is about.
        attributes: what it says; ``bytes`` becomes ``safelight.bytes``, a name with a dot stays.
    """
    if not _installed:
        return _NOTHING
    above: Span | None = None
    text, mine = valid(parent), valid(own)
    if not text and not mine:
        bound = _current.get()
        if isinstance(bound, Span):
            above = bound
        else:
            text = bound
    if mine and trace_id(text) != trace_id(mine):
        text = ""
    now = time.time_ns()
    ago = max(0, now - start) if start else 0
    return Span(
        name=name,
        kind=kind,
        span_id=span_id(mine) or secrets.token_hex(8),
        start=now - ago,
        attributes=_named(attributes) if attributes else {},
        links=links,
        service=_service.get(),
        above=above,
        _trace="" if above else trace_id(mine or text) or secrets.token_hex(16),
        _parent=span_id(text),
        _began=time.perf_counter_ns() - ago,
    )


def finished(
    name: str,
    *,
    start: int,
    end: int = 0,
    kind: Kind = "internal",
    parent: str = "",
    own: str = "",
    links: Sequence[str] = (),
    error: str = "",
    **attributes: Attribute,
) -> None:
    """Write a span of something that lies in the past: a wait in a queue.

    Args:
        start: nanoseconds since 1970. 0: not known, and nothing is written.
        end: the same; 0 for now. One before the start, by another machine's clock, is the start.
        error: the code of what it ended with.

    The other arguments are those of :func:`begin`.
    """
    if not _installed or start <= 0:
        return
    past = begin(name, kind=kind, parent=parent, own=own, start=0, links=links, **attributes)
    past.start, past.error = min(start, past.start), error
    past.stop = max(past.start, end or time.time_ns())
    _installed[0].record(past)


class _SpanBlock:
    """A block with a current trace, and perhaps a span that is over with it."""

    __slots__ = ("_context", "_span", "_token")

    def __init__(self, context: Span | str, span: Span) -> None:
        self._context = context
        self._span = span

    def __enter__(self) -> Span:
        self._token = _current.set(self._context)
        return self._span

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        _current.reset(self._token)
        self._span.end(error)


class _NoSpanBlock:
    """The result of :func:`span` if no spans are written."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return _NOTHING

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        pass


_NO_SPAN_BLOCK = _NoSpanBlock()


def span(
    name: str,
    *,
    kind: Kind = "internal",
    parent: str = "",
    own: str = "",
    start: int = 0,
    links: Sequence[str] = (),
    **attributes: Attribute,
) -> _SpanBlock | _NoSpanBlock:
    """A block as a span: the current one in it, and over with it. An exception in the block ends
    the span with its code.

    The arguments are those of :func:`begin`.
    """
    if _installed:
        begun = begin(
            name, kind=kind, parent=parent, own=own, start=start, links=links, **attributes
        )
        return _SpanBlock(begun, begun)
    # Without spans the id is passed on all the same.
    text = (own and valid(own)) or (parent and valid(parent))
    return _SpanBlock(text, _NOTHING) if text else _NO_SPAN_BLOCK


def inside() -> bool:
    """Whether a span is under way here: calls in it are spans of it."""
    return isinstance(_current.get(), Span)


def current() -> str:
    """The traceparent to send on: of the running span, or of what :func:`bind` has named."""
    bound = _current.get()
    return bound.traceparent if isinstance(bound, Span) else bound


@contextmanager
def bind(traceparent: str) -> Iterator[None]:
    """Name the trace of all log lines and spans of this thread in the block."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def flushing(service: str) -> Iterator[None]:
    """Take the spans of a block, or of a function, for those of a service; write them at its end.

    Threads that are started in it must get its context, as everywhere
    (``contextvars.copy_context``).

    Args:
        service: ``ingest``, ``batch``. Spans of others in the same process are left to them.
    """
    token = _service.set(service)
    try:
        yield
    finally:
        _service.reset(token)
        for recorder in _installed:
            recorder.flush(service)


def stamp(record: LogRecord) -> bool:
    """Add the current trace to a log line; a filter of ``logging`` that lets all pass."""
    if traceparent := current():
        setattr(record, NAME, traceparent)
    return True
