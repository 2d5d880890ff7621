"""The console on a whole local stack: what a new user does first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import TIMEOUT, browser
from tests.console.chromium import choose
from tests.integration.running import Running, picture

__all__ = ["browser"]
LONG = 3 * TIMEOUT
"""Milliseconds for a video on a busy machine."""


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    """The library."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(LONG)
    opened.goto(running.ready["api"])  # leads to the console
    yield opened
    context.close()


def ask(running: Running, path: str, token: str | None = None, method: str = "GET") -> int:
    """The status of an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(running.ready["api"] + path, headers=headers, method=method)
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_a_photo_and_a_bad_file_are_shown(page: Page, running: Running, tmp_path: Path) -> None:
    """A photo comes back as renditions, read from the stack; a text says why it was rejected."""
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Sir")
    choose(page, picture(tmp_path, "harbour.jpg"), bad)
    shown = page.locator(".tile").filter(has_text="harbour.jpg")
    expect(
        shown.locator("img.picture[src*='/medium.'], img.picture[src*='/thumbnail.']")
    ).to_be_visible(timeout=LONG)
    refused = page.locator(".tile").filter(has_text="letter.jpg")
    expect(refused).to_contain_text("the content is of no known format", timeout=LONG)
    shown.get_by_role("link").click()
    expect(page.get_by_text("This browser is served")).to_be_visible(timeout=LONG)
    expect(page.get_by_label("HTML")).to_contain_text("srcset=")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator(".compare img").first).to_be_visible(timeout=LONG)


@pytest.mark.ffmpeg("encoder libx264")
@pytest.mark.timeout(300)
def test_a_video_is_played(page: Page, tmp_path: Path) -> None:
    """A video goes through its jobs, and hls.js plays the ladder under the page's policy."""
    video = tmp_path / "holiday.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2")
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", *source, "-pix_fmt", "yuv420p", str(video)], check=True
    )
    choose(page, video)
    page.get_by_role("link", name="Show holiday.mp4").click()
    expect(page.get_by_text("hls.js plays the rung")).to_be_visible(timeout=200_000)
    page.wait_for_function("document.querySelector('video').readyState >= 2")


def test_operations_are_shown(page: Page, running: Running) -> None:
    """Administrators see queues, rates and jobs."""
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Waiting in queues")).to_be_visible(timeout=LONG)
    expect(page.get_by_text("No message has failed too often.")).to_be_visible()


def test_rights_are_those_of_the_token(running: Running) -> None:
    """Without a token nothing is told; operations need an administrator, changes do not."""
    mine = json.loads(running.run("api", "token", "--owner", "ann", "--json"))["token"]
    for path in ("/changes", "/operations"):
        assert ask(running, path) == 401
        assert ask(running, path, "nonsense") == 401
    assert ask(running, "/changes", mine) == 200
    assert ask(running, "/operations", mine) == 403
    assert ask(running, "/operations/redrive", mine, "POST") in (403, 422)
    assert ask(running, "/operations", running.ready["token"]) == 200


def test_only_files_of_the_console_are_served(running: Running) -> None:
    """Names that lead out of the folder are no files; the token is for this machine's name only."""
    for name in (
        "../__init__.py",
        "..%2f__init__.py",
        "%2e%2e/__init__.py",
        "nothing.js",
        "//etc/passwd",
    ):
        assert ask(running, f"/console/{name}") == 404
    assert ask(running, "/files/nothing") == 404  # renditions have a host of their own
    assert ask(running, "/console/main.js", method="HEAD") == 200
    request = Request(
        f"{running.ready['api']}/console/config.json", headers={"Host": "evil.example"}
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)
    with refused.value as error:
        assert error.code == 421
