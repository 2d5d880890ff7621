"""Requests to delivery that no honest client sends: each has a clear answer, and nothing grows."""

from __future__ import annotations

import http.client
import socket
import uuid
from collections.abc import Iterator

import pytest

from tests.contract.test_delivery_server import CHROME, URL, Edge, Http, edge
from tests.unit.test_deliver import ASSET, PREFIX, VERSION
from worker.adapters.aws.s3 import S3ObjectStore
from worker.domain.errors import AccessDenied
from worker.local import delivery
from worker.local.delivery import CACHED_BYTES, ENTRY_BYTES, EdgeCache
from worker.services.deliver import error

__all__ = ["edge"]
WIDE = [
    *("w/0", "w/1", "w/000000640", "w/999999999", "w/320.jpg", "w/999999999.avif"),
]
"""Widths from nothing to everything: each is one of the eight."""
NO_PATHS = [
    # Traversal, plain, encoded once and twice, with other separators.
    *("../large.jpg", "..%2flarge.jpg", "%2e%2e/large.jpg", "%2e%2e%2flarge.jpg"),
    *("%252e%252e/large.jpg", "%252e%252e%252flarge.jpg", "..%5clarge.jpg", "..;/large.jpg"),
    *("a/../large.jpg", "./large.jpg", "w/../large.jpg", "w/640.jpg/../../large.jpg"),
    *("%c0%ae%c0%ae/large.jpg", "\\large.jpg", "/large.jpg", "large.jpg/", ".large.jpg"),
    # Names and endings that no file has.
    *("large.exe", "large.svg", "large.html", "result.json", "manifest.json", "jobs/", ""),
    *("large.jpg%00.html", "large%00", "l%61rge.jpg", "gro%c3%9f", "x" * 101, "a/" * 9 + "b.jpg"),
    # Widths that are none.
    *("w/", "w/-1", "w/+640", "w/1e3", "w/0x280", "w/640px", "w/640.0", "w/auto.exe", "w/AUTO"),
    *("w/9999999999", "w/%36%34%30", "w/auto-640"),
]


@pytest.mark.parametrize("file", NO_PATHS)
def test_what_is_no_file_is_refused_at_the_edge(edge: tuple[Edge, Http], file: str) -> None:
    """The bucket is not asked, and the answer carries all headers."""
    made, get = edge

    answer = get(URL + file, Accept=CHROME)

    assert (answer.status, answer.headers["x-cache"]) == (404, "FunctionGeneratedResponse")
    assert answer.headers["content-type"] == "text/plain"
    assert {name.lower() for name in delivery.HEADERS} <= {*answer.headers}
    assert made.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/", "//", "/%2e%2e/", "*", f"/{ASSET}", f"/{ASSET}/{VERSION}",
        f"/{ASSET[:-1]}/{VERSION}/large", f"/{ASSET[:-1]}F/{VERSION}/large",
        f"/{ASSET}/{VERSION.upper()}/large", f"/{ASSET}/{VERSION}0/large", f"/{PREFIX}large.jpg",
        f"/{ASSET}%2f{VERSION}%2flarge.jpg", f"//{ASSET}/{VERSION}/large.jpg", "/" + "a" * 8000,
        "/favicon.ico", "/robots.txt", "/.env", "/console/", "/demo/",
    ],
)  # fmt: skip
def test_what_is_no_asset_is_refused_at_the_edge(edge: tuple[Edge, Http], path: str) -> None:
    """Typical paths of scanners are answered with 400 or 404, without a call of the origin."""
    made, get = edge

    assert get(path).status in (400, 404)
    assert made.asked == []


def test_absurd_widths_are_few_keys(edge: tuple[Edge, Http]) -> None:
    """Each number is one of eight widths; too wide ones are a 404, kept for seconds."""
    made, get = edge

    answers = {file: get(URL + file, Accept="image/webp") for file in WIDE}

    assert {one: answers[one].status for one in WIDE} == {
        one: 404 if "999" in one else 200 for one in WIDE
    }
    assert {*made.asked} == {
        *("w/320.webp", "w/640.webp", "w/320.jpg", "w/3840.webp", "w/3840.avif"),
    }
    assert answers["w/999999999"].headers["cache-control"] == "public, max-age=10"


def test_a_name_that_the_asset_does_not_have_is_a_404_for_seconds(edge: tuple[Edge, Http]) -> None:
    """In any format; so is an asset that does not exist."""
    _, get = edge
    for path in (
        *(f"{URL}unknown", f"{URL}unknown.avif", f"{URL}w/640.jpg.webp", f"{URL}w/640/a.jpg"),
        f"/{uuid.uuid4()}/{VERSION}/large",
    ):
        answer = get(path, Accept=CHROME)

        assert (answer.status, answer.headers["cache-control"]) == (404, "public, max-age=10")


