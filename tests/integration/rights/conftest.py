"""The stack that all tests of rights look at; it ends before other tests start theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.rights.world import World
from tests.integration.running import stack
from worker.adapters.aws.clients import VARIABLE


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One stack for all tests here."""
    folder = tmp_path_factory.mktemp("rights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder / "calls.jsonl"))
        with stack(folder / "data") as running:
            patch.delenv(VARIABLE)  # what this process calls is nobody's
            yield World(running, folder / "calls.jsonl")
