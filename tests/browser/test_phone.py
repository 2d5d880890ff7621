"""A phone, as ``safelight bench delivery`` emulates it; no time is asserted."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import browser
from tests.unit.pictures import encoded, photo
from worker.bench.delivery import phone
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec
from worker.imaging.engine import process

__all__ = ["browser"]


@pytest.mark.parametrize("kind", [Format.JPEG, Format.JXL])
def test_the_whole_picture_shows_after_15_percent(browser: Browser, kind: Format) -> None:
    """A file of the defaults, held back by its server; without `progressive` it shows nothing."""
    shown = {}
    for progressive in (True, False):
        spec = RenditionSpec(
            name="w",
            width=900,
            minimum_saving=-1,
            encodings=(Encoding(format=kind, quality=80, effort=3, progressive=progressive),),
        )
        recipe = Recipe(name="phone", version=1, renditions=(spec,))
        (made,) = process(encoded(photo(900, 600)), recipe).renditions
        (found,) = phone.early(browser, {("a", kind): made.data})
        shown[progressive] = found
    assert shown[True].whole
    assert not shown[False].whole


def test_a_visit_has_the_time_and_the_size_of_the_picture(browser: Browser) -> None:
    """On the slow line a page with one picture takes at least the time of its bytes."""
    data = encoded(photo(200, 100), "JPEG", quality=80)
    server = phone.PageServer(
        pages={"/": "<!doctype html>", "/one": phone.page('src="/file"')},
        files={"/file": (data, "image/jpeg")},
    )
    with phone.serving(server) as address:
        milliseconds, kilobytes = phone.visit(browser, f"{address}/one", first=address)
    assert milliseconds >= 2 * phone.LATENCY_MS
    assert len(data) / 1000 <= kilobytes <= len(data) / 1000 + 1
