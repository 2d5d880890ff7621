"""The jail: what a process in it can no longer do, what it still can, and where there is none."""

from __future__ import annotations

import ctypes
import inspect
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit import sandbox_targets as targets
from tests.unit.specimens import SPECIMENS, specimen
from tests.unit.video.samples import PICTURES, needs_ffmpeg
from worker.domain.errors import DamagedInput, EngineError, PoisonInput, Reason, SafelightError
from worker.domain.image import Encoding, Format, Recipe, RenditionSpec
from worker.subprocesses import jail, sandbox, sandbox_child
from worker.subprocesses.jail import Jail, landlock_version
from worker.subprocesses.launch import tied_command
from worker.subprocesses.sandbox import SandboxLimits, Warm, run
from worker.video import ffmpeg

ROOMY = SandboxLimits(cpu_seconds=60, wall_seconds=100, memory_bytes=1 << 30)


@cache
def no_walls() -> str:
    """Why there is no jail on this machine; nothing if there is one."""
    if sys.platform != "linux":
        return "only Linux has Landlock and seccomp"
    try:
        landlock_version(ctypes.CDLL(None, use_errno=True))
        ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        return f"this machine has no Landlock or no libseccomp: {error}"
    return ""


walled = pytest.mark.skipif("no_walls()", reason=no_walls())


@walled
def test_nothing_outside_can_be_reached(tmp_path: Path) -> None:
    """The kernel refuses files, sockets, programs, other processes and other identities, and what
    was there is unchanged."""
    (tmp_path / "secret").write_bytes(b"unread")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        said = run(targets.tries, tmp_path, limits=ROOMY)
    assert {
        name: answer for name, answer in said.items() if answer not in ("EACCES", "EPERM")
    } == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret", "socket"]
    assert (tmp_path / "secret").read_bytes() == b"unread"


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has such a flag")
@pytest.mark.parametrize(
    "child", ["worker.subprocesses.sandbox_child", "tests.unit.unjailed_child"]
)
def test_no_privileges_are_gained(monkeypatch: pytest.MonkeyPatch, child: str) -> None:
    """No program that it starts gains rights, with walls and without."""
    monkeypatch.setattr(sandbox, "_CHILD", child)
    assert run(targets.no_new_privileges, limits=ROOMY) == "1"


def test_what_a_decoder_needs() -> None:
    """It has a temporary folder, threads and the standard library."""
    assert run(targets.uses_its_own, limits=ROOMY) == "pixels wave True"


def test_every_format_gives_the_same_bytes() -> None:
    """A picture of every format is decoded and encoded as outside of the jail."""
    names = {name.partition("-")[0]: name for name in reversed(SPECIMENS)}
    pictures = {names[kind]: specimen(names[kind]) for kind in Format}
    size = RenditionSpec(
        name="it",
        width=64,
        height=64,
        encodings=tuple(Encoding(format=one) for one in (Format.JPEG, Format.PNG, Format.WEBP)),
    )
    recipe = Recipe(name="test", version=1, renditions=(size,), formats=frozenset(Format))
    made = run(targets.digests, pictures, recipe, limits=ROOMY)
    assert made == targets.digests(pictures, recipe)
    assert all(len(file) == 64 for files in made.values() for file in files)


@pytest.mark.parametrize("checkout", [False, True])
def test_what_lies_beside_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, checkout: bool
) -> None:
    """Beside an installed package lie others, which are read; beside a checkout may be secrets."""
    if checkout:
        (tmp_path / "pyproject.toml").touch()
    file = tmp_path / "worker" / "subprocesses" / "sandbox_child.py"
    monkeypatch.setattr(sandbox_child, "__file__", str(file))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert (str(tmp_path) in sandbox_child.decoder_jail().read) == (not checkout)
    assert str(tmp_path / "worker") in sandbox_child.decoder_jail().read


def test_temporary_folder_goes_with_the_call() -> None:
    """The child's temporary folder and its files are removed."""
    folder = Path(run(targets.temporary_folder, limits=ROOMY))
    assert not folder.exists()
    assert folder.parent.exists()


def test_work_goes_on_without_walls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses both walls the call works as before, and files can be read."""
    (tmp_path / "secret").write_bytes(b"read")
    monkeypatch.setattr(sandbox, "_CHILD", "tests.unit.unjailed_child")
    assert run(targets.add, 40, 2, limits=ROOMY) == 42
    assert run(targets.length_of, tmp_path / "secret", limits=ROOMY) == 4


@pytest.fixture
def warm() -> Iterator[Warm]:
    """Children that stay, of the tests' own functions."""
    children = Warm(("tests.unit.sandbox_targets", "get_ready"))
    yield children
    children.close()


