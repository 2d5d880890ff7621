"""Children of the local stack: restarted, said so, stopped in order, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips

from worker.domain.errors import EmulatorError, InputError, Unreachable
from worker.local import address, supervisor
from worker.local.address import Address
from worker.local.supervisor import ChildSpec, ForkedProcess, Supervisor
from worker.subprocesses import launch
from worker.subprocesses.child import Child

DEADLINE = 60.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens soon; fail if it does not."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def python(program: str, *arguments: str) -> Callable[[], Child]:
    """Starts a small program."""

    def start() -> Child:
        command = [sys.executable, "-I", "-S", "-c", program, *arguments]
        return Child(command, environment={}, stderr=subprocess.DEVNULL)

    return start


SLEEP = python("import time; time.sleep(600)")
END = python("raise SystemExit(3)")


class World:
    """A supervisor, what it says, and a clock that is moved by hand."""

    def __init__(self) -> None:
        """Start empty."""
        self.said: list[str] = []
        self.now = 0.0
        self.supervisor = Supervisor(self.said.append, clock=lambda: self.now)

    def start(self, *children: tuple[str, Callable[[], Child]]) -> None:
        """Start one stage."""
        self.supervisor.start(
            [ChildSpec(name=n, start=start, log=f"{n}.log") for n, start in children]
        )

    def tend_until(self, line: str) -> None:
        """Look after the children until something is said."""

        def told() -> bool:
            self.supervisor.tend()
            return any(line in said for said in self.said)

        until(told)


def test_a_killed_child_runs_again_and_is_named() -> None:
    """SIGKILL from outside: the child has a new process at once, and both are said."""
    world = World()
    world.start(("one", SLEEP), ("two", SLEEP))
    before = world.supervisor.pids()

    os.kill(before["one"], signal.SIGKILL)
    world.tend_until("one runs again")
    after = world.supervisor.pids()
    world.supervisor.stop()

    assert after["one"] != before["one"]
    assert after["two"] == before["two"]
    said = "one was ended by SIGKILL; it is started again now (its output: one.log)"
    assert world.said[0] == said


def test_a_child_that_dies_again_and_again_is_started_ever_more_slowly() -> None:
    """The waits grow from none to half a minute, by the clock."""
    world = World()
    world.start(("one", END))
    for _ in range(9):
        until(lambda: "one" in world.supervisor.dead())
        world.supervisor.tend()  # notes the death; starts it if there is no wait
        world.now += 31
        world.supervisor.tend()
    world.supervisor.stop()

    said = [line for line in world.said if line.startswith("one ended with code 3; it is started")]
    waits = [line.partition("again ")[2].partition(" (")[0] for line in said]
    assert waits == [
        *("now", "in 0.5 s", "in 1 s", "in 2 s", "in 4 s", "in 8 s", "in 16 s"),
        *("in 30 s", "in 30 s"),
    ]


def test_a_child_that_lived_long_is_started_at_once() -> None:
    """After a steady minute earlier deaths are forgotten."""
    world = World()
    world.start(("one", SLEEP))
    for _ in range(3):
        world.now += 100
        os.kill(world.supervisor.pids()["one"], signal.SIGTERM)
        until(lambda: "one" in world.supervisor.dead())
        world.supervisor.tend()
    world.supervisor.stop()

    assert [line for line in world.said if "started again" in line] == [
        "one was ended by SIGTERM; it is started again now (its output: one.log)"
    ] * 3


def test_a_child_that_cannot_be_started_again_is_tried_later() -> None:
    """An error at the restart is said, and the next try follows its wait."""
    world = World()
    starts = iter([SLEEP, None, SLEEP])

    def start() -> Child:
        chosen = next(starts)
        if chosen is None:
            raise EmulatorError("no room")
        return chosen()

    world.start(("one", start))
    os.kill(world.supervisor.pids()["one"], signal.SIGKILL)
    world.tend_until("one does not start: no room")
    world.now += 31
    world.tend_until("one runs again")
    world.supervisor.stop()


def test_an_error_at_the_first_start_is_the_callers() -> None:
    """Processes started before it are stopped."""
    world = World()

    def start() -> Child:
        raise EmulatorError("no room")

    with pytest.raises(EmulatorError):
        world.start(("one", SLEEP), ("two", start))
    pids = world.supervisor.pids()
    world.supervisor.stop()

    assert list(pids) == ["one"]
    assert not alive(pids["one"])


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


NOTES = """
import pathlib, signal, sys, time
name, file, ready = sys.argv[1:]
def end(*_):
    with open(file, "a") as notes: notes.write(name + "\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
pathlib.Path(ready).touch()
while True: time.sleep(600)
"""


def test_children_stop_in_reverse_order(tmp_path: Path) -> None:
    """The last stage is gone before the first is told."""
    world, notes = World(), tmp_path / "notes"
    for name in ("one", "two", "three"):
        ready = tmp_path / f"{name}.ready"
        world.start((name, python(NOTES, name, str(notes), str(ready))))
        until(ready.exists)

    world.supervisor.stop()

    assert notes.read_text().split() == ["three", "two", "one"]


STUBBORN = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""


def test_a_child_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """Its time is over: killed, and said so."""
    world, ready = World(), tmp_path / "ready"
    start = python(STUBBORN, str(ready))
    world.supervisor.start([ChildSpec(name="one", start=start, log="", stop_seconds=0.05)])
    until(ready.exists)
    pid = world.supervisor.pids()["one"]

    world.supervisor.stop()

    assert not alive(pid)
    assert world.said == ["one did not end within 0 s and is killed"]


# --- forked processes ----------------------------------------------------------------------------


@pytest.fixture
def before_libvips(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no other test of this process had computed with libvips; the children do not."""
    monkeypatch.setattr(supervisor, "_libvips_has_threads", lambda: False)


def test_a_process_that_has_used_libvips_is_not_forked(tmp_path: Path) -> None:
    """The child would wait forever for the threads of libvips, which a fork does not copy."""
    pyvips.Image.black(2000, 2000).gaussblur(3).avg()

    with pytest.raises(RuntimeError, match="libvips cannot be forked"):
        ForkedProcess(lambda: None, environment={}, log=tmp_path / "log")


@pytest.mark.usefixtures("before_libvips")
def test_a_forked_process_begins_like_a_fresh_one(tmp_path: Path) -> None:
    """It has its own environment, session and log, and no descriptor of its parent."""

    def run() -> None:
        with (tmp_path / "held").open() as held:
            report = f"{dict(os.environ)} {os.getsid(0) == os.getpid()} {held.fileno()}\n"
        os.write(1, report.encode())  # pytest has put something of its own in place of sys.stdout
        raise SystemExit(7)

    (tmp_path / "held").touch()
    with (tmp_path / "held").open():
        process = ForkedProcess(run, environment={"A": "b"}, log=tmp_path / "log")
        assert process.wait(DEADLINE)
        assert process.status == 7

    assert (tmp_path / "log").read_text() == "{'A': 'b'} True 3\n"
    process.send_signal(signal.SIGTERM)  # which finds nobody, and hits nobody else


@pytest.mark.usefixtures("before_libvips")
def test_a_forked_process_that_does_not_end_is_waited_for_in_vain(tmp_path: Path) -> None:
    """Until its time is over; a signal is its exit code."""
    process = ForkedProcess(lambda: time.sleep(600), environment={}, log=tmp_path / "log")

    assert not process.wait(0.05)
    process.send_signal(signal.SIGTERM)

    assert process.wait(DEADLINE)
    assert process.status == -signal.SIGTERM


# --- parent death --------------------------------------------------------------------------------

COMMAND = """
import signal
from worker.subprocesses.launch import tied_command
child = subprocess.Popen(
    tied_command([sys.executable, "-c", CHILD, sys.argv[1]], parent_death_signal=signal.SIGTERM)
)
"""
FORK = """
from worker.local.supervisor import ForkedProcess
child = ForkedProcess(lambda: exec(CHILD), environment={}, log=pathlib.Path(os.devnull))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("start", [COMMAND, FORK], ids=("command", "fork"))
def test_a_child_ends_with_its_parent(start: str, tmp_path: Path) -> None:
    """The parent is killed with SIGKILL; the child gets SIGTERM from the kernel."""
    program = (
        "import os, pathlib, subprocess, sys, time\n"
        f"sys.path.insert(0, {str(Path(launch.__file__).parents[2])!r})\n"
        "CHILD = 'import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)'\n"
        f"{start}"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    ready = tmp_path / "ready"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(ready)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until(ready.exists)
        assert alive(pid)
        parent.kill()
    until(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_of_a_dead_parent_does_not_begin() -> None:
    """A child whose parent is gone ends at once."""
    wrong = launch.tied_command([sys.executable, "-c", "print('began')"])
    wrong[wrong.index(str(os.getpid()))] = "1"

    done = subprocess.run(wrong, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "the parent is gone" in done.stderr


# --- where the stack is -----------------------------------------------------------------------


def written(data: Path) -> Address:
    """An address as a stack writes it."""
    data.mkdir(exist_ok=True)
    made = Address(
        data=data, endpoint="http://127.0.0.1:1", outputs={"table": "t"}, environment={"A": "b"}
    )
    address.write(made)
    return made


def test_a_running_stack_is_found(tmp_path: Path) -> None:
    """A command reads the address that the stack has written, while the stack runs."""
    made = written(tmp_path)

    with address.owned(tmp_path):
        assert address.find(tmp_path) == made
        with pytest.raises(InputError) as caught, address.owned(tmp_path):
            pass
    assert caught.value.code == "output_busy"


def test_a_folder_that_cannot_be_made_is_said_to_be_so(tmp_path: Path) -> None:
    """As of every output: the code by which commands end with 3."""
    (tmp_path / "file").touch()

    with pytest.raises(InputError) as caught, address.owned(tmp_path / "file" / "data"):
        pass
    assert caught.value.code == "output_unwritable"


def test_a_stack_that_does_not_run_is_said_to_be_so(tmp_path: Path) -> None:
    """No stack ever, a stopped one, and an unreadable file are told apart from a running one."""
    with pytest.raises(InputError) as caught:
        address.find(tmp_path / "none")
    assert caught.value.code == "input_missing"

    written(tmp_path)
    with pytest.raises(Unreachable, match="not running"):
        address.find(tmp_path)

    (tmp_path / address.NAME).write_text("[]")
    assert address.read(tmp_path) is None
