"""The audit of dependencies: a hole fails, an audit that was not made is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.audit import ACCEPTED, accepted, pinned, verdict

SAFE = {"name": "one", "version": "1.0", "vulns": []}
HOLED = {
    "name": "two",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"]}],
}
SKIPPED = {"name": "three", "skip_reason": "Dependency not found on PyPI"}


def report(*packages: dict[str, Any]) -> str:
    """What pip-audit prints of packages."""
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize(
    ("packages", "required", "allowed", "code"),
    [
        ((SAFE,), True, {}, 0),
        ((SAFE, HOLED), False, {}, 1),
        ((SAFE, HOLED), False, {"CVE-1": "not called"}, 0),
        ((SAFE, SKIPPED), False, {}, 0),
        ((SAFE, SKIPPED), True, {}, 1),
    ],
)
def test_what_a_report_means(
    packages: tuple[dict[str, Any], ...], allowed: dict[str, str], code: int, *, required: bool
) -> None:
    """A hole fails unless it is accepted; what was not looked up is named and may fail too."""
    status = int(HOLED in packages)
    found, lines = verdict(status, report(*packages), "", required=required, allowed=allowed)
    assert found == code
    assert ("audit: NOT LOOKED UP: three" in lines) == (SKIPPED in packages)


@pytest.mark.parametrize("required", [False, True])
def test_no_service(*, required: bool) -> None:
    """A service that does not answer is told from a hole, and fails only if it is required."""
    said = "requests.exceptions.ConnectionError: no route"
    code, (line,) = verdict(1, "", said, required=required, allowed={})
    assert (code, "NOT MADE" in line) == (int(required), True)


def test_a_defect_of_the_tool_is_no_success() -> None:
    """Any other failure of pip-audit fails."""
    assert verdict(1, "", "ValueError: a defect", required=False, allowed={})[0] == 2


def test_everything_that_is_pinned_is_audited() -> None:
    """Requirement files of the images, the tests and the emulator are among those looked up."""
    names = {f"{path.parent.name}/{path.name}" for path in pinned()}
    wanted = {"lambda/requirements.txt", "batch/requirements.txt", "tests/requirements.txt"}
    assert {*wanted, "local/emulator-requirements.txt", "tests/audit.txt"} <= names


def test_accepted_holes_have_reasons() -> None:
    """Each advisory that is accepted says why."""
    assert all(accepted(ACCEPTED.read_text("utf-8")).values())
    assert accepted("# said\nCVE-1 not called\n") == {"CVE-1": "not called"}
