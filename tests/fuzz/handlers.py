"""Targets for what other programs hand over: messages of queues, changes of the table, answers of
receivers, what ffprobe prints, requests at the edge."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.edge import engines, ticket_function
from tests.edge.clients import ASSET, VERSION
from tests.fuzz.targets import SCRATCH, Target, WrongAnswer, joined, split, text_of
from tests.unit import test_invalidate, test_ledger, test_outbox, test_webhooks
from tests.unit.memory_ledger import MemoryLedger
from worker.adapters.aws.dynamodb.items import pack, unpack
from worker.adapters.aws.edge_tickets import EdgeTickets
from worker.adapters.webhooks import HttpWebhookSender
from worker.domain import trace
from worker.domain.delivery import read_picture_key
from worker.domain.errors import Rejected, WebhookFailed
from worker.domain.ledger import CountedWork, LedgerEntry
from worker.entrypoints import lambda_invalidate, lambda_ledger, lambda_outbox, lambda_webhook
from worker.infra import edge
from worker.services import ledger
from worker.services.invalidate import Invalidate
from worker.video import probe, timing

# --- queues of events ---------------------------------------------------------------------------


@functools.cache
def _silent() -> None:
    """Handlers log what they refuse; at this speed that would be most of the work."""
    for module in (lambda_invalidate, lambda_ledger, lambda_outbox, lambda_webhook):
        module.logger.handlers[:] = []
        module.logger.propagate = False
    ledger._log.disabled = True


def _events(data: bytes) -> None:
    """The webhook and the invalidation function: a message from outside, and a good one."""
    _silent()
    body = text_of(data)
    _sent(body)
    edges = test_invalidate.Edges()
    bodies = [body, test_invalidate.body(test_invalidate.FIRST)]
    waiting = [{"messageId": f"m-{n}", "body": one} for n, one in enumerate(bodies)]
    answered = lambda_invalidate.handle({"Records": waiting}, Invalidate(edges=edges))
    if {one["itemIdentifier"] for one in answered["batchItemFailures"]} - {"m-0"}:
        raise WrongAnswer("an invalidation has stopped another one")
    ((tags, _),) = edges.told
    if f"a:{test_invalidate.FIRST}" not in tags or not all(
        one.isascii() and one.isprintable() for one in tags
    ):
        raise WrongAnswer(f"CloudFront takes no such tags: {tags}")


def _sent(body: str) -> None:
    world = test_webhooks.World()
    messages = [world.taken(body), world.taken(test_webhooks.envelope("good"))]
    records = [test_webhooks.record(one, "shop") for one in messages]
    kept = lambda_webhook.handle({"Records": records}, world.webhooks)["batchItemFailures"]
    sent = [headers["webhook-id"] for _, _, headers in world.receivers.requests]
    if kept or "good" not in sent:
        raise WrongAnswer("a message has stopped another one, or comes again for ever")
    if len(sent) + len(world.queue.bodies(world.shop.dead_letters)) != len(messages):
        raise WrongAnswer("a message is neither sent nor a dead letter")
    for _, told, headers in world.receivers.requests:
        json.loads(told)
        "".join(headers.values()).encode("ascii")
        test_webhooks.verify(test_webhooks.secret("a"), told, headers)


def _event_seeds() -> Iterator[bytes]:
    yield test_webhooks.envelope().encode()
    yield test_invalidate.body(test_invalidate.SECOND).encode()
    whole = json.loads(test_webhooks.envelope())
    whole["detail"] |= {"asset": test_invalidate.FIRST, trace.NAME: trace.derived("x")}
    yield json.dumps(whole | {"time": "2026-01-01T00:00:00Z"}).encode()


# --- the stream of the table --------------------------------------------------------------------


class _Positions(MemoryLedger):
    """Remembers what was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def add(self, shard: str, counted: Sequence[LedgerEntry]) -> Mapping[str, CountedWork]:
        """See the port."""
        self.seen |= {one.position.lstrip("0") for one in counted}
        return super().add(shard, counted)


