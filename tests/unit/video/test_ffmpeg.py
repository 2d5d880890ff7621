"""Tests of the one place that starts ffmpeg."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.video.samples import H264, PICTURES, clip, make, needs_ffmpeg
from worker.domain.errors import (
    ConfigurationError,
    DamagedInput,
    EngineError,
    LimitExceeded,
    PoisonInput,
    Reason,
    Rejected,
    Stopped,
    StorageFull,
    TransientError,
    UnsupportedInput,
)
from worker.job_context import Stop
from worker.video.ffmpeg import (
    Decoded,
    ProgramLimits,
    command_line,
    for_file,
    guarded,
    input_url,
    judge,
    read_files,
    run,
)
from worker.video.probe import VideoLimits

LIMITS = ProgramLimits(wall_seconds=60)
FOR_EVER = ("-re", "-f", "lavfi", "-i", "testsrc2=size=32x32", "-f", "null", "-")


# --- command lines ------------------------------------------------------------------------------


def test_every_input_gets_the_allow_lists() -> None:
    """Protocols, demuxers and decoders are limited for each input by itself."""
    words = guarded(["-i", "file:/a", "-ss", "1", "-i", "file:/b", "-c", "copy", "/out.mp4"])
    for url in ("file:/a", "file:/b"):
        at = words.index(url)
        assert words[at - 7 : at - 6] == ["-protocol_whitelist"]
        assert words[at - 6] == "file,pipe"
        assert words[at - 5] == "-format_whitelist"
        assert words[at - 3] == "-codec_whitelist"
        assert "hls" not in words[at - 4].split(",")
        assert "concat" not in words[at - 4].split(",")


def test_a_demuxer_of_the_callers_own_is_allowed_for_its_input_only() -> None:
    """A list of our own parts may be joined; the next input is as limited as ever."""
    words = guarded(["-f", "concat", "-i", "file:/list", "-i", "file:/b", "/out.mp4"])
    lists = [words[at + 1] for at, word in enumerate(words) if word == "-format_whitelist"]
    assert [("concat" in each.split(",")) for each in lists] == [True, False]


@pytest.mark.parametrize("source", ["/plain/path", "http://host/x", "-", "concat:a|b", ""])
def test_an_input_that_is_not_a_file_is_a_defect(source: str) -> None:
    """A caller that forgets file: is told at once, whatever the path looks like."""
    with pytest.raises(EngineError, match="file:PATH"):
        guarded(["-i", source, "-f", "null", "-"])


def test_a_path_can_be_no_option_and_no_protocol(tmp_path: Path) -> None:
    """The name of a file is only ever a name."""
    assert input_url(tmp_path / "http:x") == f"file:{tmp_path}/http:x"
    assert input_url(Path("-y.mp4")).startswith("file:/")


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="apt install ffmpeg") as caught:
        command_line("ffmpeg", [], progress_to=None)
    assert caught.value.code == "program_missing"


# --- running ------------------------------------------------------------------------------------


@needs_ffmpeg
def test_progress_and_capture(tmp_path: Path) -> None:
    """The media time written is told, and standard output comes back whole."""
    footage = tmp_path / "video.mp4"
    footage.write_bytes(clip())
    told: list[float] = []
    data = run(
        ["-i", input_url(footage), "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1"],
        limits=LIMITS,
        capture=True,
        progress=told.append,
    )
    assert len(data) == 50 * 160 * 90
    assert told[-1] == pytest.approx(2.0, abs=0.1)


@needs_ffmpeg
def test_a_sink_gets_output_in_pieces() -> None:
    """Much output needs little memory."""
    sizes: list[int] = []
    words = [*PICTURES, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    assert run(words, limits=LIMITS, sink=lambda data: sizes.append(len(data))) == b""
    assert sum(sizes) == 50 * 160 * 90 * 3
    assert max(sizes) <= 1 << 16


@needs_ffmpeg
def test_what_a_sink_raises_ends_the_program() -> None:
    """A caller that has seen enough is not made to wait."""

    def refuse(data: bytes) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        run([*FOR_EVER[:-3], "-f", "rawvideo", "pipe:1"], limits=LIMITS, sink=refuse)


@needs_ffmpeg
def test_lines_of_the_log_can_be_had() -> None:
    """Filters that report in the log can be read."""
    lines: list[str] = []
    run(
        ["-loglevel", "info", *PICTURES, "-vf", "showinfo", "-f", "null", "-"],
        limits=LIMITS,
        log=lines.append,
    )
    assert sum("pts_time" in line for line in lines) == 50


@needs_ffmpeg
def test_the_wall_clock_ends_it() -> None:
    """A program that would run for ever is killed, with a verdict."""
    with pytest.raises(PoisonInput) as caught:
        run(FOR_EVER, limits=ProgramLimits(wall_seconds=0.5))
    assert caught.value.reason is Reason.TIMED_OUT


@needs_ffmpeg
def test_no_progress_ends_it(tmp_path: Path) -> None:
    """A program that waits for what never comes is killed long before its time is over."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(PoisonInput, match="no progress") as caught:
        run(
            ["-i", input_url(fifo), "-f", "null", "-"],
            limits=ProgramLimits(wall_seconds=60, stall_seconds=0.5),
        )
    assert caught.value.reason is Reason.TIMED_OUT


