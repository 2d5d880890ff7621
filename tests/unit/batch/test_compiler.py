"""Workflows as state machines: the committed definitions, and the rules that each one keeps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch.catalogue import KINDS
from batch.workflows.compiler import (
    INVOKE,
    INVOKE_AND_WAIT,
    SUBMIT_JOB,
    compiled,
    definition,
    failed_stage,
    shipped_path,
    stage_of,
)
from tests.browser.npm import installed
from worker.domain.workflow import INPUT
from worker.recipes.workflow import load, parse, shipped

VALIDATOR = "asl-validator@4.0.0"
EVERYTHING = """
name = "everything"
version = 3
starts = "always"
first = "way"
failed = "secure"
stages.way = { kind = "choose", input = "media", on = { video = "work" }, otherwise = "labels" }
stages.labels = { kind = "label", next = "ask", timeout_seconds = 60, attempts = 3 }
stages.work = { kind = "parallel", branches = { big = "large", told = "tell" }, next = "open" }
stages.again = { kind = "render", next = "end" }
stages.tell = { kind = "webhook", endpoint = "shop", next = "end" }
stages.open = { kind = "publish", next = "end" }
stages.no = { kind = "reject", next = "end" }
stages.secure = { kind = "quarantine", next = "broken" }
stages.broken = { kind = "fail", error = "Broken", message = "Look at it." }

[stages.ask]
kind = "moderate"
on = { pass = "open", hold = "people", blur = "people", reject = "no" }

[stages.people]
kind = "approve"
default = "reject"
deadline_hours = 2
escalate_hours = 0.5
people = 2
on = { approved = "open", rejected = "no" }

[stages.large]
kind = "job"
job = "deepzoom"
parameters = { tile_size = 512, layout = "dzi" }
next = "again"
timeout_seconds = 900
"""
MACHINES = {
    **{name: compiled(load(name)) for name in shipped()},
    "everything": compiled(parse(EVERYTHING, jobs=KINDS)),
}
each = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def levels(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A machine, and the branches in it."""
    yield machine
    for state in machine["States"].values():
        for branch in state.get("Branches", ()):
            yield from levels(branch)


