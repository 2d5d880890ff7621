"""Pulumi's programs, and an emulator of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import emulators
from worker.local import emulator


@pytest.fixture
def account(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulator.Emulator]:
    """An empty account."""
    emulators.make_sure(tmp_path_factory)
    started = emulator.start(port=emulator.free_port(), log=tmp_path / "emulator.log")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def pulumi_programs() -> None:
    """``make engine-test`` says more about them; nothing here is left out without them."""
    missing = [one for one in ("pulumi", "pulumi-language-python") if not shutil.which(one)]
    if missing:
        pytest.fail(f"not on the PATH: {', '.join(missing)}; make engine-test says where they are")