@needs_ffmpeg
def test_a_file_over_its_size_ends_it(tmp_path: Path) -> None:
    """No input makes an output larger than is allowed."""
    with pytest.raises(LimitExceeded) as caught:
        run(
            [*PICTURES, "-f", "rawvideo", input_url(tmp_path / "out.raw")],
            limits=ProgramLimits(wall_seconds=60, file_bytes=100_000),
        )
    assert caught.value.reason is Reason.TOO_LARGE_OUTPUT
    assert (tmp_path / "out.raw").stat().st_size <= 100_000


@needs_ffmpeg
def test_captured_output_is_bounded() -> None:
    """Nor does one fill our memory."""
    with pytest.raises(LimitExceeded):
        run(
            [*PICTURES, "-f", "rawvideo", "pipe:1"],
            limits=ProgramLimits(wall_seconds=60, capture_bytes=100_000),
            capture=True,
        )


@needs_ffmpeg
@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux only")
def test_memory_is_limited() -> None:
    """A frame that needs more memory than there is ends in a verdict."""
    with pytest.raises(PoisonInput) as caught:
        run(
            [*PICTURES, "-vf", "scale=16000:16000,format=gbrap", "-f", "null", "-"],
            limits=ProgramLimits(wall_seconds=60, memory_bytes=700 << 20),
        )
    assert caught.value.reason is Reason.OUT_OF_MEMORY


@needs_ffmpeg
def test_a_stop_ends_it_at_once() -> None:
    """The job's own error comes out, and no program is left behind."""
    switch = Stop()
    told = threading.Event()

    def flip(seconds: float) -> None:
        told.set()
        switch.request("stopped by a test")

    with pytest.raises(Stopped, match="by a test"):
        run(FOR_EVER, limits=LIMITS, stop=switch, progress=flip)
    assert told.is_set()


@needs_ffmpeg
def test_credentials_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's environment has nothing of ours in it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    from worker.video import ffmpeg

    environ = ffmpeg._environment()
    assert "AWS_SECRET_ACCESS_KEY" not in environ
    assert "PATH" in environ


_ORPHAN = """
    import sys
    from worker.video.ffmpeg import ProgramLimits, run

    def told(seconds):
        print("running", flush=True)

    run({words!r}, limits=ProgramLimits(wall_seconds=60), progress=told)
"""


@needs_ffmpeg
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """A worker that is killed leaves no encoder behind."""
    words = [*FOR_EVER[:-3], "-f", "rawvideo", input_url(tmp_path / "out.raw")]
    script = textwrap.dedent(_ORPHAN).format(words=words)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"running\n"
    children = _children(parent.pid)
    assert children
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _until(lambda: not any(_alive(pid) for pid in children))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(500):
        if happened():
            return
        pause.wait(0.02)
    raise AssertionError("it never happened")


@needs_ffmpeg
@pytest.mark.parametrize(
    "name", ["No space left on device.mp4", "Permission denied", "received signal"]
)
def test_the_name_of_a_file_is_no_word_of_the_programs(name: str, tmp_path: Path) -> None:
    """The error does not depend on the name of the file."""
    footage = tmp_path / name
    footage.write_bytes(clip()[:5000])
    with pytest.raises(Rejected) as caught:
        run(["-i", input_url(footage), "-f", "null", "-"], limits=LIMITS)
    assert caught.value.code == "truncated"


def test_files_that_are_read() -> None:
    """Not those of a demuxer that the caller names, nor what is written."""
    words = ["-i", "file:/a", "-f", "concat", "-i", "file:/list", "-i", "file:/b", "-f", "mp4"]
    assert read_files([*words, "file:/out"]) == [Path("/a"), Path("/b")]


