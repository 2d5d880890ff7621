"""Cost of escalation: a workflow, questions to Rekognition, and decisions of people.

Steps are counted in the compiled definition of the workflow, by walking the paths that an upload
takes through it. All else is counted work times the prices and assumptions of ``prices.toml``. An
upload that is not escalated causes no state transition and no call of Rekognition:
docs/escalation-cost.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.bill import ESCALATION, BillLine
from worker.domain.errors import InputError
from worker.prices import Assumptions, Prices
from worker.services.bill_lines import BillLines

_MOST_STEPS = 1_000
_OUTCOME = "$.answer.outcome"
_ASKS = {"moderate": "DetectModerationLabels", "label": "DetectLabels"}
"""Kinds of stages that call Rekognition, with the operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPath:
    """One path through a workflow."""

    steps: tuple[str, ...]
    """Names of the states, in order; each is a billed transition."""
    calls: tuple[str, ...]
    """Kinds of the stages that call the workflow function."""


MODERATE = (
    WorkflowPath(steps=("Begin", "Ask", "Ask outcome", "Publish"), calls=("moderate", "publish")),
    WorkflowPath(
        steps=("Begin", "Ask", "Ask outcome", "Labels", "People", "People outcome", "Publish"),
        calls=("moderate", "label", "approve", "publish"),
    ),
)
"""The paths of the shipped workflow ``moderate``, for bills without a compiler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated:
    """The amount of escalation and its options."""

    uploads: float
    """Uploads of the month."""
    share: float
    """Share of the uploads that go through the workflow, 0 to 1."""
    reviewed: float
    """Share of those that people decide, 0 to 1; all of them if no moderation service is asked."""
    labels: bool = False
    """Whether the recipe has ``[labels]``."""
    endpoints: int = 1
    """Number of webhook endpoints that get each event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationCost:
    """The cost of a month."""

    workflow: str
    of: Escalated
    paths: tuple[WorkflowPath, ...]
    """The path that a moderation service decides, if the workflow asks one, and the path that a
    person decides."""
    lines: tuple[BillLine, ...]

    @property
    def total(self) -> float:
        """US dollars a month."""
        return sum(one.usd for one in self.lines)


# --- paths through a workflow ------------------------------------------------------------------


def walk(definition: Mapping[str, Any], outcomes: Mapping[str, str]) -> WorkflowPath:
    """The states of an execution without failures.

    Args:
        definition: in the Amazon States Language.
        outcomes: outcomes by kind of stage, ``{"moderate": "hold"}``; all other kinds have a single
            outcome.

    Raises:
        InputError: the definition is not that of a workflow, or a state leads nowhere.
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
    """The name of each state, with the kind of stage that it calls the workflow function for."""
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
    """The paths of an upload: decided by a moderation service, if one is asked, and decided by a
    person."""
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
        of: the amount of escalation.
        workflow: name of the workflow.

    Raises:
        InputError: the definition is not one of a workflow.
    """
    found = paths(definition)
    if len(found) == 1:
        of = replace(of, reviewed=float("approve" in found[0].calls))
    lines = BillLines(price)
    if len(found) > 1:
        tiers(lines, of.uploads, need)
    for kind, call in _ASKS.items():
        if kind == "moderate" or of.labels:
            asked = _stages(_taken(found, of), kind)
            told = f"{_count(asked)} stages"
            lines.add(ESCALATION)(f"Rekognition, {call}", asked, "pictures", "rekognition", told)
    escalated(lines, found, of, need)
    return EscalationCost(workflow=workflow, of=of, paths=found, lines=tuple(lines.found))


_Taken = Sequence[tuple[WorkflowPath, float]]


def _taken(found: Sequence[WorkflowPath], of: Escalated) -> _Taken:
    """Each path, with the number of uploads that take it."""
    runs = of.uploads * of.share
    shares = (1 - of.reviewed, of.reviewed) if len(found) > 1 else (1.0,)
    return [(path, runs * share) for path, share in zip(found, shares, strict=True)]


def _stages(taken: _Taken, kind: str) -> float:
    return sum(count * path.calls.count(kind) for path, count in taken)


def _count(amount: float) -> str:
    return f"{amount:,.0f}"


