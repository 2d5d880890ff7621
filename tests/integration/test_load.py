"""Load on a local stack: real uploads, real outcomes, and what is said of them."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.running import COMMAND, ROOT, Running, environment, picture, until
from worker.codec import build
from worker.domain.load import LoadReport

MIX = """
[clients]
duplicates = 0.3
abandoned = 0.1
cut = 0.2
slow = 0.2
slow_bytes_per_second = 20_000

[[files]]
path = "small.jpg"
share = 0.6

[[files]]
path = "small.png"
method = "multipart"
share = 0.2

[[files]]
path = "text.jpg"
expect = "unknown_format"
share = 0.2
"""


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    """Small files, and one that is no picture."""
    picture(tmp_path, "small.jpg")
    picture(tmp_path, "square.jpg", size=(200, 200)).rename(tmp_path / "small.png")
    (tmp_path / "text.jpg").write_text("Dear reader, this is a text." * 50)
    path = tmp_path / "mix.toml"
    path.write_text(MIX)
    return path


def test_a_run_loses_and_doubles_nothing(running: Running, mix: Path, tmp_path: Path) -> None:
    """Copies, bad files and bad connections; the check has read every file and every event."""
    out, svg = tmp_path / "load.json", tmp_path / "load.svg"

    found = running.json(
        *("load", "--rate", "8", "--for", "2s", "--mix", str(mix), "--seed", "13"),
        *("--out", str(out), "--svg", str(svg)),
    )

    report = build(LoadReport, json.loads(out.read_text()))
    assert found["findings"] == []
    assert found["uploads"] == len(report.outcomes) == 10
    assert {one.status for one in report.outcomes} == {"accepted", "rejected", "waiting"}
    for trait in ("duplicate_of", "abandoned", "cut", "slow"):
        assert any(getattr(one, trait) not in (None, False) for one in report.outcomes), trait
    stages = found["stages"]
    arrived = sum(not one.abandoned for one in report.outcomes)
    assert stages["uploaded"]["count"] == stages["accepted"]["count"] == arrived
    assert stages["served"]["count"] == sum(one.status == "accepted" for one in report.outcomes)
    assert 0 < stages["uploaded"]["p50"] < stages["accepted"]["p50"]
    assert found["files_checked"] > stages["served"]["count"]
    assert found["events_checked"] >= arrived
    assert svg.read_text().startswith("<?xml")
    again = running.json("load", "--from", str(out))
    assert again == found


def test_a_stopped_run_reports_what_was_done(running: Running, mix: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle: no more is sent, and nothing of it is wrong."""
    out = tmp_path / "load.json"
    command = (*COMMAND, "load", "--rate", "4", "--for", "1h", "--mix", str(mix))
    with subprocess.Popen(
        (*command, "--data", str(running.data), "--out", str(out)),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "begun" in process.stderr.readline()  # after some seconds
        process.send_signal(signal.SIGINT)
        until(out.exists)
        output, _ = process.communicate()

    report = build(LoadReport, json.loads(out.read_text()))
    assert process.returncode == 130
    assert report.stopped
    assert report.findings == ()
    assert "stopped early" in output
    assert "nothing lost, nothing doubled" in output
