"""Headless Chromium, and what a person does in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

TIMEOUT = 30_000
"""Milliseconds that something may take on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of the system; Playwright's own would be downloaded.

    For one module, not for the session: while it is there, an event loop runs in this thread, and
    ``asyncio.run`` of other tests is refused.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        # Containers have no user namespaces for its sandbox; every page here is ours.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def choose(page: Page, *files: Path) -> None:
    """Choose files as a person does."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files([str(file) for file in files])


def until(condition: Callable[[], bool]) -> None:
    """Wait for something outside of the page; fail if it does not happen."""
    end = time.monotonic() + TIMEOUT / 1000
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
