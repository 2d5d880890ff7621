"""Every log line about an asset, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.cli_pipeline import Pipeline, pipeline
from worker.domain import trace
from worker.domain.errors import AssetMissing
from worker.local import address
from worker.ports import LogLine
from worker.services.asset_logs import AssetLogs, read_line

OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
THIRD = "00-cccccccccccccccccccccccccccccccc-bbbbbbbbbbbbbbbb-01"


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline without assets."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as made:
        yield made


@dataclass
class MemoryLogs:
    """``ports.LogStore`` of some lines."""

    texts: Sequence[str]
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def lines(self, words: Sequence[str], *, since: str = "") -> Sequence[LogLine]:
        """See the port."""
        self.asked.append((*words, since))
        return [
            LogLine(text=one, source="file")
            for one in self.texts
            if any(word in one for word in words)
        ]


def line(second: int, **fields: object) -> str:
    """As Powertools writes it."""
    time = f"2026-01-01 00:00:{second:02},500+0000"
    return json.dumps({"level": "INFO", "timestamp": time, "service": "ingest", **fields})


def test_lines_of_an_asset_and_of_its_traces_come_in_order(world: Pipeline) -> None:
    """Earlier uploads of it have traces that only its lines know; other assets' lines do not
    lead to theirs."""
    record = world.record("a.jpg")
    logs = MemoryLogs(
        [
            line(5, message="five", traceparent=record.source.trace),
            line(4, message="four", traceparent=OTHER),
            line(3, message="three", asset=record.asset, traceparent=OTHER),
            line(9, message="nine", asset="another", traceparent=THIRD),
            line(8, message="other", traceparent=OTHER, asset="another", also=THIRD),
            line(2, message="two", asset=record.asset),
            line(2, message="two", asset=record.asset),
        ]
    )

    found = AssetLogs(catalog=world.catalog, logs=logs).of_asset(record.asset)

    assert [one.message for one in found] == ["two", "three", "four", "five", "other"]
    assert found[0].time == "2026-01-01T00:00:02.500000Z"
    mine, sent = trace.trace_id(record.source.trace), trace.trace_id(OTHER)
    assert logs.asked == [
        (*sorted([record.asset, mine]), record.created_at),
        (sent, record.created_at),
    ]


def test_an_erased_asset_has_lines_as_long_as_there_are_logs(world: Pipeline) -> None:
    """And one that never was has an error."""
    asset = world.record("a.jpg").asset
    world.catalog.delete(asset)
    use = AssetLogs(catalog=world.catalog, logs=MemoryLogs([line(1, message="m", asset=asset)]))

    assert [one.message for one in use.of_asset(asset)] == ["m"]
    with pytest.raises(AssetMissing):
        use.of_asset("3fa85f64-5717-4562-b3fc-2c963f66afa6")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            line(1, message="ingested", location="x:1", bytes=7),
            ("ingest", "ingested", {"bytes": 7}),
        ),
        (
            json.dumps(
                {"time": "2026-01-01T00:00:01.5Z", "event": "failed", "job": "j", "message": "why"}
            ),
            ("batch", "failed why", {"job": "j"}),
        ),
        (
            json.dumps(
                {
                    "date": "2026-01-01",
                    "time": "00:00:01",
                    "cs-method": "GET",
                    "cs-uri-stem": "/a/b",
                    "sc-status": "200",
                    "sc-bytes": "9",
                    "x-edge-result-type": "Hit",
                }
            ),
            ("file", "GET /a/b 200 Hit", {}),
        ),
        ("2026-01-01T00:00:01.500+00:00 not started: why", ("file", "not started: why", {})),
        ('  File "a.py", line 7', ("file", '  File "a.py", line 7', {})),
        ('{"half', ("file", '{"half', {})),
        ("[1]", ("file", "[1]", {})),
    ],
    ids=["function", "job", "request", "words", "traceback", "half", "array"],
)
def test_each_kind_of_line_is_read(text: str, wanted: tuple[str, str, dict[str, object]]) -> None:
    """JSON of functions, jobs and requests, words of the local stack, whatever else is there."""
    read = read_line(LogLine(text=text, source="file", time="2026-01-01T00:00:01.000Z"))

    assert read is not None
    assert (read.service, read.message, read.fields) == wanted
    assert read.time.startswith("2026-01-01T00:00:01")


def test_a_line_of_metrics_is_for_no_reader() -> None:
    """It has figures of a whole batch."""
    text = json.dumps({"_aws": {}, "service": "ingest", "Copied": [1.0]})
    assert read_line(LogLine(text=text, source="f")) is None


def test_the_command_reads_processes_and_jobs(world: Pipeline) -> None:
    """From all files of the stack's folder, as text and as JSON."""
    record = world.record("a.jpg")
    logs = world.data / "logs"
    logs.mkdir()
    (logs / "worker-1.log").write_text(
        line(1, message="ingested", asset=record.asset, outcome="accepted") + "\n" + line(2) + "\n"
    )
    (logs / "worker-1.log.1").write_text(line(0, message="older", asset=record.asset) + "\n")
    job = world.data / address.JOBS / "logs" / "j"
    job.mkdir(parents=True)
    said = {"time": "2026-01-01T00:00:03Z", "event": "started", "job": "j", "kind": "poster"}
    (job / "1.log").write_text(json.dumps({**said, trace.NAME: record.source.trace}) + "\n")

    text, _ = world.run("logs", record.asset)

    assert text.splitlines() == [
        f"2026-01-01 00:00:00.500  ingest      older  asset={record.asset}",
        f"2026-01-01 00:00:01.500  ingest      ingested  asset={record.asset} outcome=accepted",
        "2026-01-01 00:00:03.000  batch       started  job=j kind=poster",
    ]
    values = [json.loads(one) for one in world.run("logs", record.asset, "--json")[0].splitlines()]
    assert values[2]["trace"] == record.source.trace
    assert values[1]["fields"] == {"asset": record.asset, "outcome": "accepted"}
    assert world.error("logs", "none")["code"] == "asset_missing"
    assert "--since" in world.error("logs", record.asset, "--since", "soon")["message"]
