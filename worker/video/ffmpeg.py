"""The only place that starts ffmpeg and ffprobe.

What lives here: :func:`run`, one program's life from start to end. What it may open is in
``program_inputs``, what it prints in ``program_output``, what its end means in ``program_verdict``,
what it may use in ``limits``, what happens just before it becomes ffmpeg in ``program_launch``.
What may not: what to run it for.

What every run gets, whatever the caller asks:

- No shell, no terminal, no standard input but a pipe of ours; inputs only as ``file:PATH`` or
  ``pipe:``, and only local protocols, known containers and known decoders: a playlist or a script
  is refused.
- Limits of wall time, of time without progress, of address space, of the size of each file
  written and of what is captured; no core dumps.
- A bare environment without credentials.
- A process group of its own: SIGTERM and after a moment SIGKILL when the job is stopped; killed
  at once when a limit is passed, when the caller fails, and (Linux) when this process dies.
- What it prints is drained and bounded: a damaged file makes a message for every frame of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from worker.domain.errors import ConfigurationError, DamagedInput, Rejected, Stopped, TransientError
from worker.job_context import Stop
from worker.video import ffmpeg_errors as verdict
from worker.video import structure
from worker.video.ffmpeg_inputs import guarded, read_files
from worker.video.ffmpeg_output import Decoded, Errors, Meter
from worker.video.limits import ProgramLimits

__all__ = ["Pipes", "ProgramLimits", "Stop", "command_line", "input_url", "run"]

Error = TypeVar("Error", bound=Exception)

_LAUNCHER = Path(__file__).with_name("ffmpeg_launch.py")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "FONTCONFIG_FILE", "FONTCONFIG_PATH")
_CHUNK = 1 << 16
_TICK_SECONDS = 0.1
_ERROR_RATE = "0.2"
"""Share of frames that may fail to decode; ffmpeg's own is two thirds, hardly a video any more."""
_MOST_OPENED = 8
_REPORT_LEVEL = 40
"""Of messages in the report, ``verbose``: the counts of decoded frames are among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """Ends of pipes between two programs that run at the same time: file descriptors."""

    read: int | None = None
    """Its standard input; nothing otherwise."""
    write: int | None = None
    """Its standard output, instead of what ``run`` would do with that."""


def input_url(path: Path) -> str:
    """A file as ffmpeg is to be told of it: never read as an option or a protocol."""
    return f"file:{path.absolute()}"


def run(
    arguments: Sequence[str],
    *,
    limits: ProgramLimits,
    stop: Stop | None = None,
    progress: Callable[[float], None] | None = None,
    capture: bool = False,
    program: str = "ffmpeg",
    sink: Callable[[bytes], None] | None = None,
    log: Callable[[str], None] | None = None,
    pipes: Pipes | None = None,
    decoded: Decoded | None = None,
    opened: Sequence[str] = (),
    pictures: int | None = None,
) -> bytes:
    """Run ffmpeg (or ffprobe) to its end.

    Args:
        arguments: without the program's name; inputs as ``-i file:PATH`` (see
            :func:`input_url`), all of them before the first output. Put in by this function:
            ``-nostdin -hide_banner -y -loglevel -progress -max_error_rate`` and the allow-lists.
        limits: what it may use.
        stop: looked at ten times a second.
        progress: told the seconds of media written so far, about twice a second (ffmpeg only).
        capture: return what it writes to standard output.
        program: ``ffmpeg`` or ``ffprobe``.
        sink: gets standard output piece by piece instead; what it raises ends the program.
        log: gets each line of standard error (at most 16 kB of each). Ask for more lines by
            ``-loglevel`` in the arguments.
        pipes: what it reads and writes as ``pipe:0`` and ``pipe:1`` beside another program.
        decoded: told how much of the inputs could be decoded.
        opened: decoders of sound and text beyond the allow-list that ffprobe opens and never uses:
            it ends where it may not open that of a track. Found out by this function.
        pictures: how many of the input are wanted. If fewer come, those whose packets were read
            count as failed.

    Returns:
        Standard output if ``capture``, else nothing.

    Raises:
        Rejected: the input is to blame (see ``program_verdict``) or passed a limit.
        ConfigurationError: the program is not installed (``program_missing``).
        Stopped: ``stop`` asked for it.
        StorageFull: no space where it writes.
        TransientError: it was stopped from outside, or could not be started; ``reader_gone``:
            whoever read what it writes does so no more.
        EngineError: the arguments are wrong, or an ending nobody knows.
    """
    job = _FfmpegRun(
        program,
        limits,
        progress=progress,
        capture=capture,
        sink=sink,
        log=log,
        pipes=pipes or Pipes(),
        decoded=decoded or Decoded(),
        pictures=pictures,
    )
    job.start(arguments, opened)
    try:
        stopped = job.attend(stop)
        if stopped:
            job.ask_to_end()
    finally:
        job.end()
    if stopped:
        assert stop is not None
        stop.check()
        raise Stopped(f"{program} was stopped")
    unknown = job.may_not_open()
    if program == "ffprobe" and unknown and unknown not in opened and len(opened) < _MOST_OPENED:
        given = {"capture": capture, "program": program, "sink": sink, "log": log}
        return run(arguments, limits=limits, stop=stop, opened=(*opened, unknown), **given)  # type: ignore[arg-type]
    job.raise_if_failed()
    return bytes(job.captured)


def command_line(
    program: str,
    arguments: Sequence[str],
    *,
    progress_to: int | None,
    opened: Sequence[str] = (),
) -> list[str]:
    """The whole command line of a run, as it is executed.

    Raises:
        ConfigurationError: the program is not installed.
        EngineError: an input is not given as a file.
    """
    found = shutil.which(program)
    if found is None:
        raise ConfigurationError(
            f"the program {program} is not installed: videos need ffmpeg and ffprobe "
            "(Debian and Ubuntu: apt install ffmpeg; macOS: brew install ffmpeg)",
            code="program_missing",
        )
    command = [found, "-hide_banner"]
    if "-loglevel" not in arguments and "-v" not in arguments:
        command += ["-loglevel", "error"]
    if program == "ffmpeg":
        command += ["-nostdin", "-y", "-nostats"]
        if progress_to is not None:
            command += ["-progress", f"pipe:{progress_to}", "-stats_period", "0.5"]
        if "-max_error_rate" not in arguments:
            command += ["-max_error_rate", _ERROR_RATE]
    return command + guarded(arguments, opened)


class _FfmpegRun:
    """One process, its pipes and its clocks."""

    def __init__(
        self,
        program: str,
        limits: ProgramLimits,
        *,
        progress: Callable[[float], None] | None,
        capture: bool,
        sink: Callable[[bytes], None] | None,
        log: Callable[[str], None] | None,
        pipes: Pipes,
        decoded: Decoded,
        pictures: int | None,
    ) -> None:
        self._program = program
        self._limits = limits
        self._tell = progress
        self._capture = capture
        self._sink = sink
        self._pipes = pipes
        self._noise = Errors(log)
        self._meter = Meter()
        self._decoded = decoded
        self._pictures = pictures
        self._allowed = 1.0
        self._paths: list[str] = []
        self._inputs: list[Path] = []
        self.captured = bytearray()

    def start(self, arguments: Sequence[str], opened: Sequence[str]) -> None:
        self._paths = [word.removeprefix("file:") for word in arguments if word[:5] == "file:"]
        self._inputs = read_files(arguments)
        self._progress, progress_to = os.pipe()
        self._report, report_to = os.pipe()
        try:
            command = command_line(self._program, arguments, progress_to=progress_to, opened=opened)
            if self._program == "ffmpeg":
                self._allowed = float(command[command.index("-max_error_rate") + 1])
            self._process = subprocess.Popen(  # noqa: S603  (no shell; the program is found)
                self._launcher(command),
                stdin=subprocess.DEVNULL if self._pipes.read is None else self._pipes.read,
                stdout=self._stdout(),
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=[progress_to, report_to],
                env=_environment(report_to=report_to if self._program == "ffmpeg" else None),
                start_new_session=True,
            )
        except BaseException as error:
            os.close(self._progress)
            os.close(self._report)
            if isinstance(error, OSError):
                raise TransientError(f"{self._program} could not be started: {error}") from error
            raise
        finally:
            os.close(progress_to)
            os.close(report_to)

    def _stdout(self) -> int:
        if self._pipes.write is not None:
            return self._pipes.write
        return subprocess.PIPE if self._capture or self._sink else subprocess.DEVNULL

    def _launcher(self, command: Sequence[str]) -> list[str]:
        limits = (os.getpid(), self._limits.memory_bytes, self._limits.file_bytes)
        python = [sys.executable, "-I", "-S", str(_LAUNCHER)]
        return [*python, *map(str, limits), "--", *command]

    def attend(self, stop: Stop | None) -> bool:
        """Stay until it has ended, True if the job is to stop; raises when a limit is passed."""
        started = moved = time.monotonic()
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stderr, selectors.EVENT_READ, self._noise.take)
            selector.register(self._progress, selectors.EVENT_READ, self._advance)
            selector.register(self._report, selectors.EVENT_READ, self._decoded.take)
            if self._process.stdout is not None:
                selector.register(self._process.stdout, selectors.EVENT_READ, self._output)
            while True:
                # Asked before reading: what it wrote before it ended is read in this round or
                # a later one. The end of its pipes says nothing.
                gone = self._process.poll() is not None
                ready = selector.select(0 if gone else _TICK_SECONDS)
                if gone and not ready:
                    return False
                for key, _ in ready:
                    data = os.read(key.fd, _CHUNK)
                    key.data(data)
                    if not data:
                        selector.unregister(key.fd)
                if stop is not None and stop.requested:
                    return True
                now = time.monotonic()
                if self._meter.moved():
                    moved = now
                if now - started > self._limits.wall_seconds:
                    raise self._with_noise(
                        verdict.too_late(self._program, self._limits.wall_seconds)
                    )
                if self._program == "ffmpeg" and now - moved > self._limits.stall_seconds:
                    raise self._with_noise(
                        verdict.stalled(self._program, self._limits.stall_seconds)
                    )
                if not gone and not selector.get_map():
                    time.sleep(_TICK_SECONDS / 10)  # it has closed all its pipes and lives on

    def _output(self, data: bytes) -> None:
        self._meter.bytes += len(data)
        if not data:
            return
        if self._sink is not None:
            self._sink(data)
        if self._capture:
            self.captured += data
            if len(self.captured) > self._limits.capture_bytes:
                raise self._with_noise(verdict.too_large(self._program))

    def _advance(self, data: bytes) -> None:
        if self._meter.read(data) and self._tell is not None:
            self._tell(self._meter.seconds)

    def _with_noise(self, error: Error) -> Error:
        if self._noise.text.strip():
            error.add_note(f"the end of what {self._program} said:\n{self._noise.text[-4000:]}")
        return error

    def ask_to_end(self) -> None:
        """SIGTERM, and a moment to obey."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._limits.grace_seconds)

    def end(self) -> None:
        """Kill whatever is left of the group and bury the child."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._progress)
        os.close(self._report)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _signal(self, number: int) -> None:
        # The group's number is not given to another while any of it lives; if none does, the
        # number was free for microseconds and the kernel goes round all others first.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def may_not_open(self) -> str | None:
        """The decoder that it has ended for, because it is not on the allow-list."""
        found = re.search(r"Codec \((\w{1,40})\) not on whitelist", self._noise.text)
        return found[1] if found and self._process.returncode > 0 else None

    def raise_if_failed(self) -> None:
        """Judge the end: by the status, by what was counted, and by what the input is."""
        status = self._process.returncode
        failed = self._decoded.failed(self._pictures)
        if status == 0 and failed <= self._allowed:
            return
        said = self._noise.text
        # A file can be called anything, "No space left on device" too.
        for path in self._paths:
            said = said.replace(path, "FILE")
        error = verdict.judge(self._program, status, said)
        if isinstance(error, DamagedInput):
            # Versions of ffmpeg have different words for it; the file is the same.
            for source in filter(Path.is_file, self._inputs):
                try:
                    structure.look(source)
                except Rejected as exact:
                    raise exact from error
        raise error


def _environment(*, report_to: int | None = None) -> Mapping[str, str]:
    """What the program gets to know: where programs and fonts are, and no credentials.

    Args:
        report_to: file descriptor of a pipe that it writes a report to, beside standard error.
    """
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if report_to is not None:
        environ["FFREPORT"] = f"file=/dev/fd/{report_to}:level={_REPORT_LEVEL}"
    # Each malloc arena reserves 64 MB of the address space that is limited, one for each thread.
    return environ | {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "4", "AV_LOG_FORCE_NOCOLOR": "1"}
