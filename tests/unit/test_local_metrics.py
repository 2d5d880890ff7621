"""Metrics of the local stack are read from logs that may end anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.adapters import emf
from worker.domain import metrics
from worker.domain.metrics import METRICS, Statistic
from worker.entrypoints.cli import run
from worker.local import metrics as local

NOW = 1_800_000_000.0


def lines(now: float = NOW) -> list[str]:
    """What was counted, as a process writes it."""
    return [json.dumps(one) for one in emf.lines(metrics.take(), "ingest", "Safelight/x", now=now)]


def log(data: Path, name: str, *written: str) -> Path:
    """A log of a stack."""
    path = data / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{one}\n" for one in written), "utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A stack whose worker and job have counted."""
    for seconds in (0.5, 0.25, 1.0):
        metrics.add(metrics.STAGE_SECONDS, seconds, stage="render")
    metrics.add(metrics.UPLOADS, 2, outcome="accepted")
    log(tmp_path, "logs/worker-1.log", "safelight: started", *lines(NOW - 600))
    metrics.add(metrics.UPLOADS, outcome="accepted")
    metrics.add(metrics.BYTES_IN, 1_000)
    metrics.add(metrics.COST_PER_IMAGE, 0.00001)
    log(tmp_path, "logs/worker-2.log", *lines())
    metrics.add(metrics.JOBS, kind="poster", outcome="done")
    log(tmp_path, "batch/logs/job/1.log", *lines())
    return tmp_path


def test_all_logs_are_added_up(data: Path) -> None:
    """Of all processes and jobs; durations by their percentile, counts by their sum."""
    found = {
        (one.metric.name, *(value for _, value in one.dimensions)): one.figure
        for one in local.summarise(local.read(local.logs(data)))
    }

    assert found == {
        ("BytesIn",): 1_000,
        ("CostPerImage",): 0.00001,
        ("Jobs", "poster", "done"): 1,
        ("StageSeconds", "render"): 1.0,
        ("Uploads", "accepted"): 3,
    }


def test_only_the_last_minutes_are_read_if_wanted(data: Path) -> None:
    """By the time that each line has."""
    found = local.summarise(local.read(local.logs(data), since=NOW - 60))

    assert {one.metric.name: one.figure for one in found}["Uploads"] == 1


@pytest.mark.parametrize(
    "broken",
    [
        '{"_aws": ',
        '{"_aws": 1}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Dimensions": [["x"]]}]}}',
        '{"_aws": {"Timestamp": "soon", "CloudWatchMetrics": []}}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Dimensions": [[]], "Metrics":'
        ' [{"Name": "Uploads"}]}]}, "Uploads": "many"}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Dimensions": [[]], "Metrics":'
        ' [{"Name": "OfAnOlderOne"}]}]}, "OfAnOlderOne": 1}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Dimensions": [[]], "Metrics":'
        ' [{"Name": "Uploads"}]}]}, "Uploads": Infinity}',
        '["_aws"]',
        "[" * 100_000 + '"_aws"',
        '"_aws" \udcff',
    ],
)
def test_a_line_that_is_none_is_skipped(broken: str, tmp_path: Path) -> None:
    """A process may be killed while it writes; the lines around it count."""
    metrics.add(metrics.EVENTS, 3)
    (whole,) = lines()
    path = tmp_path / "logs" / "services.log"
    path.parent.mkdir()
    path.write_bytes(f"{broken}\n{whole}\n{broken}".encode(errors="surrogateescape"))

    assert [one.value for one in local.read([path])] == [3]


def test_a_log_that_has_gone_is_skipped(data: Path) -> None:
    """Logs are removed at the start of a stack when they are large."""
    paths = local.logs(data)
    paths[0].unlink()

    assert len(local.summarise(local.read(paths))) == 4


@pytest.mark.parametrize(
    ("kind", "figure"),
    [
        (Statistic.SUM, 55.0),
        (Statistic.AVERAGE, 5.5),
        (Statistic.MAXIMUM, 10.0),
        (Statistic.P90, 9.0),
    ],
)
def test_statistics_are_those_of_cloudwatch(kind: Statistic, figure: float) -> None:
    """Nine of the ten numbers are not above the ninth."""
    assert local.statistic(kind, tuple(float(one) for one in range(1, 11))) == figure
    assert local.statistic(kind, (7.0,)) == 7.0


def test_the_command_prints_figures_in_their_units(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row for each metric and its dimensions; standard error says how many there are."""
    assert run(["metrics", "--data", str(data)]) == 0

    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()[1:]]
    assert ["StageSeconds", "p90", "1.000", "s", "3", "stage=render"] in rows
    assert ["BytesIn", "Sum", "1,000", "B", "1"] in rows
    assert ["CostPerImage", "Average", "$0.000010000", "1"] in rows
    assert ["Jobs", "Sum", "1", "1", "kind=poster,", "outcome=done"] in rows
    assert printed.err == f"5 of {len(METRICS)} metrics were counted\n"


def test_a_stack_that_has_counted_nothing_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No data is no error; a folder without a stack is one."""
    log(tmp_path, "logs/worker-1.log", "started")

    assert run(["metrics", "--data", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(["metrics", "--data", str(tmp_path / "nowhere")]) == 2
    assert "input_missing" in capsys.readouterr().err
