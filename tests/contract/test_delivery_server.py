"""The local stack's distribution, on S3: the function, keys, failover, headers, parts, tags."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from batch.outputs import IMMUTABLE, S3OutputStore, content_type_of
from tests.edge.clients import Client, load
from tests.servers import serving_app
from tests.unit.fakes import MemoryCatalog
from tests.unit.test_deliver import ASSET, MADE, PREFIX, VERSION, World, deliver
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.cloudfront import CloudFrontCaches
from worker.adapters.aws.s3 import S3ObjectStore, S3Transfers
from worker.domain.asset import CLOSED, Status
from worker.domain.errors import SafelightError
from worker.domain.keys import cache_metadata, cache_tag
from worker.infra.edge import EdgeFunction, source
from worker.local import delivery
from worker.local.delivery import (
    CACHED_FILE_BYTES,
    ENTRY_BYTES,
    HEADERS,
    DeliveryServer,
    EdgeCache,
)
from worker.services.deliver import OriginAnswer

VIDEO_BYTES = 2 * CACHED_FILE_BYTES
URL = f"/{ASSET}/{VERSION}/"
CHROME = "image/jxl,image/avif,image/webp,image/apng,image/*,*/*;q=0.8"


@dataclass
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Edge:
    """A distribution in front of a bucket, and how often its origins were asked."""

    def __init__(self, clients: AwsClients, bucket: str) -> None:
        """Store what was made of an asset, and a video."""
        self.store = S3ObjectStore(clients)
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        for one in MADE:
            self.put(bucket, one.key, one.key.encode(), one.format.media_type)
        self.put(
            bucket, f"{PREFIX}video.mp4", b"0123456789abcdef" * (VIDEO_BYTES // 16), "video/mp4"
        )
        self.catalog: MemoryCatalog = World().catalog
        self.deliver = deliver(self.store, self.catalog, bucket)
        self.server = DeliveryServer(
            edge=EdgeFunction(source()),
            clients=clients,
            bucket=bucket,
            deliver=self.deliver,
        )
        self.server._ask = self._counted(self.server._ask)  # type: ignore[method-assign,assignment]

    def put(self, bucket: str, key: str, data: bytes, kind: str) -> None:
        """Write a rendition."""
        self.store.put(
            bucket,
            key,
            data,
            content_type=kind,
            cache_control="public, max-age=31536000, immutable",
            metadata=cache_metadata(key),
        )

    def _counted(self, ask: Callable[..., object]) -> Callable[..., object]:
        def counted(key: str, request: object) -> object:
            self.asked.append(key.removeprefix(PREFIX))
            assert self.gate.wait(30)
            return ask(key, request)

        return counted


class Http:
    """A client that sends a path as it is."""

    def __init__(self, address: str) -> None:
        """Speak to the server at an address."""
        self.host = urlsplit(address).netloc

    def __call__(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """One request; ``_`` in names of headers is ``-``."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value.encode())
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()


@pytest.fixture
def edge(clients: AwsClients, fresh: Callable[[str], str]) -> Iterator[tuple[Edge, Http]]:
    """A distribution, and a client."""
    bucket = fresh("bucket")
    clients.s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    made = Edge(clients, bucket)
    with serving_app(made.server.app()) as address:
        yield made, Http(address)


def test_the_function_chooses_and_the_key_is_cached(edge: tuple[Edge, Http]) -> None:
    """One request of the bucket, whatever the query and whoever asks for the same file."""
    made, get = edge

    first = get(URL + "medium", Accept=CHROME.replace("image/jxl,image/avif,", ""))
    again = get(URL + "medium?utm=1", Accept="image/webp")
    forced = get(URL + "medium.webp", Accept="*/*")
    plain = get(URL + "medium?a=1", Accept="*/*")

    assert first.body == again.body == forced.body == f"{PREFIX}medium.webp".encode()
    assert plain.body == f"{PREFIX}medium.jpg".encode()
    assert [one.headers["x-cache"] for one in (first, again, forced)] == ["Miss", "Hit", "Hit"]
    assert made.asked == ["medium.webp", "medium.jpg"]
    assert first.headers["content-type"] == "image/webp"
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert first.headers["x-amz-meta-cache-tag"] == f"a:{ASSET}"
    assert again.headers["age"].isdigit()


