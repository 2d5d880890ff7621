"""The engine, the images and a folder that containers may write.

Nothing is skipped but the image of another architecture, where it is not built or cannot be run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.container.engine import Engine
from tests.container.lambda_function import emulator_program

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """What was measured: shown at the end of the run."""
    return request.config.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures."""
    figures = terminalreporter.config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured")
    for line in figures:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine that DOCKER_HOST, or nothing, points to."""
    client = docker.from_env(timeout=120)
    engine = Engine(client)
    yield engine
    engine.remove_all()
    client.close()


@pytest.fixture(scope="session")
def rie() -> Path:
    """Lambda's Runtime Interface Emulator for this machine."""
    return emulator_program()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder for containers, whoever they run as."""
    return writable(tmp_path)


def writable(parent: Path) -> Path:
    """A new folder ``data`` below another one that any user of a container can reach and write."""
    folder = parent / "data"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    for above in folder.parents:
        if above.stat().st_mode & 0o001 == 0:  # pytest's own folders are private
            above.chmod(above.stat().st_mode | 0o011)
    return folder
