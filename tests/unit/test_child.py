"""Child programs: limits, pipes, and an end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from worker.domain.errors import TransientError
from worker.subprocesses.child import Child, StderrText, bare_environment, reading
from worker.subprocesses.launch import tied_command

LIMITS = """
import resource
print(*(resource.getrlimit(each)[0] for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)))
"""
ORPHAN = """
import subprocess, sys
from worker.subprocesses.launch import tied_command
import signal
program = [sys.executable, "-c", "import signal; signal.sigwait([signal.SIGTERM]); print('told')"]
block = "import signal, os, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]);"
program[2] = block + "print('ready', flush=True);" + program[2]
subprocess.run(tied_command(program, parent_death_signal=signal.SIGTERM))
"""


def printed(command: list[str]) -> tuple[int, str]:
    """Status and output of a program that is started as all are."""
    child = Child(command, environment=bare_environment(), stdout=subprocess.PIPE)
    out = bytearray()
    try:
        assert child.stdout is not None
        with closing(child.serve({child.stdout: reading(out.extend)})) as rounds:
            for _ in rounds:
                pass
    finally:
        child.end()
    return child.status, out.decode()


def test_a_tied_program_has_the_limits_that_are_given() -> None:
    """No core dump in any case; another limit only if it is asked for."""
    program = [sys.executable, "-c", LIMITS]
    assert printed(tied_command(program, file_bytes=12_345)) == (0, "12345 0\n")
    _, unlimited = printed(tied_command(program))
    assert unlimited.split()[0] != "12345"


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux tells a child of its parent")
def test_a_tied_program_gets_its_signal_when_its_parent_dies() -> None:
    """SIGTERM instead of SIGKILL where the program has something to finish."""
    with subprocess.Popen([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()
        assert parent.stdout.readline() == b"told\n"


def test_a_program_that_is_not_there_leaves_no_pipe_open() -> None:
    """The error may go away; its pipes are closed."""
    before = set(Path("/dev/fd").iterdir())
    with pytest.raises(TransientError, match="none could not be started"):
        Child(["/nowhere/none"], environment={}, pipes=[os.pipe()])
    assert set(Path("/dev/fd").iterdir()) == before


def test_a_program_that_closes_its_pipes_is_waited_for() -> None:
    """Its status is what counts, also that of a signal."""
    close = "import os, signal; os.close(1); os.close(2); os.kill(os.getpid(), signal.SIGUSR1)"
    assert printed([sys.executable, "-c", close]) == (-signal.SIGUSR1, "")


def test_text_keeps_its_beginning_and_its_end() -> None:
    """Of much output the middle is let go; lines are told one by one, whatever their chunks."""
    lines: list[str] = []
    text = StderrText(head_bytes=4, tail_bytes=6, log=lines.append)
    for data in (b"first\nse", b"cond\n", b"last", b""):
        text.take(data)
    assert text.text == "firs\n[...]\nd\nlast"
    assert lines == ["first", "second", "last"]
