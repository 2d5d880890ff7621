"""The first process of a container: it serves a Lambda handler or runs the command line.

It chooses between the two and does the duties of process 1: it forwards signals, reaps orphans and
ends with the child's exit code. It imports nothing slow, because the signal handlers must be set
before any slow work begins.

The kernel gives process 1 no default actions: without a handler it ignores SIGTERM, and a container
would be killed after the engine's grace period instead of stopped. So a forked child, which has the
usual default actions, does the work, and process 1 only waits.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence

WRONG_USE = 2
STARTING = 200_000
"""Threshold of the garbage collector while a handler and its imports are loaded."""
USUAL = 2_000
"""Threshold afterwards: CPython's default."""
_HANDLER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FORWARDED = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)


def main(arguments: Sequence[str]) -> int:
    """Serve the handler that the only argument names, or run the command line; returns the exit
    code."""
    if len(arguments) == 1 and _HANDLER.fullmatch(arguments[0]):
        return serve(arguments[0])
    from worker.entrypoints.cli import run

    return run(arguments)


def serve(handler: str) -> int:
    """Run Lambda's runtime client for a handler, like ``worker.entrypoints.lambda_ingest.handler``.

    Returns:
        The exit code, if there is no Lambda to serve; otherwise its client does not return.
    """
    if "AWS_LAMBDA_RUNTIME_API" not in os.environ:
        text = (
            f"safelight: {handler} is served only in Lambda or under its emulator; "
            "for the command line give a command, such as --help"
        )
        print(text, file=sys.stderr)  # noqa: T201 - no other process can report it
        return WRONG_USE
    import gc
    import runpy

    # Imports create hundreds of thousands of objects and almost no garbage: a hundred collections
    # meanwhile would take a twentieth of a cold start.
    gc.set_threshold(STARTING, *gc.get_threshold()[1:])
    # In this interpreter, because another one would start from nothing.
    sys.argv = ["awslambdaric", handler]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
    return 0


def started() -> None:
    """Tell the garbage collector that the start is over and that all existing objects stay."""
    import gc

    if gc.get_threshold()[0] == STARTING:
        gc.freeze()
        gc.set_threshold(USUAL, *gc.get_threshold()[1:])


def contain(work: Callable[[], int]) -> int:
    """Do the work, in a supervised child if this is process 1.

    Returns:
        The exit code of the work; 128 + the number of the signal that ended it, as shells say it.
    """
    if os.getpid() != 1:
        return work()
    return watch_over(work)


def watch_over(work: Callable[[], int]) -> int:
    """Do the work in a forked child; forward signals to it and reap other children."""
    # Blocked before the fork, so that no signal is lost before the first wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return work()
    try:
        while True:
            received = signal.sigwaitinfo(_FORWARDED | {signal.SIGCHLD})
            if received.si_signo == signal.SIGCHLD:
                code = _reap(child)
                if code is not None:
                    return code
            # A signal from the kernel (Ctrl-C in a terminal) also went to the child.
            elif received.si_code <= 0:
                os.kill(child, received.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reap(child: int) -> int | None:
    """Reap all dead children; returns the exit code of the main child, if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # no children are left
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


if __name__ == "__main__":
    sys.exit(contain(lambda: main(sys.argv[1:])))
