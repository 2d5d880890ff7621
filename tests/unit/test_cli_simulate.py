"""``safelight simulate``: what it prints, draws and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.entrypoints.cli import run

SMALL = ("--preset", "dev", "--images-per-day", "1e6", "--steady", "30s")
SPIKE = (*SMALL, "--spike", "10x", "--for", "60s")


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command line prints that ends well."""
    code = run(["simulate", *map(str, arguments)])
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    return said.out


def test_a_spike_is_told_and_drawn_with_its_first_bottleneck(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The preset dev makes ten invocations at the same time: 21 uploads a second."""
    chart = tmp_path / "spike.svg"
    out = printed(capsys, *SPIKE, "--svg", chart, "--videos-per-day", 5000)
    assert "first bottleneck: invocations that the queue may make at the same time, 2" in out
    assert "intake.maximumConcurrency: 70 for 116 uploads a second" in out
    assert "dead letters 0" in out
    assert "jobs " in out
    assert "a million uploads" in out
    drawn = chart.read_text()
    assert "invocations that the queue may make" in drawn
    assert "instances at work" in drawn


def test_json_has_everything_and_settings_change_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the recommended setting the first bottleneck is gone; equal seeds give equal runs."""
    changed = (*SPIKE, "--set", "intake.maximumConcurrency=70", "--json")
    first, second = (json.loads(printed(capsys, *changed)) for _ in range(2))
    assert first == second
    assert first["schema"] == "safelight.simulation/1"
    assert first["topology"]["source"]["most"] == 70
    uploads = first["uploads"]
    parts = ("accepted", "dead", "rejected", "left")
    assert uploads["offered"] == sum(uploads[name] for name in parts)
    assert [one["cause"] for one in first["bottlenecks"]][:1] != ["source"]
    assert first["latency"]["p50"] < 30
    assert first["cost"]["million"] > 0
    assert len(first["samples"]) > 100


def test_the_rules_are_printed_with_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    """Each figure says whether AWS documents it."""
    found: list[dict[str, Any]] = json.loads(printed(capsys, "--rules", "--json"))
    ramp = next(one for one in found if one["name"] == "source_ramp")
    assert (ramp["value"], ramp["kind"]) == (300, "documented")
    assert "source_ramp" in printed(capsys, "--rules")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--spike", "fast"], "usage"),
        (["--for", "soon"], "usage"),
        (["--preset", "none"], "input_missing"),
        (["--set", "maximumConcurrency"], "parameters_invalid"),
        (["--set", "intake.maximumConcurrency=1000000"], "configuration_invalid"),
        (["--svg", "chart.gif"], "input_invalid"),
        (["--faults", "there-is-none.toml"], "input_missing"),
        (["--durations", "there-is-none.json"], "input_missing"),
        (["--spike", "5000x"], "parameters_invalid"),
    ],
)
def test_what_is_no_load_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: str
) -> None:
    """A stable code, and nothing on standard output."""
    assert run(["simulate", *arguments, "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["error"]["code"] == code
