"""What tests of the whole share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulators import make_sure
from worker.local.emulator import Emulator, running


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An embedded AWS with nothing in it."""
    make_sure(tmp_path_factory)
    with running(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator
