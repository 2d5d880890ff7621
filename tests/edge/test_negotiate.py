"""negotiate.js: every client of the table, every rule, and whatever is sent on purpose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.clients import ASSET, SPREAD, VERSION, Client, load, page
from tests.edge.engines import ENGINES, needs_njs, njs, run
from worker.domain.delivery import WIDTHS, read_picture_key
from worker.domain.image import Format
from worker.infra.edge import LARGEST, EdgeFunction, path, request_event, source

BASE = f"/{ASSET}/{VERSION}/"
KEYS = f"/{SPREAD}/{ASSET}/{VERSION}/"
CHROME = ("Accept", "image/jxl,image/avif,image/webp,image/apng,image/*,*/*;q=0.8")
DOCS = Path(__file__).parents[2] / "docs" / "clients.md"


def chosen(
    file: str, *headers: tuple[str, str], function: EdgeFunction | None = None
) -> str | None:
    """The file that a request gets; None for a 404."""
    answer = (function or EdgeFunction(source())).handle(request_event(BASE + file, headers))
    if "statusCode" in answer:
        assert answer["statusCode"] == 404
        return None
    assert answer["uri"].startswith(KEYS)
    return str(answer["uri"].removeprefix(KEYS))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_client_gets_the_best_file_it_can_show(engine: str, tmp_path: Path) -> None:
    """The table: format by name, by a width and by a width that the client's hints decide."""
    _, clients = load()
    requests = [(one, file) for one in clients for file in ("large", "w/auto")]

    answers = run(engine, source(), [one.event(file) for one, file in requests], tmp_path)

    wrong = [
        (one.name, answer.get("uri"), wanted)
        for (one, file), answer in zip(requests, answers, strict=True)
        if answer.get("uri") != (wanted := KEYS + _wanted(one, file))
    ]
    assert not wrong


def _wanted(one: Client, file: str) -> str:
    return f"large.{one.format}" if file == "large" else f"w/auto-{one.auto}.{one.format}"


def test_the_table_is_large_and_says_where_its_values_are_from() -> None:
    """More than 120 clients, each named once, with a source that is explained."""
    sources, clients = load()

    assert len(clients) >= 120
    assert len({one.name for one in clients}) == len(clients)
    assert {one.source for one in clients} == set(sources)
    invented = [one for one in clients if one.source == "constructed"]
    assert len(clients) - len(invented) >= 120


def test_the_page_of_clients_shows_the_table(request: pytest.FixtureRequest) -> None:
    """docs/clients.md is made of the table."""
    if request.config.getoption("--write-golden"):
        DOCS.write_text(page(), "utf-8")
    assert DOCS.read_text("utf-8") == page()


# --- limits of CloudFront -----------------------------------------------------------------------


def test_the_function_is_small_enough() -> None:
    """At most 10,240 bytes, whatever the recipe makes."""
    assert len(source().encode()) <= LARGEST
    assert path().read_bytes().isascii()
    assert len(source(Format).encode()) <= LARGEST


@needs_njs
@pytest.mark.parametrize(
    "newer",
    [
        "for (const x of [1]) {}",
        "const {a} = {a: 1};",
        "function f(a = 1) {}",
        "f(...[1]);",
        "class A {}",
        "const a = {}; a?.b;",
        "new Map();",
        "new Set();",
    ],
)
def test_the_engine_of_the_tests_knows_no_newer_language(newer: str, tmp_path: Path) -> None:
    """So a function that runs in it uses none of it."""
    program = tmp_path / "newer.js"
    program.write_text(f"{newer}\nconsole.log('ran')")

    with pytest.raises(AssertionError, match=r"SyntaxError|ReferenceError"):
        njs(program)


def test_the_widths_are_those_of_the_other_servers() -> None:
    """One list, in two languages."""
    assert tuple(EdgeFunction(source()).call("__constant", "WIDTHS")) == WIDTHS


# --- formats ------------------------------------------------------------------------------------


