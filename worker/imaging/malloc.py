"""Keep freed memory for the next picture instead of giving it back after each one.

Buffers of pixels are megabytes. glibc asks the kernel for each and returns it when it is freed,
so that every picture pays again for the same pages: 5 to 8 % of the CPU of the default recipe
(docs/benchmarks.md). A process that does pictures one after the other needs the same amount again
at once.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
"""From glibc's malloc.h (mallopt(3))."""

_LARGEST = 32 * 1024 * 1024
"""Bytes: the most that glibc allows for M_MMAP_THRESHOLD on 64-bit systems."""


def keep_memory() -> bool:
    """Tune the allocator of this process; call once, before the first picture.

    Returns:
        Whether it was done. It is not where the C library is not glibc (macOS, Alpine); nothing
        but speed depends on it.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _LARGEST),
        (_M_TRIM_THRESHOLD, 2**31 - 1),
        (_M_TOP_PAD, _LARGEST),
        # One for all threads: each would keep the memory of its largest picture.
        (_M_ARENA_MAX, 1),
    )
    done = [mallopt(option, value) == 1 for option, value in settings]  # each, not up to the first
    return all(done)


def release_memory() -> None:
    """Give freed memory back to the kernel, for a process that is idle for now."""
    malloc_trim = _glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None where the C library is another."""
    if sys.platform != "linux":
        return None
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return function
