"""The only place that starts ffmpeg and ffprobe.

Every run has these restrictions:

- No shell, no terminal, no standard input but a pipe of ours; inputs only as ``file:PATH`` or
  ``pipe:``, and only local protocols, known containers and known decoders: a playlist or a script
  is refused.
- Limits of wall time, of time without progress, of address space, of the size of each file
  written and of what is captured; no core dumps.
- A bare environment without credentials.
- A jail (``worker.subprocesses.jail``): it reads its inputs, libraries and fonts, writes to the
  folders of its outputs, opens no connection and starts no program.
- A process group of its own: SIGTERM and after a moment SIGKILL when the job is stopped; killed
  at once when a limit is passed, when the caller fails, and (Linux) when this process dies.
- Drained and bounded output: a damaged file makes a message for every frame of it.

The exit status determines the result of a run, then its messages. The words are those of 5.1 to
8.1, matched in order: libav says the cause before it says what came of it. Where words differ from
version to version the file decides: that it is cut off, a picture or a playlist is told by
``container``, never by a message.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import TypeVar

from worker.domain.errors import (
    ConfigurationError,
    DamagedInput,
    EngineError,
    LimitExceeded,
    PoisonInput,
    Reason,
    Rejected,
    SafelightError,
    Stopped,
    StorageFull,
    TransientError,
    UnsupportedInput,
)
from worker.job_context import Stop
from worker.subprocesses.child import Child, StderrText, bare_environment, reading, tell_missing
from worker.subprocesses.jail import SYSTEM, Jail
from worker.subprocesses.launch import tied_command
from worker.video import container

Error = TypeVar("Error", bound=Exception)

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30

_TICK_SECONDS = 0.1
_ERROR_RATE = "0.2"
"""Share of frames that may fail to decode; ffmpeg's own is two thirds, hardly a video any more."""
_MOST_OPENED = 8
_REPORT_LEVEL = 40
"""Of messages in the report, ``verbose``: the counts of decoded frames are among them."""


# --- limits -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLimits:
    """Resource limits of one run of ffmpeg or ffprobe. All are enforced from outside of it."""

    wall_seconds: float = 3600.0
    """From start to end, whatever progress it makes."""
    stall_seconds: float = 120.0
    """Longest time in which neither media time, frames nor bytes advance. ffmpeg only: raise it
    for filters that swallow most frames."""
    memory_bytes: int = 4 * GIBIBYTE
    """Address space, which is more than memory in use: threads and libraries reserve some."""
    file_bytes: int = 20 * GIBIBYTE
    """Size of any one file it writes."""
    capture_bytes: int = 64 * MEBIBYTE
    """Size of what is captured from its standard output."""
    grace_seconds: float = 3.0
    """Between SIGTERM and SIGKILL when the job is stopped."""


def for_file(
    path: Path, limits: ProgramLimits, *, bytes_per_second: float = 20_000.0
) -> ProgramLimits:
    """The limits with a wall time that follows from the size of a file on disk: 60 s and more.

    Args:
        path: the input; it must be there.
        limits: the upper bounds; the wall time is only ever made shorter.
        bytes_per_second: the slowest rate that is still work. The default allows a 1 Mbit/s
            video to be encoded at a sixth of its own speed.
    """
    return replace(
        limits,
        wall_seconds=min(limits.wall_seconds, 60 + path.stat().st_size / bytes_per_second),
    )


