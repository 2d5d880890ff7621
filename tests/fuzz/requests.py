"""Targets that read what comes over the wire: messages, requests to the API, URLs, headers."""

from __future__ import annotations

import functools
import itertools
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.fuzz.targets import Target, WrongAnswer, joined, split, text_of
from tests.unit.api.rig import Api
from tests.unit.finalize.test_handler import application
from tests.unit.finalize.world import World as HeavyWorld
from tests.unit.test_deliver import World as DeliveryWorld
from tests.unit.test_ingest_handler import EVENTS, GIF, KEY
from tests.unit.test_ingest_handler import World as IngestWorld
from worker import recipes
from worker.domain import asset, delivery, review, trace, user_metadata
from worker.domain.errors import InputError, MalformedMessage, SafelightError
from worker.domain.events import cloud_event, event_of
from worker.entrypoints import lambda_deliver, lambda_ingest, lambda_workflow
from worker.services import messages
from worker.services.translation import read, translate


class Defects(logging.Handler):
    """Handlers catch defects, log them and go on: here they come to light."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the exception of the first line."""
        if record.exc_info and self.seen is None:
            self.seen = record.exc_info[1]

    def check(self) -> None:
        """Raise what was logged since the last check, unless it is an error of ours."""
        seen, self.seen = self.seen, None
        if seen is not None and not isinstance(seen, SafelightError):
            raise WrongAnswer("a handler has logged a defect") from seen


@functools.cache
def _listening(name: str) -> Defects:
    """What is logged to the logger of a function, and printed nowhere."""
    found = Defects()
    logger: Any = {"ingest": lambda_ingest, "deliver": lambda_deliver}[name].logger
    logger.handlers[:] = [found]
    logger.propagate = False
    return found


def _messages(data: bytes) -> None:
    """Each reader of queue messages, by itself."""
    body, attributes = (text_of(one) for one in split(data, 2))
    messages.unwrapped(body)
    said = {"ERROR_CODE": attributes[:8], "ERROR_MESSAGE": attributes}
    for reader in (
        lambda: messages.asset_event(body),
        lambda: messages.not_started(body, said),
    ):
        try:
            reader()
        except MalformedMessage as error:
            error.message.encode()
    for change in messages.changes_in(body, attributes):
        # What every service does with a change first.
        asset.asset_id_of(change.bucket, change.key).encode()
        asset.sort_key(change.sequencer).encode()
        asset.folder_of(change.key)
        if isinstance(change, asset.ObjectVersion):
            back = messages.changes_in(messages.announcement(change, sender="fuzz"))
            if back[0] != replace(change, traceparent=""):
                raise WrongAnswer("an upload that is announced again is another one")


def _message_seeds() -> Iterator[bytes]:
    for path in sorted(EVENTS.glob("*.json")):
        event = json.loads(path.read_text("utf-8"))
        yield json.dumps(event).encode()
        for record in event.get("Records", []):
            if isinstance(record.get("body"), str):
                yield joined(record["body"].encode(), trace.derived("x").encode())
    yield messages.wrapped(messages.Envelope(id="m", body="{}", redriven=True)).encode()
    world = HeavyWorld()
    event = event_of(world.record)
    assert event is not None
    letter = {"id": "e", "detail-type": event.type, "detail": cloud_event(event)}
    yield joined(json.dumps(letter).encode(), b"SDK_CLIENT_ERROR")
    called = {"requestPayload": letter, "responsePayload": {"errorType": "Throttled"}}
    yield json.dumps(called).encode()


def _ingest(data: bytes) -> None:
    """The ingest function on two messages: one from outside, and one that must be done."""
    body, receives, attribute = (text_of(one) for one in split(data, 3))
    world = IngestWorld()
    world.store.upload("intake", KEY, GIF)
    records = [_record("from-outside", body, receives, attribute)]
    records.append(_record("good", '{"Event": "s3:TestEvent"}', "1", ""))
    defects = _listening("ingest")
    answered = world.handle({"Records": records})
    defects.check()
    kept = {one["itemIdentifier"] for one in answered["batchItemFailures"]}
    if not kept <= {"from-outside"}:
        raise WrongAnswer("a message has stopped another one")


def _record(identity: str, body: str, receives: str, attribute: str) -> dict[str, Any]:
    """As Lambda hands a message over: numbers and ids are of SQS, the rest is of the sender."""
    digits = receives if receives.isdecimal() and receives.isascii() else "1"
    return {
        "messageId": identity,
        "receiptHandle": identity,
        "body": body,
        "attributes": {"ApproximateReceiveCount": digits[:3], "SentTimestamp": "1700000000000"},
        "messageAttributes": {trace.NAME: {"stringValue": attribute, "dataType": "String"}},
        "eventSource": "aws:sqs",
    }


def _ingest_seeds() -> Iterator[bytes]:
    world = IngestWorld()
    yield joined(messages.announcement(world.store.upload("intake", KEY, GIF), sender="x").encode())
    for seed in _message_seeds():
        yield joined(split(seed, 2)[0], b"2", trace.derived("x").encode())


