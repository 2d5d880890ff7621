"""How tests are run, whichever they are."""

from __future__ import annotations

import os
import sys
from functools import cache

import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings

from tests import ffmpeg_features
from tests.golden import Golden
from worker.domain import metrics

# Tests start hundreds of processes. Each would compile all it imports, and each run every test
# module, where the environment forbids writing bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Each AWS client would read the description of its service anew: half a second for the large ones.
_described = cache(JSONFileLoader().load_file)
setattr(JSONFileLoader, "load_file", lambda _, path: _described(path))  # noqa: B010 - a method

# A busy machine is no failure. What may not be slow is measured by `make bench`.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", unhurried, max_examples=15)
settings.register_profile("thorough", unhurried, max_examples=1000)
settings.load_profile(os.environ.get("SAFELIGHT_TEST_PROFILE", "quick"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one way to change a golden file, and the emulator of the contract suites."""
    parser.addoption(
        "--write-golden", action="store_true", help="write golden files instead of comparing"
    )
    parser.addoption(
        "--emulator",
        choices=("embedded", "moto"),
        default="embedded",
        help="what tests/contract runs on (docs/emulators.md)",
    )


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Golden:
    """The golden files beside a test module."""
    return Golden(request.path.parent / "golden", write=request.config.getoption("write_golden"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test says by a marker that it needs ffmpeg, and what that must be built with.

    Metrics are counted for the process: those of the tests before are none of this one's.
    """
    metrics.take()
    ffmpeg_features.skip_without(item)


def pytest_xdist_auto_num_workers() -> int | None:
    """One more than cores: tests of the local stack wait for the processes they have started."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or not hasattr(os, "sched_getaffinity"):
        return None  # as xdist has it
    return len(os.sched_getaffinity(0)) + 1
