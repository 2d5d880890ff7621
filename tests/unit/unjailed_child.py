"""The sandboxed child where the kernel refuses both walls of its jail."""

from __future__ import annotations

from worker.subprocesses import sandbox_child
from worker.subprocesses.jail import Jail


def refused(jail: Jail) -> list[str]:
    """Confine nothing, as where neither wall can be built."""
    assert jail.read
    return ["landlock: refused", "seccomp: refused"]


if __name__ == "__main__":
    sandbox_child.lock_in = refused  # type: ignore[attr-defined]
    sandbox_child.main()
