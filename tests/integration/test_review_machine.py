"""A workflow that asks people, run by the embedded AWS: answers, deadlines, late and used tokens.

Where people answer the deadline is hours away; where nobody does it is seconds away, and a test
waits for what follows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from batch.catalogue import KINDS
from batch.workflows.compiler import compiled
from tests.emulators import make_sure
from tests.integration.test_state_machine import INPUT, Machine
from worker.domain.errors import TaskRefused, Throttled
from worker.domain.workflow import RunState
from worker.recipes.workflow import load, parse

WHOLE = """
name = "whole"
version = 1
starts = "always"
first = "people"
failed = "secure"
[stages.people]
kind = "approve"
escalate_hours = 1
deadline_hours = 2
default = "reject"
people = 2
on = { approved = "work", rejected = "refuse" }
[stages.work]
kind = "parallel"
branches = { poster = "poster", labels = "labels" }
next = "publish"
[stages.poster]
kind = "job"
job = "poster"
next = "end"
[stages.labels]
kind = "label"
next = "end"
[stages.publish]
kind = "publish"
next = "tell"
[stages.tell]
kind = "webhook"
endpoint = "shop"
next = "end"
[stages.refuse]
kind = "reject"
next = "end"
[stages.secure]
kind = "quarantine"
next = "broken"
[stages.broken]
kind = "fail"
error = "Broken"
message = "Look at it."
"""


SHORT = WHOLE.replace("hours = 1", "hours = 0.001").replace("hours = 2", "hours = 0.0013")
"""Four seconds, and one more."""


class Approval(Machine):
    """A machine whose function remembers each call, and answers as a test says."""

    def __init__(self, folder: Path, ends: ExitStack, definition: str) -> None:
        """Deploy it."""
        super().__init__(folder, ends, definition)
        self.answers: dict[str, Any] = {}

    def call(self, event: Any) -> Any:
        """The workflow function."""
        self.finished.append(event)
        answer = self.answers.get(event["task"], {"outcome": "done"})
        if isinstance(answer, Exception):
            raise answer
        return answer

    def asked(self, task: str, number: int = 1) -> dict[str, Any]:
        """Wait for a call of a task; the last of so many."""
        self.until(lambda: len(self.calls(task)) >= number)
        return self.calls(task)[number - 1]

    def calls(self, task: str) -> list[dict[str, Any]]:
        """What the function was asked so far."""
        return [event for event in self.finished if event["task"] == task]

    def states(self, arn: str) -> tuple[str, ...]:
        """The states that an execution has been in."""
        run = self.workflows.run("heavy", arn.rpartition(":")[2])
        assert run is not None
        return run.states


def deployed(folder: Path, ends: ExitStack, text: str) -> Approval:
    """A machine of a workflow's text, with its names in the place of ARNs."""
    machine = compiled(parse(text, jobs=KINDS))
    return Approval(folder, ends, re.sub(r"\$\{(\w+)\}", r"\1", json.dumps(machine)))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approval]:
    """One for all."""
    make_sure(tmp_path_factory)
    with ExitStack() as ends:
        yield deployed(tmp_path_factory.mktemp("review"), ends, WHOLE)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approval]:
    """One that waits for seconds."""
    make_sure(tmp_path_factory)
    with ExitStack() as ends:
        yield deployed(tmp_path_factory.mktemp("hasty"), ends, SHORT)


@pytest.fixture(autouse=True)
def _fresh(machine: Approval) -> None:
    machine.answers = {}


def test_an_approval_goes_on_through_its_branches(machine: Approval) -> None:
    """A job and a call at the same time; what follows waits for both."""
    run = machine.run()
    event = machine.asked("approve")
    assert (event["asset"], event["version"], event["workflow"]) == ("a", "1", "whole")
    assert (event["needed"], event["escalated"], event["deadline_seconds"]) == (2, False, 7200)
    assert event["execution"] == run
    machine.workflows.answer(event["token"], {"outcome": "approved"})
    machine.until_submitted("poster")
    assert machine.calls("publish") == []
    machine.end("poster")
    found = machine.ended(run)
    assert found["status"] == "SUCCEEDED"
    assert [one["task"] for one in machine.finished] == ["approve", "label", "publish", "webhook"]
    assert machine.calls("webhook")[0]["endpoint"] == "shop"


def test_a_rejection(machine: Approval) -> None:
    """Leads where the file says."""
    run = machine.run()
    machine.workflows.answer(machine.asked("approve")["token"], {"outcome": "rejected"})
    assert machine.ended(run)["status"] == "SUCCEEDED"
    assert machine.states(run) == ("Begin", "People", "People outcome", "Refuse")


def test_nobody_answers(hasty: Approval) -> None:
    """The question is asked again, escalated and with another token; then the default counts.

    The tokens are worth nothing afterwards. The embedded AWS says TaskDoesNotExist of them as of
    those that never were; AWS says TaskTimedOut.
    """
    hasty.answers["expire"] = {"outcome": "rejected"}
    run = hasty.run()
    assert hasty.ended(run)["status"] == "SUCCEEDED"
    first, second = hasty.calls("approve")
    assert (first["escalated"], second["escalated"]) == (False, True)
    assert first["token"] != second["token"]
    assert hasty.calls("expire")[0]["default"] == "reject"
    assert hasty.states(run) == (
        *("Begin", "People", "People escalated", "People expired"),
        *("People outcome", "Refuse"),
    )
    for token in (first["token"], second["token"], "never"):
        with pytest.raises(TaskRefused):
            hasty.workflows.answer(token, {"outcome": "approved"})


