"""Serves renditions in the local stack as the distribution does on AWS, from a port of its own.

The edge function chooses the key (``worker.infra.edge`` runs the file that is deployed). The cache
uses this key. If the bucket does not have it, ``Deliver`` responds. An invalidation, by the request
that CloudFront's API takes, removes the files with its tags from the cache. CloudFront does more:
edges everywhere, TLS, compression, and caching of parts of files.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from worker.adapters import emf
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.cloudfront import TAG
from worker.adapters.aws.errors import aws_call
from worker.bootstrap import assemble
from worker.domain import trace
from worker.domain.delivery import NEGOTIATION_HEADERS, READABLE_HEADERS, RENDITION_POLICY
from worker.domain.errors import AccessDenied, EngineError, ObjectMissing, SafelightError
from worker.domain.image import Format
from worker.domain.keys import TAG_HEADER, TRACE_HEADER, cache_tag
from worker.imaging.malloc import keep_memory
from worker.infra.edge import EdgeFunction, request_event, source
from worker.local.access_log import AccessLog
from worker.local.api import listen, uvicorn_server
from worker.local.child import working
from worker.services.deliver import (
    Deliver,
    OriginAnswer,
    error,
    unavailable,
    waits_for_viewer,
)
from worker.settings import Settings

HEADERS: Mapping[str, str] = {
    **NEGOTIATION_HEADERS,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": RENDITION_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": ", ".join(READABLE_HEADERS),
}
"""Of every answer: those of the distribution's response headers policy, but TLS."""
CACHED_BYTES = 64_000_000
"""Of all files that are cached."""
ENTRY_BYTES = 1_000
"""Of a cached response beside its body: key, headers and objects (650 were measured). Without them
any number of 404s would fit, and a stranger has any number of URLs."""
CACHED_FILE_BYTES = 4_000_000
"""Larger ones are read from the bucket each time, in parts where a player asks for some."""
MOST_VIEWED = 10_000
MOST_CHOSEN = 1_000
"""Events whose results are remembered; each has some kilobytes."""
DEFAULT_SECONDS = 86_400
"""How long an answer is kept that does not say it, as by the distribution's cache policy."""
INVALIDATION = "/2020-05-31/distribution/{id}/invalidation"
"""Path of CreateInvalidation (CloudFront API Reference)."""
MOST_INVALIDATION = 1_000_000
"""Bytes of such a request: 3,000 tags of 256 characters fit."""
XML = "text/xml"
_PATH = re.compile(r"<Path>([^<>&]+)</Path>")
_REFERENCE = re.compile(r"<CallerReference>([^<>&]+)</CallerReference>")
_INVALIDATED = (
    "<Invalidation><Id>I0</Id><Status>Completed</Status>"
    "<CreateTime>{time}</CreateTime>"
    "<InvalidationBatch>{batch}</InvalidationBatch></Invalidation>"
)
_CHUNK = 1 << 18
_POSITION = re.compile(r"[0-9]{1,18}")
"""A position in a file. No file is that long, and Python refuses to read 5,000 digits."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A response of an origin, and the time until which it is fresh."""

    answer: OriginAnswer
    since: float
    until: float


class EdgeCache:
    """Answers by key, with their tags, the least used ones forgotten first.

    Args:
        most: bytes.
        clock: seconds, monotonic.
    """

    def __init__(
        self, most: int = CACHED_BYTES, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._clock = most, clock
        self._answers: OrderedDict[str, CachedAnswer] = OrderedDict()
        self._size = 0
        self.invalidations = 0
        """So far."""

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: str) -> tuple[OriginAnswer, int] | None:
        """A fresh answer and its age in seconds."""
        found = self._answers.get(key)
        if found is None:
            return None
        if self._clock() >= found.until:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return found.answer, int(self._clock() - found.since)

    def put(self, key: str, answer: OriginAnswer, *, asked: int | None = None) -> None:
        """Cache a response for as long as its headers allow.

        Args:
            asked: ``invalidations`` when the origin was asked. What was invalidated since may be
                what it answered then: such a response is not kept.
        """
        seconds = _seconds(answer.headers.get("Cache-Control", ""))
        if seconds <= 0 or len(answer.body) > CACHED_FILE_BYTES:
            return
        if asked is not None and asked != self.invalidations:
            return
        self._drop(key)
        now = self._clock()
        self._answers[key] = CachedAnswer(answer, now, now + seconds)
        self._size += ENTRY_BYTES + len(answer.body)
        while self._size > self._most:
            self._drop(next(iter(self._answers)))

    def forget(self, tags: Iterable[str]) -> None:
        """Remove all responses with one of the tags, as an invalidation does."""
        named = frozenset(tags)
        self.invalidations += 1
        for key, found in list(self._answers.items()):
            # Errors have no tag: their key has the asset.
            if found.answer.headers.get(TAG_HEADER, cache_tag(key.split("/")[1])) in named:
                self._drop(key)

    def _drop(self, key: str) -> None:
        found = self._answers.pop(key, None)
        if found is not None:
            self._size -= ENTRY_BYTES + len(found.answer.body)


