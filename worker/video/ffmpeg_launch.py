"""Becomes ffmpeg: ``python -I -S program_launch.py PARENT MEMORY FILE -- PROGRAM ARGUMENT...``.

What lives here: what must happen between fork and exec, in a process of its own because Python
code between the two is not safe beside threads. What may not: any import that costs time.
"""

import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38


def main() -> None:
    """Take the limits and become the program."""
    parent, memory, file = (int(value) for value in sys.argv[1:4])
    command = sys.argv[5:]
    if sys.platform == "linux":
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        # The signal survives exec. It is sent when the thread that started us ends; that thread
        # waits for us.
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)
        _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_FSIZE, file)
    _limit(resource.RLIMIT_CORE, 0)
    # Python ignores both, and what is ignored stays so after exec: a file over its limit would
    # then look like any other failed write.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606  (the whole point)


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


main()
