"""The life of a sandboxed child as its parent sees it: start, talk, wait, kill.

What lives here: one process, its three pipes and its deadline. What may not: what an ending
means (``sandbox``), what an answer says (``sandbox_wire``).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import Reason, TransientError
from worker.subprocesses import sandbox_wire as wire

_CHILD = "worker.subprocesses.sandbox_child"
# No site packages but those named, no user site, nothing from the working folder.
_INTERPRETER = (sys.executable, "-S", "-s", "-P", "-X", "faulthandler")
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "FONTCONFIG_FILE",
    "VIPS_BLOCK_UNTRUSTED",
)
_NOISE_BYTES = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one call may use."""

    cpu_seconds: float
    """Processor time of the call, imports not counted; rounded up to whole seconds."""
    wall_seconds: float
    """Time from start to answer, start-up of the interpreter included."""
    memory_bytes: int
    """Address space on top of what the child holds once the function and its arguments are
    loaded. Address space is more than memory in use: leave 256 MB for threads and libraries."""
    file_bytes: int = 1 << 30
    """Size of any file it writes; libvips spills large pictures to the temporary folder."""
    reply_bytes: int = 1 << 28
    """Size of the answer, bytes of pictures included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended."""

    reply: tuple[bytearray, memoryview] | None
    """Header and body of a whole frame."""
    refused: Reason | None
    """Why a frame was not read to its end."""
    late: bool
    status: int
    """As ``Popen.returncode``: negative for a signal."""
    cpu_seconds: float
    noise: str
    """The end of what it printed."""


def exchange(request: bytes, limits: SandboxLimits) -> Ending:
    """Start a child, hand over the request and stay until it has answered, died or is late."""
    deadline = time.monotonic() + limits.wall_seconds
    child = _Child()
    outgoing = memoryview(request)
    reply, noise = _Frame(limits.reply_bytes), bytearray()
    selector = selectors.DefaultSelector()
    try:
        selector.register(child.requests, selectors.EVENT_WRITE)
        selector.register(child.replies, selectors.EVENT_READ)
        selector.register(child.noise, selectors.EVENT_READ)
        while not reply.complete and not reply.refused:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            # Asked before reading: what it wrote before it died is read in this round or a
            # later one. The end of its pipes says nothing, a grandchild may hold them open.
            gone = child.ended()
            pause = 0.002 if reply.closed else 0.05
            ready = selector.select(0 if gone else min(left, pause))
            if gone and not ready:
                break
            for key, _ in ready:
                if key.fd == child.requests:
                    outgoing = outgoing[_write(key.fd, outgoing) :]
                    going_on = bool(outgoing)
                elif key.fd == child.replies:
                    going_on = reply.read(key.fd)
                else:
                    going_on = _keep_end(noise, key.fd)
                if not going_on:
                    selector.unregister(key.fd)
                    child.close(key.fd)
        late = not reply.complete and not reply.refused and not child.ended()
    finally:
        selector.close()
        child.end()
    return Ending(
        reply=reply.parts if reply.complete else None,
        refused=reply.refused,
        late=late,
        status=child.status,
        cpu_seconds=child.cpu_seconds,
        noise=noise.decode(errors="replace"),
    )


class _Child:
    """The process and our ends of its three pipes."""

    def __init__(self) -> None:
        self.replies, answer = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  (our own module)
                [*_INTERPRETER, "-m", _CHILD, str(answer), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=[answer],
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self.replies)
            raise TransientError(f"no child process could be started: {error}") from error
        finally:
            os.close(answer)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.requests = self._process.stdin.fileno()
        self.noise = self._process.stdout.fileno()
        os.set_blocking(self.requests, False)
        self._open = {self.requests, self.replies, self.noise}
        self.status = 0
        self.cpu_seconds = 0.0

    def ended(self, *, wait: bool = False) -> bool:
        """Whether it is dead; what it used is known from then on."""
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, 0 if wait else os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
                self._process.returncode = self.status  # Popen must not wait for it again
        return self._process.returncode is not None

    def close(self, descriptor: int) -> None:
        """Close our end of one pipe."""
        self._open.discard(descriptor)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed and stream.fileno() == descriptor:
                stream.close()
                return
        os.close(descriptor)

    def end(self) -> None:
        """Kill the whole group, whatever is left of it, and bury the child."""
        # While any of the group lives its number is not given to another; if none does, the
        # number was free for microseconds and the kernel goes round all others first.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.ended(wait=True)
        for descriptor in tuple(self._open):
            self.close(descriptor)


class _Frame:
    """One frame, read as it comes and never beyond its limits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._prefix = bytearray(wire.PREFIX.size)
        self.parts: tuple[bytearray, memoryview] | None = None
        self._waiting = [memoryview(self._prefix)]
        self.closed = False
        self.refused: Reason | None = None

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.parts is not None and not self._waiting

    def read(self, descriptor: int) -> bool:
        """Take what is there; False when there is no more to take."""
        count = os.readv(descriptor, self._waiting[:1])
        self.closed = count == 0
        self._waiting[0] = self._waiting[0][count:]
        while self._waiting and not self._waiting[0]:
            del self._waiting[0]
            if self.parts is None:
                self._measure()
        return bool(count and self._waiting)

    def _measure(self) -> None:
        magic, header, body = wire.PREFIX.unpack(self._prefix)
        if magic != wire.MAGIC:
            self.refused = Reason.CRASHED
        elif header > wire.HEADER_LIMIT or header + body > self._limit:
            self.refused = Reason.OUT_OF_MEMORY
        else:
            self.parts = bytearray(header), memoryview(bytearray(body))
            self._waiting = [memoryview(self.parts[0]), self.parts[1]]


def _write(descriptor: int, data: memoryview) -> int:
    """Bytes taken; all of them if nobody listens any more."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def _keep_end(noise: bytearray, descriptor: int) -> bool:
    data = os.read(descriptor, 1 << 16)
    noise += data
    del noise[:-_NOISE_BYTES]
    return bool(data)


def _environment() -> dict[str, str]:
    """Everything the child gets to know: where modules and programs are, and no credentials."""
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Our own folder is named because an editable installation finds it by a hook in site.
    own = str(Path(__file__).resolve().parents[2])
    path = [str(Path(entry).absolute()) for entry in sys.path if entry]
    return environ | {
        "PYTHONPATH": os.pathsep.join([*path, own]),
        "PYTHONDONTWRITEBYTECODE": "1",
        # One call, one thread: the parent decides how many calls run side by side. Fewer malloc
        # arenas, because each reserves 64 MB of the address space that is limited.
        "VIPS_CONCURRENCY": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
