"""Executions: order, retries, catches, branches; the same result after a death at any moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.state_machine.fake_jobs import FakeJobs
from worker.domain.errors import JobRejected, Throttled, Unreachable
from worker.domain.job import JobState
from worker.local.state_machine.definition import INVOKE, SUBMIT_JOB, Machine, load
from worker.local.state_machine.evaluate import Ended, Evaluation
from worker.local.state_machine.store import Execution, Executions
from worker.local.state_machine.tasks import LocalTasks

ALL = ["States.ALL"]


def job(name: str, **more: Any) -> dict[str, Any]:
    """A state that runs the job of that name."""
    command = ["run", "poster", "--input", "in", "--output", "out", "--param", "width=9"]
    return {
        "Type": "Task",
        "Resource": SUBMIT_JOB,
        "Parameters": {
            "JobName": name,
            "JobQueue": "standard",
            "JobDefinition": "poster",
            "ContainerOverrides": {"Command": command},
        },
        **({} if "Next" in more else {"End": True}),
        **more,
    }


def call(**more: Any) -> dict[str, Any]:
    """A state that calls the function ``f`` with the whole input."""
    return {
        "Type": "Task",
        "Resource": INVOKE,
        "Parameters": {"FunctionName": "f", "Payload.$": "$"},
        "End": True,
        **more,
    }


def states(start: str, **held: Any) -> Machine:
    """A machine of these states."""
    return load(json.dumps({"StartAt": start, "States": held}))


class World:
    """One execution, looked at as often as wanted, by a new process each time."""

    def __init__(self, folder: Path, machine: Machine, value: Any = None) -> None:
        """Begin it."""
        self.file, self.machine = folder / "state.sqlite", machine
        self.value = {} if value is None else value
        self.jobs, self.calls, self.now = FakeJobs(), list[Any](), 1000.0
        self.answer: Any = {"fine": True}
        Executions(self.file).begin(
            Execution(id="e", workflow="w", name="e", definition="", input=self.value, started="t")
        )

    def function(self, payload: Any) -> Any:
        """The function ``f``."""
        self.calls.append(payload)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def look(self) -> Ended | None:
        """What a process does that has just been started."""
        return Evaluation(
            memory=Executions(self.file).steps("e"),
            tasks=LocalTasks(self.jobs, {"f": self.function}),
            context={"Execution": {"Name": "e"}},
            now=self.now,
        ).run(self.machine, self.value)


def test_a_job_is_submitted_once_and_awaited(tmp_path: Path) -> None:
    """However often somebody looks; the result goes where its path says."""
    world = World(tmp_path, states("A", A=job("a", ResultPath="$.job")), {"x": 1})
    for _ in range(3):
        assert world.look() is None
    (request,) = world.jobs.requests.values()
    assert (request.kind, request.parameters) == ("poster", {"width": "9"})
    world.jobs.end("a", JobState.SUCCEEDED, exit_code=0)
    ended = world.look()
    assert ended is not None
    assert ended.output["x"] == 1
    assert ended.output["job"]["Status"] == "SUCCEEDED"


def test_a_function_is_called_once(tmp_path: Path) -> None:
    """Its answer is remembered while what follows is awaited."""
    world = World(tmp_path, states("F", F=call(End=False, Next="A"), A=job("a")), {"x": 1})
    assert world.look() is None
    assert world.look() is None
    assert world.calls == [{"x": 1}]


def test_a_failed_job_is_a_failed_task_with_its_description(tmp_path: Path) -> None:
    """As Step Functions has it: the cause is the job in JSON."""
    world = World(tmp_path, states("A", A=job("a")))
    world.look()
    world.jobs.end("a", JobState.FAILED, exit_code=65)
    ended = world.look()
    assert ended is not None
    assert ended.error == "States.TaskFailed"
    assert json.loads(ended.cause)["Container"] == {"ExitCode": 65}
    assert world.look() == ended


def test_throttled_submissions_wait_and_are_tried_again(tmp_path: Path) -> None:
    """Each wait is longer, up to the longest; after the last attempt the task fails."""
    retry = {
        "ErrorEquals": ["Batch.TooManyRequestsException"],
        "IntervalSeconds": 2,
        "MaxAttempts": 3,
        "BackoffRate": 2,
        "MaxDelaySeconds": 5,
    }
    world = World(tmp_path, states("A", A=job("a", Retry=[retry])))
    world.jobs.refuses = [Throttled("slow down")] * 4
    for wait in (2, 4, 5):
        assert world.look() is None
        world.now += wait - 0.1
        left = len(world.jobs.refuses)
        assert world.look() is None
        assert len(world.jobs.refuses) == left
        world.now += 0.1
    ended = world.look()
    assert ended is not None
    assert ended.error == "Batch.TooManyRequestsException"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Throttled("x"), "Batch.TooManyRequestsException"),
        (Unreachable("x"), "Batch.ServerException"),
        (JobRejected("x"), "Batch.ClientException"),
    ],
)
def test_errors_have_the_names_of_step_functions(tmp_path: Path, error: Any, name: str) -> None:
    """A definition that matches them here matches them there."""
    world = World(tmp_path, states("A", A=job("a")))
    world.jobs.refuses = [error]
    ended = world.look()
    assert ended is not None
    assert ended.error == name


def test_what_a_function_raises_is_matched_by_its_class(tmp_path: Path) -> None:
    """As Lambda reports it; a retry calls the function again."""
    retry = {"ErrorEquals": ["Unreachable"], "IntervalSeconds": 1}
    world = World(tmp_path, states("F", F=call(Retry=[retry])))
    world.answer = Unreachable("no answer")
    assert world.look() is None
    world.answer = {"fine": True}
    world.now += 1
    ended = world.look()
    assert ended is not None
    assert ended.output["Payload"] == {"fine": True}


def test_a_caught_error_goes_on_with_what_happened(tmp_path: Path) -> None:
    """The input stays, and the error is beside it."""
    caught = [{"ErrorEquals": ALL, "ResultPath": "$.failure", "Next": "B"}]
    after = {
        "Type": "Pass",
        "Parameters": {"error.$": "$.failure.Error", "x.$": "$.x"},
        "End": True,
    }
    world = World(tmp_path, states("A", A=job("a", Catch=caught), B=after), {"x": 1})
    world.look()
    world.jobs.end("a", JobState.FAILED)
    ended = world.look()
    assert ended == Ended(output={"error": "States.TaskFailed", "x": 1})


def branch(name: str, **more: Any) -> dict[str, Any]:
    """A branch of one job."""
    return {
        "StartAt": name,
        "States": {name: job(name, ResultSelector={"n.$": "$.JobName"}, **more)},
    }


def test_branches_run_side_by_side_and_give_a_list(tmp_path: Path) -> None:
    """In the order of the definition, whatever ends first."""
    both = {
        "Type": "Parallel",
        "Branches": [branch("a"), branch("b")],
        "ResultPath": "$.r",
        "End": True,
    }
    world = World(tmp_path, states("P", P=both))
    assert world.look() is None
    assert set(world.jobs.requests) == {"a", "b"}
    world.jobs.end("b", JobState.SUCCEEDED)
    assert world.look() is None
    world.jobs.end("a", JobState.SUCCEEDED)
    assert world.look() == Ended(output={"r": [{"n": "a"}, {"n": "b"}]})


def test_a_failing_branch_stops_the_others(tmp_path: Path) -> None:
    """Nobody pays for work whose result is lost; a catch goes on afterwards."""
    both = {
        "Type": "Parallel",
        "Branches": [branch("a"), branch("b")],
        "Catch": [{"ErrorEquals": ALL, "ResultPath": None, "Next": "End"}],
        "End": True,
    }
    world = World(tmp_path, states("P", P=both, End={"Type": "Succeed"}), {"x": 1})
    world.look()
    world.jobs.end("a", JobState.FAILED)
    assert world.look() == Ended(output={"x": 1})
    assert world.jobs.stopped == ["b"]


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        ({"kind": "video", "size": 5}, "large"),
        ({"kind": "video", "size": 4}, "other"),
        ({"kind": "image", "size": 9}, "other"),
        ({"size": True, "kind": "video"}, "other"),
        ({"kind": "flag", "flag": True, "size": 0}, "flag"),
        ({"kind": "flag", "flag": 1, "size": 0}, "other"),
    ],
)
def test_choices(tmp_path: Path, value: Any, chosen: str) -> None:
    """The first rule all of whose tests hold; types are compared too."""
    rules = [
        {
            "And": [
                {"Variable": "$.kind", "StringEquals": "video"},
                {"Variable": "$.size", "NumericGreaterThanEquals": 5},
            ],
            "Next": "Large",
        },
        {
            "And": [
                {"Variable": "$.flag", "IsPresent": True},
                {"Variable": "$.flag", "BooleanEquals": True},
            ],
            "Next": "Flag",
        },
    ]
    machine = states(
        "C",
        C={"Type": "Choice", "Choices": rules, "Default": "Other"},
        Large={"Type": "Pass", "Result": "large", "End": True},
        Flag={"Type": "Pass", "Result": "flag", "End": True},
        Other={"Type": "Pass", "Result": "other", "End": True},
    )
    assert World(tmp_path, machine, value).look() == Ended(output=chosen)


def test_a_path_that_leads_nowhere_can_be_caught_like_any_error(tmp_path: Path) -> None:
    """It has its own name."""
    machine = states(
        "A",
        A=call(Parameters={"x.$": "$.not.there"}, Catch=[{"ErrorEquals": ALL, "Next": "F"}]),
        F={"Type": "Fail", "Error": "Mine", "Cause": "because"},
    )
    assert World(tmp_path, machine).look() == Ended(error="Mine", cause="because")


def test_an_unreadable_job_is_a_defect_that_nothing_catches(tmp_path: Path) -> None:
    """A command with an option nobody knows is not sent off without it."""
    bad = job("a", Catch=[{"ErrorEquals": ALL, "Next": "B"}])
    bad["Parameters"]["ContainerOverrides"]["Command"].append("--what")
    ended = World(tmp_path, states("A", A=bad, B={"Type": "Succeed"})).look()
    assert ended is not None
    assert ended.error == "States.Runtime"


def test_the_same_execution_begins_once(tmp_path: Path) -> None:
    """The second time is told so and changes nothing."""
    executions = Executions(tmp_path / "state.sqlite")
    first = Execution(id="e", workflow="w", name="e", definition="d", input={"n": 1}, started="t")
    assert executions.begin(first)
    assert not executions.begin(
        Execution(id="e", workflow="w", name="e", definition="x", input={"n": 2}, started="u")
    )
    assert executions.running() == (first,)
    executions.end("e", Ended(error="E", cause="c"))
    assert executions.running() == ()
    kept = executions.get("e")
    assert kept is not None
    assert (kept.status, kept.error, kept.cause) == ("FAILED", "E", "c")
    assert executions.all() == (kept,)
