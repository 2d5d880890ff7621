"""Run a program that ends when its parent ends, even by SIGKILL. A script of its own.

``python parent_death_signal.py PARENT COMMAND...`` asks the kernel to send SIGTERM to this
process when its parent dies (Linux, prctl(2), PR_SET_PDEATHSIG), then becomes the command. The
setting survives execve(2). SIGTERM, not SIGKILL: the emulator saves its state and a worker
finishes its batch.
Elsewhere than on Linux it only runs the command. Standard library alone: the parent starts it
without site packages, so that it costs 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def command(program: Sequence[str]) -> list[str]:
    """The command line that runs ``program``, which gets SIGTERM when this process dies.

    It must be started by a thread that lives as long as the process: to the kernel, a parent is
    a thread.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), *program]


def tie(parent: int) -> None:
    """Let this process get SIGTERM when its parent dies; end it if that one is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("parent_death_signal: the parent is gone already")


def main(parent: int, program: Sequence[str]) -> None:
    """Tie this process to its parent and become the program."""
    tie(parent)
    os.execvp(program[0], list(program))  # noqa: S606 - what the caller named


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