def test_a_token_works_once(machine: Approval) -> None:
    """A second answer is refused and changes nothing."""
    run = machine.run()
    token = machine.asked("approve")["token"]
    machine.workflows.answer(token, {"outcome": "rejected"})
    assert machine.ended(run)["status"] == "SUCCEEDED"
    with pytest.raises(TaskRefused):
        machine.workflows.answer(token, {"outcome": "approved"})
    assert machine.calls("publish") == []


@pytest.mark.parametrize("outcome", ["withdrawn", "stale"])
def test_there_is_nothing_left_to_do(machine: Approval, outcome: str) -> None:
    """The asset was replaced, or somebody has decided elsewhere: the execution ends well."""
    run = machine.run()
    machine.workflows.answer(machine.asked("approve")["token"], {"outcome": outcome})
    assert machine.ended(run)["status"] == "SUCCEEDED"
    assert machine.states(run)[-1] == "Nothing left"


def test_what_a_publication_does_not_do_is_not_told(machine: Approval) -> None:
    """The webhook follows a publication, and not one that came too late."""
    machine.answers["publish"] = {"outcome": "withdrawn"}
    run = machine.run()
    machine.workflows.answer(machine.asked("approve")["token"], {"outcome": "approved"})
    machine.until_submitted("poster")
    machine.end("poster")
    assert machine.ended(run)["status"] == "SUCCEEDED"
    assert machine.calls("webhook") == []


@pytest.mark.parametrize(
    ("answer", "last"),
    [({"outcome": "perhaps"}, "People outcome"), ({"no": "outcome"}, "People outcome")],
)
def test_a_word_that_no_stage_has_is_a_failure(
    machine: Approval, answer: dict[str, str], last: str
) -> None:
    """It leads through the compensation to the named end."""
    run = machine.run()
    machine.workflows.answer(machine.asked("approve")["token"], answer)
    found = machine.ended(run)
    assert found["status"] == "FAILED"
    assert last in machine.states(run)


def test_a_branch_that_fails_stops_the_others_and_is_compensated(machine: Approval) -> None:
    """The asset is not published, its original is in quarantine, and the execution fails with the
    configured name.

    The embedded AWS waits for the other branches, which AWS stops.
    """
    machine.answers["label"] = ValueError("no labels")
    run = machine.run()
    machine.workflows.answer(machine.asked("approve")["token"], {"outcome": "approved"})
    machine.until_submitted("poster")
    machine.end("poster")
    found = machine.ended(run)
    assert (found["status"], found["error"], found["cause"]) == ("FAILED", "Broken", "Look at it.")
    assert [one["task"] for one in machine.finished][-1] == "quarantine"
    assert machine.calls("publish") == []


def test_a_resumed_run_begins_with_its_stage(machine: Approval) -> None:
    """People are not asked again."""
    machine.names += 1
    name = f"{INPUT['name']}-{machine.names}"
    machine.finished.clear()
    run = machine.workflows.start("heavy", name, {**INPUT, "name": name, "resume": "publish"})
    assert machine.ended(run)["status"] == "SUCCEEDED"
    assert [one["task"] for one in machine.finished] == ["publish", "webhook"]
    found = machine.workflows.run("heavy", name)
    assert found is not None
    assert (found.state, found.input["resume"]) == (RunState.SUCCEEDED, "publish")


def test_a_kill_loses_the_token_and_not_the_question(machine: Approval) -> None:
    """The execution starts again and asks with another token; the old one is worth nothing."""
    run = machine.run()
    before = machine.asked("approve")["token"]

    machine.kill()
    machine.start()

    machine.until(lambda: machine.calls("approve")[-1]["token"] != before)
    with pytest.raises(TaskRefused):
        machine.workflows.answer(before, {"outcome": "approved"})
    machine.workflows.answer(machine.calls("approve")[-1]["token"], {"outcome": "rejected"})
    assert machine.ended(run)["status"] == "SUCCEEDED"
    assert machine.calls("reject")


def test_what_may_work_later_is_tried_again(machine: Approval) -> None:
    """By the machine: the question is asked again, and the answer to it counts."""
    machine.answers["approve"] = Throttled("too many")
    run = machine.run()
    machine.asked("approve")
    machine.answers.pop("approve")
    second = machine.asked("approve", 2)
    machine.workflows.answer(second["token"], {"outcome": "rejected"})
    assert machine.ended(run)["status"] == "SUCCEEDED"


def test_what_ships_is_run_from_end_to_end(
    machine: Approval, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The approval that is deployed: labels for the people, the question, the publication."""
    text = re.sub(r"\$\{(\w+)\}", r"\1", json.dumps(compiled(load("approve"))))
    with ExitStack() as ends:
        shipped = Approval(tmp_path_factory.mktemp("shipped"), ends, text)
        run = shipped.run()
        shipped.workflows.answer(shipped.asked("approve")["token"], {"outcome": "approved"})
        assert shipped.ended(run)["status"] == "SUCCEEDED"
        assert [one["task"] for one in shipped.finished] == ["label", "approve", "publish"]
