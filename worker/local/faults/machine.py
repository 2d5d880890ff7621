"""The local stack under faults: started as people start it, and hurt from outside.

The stack runs in a folder of its own, on a file system of its own if this process may mount one, so
that its disk can be full. Its embedded AWS listens behind a proxy (``faults.proxy``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from worker.domain.errors import EmulatorError
from worker.local import address
from worker.local.address import Address
from worker.local.emulator import free_port

DISK_MEGABYTES = 700
_AGAIN = re.compile(r"(\S+) runs again, process (\d+)")
_BALLAST = "ballast"
READY_SECONDS = 240.0


class Machine:
    """One local stack, as processes.

    Args:
        folder: that the stack's folder is made in.
        say: told what the stack says.
        prepare: fills the folder of the stack, given it and the port, before its first start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int,
        say: Callable[[str], None],
        prepare: Callable[[Path, int], object] | None = None,
    ) -> None:
        self.data = folder / "data"
        self.port, self.behind = free_port(), free_port()
        # Clients find the API again when the stack was killed.
        self._api_port, self._delivery_port = free_port(), free_port()
        self._workers, self._say, self._prepare = workers, say, prepare
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._pids: dict[str, int] = {}
        self._ready = threading.Event()
        self.disk = False
        """Whether the stack has a disk of its own."""

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Give the stack a disk of its own, if this process may, while the block lasts."""
        self.data.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(self.data)]
        with suppress(OSError):
            self.disk = subprocess.run(command, check=False, capture_output=True).returncode == 0
        try:
            if self._prepare is not None:
                self._prepare(self.data, self.port)
            yield
        finally:
            if self.disk:
                self.empty()
                kept = self.data.with_name("stack")
                with suppress(OSError, shutil.Error):  # its disk goes with the mount
                    shutil.copytree(self.data, kept, ignore=shutil.ignore_patterns("tmp"))
                subprocess.run(["umount", "--lazy", str(self.data)], check=False)  # noqa: S607

    # --- start and stop ---------------------------------------------------------------------

    def start(self) -> None:
        """Start the stack and wait until it is up. Raises ``EmulatorError``."""
        (self.data / "tmp").mkdir(exist_ok=True)
        self._ready.clear()
        command = [
            *(sys.executable, "-m", "worker", "up", "--json", "--data", str(self.data)),
            *("--port", str(self.port), "--emulator-port", str(self.behind)),
            *("--api-port", str(self._api_port), "--delivery-port", str(self._delivery_port)),
            *("--workers", str(self._workers)),
        ]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Whatever processes keep for a moment is on the disk that will be full.
            env={**environment, "TMPDIR": str(self.data / "tmp")},
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._ready.wait(READY_SECONDS) or self._process.poll() is not None:
            self.stop()
            raise EmulatorError(f"the stack does not start; see {self.data / 'logs'}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError):
                value: Mapping[str, Any] = json.loads(line)
                if value.get("state") == "ready":
                    self._pids = dict(value["processes"])
                    self._ready.set()
                elif value.get("state") == "note":
                    self._note(str(value["message"]))
        if self._process is process:
            self._ready.set()  # it has ended

    def _note(self, message: str) -> None:
        self._say(message)
        again = _AGAIN.match(message)
        if again is not None:
            self._pids[again[1]] = int(again[2])

    def stop(self) -> None:
        """End it, as Ctrl-C does; by force if that takes too long."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            for pid in self._pids.values():
                _signal(pid, signal.SIGCONT)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                self.kill_all()
        self._forget(process)

    def kill_all(self) -> None:
        """SIGKILL to everything, too fast for anything to be saved or started again."""
        process = self._process
        assert process is not None
        _signal(process.pid, signal.SIGSTOP)
        for pid in _descendants(process.pid):
            _signal(pid, signal.SIGKILL)
        _signal(process.pid, signal.SIGKILL)
        process.wait()
        self._forget(process)

    def _forget(self, process: subprocess.Popen[str]) -> None:
        """Read what it has said to its end."""
        if self._reader is not None:
            self._reader.join()
        assert process.stdout is not None
        process.stdout.close()

    @property
    def address(self) -> Address:
        """Where it is."""
        found = address.read(self.data)
        if found is None:
            raise EmulatorError(f"{self.data} has no address of a stack")
        return found

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the operator, straight to the embedded AWS: no fault comes between."""
        return {
            **self.address.environment,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.behind}",
        }

    # --- faults -----------------------------------------------------------------------------

    def pids(self, target: str) -> list[int]:
        """Processes of a target: one of the stack, or the children of one (``NAME/child``)."""
        name, _, what = target.partition("/")
        pid = self._pids.get(name)
        if pid is None:
            return []
        return _descendants(pid) if what else [pid]

    def send(self, target: str, number: signal.Signals) -> list[int]:
        """Send a signal; the processes that got it."""
        return [pid for pid in self.pids(target) if _signal(pid, number)]

    def fill(self) -> int:
        """Leave no space on the disk; how many bytes were taken."""
        with (self.data / _BALLAST).open("wb") as file:
            size = 0
            for chunk in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        size += os.write(file.fileno(), bytes(chunk))
            return size

    def empty(self) -> None:
        """Give the space back."""
        (self.data / _BALLAST).unlink(missing_ok=True)


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _descendants(parent: int) -> list[int]:
    """Of a process, those that run, and theirs."""
    found = []
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(OSError):
            for pid in path.read_text().split():
                found += [int(pid), *_descendants(int(pid))]
    return found