def _workflow(data: bytes) -> None:
    """The workflow function on an event of the bus, or of a state machine."""
    try:
        event = json.loads(text_of(data))
    except (ValueError, RecursionError):
        return  # Lambda takes JSON only
    if not isinstance(event, dict):
        return
    lambda_workflow.answer(event, application(HeavyWorld()))


def _workflow_seeds() -> Iterator[bytes]:
    world = HeavyWorld()
    event = event_of(world.record)
    assert event is not None
    whole = {"source": "safelight", "detail-type": event.type, "detail": cloud_event(event)}
    yield json.dumps(whole).encode()
    names = {"asset": world.record.asset, "version": world.record.version}
    for task in ("start", "finish", "stage", "fail", "send"):
        call = {"task": task, "stage": "publish", "workflow": "heavy", "execution": "run:x"}
        yield json.dumps(call | names | {"token": "t", "attempt": 2, "jobs": []}).encode()
    jobs = [{"kind": "transcode", "state": "failed", "error": "E", "cause": "{}"}]
    yield json.dumps({"task": "finish", "jobs": jobs} | names).encode()


@functools.cache
def _api() -> tuple[Api, str, str]:
    logging.getLogger("api").setLevel(logging.CRITICAL)
    api = Api({"SAFELIGHT_API_RATE": "100000"})
    there = api.begin("ann", tags=["sea"])["asset"]
    token = api.token("ann", "read", "write", "review", seconds=36_000)
    return api, there, token


_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def _http(data: bytes) -> None:
    """One request with a token: its method and path, its headers, its body."""
    head, headers, body = split(data, 3)
    method, _, path = head.decode("latin-1").partition(" ")
    if method not in _METHODS or not path.startswith("/") or not path.isascii():
        return  # the server before the application refuses it
    api, there, token = _api()
    sent = {b"authorization": f"Bearer {token}".encode(), b"content-type": b"application/json"}
    for line in headers.split(b"\n")[:20]:
        name, _, value = line.partition(b":")
        if name.isalpha() and not set(value) & {0, 10, 13}:
            sent[name.lower()] = value
    sent.pop(b"host", None)
    try:
        answered = api.client.request(
            method, path.replace("{asset}", there), headers=list(sent.items()), content=body
        )
    except _refused_by_client():
        return
    if answered.status_code >= 500:
        raise WrongAnswer(f"{method} {path}: {answered.status_code} {answered.text[:500]}")


@functools.cache
def _refused_by_client() -> tuple[type[Exception], ...]:
    """What the client of the tests refuses before it sends anything."""
    import httpx2

    return (httpx2.InvalidURL, httpx2.UnsupportedProtocol)


_BODIES: tuple[tuple[str, Any], ...] = (
    ("POST /uploads", {"name": "a.jpg", "size": 1000, "type": "image/jpeg", "tags": ["sea"]}),
    ("POST /uploads", {"name": "a", "size": 4e7, "method": "multipart", "attributes": {"a": "b"}}),
    ("GET /uploads/{asset}", None),
    ("POST /uploads/{asset}/parts", {"parts": [1, 2]}),
    ("POST /uploads/s3", {"method": "PUT", "key": "x", "uploadId": "y", "partNumber": 1}),
    ("GET /assets?tag=sea&limit=10&cursor=abc", None),
    ("GET /assets/{asset}", None),
    ("PATCH /assets/{asset}", {"tags": ["a"], "attributes": {"x": "y"}, "focalPoint": [0.5, 0.5]}),
    ("GET /assets/{asset}/similar?distance=3", None),
    ("POST /jobs", {"kind": "transcode", "asset": "{asset}", "parameters": {"height": 720}}),
    ("GET /reviews?state=open&limit=5", None),
    ("POST /reviews/x/approve", {"note": "fine"}),
    ("GET /health", None),
)


def _http_seeds() -> Iterator[bytes]:
    headers = f"accept:*/*\ntraceparent:{trace.derived('x')}\nrange:bytes=0-5".encode()
    for head, body in _BODIES:
        yield joined(head.encode(), headers, b"" if body is None else json.dumps(body).encode())
    document = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text("utf-8"))
    for path, methods in document["paths"].items():
        for method in methods:
            if method.upper() in _METHODS:
                yield joined(f"{method.upper()} {path}".encode(), headers, b"{}")


def _url(data: bytes) -> None:
    """A URL of another service; what it becomes is a URL here, and a recipe that is one."""
    url, service = (text_of(one) for one in split(data, 2))
    services = (None, "imgproxy", "thumbor", "image-handler")
    wanted = read(url, service=services[len(service) % 4], presets={"small": "rs:fit:10:10"})
    found = translate(url, wanted, mappings=(("http://example.com/", "s3://bucket/"),))
    found.url.encode("ascii")
    if found.recipe:
        recipes.parse(f'name = "new"\nversion = 1\n\n{found.recipe}')


