"""The trace of a request: the caller's trace, or a new one."""

from __future__ import annotations

import time

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.adapters import emf
from worker.domain import trace
from worker.domain.trace import Attribute, Span
from worker.entrypoints.api.problems import METHODS

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class TraceContext:
    """Continues the trace of the caller (W3C Trace Context), or starts a new one. An upload that
    the request begins has this trace, and so have the log lines.

    The request is a span; the span that begins an upload is the root of its trace. Pages poll every
    second, so a GET request is a span only if the caller sends a trace or if it fails.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start = 0, time.time_ns()

        async def say(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        sent = trace.valid(Headers(scope=scope).get(trace.NAME))
        own = trace.below(sent)
        with emf.flushing("api"), trace.flushing("api"):
            if scope["method"] not in _READS or sent:
                with trace.span(_name(scope), kind="server", parent=sent, own=own) as span:
                    await self._app(scope, receive, say)
                    _answered(span, scope, status)
                return
            with trace.bind(own):
                await self._app(scope, receive, say)
            if status >= 500:
                span = trace.begin(_name(scope), kind="server", own=own, start=start)
                _answered(span, scope, status)
                span.end()


def _name(scope: Scope) -> str:
    method = scope["method"]
    if (method, scope["path"]) == ("POST", "/uploads"):
        return "upload"
    return f"request {method if method in METHODS else 'OTHER'}"


def _answered(span: Span, scope: Scope, status: int) -> None:
    # The route's pattern, because the path contains ids.
    said: dict[str, Attribute] = {
        "http.route": getattr(scope.get("route"), "path", ""),
        "http.response.status_code": status,
    }
    span.set(**said)
    if status >= 500:
        span.fail(f"http_{status}")
