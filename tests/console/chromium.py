"""What a person does in the console."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.chromium import TIMEOUT


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
