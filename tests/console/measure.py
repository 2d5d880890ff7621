"""Measures the console: the browser's longest task with 5,000 assets and with 1,000 open reviews,
from a decision to the next review, and from an upload to its picture.

.venv/bin/python -m tests.console.measure                          # on an API in memory
.venv/bin/python -m tests.console.measure http://127.0.0.1:4567 photo.jpg    # on a local stack
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.console.chromium import choose
from tests.console.fake_api import FakeApi, served

ASSETS = 5_000
REVIEWS = 1_000
DECISIONS = 20
UPLOADS = 5
WATCH = """
window.tasks = [];
new PerformanceObserver((list) =>
  window.tasks.push(...list.getEntries().map((one) => one.duration)))
  .observe({ type: 'longtask', buffered: true });
"""


SHOWN = """
window.shown = [];
document.addEventListener('load', ({ target }) => {
  if (target.matches?.('.tile img.picture') && target.src.startsWith('http')) {
    const at = performance.now();
    window.shown.push([target.closest('.tile').textContent, at]);
  }
}, true);
"""


def longest_task(browser: Browser) -> dict[str, float]:
    """Scroll through thousands of assets, then let a hundred of them change.

    The browser reports tasks of 50 ms and more.
    """
    api = FakeApi()
    for number in range(ASSETS):
        api.add(number + 1)
    with served(api) as url:
        page = browser.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{url}/console/")
        page.locator(".tile").first.wait_for()
        while page.locator(".count").inner_text() != f"{ASSETS:,} assets":
            page.mouse.wheel(0, 20_000)
            page.wait_for_timeout(30)
        for way in (-3_000, 3_000):
            for _ in range(60):
                page.mouse.wheel(0, way)
                page.wait_for_timeout(16)
        for asset in list(api.assets.values())[:100]:
            asset["revision"] += 1
            api.changed.append(asset["id"])
        page.wait_for_timeout(1_000)
        tasks: list[float] = page.evaluate("window.tasks")
        tiles = page.locator(".tile").count()
        page.close()
    return {"assets": ASSETS, "tiles": tiles, "longest_task_ms": max(tasks, default=0.0)}


def reviewing(browser: Browser) -> dict[str, float]:
    """Load all open reviews, then decide some: from the key to the next review on the screen.

    The API in memory answers at once, so this is the time of the page.
    """
    api = FakeApi()
    for number in range(REVIEWS):
        api.ask(number + 1)
    with served(api) as url:
        page = browser.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{url}/console/#/reviews")
        page.locator(".queue-item").first.wait_for()
        more = page.get_by_role("button", name="Show more")
        while more.is_visible():
            more.click()
            page.wait_for_timeout(20)
        page.get_by_role("button", name="Start").click()
        took = []
        for number in range(DECISIONS):
            name = f"picture-{number + 1:05}.jpg"
            page.wait_for_function(
                "name => document.activeElement.id === 'review-title'"
                " && document.activeElement.textContent === name",
                arg=name,
            )
            page.keyboard.press("u")
            page.keyboard.press("a")
            took.append(
                page.evaluate(
                    """name => new Promise((done) => {
                      const begun = performance.now();
                      const look = new MutationObserver(() => {
                        const title = document.getElementById('review-title');
                        if (!title || title.textContent === name) return;
                        look.disconnect();
                        requestAnimationFrame(() => done(performance.now() - begun));
                      });
                      look.observe(document.body, { subtree: true, childList: true });
                      document.querySelector('.decide-form').requestSubmit();
                    })""",
                    name,
                )
            )
        tasks: list[float] = page.evaluate("window.tasks")
        page.close()
    return {
        "reviews": REVIEWS,
        "next_median_ms": sorted(took)[len(took) // 2],
        "next_worst_ms": max(took),
        "longest_task_with_reviews_ms": max(tasks, default=0.0),
    }


def upload_to_picture(browser: Browser, base: str, photo: Path) -> dict[str, float]:
    """Seconds from choosing a photo to its first rendition on the screen; the median of some.

    By the browser's own clock, from its first request: Playwright looks for an element only every
    half second in the end.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(UPLOADS):
            # Other bytes each time: identical ones are copied, not made.
            copy = Path(folder) / f"{time.time_ns()}.jpg"
            copy.write_bytes(photo.read_bytes() + bytes([number]))
            page = browser.new_page()
            page.add_init_script(SHOWN)
            page.goto(f"{base}/console/")
            page.locator("#live[data-state='on']").wait_for()
            choose(page, copy)
            # A preview of the file itself is on the screen before, and does not count.
            page.wait_for_function(
                "name => window.shown.some(([text]) => text.includes(name))", arg=copy.name
            )
            begun, ended = page.evaluate(
                """name => [
                  performance.getEntriesByType('resource').find(
                    (one) => new URL(one.name).pathname === '/uploads').startTime,
                  window.shown.find(([text]) => text.includes(name))[1],
                ]""",
                copy.name,
            )
            found.append((ended - begun) / 1000)
            page.close()
    return {"uploads": UPLOADS, "median_s": sorted(found)[len(found) // 2], "worst_s": max(found)}


def main(arguments: list[str]) -> None:
    """Measure and print JSON."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        if arguments:
            result = upload_to_picture(browser, arguments[0].rstrip("/"), Path(arguments[1]))
        else:
            result = longest_task(browser) | reviewing(browser)
        browser.close()
    print(json.dumps({name: round(number, 3) for name, number in result.items()}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
