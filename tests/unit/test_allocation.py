"""The allocator's settings."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from worker.imaging.malloc import keep_memory
tuned = keep_memory()
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        bytearray(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
print(tuned, faults(10))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is tuned on glibc only")
def test_freed_memory_is_used_again() -> None:
    """A process that has been told so asks the kernel for a buffer's pages once, not each time."""
    # In a child: the setting holds for a whole process.
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    tuned, faults = done.stdout.split()
    assert tuned == "True"
    assert int(faults) < 1000  # ten buffers have 29,297 pages
