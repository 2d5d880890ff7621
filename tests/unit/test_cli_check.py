"""``safelight check`` and ``safelight chaos run``: files that cannot be used, and the last line."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.entrypoints.cli import run
from worker.entrypoints.cli.output import violations_text
from worker.services.invariants import Invariant, Violation


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--out", "/proc/safelight"), 3, "error[output_unwritable]: --out /proc/safelight"),
        (("--plan", "gone.toml"), 2, "error[input_missing]: gone.toml: there is no such file"),
        (("--plan", "empty.toml"), 2, "seed: is missing"),
    ],
)
def test_a_run_of_faults_that_cannot_begin_says_why(
    options: tuple[str, ...],
    code: int,
    said: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is started."""
    monkeypatch.chdir(tmp_path)
    Path("empty.toml").write_text("")
    assert run(["chaos", "run", *options]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ((Invariant.LOST,), "1 violation of 1 rule"),
        ((Invariant.LOST, Invariant.FILE, Invariant.FILE), "3 violations of 2 rules"),
    ],
)
def test_violations_and_rules_are_counted_apart(rules: tuple[Invariant, ...], said: str) -> None:
    """One rule may be broken by many files."""
    found = [Violation(rule=rule, subject=str(n), message="") for n, rule in enumerate(rules)]
    assert violations_text(found) == said