@dataclass
class DeliveryServer:
    """The distribution.

    Args:
        edge: the function; made in the thread that serves.
        clients: to read the bucket with.
        deliver: responds for keys that the bucket does not have.
        log: of requests for files; None for none.
    """

    edge: EdgeFunction
    clients: AwsClients
    bucket: str
    deliver: Deliver
    log: AccessLog | None = None
    cache: EdgeCache = field(default_factory=EdgeCache)
    _chosen: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _asking: dict[tuple[str, int], asyncio.Task[OriginAnswer | Mapping[str, Any]]] = field(
        default_factory=dict
    )
    """Requests of the origin, by key and by the invalidations before them."""
    _viewed: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Traces of which something was delivered."""

    def app(self) -> Starlette:
        """As an ASGI app."""
        methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(
            routes=[
                Route(INVALIDATION, self.invalidate, methods=["POST"]),
                Route("/{path:path}", self.answer, methods=methods),
            ],
            # Responses to unknown routes, and to defects, with the headers of all other responses.
            exception_handlers={HTTPException: _failed, Exception: _failed},
        )

    async def invalidate(self, request: Request) -> Response:
        """CreateInvalidation of CloudFront's API, by cache tags. It is done when it is answered."""
        if int(request.headers.get("content-length") or MOST_INVALIDATION + 1) > MOST_INVALIDATION:
            return _refused("BatchTooLarge", "the invalidation is too long, or of unknown length")
        batch = (await request.body()).decode(errors="replace")
        items, named = _PATH.findall(batch), _REFERENCE.search(batch)
        if named is None or not items or not all(one.startswith(TAG) for one in items):
            return _refused("InvalidArgument", "the local stack invalidates by cache tags only")
        self.cache.forget(one.removeprefix(TAG) for one in items)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done = _INVALIDATED.format(time=now, batch=_batch(items, named[1]))
        return Response(done, 201, media_type=XML)

    async def answer(self, request: Request) -> Response:
        """One request of a client."""
        if request.method == "OPTIONS":
            allowed = {
                "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
                "Access-Control-Allow-Headers": "range",
            }
            return Response(status_code=204, headers={**HEADERS, **allowed})
        if request.method not in ("GET", "HEAD"):
            return _respond(request, error(403, "only GET, HEAD and OPTIONS"), "Error")
        path = request.scope["raw_path"].decode("latin-1")
        client = request.client.host if request.client else ""
        event = request_event(path, request.headers.items(), method=request.method, address=client)
        chosen = self._choose(event)
        if "statusCode" in chosen:
            headers = {name: one["value"] for name, one in chosen["headers"].items()}
            made = OriginAnswer(
                status=chosen["statusCode"], headers=headers, body=chosen["body"].encode()
            )
            return _respond(request, made, "FunctionGeneratedResponse")
        key = str(chosen["uri"]).removeprefix("/")
        try:
            answer = await self._cached(request, key)
        except SafelightError as failure:
            answer = _respond(request, unavailable(failure), "Error")
        if self.log is not None:
            self.log.write(
                method=request.method,
                path=f"/{key}",
                status=answer.status_code,
                sent=int(answer.headers.get("content-length", 0)),
                kind=answer.headers.get("content-type", ""),
                how=answer.headers.get("x-cache", ""),
            )
        return answer

    def _choose(self, event: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the edge function on an event. The result is the same for the same event: the
        function uses no clock and no random numbers. Most clients of a kind send the same
        headers."""
        text = json.dumps(event)
        found = self._chosen.get(text)
        if found is None:
            if len(self._chosen) >= MOST_CHOSEN:
                self._chosen.clear()
            found = self._chosen[text] = self.edge.handle(event)
        return found

    async def _cached(self, request: Request, key: str) -> Response:
        found = self.cache.get(key)
        if found is not None:
            return _respond(request, found[0], "Hit", age=found[1])
        # Clients that ask for the same at once get one answer of the origin, errors too: one after
        # the other they would ask an origin that is down. After an invalidation it is asked anew.
        at = (key, self.cache.invalidations)
        asking = self._asking.get(at)
        first = asking is None
        if asking is None:
            asking = self._asking[at] = asyncio.create_task(self._fetch(at, request))
        answer = await asyncio.shield(asking)  # who goes away does not take it from the others
        shared = isinstance(answer, OriginAnswer) and answer.status != 416
        if not first and not shared:  # a large file is read by each client, in its own parts
            answer = await run_in_threadpool(self._ask, key, request)
        if isinstance(answer, OriginAnswer):
            return _respond(request, answer, "Miss" if first or not shared else "Hit")
        return _stream(request, answer)

    async def _fetch(
        self, at: tuple[str, int], request: Request
    ) -> OriginAnswer | Mapping[str, Any]:
        try:
            answer = await run_in_threadpool(self._ask, at[0], request)
        finally:
            del self._asking[at]
        if isinstance(answer, OriginAnswer):
            self.cache.put(at[0], answer, asked=at[1])
        return answer

    def _ask(self, key: str, request: Request) -> OriginAnswer | Mapping[str, Any]:
        """The bucket, then the other origin. A large file is given as S3's answer, unread."""
        with trace.flushing("deliver"):
            return self._read(key, request)

    def _read(self, key: str, request: Request) -> OriginAnswer | Mapping[str, Any]:
        began = time.time_ns()
        try:
            found = self._get(key, {})
            self._trace(key, found, began)
            if found["ContentLength"] <= CACHED_FILE_BYTES:
                body = found["Body"].read()
                return OriginAnswer(status=200, headers=_object_headers(found), body=body)
            part = _part(request, found["ETag"], found["ContentLength"])
            if part is None:
                return found
            found["Body"].close()
            first, last = part
            if first > last:
                return _no_part(_object_headers(found), found["ContentLength"])
            return self._get(key, {"Range": f"bytes={first}-{last}"})
        except (ObjectMissing, AccessDenied):  # 404 and 403, as the distribution's failover
            try:
                return self.deliver.answer(key)
            finally:
                emf.flush("deliver")

    def _trace(self, key: str, found: Mapping[str, Any], began: int) -> None:
        """Record in the trace of an upload that one of its files is delivered. On AWS no code runs
        when a bucket answers the distribution: there only the log of the distribution shows it."""
        parent, asset = found.get("Metadata", {}).get(trace.NAME, ""), key.split("/")[1:2]
        if not asset or not trace.valid(parent):
            return
        if parent not in self._viewed:
            self._viewed[parent] = None
            if len(self._viewed) > MOST_VIEWED:
                self._viewed.popitem(last=False)
            waits_for_viewer(found["LastModified"].isoformat(), parent)
        trace.finished(
            "deliver",
            start=began,
            kind="server",
            parent=parent,
            asset=asset[0],
            bytes=found["ContentLength"],
        )

    def _get(self, key: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        with aws_call(f"get s3://{self.bucket}/{key}"):
            found: Mapping[str, Any] = self.clients.s3.get_object(
                Bucket=self.bucket, Key=key, **parameters
            )
        if found.get("TagCount"):
            # The bucket's policy refuses the distribution what is tagged ``CLOSED``. This server
            # reads as the delivery function, which it does not refuse; files have no other tags.
            found["Body"].close()
            raise AccessDenied(f"s3://{self.bucket}/{key} is closed")
        return found


async def _failed(request: Request, failure: Exception) -> Response:
    """A method or form of request that no route takes; a defect, which is in the log."""
    if isinstance(failure, HTTPException):
        return _respond(request, error(failure.status_code, failure.detail), "Error")
    return _respond(request, unavailable(EngineError(f"{failure}")), "Error")


def _batch(items: Iterable[str], reference: str) -> str:
    paths = "".join(f"<Path>{one}</Path>" for one in items)
    return f"<Paths><Items>{paths}</Items></Paths><CallerReference>{reference}</CallerReference>"


def _refused(code: str, said: str) -> Response:
    """An error as CloudFront's API answers it."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{said}</Message></Error>"
    return Response(f"<ErrorResponse>{error}</ErrorResponse>", 400, media_type=XML)


def _object_headers(found: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        "Content-Type": found.get("ContentType", "application/octet-stream"),
        "ETag": found["ETag"],
        "Last-Modified": found["LastModified"].strftime("%a, %d %b %Y %H:%M:%S GMT"),
    }
    if found.get("CacheControl"):
        headers["Cache-Control"] = found["CacheControl"]
    for name, value in found.get("Metadata", {}).items():
        headers[f"x-amz-meta-{name}"] = value
    headers.pop(TRACE_HEADER, None)  # as the distribution's response headers policy
    return headers


def _respond(request: Request, answer: OriginAnswer, how: str, *, age: int = 0) -> Response:
    """The answer as this request wants it: not modified, a part, or no body at all."""
    headers = {**answer.headers, **HEADERS, "X-Cache": how}
    if how == "Hit":
        headers["Age"] = str(age)
    status, body = answer.status, answer.body
    if status == 200:
        headers["Accept-Ranges"] = "bytes"
        if _unchanged(request, headers):
            return _not_modified(headers)
        part = _part(request, headers.get("ETag", ""), len(body))
        if part is not None:
            first, last = part
            if first > last:
                return Response(status_code=416, headers=_no_part(headers, len(body)).headers)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            status, body = 206, body[first : last + 1]
    headers["Content-Length"] = str(len(body))
    return Response(b"" if request.method == "HEAD" else body, status, headers)


def _not_modified(headers: Mapping[str, str]) -> Response:
    kept = {name: text for name, text in headers.items() if name != "Content-Type"}
    return Response(status_code=304, headers=kept)


def _no_part(headers: Mapping[str, str], size: int) -> OriginAnswer:
    kept = {**headers, "Content-Range": f"bytes */{size}", "Cache-Control": "no-store"}
    return OriginAnswer(status=416, headers=kept)


def _stream(request: Request, found: Mapping[str, Any]) -> Response:
    """A large object, or the requested range of it."""
    headers = {**_object_headers(found), **HEADERS, "X-Cache": "Miss", "Accept-Ranges": "bytes"}
    body = found["Body"]
    if _unchanged(request, headers):
        body.close()
        return _not_modified(headers)
    headers["Content-Length"] = str(found["ContentLength"])
    if "ContentRange" in found:
        headers["Content-Range"] = found["ContentRange"]
    if request.method == "HEAD":
        body.close()
        return Response(None, 200, headers)
    status = 206 if "ContentRange" in found else 200
    return StreamingResponse(_chunks(body), status, headers)


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    try:
        async for chunk in iterate_in_threadpool(body.iter_chunks(_CHUNK)):
            yield chunk
    finally:
        body.close()


def _unchanged(request: Request, headers: Mapping[str, str]) -> bool:
    """Whether the client has this file (RFC 9110, 13.1.2 and 13.2.2)."""
    named = request.headers.get("if-none-match")
    if named is not None:
        etags = {one.strip().removeprefix("W/") for one in named.split(",")}
        return "*" in etags or headers.get("ETag", "").removeprefix("W/") in etags
    return request.headers.get("if-modified-since", "-") == headers.get("Last-Modified")


def _part(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """First and last byte of the part that is asked for; None for the whole, as several parts are.

    The first one is behind the last one where there is no such part.
    """
    unit, _, wanted = request.headers.get("range", "").partition("=")
    if unit.strip() != "bytes" or "," in wanted:
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    begin, dash, end = (one.strip() for one in wanted.partition("-"))
    if not dash or not all(_POSITION.fullmatch(one) for one in (begin or "0", end or "0")):
        return None
    if not begin:
        return (max(0, size - int(end)), size - 1) if end and int(end) else None
    if end and int(end) < int(begin):
        return None
    first, last = int(begin), min(int(end) if end else size - 1, size - 1)
    return (first, last) if first < size else (size, size - 1)


def _seconds(cache_control: str) -> int:
    """How long a shared cache may keep a response."""
    named = [one.strip().lower().partition("=") for one in cache_control.split(",")]
    words = {name: value for name, _, value in named}
    if "no-store" in words or "no-cache" in words or "private" in words:
        return 0
    text = words.get("s-maxage", words.get("max-age", ""))
    return int(text) if text.isdigit() else DEFAULT_SECONDS


def run(port: int, log: Path, ready: Path) -> None:
    """Serve until a signal asks for the end.

    Args:
        port: on loopback.
        log: file of requests.
        ready: file to write once requests are answered.
    """
    keep_memory()  # it makes files at first view, one after the other
    settings, clients = Settings.from_environment(os.environ), AwsClients()
    app = assemble(settings, clients)
    chosen = [app.recipes.load(name) for name in app.recipes.for_everybody]
    formats = frozenset[Format]().union(*(one.formats_made for one in chosen))
    server = DeliveryServer(
        edge=EdgeFunction(source(formats)),
        clients=clients,
        bucket=settings.delivery_bucket,
        deliver=app.deliver(),
        log=AccessLog(log),
    )
    serving = uvicorn_server(server.app())
    with listen(port, "--delivery-port") as listener, working(ready):
        serving.run(sockets=[listener])