class TestChildrenThatStay:
    """A child that serves one call after another."""

    def test_one_child_serves_many_calls(self, warm: Warm) -> None:
        """Calls, rejections between them too, are served by one process."""
        first = warm.run(targets.process_id, limits=ROOMY)
        with pytest.raises(DamagedInput, match="ends early"):
            warm.run(targets.raise_damaged, limits=ROOMY)
        assert warm.run(targets.length, b"\0" * 3_000_000, limits=ROOMY) == 3_000_000
        assert warm.run(targets.process_id, limits=ROOMY) == first

    @walled
    def test_it_is_locked_in(self, warm: Warm, tmp_path: Path) -> None:
        """It reaches nothing outside, as a fresh one does not."""
        (tmp_path / "secret").write_bytes(b"unread")
        said = warm.run(targets.tries, tmp_path, limits=ROOMY)
        assert set(said.values()) <= {"EACCES", "EPERM"}

    @pytest.mark.parametrize("function", [targets.segfault, targets.raise_value_error])
    def test_an_odd_ending_is_judged_by_a_fresh_child(
        self, warm: Warm, function: Callable[[], None]
    ) -> None:
        """A crash or a defect ends the child; a fresh one repeats the call and gives the error."""
        first = warm.run(targets.process_id, limits=ROOMY)
        with pytest.raises((PoisonInput, EngineError)):
            warm.run(function, limits=ROOMY)
        assert warm.run(targets.process_id, limits=ROOMY) != first

    def test_an_answer_that_is_not_data_is_judged_by_a_fresh_child(self, warm: Warm) -> None:
        """A child that stays sends a wrong field unchecked; a fresh one tells what is wrong."""
        with pytest.raises(EngineError, match="not as annotated"):
            warm.run(targets.untrue, limits=ROOMY)

    def test_what_one_picture_broke_is_not_the_next_ones_fault(self, warm: Warm) -> None:
        """A call that fails in this child alone succeeds in the fresh one."""
        warm.run(targets.break_this_process, limits=ROOMY)
        assert warm.run(targets.works_in_a_whole_process, limits=ROOMY) == "whole"

    def test_a_late_call_is_not_repeated(self, warm: Warm) -> None:
        """A call that is late is ended, and the next one has another child."""
        warm.run(targets.add, 1, 1, limits=ROOMY)
        late = SandboxLimits(cpu_seconds=60, wall_seconds=0.3, memory_bytes=1 << 30)
        with pytest.raises(PoisonInput) as caught:
            warm.run(targets.wait_for_ever, limits=late)
        assert caught.value.reason is Reason.TIMED_OUT
        assert warm.run(targets.add, 1, 1, limits=ROOMY) == 2

    @pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux limits address space")
    def test_memory_is_limited(self, warm: Warm) -> None:
        """Memory beyond the limit is refused."""
        with pytest.raises(PoisonInput) as caught:
            warm.run(targets.allocate, 2_000_000_000, limits=ROOMY)
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    def test_it_ends_with_its_parent(self, tmp_path: Path) -> None:
        """A child that is in the middle of a call ends when the process that asked is killed."""
        code = "from tests.unit.sandbox_targets import warm_hold as f; import sys; f(sys.argv[1])"
        fifo = tmp_path / "alive"
        os.mkfifo(fifo)
        root = Path(__file__).parents[2]
        command = [sys.executable, "-c", code, str(fifo)]
        with subprocess.Popen(command, cwd=root) as parent, fifo.open("rb") as reader:
            assert reader.read(1) == b"x"
            parent.kill()
            assert reader.read() == b""

    def test_what_is_missing_is_logged_once(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where the kernel refuses the walls a process says so, once, and work goes on."""
        monkeypatch.setattr(sandbox, "_CHILD", "tests.unit.unjailed_child")
        for _ in range(2):
            warm = Warm(("tests.unit.sandbox_targets", "get_ready"))
            assert warm.run(targets.add, 1, 1, limits=ROOMY) == 2
            warm.close()
        said = [one.message for one in caplog.records]
        assert said == ["decoders are not locked in entirely: landlock: refused; seccomp: refused"]


# --- programs ------------------------------------------------------------------------------------


@walled
def test_a_program_reaches_nothing_outside(tmp_path: Path) -> None:
    """A program that was started in the jail meets the walls that a decoder of pictures meets."""
    (tmp_path / "secret").write_bytes(b"unread")
    prelude = (
        "import ctypes, errno, json, os, resource, socket, subprocess, sys\n"
        "from collections.abc import Callable\nfrom pathlib import Path\n"
        # It may become itself again: it stays in the jail.
        "sys.executable = '/bin/sh'\n"
    )
    functions = inspect.getsource(targets.tries) + inspect.getsource(targets._call)
    code = f"{prelude}{functions}print('\\n'.join(map(' '.join, tries(Path(sys.argv[1])).items())))"
    own = str(Path(sys.executable).resolve())
    read = (*jail.SYSTEM, sys.base_prefix)
    missing, walls_to = os.pipe()
    with os.fdopen(missing) as missed:
        command = tied_command(
            [own, "-I", "-S", "-c", code, str(tmp_path)], jail=Jail(read=read), walls_to=walls_to
        )
        done = subprocess.run(
            command, pass_fds=[walls_to], capture_output=True, text=True, check=True
        )
        os.close(walls_to)
        assert missed.read() == ""
    said = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert len(said) > 15
    assert {n: answer for n, answer in said.items() if answer not in ("EACCES", "EPERM")} == {}
    assert (tmp_path / "secret").read_bytes() == b"unread"


FFMPEG_LIMITS = ffmpeg.ProgramLimits(wall_seconds=60)
WORDS = ("-c:v", "mpeg2video", "-f", "mpegts")


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A video that ffmpeg has made in a folder of its own."""
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / "video.ts"
    ffmpeg.run([*PICTURES, *WORDS, ffmpeg.input_url(path)], limits=FFMPEG_LIMITS)
    return path


@walled
@needs_ffmpeg
@pytest.mark.parametrize("attempt", ["read", "write", "connect"])
def test_ffmpeg_reaches_its_input_and_its_output_alone(
    footage: Path, tmp_path: Path, attempt: str
) -> None:
    """It reads no other file, writes nowhere else and connects to nobody, though it is told to."""
    secret = tmp_path / "secret.ts"
    shutil.copy(footage, secret)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        words = {
            "read": ["-vf", f"movie={secret}", "-f", "null", "-"],
            "write": [*WORDS, str(tmp_path / "new.ts")],
            "connect": [*WORDS, f"tcp://127.0.0.1:{server.getsockname()[1]}"],
        }[attempt]
        with pytest.raises(SafelightError) as caught:
            ffmpeg.run(["-i", ffmpeg.input_url(footage), *words], limits=FFMPEG_LIMITS)
        with pytest.raises(BlockingIOError):
            server.accept()
    said = "".join(caught.value.__notes__)
    assert ("Operation not permitted" if attempt == "connect" else "Permission denied") in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "secret.ts"]


