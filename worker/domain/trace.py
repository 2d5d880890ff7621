"""The correlation id of an upload: in every message, record, job, event and log line about it.

It is a ``traceparent`` of W3C Trace Context (Recommendation, section 3.2). An uploader may send
one, as metadata of the object or with the message. Every other upload has one that is derived from
its event, so that each retry and each duplicate has the same.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from logging import LogRecord

NAME = "traceparent"
"""Of the metadata of an object, the attribute of a message, the field of an event or a log line."""

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str] = ContextVar(NAME, default="")


def valid(text: object) -> str:
    """The text if it is a traceparent of version 00, else nothing: it comes from outside."""
    return text if isinstance(text, str) and _FORM.fullmatch(text) else ""


def new() -> str:
    """Begin a trace."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def derived(*parts: str) -> str:
    """The traceparent of something that brought none; the same for the same parts."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


@contextmanager
def bind(traceparent: str) -> Iterator[None]:
    """Name the trace of all log lines of this thread in the block."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


def stamp(record: LogRecord) -> bool:
    """Add the bound trace to a log line; a filter of ``logging`` that lets all pass."""
    if traceparent := _current.get():
        setattr(record, NAME, traceparent)
    return True
