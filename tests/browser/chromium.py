"""One headless run of Chromium: files in, what its canvas and its decoder say out."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

PROGRAM = shutil.which("chromium")

_PAGE = """<!doctype html><meta charset="utf-8"><body><script>
const files = FILES;
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
(async () => {
  const shown = [];
  for (const file of files) {
    try {
      shown.push(await (file.moving ? moving(file) : still(file)));
    } catch (error) {
      shown.push({error: String(error)});
    }
  }
  await fetch("result", {method: "POST", body: JSON.stringify(shown)});
})();
</script></body>"""


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


def show(folder: Path, *files: dict[str, Any]) -> list[dict[str, Any]]:
    """Let Chromium decode the files.

    Args:
        folder: for the profile of the browser.
        files: of :func:`asked`.

    Returns:
        For each its size and its pixels as red, green, blue and alpha, or its frames.
    """
    assert PROGRAM is not None
    page = _PAGE.replace("FILES", json.dumps(files)).encode()
    answers: SimpleQueue[bytes] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: pytest shows what is asserted."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [
                PROGRAM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--force-color-profile=srgb",
                f"--user-data-dir={folder / 'profile'}",
                f"http://127.0.0.1:{server.server_port}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            shown: list[dict[str, Any]] = json.loads(answers.get(timeout=100))
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
            server.shutdown()
    return shown