def _url_seeds() -> tuple[bytes, ...]:
    host = b"http://x.example/"
    return (
        host + b"insecure/rs:fill:300:400:0/g:fp:0.5:0.2/plain/http://example.com/a.jpg@webp",
        host + b"insecure/pr:small/q:80/el:1/bg:255:0:0/aHR0cDovL2V4YW1wbGUuY29tL2EuanBn.png",
        host + b"unsafe/300x200/smart/filters:quality(80):fill(red)/example.com%2Fa.jpg",
        host + b"unsafe/fit-in/-300x0/left/top/trim/10x10:90x90/http%3A%2F%2Fexample.com%2Fa.jpg",
        host + b"eyJidWNrZXQiOiJiIiwia2V5IjoiYS5qcGciLCJlZGl0cyI6eyJyZXNpemUiOnsid2lkdGgiOjEwfX19",
        joined(host + b"a.jpg?width=100&height=50&fit=cover&format=webp&rotate=90", b"xxx"),
    )


def _headers(data: bytes) -> None:
    """Small texts from outside: trace headers, paths, ids, metadata of objects, moments."""
    text, other = (text_of(one) for one in split(data, 2))
    if trace.valid(text):
        trace.trace_id(trace.below(text))
    trace.derived(text, other)
    trace.moment(text)
    delivery.read_key(text)
    delivery.read_picture_key(text)
    asset.asset_id_of("bucket", text)
    asset.folder_of(text)
    found = user_metadata.from_metadata(
        {
            user_metadata.OWNER: text,
            user_metadata.TAGS: text,
            user_metadata.ATTRIBUTES: other,
            user_metadata.RECIPE: other,
        }
    )
    for one in itertools.chain([found.owner, found.recipe], found.tags, found.ignored):
        one.encode()
    review.parse_id(text)


def _header_seeds() -> Iterator[bytes]:
    yield trace.derived("x").encode()
    yield b"2026-01-01T00:00:00.5+02:00"
    identity = asset.asset_id_of("bucket", "key")
    key = f"{identity[:2]}/{identity}/{'0' * 16}/auto/w/640.webp"
    yield key.encode()
    yield key.replace("auto/w/640", "thumb").encode()
    yield joined(b"sea,%C3%A9t%C3%A9,a b", b"colour=red&size=10&x=%00")
    yield f"{identity}.{'0' * 16}.1".encode()


@functools.cache
def _delivery() -> DeliveryWorld:
    return DeliveryWorld()


def _deliver(data: bytes) -> None:
    """The delivery function on any path."""
    method, path = (text_of(one) for one in split(data, 2))
    world = _delivery()
    event = {"requestContext": {"http": {"method": method or "GET"}}, "rawPath": path}
    defects = _listening("deliver")
    answered = lambda_deliver.answer(event, world.deliver)
    defects.check()
    json.dumps(answered).encode()
    if answered["statusCode"] >= 500:
        raise WrongAnswer(f"{path!r}: {answered['statusCode']}")


_JSON = (b"\\ud800", b"1e999", b"Infinity", b"NaN", b"null", b"[[[[", b'"Records"', b'"eventName"')
TARGETS = (
    Target(
        name="messages",
        about="messages of S3, SQS, EventBridge, pipes, and dead letters",
        call=_messages,
        seeds=_message_seeds,
        refuses=(MalformedMessage,),
        words=(*_JSON, b'"requestPayload"', b'"body"', b'"sequencer"', b'"detail-type"'),
        weight=2,
    ),
    Target(
        name="ingest",
        about="the ingest function, with a good message behind the one from outside",
        call=_ingest,
        seeds=_ingest_seeds,
        words=_JSON,
    ),
    Target(
        name="tasks",
        about="the workflow function: events of the bus, tasks of a state machine",
        call=_workflow,
        seeds=_workflow_seeds,
        refuses=(SafelightError,),
        words=(*_JSON, b'"attempt"', b'"jobs"', b'"task"', b'"token"'),
    ),
    Target(
        name="http",
        about="requests to the API",
        call=_http,
        seeds=_http_seeds,
        words=(*_JSON, b"POST /", b"GET /", b"traceparent:", b"%00", b"%ff", b"?cursor="),
        weight=2,
    ),
    Target(
        name="urls",
        about="URLs of imgproxy, thumbor and Dynamic Image Transformation",
        call=_url,
        seeds=_url_seeds,
        refuses=(InputError,),
        words=(b"filters:", b"rs:", b"plain/", b"%2F", b"%00", b"unsafe/", b"nan", b"1e999"),
        weight=2,
    ),
    Target(
        name="headers",
        about="trace headers, keys, ids, metadata of objects",
        call=_headers,
        seeds=_header_seeds,
        refuses=(InputError, SafelightError),
        words=(b"00-", b"%ed%a0%80", b"%00", b",", b"&", b"="),
        longest=2048,
    ),
    Target(
        name="deliver",
        about="paths of the delivery function",
        call=_deliver,
        seeds=lambda: (joined(b"GET", one) for one in _header_seeds()),
        words=(b"/w/", b"/auto/", b".webp", b"%2e%2e/", b"\xc3\xa9"),
        longest=1024,
    ),
)
