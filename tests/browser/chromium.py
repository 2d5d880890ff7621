"""Headless Chromium, and what its canvas and its decoder make of files."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

ORIGIN = "http://127.0.0.1:1"
"""Of pages that tests answer themselves. Browsers trust loopback: decoders work there."""
TIMEOUT = 30_000
"""Milliseconds that something may take on a busy machine."""

_SHOW = """async (files) => {
async function still(file) {
  const picture = new Image();
  picture.src = `data:${file.type};base64,${file.data}`;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d", {colorSpace: file.space});
  context.drawImage(picture, 0, 0);
  const pixels = (x, y) => Array.from(context.getImageData(x, y, 1, 1).data);
  return {
    width: canvas.width,
    height: canvas.height,
    pixels: file.points.map(([x, y]) => pixels(x, y)),
  };
}
async function moving(file) {
  const data = Uint8Array.from(atob(file.data), (letter) => letter.charCodeAt(0));
  const decoder = new ImageDecoder({data, type: file.type});
  await decoder.tracks.ready;
  await decoder.completed;
  const track = decoder.tracks.selectedTrack;
  const frames = [];
  for (let index = 0; index < track.frameCount; index++) {
    const {image} = await decoder.decode({frameIndex: index});
    const canvas = new OffscreenCanvas(image.displayWidth, image.displayHeight);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = (x, y) => Array.from(context.getImageData(x, y, 1, 1).data);
    frames.push({ms: image.duration / 1000, pixels: file.points.map(([x, y]) => pixels(x, y))});
  }
  return {repetitions: String(track.repetitionCount), frames};
}
const shown = [];
for (const file of files) {
  try {
    shown.push(await (file.moving ? moving(file) : still(file)));
  } catch (error) {
    shown.push({error: String(error)});
  }
}
return shown;
}"""


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
        options = ["--no-sandbox", "--force-color-profile=srgb"]
        # Videos play with their audio, and nobody clicks.
        options.append("--autoplay-policy=no-user-gesture-required")
        started = playwright.chromium.launch(executable_path=path, args=options)
        yield started
        started.close()


def asked(
    data: bytes,
    *points: tuple[int, int],
    media_type: str = "image/jxl",
    space: str = "srgb",
    moving: bool = False,
) -> dict[str, Any]:
    """A file to show, the points to read, and the colour space to read them in."""
    return {
        "data": base64.b64encode(data).decode(),
        "type": media_type,
        "points": points,
        "space": space,
        "moving": moving,
    }


def show(browser: Browser, *files: dict[str, Any]) -> list[dict[str, Any]]:
    """Let Chromium decode files of :func:`asked`.

    Returns:
        For each its size and its pixels as red, green, blue and alpha, or its frames.
    """
    context = browser.new_context()
    page = context.new_page()
    page.route(
        f"{ORIGIN}/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html")
    )
    page.goto(f"{ORIGIN}/")
    shown: list[dict[str, Any]] = page.evaluate(_SHOW, list(files))
    context.close()
    return shown
