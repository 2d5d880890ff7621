"""The local stack that the manual's commands are run on, and the folder that a reader has."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

from tests.manual import session
from tests.manual.blocks import ROOT, Block, blocks
from worker.entrypoints import cli
from worker.local import address
from worker.local.emulator import free_port
from worker.samples import catalogue

LAST = "Ctrl-C stops everything."
"""What `make up` prints last."""
ELSEWHERE = {
    "make demo": ".ci/run runs it in a clean clone",
    "make test": "the same",
    "make check": "the same",
}
"""Commands that are not run here, each with what runs it."""
FILES = ("harbour.jpg", "dog.jpg", "night.jpg", "photos/beach.jpg", "photos/sub/hill.jpg")
VIDEO = "holiday.mp4"
SAMPLES = ("harbour-at-dusk.jpg", "broken/letter.jpg", "broken/cut-off.jpg")
"""Of what `make demo` leaves in demo/in."""
_OTHERS = ("AWS_", "SAFELIGHT_", "MAKE", "MFLAGS")
"""Beginnings of variables that a reader does not have: with those of `make`, it prints more."""
_PRELUDE = """
make() {
  case "$*" in
    up) cat "$UP" ;;
    "up ARGS="*) cat "$UP" ;;
    demo | test | check) ;;
    *) command make --no-print-directory -C "$CHECKOUT" "$@" ;;
  esac
}
safelight() { if [ "$1" = up ]; then cat "$UP"; else command safelight "$@"; fi; }
npm() { :; }  # tests/browser/test_uppy.py installs them
curl() {
  case "$*" in
    *http_code*) command curl "$@" ;;
    *) command curl --fail-with-body "$@" ;;
  esac
}
export -f make safelight npm curl
"""
"""What cannot run again shows what it printed when it ran; a request that fails is a failure."""


class Stack:
    """A stack that `make up` has started."""

    def __init__(self, data: Path, printed: str, receiver: str) -> None:
        self.data = data
        # The reader has the usual folder.
        self.printed = printed.replace(f" --data {data}", "").replace(str(data), ".safelight")
        found = address.read(data)
        assert found is not None
        self.address = found
        self._addresses = {
            "127.0.0.1:4566": found.endpoint.removeprefix("http://"),
            "127.0.0.1:4567": found.api.removeprefix("http://"),
            "127.0.0.1:4568": found.delivery.removeprefix("http://"),
            "127.0.0.1:9000": receiver,
        }
        self._home = data.parent / "home"
        furnish(self._home, data)
        with redirect_stdout(io.StringIO()) as said:
            words = ("put", str(self._home / FILES[0]), "--prefix", "uploads/ours/", "--wait")
            assert cli.run([*words, "--json", "--data", str(data)]) == 0
        self._asset = json.loads(said.getvalue().splitlines()[-1])["asset"]

    def differences(self, page: Path, folder: Path) -> list[str]:
        """What a page says that is not so, in a folder of its own."""
        found, name = blocks(page), page.relative_to(ROOT).as_posix()
        todo = list(session.steps(found))
        if name == "CONTRIBUTING.md" or not todo:  # test_contributing.py does what the one says
            return []
        shutil.copytree(self._home, folder, symlinks=True)
        for file, text in files(found).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        (folder / ".up").write_text(self.printed)
        environment = {
            **_environment(),
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "UP": str(folder / ".up"),
            "CHECKOUT": str(ROOT),
            "COLUMNS": "120",
            "API": self.address.api,
            "TOKEN": self.address.token,
            "ASSET": self._asset,
        }
        wrong = session.run(todo, folder, environment, prelude=_PRELUDE, addresses=self._addresses)
        return [f"{name}:{one}" for one in wrong]


def _environment() -> dict[str, str]:
    """The variables of this process that a reader has too."""
    return {k: v for k, v in os.environ.items() if not k.startswith(_OTHERS)}


def files(found: list[Block]) -> Mapping[str, str]:
    """Files that a page shows: blocks of TOML whose first line is their name, as a comment."""
    return {
        match[1]: one.code
        for one in found
        if (match := re.match(r"# ([\w./-]+\.toml)\n", one.code))
    }


def furnish(folder: Path, data: Path) -> None:
    """What pages take for granted: the command, the running stack, pictures and a video."""
    folder.mkdir()
    for name in (".venv", "docs"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".safelight").symlink_to(data)
    for number, name in enumerate(FILES):
        photo(folder / name, number)
    shutil.copytree(folder / "photos", folder / "Pictures")
    for sample in catalogue.SAMPLES:
        if sample.name in SAMPLES:
            (folder / "demo" / "in" / sample.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "demo" / "in" / sample.name).write_bytes(sample.make(1.0))
    subprocess.run(
        [
            *(
                "ffmpeg",
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=192x108:rate=10:duration=1",
            ),
            *("-f", "lavfi", "-i", "sine=duration=1", "-c:v", "libx264", "-preset", "ultrafast"),
            *("-pix_fmt", "yuv420p", "-shortest", str(folder / VIDEO)),
        ],
        check=True,
    )


def photo(path: Path, seed: int) -> None:
    """A small photo like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(small).resize((1200, 800), Image.Resampling.BICUBIC).save(path, quality=85)


@contextmanager
def made_up(folder: Path) -> Iterator[Stack]:
    """`make up`, with ports and a folder of its own, and all that pages give to `safelight up`."""
    folder.mkdir()
    with _receiver() as receiver:
        options = (
            f"--data {folder / 'data'} --port {free_port()} --api-port 0 --delivery-port 0"
            f" --workers 2 --webhook shop=http://{receiver}/hook"
        )
        process = subprocess.Popen(
            ["make", "up", f"ARGS={options}"],
            cwd=ROOT,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                assert process.stdout is not None
                printed = []
                for line in process.stdout:
                    printed.append(line)
                    if line.startswith(LAST):
                        break
                else:
                    assert process.stderr is not None
                    raise AssertionError(process.stderr.read())
                yield Stack(folder / "data", "".join(printed), receiver)
            finally:
                os.killpg(process.pid, signal.SIGINT)


@contextmanager
def _receiver() -> Iterator[str]:
    """Somebody's endpoint for webhooks: takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
