"""What escalation costs: a workflow, questions to Rekognition, and what people decide.

Steps are counted in the compiled definition of the workflow, by walking the paths that an upload
takes through it. All else is counted work times the prices and assumptions of ``prices.toml``.
An upload that is not escalated takes no step and asks nobody: docs/escalation-cost.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.errors import InputError
from worker.prices import Assumptions, Prices

DAILY = 10_000_000
"""Uploads a day that costs are of unless told otherwise."""
_MOST_STEPS = 1_000
_OUTCOME = "$.answer.outcome"
_ASKS = {"moderate": "DetectModerationLabels", "label": "DetectLabels"}
"""Kinds of stages that ask Rekognition, and what they call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPath:
    """One path through a workflow."""

    steps: tuple[str, ...]
    """Names of the states, in order: each is a transition to pay."""
    calls: tuple[str, ...]
    """Kinds of the stages that call the workflow function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One thing to pay, of a month."""

    name: str
    amount: float
    """How many."""
    unit: str
    """Of what."""
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """How much is escalated, and what follows."""

    daily: int = DAILY
    """Uploads a day."""
    share: float
    """Of the uploads, 0 to 1, goes through the workflow."""
    reviewed: float
    """Share of those that people decide, 0 to 1; all of them where no machine is asked."""
    labels: bool = False
    """Whether the recipe has ``[labels]``."""
    endpoints: int = 1
    """Webhooks that hear of each event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationCost:
    """What a month costs."""

    workflow: str
    of: Escalated
    paths: tuple[WorkflowPath, ...]
    """Decided by a machine, if the workflow asks one; decided by a person."""
    lines: tuple[CostLine, ...]

    @property
    def total(self) -> float:
        """US dollars a month."""
        return sum(one.usd for one in self.lines)


# --- paths through a workflow ------------------------------------------------------------------


def walk(definition: Mapping[str, Any], outcomes: Mapping[str, str]) -> WorkflowPath:
    """The states that an execution passes through in which nothing fails.

    Args:
        definition: in the Amazon States Language.
        outcomes: of kinds of stages, ``{"moderate": "hold"}``; a stage of another kind has one.

    Raises:
        InputError: the definition is not one of a workflow, or leads nowhere.
    """
    try:
        steps = list(_walk(definition, definition["StartAt"], outcomes))
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"no definition of a workflow: {error!r}") from error
    return WorkflowPath(
        steps=tuple(name for name, _ in steps),
        calls=tuple(kind for _, kind in steps if kind),
    )


def _walk(
    definition: Mapping[str, Any], start: str, outcomes: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Name of each state, and the kind of stage that it calls the workflow function for."""
    name, outcome = start, ""
    for _ in range(_MOST_STEPS):
        state = definition["States"][name]
        kind = state["Type"]
        if kind == "Choice":
            yield name, ""
            name = _chosen(state, outcome)
            continue
        called = str(state.get("Parameters", {}).get("Payload", {}).get("task", ""))
        yield name, called
        outcome = outcomes.get(called, outcome)
        for branch in state.get("Branches", ()):
            yield from _walk(branch, branch["StartAt"], outcomes)
        if kind in ("Succeed", "Fail") or state.get("End"):
            return
        name = state["Next"]
    raise InputError(f"the workflow does not end after {_MOST_STEPS} steps")


def _chosen(state: Mapping[str, Any], outcome: str) -> str:
    for choice in state["Choices"]:
        if choice.get("Variable") == _OUTCOME and choice.get("StringEquals") == outcome:
            return str(choice["Next"])
    return str(state["Default"])


def paths(definition: Mapping[str, Any]) -> tuple[WorkflowPath, ...]:
    """The paths of an upload: decided by a machine, if one is asked, and decided by a person."""
    decided = walk(definition, {"moderate": "pass", "approve": "approved"})
    if "moderate" not in decided.calls:
        return (decided,)
    return decided, walk(definition, {"moderate": "hold", "approve": "approved"})


# --- prices -----------------------------------------------------------------------------------


def escalation(
    definition: Mapping[str, Any],
    of: Escalated,
    *,
    workflow: str,
    price: Prices,
    need: Assumptions,
) -> EscalationCost:
    """Price a month of escalation.

    Args:
        definition: of the workflow, compiled.
        of: how much is escalated.
        workflow: its name.

    Raises:
        InputError: the definition is not one of a workflow.
    """
    found = paths(definition)
    by_people = [float("approve" in path.calls) for path in found]
    if len(found) == 1:
        of = replace(of, reviewed=by_people[0])
    shares = (1 - of.reviewed, of.reviewed) if len(found) > 1 else (1.0,)
    runs = of.daily * need.month_days * of.share
    taken = [(path, runs * share) for path, share in zip(found, shares, strict=True)]
    people = runs * of.reviewed
    events = runs * need.escalated_events + people * need.reviewed_events
    lines = (
        *_tier_lines(of, price, need, moderated=len(found) > 1),
        *_workflow_lines(taken, people, price, need),
        *_question_lines(taken, of, price),
        *_record_lines(taken, people, of, price, need),
        *_event_lines(events, of, price, need),
    )
    return EscalationCost(workflow=workflow, of=of, paths=found, lines=lines)


