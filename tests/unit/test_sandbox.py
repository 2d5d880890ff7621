"""The sandbox: what comes back, what a broken child turns into, what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.unit import sandbox_targets as targets
from tests.unit.pictures import encoded, quadrants
from worker.domain.errors import (
    DamagedInput,
    EngineError,
    PoisonInput,
    Reason,
    RecipeError,
    SafelightError,
    StorageFull,
    TransientError,
)
from worker.imaging.engine import process
from worker.recipes import load
from worker.subprocesses import sandbox
from worker.subprocesses.sandbox import ChildTraceback, SandboxLimits, run

ROOMY = SandboxLimits(cpu_seconds=60, wall_seconds=100, memory_bytes=1 << 30)


def limits(
    *,
    cpu: float = 60,
    wall: float = 100,
    memory: int = 1 << 30,
    file: int = 1 << 30,
    reply: int = 1 << 28,
) -> SandboxLimits:
    """Roomy limits but for those given."""
    return SandboxLimits(
        cpu_seconds=cpu, wall_seconds=wall, memory_bytes=memory, file_bytes=file, reply_bytes=reply
    )


class TestWhatComesBack:
    """Results and errors of functions that end by themselves."""

    def test_result(self) -> None:
        """A function's result comes back."""
        assert run(targets.add, 2, 40, limits=ROOMY) == 42

    def test_large_values_both_ways(self) -> None:
        """Model values with 20 MB of bytes, and arguments far larger than a pipe, arrive whole."""
        size = 20_000_000
        assert run(targets.length, b"\x00" * size, limits=ROOMY) == size
        assert run(targets.big_rendition, size, limits=ROOMY) == targets.big_rendition(size)

    def test_rejection_passes_through(self) -> None:
        """A rejection inside is the same rejection outside."""
        with pytest.raises(DamagedInput) as caught:
            run(targets.raise_damaged, limits=ROOMY)
        assert caught.value.reason is Reason.TRUNCATED
        assert caught.value.code == "truncated"
        assert str(caught.value) == caught.value.message == "the file ends early"

    def test_error_with_a_list_passes_through(self) -> None:
        """An error that carries values keeps them."""
        with pytest.raises(RecipeError) as caught:
            run(targets.raise_problems, limits=ROOMY)
        assert [str(problem) for problem in caught.value.problems] == ["a.b: is wrong", "is empty"]

    def test_retryable_error_passes_through(self) -> None:
        """An error that may go away stays retryable."""
        with pytest.raises(StorageFull) as caught:
            run(targets.raise_transient, limits=ROOMY)
        assert caught.value.retryable

    def test_defect_is_an_engine_error(self) -> None:
        """Any other exception is a defect of ours, with the child's traceback as its cause."""
        with pytest.raises(EngineError, match="ValueError: seven is not a colour") as caught:
            run(targets.raise_value_error, limits=ROOMY)
        assert isinstance(caught.value.__cause__, ChildTraceback)
        assert "raise_value_error" in str(caught.value.__cause__)

    def test_system_exit_is_an_engine_error(self) -> None:
        """A function has no say over the process."""
        with pytest.raises(EngineError, match="SystemExit"):
            run(targets.exit_politely, limits=ROOMY)

    @pytest.mark.parametrize("function", [targets.private, targets.untrue])
    def test_results_that_are_not_data(self, function: Callable[[], object]) -> None:
        """A type that may not be named, or a field against its annotation, is a defect."""
        with pytest.raises(EngineError, match=r"cannot return|not as annotated"):
            run(function, limits=ROOMY)

    def test_functions_without_a_name(self) -> None:
        """A function that cannot be imported by name is refused."""
        with pytest.raises(EngineError, match="cannot be sent"):
            run(lambda: 1, limits=ROOMY)

    def test_noise_does_not_reach_the_answer(self) -> None:
        """Printing, at any level and in any amount, changes nothing."""
        assert run(targets.print_junk, 100_000, limits=ROOMY) == "clean"