def tasks(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and states of all tasks."""
    for level in levels(machine):
        for name, state in level["States"].items():
            if state["Type"] == "Task":
                yield name, state


@pytest.mark.parametrize("name", shipped())
def test_the_committed_definitions_are_those_of_the_files(name: str) -> None:
    """``python -m batch.workflows`` writes them."""
    assert shipped_path(name).read_text("utf-8") == definition(load(name, jobs=KINDS))


def test_no_other_definition_is_committed() -> None:
    """One whose workflow is gone would be deployed by nobody."""
    folder = shipped_path("x").parent
    assert {path.name for path in folder.glob("*.asl.json")} == {
        shipped_path(name).name for name in shipped()
    }


@each
def test_every_state_is_reached_and_leads_on(machine: dict[str, Any]) -> None:
    """On each level; a state ends, or names states that are there."""
    for level in levels(machine):
        found, left = set(), [level["StartAt"]]
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            state = level["States"][name]
            ways = [state, *state.get("Choices", ()), *state.get("Catch", ())]
            after = [way[key] for way in ways for key in ("Next", "Default") if key in way]
            assert after or state.get("End") or state["Type"] in {"Succeed", "Fail"}
            left += after
        assert found == level["States"].keys()


@each
def test_every_task_is_tried_again_by_class_of_error(machine: dict[str, Any]) -> None:
    """With exponential backoff and full jitter, and never for an error that stays."""
    throttled = {
        SUBMIT_JOB: "Batch.TooManyRequestsException",
        INVOKE: "Lambda.TooManyRequestsException",
        INVOKE_AND_WAIT: "Lambda.TooManyRequestsException",
    }
    for name, task in tasks(machine):
        names = [one for rule in task["Retry"] for one in rule["ErrorEquals"]]
        assert throttled[task["Resource"]] in names, name
        assert len(names) == len(set(names))
        assert not {"States.ALL", "States.Timeout", "States.TaskFailed"} & {*names}
        if task["Resource"] != SUBMIT_JOB:
            assert {"TransientError", "Throttled"} < {*names}
        for rule in task["Retry"]:
            assert rule["JitterStrategy"] == "FULL"
            assert (rule["BackoffRate"], rule["MaxDelaySeconds"]) == (2, 300)


@each
def test_every_error_leads_to_a_named_end(machine: dict[str, Any]) -> None:
    """Each task outside of branches is caught, but those of the failure path themselves."""
    for name, state in machine["States"].items():
        if state["Type"] not in {"Task", "Parallel"} or name == "Secure":
            continue
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
    fails = [state for state in machine["States"].values() if state["Type"] == "Fail"]
    assert fails
    assert all(re.fullmatch("[A-Z][A-Za-z]+", state["Error"]) for state in fails)


@each
def test_only_what_waits_has_a_token_and_a_deadline(machine: dict[str, Any]) -> None:
    """A token anywhere else would be in the history and the logs of a call for nothing."""
    for _name, task in tasks(machine):
        waits = task["Resource"] == INVOKE_AND_WAIT
        assert ("$$.Task.Token" in json.dumps(task)) == waits
        if task["Resource"] != SUBMIT_JOB:
            assert task["TimeoutSeconds"] > 0
        if waits:
            assert task["Catch"][0]["ErrorEquals"] == ["States.Timeout"]


@each
def test_what_the_function_is_told(machine: dict[str, Any]) -> None:
    """The contract of a stage; all that is read of the input is in every input."""
    for _name, task in tasks(machine):
        if task["Resource"] != SUBMIT_JOB:
            payload = task["Parameters"]["Payload"]
            wanted = {"task", "stage", "workflow", "asset.$", "version.$", "execution.$"}
            assert wanted | {"traceparent.$"} <= payload.keys()
    fields = set(re.findall(r"(?<!\$)\$\.([a-z_]+)", json.dumps(machine)))
    assert fields <= INPUT | {"answer", "failure", "jobs", "resume"}


def test_a_deadline_is_waited_for_twice() -> None:
    """Until the review is escalated, and then for the rest of the time."""
    states = MACHINES["everything"]["States"]
    first, second = states["People"], states["People escalated"]
    assert (first["TimeoutSeconds"], second["TimeoutSeconds"]) == (1800, 5400)
    assert first["Catch"][0]["Next"] == "People escalated"
    assert second["Catch"][0]["Next"] == "People expired"
    told = [one["Parameters"]["Payload"] for one in (first, second)]
    assert [one["escalated"] for one in told] == [False, True]
    # Both mean the same moment, which is when the machine stops to wait.
    assert [one["deadline_seconds"] for one in told] == [7200, 5400]
    assert [one["needed"] for one in told] == [2, 2]
    assert states["People expired"]["Parameters"]["Payload"]["default"] == "reject"
    rules = {one["StringEquals"]: one["Next"] for one in states["People outcome"]["Choices"]}
    assert rules == {
        "approved": "Open",
        "rejected": "No",
        "stale": "Nothing left",
        "withdrawn": "Nothing left",
    }


def test_a_resumed_run_begins_with_its_stage() -> None:
    """Where the first stage is a choice it costs no transition, elsewhere one."""
    states = MACHINES["approve"]["States"]
    assert MACHINES["approve"]["StartAt"] == "Begin"
    assert states["Begin"]["Default"] == "Labels"
    resumed = {one["And"][1]["StringEquals"]: one["Next"] for one in states["Begin"]["Choices"]}
    assert resumed == {
        "people": "People",
        "publish": "Publish",
        "reject": "Reject",
        "secure": "Secure",
    }
    assert MACHINES["video"]["StartAt"] == "Medium"
    assert MACHINES["video"]["States"]["Medium"]["Choices"][0]["And"][1]["StringEquals"] == "video"


def test_the_stage_of_a_state() -> None:
    """The failed stage has its name in the file; a branch counts as its parallel stage."""
    everything = parse(EVERYTHING, jobs=KINDS)
    found = {
        state: stage_of(everything, state)
        for state in ("People escalated", "Ask outcome", "Large", "Told failed", "Begin", "Open")
    }
    assert found == {
        "People escalated": "people",
        "Ask outcome": "ask",
        "Large": "work",
        "Told failed": "",
        "Begin": "",
        "Open": "open",
    }


@pytest.mark.parametrize(
    ("name", "states", "stage"),
    [
        ("approve", "Begin Labels People Secure Broken", "people"),
        ("approve", "Begin Labels People", "people"),
        ("approve", "Begin", ""),
        ("approve", "", ""),
        ("moderate", "Begin Ask Unavailable Secure", "unavailable"),
        ("video", "Medium Video Division Transcode Poster Finish NotFinished", "finish"),
        ("video", "Medium Video Division Poster Finish JobsFailed", "video"),
        ("video", "Medium Image Pictures Finish JobsFailed", "image"),
        ("video", "Medium UnknownMedium", "medium"),
    ],
)
def test_the_stage_that_a_run_has_failed_in(name: str, states: str, stage: str) -> None:
    """Not the end that the failure path leads to; jobs where they are what failed."""
    assert failed_stage(load(name), states.split()) == stage


def test_a_job_is_the_command_that_the_image_takes() -> None:
    """Texts of the file are literals, fields of the input are filled in."""
    state = MACHINES["everything"]["States"]["Work"]["Branches"][0]["States"]["Large"]
    command = state["Parameters"]["ContainerOverrides"]["Command.$"]
    assert command.startswith("States.Array('run', 'deepzoom', '--input', $.source, ")
    assert command.endswith("'--param', 'tile_size=512', '--param', 'layout=dzi')")
    assert state["TimeoutSeconds"] == 900
    assert "Catch" not in state


@pytest.fixture(scope="module")
def validator() -> Path:
    """Somebody else's validator of the Amazon States Language."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    return (
        installed("asl-validator", VALIDATOR)
        / "asl-validator"
        / "dist"
        / "bin"
        / "asl-validator.js"
    )


def valid(program: Path, machine: dict[str, Any], folder: Path) -> bool:
    """Whether the validator finds nothing."""
    file = folder / "machine.asl.json"
    file.write_text(json.dumps(machine))
    done = subprocess.run(
        ["node", str(program), "--json-path", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0


@each
def test_definitions_are_of_the_language(
    machine: dict[str, Any], validator: Path, tmp_path: Path
) -> None:
    """The schema of the language and its paths; the same with a mistake in it is refused."""
    assert valid(validator, machine, tmp_path)
    broken = json.loads(json.dumps(machine))
    broken["States"][machine["StartAt"]]["Default"] = "Nowhere"
    assert not valid(validator, broken, tmp_path)