def test_the_bucket_is_asked_once_for_a_thousand_queries(edge: tuple[Edge, Http]) -> None:
    """The key does not grow."""
    made, get = edge

    for number in range(200):
        assert get(f"{URL}large.jpg?n={number}&x=%00").status == 200

    assert made.asked == ["large.jpg"]
    assert len(made.server.cache) == 1


def test_clients_at_once_wait_for_one_request(edge: tuple[Edge, Http]) -> None:
    """Of a file that is missing, too: one request of the origin, the same answer for all."""
    made, get = edge
    made.gate.clear()
    with ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(get, URL + "large.webp") for _ in range(50)]
        made.gate.set()
        bodies = {one.result().body for one in answers}

    assert bodies == {f"{PREFIX}large.jpg".encode()}
    assert made.asked == ["large.webp"]


def at_once(edge: tuple[Edge, Http], path: str, ranges: Sequence[str]) -> list[Answer]:
    """Answers to clients that all wait before the origin is let answer."""
    made, get = edge
    choose, come = made.server._choose, threading.Semaphore(0)

    def counted(event: Mapping[str, Any]) -> Mapping[str, Any]:
        come.release()
        return choose(event)

    made.gate.clear()
    with ThreadPoolExecutor(len(ranges)) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(made.server, "_choose", counted)
        answers = [pool.submit(get, path, Range=one) for one in ranges]
        for _ in ranges:
            assert come.acquire(timeout=30)
        made.gate.set()
        return [one.result() for one in answers]