def test_thousands_of_query_strings_are_one_key(edge: tuple[Edge, Http]) -> None:
    """Long ones, broken ones, and those that look like parameters of others."""
    made, get = edge
    connection = http.client.HTTPConnection(get.host, timeout=30)
    shapes = ("v={}", "{}", "w={}&h=1&format=png", "%zz{}", "a[]={}", "x={}" + "y" * 500, "?{}&&=")
    for number in range(3_000):
        query = shapes[number % len(shapes)].format(number)
        connection.request("GET", f"{URL}large.jpg?{query}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, f"{PREFIX}large.jpg".encode())
    connection.close()

    assert made.asked == ["large.jpg"]
    assert len(made.server.cache) == 1


@pytest.mark.parametrize(
    "accept",
    [
        *("", ",", ";;;", "q=1", "image/webp;q=", "image/webp;q=2", "image/webp;q=1e9"),
        *("image/webp;q=-1", "image/webp;q=nan", "image/;q=1", "image/webp image/avif", '"'),
        *("image/webp" + ";a=b" * 2_000, "x/y," * 2_000 + "image/webp", "image/webp," * 740),
        *("\x80\xff\xfe", "image/avif;q=é", "*/*;q=0", "image/webp;q=0.0001"),
    ],
    ids=lambda text: repr(text[:30]),
)
def test_a_malformed_accept_gets_a_picture(edge: tuple[Edge, Http], accept: str) -> None:
    """Up to 8 kB of it: what all can show, or what it names in its first kilobyte."""
    made, get = edge

    answer = get(URL + "medium", Accept=accept)

    assert answer.status == 200
    wanted = "image/webp" if accept.startswith("image/webp,") else "image/jpeg"
    assert answer.headers["content-type"] == wanted
    assert len(made.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {f"X_{number}": "y" * 1_000 for number in range(10)},
        {"Cookie": "a=b;" * 2_000},
        {"User_Agent": "Mozilla/5.0 " + "x" * 8_000},
        {"Sec_CH_Width": "9" * 8_000, "Sec_CH_DPR": "9" * 8_000},
        {"If_None_Match": '"x",' * 2_000},
        {"Range": "bytes=" + "0-1," * 2_000},
        {"If_Modified_Since": "x" * 8_000},
    ],
    ids=lambda one: next(iter(one)),
)
def test_large_headers_change_nothing(edge: tuple[Edge, Http], headers: dict[str, str]) -> None:
    """The same file under the same key."""
    made, get = edge

    answer = get(URL + "large.jpg", "GET", None, **headers)

    assert (answer.status, answer.body) == (200, f"{PREFIX}large.jpg".encode())
    assert made.asked == ["large.jpg"]


@pytest.fixture
def raw(edge: tuple[Edge, Http]) -> Iterator[socket.socket]:
    """A connection for bytes that are no request."""
    host, port = edge[1].host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAccept: \x00\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"nothing\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["nul", "nul header", "version", "nothing", "header", "path"],
)
def test_bytes_that_are_no_request_end_their_connection(
    edge: tuple[Edge, Http], raw: socket.socket, request_: bytes
) -> None:
    """With an error of the client's; others are served."""
    made, get = edge
    try:
        raw.sendall(request_)
        answer = raw.recv(4096)
    except ConnectionError:  # it did not read to the end
        answer = b""

    assert answer[:10] in (b"", b"HTTP/1.1 4")
    assert made.asked == []
    assert get(URL + "large.jpg").status == 200


def test_a_bucket_that_refuses_is_a_503_that_is_not_kept(
    edge: tuple[Edge, Http], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both origins are refused; what is cached is served, and the rest again once they may."""
    made, get = edge
    get(URL + "medium.webp")

    def refused(*_: object, **__: object) -> object:
        raise AccessDenied("no role may read this bucket")

    with monkeypatch.context() as patch:
        patch.setattr(made.server, "_get", refused)
        patch.setattr(S3ObjectStore, "get", refused)
        failed = get(URL + "large.jpg")
        assert get(URL + "medium.webp").headers["x-cache"] == "Hit"

    assert (failed.status, failed.headers["cache-control"]) == (503, "no-store")
    assert b"access_denied" in failed.body
    assert get(URL + "large.jpg").status == 200


def test_a_cache_of_garbage_makes_room_for_files(edge: tuple[Edge, Http]) -> None:
    """Answers of a scanner count with their keys, so that the cache stays within its size."""
    made, get = edge
    made.server.cache = EdgeCache(most=20 * ENTRY_BYTES)
    for _ in range(100):
        assert get(f"/{uuid.uuid4()}/{VERSION}/large.jpg").status == 404

    assert len(made.server.cache) < 20
    first, again = get(URL + "large.jpg"), get(URL + "large.jpg")
    assert (first.headers["x-cache"], again.headers["x-cache"]) == ("Miss", "Hit")


def test_a_million_errors_are_not_kept() -> None:
    """At most one for each kilobyte of the cache."""
    cache = EdgeCache()
    answer = error(404, "there is no such asset")
    most = CACHED_BYTES // (ENTRY_BYTES + len(answer.body))
    for number in range(most + 1_000):
        cache.put(str(number), answer)

    assert len(cache) == most