class TestHowItDies:
    """Endings without an answer and the codes they get."""

    def test_segfault(self) -> None:
        """A real read of address zero is a crash."""
        with pytest.raises(PoisonInput, match="segfault was ended by SIGSEGV") as caught:
            run(targets.segfault, limits=ROOMY)
        assert caught.value.reason is Reason.CRASHED
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("number", "reason"),
        [
            (signal.SIGABRT, Reason.CRASHED),
            (signal.SIGBUS, Reason.CRASHED),
            (signal.SIGILL, Reason.CRASHED),
            (signal.SIGFPE, Reason.CRASHED),
            (signal.SIGTRAP, Reason.CRASHED),
            (signal.SIGKILL, Reason.OUT_OF_MEMORY),
            (signal.SIGXCPU, Reason.TIMED_OUT),
            (signal.SIGALRM, Reason.TIMED_OUT),
        ],
    )
    def test_signals(self, number: signal.Signals, reason: Reason) -> None:
        """Each signal has its meaning; SIGKILL out of the blue is the kernel short of memory."""
        with pytest.raises(PoisonInput) as caught:
            run(targets.die_of, number, limits=ROOMY)
        assert caught.value.reason is reason

    def test_stopped_from_outside(self) -> None:
        """SIGTERM says nothing about the input: the call may be made again."""
        with pytest.raises(TransientError, match="SIGTERM"):
            run(targets.die_of, signal.SIGTERM, limits=ROOMY)

    def test_vanished(self) -> None:
        """A child that ends well but without an answer has crashed."""
        with pytest.raises(PoisonInput) as caught:
            run(targets.vanish, limits=ROOMY)
        assert caught.value.reason is Reason.CRASHED

    def test_last_words(self) -> None:
        """The end of what a child printed is a note on the error, the beginning is let go."""
        with pytest.raises(PoisonInput) as caught:
            run(targets.junk_then_crash, limits=ROOMY)
        (note,) = caught.value.__notes__
        assert "the last words" in note
        assert "early" not in note
        assert len(note) < 20_000

    @pytest.mark.parametrize(
        "text",
        [
            "GLib-ERROR: failed to allocate 99 bytes",
            "std::bad_alloc",
            "Out of memory",
            "memory allocation of 4096 bytes failed",
        ],
    )
    def test_abort_for_want_of_memory(self, text: str) -> None:
        """An abort that says memory ran out is believed."""
        with pytest.raises(PoisonInput) as caught:
            run(targets.abort_saying, text, limits=ROOMY)
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    def test_processor_time(self) -> None:
        """A busy loop ends at the limit of processor time."""
        with pytest.raises(PoisonInput, match="processor time") as caught:
            run(targets.spin, limits=limits(cpu=0.1))
        assert caught.value.reason is Reason.TIMED_OUT

    def test_processor_time_cannot_be_ignored(self) -> None:
        """A child that ignores the warning is killed, and that is not taken for lack of memory."""
        with pytest.raises(PoisonInput, match="processor time") as caught:
            run(targets.spin_ignoring_the_signal, limits=limits(cpu=0.1))
        assert caught.value.reason is Reason.TIMED_OUT

    def test_wall_time(self) -> None:
        """A child that waits for ever is stopped."""
        with pytest.raises(PoisonInput, match="was stopped after") as caught:
            run(targets.wait_for_ever, limits=limits(wall=0.3))
        assert caught.value.reason is Reason.TIMED_OUT


class TestMemoryAndFiles:
    """Limits of memory and sizes."""

    @pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux limits address space")
    @pytest.mark.parametrize(
        "function", [partial(targets.allocate, 200_000_000), targets.allocate_little_by_little]
    )
    def test_too_much(self, function: Callable[[], object]) -> None:
        """Memory beyond the limit is refused, in one piece or in many."""
        with pytest.raises(PoisonInput) as caught:
            run(function, limits=limits(memory=100_000_000))
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    def test_within(self) -> None:
        """The limit counts from what the loaded child holds, so most of it can be used."""
        assert run(targets.allocate, 80_000_000, limits=limits(memory=100_000_000)) == 80_000_000

    def test_wrapped(self) -> None:
        """A loader that takes a failed allocation for damage is not believed."""
        with pytest.raises(PoisonInput) as caught:
            run(targets.raise_wrapped_out_of_memory, limits=ROOMY)
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    @pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux limits address space")
    @pytest.mark.parametrize("megabytes", [40, 70])
    def test_a_picture_that_needs_more(self, megabytes: int) -> None:
        """A good progressive JPEG, whose decoder holds 72 MB of coefficients, is not damaged."""
        data = encoded(quadrants(6000, 4000), "JPEG", progressive=True)
        with pytest.raises(PoisonInput) as caught:
            run(process, data, load("default"), limits=limits(memory=megabytes * 1_000_000))
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    @pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux limits address space")
    @pytest.mark.parametrize("kind", ["damaged", "variant", "defect"])
    def test_a_verdict_reached_without_memory(self, kind: str) -> None:
        """Damage, or a defect, seen with nearly all memory in use is not believed."""
        with pytest.raises(PoisonInput) as caught:
            run(
                targets.fail_with_memory_in_use, 95_000_000, kind, limits=limits(memory=100_000_000)
            )
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    @pytest.mark.parametrize(
        ("size", "kind", "code"),
        [
            (60_000_000, "damaged", "corrupt"),
            (60_000_000, "variant", "unsupported_variant"),
            (60_000_000, "defect", "engine_failed"),
            (95_000_000, "limit", "too_many_pixels"),
        ],
    )
    def test_a_verdict_that_stands(self, size: int, kind: str, code: str) -> None:
        """With memory left everything is believed; a limit read from a header always."""
        with pytest.raises(SafelightError) as caught:
            run(targets.fail_with_memory_in_use, size, kind, limits=limits(memory=100_000_000))
        assert caught.value.code == code

    def test_answer_too_large(self) -> None:
        """An answer beyond the limit is not sent."""
        with pytest.raises(PoisonInput, match="larger than the limit") as caught:
            run(targets.big_rendition, 2_000_000, limits=limits(reply=1_000_000))
        assert caught.value.reason is Reason.OUT_OF_MEMORY

    def test_file_too_large(self) -> None:
        """A file beyond the limit cannot be written."""
        with pytest.raises(EngineError, match="File too large"):
            run(targets.write_file, 20_000, limits=limits(file=10_000))


