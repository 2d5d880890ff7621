"""What tests of the whole share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulators import make_sure
from tests.integration.running import Running, stack
from worker.local import emulator as emulators
from worker.local.emulator import Emulator


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An embedded AWS with nothing in it."""
    make_sure(tmp_path_factory)
    with emulators.running(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One stack for all tests of a process that leave it as it was, but for their own uploads."""
    # A port of its own: that of the stack that others are copied from stays free for them.
    port = emulators.free_port()
    with stack(tmp_path_factory.mktemp("stack") / "data", port=port) as up:
        yield up