def test_only_what_the_recipe_makes_is_offered() -> None:
    """A deployment that makes WebP alone is never asked for AVIF."""
    webp = EdgeFunction(source([Format.JPEG, Format.WEBP]))
    modern = EdgeFunction(source([Format.JPEG, Format.JXL]))
    plain = EdgeFunction(source([Format.PNG]))

    assert chosen("large", CHROME, function=webp) == "large.webp"
    assert chosen("large", CHROME, function=modern) == "large.jxl"
    assert chosen("large", ("Accept", "image/avif,image/webp"), function=modern) == "large.jpg"
    assert chosen("large", CHROME, function=plain) == "large.jpg"


@pytest.mark.parametrize(
    "ending", ["jpg", "webp", "avif", "jxl", "png", "gif", "mp4", "m4s", "m3u8", "mpd"]
)
def test_a_file_ending_forces_a_format(ending: str) -> None:
    """Exactly that file, whatever the headers say."""
    slow = [CHROME, ("Save-Data", "on"), ("ECT", "slow-2g"), ("User-Agent", "Googlebot/2.1")]

    assert chosen(f"large.{ending}", *slow) == f"large.{ending}"
    below = f"transcode/hls/720p-av1/00000.{ending}"
    assert chosen(below, *slow) == below


@pytest.mark.parametrize("ending", ["jpg", "webp", "avif", "jxl"])
def test_a_width_with_an_ending_is_the_same_everywhere(ending: str) -> None:
    """It is snapped up, and nothing else."""
    assert chosen(f"w/600.{ending}", CHROME, ("Save-Data", "on")) == f"w/640.{ending}"


def test_files_of_videos_are_themselves() -> None:
    """Playlists, segments, subtitles, sprites, at any depth that jobs write."""
    for file in ("hls/master.m3u8", "hls/1080p/seg-00001.m4s", "storyboard.vtt", "a/b/c/d/e/f.jpg"):
        assert chosen(file, CHROME) == file


# --- widths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "given_"),
    [
        ("1", 320), ("320", 320), ("321", 480), ("600", 640), ("0640", 640), ("1920", 1920),
        ("3840", 3840), ("3841", 3840), ("999999999", 3840), ("0", 320),
    ],
)  # fmt: skip
def test_widths_snap_up(asked: str, given_: int) -> None:
    """To the next of eight; beyond the largest to that."""
    assert chosen(f"w/{asked}") == f"w/{given_}.jpg"


@pytest.mark.parametrize(
    ("headers", "given_"),
    [
        ([("Save-Data", "on")], 480),
        ([("Save-Data", " ON ")], 480),
        ([("Save-Data", "off")], 640),
        ([("Save-Data", "1")], 640),
        ([("ECT", "2g")], 480),
        ([("ECT", "slow-2g")], 320),
        ([("ECT", "2g"), ("Save-Data", "on")], 320),
        ([("ECT", "slow-2g"), ("Save-Data", "on")], 320),
        ([("ECT", "3g")], 640),
        ([("ECT", "5g")], 640),
        ([("Downlink", "0.05")], 480),
        ([("Downlink", "0.05"), ("ECT", "4g")], 640),
        ([("Downlink", "-1")], 640),
        ([("Save-Data", "on"), ("User-Agent", "Twitterbot/1.0")], 640),
    ],
)
def test_who_saves_data_gets_a_smaller_one(headers: list[tuple[str, str]], given_: int) -> None:
    """One step down for Save-Data and for 2G, two at most."""
    assert chosen("w/640", *headers) == f"w/{given_}.jpg"


@pytest.mark.parametrize(
    "value",
    ["", "0", "-5", "NaN", "1e9", "99999999999", "640px", "640, 320", "0x280", "\u0660", "7"],
)
def test_a_hint_that_makes_no_sense_is_none(value: str) -> None:
    """The next one decides; a small but sane one counts."""
    wanted = "w/auto-320.jpg" if value == "7" else "w/auto-1280.jpg"

    assert chosen("w/auto", ("Sec-CH-Width", value)) == wanted
    assert chosen("w/auto", ("Sec-CH-Viewport-Width", "600"), ("Sec-CH-DPR", value or "0")) in (
        "w/auto-640.jpg",
        "w/auto-3840.jpg",
    )