# --- running ------------------------------------------------------------------------------------


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
            :func:`input_url`), all of them before the first output; outputs as ``file:PATH``,
            ``pipe:1`` or ``-``. No other file can be opened. Put in by this function:
            ``-nostdin -hide_banner -y -loglevel -progress -max_error_rate`` and the allow-lists.
        limits: what it may use.
        stop: looked at ten times a second.
        progress: told the seconds of media written so far, about twice a second (ffmpeg only).
        capture: return what it writes to standard output.
        program: ``ffmpeg`` or ``ffprobe``.
        sink: gets standard output in chunks instead; what it raises ends the program.
        log: gets each line of standard error (at most 16 kB of each). Ask for more lines by
            ``-loglevel`` in the arguments.
        pipes: what it reads and writes as ``pipe:0`` and ``pipe:1`` beside another program.
        decoded: told how much of the inputs could be decoded.
        opened: decoders of audio and text beyond the allow-list that ffprobe opens and never uses:
            it ends where it may not open that of a track. Found out by this function.
        pictures: how many of the input are wanted. If fewer come, those whose packets were read
            count as failed.

    Returns:
        Standard output if ``capture``, else nothing.

    Raises:
        Rejected: the input is to blame (see :func:`judge`) or passed a limit.
        ConfigurationError: the program is not installed (``program_missing``).
        Stopped: ``stop`` asked for it.
        StorageFull: no space where it writes.
        TransientError: it was stopped from outside, or could not be started; ``reader_gone``:
            the reader of its output has ended.
        EngineError: the arguments are wrong, or an unknown exit status.
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
    with job.started(arguments, opened) as child:
        stopped = job.attend(child, stop)
        if stopped:
            child.terminate(limits.grace_seconds)
    if stopped:
        assert stop is not None
        stop.check()
        raise Stopped(f"{program} was stopped")
    unknown = job.forbidden_decoder(child)
    if program == "ffprobe" and unknown and unknown not in opened and len(opened) < _MOST_OPENED:
        given = {"capture": capture, "program": program, "sink": sink, "log": log}
        return run(arguments, limits=limits, stop=stop, opened=(*opened, unknown), **given)  # type: ignore[arg-type]
    job.raise_if_failed(child)
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
    """One run: its process, and what it tells of its work."""

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
        self._stderr = StderrText(head_bytes=_HEAD_BYTES, tail_bytes=_TAIL_BYTES, log=log)
        self._missing = StderrText()
        self._meter = ProgressMeter()
        self._decoded = decoded
        self._pictures = pictures
        self._allowed = 1.0
        self._paths: list[str] = []
        self._inputs: list[Path] = []
        self.captured = bytearray()

    @contextlib.contextmanager
    def started(self, arguments: Sequence[str], opened: Sequence[str]) -> Iterator[Child]:
        """The program while the block lasts; whatever is left of its group is killed."""
        self._paths = [word.removeprefix("file:") for word in arguments if word[:5] == "file:"]
        self._inputs = read_files(arguments)
        self._progress, progress_to = os.pipe()
        self._report, report_to = os.pipe()
        self._walls, walls_to = os.pipe()
        pipes = [
            (self._progress, progress_to),
            (self._report, report_to),
            (self._walls, walls_to),
        ]
        try:
            command = command_line(self._program, arguments, progress_to=progress_to, opened=opened)
        except BaseException:
            for descriptor in chain.from_iterable(pipes):
                os.close(descriptor)
            raise
        if self._program == "ffmpeg":
            self._allowed = float(command[command.index("-max_error_rate") + 1])
        child = Child(
            tied_command(
                command,
                memory_bytes=self._limits.memory_bytes,
                file_bytes=self._limits.file_bytes,
                jail=jail_of(command[0], arguments),
                walls_to=walls_to,
            ),
            environment=_environment(report_to=report_to if self._program == "ffmpeg" else None),
            stdin=subprocess.DEVNULL if self._pipes.read is None else self._pipes.read,
            stdout=self._stdout(),
            pipes=pipes,
        )
        try:
            yield child
        finally:
            child.end()

    def _stdout(self) -> int:
        if self._pipes.write is not None:
            return self._pipes.write
        return subprocess.PIPE if self._capture or self._sink else subprocess.DEVNULL

    def attend(self, child: Child, stop: Stop | None) -> bool:
        """Stay until it has ended, True if the job is to stop; raises when a limit is passed."""
        started = moved = time.monotonic()
        assert child.stderr is not None
        takers: dict[int, Callable[[bytes], None]] = {
            child.stderr: self._stderr.take,
            self._progress: self._advance,
            self._report: self._decoded.take,
            self._walls: self._missing.take,
        }
        if child.stdout is not None:
            takers[child.stdout] = self._output
        reads = {descriptor: reading(take) for descriptor, take in takers.items()}
        with contextlib.closing(child.serve(reads, pause=lambda: _TICK_SECONDS)) as rounds:
            for _ in rounds:
                if stop is not None and stop.requested:
                    return True
                now = time.monotonic()
                if self._meter.moved():
                    moved = now
                if now - started > self._limits.wall_seconds:
                    seconds = f"{self._limits.wall_seconds:.0f} s"
                    raise self._with_stderr(
                        _timed_out(self._program, f"was stopped after {seconds}")
                    )
                if self._program == "ffmpeg" and now - moved > self._limits.stall_seconds:
                    seconds = f"{self._limits.stall_seconds:.0f} s"
                    raise self._with_stderr(
                        _timed_out(self._program, f"made no progress for {seconds}")
                    )
        tell_missing(tuple(self._missing.text.splitlines()))
        return False

    def _output(self, data: bytes) -> None:
        self._meter.bytes += len(data)
        if not data:
            return
        if self._sink is not None:
            self._sink(data)
        if self._capture:
            self.captured += data
            if len(self.captured) > self._limits.capture_bytes:
                raise self._with_stderr(_too_large(self._program))

    def _advance(self, data: bytes) -> None:
        if self._meter.read(data) and self._tell is not None:
            self._tell(self._meter.seconds)

    def _with_stderr(self, error: Error) -> Error:
        if self._stderr.text.strip():
            error.add_note(f"the end of what {self._program} said:\n{self._stderr.text[-4000:]}")
        return error

    def forbidden_decoder(self, child: Child) -> str | None:
        """The decoder that it has ended for, because it is not on the allow-list."""
        found = re.search(r"Codec \((\w{1,40})\) not on whitelist", self._stderr.text)
        return found[1] if found and child.status > 0 else None

    def raise_if_failed(self, child: Child) -> None:
        """Judge the end: by the status, by what was counted, and by what the input is."""
        failed = self._decoded.failed(self._pictures)
        if child.status == 0 and failed <= self._allowed:
            return
        said = self._stderr.text
        # A file can be called anything, "No space left on device" too.
        for path in self._paths:
            said = said.replace(path, "FILE")
        error = judge(self._program, child.status, said)
        if isinstance(error, DamagedInput):
            # Versions of ffmpeg have different words for it; the file is the same.
            for source in filter(Path.is_file, self._inputs):
                try:
                    container.examine(source)
                except Rejected as exact:
                    raise exact from error
        raise error