def _changes(data: bytes) -> None:
    """The outbox and the ledger: a change with images from outside, between two good ones.

    Numbers, times and keys of a change are DynamoDB's own. The second part is what the packed body
    of the new image says.
    """
    written, body = split(data, 2)
    try:
        given = json.loads(text_of(written))
        content = json.loads(text_of(body)) if body else None
    except (ValueError, RecursionError):
        return
    change = given.get("dynamodb") if isinstance(given, dict) else None
    if not isinstance(change, dict):
        return
    if isinstance(change.get("NewImage"), dict) and content is not None:
        try:
            packed = pack(content)
        except (ValueError, RecursionError):
            return
        change["NewImage"]["body"] = test_outbox.json_item({"B": packed})
    _silent()
    records = [*test_outbox.records(1), given, *test_outbox.records(1, 1)]
    for number, one in enumerate(records, 1):
        one["dynamodb"]["SequenceNumber"] = str(number)
        one["dynamodb"]["ApproximateCreationDateTime"] = 1_778_310_000
    world = test_outbox.World()
    told = world.outbox.handle(records)
    if told.failed or told.unreadable != len(world.letters):
        raise WrongAnswer("a change has stopped another one, or is lost")
    good = {world.bus.published[0].asset, world.bus.published[-1].asset}
    if len(good) < 2 or told.events != len(world.bus.published):
        raise WrongAnswer("events of the neighbours are missing")
    for event in world.bus.published:
        json.dumps(event.detail).encode()
    counted = _Positions()
    lambda_ledger.handle({"Records": records, "shardId": "shard"}, test_ledger.books(counted))
    if not {"1", "3"} <= counted.seen:
        raise WrongAnswer("work of the neighbours is not counted")


def _change_seeds() -> Iterator[bytes]:
    for change, _ in test_outbox.CHANGES.values():
        yield json.dumps(change).encode()
    for one in test_outbox.records(2):
        body = test_outbox.meta(test_outbox.ACCEPTED)["body"]["B"]
        yield joined(json.dumps(one).encode(), json.dumps(unpack(body)).encode())


# --- receivers of webhooks ----------------------------------------------------------------------


