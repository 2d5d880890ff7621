"""A run of ``safelight load`` and its simulation side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_local_metrics import lines, log
from worker import codec
from worker.domain import metrics
from worker.domain.load import LoadReport, Mix, MixFile, UploadOutcome
from worker.entrypoints.cli import run

STARTED, SECONDS = "2027-01-15T08:00:00+00:00", 1_800_000_000.0
"""The same moment twice."""


def outcome(number: int, uploaded: float, accepted: float | None) -> UploadOutcome:
    """An upload of one run."""
    return UploadOutcome(
        number=number,
        at=uploaded - 0.1,
        file="a.jpg",
        expect="accepted",
        bytes=1,
        uploaded=uploaded,
        accepted=accepted,
        status="waiting" if accepted is None else "accepted",
    )


def report(path: Path, outcomes: list[UploadOutcome]) -> Path:
    """A report as the command writes it."""
    found = LoadReport(
        mix=Mix(files=(MixFile(name="a.jpg", share=1.0),)),
        rate=1.0,
        seconds=60.0,
        seed=1,
        tag="load",
        started=STARTED,
        elapsed=120.0,
        outcomes=tuple(outcomes),
    )
    path.write_text(json.dumps(codec.plain(found, defaults=True)))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A stack of two workers that have counted 0.2 + 0.5 + 0.1 s an upload in that run."""
    for stage, seconds in (("fetch", 0.2), ("render", 0.5), ("commit", 0.1), ("deliver", 9.0)):
        for _ in range(60):
            metrics.add(metrics.STAGE_SECONDS, seconds, stage=stage)
    log(tmp_path, "logs/worker-1.log", *lines(SECONDS + 30))
    metrics.add(metrics.STAGE_SECONDS, 90.0, stage="render")
    log(tmp_path, "logs/worker-2.log", *lines(SECONDS - 30))
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], path: Path, data: Path) -> tuple[int, Any]:
    """The exit code and the data of a comparison."""
    code = run(["simulate", "--validate", str(path), "--data", str(data), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_run_without_waiting_is_as_long_as_its_work(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One upload a second, two workers: 0.7 s to the last stage, and the time of the pipe."""
    uploads = [outcome(one, float(one), one + 0.73) for one in range(60)]
    uploads.append(outcome(60, 60.0, None))  # is in no figure
    code, found = printed(capsys, report(tmp_path / "load.json", uploads), data)
    assert (code, found["uploads"], found["workers"]) == (0, 60, 2)
    assert found["service"]["seconds"] == pytest.approx(0.8)
    assert found["service"]["overlap"] == pytest.approx(1 - 0.5 / 0.8)
    p50, *_, rate = found["figures"]
    assert p50["simulated"] == pytest.approx(0.73, abs=0.01)
    assert rate["simulated"] == pytest.approx(60 / 59.73, rel=0.01)
    assert found["good"]


def test_a_stack_that_is_slower_than_its_simulation_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than 15 % apart in p50: the exit code says so."""
    uploads = [outcome(one, float(one), one + 1.2) for one in range(60)]
    path = report(tmp_path / "load.json", uploads)
    code, found = printed(capsys, path, data)
    assert (code, found["good"]) == (1, False)
    assert run(["simulate", "--validate", str(path), "--data", str(data)]) == 1
    out = capsys.readouterr().out
    assert "60 uploads, 2 workers" in out
    assert "not within 15%" in out


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"schema": "safelight.load/1"}'])
def test_what_is_no_report_is_refused(
    text: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of something else, and one that is not there."""
    path = tmp_path / "other.json"
    path.write_text(text)
    for file, code in ((path, "input_invalid"), (tmp_path / "none.json", "input_missing")):
        arguments = ["simulate", "--validate", str(file), "--data", str(data), "--json"]
        assert run(arguments) == 2
        assert json.loads(capsys.readouterr().err)["error"]["code"] == code


def test_logs_of_another_stack_are_no_measurement(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without workers, or without an upload in the time of the run, nothing is compared."""
    path = report(tmp_path / "load.json", [outcome(0, 1.0, 2.0)])
    (data / "logs" / "worker-1.log").write_text("")
    for folder, code in ((data, "input_invalid"), (tmp_path / "empty", "input_missing")):
        arguments = ["simulate", "--validate", str(path), "--data", str(folder), "--json"]
        assert run(arguments) == 2
        assert json.loads(capsys.readouterr().err)["error"]["code"] == code