@needs_ffmpeg
def test_a_script_instead_of_ffmpeg_works_and_is_told_of(
    footage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A program that cannot run in the jail runs without it, and the log says so once."""
    script = tmp_path / "ffmpeg"
    script.write_text(f'#!/bin/sh\nexec {shutil.which("ffmpeg")} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    words = ["-i", ffmpeg.input_url(footage), *WORDS, ffmpeg.input_url(tmp_path / "copy.ts")]
    for _ in range(2):
        ffmpeg.run(words, limits=FFMPEG_LIMITS)
    assert (tmp_path / "copy.ts").stat().st_size > 10_000
    said = [one.message for one in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("decoders are not locked in entirely: ")


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has such a flag")
@pytest.mark.parametrize(("hidden", "answer"), [(False, "done"), (True, "EACCES")])
def test_a_process_hides_its_credentials_from_its_user(answer: str, *, hidden: bool) -> None:
    """Another process of the same user reads environment and memory of one that does not hide."""
    # What root may read proves nothing; who changes its user is hidden until it says otherwise.
    code = f"""
import errno
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
if {hidden}:
    hide()
if os.fork() == 0:
    for name in ("environ", "mem"):
        try:
            os.close(os.open(f"/proc/{{os.getppid()}}/{{name}}", os.O_RDONLY))
            print("done", flush=True)
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)
    os._exit(0)
os.wait()
"""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", Path(jail.__file__).read_text("utf-8") + code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == [answer, answer]
