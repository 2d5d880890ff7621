"""``python -m batch``: the entry point of the Batch image.

This module only starts the job. ``run KIND ...`` is one attempt at a job; everything else
is the command line of ``safelight``.
"""

from __future__ import annotations

import sys

from worker.entrypoints.container import contain


def main() -> int:
    """Run a job or the command line, and return its exit code."""
    # Imports after process 1 has its handlers.
    if sys.argv[1:2] == ["run"]:
        from batch.runner import main as run_job
        from worker.subprocesses.jail import hide

        hide()  # its environment from ffmpeg and decoders
        return run_job(sys.argv[2:])
    from worker.entrypoints.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(contain(main))
