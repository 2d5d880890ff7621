"""The cache of hot files in the local stack: a Redis or Valkey of its own, where one is installed.

It keeps nothing on disk, and forgets what is seldom used. On AWS it is ElastiCache.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.local.emulator import free_port
from worker.subprocesses.child import Child, Process, bare_environment
from worker.subprocesses.launch import tied_command

NAME = "cache"
PROGRAMS = ("valkey-server", "redis-server")
VARIABLE = "SAFELIGHT_REDIS_URL"
MEMORY = "64mb"
STOP_SECONDS = 5.0
ANSWER_SECONDS = 1
"""In place of the 0.1 s of AWS: the stack's workers use all cores, and so the server waits, too."""
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
save ""
appendonly no
daemonize no
maxmemory {memory}
maxmemory-policy allkeys-lfu
"""


def program() -> str | None:
    """The server's path; None where none is installed."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheServer:
    """A server of a stack; each start is a new, empty one at the same address.

    Args:
        program: path of ``redis-server`` or ``valkey-server``.
        folder: for its configuration, in which the password is.
        log: file that its output is appended to.
    """

    program: str
    folder: Path
    log: Path
    port: int = field(default_factory=free_port)
    """On loopback."""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    """Other users of this machine may not read the files."""

    @property
    def url(self) -> str:
        """The URL for clients."""
        times = f"socket_timeout={ANSWER_SECONDS}&socket_connect_timeout={ANSWER_SECONDS}"
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0?{times}"

    def start(self) -> Process:
        """Start it; it ends when this process ends.

        Raises:
            SafelightError: its configuration cannot be written.
            OSError: the program cannot be run.
        """
        path = self.folder / f"{NAME}.conf"
        text = _CONFIGURATION.format(
            port=self.port, password=self.password, folder=_quoted(self.folder), memory=MEMORY
        )
        with disk_call(path):
            atomic_write(path, text, mode=0o600)
        with self.log.open("ab") as output:
            return Child(
                tied_command([self.program, str(path)], parent_death_signal=signal.SIGTERM),
                environment=bare_environment(),
                stdout=output.fileno(),
                stderr=subprocess.STDOUT,
                folder=self.folder,
            )


def _quoted(path: Path) -> str:
    """As the configuration reads a text with any bytes in it."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in str(path).encode()) + '"'