_Taken = Sequence[tuple[WorkflowPath, float]]


def _calls(taken: _Taken, people: float) -> float:
    """Of the workflow function: one that starts the machine, the stages, and one that hears of a
    person's decision."""
    return sum(count * (1 + len(path.calls)) for path, count in taken) + people


def _tier_lines(
    of: Escalated, price: Prices, need: Assumptions, *, moderated: bool
) -> Iterator[CostLine]:
    """The tiers of moderation that keep all others out of the workflow: for every upload."""
    if not moderated:
        return
    uploads = of.daily * need.month_days
    reads = uploads * need.earlier_read_units
    usd = reads * price.read_unit
    yield CostLine(name="Every upload, earlier verdicts", amount=reads, unit="reads", usd=usd)
    usd = uploads * need.classifier_seconds * need.gigabytes * price.gigabyte_second
    yield CostLine(name="Every upload, classifier", amount=uploads, unit="pictures", usd=usd)


def _workflow_lines(
    taken: _Taken, people: float, price: Prices, need: Assumptions
) -> Iterator[CostLine]:
    steps = sum(count * len(path.steps) for path, count in taken)
    yield CostLine(
        name="Step Functions",
        amount=steps,
        unit="state transitions",
        usd=steps * price.transition,
    )
    calls = _calls(taken, people)
    seconds = calls * need.stage_seconds
    usd = calls * price.invocation + seconds * need.stage_gigabytes * price.gigabyte_second
    yield CostLine(name="Lambda, stages", amount=calls, unit="calls", usd=usd)


def _question_lines(taken: _Taken, of: Escalated, price: Prices) -> Iterator[CostLine]:
    asked = 0.0
    for kind, call in _ASKS.items():
        if kind == "label" and not of.labels:
            continue
        questions = _stages(taken, kind)
        # One month's questions of both kinds together reach the cheaper tiers.
        usd = price.usd("rekognition", asked + questions) - price.usd("rekognition", asked)
        asked += questions
        yield CostLine(name=f"Rekognition, {call}", amount=questions, unit="pictures", usd=usd)


def _record_lines(
    taken: _Taken, people: float, of: Escalated, price: Prices, need: Assumptions
) -> Iterator[CostLine]:
    calls = _calls(taken, people)
    writes, reads = calls * need.stage_write_units, calls * need.stage_read_units
    if of.labels:
        writes += _stages(taken, "label") * need.label_write_units
    yield CostLine(
        name="DynamoDB, writes", amount=writes, unit="units", usd=writes * price.write_unit
    )
    yield CostLine(name="DynamoDB, reads", amount=reads, unit="units", usd=reads * price.read_unit)
    looked = sum(_stages(taken, kind) for kind in _ASKS)
    yield CostLine(
        name="S3, pictures to look at", amount=looked, unit="reads", usd=looked * price.get_request
    )
    # A list, and a tag for each file. Deleting what is rejected is free.
    opened = _stages(taken, "publish") * (1 + need.renditions)
    yield CostLine(
        name="S3, files opened", amount=opened, unit="requests", usd=opened * price.put_request
    )


def _stages(taken: _Taken, kind: str) -> float:
    return sum(count * path.calls.count(kind) for path, count in taken)


def _event_lines(
    events: float, of: Escalated, price: Prices, need: Assumptions
) -> Iterator[CostLine]:
    # Reads of a stream by a Lambda trigger are free (Amazon DynamoDB pricing, "DynamoDB Streams").
    yield CostLine(name="DynamoDB Streams, read by Lambda", amount=events, unit="records", usd=0.0)
    seconds = events * need.outbox_seconds * need.outbox_gigabytes
    usd = events * price.invocation + seconds * price.gigabyte_second
    yield CostLine(name="Lambda, outbox", amount=events, unit="records", usd=usd)
    yield CostLine(name="EventBridge", amount=events, unit="events", usd=events * price.event)
    sent = events * of.endpoints
    seconds = sent * need.webhook_seconds * need.webhook_gigabytes
    # Sent, received and deleted.
    usd = sent * (3 * price.standard_queue_request + price.invocation)
    usd += seconds * price.gigabyte_second
    yield CostLine(name="Webhooks, SQS and Lambda", amount=sent, unit="webhooks", usd=usd)
