"""Views of files, counted from logs that anybody may have written into."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from worker.domain.delivery import PictureKey
from worker.domain.image import Format
from worker.services import popularity
from worker.services.popularity import Popularity, lines_of

ASSET, VERSION = "11111111-1111-4111-8111-111111111111", "0123456789abcdef"


def line(file: str = "medium", kind: str = "image/jxl", **changes: Any) -> bytes:
    """A request as CloudFront logs it."""
    told = {
        "date": "2026-11-29",
        "cs-method": "GET",
        "cs-uri-stem": f"/{ASSET}/{VERSION}/{file}",
        "sc-status": "200",
        "sc-content-type": kind,
    }
    return json.dumps({**told, **{k.replace("_", "-"): v for k, v in changes.items()}}).encode()


def counted(*lines: bytes) -> Popularity:
    """What a log says."""
    found = Popularity()
    found.add(lines)
    return found


def key(**parts: Any) -> PictureKey:
    """A file of the asset."""
    return PictureKey(asset=ASSET, version=VERSION, **{"format": Format.JXL, **parts})


def test_a_view_counts_for_the_file_that_was_sent() -> None:
    """By the address of the client or the one that the edge has chosen, and the type sent."""
    found = counted(
        line(),
        line("medium.jxl"),
        line(cs_uri_stem=f"/ab/{ASSET}/{VERSION}/medium.jxl"),
        line("medium.avif", "image/webp"),
        line("w/640"),
        line(cs_uri_stem=f"/ab/{ASSET}/{VERSION}/w/640.jxl"),
    )

    assert dict(found.hot()) == {
        key(name="medium"): 3,
        key(name="medium", format=Format.WEBP): 1,
        key(width=640): 2,
    }
    assert (found.lines, found.ignored) == (6, 0)


@pytest.mark.parametrize(
    "hostile",
    [
        b"#Version: 1.0",
        b"\x00\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'"text"',
        b"1" * 5_000,
        line(sc_status="304"),
        line(sc_status="404"),
        line(sc_status=None),
        line(cs_method="HEAD"),
        line(kind="text/html"),
        line(kind="image/jxl; charset=x"),
        line(kind=["image/jxl"]),  # type: ignore[arg-type]
        line("../medium"),
        line("hls/0.m4s", "image/jpeg"),
        line("w/auto"),
        line("w/123456"),
        line("n" * 101),
        line("m%65dium"),
        line(cs_uri_stem=None),
        line(cs_uri_stem=f"/{ASSET.upper()}A/{VERSION}/medium"),
        line(cs_uri_stem=f"//{ASSET}/{VERSION}/medium"),
        line(cs_uri_stem=f"/{ASSET}/{VERSION}/medium\n"),
        line(pad="x" * 70_000),
    ],
)
def test_what_is_no_view_is_passed_over_and_counted(hostile: bytes) -> None:
    """An invalid line is skipped, and the next line counts."""
    found = counted(hostile, line())

    assert (found.lines, found.ignored) == (2, 1)
    assert dict(found.hot()) == {key(name="medium"): 1}


def test_ever_new_files_take_no_more_memory_and_hide_no_popular_one() -> None:
    """A crawler asks for a million names; what is viewed all the time is still there."""
    found = Popularity(most=100)
    for number in range(5_000):
        found.add([line(f"name{number}"), line()])

    assert len(found.views) <= 100
    ((first, views),) = found.views.most_common(1)
    assert first == key(name="medium")
    assert views == 5_000


@pytest.mark.parametrize("packed", [False, True])
def test_a_log_is_read_line_by_line(packed: bool) -> None:
    """Compressed or not, with and without an end of its last line."""
    data = b"\n".join([line(), line("large")]) + b"\n"

    found = Popularity()
    found.add(lines_of(gzip.compress(data) if packed else data))

    assert (found.lines, found.ignored, len(found.views)) == (2, 0, 2)


def test_a_damaged_log_gives_what_comes_before_the_damage() -> None:
    """A file that was cut, and one that is no gzip behind its first bytes."""
    whole = gzip.compress(b"\n".join([line(f"a{number}") for number in range(2_000)]))

    found = Popularity()
    found.add(lines_of(whole[: len(whole) // 2]))
    assert 100 < found.lines < 2_000
    assert found.ignored <= 1
    assert list(lines_of(b"\x1f\x8b not gzip")) == [b""]


def test_a_small_file_does_not_unpack_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read up to a limit, and a line without an end takes no memory."""
    monkeypatch.setattr(popularity, "MOST_LOG", 3_000_000)
    bomb = gzip.compress(b"x" * 50_000_000)

    assert len(bomb) < 100_000
    (rest,) = lines_of(bomb)
    assert len(rest) == popularity.MOST_LINE + 1
