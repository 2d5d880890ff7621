"""The page of docs/uppy.md in Chromium, against a local stack that checks signatures."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import uvicorn

from tests.browser.chromium import PROGRAM
from tests.emulators import make_sure
from tests.integration.running import Running, share, stack, until
from tests.integration.weak_line import WeakLine
from worker.entrypoints.api.app import ApiServices, create
from worker.local.api import listen

ROOT = Path(__file__).parents[2]
PACKAGES = ("@uppy/core@6.3.1", "@uppy/aws-s3@6.3.1", "esbuild@0.28.2")
MEBIBYTE = 1024**2
PART = 16 * MEBIBYTE
_FILES = """
const failed = [];
uppy.on("upload-error", (file, error) => failed.push(String(error)));
for (const [name, size] of FILES)
  uppy.addFile({name, type: "image/png", data: new Blob([new Uint8Array(size).fill(7)])});
let result = await uppy.upload();
for (let left = 5; result.failed.length && left; left--) result = await uppy.retryAll();
await fetch("/result", {method: "POST", body: JSON.stringify({failed,
  assets: result.successful.map((file) => [file.name, file.meta.asset])})});
"""


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with what the page imports, kept for the next run."""
    npm = shutil.which("npm")
    if npm is None or PROGRAM is None:
        pytest.skip("needs npm and chromium")
    folder = Path(tempfile.gettempdir()) / f"safelight-uppy-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    if not (folder / "node_modules" / "esbuild" / "package.json").exists():
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        done = subprocess.run(
            [npm, "install", *options, *PACKAGES], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"npm installs nothing: {done.stderr[-300:]}")
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Iterator[Running]:
    """A stack."""
    make_sure(tmp_path_factory)
    share(tmp_path_factory.getbasetemp() / "deployed")
    with stack(tmp_path_factory.mktemp("uppy") / "data") as made:
        yield made


def bundled(packages: Path, folder: Path, **names: Any) -> bytes:
    """The page of the document, with its constants and some files to upload."""
    (code,) = re.findall(r"```js\n(.*?)```", (ROOT / "docs" / "uppy.md").read_text(), re.DOTALL)
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in names.items())
    page = packages / f"page-{folder.name}.js"
    page.write_text(constants + code + _FILES)
    program = str(packages / "node_modules" / ".bin" / "esbuild")
    built = folder / "page.js"
    options = ["--bundle", "--format=esm", f"--outfile={built}", "--log-level=error"]
    try:
        subprocess.run([program, str(page), *options], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr.decode()) from error
    finally:
        page.unlink()
    return built.read_bytes()


@contextmanager
def api(running: Running, origin: str) -> Iterator[str]:
    """The API of a stack, for pages of an origin."""
    services = ApiServices(app=running.root_app)  # as a role that may all the API may
    config = uvicorn.Config(
        create(lambda: services, origins=(origin,)), log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    with listen(0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.timeout(300)  # a stack and a browser begin, on a machine that may be busy
def test_the_page_uploads_over_a_line_that_is_cut(
    running: Running, packages: Path, tmp_path: Path
) -> None:
    """A small file by a form and a large one in parts; what has arrived is not sent again."""
    answers: SimpleQueue[bytes] = SimpleQueue()
    served: dict[str, bytes] = {
        "/": b'<!doctype html><script type="module" src="/page.js"></script>'
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.get(self.path)
            self.send_response(200 if body else 404)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body or b"")

        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    files = [("small.png", 1_000), ("large.png", 2 * PART + 5)]
    line = WeakLine(rate=64 * MEBIBYTE, cut_after=PART + PART // 2, most_cuts=1)
    token = running.json("api", "token", "--owner", "ann")["token"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, line.serving() as proxy:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        with api(running, origin) as address:
            served["/page.js"] = bundled(packages, tmp_path, API=address, TOKEN=token, FILES=files)
            browser = subprocess.Popen(
                [
                    str(PROGRAM),
                    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                    "--disable-background-networking",
                    f"--proxy-server={proxy}",
                    "--proxy-bypass-list=<-loopback>",
                    f"--user-data-dir={tmp_path / 'profile'}",
                    origin,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                told = json.loads(answers.get(timeout=100))
            finally:
                os.killpg(browser.pid, signal.SIGKILL)
                browser.wait()
                server.shutdown()

    assets = dict(told["assets"])
    assert set(assets) == {"small.png", "large.png"}, told
    for name, size in files:
        record = running.app.catalog.get(assets[name])
        assert record is not None
        assert record.source.size == size
        until(lambda asset=assets[name]: _status(running, asset) == "rejected")  # type: ignore[misc]
    parts: dict[str, list[bool]] = {}
    for one in line.sent:
        if re.search(r"large\.png \d+$", one.what) and one.size:
            parts.setdefault(one.what, []).append(one.passed == one.size and one.answered)
    assert sorted(parts.values()) == [[False, True], [True], [True]]


def _status(running: Running, asset: str) -> str:
    record = running.app.catalog.get(asset)
    return record.status.value if record else ""
