"""Workflows as state machines, in the Amazon States Language (JSONPath).

``python -m batch.workflows`` writes the definitions of the shipped workflows; a test holds them to
their files. A definition wants substitutions written ``${Name}``: ``Queue`` (a job queue),
``Job...`` (a job definition for each kind: ``JobTranscodePart`` runs ``transcode-part``) and
``WorkflowFunction`` (the function whose handler is ``worker.entrypoints.lambda_workflow``).

Rules of a definition:

- A task of ours returns ``{"outcome": WORD}``. Where one of several stages follows, a ``Choice``
  goes by the word. ``stale`` and ``withdrawn`` end the workflow: there is nothing left to do.
- What may work later is tried again with exponential backoff and full jitter, by class of error.
- Any other error leads to the stage's failure path, and on it to a named ``Fail`` state.
- ``resume`` in the input names the stage to begin with, in place of the first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch.catalogue import KINDS
from worker.domain.workflow import END, OUTCOMES, QUIET, Stage, StageKind, Workflow
from worker.recipes.workflow import after_failure, branches, failure_path, load, shipped

State = dict[str, Any]

INVOKE = "arn:aws:states:::lambda:invoke"
INVOKE_AND_WAIT = f"{INVOKE}.waitForTaskToken"
SUBMIT_JOB = "arn:aws:states:::batch:submitJob.sync"

BEGIN, FINISHED, UNEXPECTED = "Begin", "Finished", "Unexpected"
NOTHING_LEFT = "Nothing left"
TIMEOUT_SECONDS = 600
"""Of a call of the workflow function, which has a minute: the rest is for a queue before it."""
RENDER = "batch-process"
"""The kind of job that makes pictures."""

_BACKOFF = {"BackoffRate": 2, "MaxDelaySeconds": 300, "JitterStrategy": "FULL"}
_THROTTLED = ["Throttled", "Lambda.TooManyRequestsException"]
# Classes that the handler raises when a store does not answer, and what Lambda itself fails with.
_TRANSIENT = [
    "TransientError",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.Unknown",
]
_BATCH = [
    "Batch.TooManyRequestsException",
    "Batch.ServerException",
    "Batch.BatchException",
    "Batch.AWSBatchException",
]


def definition(workflow: Workflow) -> str:
    """The text of a workflow's definition, as it is committed."""
    return json.dumps(compiled(workflow), indent=2) + "\n"


def compiled(workflow: Workflow) -> dict[str, Any]:
    """The state machine of a workflow that has no mistakes."""
    return _Compiler(workflow).machine()


def state_name(stage: str) -> str:
    """``people-first`` is the state ``PeopleFirst``; states that go with it have a space in it."""
    return stage.title().replace("-", "")


def job_placeholder(kind: str) -> str:
    """The name in a definition that stands for the ARN of a kind: ``JobTranscodePart``."""
    return "Job" + state_name(kind)


def stage_of(workflow: Workflow, state: str) -> str:
    """The stage that a state is part of; empty for states that the compiler adds."""
    names = {state_name(name): name for name in workflow.stages}
    for branch in branches(workflow):
        # States of a branch go with the stage that the branch is of.
        names |= {state_name(one): branch.split(".")[0] for one in branches(workflow)[branch]}
    return names.get(state.split(" ", maxsplit=1)[0], "")


def resumable(workflow: Workflow) -> tuple[str, ...]:
    """Names of the stages that a run can be resumed from: those outside of branches."""
    inside = {name for names in branches(workflow).values() for name in names}
    return tuple(
        name
        for name, stage in workflow.stages.items()
        if name not in inside and stage.kind is not StageKind.FAIL
    )


def failed_stage(workflow: Workflow, states: Sequence[str]) -> str:
    """The stage that a run has failed in: the last one before its failure path.

    Where jobs have failed, and ``finish`` has said so, it is the stage that has run them.

    Args:
        workflow: of the run.
        states: that it has entered, in order.
    """
    entered = [name for state in states if (name := stage_of(workflow, state))]
    names = [name for name in entered if name in resumable(workflow)]
    names = [name for name in names if name not in failure_path(workflow)]
    if not names:
        return ""
    last = workflow.stages[names[-1]]
    jobs = [name for name in names if workflow.stages[name].kind is StageKind.PARALLEL]
    if jobs and last.kind is StageKind.FINISH and last.on["failed"] == entered[-1]:
        return jobs[-1]
    return last.name


