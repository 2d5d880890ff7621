"""Files of state machines: the ones that ship are sound, and mistakes in one are all named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import batch.workflows
from batch import catalogue
from worker.domain.errors import WorkflowError
from worker.local.state_machine.definition import (
    INVOKE,
    SUBMIT_JOB,
    Machine,
    Type,
    load,
    places_in,
    read,
)
from worker.local.state_machine.process import substitutions
from worker.local.state_machine.tasks import job_request

FOLDER = Path(batch.workflows.__file__).parent
FILES = sorted(FOLDER.glob("*.asl.json"))
END: dict[str, Any] = {"Type": "Succeed"}
JOB = {"Type": "Task", "Resource": SUBMIT_JOB, "End": True}
INPUT = {
    "name": "asset-version",
    "asset": "0a0b",
    "version": "1234",
    "media": "video",
    "divided": True,
    "source": "s3://intake/film.mp4",
    "output": "s3://delivery/aa/0a0b/1234",
    "recipe": "default",
    "max_seconds": 14400,
    "groups": 4,
}


def shipped(file: Path) -> Machine:
    """A file as it is deployed here."""
    return load(read(file, substitutions(file)))


def machine(states: dict[str, Any], start: str = "A") -> str:
    """A file of these states."""
    return json.dumps({"StartAt": start, "States": states})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_files_that_ship_are_sound(file: Path) -> None:
    """Every state is reached, every next one exists, every expression is understood."""
    found = shipped(file)
    assert any(state.type is Type.FAIL for state in found.states.values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_task_is_tried_again_when_it_is_throttled(file: Path) -> None:
    """And no failing job ends an execution before the record is committed."""
    throttled = {
        SUBMIT_JOB: "Batch.TooManyRequestsException",
        INVOKE: "Lambda.TooManyRequestsException",
    }
    for name, state in shipped(file).all_states():
        if state.type is not Type.TASK:
            continue
        assert any(throttled[state.resource] in rule.errors for rule in state.retry), name
        if state.resource == SUBMIT_JOB:
            assert [catcher.errors for catcher in state.catch] == [("States.ALL",)], name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_job_is_one_that_the_catalogue_accepts(file: Path) -> None:
    """Kind, parameters and array: a mistake here would show on AWS only."""
    jobs = [s for _, s in shipped(file).all_states() if s.resource == SUBMIT_JOB]
    assert jobs
    for state in jobs:
        assert state.parameters is not None
        request = job_request(state.parameters(INPUT, {}))
        kind = catalogue.kind(request.kind)
        assert all(kind.parameter(name) for name in request.parameters), request
        assert kind.array or request.array_size is None
        assert request.inputs == (INPUT["source"],)
        assert request.output in {INPUT["output"], f"{INPUT['output']}/{_place(request.kind)}"}
        assert request.asset == INPUT["asset"]


def _place(kind: str) -> str:
    """The jobs of a divided transcode share a place."""
    return "transcode" if kind.startswith("transcode-") else kind


def test_what_a_file_wants_is_named() -> None:
    """Whoever deploys it must know; a substitution that is missing is refused."""
    file = FOLDER / "heavy.asl.json"
    assert {"Queue", "JobTranscode", "WorkflowFunction"} <= places_in(file)
    with pytest.raises(WorkflowError, match="JobTranscode"):
        read(file, {"Queue": "q"})


def test_a_substitution_cannot_break_out_of_its_text(tmp_path: Path) -> None:
    """A quote in an ARN stays a quote."""
    file = tmp_path / "x.json"
    file.write_text('{"a": "${Name}"}')
    assert json.loads(read(file, {"Name": 'x", "b": "\\'})) == {"a": 'x", "b": "\\'}


def choice(test: dict[str, Any], more: dict[str, Any] | None = None) -> str:
    """A file with a choice by one test."""
    rule = {"Variable": "$.x", "Next": "B", **test}
    rest = {"Default": "B"} if more is None else more
    return machine({"A": {"Type": "Choice", "Choices": [rule], **rest}, "B": END})


def parallel(*branches: dict[str, Any]) -> str:
    """A file with these branches."""
    return machine({"A": {"Type": "Parallel", "Branches": list(branches), "End": True}})


BROKEN = {
    "not JSON": ("{", "not JSON"),
    "no states": ("{}", "no object with States"),
    "no such start": (machine({"B": END}), "there is no state 'A'"),
    "no such next": (machine({"A": {"Type": "Pass", "Next": "C"}}), "there is no state 'C'"),
    "never reached": (machine({"A": END, "B": END}), "B: is never reached"),
    "loop": (
        machine({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "Next": "A"}}),
        "is in a loop",
    ),
    "unknown type": (machine({"A": {"Type": "Wait", "Seconds": 1, "End": True}}), "no Type"),
    "unknown field": (machine({"A": JOB | {"HeartbeatSeconds": 9}}), "A.HeartbeatSeconds"),
    "unknown top field": (
        json.dumps({"StartAt": "A", "States": {"A": END}, "TimeoutSeconds": 5}),
        "TimeoutSeconds: is not understood",
    ),
    "JSONata": (
        json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": END}}),
        "only JSONPath",
    ),
    "other resource": (
        machine({"A": JOB | {"Resource": "arn:aws:states:::sqs:sendMessage"}}),
        "sqs:sendMessage",
    ),
    "next and end": (machine({"A": JOB | {"Next": "B"}, "B": END}), "either Next or End"),
    "neither": (machine({"A": {"Type": "Pass"}}), "either Next or End"),
    "bad path": (machine({"A": JOB | {"ResultPath": "$..x"}}), "A.ResultPath"),
    "bad function": (
        machine({"A": JOB | {"Parameters": {"x.$": "States.UUID()"}}}),
        "A.Parameters",
    ),
    "retry without errors": (machine({"A": JOB | {"Retry": [{}]}}), "A.Retry[0]: ErrorEquals"),
    "all and more": (
        machine({"A": JOB | {"Retry": [{"ErrorEquals": ["States.ALL", "X"]}]}}),
        "stands alone",
    ),
    "catch to nowhere": (
        machine({"A": JOB | {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}]}}),
        "no state 'C'",
    ),
    "no default": (choice({"IsPresent": True}, {}), "no Default"),
    "unknown test": (choice({"StringMatches": "a*"}), "StringMatches"),
    "test of another type": (choice({"StringEquals": 4}), "wrong type"),
    "same name in a branch": (parallel({"StartAt": "A", "States": {"A": END}}), "there twice"),
    "no branches": (parallel(), "no Branches"),
    "branch with a mistake": (parallel({"StartAt": "B", "States": {}}), "A[0].StartAt"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_mistakes_are_refused_when_the_file_is_read(name: str) -> None:
    """What is not understood is never passed over."""
    text, message = BROKEN[name]
    with pytest.raises(WorkflowError) as caught:
        load(text)
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    """Nobody mends a file in five rounds."""
    with pytest.raises(WorkflowError) as caught:
        load(machine({"A": JOB | {"Resource": "x", "Oops": 1}, "B": END}))
    assert len(caught.value.problems) == 3
