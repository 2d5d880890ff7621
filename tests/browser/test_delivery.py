"""What Chromium is served by the distribution: its format, the width of its slot, and its hints."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Response, Route
from starlette import routing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tests.browser.chromium import TIMEOUT, browser
from tests.edge.clients import ASSET, VERSION, load
from tests.servers import serving_app
from tests.unit.test_deliver import made
from tests.unit.test_markup import recorded
from worker.domain.delivery import NEGOTIATION_HEADERS, read_picture_key, url_path
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec
from worker.domain.markup import Addresses, PictureMarkup, image_html, picture_html, picture_of
from worker.imaging.engine import process
from worker.infra.edge import EdgeFunction, source
from worker.local.delivery import DeliveryServer
from worker.services.deliver import OriginAnswer

__all__ = ["browser"]

WIDE = 1280
"""Pixels across of the picture, which is red."""


@dataclass
class MadeServer(DeliveryServer):
    """A distribution in front of an origin that makes what is asked for."""

    seen: list[dict[str, str]] = field(default_factory=list)
    """Headers of requests."""

    def _ask(self, key: str, request: Request) -> OriginAnswer:
        self.seen.append(dict(request.headers))
        wanted = read_picture_key(key)
        assert wanted is not None
        spec = RenditionSpec(
            name="made",
            width=wanted.width or WIDE,
            minimum_saving=-1,
            encodings=(Encoding(format=wanted.format, quality=60, effort=1),),
        )
        red = io.BytesIO()
        Image.new("RGB", (WIDE, WIDE // 2), "red").save(red, "PNG")
        recipe = Recipe(name="test", version=1, renditions=(spec,))
        (made,) = process(red.getvalue(), recipe).renditions
        headers = {"Content-Type": wanted.format.media_type, "Cache-Control": "max-age=60"}
        return OriginAnswer(status=200, headers={**headers, "ETag": '"1"'}, body=made.data)


@contextmanager
def distribution() -> Iterator[tuple[MadeServer, str]]:
    """Serve; yields an address of another site than 127.0.0.1."""
    nothing = cast("Any", None)
    server = MadeServer(
        edge=EdgeFunction(source()),
        clients=nothing,
        bucket="",
        deliver=nothing,
    )
    with serving_app(server.app()) as address:
        yield server, f"http://localhost:{urlsplit(address).port}/{ASSET}/{VERSION}/"


@contextmanager
def page_of(body: str) -> Iterator[str]:
    """Serve a page that asks for hints and delegates them; yields its address."""
    asks = {name: NEGOTIATION_HEADERS[name] for name in ("Accept-CH", "Permissions-Policy")}

    async def page(_: Request) -> HTMLResponse:
        return HTMLResponse(f"<!doctype html><body>{body}", headers=asks)

    with serving_app(Starlette(routes=[routing.Route("/", page)])) as address:
        yield address + "/"


def shown(browser: Browser, url: str, **options: Any) -> list[tuple[str, str, int]]:
    """Path, media type and pixels across of the pictures of a page."""
    context = browser.new_context(viewport={"width": 500, "height": 800}, **options)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    types: dict[str, str] = {}

    def keep(response: Response) -> None:
        types[response.url] = response.headers.get("content-type", "")

    page.on("response", keep)
    page.goto(url)
    # Hints are sent from the second visit on: the first answer asked for them.
    page.reload(wait_until="load")
    found: list[list[Any]] = page.evaluate(
        """async () => Promise.all([...document.images].map(async (one) => {
            await one.decode();
            return [one.currentSrc, one.naturalWidth];
        }))"""
    )
    widths: list[Any] = page.evaluate(
        """async () => Promise.all([...document.images].map(async (one) => {
            const blob = await (await fetch(one.currentSrc, {cache: 'force-cache'})).blob();
            return (await createImageBitmap(blob)).width;
        }))"""
    )
    context.close()
    return [
        (urlsplit(src).path.split("/", 3)[3], types[src], width)
        for (src, _), width in zip(found, widths, strict=True)
    ]


def test_each_picture_is_the_best_that_this_browser_shows(browser: Browser) -> None:
    """JPEG XL by Accept, a width by hints or by the page, a format by an ending; all decoded."""
    with distribution() as (_, media):
        body = "".join(
            f'<img src="{media}{file}" sizes="200px" style="width:200px">'
            for file in ("w/auto", "w/320", "large", "large.webp", "large.avif", "large.jpg")
        )
        with page_of(body) as page:
            found = shown(browser, page, device_scale_factor=2)

    assert found == [
        ("w/auto", "image/jxl", 480),  # 200 CSS pixels are 400 of the screen
        ("w/320", "image/jxl", 320),
        ("large", "image/jxl", WIDE),
        ("large.webp", "image/webp", WIDE),
        ("large.avif", "image/avif", WIDE),
        ("large.jpg", "image/jpeg", WIDE),
    ]


def test_the_table_has_the_headers_of_this_browser(browser: Browser) -> None:
    """Accept as it is sent, and the hints of a page that asks and delegates."""
    known = {one.name: one for one in load()[1]}
    with (
        distribution() as (server, media),
        page_of(f'<img src="{media}w/auto" sizes="300px">') as page,
    ):
        shown(browser, page, device_scale_factor=2)
    # Scripts of the page fetch the file, too; the first visit had no hints.
    sent = next(one for one in server.seen if "sec-ch-width" in one and one["accept"] != "*/*")

    if browser.version.startswith("156."):
        assert sent["accept"] == known["Headless Chromium 156"].accept
    assert (sent["sec-ch-width"], sent["sec-ch-dpr"]) == ("600", "2")
    assert sent["sec-ch-viewport-width"] == "500"
    assert {"ect", "downlink"} <= {*sent}


def test_srcset_is_enough_without_hints(browser: Browser) -> None:
    """Firefox and Safari send none: the page names widths, and the browser takes one."""
    with distribution() as (_, media):
        widths = ", ".join(f"{media}w/{width} {width}w" for width in (320, 640, 1280))
        body = f'<img srcset="{widths}" src="{media}w/320" sizes="100vw">'
        with page_of(body) as page:
            found = shown(browser, page, device_scale_factor=1)

    assert found == [("w/640", "image/jxl", 640)]


def helped(media: str) -> PictureMarkup:
    """What the API says of the picture of this distribution."""
    host = f"http://{urlsplit(media).netloc}"
    formats = (Format.JPEG, Format.WEBP, Format.JXL)
    record = recorded(
        WIDE, WIDE // 2, renditions=[made("large", one, WIDE, WIDE // 2) for one in formats]
    )
    found = picture_of(record, Addresses(of=lambda key: host + url_path(key), negotiated=True))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("density", "widths"),
    [(1, {200: 320, 500: 640}), (2, {200: 480, 300: 640}), (3, {300: 960, 500: 1280})],
)
def test_a_helper_gets_the_width_of_its_place(
    browser: Browser, density: int, widths: dict[int, int]
) -> None:
    """Pixels of the screen across, or the next larger width; measured, or as the page says it.

    A page for each place: Chromium shows a larger file of the same list if it has one already.
    """
    found = {}
    with distribution() as (_, media):
        picture = helped(media)
        for slot in widths:
            body = f"<style>img {{width: {slot}px; height: auto}}</style>{image_html(picture)}"
            fixed = picture_html(picture, sizes=f"{slot}px", lazy=False)
            with page_of(body + fixed) as page:
                found[slot] = shown(browser, page, device_scale_factor=density)

    assert found == {
        slot: [
            # The widest has the name of its rendition.
            (("large" if width == WIDE else f"w/{width}") + ending, "image/jxl", width)
            for ending in ("", ".jxl")
        ]
        for slot, width in widths.items()
    }


def test_a_helper_keeps_the_place_of_a_picture(browser: Browser) -> None:
    """The text below does not move when the picture arrives, and its colour is there before."""
    with distribution() as (_, media):
        styled = "<style>body {margin: 0} img {width: 100%; height: auto; display: block}</style>"
        body = styled + image_html(helped(media), alt="A red field") + "<p>below</p>"
        with page_of(body) as page:
            context = browser.new_context(viewport={"width": 500, "height": 800})
            opened = context.new_page()
            held: list[Route] = []

            def hold(route: Route) -> None:
                held.append(route)

            opened.route("**/w/**", hold)
            opened.goto(page, wait_until="commit")
            opened.wait_for_selector("p")
            place = "document.querySelector('p').getBoundingClientRect().top"
            before = opened.evaluate(place)
            colour = opened.evaluate("getComputedStyle(document.images[0]).backgroundColor")
            while not held:
                opened.wait_for_timeout(10)
            for one in held:
                one.continue_()
            opened.evaluate("document.images[0].decode()")
            after = opened.evaluate(place)
            context.close()

    assert before == after
    assert before > 250 - 1  # 500 pixels across of a picture of 2:1
    assert colour == "rgb(51, 102, 153)"


def test_a_404_with_a_picture_is_shown(browser: Browser) -> None:
    """For an explicit width above that of every file the page still shows a picture (HTML,
    "update the image data": the status of a response that is a picture does not matter)."""
    with distribution() as (server, media):
        ask = server._ask

        def wider(key: str, request: Request) -> OriginAnswer:
            return replace(ask(key, request), status=404)

        server._ask = wider  # type: ignore[method-assign]
        with page_of(f'<img srcset="{media}w/3840 3840w" src="{media}w/320" sizes="100vw">') as url:
            found = browser.new_page()
            statuses: list[int] = []
            found.on("response", lambda one: statuses.append(one.status))
            found.goto(url, wait_until="load")
            shown_width = found.evaluate(
                "async () => { const one = document.images[0]; await one.decode(); "
                "return one.naturalWidth }"
            )
            found.close()

    assert 404 in statuses
    assert shown_width > 0
