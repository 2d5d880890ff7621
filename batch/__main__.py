"""``python -m batch``: the entry point of the Batch image.

What lives here: nothing but the start. Today it offers the commands of ``safelight``; the job
kinds come with heavy work.
"""

from __future__ import annotations

import sys

from worker.entrypoints.container import contain


def main() -> int:
    """Run the command line and return its exit code."""
    from worker.entrypoints.cli import run  # after process 1 has its handlers

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(contain(main))
