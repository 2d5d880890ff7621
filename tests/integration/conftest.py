"""What tests of the whole share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.emulators import make_sure
from tests.integration.running import Running, share, stack


@pytest.fixture(scope="session", autouse=True)
def _stacks_are_copied(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a stack is copied from is deployed once for all processes of a run."""
    make_sure(tmp_path_factory)
    own = tmp_path_factory.getbasetemp()
    # Workers of xdist have folders below that of their run; without xdist it is the run's own.
    share((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "deployed")


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One stack for all tests of a process that leave it as it was, but for their own uploads.

    It ends with the last test of this package: idle it takes a twelfth of a core.
    """
    with stack(tmp_path_factory.mktemp("stack") / "data") as up:
        yield up
