"""The embedded AWS, installed once for all processes of a test run."""

from __future__ import annotations

import fcntl

import pytest

from worker.local.emulator import install


def make_sure(factory: pytest.TempPathFactory) -> None:
    """Install it, unless that is done; the processes of a run share the folder above their own."""
    with (factory.getbasetemp().parent / "emulator.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install()
