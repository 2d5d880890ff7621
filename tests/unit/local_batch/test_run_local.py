"""Where jobs that run without a stack leave their logs, and for how long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.domain.errors import AccessDenied
from worker.local.batch.run_local import forget_old_runs, runs_folder
from worker.local.batch.runner import KEPT_DAYS

DAY = 86_400
NOW = 1_800_000_000.0


def test_logs_are_in_the_state_folder_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the XDG specification has it; made for its owner alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert runs_folder() == tmp_path / ".local" / "state" / "safelight" / "jobs"

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert runs_folder() == tmp_path / "state" / "safelight" / "jobs"
    assert runs_folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("home", ["a file", "relative"])
def test_without_a_home_logs_are_in_the_temporary_folder(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One place for each user, too."""
    (tmp_path / "a file").touch()
    place = "relative" if home == "relative" else str(tmp_path / home)
    monkeypatch.setenv("XDG_STATE_HOME", place)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert runs_folder() == tmp_path / f"safelight-{os.getuid()}" / "jobs"


def test_no_place_for_logs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything runs."""
    (tmp_path / f"safelight-{os.getuid()}").touch()
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(AccessDenied, match="cannot be written"):
        runs_folder()


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    """With everything in them; those of the last days stay."""
    for name, days in (("old", KEPT_DAYS + 1), ("new", KEPT_DAYS - 1)):
        log = tmp_path / name / "logs" / "job" / "1.log"
        log.parent.mkdir(parents=True)
        log.touch()
        os.utime(tmp_path / name, (NOW - days * DAY, NOW - days * DAY))

    forget_old_runs(tmp_path, now=NOW)

    assert [path.name for path in tmp_path.iterdir()] == ["new"]
