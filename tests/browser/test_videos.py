"""A video with a flash and a beep at the same moments, played through the distribution.

Every player gets the same files. When a beep is heard is counted in samples from the place that was
sought: a low tone in between says where the audio begins. When a flash is seen follows from the
pictures just before and at that moment. No clock is read.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import Response as Answer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from batch.outputs import IMMUTABLE, content_type_of
from tests.browser.chromium import TIMEOUT, browser
from tests.browser.npm import installed
from tests.edge.clients import ASSET, SPREAD, VERSION
from tests.servers import serving_app
from tests.unit.transcode.test_results import transcoded
from worker.infra.edge import EdgeFunction, source
from worker.local.delivery import DeliveryServer
from worker.services.deliver import OriginAnswer, error

__all__ = ["browser"]
pytestmark = pytest.mark.ffmpeg

STATIC = Path(__file__).parents[2] / "worker/console/static/vendor"
SECONDS, SEGMENT_SECONDS, RATE = 8, 2.0, 25
BEEPS = (1.0, 5.0, 7.0)
"""Of those at every odd second, some that lie in the first, a middle and the last segment."""
MOST_OFF = 0.006
"""Seconds by which a beep may be heard early or late: AAC begins one up to 4 ms early. With an edit
list in the audio's segments it was 20 ms early in shaka-player, and 21 ms late in Chromium."""
ENDINGS = (".m4s", ".mp4")
MASTER, MANIFEST = "hls/master.m3u8", "hls/manifest.mpd"

_HLS_JS = """
import Hls from "/hls.mjs";
const engine = new Hls();
engine.on(Hls.Events.ERROR, (_, {fatal, details}) => { if (fatal) failed.push(details); });
engine.loadSource(url);
engine.attachMedia(video);
"""
_SHAKA = """
import "/shaka.js";
const engine = new shaka.Player();
engine.addEventListener("error", ({detail}) => failed.push(`${detail.code}: ${detail.data}`));
await engine.attach(video);
await engine.load(url).catch(({code, data}) => failed.push(`${code}: ${data}`));
"""
_DASH_JS = """
import "/dash.js";
const engine = dashjs.MediaPlayer().create();
engine.updateSettings({debug: {logLevel: 0}});
engine.on("error", ({error}) => failed.push(error.message));
engine.initialize(video, url, false);
"""
PLAYERS = {
    "hls.js": (MASTER, _HLS_JS),
    "shaka-player, HLS": (MASTER, _SHAKA),
    "shaka-player, DASH": (MANIFEST, _SHAKA),
    "dash.js": (MANIFEST, _DASH_JS),
    "Chromium": (MASTER, "video.src = url;"),
}
_PAGE = """<!doctype html><video crossorigin="anonymous" preload="auto"></video>
<script>
const {url, rate, tone, beep} = SETTINGS;
const failed = [], video = document.querySelector("video");
video.addEventListener("error", () => failed.push(video.error.message));
const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
const sought = (seconds) => new Promise((resolve) => {
  video.addEventListener("seeked", resolve, {once: true});
  video.currentTime = seconds;
});
// The brightness of the picture that is shown at a time, 0 to 255.
async function brightness(seconds) {
  video.pause();
  await sought(seconds);
  for (;;) {
    const frame = new VideoFrame(video);
    const begin = frame.timestamp / 1e6;
    if (begin <= seconds && seconds < begin + 1 / rate) {
      const context = new OffscreenCanvas(1, 1).getContext("2d");
      context.drawImage(frame, 0, 0, 1, 1);
      frame.close();
      return context.getImageData(0, 0, 1, 1).data[0];
    }
    frame.close();
    await pause();
  }
}
const tap = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([[samples]]) {
    this.port.postMessage(samples?.slice() ?? new Float32Array(128));
    return true;
  }
});`;
let port;
async function listen() {
  const context = new AudioContext({sampleRate: 48000});
  const code = new Blob([tap], {type: "text/javascript"});
  await context.audioWorklet.addModule(URL.createObjectURL(code));
  const node = new AudioWorkletNode(context, "tap");
  context.createMediaElementSource(video).connect(node).connect(context.destination);
  await context.resume();
  port = node.port;
}
// Plays from one time to another: in which sample the tone begins, and in which the beep; and the
// most samples of silence in a row in between.
async function heard([from, to]) {
  if (!port) await listen();
  video.pause();
  await sought(from);
  const parts = [];
  port.onmessage = ({data}) => parts.push(...data);
  await video.play();
  while (video.currentTime < to && !video.ended) await pause();
  video.pause();
  port.onmessage = null;
  const first = (level) => parts.findIndex((value) => Math.abs(value) > level);
  const found = {tone: first(tone / 4), beep: first(beep / 4), silent: 0};
  let silent = 0;
  for (const value of parts.slice(found.tone, found.beep)) {
    silent = value ? 0 : silent + 1;
    found.silent = Math.max(found.silent, silent);
  }
  return found;
}
</script>
<script type="module">PLAYER</script>
"""
TONE, BEEP = 0.05, 0.8
"""Amplitudes, of 1."""


