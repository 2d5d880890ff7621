"""Become a program that has limits, ends when its parent ends, and may be locked in.

``python -I -S launch.py SIGNAL PARENT MEMORY FILE [JAIL...] -- PROGRAM ARGUMENT...`` does what must
happen between fork and exec, in a process of its own because Python code between the two is not
safe beside threads. It is started as often as ffmpeg, so it imports little: it costs 20 ms.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence

TYPE_CHECKING = False  # of typing, which costs 5 ms
if TYPE_CHECKING:
    from worker.subprocesses.jail import Jail

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38


def tied_command(
    program: Sequence[str],
    *,
    parent_death_signal: signal.Signals = signal.SIGKILL,
    memory_bytes: int | None = None,
    file_bytes: int | None = None,
    jail: Jail | None = None,
    walls_to: int | None = None,
) -> list[str]:
    """The command line that runs a program tied to this process.

    Args:
        program: path and arguments.
        parent_death_signal: what it gets when this process dies, even by SIGKILL (Linux, prctl(2),
            PR_SET_PDEATHSIG). It must be started by a thread that waits for it: to the kernel, a
            parent is a thread.
        memory_bytes: its address space (Linux), as RLIMIT_AS; None sets no limit.
        file_bytes: the size of any one file it writes; None sets no limit.
        jail: what it may still reach beside its own file, as far as the kernel can hold it there;
            None is everything. The program must be a path then.
        walls_to: a descriptor that it inherits, to which the walls that the jail does not have are
            written, a line each.
    """
    limits = (-1 if each is None else each for each in (memory_bytes, file_bytes))
    numbers = map(str, (int(parent_death_signal), os.getpid(), *limits))
    words = [] if jail is None else [f"walls={walls_to}"]
    for kind in _REACHED if jail else ():
        words += [f"{kind}={path}" for path in getattr(jail, kind)]
    return [sys.executable, "-I", "-S", __file__, *numbers, *words, "--", *program]


_REACHED = ("read", "look", "write")


def tie_to(parent: int, number: int = signal.SIGKILL) -> bool:
    """Let this process get a signal when its parent dies, and gain no rights by exec (Linux).

    Linux sends the signal when the *thread* that started this process ends. The setting survives
    exec.

    Returns:
        Whether the parent is still there: one that died before the request to the kernel is found
        by its process id.
    """
    if sys.platform == "linux":
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return os.getppid() == parent


def lower_limit(limit: int, soft: int, hard: int | None = None) -> None:
    """Set a resource limit of this process, never above its hard limit.

    Args:
        limit: one of ``resource.RLIMIT_...``.
        soft: the limit.
        hard: the hard limit if it is another.
    """
    ceiling = resource.getrlimit(limit)[1]
    if ceiling == resource.RLIM_INFINITY:
        ceiling = sys.maxsize
    hard = min(soft if hard is None else hard, ceiling)
    resource.setrlimit(limit, (min(soft, hard), hard))


def main() -> None:
    """Take the limits and become the program."""
    number, parent, memory, file = (int(value) for value in sys.argv[1:5])
    end = sys.argv.index("--")
    jail, command = sys.argv[5:end], sys.argv[end + 1 :]
    if not tie_to(parent, number):
        sys.exit("launch: the parent is gone already")
    if jail:
        _lock_in(jail, command[0])
    if memory >= 0 and sys.platform == "linux":  # macOS knows RLIMIT_AS and does not keep it
        lower_limit(resource.RLIMIT_AS, memory)
    if file >= 0:
        lower_limit(resource.RLIMIT_FSIZE, file)
    lower_limit(resource.RLIMIT_CORE, 0)
    # Python ignores both, and what is ignored stays so after exec: a file over its limit would
    # then look like any other failed write.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606  (the whole point)


def _lock_in(words: Sequence[str], program: str) -> None:
    """Build the walls that ``words`` of :func:`tied_command` tell of."""
    sys.path.append(os.path.realpath(__file__ + "/../../.."))
    from worker.subprocesses.jail import Jail, lock_in

    pairs = [word.split("=", 1) for word in words]
    reached = {kind: [path for name, path in pairs if name == kind] for kind in _REACHED}
    missing = lock_in(Jail(**reached, program=program))
    walls_to = int(pairs[0][1])
    os.write(walls_to, "\n".join(missing).encode())
    os.close(walls_to)


if __name__ == "__main__":
    main()
