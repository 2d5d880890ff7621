"""The declarations that most tests look at: each configuration is run once in a test run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.infra import runs
from tests.infra.configs import CHOSEN, STANDARD, switched
from tests.infra.declared import Declaration, declare


@pytest.fixture(scope="session", autouse=True)
def _runs_are_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands run the program for the same few configurations as tests do."""
    own = tmp_path_factory.getbasetemp()
    # Workers of xdist have folders below that of their run; without xdist it is the run's own.
    runs.share((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "pulumi-runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.infra.program.record", runs.record)
        yield


@pytest.fixture(scope="session")
def ordered() -> Declaration:
    """A stack with everything at its default: FIFO order."""
    return declare()


@pytest.fixture(scope="session")
def standard() -> Declaration:
    """A stack without order, in larger batches."""
    return declare(STANDARD)


@pytest.fixture(scope="session")
def full() -> Declaration:
    """A stack with everything that can be switched on."""
    return declare(switched(on=True))


@pytest.fixture(scope="session")
def bare() -> Declaration:
    """A stack with nothing that can be switched off."""
    return declare(switched(on=False))


@pytest.fixture(scope="session")
def chosen() -> Declaration:
    """A stack with values of its own choice."""
    return declare(CHOSEN)