class _Compiler:
    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._inside = {name for names in branches(workflow).values() for name in names}
        self._added: dict[str, State] = {}

    def machine(self) -> dict[str, Any]:
        workflow = self._workflow
        states: dict[str, State] = {}
        for stage in workflow.stages.values():
            if stage.name not in self._inside:
                states |= self._states(stage)
        begin = self._begin(states)
        return {
            "Comment": f"{workflow.description} Compiled from {workflow.name}.toml.".strip(),
            "QueryLanguage": "JSONPath",
            "StartAt": begin,
            "States": states | self._added,
        }

    def _begin(self, states: dict[str, State]) -> str:
        """The first state, which also sends a resumed run to the stage that it resumes from."""
        workflow = self._workflow
        first = state_name(workflow.first)
        rules = [
            {
                "And": [
                    {"Variable": "$.resume", "IsPresent": True},
                    {"Variable": "$.resume", "StringEquals": name},
                ],
                "Next": state_name(name),
            }
            for name in resumable(workflow)
            if name != workflow.first
        ]
        if not rules:  # one stage alone: a Choice of nothing is refused
            return first
        if states[first]["Type"] == "Choice":  # a transition less
            states[first]["Choices"] = [*rules, *states[first]["Choices"]]
            return first
        self._added[BEGIN] = {"Type": "Choice", "Choices": rules, "Default": first}
        return BEGIN

    # --- stages -------------------------------------------------------------------------------

    def _states(self, stage: Stage, branch: str = "") -> dict[str, State]:
        """The states of a stage.

        Args:
            stage: which.
            branch: the name of the tolerant branch it is in; its errors are reported.
        """
        name = state_name(stage.name)
        match stage.kind:
            case StageKind.FAIL:
                return {name: {"Type": "Fail", "Error": stage.error, "Cause": stage.message}}
            case StageKind.CHOOSE:
                return {name: self._choose(stage, branch)}
            case StageKind.PARALLEL:
                return {name: self._parallel(stage)}
            case StageKind.JOB | StageKind.RENDER:
                return {name: self._job(stage, branch)}
            case StageKind.APPROVE:
                return self._approve(stage)
            case _:
                return self._task(stage, branch)

    def _after(self, name: str, branch: str = "") -> str:
        """The state that a stage's ``next`` means where a name is needed."""
        if name != END:
            return state_name(name)
        if branch:
            return f"{state_name(branch)} done"
        self._added[FINISHED] = {"Type": "Succeed"}
        return FINISHED

    def _next(self, stage: Stage, branch: str) -> State:
        if stage.next == END and not branch:
            return {"End": True}
        return {"Next": self._after(stage.next, branch)}

    def _catch(self, stage: Stage, branch: str = "") -> State:
        """Where an error leads. In a branch that is not tolerant it leads out of the branch."""
        target = f"{state_name(branch)} failed" if branch else ""
        if not branch and stage.name not in self._inside:
            failed = after_failure(self._workflow, stage)
            target = state_name(failed) if failed else ""
        if not target:
            return {}
        rule = {"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": target}
        return {"Catch": [rule]}

    def _choose(self, stage: Stage, branch: str) -> State:
        def rule(word: str, after: str) -> State:
            test = "BooleanEquals" if word in ("true", "false") else "StringEquals"
            value = word == "true" if test == "BooleanEquals" else word
            variable = f"$.{stage.input}"
            return {"Variable": variable, test: value, "Next": self._after(after, branch)}

        return {
            "Type": "Choice",
            "Choices": [rule(word, after) for word, after in stage.on.items()],
            "Default": self._after(stage.otherwise, branch),
        }

    def _parallel(self, stage: Stage) -> State:
        parts = []
        for branch, first in stage.branches.items():
            names = branches(self._workflow)[f"{stage.name}.branches.{branch}"]
            states: dict[str, State] = {}
            for one in self._workflow.stages.values():  # in the order of the file
                if one.name in names:
                    states |= self._states(one, branch)
            reported = state_name(branch)
            states[f"{reported} done"] = {
                "Type": "Pass",
                "Parameters": {"kind": branch, "state": "done"},
                "End": True,
            }
            if stage.tolerant:
                states[f"{reported} failed"] = {
                    "Type": "Pass",
                    "Parameters": {
                        "kind": branch,
                        "state": "failed",
                        "error.$": "$.failure.Error",
                        "cause.$": "$.failure.Cause",
                    },
                    "End": True,
                }
            else:
                for state in states.values():
                    state.pop("Catch", None)
            parts.append({"StartAt": state_name(first), "States": states})
        return {
            "Type": "Parallel",
            "Branches": parts,
            "ResultPath": "$.jobs",
            **self._catch(stage),
            **self._next(stage, ""),
        }

    def _job(self, stage: Stage, branch: str) -> State:
        render = stage.kind is StageKind.RENDER
        kind = RENDER if render else stage.job
        given = {"recipe": "$recipe"} if render else stage.parameters
        output = "$.output"
        if not render:
            output = f"States.Format('{{}}/{stage.folder or kind}', $.output)"
        words = [
            *("'run'", f"'{kind}'", "'--input'", "$.source", "'--output'", output),
            *("'--asset'", "$.asset", "'--access'", "$.access", "'--trace'", "$.traceparent"),
            *("'--submitted'", "$$.State.EnteredTime"),
        ]
        for name, value in given.items():
            words += ["'--param'", _parameter(name, value)]
        return {
            "Type": "Task",
            "Resource": SUBMIT_JOB,
            "Parameters": {
                "JobName.$": f"States.Format('{{}}-{kind}', $.name)",
                "JobQueue": "${Queue}",
                "JobDefinition": f"${{{job_placeholder(kind)}}}",
                "ShareIdentifier": kind.replace("-", ""),
                **({"ArrayProperties": {"Size.$": f"$.{stage.array}"}} if stage.array else {}),
                "ContainerOverrides": {"Command.$": f"States.Array({', '.join(words)})"},
            },
            **({"TimeoutSeconds": stage.timeout_seconds} if stage.timeout_seconds else {}),
            "ResultPath": None,
            "Retry": [
                {
                    "ErrorEquals": _BATCH,
                    "IntervalSeconds": 2,
                    "MaxAttempts": stage.attempts or 8,
                    **_BACKOFF,
                }
            ],
            **self._catch(stage, branch),
            **self._next(stage, branch),
        }

    # --- tasks of the workflow function -------------------------------------------------------

    def _call(self, stage: Stage, task: str, **more: object) -> State:
        return {
            "FunctionName": "${WorkflowFunction}",
            "Payload": {
                "task": task,
                "stage": stage.name,
                "workflow": self._workflow.name,
                "asset.$": "$.asset",
                "version.$": "$.version",
                "execution.$": "$$.Execution.Id",
                "started.$": "$$.Execution.StartTime",
                "traceparent.$": "$.traceparent",
                **more,
            },
        }

    def _invoke(self, stage: Stage, task: str, **more: object) -> State:
        return {
            "Type": "Task",
            "Resource": INVOKE,
            "Parameters": self._call(stage, task, **more),
            "TimeoutSeconds": stage.timeout_seconds or TIMEOUT_SECONDS,
            "Retry": _retry(stage),
        }

    def _task(self, stage: Stage, branch: str) -> dict[str, State]:
        name = state_name(stage.name)
        more: dict[str, object] = {}
        if stage.kind is StageKind.FINISH:
            more = {"media.$": "$.media", "jobs.$": "$.jobs"}
        elif stage.kind is StageKind.MODERATE:
            more = {"unavailable": stage.unavailable}
        elif stage.kind is StageKind.WEBHOOK:
            more = {"endpoint": stage.endpoint}
        task = {**self._invoke(stage, stage.kind.value, **more), **self._catch(stage, branch)}
        # The stages after a publication or a rejection must not run without it.
        decides = stage.kind in {StageKind.PUBLISH, StageKind.REJECT} and stage.next != END
        if stage.kind not in OUTCOMES and not decides:
            return {name: {**task, "ResultPath": None, **self._next(stage, branch)}}
        task |= {
            "ResultSelector": {"outcome.$": "$.Payload.outcome"},
            "ResultPath": "$.answer",
            "Next": f"{name} outcome",
        }
        return {name: task, f"{name} outcome": self._outcome(stage)}

    def _outcome(self, stage: Stage) -> State:
        """A choice by the word that a stage has answered."""

        def rule(word: str, after: str) -> State:
            return {"Variable": "$.answer.outcome", "StringEquals": word, "Next": after}

        nothing = self._added.setdefault(NOTHING_LEFT, {"Type": "Succeed"})
        nothing["Comment"] = "Another version is recorded, or somebody has decided elsewhere."
        failed = after_failure(self._workflow, stage)
        if stage.next:
            default = self._after(stage.next)
        elif failed:
            default = state_name(failed)
        else:
            default = UNEXPECTED
            said = "A stage has answered with a word that it does not have."
            self._added[UNEXPECTED] = {"Type": "Fail", "Error": UNEXPECTED, "Cause": said}
        return {
            "Type": "Choice",
            "Choices": [
                *(rule(word, self._after(after)) for word, after in stage.on.items()),
                *(rule(word, NOTHING_LEFT) for word in QUIET),
            ],
            "Default": default,
        }

    def _approve(self, stage: Stage) -> dict[str, State]:
        """Ask and wait; perhaps ask more loudly and wait again; then what the deadline means."""
        name, deadline = state_name(stage.name), _seconds(stage.deadline_hours)
        waits = [(name, deadline, deadline, False)]
        if stage.escalate_hours is not None:
            first = _seconds(stage.escalate_hours)
            left = deadline - first
            waits = [(name, first, deadline, False), (f"{name} escalated", left, left, True)]
        expired = f"{name} expired"
        states: dict[str, State] = {}
        for index, (state, seconds, left, escalated) in enumerate(waits):
            last = index == len(waits) - 1
            late = {
                "ErrorEquals": ["States.Timeout"],
                "ResultPath": "$.failure",
                "Next": expired if last else waits[index + 1][0],
            }
            more: dict[str, object] = {
                "token.$": "$$.Task.Token",
                "deadline_seconds": left,
                "escalated": escalated,
                "needed": stage.people,
            }
            states[state] = {
                "Type": "Task",
                "Resource": INVOKE_AND_WAIT,
                "Parameters": self._call(stage, "approve", **more),
                "TimeoutSeconds": max(1, seconds),
                "ResultPath": "$.answer",
                "Retry": _retry(stage),
                "Catch": [late, *self._catch(stage).get("Catch", ())],
                "Next": f"{name} outcome",
            }
        states[expired] = {
            **self._invoke(stage, "expire", default=stage.default),
            "ResultSelector": {"outcome.$": "$.Payload.outcome"},
            "ResultPath": "$.answer",
            **self._catch(stage),
            "Next": f"{name} outcome",
        }
        states[f"{name} outcome"] = self._outcome(stage)
        return states


def _retry(stage: Stage) -> list[State]:
    return [
        {
            "ErrorEquals": _THROTTLED,
            "IntervalSeconds": 5,
            "MaxAttempts": stage.attempts or 10,
            **_BACKOFF,
        },
        {
            "ErrorEquals": _TRANSIENT,
            "IntervalSeconds": 2,
            "MaxAttempts": stage.attempts or 8,
            **_BACKOFF,
        },
    ]


def _seconds(hours: float) -> int:
    return max(1, round(hours * 3600))


def _parameter(name: str, value: object) -> str:
    """An argument of ``--param``, as an expression of the definition."""
    if isinstance(value, str) and value.startswith("$"):
        return f"States.Format('{name}={{}}', $.{value[1:]})"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{name}={text}'"


# --- the definitions that ship ------------------------------------------------------------------


def shipped_path(name: str) -> Path:
    """Where the definition of a shipped workflow lies."""
    return Path(__file__).with_name(f"{name}.asl.json")


def write_shipped() -> None:
    """Write the definition of each shipped workflow."""
    for name in shipped():
        shipped_path(name).write_text(definition(load(name, jobs=KINDS)), "utf-8")
