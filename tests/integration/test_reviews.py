"""The way of a flagged picture through a whole local stack, decided in the browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import TIMEOUT, browser
from tests.console.chromium import choose
from tests.integration.api_client import ApiClient
from tests.integration.running import Running, picture, stack, until
from worker.local.rekognition import TABLE

__all__ = ["browser"]
LONG = 3 * TIMEOUT
"""Milliseconds on a busy machine."""
RECIPE = """
name = "moderated"
version = 1

[moderation]
categories = [{ name = "violence", hold = 60 }]
tiers = ["rekognition"]

[[renditions]]
name = "medium"
width = 640
formats = [{ format = "jpeg" }]
"""
SEEN = """
[[pictures]]
file = "flagged.jpg"
moderation = [{ name = "Weapons", parent = "Violence", confidence = 88 }]
"""
"""What the stand-in for the moderator sees, in every picture that looks like this one."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack whose recipe asks a moderator, and people about what that sees."""
    folder = tmp_path_factory.mktemp("reviewed")
    recipe, data = folder / "moderated.toml", folder / "data"
    recipe.write_text(RECIPE)
    data.mkdir()
    picture(data, "flagged.jpg")
    (data / TABLE).write_text(SEEN)
    with stack(data, "--recipe", str(recipe)) as up:
        yield up


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    """The console, as an administrator sees it."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(LONG)
    opened.goto(running.ready["api"])
    yield opened
    context.close()


def status_of(url: str) -> int:
    """What delivery answers."""
    try:
        with urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def held(page: Page, running: Running, file: Path) -> dict[str, Any]:
    """Upload a file in the browser; the asset as soon as it waits for a person."""
    api = ApiClient(running.ready["api"], running.ready["token"])
    choose(page, file)
    shown = page.locator(".tile").filter(has_text=file.name)
    expect(shown).to_contain_text("In review", timeout=LONG)
    (listed,) = [
        one
        for one in api.get("/assets?status=review")["assets"]
        if one["original"]["name"] == file.name
    ]
    asset: dict[str, Any] = api.get(f"/assets/{listed['id']}")
    assert [status_of(one["url"]) for one in asset["renditions"]] == [403]
    return asset


def open_review(page: Page, name: str) -> None:
    """Lead to the one open review as a person does, and look at the picture."""
    page.get_by_role("link", name="Reviews 1 open").press("Enter")
    page.get_by_role("button", name="Start").press("Enter")
    expect(page.locator("#review-title")).to_be_focused()
    expect(page.get_by_role("region", name="Moderation")).to_contain_text("Weapons")
    expect(page.get_by_text("Blurred until you ask for it")).to_be_visible()
    page.keyboard.press("u")
    seen = page.get_by_role("img", name=f"Under review: {name}")
    expect(seen).to_be_visible()
    page.wait_for_function("image => image.naturalWidth > 0", arg=seen.element_handle())


@pytest.mark.timeout(300)
def test_a_flagged_picture_is_served_once_a_person_has_approved_it(
    page: Page, running: Running, tmp_path: Path
) -> None:
    """Upload, held, 403 at delivery, approved in the browser by keyboard, served."""
    asset = held(page, running, picture(tmp_path, "harbour.jpg"))
    open_review(page, "harbour.jpg")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing waits")).to_be_visible(timeout=LONG)
    until(lambda: [status_of(one["url"]) for one in asset["renditions"]] == [200])
    page.goto(f"{running.ready['api']}/console/#/asset/{asset['id']}")
    expect(page.get_by_text("Published").first).to_be_visible(timeout=LONG)
    expect(page.get_by_text("You approved it")).to_be_visible()


@pytest.mark.timeout(300)
def test_what_the_moderator_sees_nothing_in_is_served(
    page: Page, running: Running, tmp_path: Path
) -> None:
    """No review is opened for it."""
    calm = tmp_path / "calm.jpg"
    Image.radial_gradient("L").resize((640, 400)).convert("RGB").save(calm)
    choose(page, calm)
    shown = page.locator(".tile").filter(has_text="calm.jpg")
    expect(shown.locator("img.picture[data-shown='true'][src*='/medium.']")).to_be_visible(
        timeout=LONG
    )
    assert running.json("review", "list") == []


@pytest.mark.timeout(300)
def test_a_rejected_picture_goes_to_quarantine(
    page: Page, running: Running, tmp_path: Path
) -> None:
    """Its files are gone, its original is in quarantine, and its owner reads the reason."""
    asset = held(page, running, picture(tmp_path, "plate.jpg", "navy"))
    open_review(page, "plate.jpg")
    page.keyboard.press("r")
    page.get_by_label("In your own words").fill("a number plate")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing waits")).to_be_visible(timeout=LONG)
    app = running.app
    bucket = app.settings.quarantine_bucket
    until(lambda: any(True for _ in app.store.list(bucket)))
    until(lambda: {status_of(one["url"]) for one in asset["renditions"]} <= {404, 410})
    page.goto(f"{running.ready['api']}/console/#/asset/{asset['id']}")
    expect(page.get_by_role("note")).to_contain_text("a number plate", timeout=LONG)