class TestSurroundings:
    """What a child sees and what it leaves behind."""

    def test_environment_and_limits(self) -> None:
        """No credentials, no input, no core dump, few files, a session of its own."""
        found = run(targets.surroundings, limits=ROOMY)
        names = found["environment"]
        assert isinstance(names, list)
        assert not [name for name in names if name.startswith(("AWS", "PYTEST", "HOME"))]
        assert {"VIPS_CONCURRENCY", "PYTHONPATH"} <= set(names)
        assert found["core"] == (0, 0)
        assert found["files"] == 256
        assert found["leader"] is True
        assert found["input"] == ""

    @pytest.mark.parametrize("crash", [False, True])
    def test_grandchildren_die(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, crash: bool
    ) -> None:
        """Where there is no jail, what a child started is gone when the call ends, and cannot keep
        the call waiting."""
        monkeypatch.setattr(sandbox, "_CHILD", "tests.unit.unjailed_child")
        fifo = tmp_path / "alive"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        if crash:
            with pytest.raises(PoisonInput) as caught:
                run(targets.leave_a_grandchild_and_crash, str(fifo), limits=ROOMY)
            assert caught.value.reason is Reason.CRASHED
        else:
            assert run(targets.leave_a_grandchild, str(fifo), limits=ROOMY) == "done"
        assert os.read(reader, 1) == b"x"
        assert_everyone_gone(reader)

    @pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux tells a child of its parent")
    def test_child_dies_with_its_parent(self, tmp_path: Path) -> None:
        """When the parent is killed, its child goes too."""
        parent, reader = holding_parent(tmp_path)
        with parent:
            parent.kill()
            assert_everyone_gone(reader)

    def test_interrupt(self, tmp_path: Path) -> None:
        """Ctrl-C in the parent ends the child and goes on as Ctrl-C."""
        parent, reader = holding_parent(tmp_path)
        with parent:
            parent.send_signal(signal.SIGINT)
            assert_everyone_gone(reader)
            _, trace = parent.communicate()
        assert b"KeyboardInterrupt" in trace

    def test_nothing_stays_open(self) -> None:
        """A call leaves no descriptor behind, however it ends."""
        before = set(Path("/dev/fd").iterdir())
        run(targets.add, 1, 1, limits=ROOMY)
        with pytest.raises(PoisonInput):
            run(targets.vanish, limits=ROOMY)
        assert set(Path("/dev/fd").iterdir()) == before


def holding_parent(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A process whose sandboxed child holds a named pipe; and our end of that pipe."""
    fifo = folder / "alive"
    os.mkfifo(fifo)
    # A shell starts what it puts in the background with SIGINT ignored, and that is inherited.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from tests.unit.sandbox_targets import sandbox_hold as f; f(sys.argv[1])"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(fifo)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
    )
    reader = os.open(fifo, os.O_RDONLY)  # waits until the child has opened its end
    assert os.read(reader, 1) == b"x"
    return parent, reader


def assert_everyone_gone(reader: int) -> None:
    """A pipe ends when the last process that could write to it is dead."""
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == b""
