"""``safelight workflow``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.workflows.compiler import compiled, definition
from tests.unit.cli_pipeline import Pipeline, pipeline
from worker.domain.asset import Status
from worker.domain.workflow import RunState
from worker.entrypoints.cli import run
from worker.recipes.workflow import SHIPPED, load

OWN = (SHIPPED / "approve.toml").read_text("utf-8").replace('"approve"', '"strict"', 1)


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline without a run."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as found:
        yield found


def test_a_file_is_compiled_to_what_is_deployed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the terminal, as a file and as JSON it is the same machine."""
    assert run(["workflow", "compile", "approve"]) == 0
    assert capsys.readouterr().out == definition(load("approve"))
    out = tmp_path / "machine.json"
    assert run(["workflow", "compile", "approve", "--out", str(out)]) == 0
    assert out.read_text("utf-8") == definition(load("approve"))
    assert "states" in capsys.readouterr().out
    assert run(["workflow", "compile", "approve", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == compiled(load("approve"))


def test_mistakes_are_listed_and_end_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file with mistakes is neither compiled nor written."""
    file, out = tmp_path / "strict.toml", tmp_path / "machine.json"
    file.write_text(OWN.replace('next = "people"', 'next = "peple"'), "utf-8")
    assert run(["workflow", "lint", str(file)]) == 1
    assert 'there is no stage "peple"; did you mean "people"?' in capsys.readouterr().out
    assert run(["workflow", "compile", str(file), "--out", str(out)]) == 2
    assert "error[workflow_invalid]" in capsys.readouterr().err
    assert not out.exists()


def test_a_workflow_is_shown_stage_by_stage(capsys: pytest.CaptureFixture[str]) -> None:
    """With what follows each, an error included."""
    assert run(["workflow", "show", "approve"]) == 0
    text = capsys.readouterr().out
    assert "people               approve    approved -> publish" in text
    assert "on error -> secure" in text


def test_runs_are_listed_and_shown(world: Pipeline) -> None:
    """In one state, or all; one with the states that it has been in."""
    assert world.run("workflow", "runs", "approve") == ("no runs\n", "")
    world.workflows.start("approve", "a-1", {})
    world.workflows.state = RunState.FAILED
    text, _ = world.run("workflow", "runs", "approve", "--state", "failed")
    assert text.startswith("failed")
    assert "ApprovalFailed: A stage failed." in text
    assert world.run("workflow", "runs", "approve", "--state", "running")[0] == "no runs\n"
    text, _ = world.run("workflow", "runs", "approve", "a-1")
    assert text.splitlines()[1].strip() == "Begin > Labels > People"
    assert "run_missing" in world.run("workflow", "runs", "approve", "a-2", code=2)[1]


def test_a_failed_run_is_resumed(world: Pipeline) -> None:
    """From the stage that failed, or from one that is named."""
    video = world.record("uploads/video.mp4", Status.PROCESSING, code="video")
    name = f"{video.asset}-{video.version}"
    world.workflows.start("video", name, {})
    assert "run_not_failed" in world.run("workflow", "resume", "video", name, code=2)[1]
    world.workflows.state = RunState.FAILED
    text, _ = world.run("workflow", "resume", "video", name)
    assert text.split()[:2] == ["started", f"{name}-2"]
    assert world.workflows.names[-1] == ("video", f"{name}-2")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stage", "poster"], "cannot be resumed from poster"),
        (["--file", "strict.toml"], "not of video"),
        (["--file", "none.toml"], "is not there"),
    ],
)
def test_what_is_no_stage_of_the_workflow_resumes_nothing(
    world: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    """A stage of a branch, another workflow's file, no file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strict.toml").write_text(OWN, "utf-8")
    assert says in world.run("workflow", "resume", "video", "a-1", *options, code=2)[1]
    assert world.workflows.names == []
