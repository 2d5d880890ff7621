"""Some suites on moto's server; the page about it is true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore.model import StructureShape

from tests.contract.differences import DIFFERENCES, SHORT, SUITES, table

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)  # the first run installs moto
def test_some_suites_hold_on_the_second_emulator() -> None:
    """All of their tests pass on moto, but those that must fail there."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    files = [f"tests/contract/{name}.py" for name in SHORT]
    done = subprocess.run(
        [*command, "--emulator", "moto", *files],
        cwd=ROOT,
        env={key: text for key, text in os.environ.items() if not key.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_page_has_every_difference() -> None:
    """The table is that of the code."""
    assert table() in (ROOT / "docs" / "emulators.md").read_text("utf-8")


def test_members_that_prove_what_aws_documents_are_in_its_models() -> None:
    """A source that is no page names a member of a structure of a service."""
    session = botocore.session.Session()
    members = [one.source for one in DIFFERENCES if ": " in one.source]

    assert members
    for source in members:
        service, _, place = source.partition(": ")
        structure, _, member = place.partition(".")
        shape = session.get_service_model(service).shape_for(structure)
        assert isinstance(shape, StructureShape)
        assert member in shape.members


def test_the_short_form_is_part_of_the_whole() -> None:
    """And each suite is there."""
    assert {*SHORT} <= {*SUITES}
    assert all((ROOT / "tests" / "contract" / f"{name}.py").exists() for name in SUITES)