@dataclass
class VideoServer(DeliveryServer):
    """A distribution in front of a folder, which gives files as a job stores them in S3."""

    folder: Path = Path()
    keys: list[str] = field(default_factory=list)

    def _ask(self, key: str, request: Request) -> OriginAnswer:
        self.keys.append(key)
        path = self.folder / key.removeprefix(f"{SPREAD}/{ASSET}/{VERSION}/")
        if not path.is_file():
            return error(404, "there is no such file")
        headers = {"Content-Type": content_type_of(path.name), "Cache-Control": IMMUTABLE}
        return OriginAnswer(
            status=200, headers={**headers, "ETag": f'"{path.name}"'}, body=path.read_bytes()
        )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a transcode: at every odd second a flash and a beep of 0.2 s."""
    folder = tmp_path_factory.mktemp("video")
    picture = f"color=black:s=160x90:r={RATE}:d={SECONDS}"
    # Times of frames are rounded: half a frame sooner is the same frame.
    when = "gte(mod(t+0.02,2),1)*lt(mod(t+0.02,2),1.2)"
    flash = f"{picture},drawbox=c=white:t=fill:enable='{when}'"
    tone = f"{TONE}*sin(2*PI*200*t)"
    beep = f"{BEEP}*sin(2*PI*1000*t)*gte(mod(t,2),1)*lt(mod(t,2),1.2)"
    source_file = folder / "x.mkv"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", flash),
            *("-f", "lavfi", "-i", f"aevalsrc='{tone}+{beep}':s=48000:d={SECONDS}"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac", str(source_file)),
        ],
        check=True,
        timeout=60,
    )
    return transcoded(
        source_file, folder, segment_seconds=SEGMENT_SECONDS, heights=("90", "48"), normalise=False
    )


@pytest.fixture(scope="module")
def scripts() -> dict[str, Path]:
    """The players' files, by their names on the page."""
    packages = installed("players", "shaka-player@5.2.12", "dashjs@5.2.1")
    return {
        "/hls.mjs": STATIC / "hls.min.mjs",
        "/shaka.js": packages / "shaka-player/dist/shaka-player.compiled.js",
        "/dash.js": packages / "dashjs/dist/modern/umd/dash.all.min.js",
    }


@contextmanager
def opened(
    browser: Browser, video: Path, scripts: dict[str, Path], player: str
) -> Iterator[tuple[Page, list[Answer]]]:
    """A page on which a player has loaded the video, and all responses that it got."""
    name, code = PLAYERS[player]
    nothing = cast("Any", None)
    server = VideoServer(
        edge=EdgeFunction(source()),
        clients=nothing,
        bucket="",
        deliver=nothing,
        folder=video,
    )
    with serving_app(server.app()) as address:
        url = f"http://localhost:{urlsplit(address).port}/{ASSET}/{VERSION}/{name}"
        settings = {"url": url, "rate": RATE, "tone": TONE, "beep": BEEP}
        html = _PAGE.replace("SETTINGS", json.dumps(settings)).replace("PLAYER", code)

        async def page_of(_: Request) -> HTMLResponse:
            return HTMLResponse(html)

        async def script(request: Request) -> Response:
            return Response(scripts[request.url.path].read_bytes(), media_type="text/javascript")

        paths = [Route("/", page_of), *(Route(path, script) for path in scripts)]
        # By a server, not by Playwright: a page without an address may not read from loopback.
        with serving_app(Starlette(routes=paths)) as origin:
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(2 * TIMEOUT)
            answers: list[Answer] = []
            page.on("response", lambda one: answers.append(one))  # noqa: PLW0108  no built-in
            page.goto(f"{origin}/")
            page.wait_for_function("failed.length || video.readyState >= 2")
            assert page.evaluate("failed") == []
            yield page, answers
            assert page.evaluate("failed") == []
            context.close()


def heard_at(page: Page, beep: float) -> float:
    """When a beep is heard, seconds."""
    begin = beep - 0.5
    for _ in range(5):
        found = page.evaluate("(times) => heard(times)", [begin, beep + 0.2])
        # A busy machine may not deliver all samples in time: then there is silence in the tone.
        if 0 <= found["tone"] < found["beep"] and found["silent"] < 8:
            return begin + float(found["beep"] - found["tone"]) / 48_000
    raise AssertionError(f"the tone before the beep at {beep} s never came whole: {found}")


@pytest.mark.timeout(300)  # videos are played at their own speed, on a machine that may be busy
@pytest.mark.parametrize("player", PLAYERS)
def test_flash_and_beep_come_together(
    browser: Browser, video: Path, scripts: dict[str, Path], player: str
) -> None:
    """In the first segment, in a middle one and in the last one. Every file comes with its type and
    may be kept for a year."""
    with opened(browser, video, scripts, player) as (page, answers):
        assert page.evaluate("video.duration") == pytest.approx(SECONDS, abs=0.03)
        for moment in BEEPS:
            before, at = (
                page.evaluate("(seconds) => brightness(seconds)", moment + shift / RATE)
                for shift in (-0.5, 0.5)
            )
            assert before < 30
            assert at > 225
            assert abs(heard_at(page, moment) - moment) < MOST_OFF
    loaded = {one.url.rpartition(VERSION)[2]: one for one in answers if VERSION in one.url}
    assert {Path(name).suffix for name in loaded} == {Path(PLAYERS[player][0]).suffix, *ENDINGS}
    for name, one in loaded.items():
        headers = one.headers
        assert one.status in (200, 206), name
        assert headers["content-type"] == content_type_of(name)
        assert headers["cache-control"] == "public, max-age=31536000, immutable"
        assert headers["access-control-allow-origin"] == "*"
