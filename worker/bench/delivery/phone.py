"""A phone on a slow line, emulated by Chromium: how soon a whole picture is there.

The line has 1 Mbit/s and 300 ms (Chromium's own emulation, Network.emulateNetworkConditions). Each
load is a new visit: nothing is cached. The page has one picture as wide as the screen of 412 CSS
pixels, 2.625 pixels each. The clock starts with the visit and ends when the whole file is decoded
and painted.

The second part holds a file back after a share of its bytes, and compares what Chromium shows then
with what it shows in the end.
"""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from worker.domain.delivery import NEGOTIATION_HEADERS, WIDTHS
from worker.domain.image import Format

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MEGABITS, LATENCY_MS = 1.0, 300
VIEWPORT, SCALE = 412, 2.625
"""CSS pixels across, and pixels of the screen for each."""
USER_AGENT = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Mobile Safari/537.36"
)
TIMEOUT_MS = 120_000
GOAL = 0.35
SHARE = 0.15
"""Of a file's bytes, after which it is held back."""
CELL = 16
"""Pixels of the screenshot, each way: a picture is compared by the mean colours of such cells."""
NEAR = 32
"""Levels of 255 by which a cell may differ from the final one in a channel, and counts as shown."""
WHOLE = 0.98
"""Share of the cells that a whole picture shows."""


class ChromiumMissing(Exception):
    """There is no browser to measure with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitTimes:
    """One photo: milliseconds until it is whole on the screen."""

    photo: str
    original_ms: float
    original_kilobytes: float
    ours_ms: Mapping[str, float]
    """By the way it is asked for: ``srcset``, ``w/auto``, and by format."""
    ours_kilobytes: Mapping[str, float]

    @property
    def ratio(self) -> float:
        """Of our page (``srcset``) to the original."""
        return self.ours_ms["srcset"] / self.original_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyPicture:
    """The visible part of a file after a share of its bytes."""

    photo: str
    format: str
    shown: float
    """Share of the picture that is there, coarse or fine."""
    psnr: float
    """Decibels, of the cells against the final ones."""

    @property
    def whole(self) -> bool:
        """Whether the whole picture is there."""
        return self.shown >= WHOLE


# --- a server of pages and files ---------------------------------------------------------------


@dataclass
class PageServer:
    """Pages, and files that may be held back after some of their bytes."""

    pages: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    """By path: content and media type."""
    held: dict[str, int] = field(default_factory=dict)
    """Paths of files of which only so many bytes are sent until ``release`` is set."""
    release: threading.Event = field(default_factory=threading.Event)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Answers requests."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path in server.pages:
                    asks = {
                        name: NEGOTIATION_HEADERS[name]
                        for name in ("Accept-CH", "Permissions-Policy")
                    }
                    self._send(server.pages[self.path].encode(), "text/html; charset=utf-8", asks)
                elif self.path in server.files:
                    self._send(*server.files[self.path], {})
                else:
                    self.send_error(404)

            def _send(self, data: bytes, kind: str, headers: Mapping[str, str]) -> None:
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                first = server.held.get(self.path, len(data))
                # A browser that has seen enough closes the connection.
                with suppress(ConnectionError):
                    self.wfile.write(data[:first])
                    self.wfile.flush()
                    if first < len(data):
                        server.release.wait(60)
                        self.wfile.write(data[first:])

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves is no error."""