def _environment(*, report_to: int | None = None) -> Mapping[str, str]:
    """The environment; ``report_to`` is a pipe that it writes a report to, beside stderr."""
    environ = bare_environment("FONTCONFIG_PATH")
    if report_to is not None:
        environ["FFREPORT"] = f"file=/dev/fd/{report_to}:level={_REPORT_LEVEL}"
    # Each malloc arena reserves 64 MB of the address space that is limited, one for each thread.
    return environ | {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "4", "AV_LOG_FORCE_NOCOLOR": "1"}


# --- what it may open ----------------------------------------------------------------------------
#
# The lists of demuxers keep out everything that opens other files (playlists, concat scripts, image
# sequences, DASH and HLS manifests, devices). Protocols are those of local files and pipes, so even
# a demuxer that follows a reference gets no further than the file itself.

PROTOCOLS = "file,pipe"

# Names of libavformat's demuxers; one name of a demuxer that has several is enough.
DEMUXERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,mxf,gxf,nut,ivf,dv,rm,wtv,"
    "h264,hevc,m4v,vc1,obu,av1,cavsvideo,dirac,h263,h261,yuv4mpegpipe,mjpeg,"
    "wav,w64,mp3,aac,flac,aiff,caf,au,ac3,eac3,dts,truehd,amr,ape,tta,wv,opus,"
    "srt,webvtt,ass"
)
_PCM = (
    "pcm_s8,pcm_s8_planar,pcm_u8,pcm_s16le,pcm_s16be,pcm_s16le_planar,pcm_s16be_planar,pcm_u16le,"
    "pcm_u16be,pcm_s24le,pcm_s24be,pcm_s24le_planar,pcm_s24daud,pcm_u24le,pcm_u24be,pcm_s32le,"
    "pcm_s32be,pcm_s32le_planar,pcm_u32le,pcm_u32be,pcm_s64le,pcm_s64be,pcm_f16le,pcm_f24le,"
    "pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,pcm_vidc,pcm_bluray,pcm_dvd,pcm_lxf"
)
# Decoders of cameras, phones, browsers, editing programs and discs; both names where a build may
# have a library instead. libavcodec has some 500; what is not needed is not exposed to uploads.
DECODERS = ",".join(
    (
        "h264,hevc,vvc,av1,libdav1d,libaom-av1,vp8,vp9,vp7,vp6,vp6a,vp6f,libvpx,libvpx-vp9,theora",
        "mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4,h261,h263,h263i,h263p",
        "flv,vc1,vc1image,wmv1,wmv2,wmv3,wmv3image,rv10,rv20,rv30,rv40,svq1,svq3,cinepak,indeo4",
        "indeo5,cavs,dirac,prores,dnxhd,cfhd,dvvideo,mjpeg,mjpegb,jpeg2000,libopenjpeg,png,bmp",
        "qtrle,rpza,smc,8bps,hap,ffv1,ffvhuff,huffyuv,utvideo,magicyuv,lagarith,rawvideo,v210",
        "v210x,v308,v408,v410,r210,y41p,yuv4,wrapped_avframe,zlib,tscc,flashsv,flashsv2,snow",
        "aac,aac_fixed,aac_latm,libfdk_aac,mp1,mp1float,mp2,mp2float,mp3,mp3float,mp3adu,mp3on4",
        "ac3,ac3_fixed,eac3,dca,truehd,mlp,opus,libopus,vorbis,libvorbis,flac,alac,ape,tta,wavpack",
        "wmav1,wmav2,wmapro,wmalossless,wmavoice,cook,ra_144,ra_288,sipr,amrnb,amrwb",
        "libopencore_amrnb,libopencore_amrwb,gsm,gsm_ms,libgsm,libgsm_ms,speex,libspeex,nellymoser",
        "qdm2,qdmc,mace3,mace6,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,s302m",
        "g722,adpcm_g722,g726,adpcm_g726,dss_sp",
        _PCM,
        "mov_text,text,subrip,srt,ass,ssa,webvtt,microdvd,sami,stl,eia_608,cc_dec,libzvbi_teletext",
        "dvbsub,dvdsub,pgssub,xsub",
    )
)
_LOOK_AHEAD = "600000000"
"""Microseconds of a file that may be read to find out what its tracks are; ffmpeg stops after 5
MB in any case, and where it knows all. Its own 5 s end before the second picture of slides, which
in a transport stream is where the first is known to be whole."""
_OTHER_NAMES = {"dca": "dts", "amrnb": "amr_nb", "amrwb": "amr_wb"}
CODECS = frozenset(_OTHER_NAMES.get(name, name) for name in DECODERS.split(","))
"""Allowed decoders, by ffprobe's names of codecs; external libraries have their own names."""


