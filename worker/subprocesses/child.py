"""One child process from start to end: its process group, its pipes, its deadline, its reaping.

ffmpeg, ffprobe, sandboxed calls, workers of a run, the emulator and local jobs all run as a
:class:`Child`. It has no shell, no terminal and only the environment that it is given; it leads its
own session, and its whole process group is killed when it ends, however it ends. With
:func:`~worker.subprocesses.launch.tied_command` it has limits and dies with its parent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from worker.domain.errors import TransientError

_log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
"""Most that is read from a pipe at a time."""
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "FONTCONFIG_FILE")

Serve: TypeAlias = Callable[[int], bool]
"""Reads or writes a descriptor that is ready. Returns False when there is no more to do."""


def bare_environment(*names: str) -> dict[str, str]:
    """What every child gets to know: where programs and fonts are, and no credentials.

    Args:
        names: further variables that are passed on if they are set.
    """
    return {name: os.environ[name] for name in (*_PASSED_ON, *names) if name in os.environ}


@cache
def tell_missing(walls: tuple[str, ...]) -> None:
    """Say once in a process which walls a jail does not have."""
    if walls:
        _log.warning("decoders are not locked in entirely: %s", "; ".join(walls))


def reading(take: Callable[[bytes], object]) -> Serve:
    """Give ``take`` what comes from a descriptor, at most 64 KiB at a time; at its end no bytes."""

    def serve(descriptor: int) -> bool:
        data = os.read(descriptor, CHUNK_BYTES)
        take(data)
        return bool(data)

    return serve


class StderrText:
    """What a program prints, kept bounded: the beginning says the cause, the end what came of it.

    Args:
        head_bytes: kept of the beginning.
        tail_bytes: kept of the end.
        log: gets each line, at most ``tail_bytes`` of it.
    """

    def __init__(
        self,
        *,
        head_bytes: int = 0,
        tail_bytes: int = 16_000,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._line = bytearray()
        self._log = log

    def take(self, data: bytes) -> None:
        """Add bytes; they may break anywhere. No bytes: it has ended."""
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._tail_bytes]
        if self._log is None:
            return
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[: self._tail_bytes]
        if not data and rest:
            lines.append(rest)
        for line in lines:
            self._log(line[: self._tail_bytes].decode(errors="replace"))

    @property
    def text(self) -> str:
        """Its beginning and its end."""
        between = b"\n[...]\n" if self._head and len(self._tail) == self._tail_bytes else b""
        return bytes(self._head + between + self._tail).decode(errors="replace")


class Process:
    """A child process that leads a session of its own.

    Args:
        pid: of a child of this process. Nothing else may wait for it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status = 0
        """As ``Popen.returncode``: negative for a signal. Known once it has ended."""
        self.cpu_seconds = 0.0
        """Processor time it used. Known once it has ended."""
        self._reaped = False

    def ended(self, *, wait: bool = False) -> bool:
        """Whether it is dead."""
        if not self._reaped:
            pid, status, usage = os.wait4(self.pid, 0 if wait else os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
                self._reaped = True
        return self._reaped

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most as long; return whether it is dead."""
        end = time.monotonic() + seconds
        while not self.ended() and time.monotonic() < end:
            time.sleep(0.005)
        return self.ended()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone, unless it has ended."""
        if not self.ended():
            os.kill(self.pid, number)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started."""
        kill_group(self.pid, number)

    def terminate(self, grace_seconds: float) -> None:
        """Send SIGTERM to the group and wait as long for it to obey."""
        self.signal_group(signal.SIGTERM)
        self.wait(grace_seconds)

    def end(self) -> None:
        """Kill the whole group, whatever is left of it, and reap the child."""
        self.send_signal(signal.SIGKILL)  # a fork is without its group for its first moment
        self.signal_group(signal.SIGKILL)
        self.ended(wait=True)


def kill_group(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to every process of a group; none there is no error."""
    # While any of the group lives its number is not given to another; if none does, the
    # number was free for microseconds and the kernel goes round all others first.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Child(Process):
    """A running program and our ends of its pipes.

    Args:
        command: path and arguments.
        environment: all of it.
        stdin: ``DEVNULL``, ``PIPE`` or a descriptor.
        stdout: likewise; None is ours.
        stderr: likewise, or ``STDOUT``.
        pipes: further pipes of ``os.pipe()``, each (our end to read, its end to write). Both belong
            to this object from now on, even if the program cannot be started.
        folder: its working folder; None is ours.

    Raises:
        TransientError: the program could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = subprocess.DEVNULL,
        stderr: int | None = subprocess.PIPE,
        pipes: Sequence[tuple[int, int]] = (),
        folder: Path | None = None,
    ) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603  (no shell; the caller's own program)
                command,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                bufsize=0,
                pass_fds=[theirs for _, theirs in pipes],
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        except BaseException as error:
            for ours, _ in pipes:
                os.close(ours)
            if isinstance(error, OSError):
                name = Path(command[0]).name
                raise TransientError(f"{name} could not be started: {error}") from error
            raise
        finally:
            for _, theirs in pipes:
                os.close(theirs)
        super().__init__(self._process.pid)
        self._open = {ours for ours, _ in pipes}
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self.stdin, self.stdout, self.stderr = (
            None if stream is None else stream.fileno() for stream in streams
        )
        self._streams = {stream.fileno(): stream for stream in streams if stream is not None}

    def ended(self, *, wait: bool = False) -> bool:
        """Whether it is dead."""
        if super().ended(wait=wait):
            self._process.returncode = self.status  # Popen must not wait for it again
        return self._reaped

    def serve(
        self,
        reads: Mapping[int, Serve],
        writes: Mapping[int, Serve] | None = None,
        *,
        pause: Callable[[], float] = lambda: 0.1,
        keep: bool = False,
    ) -> Generator[None]:
        """Serve its pipes until it has ended and everything it wrote is read.

        Yields after each round, so that the caller can look at the clock or a stop. Close the
        generator to leave early (``contextlib.closing``).

        Args:
            reads: what reads each descriptor.
            writes: what writes each descriptor.
            pause: longest wait for a pipe in a round, seconds.
            keep: leave a pipe open that there is no more to do with for now.
        """
        with selectors.DefaultSelector() as selector:
            for descriptor, serve in reads.items():
                selector.register(descriptor, selectors.EVENT_READ, serve)
            for descriptor, serve in (writes or {}).items():
                selector.register(descriptor, selectors.EVENT_WRITE, serve)
            while True:
                # Asked before reading: what it wrote before it died is read in this round or a
                # later one. The end of its pipes says nothing, a grandchild may hold them open.
                gone = self.ended()
                ready = selector.select(0 if gone else pause())
                if gone and not ready:
                    return
                for key, _ in ready:
                    if not key.data(key.fd):
                        selector.unregister(key.fd)
                        if not keep:
                            self._close(key.fd)
                yield
                if not gone and not selector.get_map():
                    time.sleep(0.01)  # it has closed all its pipes and lives on

    def end(self) -> None:
        """Kill the whole group, whatever is left of it, reap the child and close the pipes."""
        super().end()
        for descriptor in (*self._open, *self._streams):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        stream = self._streams.pop(descriptor, None)
        if stream is not None:
            stream.close()
        elif descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)
