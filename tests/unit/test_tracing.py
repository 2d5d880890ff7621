"""Spans on their way out: what is kept, the form it has, and what happens if nobody listens."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from tests.unit.fakes import MemoryStore
from worker.adapters import otlp
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.xray import SECONDS, XRaySpans, batches
from worker.adapters.span_files import FOLDER_FILES, SpanFiles
from worker.adapters.spans import otlp_spans
from worker.adapters.tracing import PAUSE_SECONDS, SpanBuffer, start, traced
from worker.domain import trace
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    EngineError,
    ObjectMissing,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.settings import tracing_of

UNSAMPLED = "00-4bf92f3577b34da6ffffffffffffffff-00f067aa0ba902b7-01"
SAMPLED = "00-4bf92f3577b34da60000000000000001-00f067aa0ba902b7-01"


class _Sent:
    """Takes requests; fails if told to."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.fails = False
        self.now = 0.0

    def send(self, request: bytes) -> None:
        if self.fails:
            raise Unreachable("nobody listens")
        self.requests.append(json.loads(request))

    def clock(self) -> float:
        return self.now

    @property
    def names(self) -> list[str]:
        """Of all spans that were sent."""
        return [one["name"] for one in self.spans]

    @property
    def spans(self) -> list[Any]:
        """All that were sent."""
        return [
            span
            for request in self.requests
            for resource in request["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@pytest.fixture
def sent() -> Iterator[_Sent]:
    """Where spans go in one test, at 1 %."""
    found = _Sent()
    trace.install(SpanBuffer(found.send, percent=1, clock=found.clock))
    yield found
    trace.install(None)


# --- which are kept -----------------------------------------------------------------------------


def test_the_trace_decides_as_opentelemetry_does() -> None:
    """Other OpenTelemetry processes with the same percentage keep the same traces."""
    buffer, theirs = SpanBuffer(lambda _: None, percent=12.5), TraceIdRatioBased(0.125)
    kept = 0
    for number in range(2_000):
        one = trace.trace_id(trace.derived(str(number)))
        decision = theirs.should_sample(None, int(one, 16), "ingest").decision
        assert buffer.sampled(one) is (decision is Decision.RECORD_AND_SAMPLE)
        kept += buffer.sampled(one)
    assert 200 < kept < 300
    assert all(SpanBuffer(print, percent=100).sampled(one) for one in ("f" * 32, "0" * 32))


def test_an_ordinary_trace_is_forgotten(sent: _Sent) -> None:
    """At 1 % nothing is sent of the others."""
    with trace.flushing("ingest"):
        for parent in (UNSAMPLED, SAMPLED):
            with trace.span("ingest", parent=parent), trace.span("fetch"):
                pass
    assert sent.names == ["fetch", "ingest"]
    assert {one["traceId"] for one in sent.spans} == {trace.trace_id(SAMPLED)}


def test_every_error_is_kept_with_all_around_it(sent: _Sent) -> None:
    """All spans of the trace in the same invocation are sent, and spans of other traces are not."""
    with trace.flushing("ingest"):
        top = trace.begin("ingest", parent=UNSAMPLED)
        with top.active():
            with trace.span("fetch"):
                pass
            with pytest.raises(EngineError), trace.span("render"):
                raise EngineError("a defect")
        top.end()
        trace.begin("ingest", parent=trace.derived("f", "another")).end()
    assert sent.names == ["fetch", "render", "ingest"]
    failed = sent.spans[1]
    assert failed["status"] == {"code": 2, "message": "engine_failed"}
    assert {"key": "error.type", "value": {"stringValue": "engine_failed"}} in failed["attributes"]


def test_an_answer_that_was_expected_is_no_error_of_the_trace(sent: _Sent) -> None:
    """A missing object is how a store says no: nothing is kept for it."""
    with trace.flushing("deliver"), trace.span("deliver", parent=UNSAMPLED):
        try:
            with trace.span("store.head", kind="client"):
                raise ObjectMissing("no such object")
        except ObjectMissing:
            pass
    assert sent.names == []


def test_a_service_sends_its_own_spans_when_they_are_complete(sent: _Sent) -> None:
    """Another service of the process, and what goes on on another thread, are left alone."""
    with trace.flushing("ingest"):
        open_ = trace.begin("ingest", parent=SAMPLED)
        with open_.active(), trace.span("fetch"):
            pass
        with trace.flushing("outbox"):
            trace.begin("tell", parent=SAMPLED).end()
        assert sent.names == ["tell"]
    assert sent.names == ["tell"]
    open_.end()
    with trace.flushing("ingest"):
        pass
    assert sent.names == ["tell", "fetch", "ingest"]
    services = [
        {one["key"]: one["value"] for one in request["resourceSpans"][0]["resource"]["attributes"]}
        for request in sent.requests
    ]
    assert [one["service.name"]["stringValue"] for one in services] == ["outbox", "ingest"]


def test_memory_is_bounded() -> None:
    """Spans that are not sampled are dropped first, and the number of lost spans is logged."""
    found = _Sent()
    trace.install(SpanBuffer(found.send, percent=1, most=10))
    try:
        with trace.flushing("ingest"):
            with trace.span("ingest", parent=SAMPLED):
                pass
            for _ in range(25):
                trace.begin("fetch", parent=UNSAMPLED).end()
            for _ in range(3):
                trace.begin("render", parent=SAMPLED).end()
        assert found.names == ["ingest", "render", "render", "render"]
        with trace.flushing("ingest"):
            for _ in range(25):
                trace.begin("render", parent=SAMPLED).end()
        assert len(found.names) < 4 + 11
    finally:
        trace.install(None)


def test_a_dead_endpoint_disturbs_once_a_minute(
    sent: _Sent, caplog: pytest.LogCaptureFixture
) -> None:
    """The work goes on, nothing is tried during the pause, and the loss is said once."""
    sent.fails = True
    for _ in range(3):
        with trace.flushing("ingest"):
            trace.begin("ingest", parent=SAMPLED).end()
    assert [one.message for one in caplog.records] == ["spans are not sent"]
    assert vars(caplog.records[0])["code"] == "unreachable"
    sent.fails, sent.now = False, PAUSE_SECONDS - 1
    with trace.flushing("ingest"):
        trace.begin("ingest", parent=SAMPLED).end()
    assert sent.names == []
    sent.now = PAUSE_SECONDS
    with trace.flushing("ingest"):
        trace.begin("fetch", parent=SAMPLED).end()
    assert sent.names == ["fetch"]


def test_opentelemetry_is_imported_only_to_write_spans() -> None:
    """An invocation whose traces are not kept, as most are, does not pay for it."""
    code = (
        "import sys\n"
        "from worker.adapters.tracing import SpanBuffer\n"
        "from worker.domain import trace\n"
        "trace.install(SpanBuffer(lambda _: None, percent=1))\n"
        "for parent in sys.argv[1:]:\n"
        "    with trace.flushing('ingest'), trace.span('ingest', parent=parent): pass\n"
        "    print(any(name.startswith('opentelemetry') for name in sys.modules))\n"
    )
    command = [sys.executable, "-P", "-c", code, UNSAMPLED, SAMPLED]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", "True"]


# --- the form -----------------------------------------------------------------------------------


def test_the_form_is_that_of_opentelemetrys_own_encoder(sent: _Sent) -> None:
    """Kinds, times, links, states and all types of attributes: the same JSON, field by field."""
    moment = trace.moment("2026-11-28T04:00:00Z")
    further: dict[str, trace.Attribute] = {"http.response.status_code": 503}
    with trace.flushing("api"):
        trace.finished("wait intake", start=moment, end=moment + 10**9, parent=SAMPLED)
        with trace.span("ingest", own=SAMPLED, kind="consumer", links=[UNSAMPLED]) as span:
            span.set(count=2, share=0.5, copied=True, text="größer", **further)
            span.fail("engine_failed")
        trace.begin("tell", kind="producer", parent=SAMPLED).end()
        trace.begin("store.get", kind="client", parent=SAMPLED).end()
        trace.begin("request GET", kind="server", parent=SAMPLED).end()
        spans = list(trace._installed[0]._spans)  # type: ignore[attr-defined]
    readable = otlp._readable("api", spans)
    theirs = json.loads(encode_spans(readable).to_json())
    ours = sent.requests[0]
    for request in (ours, theirs):
        for one in request["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            # They tell whether the parent was in another process; nobody asks us that.
            for flagged in (one, *one.get("links", [])):
                flagged.pop("flags", None)
    assert _plain(ours) == _plain(theirs)


def _plain(value: Any) -> Any:
    """JSON without what the protocol takes for unsaid: empty lists, texts and zeroes."""
    if isinstance(value, dict):
        found = {name: _plain(one) for name, one in value.items()}
        return {name: one for name, one in found.items() if one not in ({}, [], "", 0, None)}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def test_large_batches_are_several_requests() -> None:
    """One request stays far below what the endpoint takes: 10,000 spans and 5 MB."""
    spans = []

    class Taken:
        def sampled(self, trace: str) -> bool:
            return True

        def record(self, span: trace.Span) -> None:
            spans.append(span)

        def flush(self, service: str) -> None:
            pass

    trace.install(Taken())
    for number in range(2_500):
        trace.begin("store.put", parent=SAMPLED, bucket="b" * 63, number=number).end()
    trace.install(None)
    made = list(otlp.requests("ingest", spans))
    counts = [len(json.loads(one)["resourceSpans"][0]["scopeSpans"][0]["spans"]) for one in made]
    assert counts == [1_000, 1_000, 500]
    assert max(map(len, made)) < 1_000_000


# --- files --------------------------------------------------------------------------------------


def test_files_have_whole_lines_of_one_process(tmp_path: Path) -> None:
    """Each process appends to its own file, a forked one to another."""
    files = SpanFiles(tmp_path / "traces")
    files.send(b'{"resourceSpans":[]}')
    child = os.fork()
    if child == 0:
        files.send(b'{"resourceSpans":[2]}')
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    files.send(b'{"resourceSpans":[1]}')
    found = [path.read_text() for path in sorted((tmp_path / "traces").iterdir())]
    assert found == ['{"resourceSpans":[]}\n{"resourceSpans":[1]}\n', '{"resourceSpans":[2]}\n']


def test_the_folder_does_not_grow_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file is followed by another, and the oldest files go."""
    monkeypatch.setattr("worker.adapters.span_files.FILE_BYTES", 30)
    files = SpanFiles(tmp_path)
    for number in range(FOLDER_FILES + 20):
        files.send(f'{{"resourceSpans":[{number:03}]}}'.encode())
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == FOLDER_FILES
    assert kept[-1].read_text() == '{"resourceSpans":[083]}\n'
    assert kept[0].read_text() == '{"resourceSpans":[020]}\n'


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """It is a warning, like a dead endpoint."""
    (tmp_path / "file").write_text("")
    trace.install(SpanBuffer(SpanFiles(tmp_path / "file" / "traces").send, percent=100))
    with trace.flushing("ingest"):
        trace.begin("ingest").end()
    trace.install(None)


# --- X-Ray --------------------------------------------------------------------------------------


class _Endpoint(HTTPServer):
    status = 200
    answer = b"{}"
    seen: tuple[str, dict[str, str], bytes] | None = None


@pytest.fixture
def endpoint() -> Iterator[_Endpoint]:
    """Stands for X-Ray on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        server: _Endpoint

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.server.seen = (self.path, dict(self.headers), body)
            self.send_response(self.server.status)
            self.send_header("content-length", str(len(self.server.answer)))
            self.end_headers()
            self.wfile.write(self.server.answer)

        def log_message(self, *_: object) -> None:
            pass

    server = _Endpoint(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def clients(port: int) -> AwsClients:
    """Of an environment that leads to the stand-in."""
    return AwsClients(
        {
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_XRAY": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
        }
    )


def test_xray_gets_signed_json(endpoint: _Endpoint) -> None:
    """Gzip, the content type, and a signature of version 4 for the service and region."""
    XRaySpans(clients(endpoint.server_port)).send(b'{"resourceSpans":[]}')
    assert endpoint.seen is not None
    path, headers, body = endpoint.seen
    assert (path, gzip.decompress(body)) == ("/v1/traces", b'{"resourceSpans":[]}')
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["X-Amz-Security-Token"] == "token"
    signature = headers["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/xray/aws4_request, SignedHeaders=" in signature


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (429, b"", Throttled),
        (503, b"", Unreachable),
        (403, b"{}", AccessDenied),
        (400, b'{"message":"Transaction Search is off"}', EngineError),
        (200, b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}', EngineError),
        (200, b'{"partialSuccess":{"rejectedSpans":"0"}}', None),
        (200, b"not JSON", None),
    ],
)
def test_xrays_answers_have_their_errors(
    endpoint: _Endpoint, status: int, answer: bytes, error: type[SafelightError] | None
) -> None:
    """Each refusal maps to a stable code."""
    endpoint.status, endpoint.answer = status, answer
    spans = XRaySpans(clients(endpoint.server_port))
    if error is None:
        spans.send(b"{}")
    else:
        with pytest.raises(error):
            spans.send(b"{}")


DAY = 24 * 3600 * 10**9
"""Nanoseconds."""


@pytest.mark.parametrize(
    ("ago", "requests"),
    [
        ([(0.1, 0.0)], 1),
        ([(0.9, 0.0), (0.0, 0.0)], 1),
        ([(3.0, 0.0), (0.1, 0.0), (0.0, 0.0)], 2),
        ([(60.0, 0.0), (59.0, 58.0), (0.1, 0.0)], 3),
        ([(400.0, -3.0), (0.0, -3.0)], 2),
    ],
    ids=["seconds", "a day", "a person", "an old picture", "a clock that is ahead"],
)
def test_xray_takes_spans_of_any_age(ago: list[tuple[float, float]], requests: int) -> None:
    """None is older than 14 days, 2 hours ahead, or a day apart from another of its request."""
    sent = _Sent()
    trace.install(SpanBuffer(sent.send, percent=100, batches=batches))
    now = time.time_ns()
    with trace.flushing("deliver"):
        for start, end in ago:
            begin = now - int(start * DAY)
            trace.finished("wait viewer", start=begin, end=now - int(end * DAY), parent=SAMPLED)
    trace.install(None)
    assert len(sent.spans) == len(ago)
    assert len(sent.requests) == requests
    for request in sent.requests:
        spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
        for name in ("startTimeUnixNano", "endTimeUnixNano"):
            times = [int(one[name]) for one in spans]
            assert min(times) > now - 14 * DAY
            assert max(times) < now + DAY // 12
            assert max(times) - min(times) < DAY
    # Who reads them sees when they began.
    read = [one for made in sent.requests for _, one in otlp_spans(made)]
    assert all(read)
    starts = sorted(one.start for one in read if one is not None)
    begun = sorted(now - int(start * DAY) for start, _ in ago)
    for found, expected in zip(starts, begun, strict=True):
        assert abs(found - expected) < 10**6


def test_nobody_at_the_endpoint_is_an_error_of_ours() -> None:
    """A refused connection is told as such; without credentials nothing is tried."""
    with pytest.raises(Unreachable):
        XRaySpans(clients(1)).send(b"{}")
    nobody = AwsClients({"AWS_REGION": "eu-west-1"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name, raising=False)
        with pytest.raises(ConfigurationError):
            XRaySpans(nobody).send(b"{}")
    assert SECONDS * 2 <= 2


def test_the_address_is_that_of_the_region() -> None:
    """Without an endpoint in the environment it is AWS's own; China has its own domain."""
    read = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for region, host in {
        "eu-west-1": "https://xray.eu-west-1.amazonaws.com",
        "cn-north-1": "https://xray.cn-north-1.amazonaws.com.cn",
    }.items():
        signer = AwsClients({**read, "AWS_REGION": region}).signer("xray")
        assert signer.endpoint == host
        assert "secret" not in repr(signer)


# --- ports --------------------------------------------------------------------------------------


def test_each_call_of_a_port_is_a_span(sent: _Sent) -> None:
    """It says bucket, bytes and code, and never a key, which may be named after a person."""
    store = traced(MemoryStore(), "store")
    with trace.flushing("ingest"), trace.span("ingest", parent=SAMPLED):
        store.put("intake", "anna.jpg", b"12345", content_type="image/jpeg")
        data, _ = store.get("intake", "anna.jpg")
        assert data == b"12345"
        assert [one.key for one in store.list("intake")] == ["anna.jpg"]
        with pytest.raises(ObjectMissing):
            store.head("intake", "berta.jpg")
    assert sent.names == ["store.put", "store.get", "store.head", "ingest"]
    said = [
        {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}
        for span in sent.spans
    ]
    assert said[:3] == [
        {"safelight.bucket": "intake", "safelight.bytes": "5"},
        {"safelight.bucket": "intake", "safelight.bytes": "5"},
        {"error.type": "object_missing"},
    ]
    assert not any(name in json.dumps(sent.requests) for name in ("anna", "berta"))


def test_a_call_of_no_trace_is_no_span(sent: _Sent) -> None:
    """A poll of a queue, say: a trace of one call helps nobody."""
    store = traced(MemoryStore(), "store")
    with trace.flushing("ingest"):
        store.put("intake", "a.jpg", b"1", content_type="image/jpeg")
    trace.install(SpanBuffer(sent.send, percent=100))
    with trace.flushing("ingest"):
        store.put("intake", "a.jpg", b"1", content_type="image/jpeg")
    assert sent.names == []


def test_a_port_is_itself_without_tracing() -> None:
    """Without a recorder the port is not wrapped."""
    store = MemoryStore()
    assert traced(store, "store") is store


# --- settings -----------------------------------------------------------------------------------


def test_the_settings_say_where_spans_go(tmp_path: Path, endpoint: _Endpoint) -> None:
    """A folder, X-Ray, or nowhere; the first that is asked for stays."""
    start(None, 1.0, clients(1))
    assert not trace.recording()
    try:
        start(f"file:{tmp_path}/traces", 100.0, clients(1))
        start("xray", 100.0, clients(1))
        with trace.flushing("ingest"):
            trace.begin("ingest").end()
        assert len(list((tmp_path / "traces").iterdir())) == 1
        trace.install(None)
        start("xray", 100.0, clients(endpoint.server_port))
        with trace.flushing("ingest"):
            trace.begin("ingest").end()
        assert endpoint.seen is not None
    finally:
        trace.install(None)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, (None, 1.0)),
        ({"SAFELIGHT_TRACE_TO": ""}, (None, 1.0)),
        ({"SAFELIGHT_TRACE_TO": "xray", "SAFELIGHT_TRACE_PERCENT": "0.01"}, ("xray", 0.01)),
        ({"SAFELIGHT_TRACE_TO": "file:/tmp/t"}, ("file:/tmp/t", 1.0)),
        ({"SAFELIGHT_TRACE_TO": "http://x"}, None),
        ({"SAFELIGHT_TRACE_TO": "file:"}, None),
        ({"SAFELIGHT_TRACE_PERCENT": "0"}, None),
        ({"SAFELIGHT_TRACE_PERCENT": "100.1"}, None),
        ({"SAFELIGHT_TRACE_PERCENT": "nan"}, None),
        ({"SAFELIGHT_TRACE_PERCENT": "a tenth"}, None),
    ],
)
def test_wrong_settings_are_refused(
    variables: dict[str, str], wanted: tuple[str | None, float] | None
) -> None:
    """Each by its variable's name, for jobs as for functions."""
    if wanted is not None:
        assert tracing_of(variables) == wanted
        return
    with pytest.raises(ConfigurationError, match=next(iter(variables))):
        tracing_of(variables)


def test_a_span_costs_little(sent: _Sent) -> None:
    """Its work is bounded: so many calls of Python, counted, which no other load changes."""

    def calls(work: Callable[[], object]) -> int:
        count = 0

        def noting(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(noting)
        try:
            work()
        finally:
            sys.setprofile(None)
        return count

    def one() -> None:
        with trace.span("ingest"):
            pass

    recorded = calls(one)
    trace.install(None)
    assert (calls(one), recorded < 25) == (4, True)
    assert time.time_ns() > 0