def test_clients_at_once_share_an_error(
    edge: tuple[Edge, Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An origin that is down is asked once, not by one client after the other; then anew."""
    made, get = edge

    def down(*_: object, **__: object) -> object:
        raise SafelightError("down", code="unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(made.server, "_get", down)
        answers = at_once(edge, URL + "large.jpg", [""] * 20)

    assert {(one.status, one.headers["cache-control"]) for one in answers} == {(503, "no-store")}
    assert made.asked == ["large.jpg"]
    assert get(URL + "large.jpg").status == 200


def test_clients_at_once_get_their_own_parts_of_a_large_file(edge: tuple[Edge, Http]) -> None:
    """Also if the first one asks for a part that does not exist, or for all of it."""
    ranges = ["bytes=99999999-", "bytes=0-3", "bytes=99999999-", "bytes=4-5", ""]

    answers = at_once(edge, URL + "video.mp4", ranges)

    assert [one.status for one in answers] == [416, 206, 416, 206, 200]
    assert [one.body for one in answers[:4]] == [b"", b"0123", b"", b"45"]
    assert len(answers[4].body) == VIDEO_BYTES


def test_what_is_missing_is_stood_in_for(edge: tuple[Edge, Http]) -> None:
    """By the second origin: another format, another width; kept for a day, with the tag."""
    made, get = edge

    answer = get(URL + "w/auto", Accept=CHROME, Sec_CH_Width="900")
    again = get(URL + "w/auto", Accept=CHROME, Sec_CH_Width="901")

    assert answer.status == 200
    assert answer.headers["content-type"] == "image/webp"
    assert answer.body == f"{PREFIX}medium.webp".encode()
    assert answer.headers["cache-control"] == "public, max-age=86400"
    assert answer.headers["x-amz-meta-cache-tag"] == f"a:{ASSET}"
    assert again.headers["x-cache"] == "Hit"
    assert made.asked == ["w/auto-960.jxl"]


@pytest.mark.parametrize(
    ("path", "status", "made_by"),
    [
        (URL + "huge", 404, "Miss"),
        (URL + "video.mp4", 200, "Miss"),
        (URL + "result.json", 404, "FunctionGeneratedResponse"),
        (URL + "../large.jpg", 404, "FunctionGeneratedResponse"),
        (URL + "%2e%2e/large.jpg", 404, "FunctionGeneratedResponse"),
        ("/" + PREFIX + "large.jpg", 404, "FunctionGeneratedResponse"),
        ("/", 404, "FunctionGeneratedResponse"),
        ("//" + "x" * 2000, 404, "FunctionGeneratedResponse"),
    ],
)
def test_every_answer_carries_the_headers_of_the_policy(
    edge: tuple[Edge, Http], path: str, status: int, made_by: str
) -> None:
    """Found or not, made by whomever."""
    _, get = edge

    answer = get(path, Accept=CHROME)

    assert (answer.status, answer.headers["x-cache"]) == (status, made_by)
    for name, value in delivery.HEADERS.items():
        assert answer.headers[name.lower()] == value


def test_a_browser_that_has_a_file_is_told_so(edge: tuple[Edge, Http]) -> None:
    """304 with the headers of the file and with Vary, for pictures and for large files."""
    _, get = edge
    for file in ("medium.webp", "video.mp4", "large.webp"):
        etag = get(URL + file, "HEAD").headers["etag"]

        for named in (etag, f'W/{etag}, "x"', "*"):
            answer = get(URL + file, If_None_Match=named)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["vary"] == delivery.HEADERS["Vary"]
            assert answer.headers["etag"] == etag
        assert get(URL + file, If_None_Match='"other"').status == 200
    since = get(URL + "medium.webp", "HEAD").headers["last-modified"]
    assert get(URL + "medium.webp", If_Modified_Since=since).status == 304
    assert get(URL + "medium.webp", If_Modified_Since=since, If_None_Match='"x"').status == 200


@pytest.mark.parametrize("file", ["medium.webp", "video.mp4"])
def test_players_get_parts(edge: tuple[Edge, Http], file: str) -> None:
    """Of what is cached and of what is read from the bucket each time."""
    _, get = edge
    whole = get(URL + file)
    size = len(whole.body)
    assert whole.headers["accept-ranges"] == "bytes"

    for wanted, begin, end in (
        ("bytes=0-3", 0, 4),
        ("bytes=5-", 5, size),
        ("bytes=-4", size - 4, size),
        (f"bytes=10-{size * 2}", 10, size),
        (f"bytes=-{size * 2}", 0, size),
    ):
        answer = get(URL + file, Range=wanted)
        assert answer.status == 206
        assert answer.body == whole.body[begin:end]
        assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
        assert answer.headers["content-length"] == str(end - begin)
    etag = whole.headers["etag"]
    assert get(URL + file, Range="bytes=0-3", If_Range=etag).status == 206
    assert get(URL + file, Range="bytes=0-3", If_Range='"old"').status == 200
    for strange in ("bytes=", "bytes=a-b", "bytes=3-1", "bytes=0-1,4-5", "items=0-3", "bytes=-0"):
        assert get(URL + file, Range=strange).status == 200
    for endless in (f"bytes={'9' * 5000}-", f"bytes=0-{'9' * 5000}", f"bytes=-{'9' * 5000}"):
        assert get(URL + file, Range=endless).status == 200
    beyond = get(URL + file, Range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")


HLS_FILES = ("hls/master.m3u8", "hls/manifest.mpd", "hls/720p/init.mp4", "hls/720p/00000.m4s")


@pytest.mark.parametrize("name", HLS_FILES)
def test_players_get_a_video_as_its_job_has_stored_it(
    edge: tuple[Edge, Http], clients: AwsClients, tmp_path: Path, name: str
) -> None:
    """Exactly that file for every client, with the type of a player's file, for a year; parts of it
    too. Scripts of all pages may read it, and its tag is that of the asset."""
    made, get = edge
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)))
    outputs = S3OutputStore(
        made.server.bucket,
        f"{PREFIX}transcode/",
        store=made.store,
        transfers=S3Transfers(clients),
        cache_control=IMMUTABLE,
    )
    outputs.store(path, name, content_type=content_type_of(name))

    url = f"{URL}transcode/{name}"
    for headers in ({}, {"Accept": CHROME, "Save-Data": "on"}, {"User-Agent": "Googlebot/2.1"}):
        whole = get(url, "GET", None, Origin="https://a.example", **headers)
        assert (whole.status, whole.body) == (200, path.read_bytes())
    expected = {
        "content-type": content_type_of(name),
        "cache-control": "public, max-age=31536000, immutable",
        "access-control-allow-origin": "*",
        "accept-ranges": "bytes",
        "x-amz-meta-cache-tag": f"a:{ASSET}",
    }
    assert {key: whole.headers[key] for key in expected} == expected
    part = get(url, Range="bytes=16-31")
    assert (part.status, part.body) == (206, bytes(range(16, 32)))
    assert get(url, If_None_Match=whole.headers["etag"]).status == 304
    assert made.asked == [f"transcode/{name}"]


def test_only_reading_is_allowed(edge: tuple[Edge, Http]) -> None:
    """HEAD has the headers of GET; scripts of all pages may ask for parts."""
    made, get = edge

    head = get(URL + "medium.webp", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(f"{PREFIX}medium.webp"))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert get(URL + "medium.webp", method).status == 403
    for method, path in (("TRACE", URL), ("BREW", URL), ("GET", f"http://a.example{URL}large.jpg")):
        answer = get(path, method)
        assert (answer.status // 100, answer.headers["vary"]) == (4, HEADERS["Vary"])
        assert answer.headers["cache-control"] == "public, max-age=10"
    preflight = get(URL + "hls/master.m3u8", "OPTIONS", Origin="https://a.example")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-headers"] == "range"
    assert made.asked == ["medium.webp"]


def invalidate(get: Http, *items: str) -> None:
    """As the invalidation function does it, without credentials."""
    clients = AwsClients(
        {
            "AWS_ENDPOINT_URL_CLOUDFRONT": f"http://{get.host}",
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
    )
    CloudFrontCaches(clients, "E1").forget(items, once="once")
    clients.close()


def test_an_invalidation_by_tag_empties_the_caches_of_an_asset(edge: tuple[Edge, Http]) -> None:
    """All files and errors of the asset are removed; other assets stay cached."""
    made, get = edge
    other = f"/{ASSET.replace('1', '2')}/{VERSION}/large.jpg"
    for path in (URL + "medium.webp", URL + "large.webp", URL + "huge.jpg", other):
        get(path)
    assert len(made.server.cache) == 4

    invalidate(get, cache_tag(ASSET))

    assert get(other).headers["x-cache"] == "Hit"
    assert len(made.server.cache) == 1
    assert get(URL + "medium.webp").headers["x-cache"] == "Miss"


def test_a_closed_file_is_answered_for_by_the_delivery_function(edge: tuple[Edge, Http]) -> None:
    """As S3 refuses it by the bucket's policy: whole, in part, and a large one."""
    made, get = edge
    (record,) = made.catalog.records.values()
    made.catalog.records[record.asset] = replace(record, status=Status.REVIEW)
    for key in (MADE[0].key, f"{PREFIX}video.mp4"):
        made.store.tag(made.server.bucket, key, CLOSED)

    for path in (MADE[0].key, f"{PREFIX}video.mp4"):
        answer = get("/" + path.partition("/")[2], Range="bytes=0-3")
        assert (answer.status, answer.headers["x-cache"]) != (200, "Hit")
        assert answer.status in (403, 404)


def test_an_answer_of_before_an_invalidation_is_not_cached_after_it(
    edge: tuple[Edge, Http],
) -> None:
    """The origin was asked for a file that was removed meanwhile: it is sent once, and not kept."""
    made, get = edge
    made.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, URL + "medium.webp")
        while not made.asked:
            pass
        invalidate(get, cache_tag(ASSET))
        made.gate.set()

        assert slow.result().status == 200
    assert len(made.server.cache) == 0


@pytest.mark.parametrize("body", [b"", b"<Path>/ab/*</Path><CallerReference>r</CallerReference>"])
def test_the_server_refuses_an_invalidation_that_it_cannot_do(
    edge: tuple[Edge, Http], body: bytes
) -> None:
    """Paths, and what is no invalidation: as CloudFront's API refuses a wrong argument."""
    made, get = edge
    get(URL + "medium.webp")

    path = "/2020-05-31/distribution/E1/invalidation"
    answer = get(path, "POST", body=body)

    assert answer.status == 400
    assert b"<Code>InvalidArgument</Code>" in answer.body
    assert len(made.server.cache) == 1
    long = get(path, "POST", body=b" " * 1_000_001)
    assert (long.status, b"BatchTooLarge" in long.body) == (400, True)


def test_an_origin_that_is_down_is_a_503_that_nobody_keeps(
    edge: tuple[Edge, Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cached files are served meanwhile."""
    made, get = edge
    get(URL + "medium.webp")

    def down(*_: object) -> object:
        raise SafelightError("down", code="unreachable")

    monkeypatch.setattr(made.server, "_ask", down)

    assert get(URL + "medium.webp").status == 200
    failed = get(URL + "large.jpg")
    assert (failed.status, failed.headers["cache-control"]) == (503, "no-store")
    assert failed.headers["vary"] == delivery.HEADERS["Vary"]


def test_a_defect_is_a_503_with_the_headers_of_all_answers(
    edge: tuple[Edge, Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with a stable code: what went wrong is in the log alone."""
    made, get = edge

    def broken(_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(made.server.edge, "handle", broken)
    answer = get(URL + "large.jpg")
    assert (answer.status, answer.body) == (503, b"engine_failed\n")
    assert (answer.headers["vary"], answer.headers["cache-control"]) == (
        HEADERS["Vary"],
        "no-store",
    )


def test_huge_headers_are_answered(edge: tuple[Edge, Http]) -> None:
    """With the safe file: 8 kB of Accept, and what is no text."""
    _, get = edge

    for accept in ("x/y," * 2000, "\x80\xff\xfe", "image/avif;q=é"):
        answer = get(URL + "medium", Accept=accept)
        assert answer.status == 200
        assert answer.headers["content-type"] == "image/jpeg"


def test_every_client_of_the_table_is_given_what_it_can_show(edge: tuple[Edge, Http]) -> None:
    """Of formats that were not made too: each gets a type that its Accept names, or JPEG."""
    _, get = edge
    _, clients = load()

    def check(one: Client) -> str | None:
        headers = {name.replace("-", "_"): value for name, value in one.headers}
        kind = get(URL + "medium", "GET", None, **headers).headers["content-type"]
        wanted = "image/jpeg" if one.format == "jpg" else "image/webp"
        return None if kind == wanted else f"{one.name}: {kind}"

    assert [found for one in clients if (found := check(one)) is not None] == []


# --- the cache ----------------------------------------------------------------------------------


def answer_of(size: int = 1, control: str = "max-age=60", tag: str = "a:1") -> OriginAnswer:
    """An answer of so many bytes."""
    headers = {"Cache-Control": control, "x-amz-meta-cache-tag": tag}
    return OriginAnswer(status=200, headers=headers, body=b"x" * size)


def test_an_answer_is_kept_as_long_as_it_says() -> None:
    """By ``s-maxage``, else ``max-age``, else a day; and not at all if it says so."""
    seconds = [0.0]
    cache = EdgeCache(clock=lambda: seconds[0])
    for key, control in (
        *(("minute", "max-age=60"), ("shared", "max-age=60, s-maxage=5"), ("silent", "public")),
        *(("none", "no-store"), ("mine", "private, max-age=60"), ("zero", "max-age=0")),
        ("check", "no-cache"),
    ):
        cache.put(key, answer_of(control=control))

    def kept() -> set[str]:
        keys = ("minute", "shared", "silent", "none", "mine", "zero", "check")
        return {key for key in keys if cache.get(key) is not None}

    assert kept() == {"minute", "shared", "silent"}
    seconds[0] = 5.0
    assert kept() == {"minute", "silent"}
    found = cache.get("minute")
    assert found is not None
    assert found[1] == 5
    seconds[0] = 60.0
    assert kept() == {"silent"}
    seconds[0] = 86_400.0
    assert kept() == set()


def test_the_cache_does_not_grow() -> None:
    """The answers that were used longest ago go first."""
    cache = EdgeCache(most=2 * ENTRY_BYTES + 25)
    for key in "abc":
        cache.put(key, answer_of(10))
        cache.get("a")

    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]
    cache.put("a", answer_of(10))  # again: counted once
    assert len(cache) == 2


def test_a_tag_names_all_files_of_an_asset() -> None:
    """And no others."""
    cache = EdgeCache()
    for key in ("x/1/v/a", "x/1/v/b", "x/2/v/a"):
        cache.put(key, answer_of(tag=f"a:{key.split('/')[1]}"))
    cache.put("x/1/v/missing", OriginAnswer(status=404, headers={"Cache-Control": "max-age=9"}))

    cache.forget(["a:1"])

    assert len(cache) == 1
    assert cache.get("x/2/v/a") is not None