def tiers(lines: BillLines, uploads: float, need: Assumptions, at: str = "gigabyte_second") -> None:
    """The cost of the tiers of moderation that every upload goes through.

    Args:
        at: the name of the price of a gigabyte and second.
    """
    add = lines.add(ESCALATION)
    told = f"{_count(uploads)} uploads x {need.earlier_read_units:g}"
    reads = uploads * need.earlier_read_units
    add("Every upload, earlier verdicts", reads, "units", "read_unit", told)
    told = f"{_count(uploads)} uploads x {need.classifier_seconds:g} s x {need.gigabytes:g} GB"
    seconds = uploads * need.classifier_seconds * need.gigabytes
    add("Every upload, classifier", seconds, "GB-s", at, told)


def escalated(
    lines: BillLines,
    found: Sequence[WorkflowPath],
    of: Escalated,
    need: Assumptions,
    at: str = "gigabyte_second",
) -> None:
    """The cost of escalation without the questions to Rekognition.

    Args:
        at: the name of the price of a gigabyte and second.
    """
    taken = _taken(found, of)
    people = of.uploads * of.share * of.reviewed
    _workflow_lines(lines, taken, people, need, at)
    _record_lines(lines, taken, people, of, need)
    events = of.uploads * of.share * need.escalated_events + people * need.reviewed_events
    _event_lines(lines, events, of, need, at)


def _calls(taken: _Taken, people: float) -> float:
    """Calls of the workflow function: one that starts the state machine, one for each stage, and
    one for a person's decision."""
    return sum(count * (1 + len(path.calls)) for path, count in taken) + people


def _workflow_lines(
    lines: BillLines, taken: _Taken, people: float, need: Assumptions, at: str
) -> None:
    add = lines.add(ESCALATION)
    steps = sum(count * len(path.steps) for path, count in taken)
    told = " + ".join(f"{_count(count)} x {len(path.steps)}" for path, count in taken if count)
    add("Step Functions", steps, "states", "transition", told)
    calls = _calls(taken, people)
    told = "begin, each stage, each decision of a person"
    add("Lambda, calls of stages", calls, "calls", "invocation", told)
    told = f"{_count(calls)} calls x {need.stage_seconds:g} s x {need.stage_gigabytes:g} GB"
    add("Lambda, stages", calls * need.stage_seconds * need.stage_gigabytes, "GB-s", at, told)


def _record_lines(
    lines: BillLines, taken: _Taken, people: float, of: Escalated, need: Assumptions
) -> None:
    add = lines.add(ESCALATION)
    calls = _calls(taken, people)
    labelled = _stages(taken, "label") * need.label_write_units if of.labels else 0.0
    told = f"{_count(calls)} calls x {need.stage_write_units:g}"
    told += f" + {_count(labelled)} of labels" if labelled else ""
    add(
        "DynamoDB, units of stages",
        calls * need.stage_write_units + labelled,
        "write units",
        "write_unit",
        told,
    )
    told = f"{_count(calls)} calls x {need.stage_read_units:g}"
    add("DynamoDB, reads of stages", calls * need.stage_read_units, "read units", "read_unit", told)
    looked = sum(_stages(taken, kind) for kind in _ASKS)
    add("S3, pictures to look at", looked, "GET", "get_request", f"{_count(looked)} stages")
    # A list, and a tag for each file. Deleting rejected files is free.
    published = _stages(taken, "publish")
    told = f"{_count(published)} published x (1 list + {need.renditions} tags)"
    add("S3, files opened", published * (1 + need.renditions), "requests", "put_request", told)


def _event_lines(
    lines: BillLines, events: float, of: Escalated, need: Assumptions, at: str
) -> None:
    # Reads of a stream by a Lambda trigger are free (Amazon DynamoDB pricing, "DynamoDB Streams").
    add = lines.add(ESCALATION)
    told = f"{_count(events)} events"
    add("Lambda, calls of the outbox for them", events, "calls", "invocation", told)
    seconds = events * need.outbox_seconds * need.outbox_gigabytes
    told = f"{told} x {need.outbox_seconds:g} s x {need.outbox_gigabytes:g} GB"
    add("Lambda, outbox for them", seconds, "GB-s", at, told)
    add("EventBridge, their events", events, "events", "event", "decided, invalidated; of people")
    sent = events * of.endpoints
    told = f"{_count(events)} events x {of.endpoints} endpoints"
    add("Webhooks, SQS", 3 * sent, "requests", "standard_queue_request", f"3 x {told}")
    add("Webhooks, calls", sent, "calls", "invocation", told)
    seconds = sent * need.webhook_seconds * need.webhook_gigabytes
    told = f"{told} x {need.webhook_seconds:g} s x {need.webhook_gigabytes:g} GB"
    add("Webhooks, Lambda", seconds, "GB-s", at, told)