def guarded(arguments: Sequence[str], opened: Sequence[str] = ()) -> list[str]:
    """The arguments with the allow-lists before every ``-i``; all inputs come before any output.

    A demuxer named by the caller itself (``-f concat -i file:LIST``, ``-f lavfi -i anullsrc``) is
    the caller's own making and is allowed for that input. Of a recording that is cut off only what
    is whole is handed on: ffmpeg refuses all of it where the index of a fragment is not.

    Raises:
        EngineError: an input is not given as ``file:PATH`` or ``pipe:``; a defect of the caller.
    """
    result: list[str] = []
    forced = ""
    rest = iter(arguments)
    for argument in rest:
        if argument == "-f":
            forced = next(rest, "")
            result += [argument, forced]
        elif argument == "-i":
            source = next(rest, "")
            whole = source if forced else _whole(source)
            result += [] if forced else ["-analyzeduration", _LOOK_AHEAD]
            result += [*_lists(source, forced, whole), *_opened(opened), argument, whole]
            forced = ""
        else:
            result.append(argument)
    return result


def _whole(source: str) -> str:
    """An input without the box that is cut off at its end, if one is."""
    path = Path(source.removeprefix("file:"))
    end = _readable_bytes(path) if path.is_file() else None
    if end is None or end == path.stat().st_size or not source.startswith("file:"):
        return source
    return f"subfile,,start,0,end,{end},,:{source}"


