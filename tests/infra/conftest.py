"""The declarations that most tests look at, made once."""

from __future__ import annotations

import pytest

from tests.infra.declared import Declaration, declare


@pytest.fixture(scope="session")
def ordered() -> Declaration:
    """A stack with everything at its default: FIFO order."""
    return declare()


@pytest.fixture(scope="session")
def standard() -> Declaration:
    """A stack without order."""
    return declare({"intake": {"ordering": "standard"}})
