"""The declarations that most tests look at, made once."""

from __future__ import annotations

import pytest

from tests.infra.configs import switched
from tests.infra.declared import Declaration, declare


@pytest.fixture(scope="session")
def ordered() -> Declaration:
    """A stack with everything at its default: FIFO order."""
    return declare()


@pytest.fixture(scope="session")
def standard() -> Declaration:
    """A stack without order."""
    return declare({"intake": {"ordering": "standard"}})


@pytest.fixture(scope="session")
def full() -> Declaration:
    """A stack with everything that can be switched on."""
    return declare(switched(on=True))


@pytest.fixture(scope="session")
def bare() -> Declaration:
    """A stack with nothing that can be switched off."""
    return declare(switched(on=False))