def _readable_bytes(path: Path) -> int | None:
    """As ``container.readable_bytes``; the file is walked once, not at each start of ffmpeg."""
    found = path.stat()
    return _walked(path, found.st_size, found.st_mtime_ns, found.st_ino)


@lru_cache(maxsize=64)
def _walked(path: Path, _size: int, _changed: int, _number: int) -> int | None:
    return container.readable_bytes(path)


def _opened(names: Sequence[str]) -> list[str]:
    """More decoders of audio and text for the program itself; libavformat, which decodes what it
    needs to know of a track, keeps to the list without them."""
    if not names:
        return []
    more = ",".join((DECODERS, *names))
    return ["-codec_whitelist:a", more, "-codec_whitelist:s", more]


def _lists(source: str, forced: str, whole: str) -> list[str]:
    if forced == "lavfi":
        return []
    if not source.startswith(("file:", "pipe:")):
        raise EngineError(f"an input of ffmpeg must be file:PATH or pipe:, not {source!r}")
    demuxers = f"{DEMUXERS},{forced}" if forced else DEMUXERS
    protocols = PROTOCOLS if whole == source else f"{PROTOCOLS},subfile"
    lists = {"protocol": protocols, "format": demuxers, "codec": DECODERS}
    return [word for name, names in lists.items() for word in (f"-{name}_whitelist", names)]


def read_files(arguments: Sequence[str]) -> list[Path]:
    """The files that are read, without those of a demuxer that the caller names itself."""
    files: list[Path] = []
    forced = False
    for option, value in pairwise(arguments):
        if option == "-f":
            forced = True
        elif option == "-i":
            if value.startswith("file:") and not forced:
                files.append(Path(value.removeprefix("file:")))
            forced = False
    return files


def jail_of(program: str, arguments: Sequence[str]) -> Jail:
    """What a run may reach: its inputs, the folders of its outputs, and the program's libraries.

    Args:
        program: its path.
        arguments: as for :func:`run`.
    """
    named = [
        (option == "-i", value.removeprefix("file:"))
        for option, value in pairwise(("", *arguments))
        if value.startswith("file:")
    ]
    # A build of one's own has its libraries beside it, or where the environment says. One of
    # Homebrew has them in other packages of the same prefix.
    own = Path(program).resolve()
    prefix, cellar, _ = str(own).partition("/Cellar/")
    libraries = [str(own.parent / "../lib"), prefix if cellar else ""]
    libraries += os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return Jail(
        read=(*SYSTEM, *_PROCESSORS, *libraries, *(path for is_input, path in named if is_input)),
        write=sorted({os.path.dirname(path) for is_input, path in named if not is_input}),  # noqa: PTH120
    )


_PROCESSORS = (
    *("/sys/devices/system/cpu", "/sys/devices/system/node"),
    *("/proc/cpuinfo", "/proc/stat", "/proc/meminfo"),
)
"""The file that encoders read to choose their number of threads; if it is missing they use one
thread."""


# --- what it prints ------------------------------------------------------------------------------

_HEAD_BYTES = 8_000
_TAIL_BYTES = 16_000
_AHEAD = 64
"""Packets that may have been read and not yet decoded when ffmpeg has what it needs: its queue of
8, pictures that wait for their order (16) and those of each thread."""
_DECODED = re.compile(
    rb"Input stream #(\d+:\d+) .*: (\d+) packets read .*; "
    rb"(\d+) frames decoded(?: \(\d+ samples\))?; (?:(\d+) decode errors)?"
)