def test_a_new_name_of_a_hint_goes_before_the_old_one() -> None:
    """Chromium sends both."""
    assert chosen("w/auto", ("Width", "100"), ("Sec-CH-Width", "900")) == "w/auto-960.jpg"


def test_the_set_of_keys_is_small_and_fixed() -> None:
    """8 widths in 4 formats for ``w/auto``, as many for explicit widths, and 4 formats of each
    name: no header makes another one."""
    function = EdgeFunction(source())
    _, clients = load()
    agents = sorted({one.agent for one in clients})
    accepts = sorted({one.accept or "" for one in clients})
    keys = {
        chosen(
            "w/auto",
            ("Accept", accept),
            ("User-Agent", agents[index % len(agents)]),
            ("Sec-CH-Width", str(index * 37 % 5000)),
            function=function,
        )
        for index, accept in enumerate(accepts * 40)
    }

    assert keys == {
        f"w/auto-{width}.{one}" for width in WIDTHS for one in ("jpg", "webp", "avif", "jxl")
    }


# --- hostile input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        "", ".", "..", "../x.jpg", "a/../b.jpg", "%2e%2e/x.jpg", "%252e%252e/x.jpg", "a%2Fb.jpg",
        "a//b.jpg", "/a.jpg", "a\\b.jpg", "a b.jpg", "large.", ".jpg", ".checkpoint/a.mp4",
        "result.json", "manifest.json", "large.php", "large.jpg/", "large/", "w", "w/", "w/-5",
        "w/6.5", "w/1e3", "w/abc", "w/640.", "w/640/x", "w/9999999999", "a\u0000.jpg",
        "ü.jpg", "a/" * 9 + "b.jpg", "x" * 2000, "w/" + "1" * 3000,
    ],
)  # fmt: skip
def test_a_path_that_names_nothing_is_a_404(file: str) -> None:
    """Answered at the edge, for a minute: the bucket is not asked. "w" is a name like any other."""
    assert chosen(file, CHROME) == ("w.jxl" if file == "w" else None)


@pytest.mark.parametrize(
    "uri",
    [
        "/", "", "/index.html", f"/{ASSET}", f"/{ASSET}/{VERSION}", f"/{ASSET}/{VERSION}/",
        f"/{ASSET.upper()}/{VERSION}/large", f"/{ASSET}/{VERSION[:-1]}/large",
        f"//{ASSET}/{VERSION}/large", f"/ab/{ASSET}/{VERSION}/large.jpg",
        "/recipes/" + "0" * 64 + ".json", f"/{ASSET}/latest/large",
    ],
)  # fmt: skip
def test_other_addresses_are_a_404(uri: str) -> None:
    """Neither keys nor anything that is of no version of an asset."""
    answer = EdgeFunction(source()).handle(request_event(uri, [CHROME]))

    assert answer["statusCode"] == 404
    assert answer["headers"]["cache-control"]["value"] == "public, max-age=60"


def test_the_query_reaches_nothing() -> None:
    """Thousands of different ones are one key and one request of the origin."""
    event = request_event(BASE + "large", [CHROME])
    event["request"]["querystring"] = {f"n{number}": {"value": "1"} for number in range(1000)}

    answer = EdgeFunction(source()).handle(event)

    assert answer["querystring"] == {}
    assert answer["uri"] == KEYS + "large.jxl"