@contextmanager
def serving(server: PageServer) -> Iterator[str]:
    """Serve on loopback; yields the address."""
    httpd = _QuietServer(("127.0.0.1", 0), server.handler())
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        server.release.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of the system, headless.

    Raises:
        ChromiumMissing: there is none, or no Playwright to drive it.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise ChromiumMissing("the phone is not measured: there is no `chromium` on the PATH")
    try:
        from playwright.sync_api import sync_playwright  # of a checkout only
    except ModuleNotFoundError as missing:
        raise ChromiumMissing(
            "the phone is not measured: Playwright is not installed (make setup)"
        ) from missing
    with sync_playwright() as playwright:
        # Containers have no user namespaces for its sandbox; every page here is ours.
        options = ["--no-sandbox", "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()


# --- time to a whole picture -------------------------------------------------------------------

_IMAGE = "width:100vw;height:auto;display:block"
_WAIT = """async () => {
  while (!document.images.length) await new Promise((done) => setTimeout(done, 10));
  await document.images[0].decode();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now();
}"""


def page(image: str) -> str:
    """A page with one picture as wide as the screen."""
    return (
        "<!doctype html><meta name=viewport content='width=device-width'>"
        f"<body style='margin:0'><img style='{_IMAGE}' {image}>"
    )


def srcset(prefix: str, ending: str = "") -> str:
    """An ``img`` of an asset in all widths, as docs/delivery.md advises."""
    sources = ", ".join(f"{prefix}/w/{width}{ending} {width}w" for width in WIDTHS)
    return f'src="{prefix}/w/1280{ending}" srcset="{sources}" sizes="100vw"'


def measure(
    browser: Browser,
    originals: Mapping[str, bytes],
    prefixes: Mapping[str, str],
    *,
    formats: Sequence[Format] = (),
    notice: Callable[[str], None],
) -> list[VisitTimes]:
    """Visit a page of each photo's original, and pages of ours.

    Args:
        browser: to visit with.
        originals: JPEG files by name.
        prefixes: of the URLs of our assets, ``http://HOST:PORT/{asset}/{version}``, by the same
            names. Their files are made before.
        formats: also forced, each on a page of its own.
        notice: told what happens.
    """
    found = []
    for name, data in originals.items():
        notice(f"phone, {name}")
        prefix = prefixes[name]
        pages = {"/original": 'src="/file"', "/srcset": srcset(prefix)}
        pages["/w/auto"] = f'src="{prefix}/w/auto" sizes="100vw"'
        for kind in formats:
            pages[f"/{kind.value}"] = srcset(prefix, f".{kind.extension}")
        server = PageServer(
            pages={"/": "<!doctype html>", **{path: page(one) for path, one in pages.items()}},
            files={"/file": (data, "image/jpeg")},
        )
        with serving(server) as address:
            times = {path[1:]: visit(browser, address + path, first=address) for path in pages}
        found.append(
            VisitTimes(
                photo=name,
                original_ms=times["original"][0],
                original_kilobytes=len(data) / 1000,
                ours_ms={way: one[0] for way, one in times.items() if way != "original"},
                ours_kilobytes={way: one[1] for way, one in times.items() if way != "original"},
            )
        )
    return found


def visit(browser: Browser, url: str, *, first: str) -> tuple[float, float]:
    """Milliseconds until the picture of a page is whole, and the kilobytes of its file.

    Args:
        browser: to visit with.
        url: of the page.
        first: a page of the same host that is visited before, on a fast line: from it the browser
            learns that the host wants hints.
    """
    context = browser.new_context(
        viewport={"width": VIEWPORT, "height": 839},
        device_scale_factor=SCALE,
        is_mobile=True,
        has_touch=True,
        user_agent=USER_AGENT,
    )
    try:
        tab = context.new_page()
        tab.set_default_timeout(TIMEOUT_MS)
        tab.goto(first)
        slow = context.new_cdp_session(tab)
        slow.send("Network.enable")
        slow.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": LATENCY_MS,
                "downloadThroughput": MEGABITS * 1e6 / 8,
                "uploadThroughput": MEGABITS * 1e6 / 8,
            },
        )
        sizes: list[float] = []
        slow.on("Network.loadingFinished", lambda one: sizes.append(one["encodedDataLength"]))
        tab.goto(url, wait_until="commit")
        milliseconds = float(tab.evaluate(_WAIT))
        return milliseconds, max(sizes, default=0.0) / 1000
    finally:
        context.close()


# --- what is shown early -----------------------------------------------------------------------


def early(
    browser: Browser, files: Mapping[tuple[str, Format], bytes], *, share: float = SHARE
) -> list[EarlyPicture]:
    """Measures how much Chromium shows of files after a share of their bytes.

    Args:
        browser: to look with.
        files: by photo and format.
        share: of the bytes, which it has.
    """
    found = []
    for (photo, kind), data in files.items():
        server = PageServer(
            pages={"/": page('src="/file"')},
            files={"/file": (data, kind.media_type), "/final": (data, kind.media_type)},
            held={"/file": int(len(data) * share)},
        )
        server.pages["/end"] = page('src="/final"')
        with serving(server) as address:
            final, height = _look(browser, f"{address}/end", lambda tab: tab.evaluate(_WAIT))
            part, _ = _look(browser, f"{address}/", _settle)
        shown, psnr = compare(part, final, height)
        found.append(EarlyPicture(photo=photo, format=kind.value, shown=shown, psnr=psnr))
    return found


def _look(browser: Browser, url: str, wait: Callable[[Page], Any]) -> tuple[bytes, int]:
    """A screenshot, and the height of the picture in it, which begins at the top, in pixels."""
    context = browser.new_context(viewport={"width": VIEWPORT, "height": 839})
    try:
        tab = context.new_page()
        tab.set_default_timeout(TIMEOUT_MS)
        tab.goto(url, wait_until="commit")
        wait(tab)
        height = tab.evaluate("document.images[0].getBoundingClientRect().height")
        return tab.screenshot(), int(height)
    finally:
        context.close()


def _settle(tab: Page) -> None:
    """Wait until what is shown no longer changes: twice the same, half a second apart."""
    tab.wait_for_selector("img", state="attached")
    before = b""
    for _ in range(20):
        tab.wait_for_timeout(500)
        now = tab.screenshot()
        if now == before:
            return
        before = now


def compare(part: bytes, final: bytes, height: int) -> tuple[float, float]:
    """Share of the cells that are shown, and the PSNR of all cells in decibels.

    Args:
        part, final: screenshots of one size, PNG.
        height: pixels from the top that the picture takes.
    """
    one, other = (_cells(data, height) for data in (part, final))
    difference = np.abs(one - other)
    shown = float((difference.max(axis=2) <= NEAR).mean())
    error = float((difference**2).mean())
    return shown, 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def _cells(data: bytes, height: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(height, picture.height)))
    size = (max(1, picture.width // CELL), max(1, picture.height // CELL))
    return np.asarray(picture.resize(size, Image.Resampling.BOX), dtype=np.float64)
