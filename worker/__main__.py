"""``python -m worker`` and the ``safelight`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from worker.entrypoints.interrupts import end_at_once

    end_at_once()
    from worker.entrypoints.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
