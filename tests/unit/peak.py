"""How much memory this process has held at most; imported by programs that tests start."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak() -> int:
    """KiB resident at once so far.

    Not ``ru_maxrss`` where there is better: a child inherits it from the process that started it,
    and a test worker that has grown would count as the child's own (getrusage(2), execve(2)).
    """
    if _STATUS.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        if found:
            return int(found[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
