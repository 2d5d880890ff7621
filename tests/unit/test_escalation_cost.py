"""What escalation costs: steps counted in the compiled workflows, and prices by hand."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from batch import workflows
from batch.workflows.compiler import compiled
from worker import prices
from worker.domain.bill import BillLine
from worker.domain.errors import InputError
from worker.entrypoints.cli import run
from worker.prices import Assumptions, Prices
from worker.recipes.workflow import load, shipped
from worker.services.escalation_cost import (
    MODERATE,
    Escalated,
    EscalationCost,
    escalation,
    paths,
    walk,
)

PRICE, NEED = prices.load()


def committed(name: str) -> dict[str, Any]:
    """The definition of a shipped workflow, as it is deployed."""
    path = Path(workflows.__file__).with_name(f"{name}.asl.json")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def month(workflow: str = "moderate", **given: Any) -> EscalationCost:
    """A month of a workflow at 10 million a day, 1 % of them escalated."""
    of = Escalated(**{"uploads": 300e6, "share": 0.01, "reviewed": 0.1, **given})
    return escalation(committed(workflow), of, workflow=workflow, price=PRICE, need=NEED)


def line(cost: EscalationCost, name: str) -> BillLine:
    """The line of a name; of several, with the sums of all."""
    found = [one for one in cost.lines if one.name == name]
    amount, usd = sum(one.amount for one in found), sum(one.usd for one in found)
    return replace(found[0], amount=amount, usd=usd)


# --- steps --------------------------------------------------------------------------------------


def test_the_steps_of_moderation() -> None:
    """A machine decides, or a person: every state on the path is a transition to pay."""
    machine, person = paths(committed("moderate"))

    assert machine.calls == ("moderate", "publish")
    assert person.calls == ("moderate", "label", "approve", "publish")
    assert [len(machine.steps), len(person.steps)] == [4, 7]


def test_where_no_machine_is_asked_there_is_one_way() -> None:
    """Everything waits for people."""
    (path,) = paths(committed("approve"))

    assert path.calls == ("label", "approve", "publish")
    assert line(month("approve", reviewed=0.0), "Step Functions").amount == 3e6 * len(path.steps)


def test_bills_know_the_paths_of_moderation() -> None:
    """Without compiling the workflow."""
    assert paths(committed("moderate")) == MODERATE


@pytest.mark.parametrize("name", shipped())
def test_the_committed_definition_is_what_is_priced(name: str) -> None:
    """The command compiles the file of the workflow; what is deployed has the same steps."""
    assert paths(committed(name)) == paths(compiled(load(name)))


def test_all_branches_are_steps() -> None:
    """They run at the same time, and each of their states is paid."""
    leaf = {"StartAt": "Do", "States": {"Do": {"Type": "Task", "End": True}}}
    both = {"Type": "Parallel", "Branches": [leaf, leaf], "Next": "Done"}
    machine = {"StartAt": "Both", "States": {"Both": both, "Done": {"Type": "Succeed"}}}

    assert walk(machine, {}).steps == ("Both", "Do", "Do", "Done")


@pytest.mark.parametrize(
    "machine",
    [
        {},
        {"StartAt": "A", "States": {}},
        {"StartAt": "A", "States": {"A": {"Type": "Task"}}},
        {"StartAt": "A", "States": {"A": {"Type": "Task", "Next": "A"}}},
        {"StartAt": "A", "States": []},
    ],
)
def test_what_is_no_workflow_has_no_price(machine: dict[str, Any]) -> None:
    """An error with a name, and no endless loop."""
    with pytest.raises(InputError):
        paths(machine)


# --- prices -------------------------------------------------------------------------------------


def test_questions_get_cheaper() -> None:
    """By the tiers of a month; 300 million are the 88 thousand dollars that everybody would pay
    who asked about each upload."""
    assert PRICE.usd("rekognition", 0) == 0
    assert PRICE.usd("rekognition", 1e6) == pytest.approx(1_000)
    assert PRICE.usd("rekognition", 3e6) == pytest.approx(1_000 + 1_600)
    assert PRICE.usd("rekognition", 36e6) == pytest.approx(1_000 + 3_200 + 18_000 + 250)
    assert PRICE.usd("rekognition", 300e6) == pytest.approx(88_450)


def test_every_line_by_hand() -> None:
    """At prices of a dollar for each thing, a line says how many there are."""
    names = {one.name for one in fields(Prices)} - {"region", "above"}
    ones_of: Any = dict.fromkeys(names, 1.0)
    dear = replace(PRICE, above={}, **ones_of)
    ones: Any = {one.name: 1 for one in fields(Assumptions)}
    need = Assumptions(**ones)
    of = Escalated(uploads=100, share=0.1, reviewed=0.5, labels=True, endpoints=2)
    cost = escalation(committed("moderate"), of, workflow="moderate", price=dear, need=need)

    # 10 uploads; 5 of them in 4 steps and 2 stages, 5 in 7 steps and 4 stages. Each run is started
    # by a call, and each decision of a person is one.
    calls = 10 + 5 * 2 + 5 * 4 + 5
    assert {one.name: (one.amount, one.usd) for one in cost.lines} == {
        "Every upload, earlier verdicts": (100, 100),
        "Every upload, classifier": (100, 100),
        "Rekognition, DetectModerationLabels": (10, 10),
        "Rekognition, DetectLabels": (5, 5),
        "Step Functions": (55, 55),
        "Lambda, calls of stages": (calls, calls),
        "Lambda, stages": (calls, calls),
        "DynamoDB, units of stages": (calls + 5, calls + 5),
        "DynamoDB, reads of stages": (calls, calls),
        "S3, pictures to look at": (15, 15),
        "S3, files opened": (20, 20),
        "Lambda, calls of the outbox for them": (15, 15),
        "Lambda, outbox for them": (15, 15),
        "EventBridge, their events": (15, 15),
        "Webhooks, SQS": (90, 90),
        "Webhooks, calls": (30, 30),
        "Webhooks, Lambda": (30, 30),
    }
    assert cost.total == sum(one.usd for one in cost.lines)


def test_what_is_not_escalated_costs_nothing() -> None:
    """Not a step, not a question, not a fraction of a cent; but for the tiers that see all."""
    for name in ("moderate", "approve", "label"):
        lines = month(name, share=0.0, labels=True).lines
        every = [one.name for one in lines if one.amount or one.usd]
        assert all(one.startswith("Every upload, ") for one in every)
        assert len(every) == (2 if name == "moderate" else 0)


def test_one_percent_of_ten_million_a_day() -> None:
    """Some thousand dollars a month, of which the questions are most; asking about everything
    would be more than twenty times that."""
    cost = month()

    assert 1_500 < cost.total < 6_000
    asked = line(cost, "Rekognition, DetectModerationLabels")
    assert asked.amount == 3e6
    assert asked.usd > cost.total / 2
    assert month(share=1.0).total > 20 * cost.total


def test_labels_share_the_tiers_of_a_month() -> None:
    """The questions of both kinds together reach the cheaper prices."""
    both = month(reviewed=1.0, labels=True)
    usd = sum(one.usd for one in both.lines if one.name.startswith("Rekognition"))

    assert usd == pytest.approx(PRICE.usd("rekognition", 6e6))
    assert line(both, "Rekognition, DetectLabels").amount == 3e6


# --- the command --------------------------------------------------------------------------------


def test_the_command_prints_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps by their names, each line with its amount, and what the rest costs: nothing."""
    assert run(["cost", "escalation"]) == 0

    said = capsys.readouterr().out
    assert said.startswith("10,000,000 uploads a day, 1 % of them through the workflow moderate")
    assert "  4 steps: Begin, Ask, Ask outcome, Publish\n" in said
    cost = month()
    for one in cost.lines:
        (shown,) = [text for text in said.splitlines() if one.name in text and one.formula in text]
        assert f"${one.usd:,.2f}" in shown
    assert f"${cost.total:,.2f}" in said
    assert said.splitlines()[-1].startswith(
        "What is not escalated: 0 state transitions, 0 questions"
    )


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same figures, for programs."""
    assert (
        run(["cost", "escalation", "--share", "0.5", "--daily", "1000", "--labels", "--json"]) == 0
    )

    said = json.loads(capsys.readouterr().out)
    assert said["of"] == {
        "uploads": 30_000,
        "share": 0.005,
        "reviewed": 0.1,
        "labels": True,
        "endpoints": 1,
    }
    assert said["total"] == pytest.approx(sum(one["usd"] for one in said["lines"]))
    assert said["paths"][0]["calls"] == ["moderate", "publish"]


@pytest.mark.parametrize(
    "words",
    [
        ["a.jpg"],
        ["--share", "101%"],
        ["--share", "nan"],
        ["--share", "%"],
        ["--share", "-1"],
        ["--reviewed", "200%"],
        ["--daily", "0"],
    ],
)
def test_wrong_use_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Invalid options are refused."""
    assert run(["cost", "escalation", *words]) == 2
    assert capsys.readouterr().out == ""


def test_a_workflow_that_there_is_not_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names of those that ship."""
    assert run(["cost", "escalation", "--workflow", "nothing"]) == 2
    assert "nothing" in capsys.readouterr().err