_FAULT = re.compile(
    rb"Error while decoding stream|Error submitting (?:a )?packet to decoder"
    rb"|corrupt decoded frame|concealing \d+ DC"
)
"""Of 5.1, of 7.0 and later, and of all; the last is of MPEG decoders, which fill in what they
cannot read. A seek into the middle of a video with open groups of pictures causes none of these."""


class ProgressMeter:
    """Progress of the work, from ``-progress`` and the output."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.bytes = 0
        self._rest = b""
        self._values: dict[bytes, bytes] = {}
        self._seen: tuple[object, ...] = ()

    def read(self, data: bytes) -> bool:
        """Take lines of ``key=value``; True when a whole report has come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        whole = False
        for line in lines:
            key, _, value = line.partition(b"=")
            self._values[key] = value.strip()
            whole = whole or key == b"progress"
        with contextlib.suppress(ValueError):  # N/A before the first packet
            self.seconds = max(0.0, int(self._values.get(b"out_time_us", b"N/A")) / 1e6)
        return whole

    def moved(self) -> bool:
        """Whether anything has advanced since last asked."""
        watched = (b"out_time_us", b"frame", b"total_size")
        now = (self.bytes, *(self._values.get(name) for name in watched))
        before, self._seen = self._seen, now
        return now != before


class Decoded:
    """How much of its inputs ffmpeg could decode, read from its report.

    ffmpeg 5.1 counts no errors there, and ends with status 69 where they are too many; 7.0, 7.1 and
    8.0 count them and end with 0; 8.1 does both. A file can put lines of its own into the report:
    ffmpeg's own come after them, at the end.
    """

    def __init__(self) -> None:
        self._line = b""
        self._counts: dict[bytes, tuple[int, int, int]] = {}
        self.faults = 0
        """Packets and frames that came out wrong or not at all, about."""

    def take(self, data: bytes) -> None:
        """More of the report; chunks may break anywhere."""
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_TAIL_BYTES]
        for line in lines:
            self.faults += _FAULT.search(line) is not None
            if found := _DECODED.search(line):
                self._counts[found[1]] = int(found[2]), int(found[3]), int(found[4] or 0)

    def failed(self, pictures: int | None = None) -> float:
        """Share of the frames that failed to decode, of the track where it is largest.

        Args:
            pictures: how many are wanted; if fewer come, packets that became neither a frame nor an
                error count as well. Decoders leave out silently what they cannot make sense of:
                dav1d zeroed data, HEVC of ffmpeg 8 all up to the next that needs no other.
                Where enough come, packets without one say nothing: an edit list leaves some out.
        """
        shares = [0.0]
        for packets, frames, errors in self._counts.values():
            if errors:
                shares.append(errors / (frames + errors))
            if pictures is not None and frames < pictures and packets > _AHEAD:
                shares.append(1 - frames / (packets - _AHEAD))
        return max(shares)


# --- what its end means --------------------------------------------------------------------------

_TOO_MANY_ERRORS = 69  # ffmpeg: more than -max_error_rate of the frames do not decode
_KILLED_BY_US = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

_WORDS: tuple[tuple[str, type[Rejected], Reason, str], ...] = (
    (
        r"not on whitelist '[^']*file,pipe",
        UnsupportedInput,
        Reason.UNSAFE_CONTENT,
        "it points at another file or a network address",
    ),
    (
        r"Format not on whitelist",
        UnsupportedInput,
        Reason.FORMAT_NOT_ALLOWED,
        "it is no video or audio file: pictures, playlists and scripts are not accepted here",
    ),
    (
        r"Codec \(.*\) not on whitelist|Decoder \(.*\) not found|Decoding requested, but no decoder"
        r"|not currently supported in container|Unsupported codec|Decoder not found"
        r"|No decoder could be found|Impossible to convert between the formats"
        r"|not implemented\. Update your FFmpeg|Unsupported (?:bit depth|pixel format|profile)"
        r"|(?:depth|profile|format|version|layout|sampling|compression).{0,40} not supported",
        UnsupportedInput,
        Reason.UNSUPPORTED_VARIANT,
        "it uses a coding that is not accepted",
    ),
    (
        r"moov atom not found|partial file|End of file|Invalid data found|Error while decoding"
        r"|Error submitting (?:a )?packet to decoder"
        r"|could not find codec parameters|Could not find codec parameters|error reading header"
        r"|Too many channels|Invalid (?:channel|sample|frame|pixel|codec|chunk|dimension)"
        r"|Invalid argument.*file:|Nothing was written into output",
        DamagedInput,
        Reason.CORRUPT,
        "it cannot be decoded",
    ),
)

