"""Takes the pictures of the console for the README, of a running local stack.

    .venv/bin/safelight samples build/samples && .venv/bin/safelight up
    .venv/bin/python -m tests.console.screenshots http://127.0.0.1:4567 build/samples/*.jpg

Files that are named are uploaded first. The pictures go to docs/images/. That of a review needs
one: give ``up`` a recipe with ``workflow = "approve"``, or ``safelight assets hold`` some.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.console.chromium import choose

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SETTLED = 1_500
"""Milliseconds after which pictures have faded in."""
QUALITY = 82
UNDER_WAY = re.compile("Uploading|Uploaded|Processing|[0-9] of ")
LONGEST_JOB = 300_000
SHOWN = "img.picture[data-shown='true']"


def save(page: Page, name: str) -> None:
    """The page as it is, as WebP."""
    page.wait_for_timeout(SETTLED)
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").save(FOLDER / f"{name}.webp", quality=QUALITY, method=6)


def reviews(page: Page) -> None:
    """The first review of a picture, with the form of a rejection open."""
    page.locator(".queue-item:not(:has(.thumb .icon))").first.click()
    page.get_by_role("button", name="Show the picture").click()
    shown = page.locator(".review .canvas img")
    page.wait_for_function("image => image.naturalWidth > 0", arg=shown.element_handle())
    page.keyboard.press("r")
    page.locator(".decide-form").wait_for()
    save(page, "console-review")
    page.keyboard.press("Escape")


def take(base: str, files: list[Path]) -> None:
    """Upload the files, then take the pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        wide = browser.new_context(viewport={"width": 1440, "height": 900})
        page = wide.new_page()
        page.goto(f"{base}/console/")
        if files:
            choose(page, *files)
            page.locator("#tray h2", has_text="upload").wait_for()
            expect(page.locator("#tray")).not_to_contain_text(UNDER_WAY, timeout=LONGEST_JOB)
            page.get_by_role("button", name="Remove what has ended").click()
        page.locator(SHOWN).first.wait_for()
        save(page, "console-library")
        page.locator(".tile:not(:has(.length)) a[aria-label$='Ready']").first.click()
        page.emulate_media(color_scheme="dark")
        page.get_by_role("tab", name="Compare").click()
        save(page, "console-asset")
        page.get_by_role("tab", name="Zoom").click()
        make, tiles = (
            page.get_by_role("button", name="Make tiles"),
            page.locator(".zoom[data-open]"),
        )
        make.or_(tiles).wait_for()
        if make.count():
            make.click()
        tiles.wait_for(timeout=LONGEST_JOB)
        for _ in range(3):
            page.get_by_role("button", name="Zoom in").click()
        page.mouse.move(0, 0)
        save(page, "console-zoom")
        page.emulate_media(color_scheme="light")
        page.goto(f"{base}/console/#/reviews")
        page.locator(".queue-item").or_(page.get_by_text("Nothing waits")).first.wait_for()
        if page.locator(".queue-item").count():
            reviews(page)
        page.goto(f"{base}/console/#/operations")
        page.get_by_role("region", name="Cost so far").locator("dl").wait_for()
        save(page, "console-operations")
        phone = browser.new_context(
            viewport={"width": 360, "height": 740}, device_scale_factor=2, has_touch=True
        )
        page = phone.new_page()
        page.goto(f"{base}/console/")
        page.locator(SHOWN).first.wait_for()
        save(page, "console-phone")
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1].rstrip("/"), [Path(name) for name in sys.argv[2:]])
