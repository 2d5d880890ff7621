"""The demo page of the local stack: Lighthouse finds nothing about formats, sizes and caching."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.emulators import make_sure
from tests.integration.running import Running, share, stack
from tests.servers import serving_app
from worker.samples.catalogue import SAMPLES

LIGHTHOUSE = "lighthouse@12.8.2"
"""The last version that has an audit for each rule, and that runs on Node 18 and 20."""
SECONDS = 240
"""That one check may take on a busy machine."""
PHOTOS = ("dunes-in-low-sun.jpg", "lights-in-a-garden.jpg", "harbour-at-dusk.jpg")
"""The last one is the first on the page, which has the newest first."""
FORMATS = ("modern-image-formats", "uses-optimized-images", "efficient-animated-content")
SIZES = (
    *("uses-responsive-images", "unsized-images", "image-size-responsive", "image-aspect-ratio"),
    *("offscreen-images", "lcp-lazy-loaded", "prioritize-lcp-image", "cumulative-layout-shift"),
    *("cls-culprits-insight", "lcp-discovery-insight"),
)
CACHING = ("uses-long-cache-ttl", "cache-insight")
DELIVERY = "image-delivery-insight"
"""Formats and sizes again. It takes no notice of an emulated pixel density (a remark in its own
source says so), so it is right on a desktop only."""


@pytest.fixture(scope="module")
def lighthouse() -> Sequence[str]:
    """The program, installed once and kept for the next run."""
    npm, chromium = shutil.which("npm"), shutil.which("chromium")
    if npm is None or chromium is None:
        pytest.skip("needs npm and chromium")
    folder = Path(tempfile.gettempdir()) / f"safelight-lighthouse-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    program = folder / "node_modules" / "lighthouse" / "cli" / "index.js"
    if not program.exists():
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        done = subprocess.run(
            [npm, "install", *options, LIGHTHOUSE], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"npm installs nothing: {done.stderr[-300:]}")
    return ("node", str(program))


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, lighthouse: Sequence[str]
) -> Iterator[Running]:
    """A stack with photos, by a recipe whose formats Chromium takes."""
    make_sure(tmp_path_factory)
    share(tmp_path_factory.getbasetemp() / "deployed")
    folder = tmp_path_factory.mktemp("demo")
    with stack(folder / "data") as made:
        for name in PHOTOS:
            path = folder / name
            path.write_bytes(next(one for one in SAMPLES if one.name == name).make(1.0))
            made.run("put", path, "--recipe", "modern", "--wait")
        yield made


def checked(lighthouse: Sequence[str], url: str, *options: str) -> dict[str, Any]:
    """The audits of a page, by name."""
    done = subprocess.run(
        [
            *(*lighthouse, url, *options, "--output=json", "--quiet"),
            *("--no-enable-error-reporting", "--only-categories=performance,best-practices"),
            # Containers have no user namespaces for its sandbox; every page here is ours.
            "--chrome-flags=--headless=new --no-sandbox",
        ],
        env={**os.environ, "CHROME_PATH": shutil.which("chromium") or ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    audits: dict[str, Any] = json.loads(done.stdout)["audits"]
    return audits


def findings(audits: dict[str, Any], *names: str) -> dict[str, Any]:
    """What audits found: those that are not passed, with their lists."""
    missing = {*names} - {*audits}
    assert not missing, "Lighthouse has no such audits"
    return {
        name: audits[name].get("details", {}).get("items")
        for name in names
        if audits[name]["score"] not in (1, None)
    }


@pytest.mark.parametrize("form", ["desktop", "mobile"])
def test_the_demo_page_has_no_finding(
    running: Running, lighthouse: Sequence[str], form: str
) -> None:
    """About formats, sizes and caching of pictures; on a desktop, and on a phone of 1.75 pixels."""
    options = ["--preset=desktop"] if form == "desktop" else []
    names = [*FORMATS, *SIZES, *CACHING, *([DELIVERY] if form == "desktop" else [])]
    url = running.ready["api"] + "/demo/"
    checked(lighthouse, url, *options)  # what is missing is made at the first view

    audits = checked(lighthouse, url, *options)

    assert findings(audits, *names) == {}
    requests = audits["network-requests"]["details"]["items"]
    types = {one["mimeType"] for one in requests if one["resourceType"] == "Image"}
    assert types == {"image/jxl"}


def test_the_same_check_finds_what_is_wrong(running: Running, lighthouse: Sequence[str]) -> None:
    """A page that shows a large JPEG as it is, without its size and for no time."""
    data = next(one for one in SAMPLES if one.name == PHOTOS[0]).make(1.0)
    html = '<!doctype html><html lang="en"><title>x</title><img src="/a.jpg" style="width:300px">'

    async def page(_: object) -> Response:
        return HTMLResponse(html)

    async def picture(_: object) -> Response:
        return Response(data, media_type="image/jpeg")

    with serving_app(Starlette(routes=[Route("/", page), Route("/a.jpg", picture)])) as address:
        audits = checked(lighthouse, address + "/", "--preset=desktop")

    assert {
        *("modern-image-formats", "uses-responsive-images", "unsized-images"),
        *("uses-long-cache-ttl", "cache-insight", DELIVERY),
    } <= {*findings(audits, *FORMATS, *SIZES, *CACHING, DELIVERY)}


def test_the_page_asks_for_hints_and_loads_pictures_alone(running: Running) -> None:
    """From the media host, to which it delegates; another name of this machine gets nothing."""
    media = running.ready["delivery"]
    with urlopen(running.ready["api"] + "/demo/", timeout=30) as answer:
        headers, html = answer.headers, answer.read().decode()

    assert f'ch-width=(self "{media}")' in headers["Permissions-Policy"]
    assert "Sec-CH-Width" in headers["Accept-CH"]
    assert f"img-src {media};" in headers["Content-Security-Policy"]
    assert html.count("<img ") == len(PHOTOS)
    assert 'alt="Harbour at dusk"' in html
    assert html.count('loading="lazy"') == len(PHOTOS) - 1
    request = Request(running.ready["api"] + "/demo/", headers={"Host": "evil.example"})
    with pytest.raises(HTTPError, match="421"):
        urlopen(request, timeout=30)
