"""Chromium, the console on an API in memory, and what every page must keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import TIMEOUT, browser
from tests.console.fake_api import FakeApi, served

__all__ = ["browser"]
Open = Callable[..., Page]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """The API in memory, with an address."""
    made = FakeApi()
    with served(made):
        yield made


@pytest.fixture
def open_page(browser: Browser, api: FakeApi) -> Iterator[Open]:
    """Open a view of the console; fails the test if the page breaks a rule of its own.

    The rules: no error in its scripts, nothing that its policy refuses, no request to anybody else.
    """
    broken: list[str] = []
    contexts = []

    def open_(
        view: str = "#/", *, width: int = 1280, height: int = 800, scheme: str = "light"
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.on(
            "console",
            lambda said: broken.append(said.text) if "Security Policy" in said.text else None,
        )
        page.on(
            "request",
            lambda sent: (
                None
                if sent.url.startswith((api.url, "data:", "blob:"))
                else broken.append(f"a request to {sent.url}")
            ),
        )
        page.goto(f"{api.url}/console/{view}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert broken == []