HEADER = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = (
    *("accept", "user-agent", "sec-ch-dpr", "dpr", "sec-ch-width", "width", "viewport-width"),
    *("sec-ch-viewport-width", "save-data", "ect", "downlink", "sec-ch-ua-mobile"),
)
ACCEPTS = st.lists(
    st.sampled_from(
        [
            "image/avif",
            "image/webp",
            "image/jxl",
            ";q=0",
            ";q=1",
            ";q=",
            ",",
            " ",
            "*/*",
            "\x00",
            "é",
        ]
    ),
    max_size=2000,
).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    headers=st.dictionaries(st.sampled_from(NAMES), HEADER | ACCEPTS, max_size=8),
    file=st.sampled_from(["large", "w/auto", "w/640"]),
)
def test_no_header_is_an_error(headers: dict[str, str], file: str) -> None:
    """For any headers the result is one of the fixed keys."""
    key = chosen(file, *headers.items(), function=_FUNCTION)

    assert key is not None
    read = read_picture_key(KEYS.strip("/") + "/" + key)
    assert read is not None
    assert read.width in (*WIDTHS, 0)
    assert read.format in (Format.JPEG, Format.WEBP, Format.AVIF, Format.JXL)


_FUNCTION = EdgeFunction(source())


@pytest.mark.parametrize("engine", ENGINES)
def test_huge_headers_get_the_safe_file(engine: str, tmp_path: Path) -> None:
    """Of 8 kB and more the first 1,024 characters count; a cut-off type promises nothing."""
    far = "text/x," * 2000 + "image/webp"
    cut = "image/webp," + "a/b," * 250 + "image/avif;q=0"
    assert len(cut) > 1024 > len(cut) - len(";q=0")
    long = "x" * 100_000
    headers: Sequence[Sequence[tuple[str, str]]] = (
        [("Accept", far)],
        [("Accept", cut)],
        [("Accept", "image/webp"), ("User-Agent", long), ("Sec-CH-Width", "1" * 9000)],
        [("Accept", "," * 9000)],
        [("Accept", "image/webp"), ("Accept", "image/avif")],
    )

    answers = run(
        engine, source(), [request_event(BASE + "w/auto", one) for one in headers], tmp_path
    )

    wanted = [f"w/auto-1280.{one}" for one in ("jpg", "webp", "webp", "jpg", "avif")]
    assert [one["uri"].removeprefix(KEYS) for one in answers] == wanted


@pytest.mark.parametrize("engine", ENGINES)
def test_an_event_without_headers_is_answered(engine: str, tmp_path: Path) -> None:
    """And one whose headers are of a strange form."""
    bare: dict[str, Any] = request_event(BASE + "large", [])
    odd = json.loads(json.dumps(bare))
    odd["request"]["headers"] = {"accept": {}, "user-agent": {"value": 5}}
    del bare["request"]["headers"]

    answers = run(engine, source(), [bare, odd], tmp_path)

    assert [one["uri"] for one in answers] == [KEYS + "large.jpg"] * 2


# --- compute ------------------------------------------------------------------------------------


@needs_njs
def test_the_function_does_little(tmp_path: Path) -> None:
    """With all headers it takes as long as some thousand turns of an empty loop in the same engine.

    CloudFront allows a share of a limit that it does not name, so what is held is a relation. An
    empty loop's turn is three instructions of njs: the function is below 30,000.
    """
    _, clients = load()
    event = json.dumps(next(one for one in clients if one.hints).event("w/auto"))
    program = tmp_path / "measure.js"
    program.write_text(
        f"""{source()}
const event = {event};
const uri = event.request.uri;
function best(action) {{
    let least = Infinity;
    for (let round = 0; round < 9; round++) {{
        const begin = Date.now();
        action();
        least = Math.min(least, Date.now() - begin);
    }}
    return least;
}}
const whole = best(function () {{
    for (let i = 0; i < 1000; i++) {{ event.request.uri = uri; handler(event); }}
}});
const turns = best(function () {{
    for (let i = 0; i < 1000000; i++) {{ }}
}});
console.log(JSON.stringify([whole, turns]));
"""
    )

    whole, turns = json.loads(njs(program))

    assert whole < 10 * turns, f"{1000 * whole / turns:.0f} turns of an empty loop"