_OUR_MISTAKES = r"Unrecognized option|Option .* not found|Failed to set value|Error setting option"


class MostlyDamaged(DamagedInput):
    """Too many frames could not be decoded. The other outputs are completed."""


def judge(program: str, status: int, said: str) -> SafelightError:
    """The error for a program that did not end well.

    Args:
        program: ``ffmpeg`` or ``ffprobe``, for the message.
        status: as ``Popen.returncode``: negative for a signal. 0 where too many frames failed to
            decode, which 7.0, 7.1 and 8.0 do not tell by their status.
        said: the beginning and end of its standard error.

    Returns:
        ``Rejected`` where the input is to blame, ``TransientError`` where the machine is,
        ``EngineError`` where we are; the end of what it said is a note on it.
    """
    error = _by_signal(program, -status) if status < 0 else _by_words(program, status, said)
    if said.strip():
        error.add_note(f"the end of what {program} said:\n{said[-4000:]}")
    return error


def _by_signal(program: str, number: int) -> SafelightError:
    if number == signal.SIGXFSZ:
        return _too_large(program)
    if number == signal.SIGKILL:  # not ours: the kernel's, when memory is short
        return _out_of_memory(program)
    if number in _KILLED_BY_US:
        return TransientError(f"{program} was stopped from outside")
    try:
        name = signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        name = f"signal {number}"
    return PoisonInput(Reason.CRASHED, f"{program} was ended by {name} on this input")


def _by_words(program: str, status: int, said: str) -> SafelightError:
    if "received signal" in said:
        return TransientError(f"{program} was stopped from outside")
    if "Broken pipe" in said:
        return TransientError(f"the reader of {program}'s output is gone", code="reader_gone")
    if "No space left on device" in said:
        return StorageFull(f"no space is left where {program} writes")
    if re.search(r"Cannot allocate memory|[Oo]ut of memory|bad_alloc|malloc.* failed", said):
        return _out_of_memory(program)
    if "File too large" in said:
        return _too_large(program)
    if match := re.search(
        r"Permission denied|No such file or directory|Read-only file system", said
    ):
        return EngineError(f"{program} was given a path it cannot use: {match[0]}")
    if status in (0, _TOO_MANY_ERRORS):
        return MostlyDamaged(Reason.CORRUPT, "too much of it cannot be decoded")
    for pattern, kind, reason, message in _WORDS:
        if re.search(pattern, said):
            named = re.search(r"Codec \(([\w.-]{1,40})\) not on whitelist", said)
            return kind(reason, f"{message}: {named[1]}" if named else message)
    if program == "ffprobe" and status == 1 and not re.search(_OUR_MISTAKES, said):
        # Runs differ only in the file.
        return DamagedInput(Reason.CORRUPT, "it cannot be read")
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "without a word")
    return EngineError(f"{program} ended with status {status}: {last[:300]}")


def _too_large(program: str) -> Rejected:
    """The input makes more output than any honest one would."""
    return LimitExceeded(Reason.TOO_LARGE_OUTPUT, f"{program} would write more than is allowed")


def _timed_out(program: str, what: str) -> Rejected:
    return PoisonInput(Reason.TIMED_OUT, f"{program} {what}")


def _out_of_memory(program: str) -> Rejected:
    return PoisonInput(Reason.OUT_OF_MEMORY, f"{program} ran out of memory on this input")
