"""The first process of a container: it serves a Lambda handler or is the command line.

It chooses between the two and does the duties of process 1 (forward signals, reap
orphans, end with the other's code). It does no work and imports nothing slow: the handlers
of signals must be set before anything slow begins.

The kernel gives process 1 no default actions: without a handler it ignores SIGTERM, and a
container would be killed after the engine's grace period instead of stopped. So a forked child
does the work, for which the usual rules hold, and process 1 only waits.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence

WRONG_USE = 2
STARTING = 200_000
"""Objects made between two looks for garbage while a handler and what it imports are loaded."""
USUAL = 2_000
"""The same afterwards; CPython's own figure."""
_HANDLER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_FORWARDED = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)


def main(arguments: Sequence[str]) -> int:
    """Serve the handler that the only argument names, or run the command line; an exit code."""
    if len(arguments) == 1 and _HANDLER.fullmatch(arguments[0]):
        return serve(arguments[0])
    from worker.entrypoints.cli import run

    return run(arguments)


def serve(handler: str) -> int:
    """Be Lambda's runtime client for a handler, like ``worker.entrypoints.lambda_ingest.handler``.

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

    # Imports make hundreds of thousands of objects and next to no garbage: looking for it a hundred
    # times meanwhile is a twentieth of a cold start.
    gc.set_threshold(STARTING, *gc.get_threshold()[1:])
    # In this interpreter: another one would start from nothing again.
    sys.argv = ["awslambdaric", handler]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
    return 0


def started() -> None:
    """Tell the collector of garbage that the start is over and what is there now stays."""
    import gc

    if gc.get_threshold()[0] == STARTING:
        gc.freeze()
        gc.set_threshold(USUAL, *gc.get_threshold()[1:])


def contain(work: Callable[[], int]) -> int:
    """Do the work; as process 1, in a child that is watched over.

    Returns:
        The exit code of the work; 128 + the number of the signal that ended it, as shells say it.
    """
    if os.getpid() != 1:
        return work()
    return watch_over(work)


def watch_over(work: Callable[[], int]) -> int:
    """Do the work in a forked child; forward signals to it and reap other children that end."""
    # Blocked before the fork: none is lost between it and the first wait.
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
            # What the kernel sends (Ctrl-C in a terminal) went to the child as well.
            elif received.si_code <= 0:
                os.kill(child, received.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reap(child: int) -> int | None:
    """Take the exit codes of all who are dead; that of the child, if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:  # there are none left
            return code
        if pid == 0:
            return code
        if pid == child:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


if __name__ == "__main__":
    sys.exit(contain(lambda: main(sys.argv[1:])))
