"""The embedded AWS as a child process on loopback: install, start, wait, stop.

The emulator (ministack, MIT) lives in an environment of its own, because it pins its own
libraries; the rest of Safelight reaches it only through endpoint settings
(``AWS_ENDPOINT_URL``), so that anything else that speaks the same APIs can take its place. Here
is only the process; what is created inside it is ``worker.local.deploy``'s.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import EmulatorError, PortTaken
from worker.subprocesses.child import Child
from worker.subprocesses.launch import tied_command

REQUIREMENTS = Path(__file__).with_name("emulator-requirements.txt")
DURABLE = Path(__file__).with_name("durable")
"""The program that runs it with everything on disk."""
ACCOUNT = "000000000000"
REGION = "eu-central-1"
ROOT_KEY = "test"
"""Access key of the account's root user, the only one at the first start. Its signatures are not
checked, not even with ``enforce_iam``: any secret will do."""
START_SECONDS = 180.0
"""Longest wait for a start. It takes well under one second on an idle machine, and was seen to take
more than 60 s where twenty programs shared two cores."""
STOP_SECONDS = 5.0


def home() -> Path:
    """Where the emulator's environment is: beside the running one, or in the user's cache."""
    named = os.environ.get("SAFELIGHT_EMULATOR_HOME")
    if named:
        return Path(named)
    if os.access(sys.prefix, os.W_OK):
        return Path(sys.prefix) / "emulator"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "safelight" / "emulator"


def install() -> Path:
    """Make the emulator's environment if it is missing or out of date; instant otherwise.

    Returns:
        The program that starts it.

    Raises:
        EmulatorError: pip could not install it (usually: no network).
    """
    folder = home()
    program = folder / "bin" / "ministack"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = folder / "requirements.sha256"
    if program.exists() and stamp.exists() and stamp.read_text() == wanted:
        return program
    venv.create(folder, with_pip=True, clear=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile"]
    command += ["--disable-pip-version-check", "--require-hashes", "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise EmulatorError(f"the emulator cannot be installed: {last}")
    stamp.write_text(wanted)
    return program


_PORTS = range(10_000, 32_768)
"""Below those that Linux and macOS give to connections that go out, one of which could take a port
between its choice and its use."""


def free_port() -> int:
    """A port that is free at this moment."""
    while True:
        port = secrets.choice(_PORTS)  # forked processes must not choose alike
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def require_free(port: int) -> None:
    """Raises ``PortTaken`` if something listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            message = f"port {port} is taken; choose another with --port or stop what listens there"
            raise PortTaken(message) from None


def address_environment(endpoint: str) -> dict[str, str]:
    """Variables that send every AWS client of a process to an emulator; without credentials."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client_environment(endpoint: str) -> dict[str, str]:
    """The same with the credentials of the account's root user, who may do everything."""
    return {
        **address_environment(endpoint),
        "AWS_ACCESS_KEY_ID": ROOT_KEY,
        "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
    }


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator."""

    endpoint: str
    process: Child

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send every AWS client of a process here, as the root user."""
        return client_environment(self.endpoint)

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        self.process.terminate(STOP_SECONDS)
        self.process.end()


def start(
    *,
    port: int,
    log: Path,
    state: Path | None = None,
    enforce_iam: bool = False,
    launcher: Sequence[str] = (),
) -> Emulator:
    """Start the emulator on loopback and wait until it answers.

    Args:
        port: to listen on.
        log: file its output goes to.
        state: folder in which it keeps everything over restarts, also over SIGKILL (``durable``);
            None forgets at the stop.
        enforce_iam: check signatures, policies and conditions as AWS does.
        launcher: command that becomes the emulator, given its program as last argument.

    Raises:
        PortTaken: something listens on the port already.
        EmulatorError: it did not start.
    """
    require_free(port)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", str(log.parent)),
        "BIND_HOST": "127.0.0.1",  # it listens on all interfaces unless told
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "AUTH": "true" if enforce_iam else "false",
        "PERSIST_STATE": "0" if state is None else "1",
        "S3_PERSIST": "0" if state is None else "1",
        "LOG_LEVEL": "WARNING",
        "MALLOC_ARENA_MAX": "2",  # glibc keeps freed memory apart for up to 8 threads a core
    }
    if state is not None:
        environment |= {"STATE_DIR": str(state), "S3_DATA_DIR": str(state / "s3")}
    program = install()
    durable = [str(program.with_name("python")), str(DURABLE)]
    with log.open("ab") as output:
        process = Child(
            [*launcher, *([str(program)] if state is None else durable)],
            environment=environment,
            stdout=output.fileno(),
            stderr=subprocess.STDOUT,
            folder=log.parent,
        )
    emulator = Emulator(endpoint=f"http://127.0.0.1:{port}", process=process)
    try:
        _await_answer(emulator, log)
    except BaseException:
        emulator.stop()
        raise
    return emulator


def _await_answer(emulator: Emulator, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if emulator.process.ended():
            code = emulator.process.status
            raise EmulatorError(f"the emulator ended with code {code}; see {log}")
        try:
            with urllib.request.urlopen(f"{emulator.endpoint}/_ministack/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise EmulatorError(f"the emulator did not answer within {START_SECONDS:.0f} s; see {log}")


@contextmanager
def running(folder: Path, *, enforce_iam: bool = False) -> Iterator[Emulator]:
    """An emulator on a free port for as long as the block lasts; for tests and benchmarks."""
    emulator = start(
        port=free_port(),
        log=folder / "emulator.log",
        enforce_iam=enforce_iam,
        # A test run that is killed leaves no emulator.
        launcher=tied_command((), parent_death_signal=signal.SIGTERM),
    )
    try:
        yield emulator
    finally:
        emulator.stop()


def main() -> int:
    """``python -m worker.local.emulator``: install it."""
    try:
        install()
    except EmulatorError as error:
        sys.stderr.write(f"error[{error.code}]: {error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
