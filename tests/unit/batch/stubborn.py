"""A job for tests of signals: ``python -m tests.unit.batch.stubborn MODE SCRATCH OUT GRACE``.

It says ``working`` once it works. ``orderly`` waits for the stop; ``deaf`` is in one call of a
library in C that takes as long as it takes.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Mapping

from batch.arguments import read_arguments
from batch.runner import perform
from batch.work import Work
from tests.unit.batch.attempts import MemoryServices
from worker.job_context import SignalWatch, Stop


def orderly(work: Work) -> Mapping[str, object]:
    """Store a chunk, then wait for the stop as an operation with a child program does."""
    chunk = work.scratch / "chunk"
    chunk.write_text("done")
    work.checkpoint.put("chunk", chunk)
    ended = threading.Event()
    work.stop.add_callback(ended.set)
    work.progress(0.5, "working")
    ended.wait()
    work.stop.check()
    return {}


def deaf(work: Work) -> Mapping[str, object]:
    """Be in C for a minute: no Python runs in this thread."""
    work.progress(0.5, "working")
    # Unlike time.sleep, PyDLL would hold the interpreter; CDLL lets go of it, like OpenCV does.
    library = ctypes.CDLL(None)
    for _ in range(60):
        library.sleep(1)
    return {}


def main() -> int:
    """Run it."""
    mode, scratch, out, grace = sys.argv[1:]
    order = read_arguments(
        ["poster", "--input", __file__, "--output", out, "--scratch", scratch], {}
    )
    stop = Stop()
    with SignalWatch(stop, grace=float(grace)) as watch:
        return perform(
            order,
            services=MemoryServices(),
            stop=stop,
            log=sys.stdout,
            operation={"orderly": orderly, "deaf": deaf}[mode],
            before_forced_end=watch.before_forced_end,
        )


if __name__ == "__main__":
    sys.exit(main())
