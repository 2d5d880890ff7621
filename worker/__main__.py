"""``python -m worker`` and the ``safelight`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from worker.entrypoints.interrupts import end_at_once

    end_at_once()
    from worker.entrypoints.cli import run

    code = run(sys.argv[1:])
    # A KeyboardInterrupt that leaves ``exec`` of a text, as when a dataclass is made, marks the
    # process: `python -m` ends it with SIGINT after all else, although the exception was caught
    # (findings/caught-interrupt-kills.sh). The next ``exec`` takes the mark away.
    exec("")  # noqa: S102
    sys.exit(code)


if __name__ == "__main__":
    main()