class _Wire:
    """A connected socket with an answer in it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = memoryview(answer)

    def settimeout(self, seconds: float) -> None:
        """There is no waiting."""

    def send(self, data: bytes) -> int:
        """All of it."""
        return len(data)

    def recv_into(self, buffer: memoryview) -> int:
        """As much as there is room for."""
        count = min(len(buffer), len(self._answer))
        buffer[:count] = self._answer[:count]
        self._answer = self._answer[count:]
        return count

    def close(self) -> None:
        """Nothing is open."""


def _receiver(data: bytes) -> None:
    """What answers a webhook is hostile until proven otherwise."""
    sender = HttpWebhookSender()
    with patch.object(sender, "_connect", return_value=_Wire(data)):
        answer = sender.post("http://receiver.example/hook", b"{}", {"webhook-id": "1"})
    world = test_webhooks.World()
    wait = world.webhooks.wait(1, answer.retry_after)
    if not 100 <= answer.status <= 999 or not 1 <= wait <= 43_200:
        raise WrongAnswer(f"status {answer.status}, again in {wait} s")


def _receiver_seeds() -> Iterator[bytes]:
    yield b"HTTP/1.1 204 No Content\r\n\r\n"
    yield b"HTTP/1.1 429 Slow Down\r\nRetry-After: 120\r\nContent-Length: 2\r\n\r\nno"
    yield b"HTTP/1.0 503 x\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nA: b\r\n c\r\n\r\n"
    yield b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"


# --- ffprobe ------------------------------------------------------------------------------------


@functools.cache
def _mp4() -> Path:
    """A file that the first look takes for an MP4; what is in it is told by the input."""
    with tempfile.NamedTemporaryFile(prefix="safelight-fuzz-", dir=SCRATCH, delete=False) as file:
        file.write(b"\0\0\0\x14ftypisom\0\0\2\0isom\0\0\0\x08moov\0\0\0\x09mdatx")
    return Path(file.name)


def _probe(data: bytes) -> None:
    """The probe of a video whose programs print anything: a decoder that was taken over, too."""
    report, packets, said = split(data, 3)

    def run(
        _arguments: Sequence[str],
        *,
        program: str = "ffmpeg",
        sink: Callable[[bytes], None] | None = None,
        log: Callable[[str], None] | None = None,
        **_more: object,
    ) -> bytes:
        if program == "ffmpeg":
            return said
        if sink is None:
            return report
        sink(packets)
        for line in text_of(said).split("\n"):
            if log is not None:
                log(line)
        return b""

    with ExitStack() as stack:
        for module in (probe, timing):
            stack.enter_context(patch.object(module, "run", run))
        found = probe.probe(_mp4(), need_video=bool(len(said) % 2))
    json.dumps(probe.describe(found, location=True), allow_nan=False)
    if found.video is not None and min(found.video.width, found.video.height) < 1:
        raise WrongAnswer("a frame without pixels")


_PRINTED = {
    "streams": [
        {
            **{"index": 0, "codec_name": "h264", "profile": "High", "codec_type": "video"},
            **{"width": 160, "height": 90, "sample_aspect_ratio": "4:3", "pix_fmt": "yuv420p"},
            **{"r_frame_rate": "25/1", "avg_frame_rate": "25/1", "start_time": "0.000000"},
            **{"duration": "0.080000", "nb_frames": "2", "bits_per_raw_sample": "8"},
            **{"field_order": "progressive", "color_transfer": "smpte2084"},
            "disposition": {"default": 1, "attached_pic": 0},
            "tags": {"language": "und", "rotate": "90"},
            "side_data_list": [
                {"side_data_type": "Display Matrix", "rotation": -90},
                {"dv_profile": 8, "dv_bl_signal_compatibility_id": 1},
            ],
        },
        {
            **{"index": 1, "codec_name": "aac", "codec_type": "audio", "channels": 2},
            **{"sample_rate": "48000", "channel_layout": "stereo", "duration": "0.08"},
            **{"disposition": {"default": 1}, "tags": {"language": "deu", "title": "Ton"}},
        },
        {"index": 2, "codec_name": "mov_text", "codec_type": "subtitle", "disposition": {}},
    ],
    "chapters": [{"id": 0, "start_time": "0.0"}],
    "format": {
        **{"format_name": "mov,mp4,m4a,3gp,3g2,mj2", "duration": "0.080000"},
        **{"start_time": "0.000000", "probe_score": 100, "bit_rate": "1000"},
        "tags": {"major_brand": "isom", "location": "+46.5+012.1/", "title": "x"},
    },
}
_PACKETS = b"".join(
    b"[PACKET]\npts_time=%s\ndts_time=%s\nduration_time=0.04\nflags=%s\n[/PACKET]\n" % one
    for one in ((b"0.000000", b"0.000000", b"K__"), (b"0.040000", b"0.040000", b"___"))
)


def _probe_seeds() -> Iterator[bytes]:
    decoded = b"#tb 0: 1/25\n0, 0, 0, 1, 384, 0x0"
    yield joined(json.dumps(_PRINTED).encode(), _PACKETS, decoded)
    audio = {**_PRINTED, "streams": _PRINTED["streams"][1:]}  # type: ignore[index]
    yield joined(json.dumps(audio).encode(), _PACKETS.replace(b"0.04", b"N/A"), b"1")
    matroska = {**_PRINTED, "format": {"format_name": "matroska,webm", "probe_score": 100}}
    yield joined(json.dumps(matroska).encode(), _PACKETS, b"[h264] error\n" + decoded)


# --- functions of the delivery network ----------------------------------------------------------

_PICTURES = edge.EdgeFunction(edge.source())
_KEY = "k" * 32
_NEVER = 900_000_000_000.0
_BOTH = f"""
const pictures = (function () {{ {edge.source()}; return handler; }})();
const tickets = (function () {{ {ticket_function.source(_KEY)}; return handler; }})();
function handler(event) {{
    return [pictures(JSON.parse(JSON.stringify(event))), tickets(event)];
}}
"""
"""Both functions in one program: to start njs is most of the work."""
_NAMES = (
    *("accept", "user-agent", "sec-ch-dpr", "sec-ch-width", "sec-ch-viewport-width", "width"),
    *("save-data", "ect", "downlink", "sec-ch-ua-mobile", "content-length", "content-type"),
    *("if-none-match", "x-amz-checksum-sha256", "x-amz-cf-id", "host"),
)


def _headers(data: bytes) -> list[tuple[str, str]]:
    """A line each: the number of the name, then the value."""
    lines = [text_of(one) for one in data.split(b"\n")[:20] if one]
    return [(_NAMES[ord(one[0]) % len(_NAMES)], one[1:]) for one in lines]


def _edge(data: bytes) -> None:
    """Any request at the edge gets a fixed key, a 404, or what a ticket allows; alike in njs."""
    method, url, headers = split(data, 3)
    event = ticket_function.event(text_of(method), text_of(url), {})
    event["request"]["headers"] = edge.request_event("", _headers(headers))["request"]["headers"]
    answer = _PICTURES.handle(event)
    uri = answer.get("uri", "")
    key = uri.removeprefix("/")
    if answer.get("statusCode") != 404 and (not key.isascii() or ".." in key or "//" in uri):
        raise WrongAnswer(f"{uri!r} is no key")
    if "/w/" in key and read_picture_key(key) is None:
        raise WrongAnswer(f"{uri!r} is no width that is made")
    if engines.NJS is None:
        return
    with tempfile.TemporaryDirectory(prefix="safelight-fuzz-", dir=SCRATCH) as folder:
        ((again, ticket),) = engines.run("njs", _BOTH, [event], Path(folder))
    if again != answer:
        raise WrongAnswer(f"njs answers {again}, QuickJS {answer}")
    if "statusCode" not in ticket and event["request"]["method"] != "OPTIONS":
        _check_ticket(event["request"])


def _check_ticket(request: Mapping[str, Any]) -> None:
    """What passed was signed, every line of it."""

    def one(values: Mapping[str, Any], name: str) -> str:
        found = values.get(name, {"value": ""})
        return str(found["value"])

    query, headers = request["querystring"], request["headers"]
    upload = one(query, "uploadId")
    lines = [request["method"], request["uri"], one(query, "expires"), upload]
    lines += [one(query, "partNumber"), one(headers, "content-length")]
    for name in sorted(headers):
        amazon = name.startswith("x-amz-") and not name.startswith("x-amz-cf-")
        if amazon or name == "if-none-match" or (name == "content-type" and not upload):
            lines.append(f"{name}:{one(headers, name)}")
    signed = hmac.new(_KEY.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()
    if signed != one(query, "ticket"):
        raise WrongAnswer(f"a request that nobody has signed passed: {lines}")


def _edge_seeds() -> Iterator[bytes]:
    base = f"/{ASSET}/{VERSION}/".encode()
    accept = b"\0image/jxl,image/avif;q=0.5,image/webp,*/*;q=0.8"
    for file in (b"large", b"w/auto", b"w/600.webp", b"hls/master.m3u8"):
        yield joined(b"GET", base + file, accept)
    yield joined(b"HEAD", base + b"w/auto", accept + b"\n\x012\n\x03900\n\x06on\n\x073g\n\x080.5")
    tickets = EdgeTickets(url="https://media.example", key=_KEY, now=lambda: _NEVER)
    key = f"{ASSET[:2]}/uploads/{ASSET}/a.jpg"
    signed = {"content-type": "image/jpeg", "x-amz-checksum-sha256": "x"}
    for upload, part in (("", 0), ("u", 3)):
        url = tickets.sign(key, size=9, seconds=9, headers=signed, upload=upload, part=part)
        path = url.removeprefix("https://media.example")
        yield joined(b"PUT", path.encode(), b"\x0a9\n\x0bimage/jpeg\n\x0dx")


_JSON = (b"\\ud800", b"1e999", b"NaN", b"null", b"[[[[", b'{"S":', b'{"B":', b'{"N":', b"-1")
TARGETS = (
    Target(
        name="events",
        about="events for webhooks and for invalidations",
        call=_events,
        seeds=_event_seeds,
        words=(*_JSON, b'"detail"', b'"asset"', b'"id"', b'"specversion"', b'"traceparent"'),
    ),
    Target(
        name="changes",
        about="changes of the table, for the outbox and the ledger",
        call=_changes,
        seeds=_change_seeds,
        words=(*_JSON, b'"OldImage"', b'"NewImage"', b'"body"', b'"status"', b'"detail"'),
        longest=16_384,
    ),
    Target(
        name="receivers",
        about="answers of receivers of webhooks",
        call=_receiver,
        seeds=_receiver_seeds,
        refuses=(WebhookFailed,),
        words=(
            b"HTTP/1.1 ",
            b"Retry-After: ",
            b"\r\n\r\n",
            b"Transfer-Encoding: chunked",
            b" 100 ",
        ),
        longest=20_000,
    ),
    Target(
        name="ffprobe",
        about="what ffprobe and ffmpeg print of a video",
        call=_probe,
        seeds=_probe_seeds,
        refuses=(Rejected,),
        words=(*_JSON, b'"rotation"', b'"tags"', b'"index"', b"nan", b"inf", b"1/0", b"pts_time="),
        longest=8192,
        weight=2,
    ),
    Target(
        name="edge",
        about="requests at the edge functions, in njs and QuickJS",
        call=_edge,
        seeds=_edge_seeds,
        words=(b"%2e%2e/", b"/w/auto", b";q=", b"&ticket=", b"&expires=", b"?uploadId=", b"%00"),
        longest=2048,
    ),
)