# --- what endings mean --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said", "kind", "code"),
    [
        (-signal.SIGSEGV, "", PoisonInput, "decoder_crashed"),
        (-signal.SIGKILL, "", PoisonInput, "out_of_memory"),
        (-signal.SIGTERM, "", TransientError, "transient"),
        (-signal.SIGXFSZ, "", LimitExceeded, "too_large_output"),
        (255, "Exiting normally, received signal 15.", TransientError, "transient"),
        (1, "av_interleaved_write_frame(): No space left on device", StorageFull, "storage_full"),
        (1, "x: Cannot allocate memory", PoisonInput, "out_of_memory"),
        (69, "", DamagedInput, "corrupt"),
        (0, "", DamagedInput, "corrupt"),
        (1, "[mov] moov atom not found\nInvalid data found", DamagedInput, "corrupt"),
        (1, "[hls @ 0x1] Format not on whitelist 'mov'", UnsupportedInput, "format_not_allowed"),
        (
            1,
            "[file @ 0x1] Protocol 'http' not on whitelist 'file,pipe'!",
            UnsupportedInput,
            "unsafe_content",
        ),
        (1, "Decoder (codec none) not found", UnsupportedInput, "unsupported_variant"),
        (1, "Impossible to convert between the formats", UnsupportedInput, "unsupported_variant"),
        (1, "Error while decoding\n/out: Permission denied", EngineError, "engine_failed"),
        (1, "[pcm] Too many channels: 60000", DamagedInput, "corrupt"),
        (1, "Unrecognized option 'wrong'", EngineError, "engine_failed"),
        (1, "", EngineError, "engine_failed"),
    ],
)
def test_every_ending_has_a_code(status: int, said: str, kind: type[Exception], code: str) -> None:
    """Signals and words are mapped to what they mean for the job."""
    error = judge("ffmpeg", status, said)
    assert isinstance(error, kind)
    assert error.code == code


def test_ffprobe_fails_by_its_input_only() -> None:
    """Its arguments are always the same, so words nobody has listed are about the file."""
    assert judge("ffprobe", 1, "something new").code == "corrupt"
    assert judge("ffprobe", 1, "Unrecognized option 'wrong'").code == "engine_failed"
    assert judge("ffprobe", 127, "error while loading libraries").code == "engine_failed"


# --- limits -------------------------------------------------------------------------------------


def test_time_follows_from_bytes_on_disk(tmp_path: Path) -> None:
    """A small file gets little time whatever it claims; a large one no more than the most."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(20_000))
    with large.open("wb") as file:
        file.truncate(10 << 30)
    assert for_file(small, ProgramLimits()).wall_seconds == 61
    assert for_file(large, ProgramLimits(wall_seconds=5000)).wall_seconds == 5000


def test_the_limits_of_a_probe_are_those_of_a_reader() -> None:
    """Reading a header writes nothing to speak of."""
    assert VideoLimits().probe.file_bytes <= 1 << 20


def test_rejections_are_not_tried_again() -> None:
    """An error caused by the input is not retried."""
    assert not judge("ffmpeg", 69, "").retryable
    assert isinstance(judge("ffmpeg", 69, ""), Rejected)


# --- what it decoded ----------------------------------------------------------------------------


@needs_ffmpeg
@pytest.mark.parametrize("title", ["decode errors", "input stream"])
def test_what_a_video_says_of_itself_is_not_counted(title: str, tmp_path: Path) -> None:
    """A title that looks like ffmpeg's own count of what it decoded makes no damage."""
    said = "\n  Input stream #0:0 (video): 9 packets read (9 bytes); "
    said += "1 frames decoded; 8 decode errors; "
    footage = tmp_path / "video.mp4"
    footage.write_bytes(make("mp4", *PICTURES, *H264, "-metadata", f"title={title}{said}"))
    run(["-i", input_url(footage), "-f", "null", "-"], limits=LIMITS)


def test_counts_of_what_was_decoded() -> None:
    """In the words of 5.1, which counts no errors, and of 7.1; in pieces, the last line counts."""
    counted = Decoded()
    counted.take(
        b"  Input stream #0:0 (video): 50 packets read (79084 bytes); 20 frames decoded; \n"
    )
    assert counted.failed() == 0
    counted.take(b"[in#0/mov @ 0x5]   Input stream #0:1 (audio): 9 packets read (99 bytes); ")
    counted.take(b"30 frames decoded (30720 samples); 10 decode errors; \n")
    assert counted.failed() == 0.25
    counted.take(b"[in#0/mov @ 0x5]   Input stream #0:0 (video): 50 packets read (79084 bytes); ")
    counted.take(b"0 frames decoded; 50 decode errors; \n  Total: 1 packets demuxed\n")
    assert counted.failed() == 1


def test_packets_that_come_to_nothing_are_counted() -> None:
    """Where fewer pictures come than are wanted; what was only read ahead does not count."""
    counted = Decoded()
    counted.take(b"  Input stream #0:0 (video): 264 packets read (9 bytes); 50 frames decoded; \n")
    assert counted.failed() == 0
    assert counted.failed(300) == 0.75
    assert counted.failed(51) == 0.75
    assert counted.failed(50) == 0
    counted.take(b"  Input stream #0:0 (video): 64 packets read (9 bytes); 1 frames decoded; \n")
    assert counted.failed(100) == 0
