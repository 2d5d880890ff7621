"""The embedded AWS, and moto's server beside it, installed once for all processes of a test run."""

from __future__ import annotations

import fcntl
import hashlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.local.emulator import START_SECONDS, Emulator, free_port, install
from worker.subprocesses.child import Child
from worker.subprocesses.launch import tied_command

MOTO_REQUIREMENTS = Path(__file__).with_name("moto-requirements.txt")


def make_sure(factory: pytest.TempPathFactory) -> None:
    """Install it, unless that is done; the processes of a run share the folder above their own."""
    with (factory.getbasetemp().parent / "emulator.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install()


def make_sure_of_moto(factory: pytest.TempPathFactory) -> Path:
    """The same for moto, in an environment of its own: its program."""
    folder = Path(sys.prefix) / "moto"
    with (factory.getbasetemp().parent / "moto.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(MOTO_REQUIREMENTS.read_bytes()).hexdigest()
        stamp = folder / "requirements.sha256"
        if not stamp.exists() or stamp.read_text() != wanted:
            venv.create(folder, with_pip=True, clear=True)
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            command += ["--disable-pip-version-check", "--require-hashes"]
            subprocess.run([*command, "-r", str(MOTO_REQUIREMENTS)], check=True)
            stamp.write_text(wanted)
    return folder / "bin" / "moto_server"


@contextmanager
def running_moto(program: Path, folder: Path) -> Iterator[Emulator]:
    """moto's server on a free port of loopback for as long as the block lasts."""
    port = free_port()
    log = folder / "moto.log"
    with log.open("ab") as output:
        process = Child(
            tied_command(
                [str(program), "-H", "127.0.0.1", "-p", str(port)],
                parent_death_signal=signal.SIGTERM,
            ),
            environment={"HOME": str(folder), "PATH": str(program.parent), **MOTO_SETTINGS},
            stdout=output.fileno(),
            stderr=subprocess.STDOUT,
            folder=folder,
        )
    emulator = Emulator(endpoint=f"http://127.0.0.1:{port}", process=process)
    try:
        _await(emulator, log)
        yield emulator
    finally:
        emulator.stop()


MOTO_SETTINGS = {"MOTO_ACCOUNT_ID": "000000000000"}
"""The account that the embedded AWS has: ARNs in tests are of it."""


def _await(emulator: Emulator, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not emulator.process.ended() and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{emulator.endpoint}/moto-api/", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"moto's server did not start: {log.read_text(errors='replace')}")
