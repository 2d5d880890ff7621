"""Workflows on Step Functions (standard state machines, whose executions have names)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code
from worker.domain.errors import ConfigurationError, EngineError, TaskRefused
from worker.domain.workflow import Run, RunResult, RunState

NAME_LENGTH = 80
"""Longest name of an execution (AWS Step Functions API Reference, StartExecution)."""
INPUT_BYTES = 256 * 1024
"""Largest input (the same)."""

_FAILURES = (
    "lambdaFunctionFailedEventDetails",
    "lambdaFunctionScheduleFailedEventDetails",
    "lambdaFunctionStartFailedEventDetails",
    "lambdaFunctionTimedOutEventDetails",
)
"""Members of events of a history (AWS Step Functions API Reference, HistoryEvent)."""

_ALLOWED = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_LENGTH}}}")
_DIGITS = 16


def execution_name(name: str) -> str:
    """The name of the execution that stands for ``name``.

    Names of letters, digits, ``-`` and ``_`` (what can be logged, too) stay as they are. Any
    other becomes its allowed part and 16 hex digits of its SHA-256, so that two names stay two.
    """
    if _ALLOWED.fullmatch(name):
        return name
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[: NAME_LENGTH - _DIGITS - 1].strip("-")
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]
    return f"{readable}-{digest}" if readable else digest


class StepFunctionsWorkflows:
    """State machines by the names that Safelight knows them by.

    Args:
        machines: workflow name to the ARN of its state machine (not of an alias or a version:
            names are unique only below the machine itself).
    """

    def __init__(self, clients: AwsClients, machines: Mapping[str, str]) -> None:
        self._clients = clients
        self._machines = dict(machines)

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See ``Workflows.start``. Returns the ARN of the execution.

        Step Functions forgets a name 90 days after its execution has ended.

        Raises:
            ConfigurationError: no such workflow.
            EngineError: the payload is not JSON or too large.
        """
        machine = self._machine(workflow)
        execution = execution_name(name)
        text = payload_text(payload)
        with aws_call(f"start {workflow} {execution}"):
            try:
                answer = self._clients.stepfunctions.start_execution(
                    stateMachineArn=machine, name=execution, input=text
                )
            except ClientError as error:
                # It has ended, or was started with another payload. Started is started.
                if error_code(error) == "ExecutionAlreadyExists":
                    return f"{machine.replace(':stateMachine:', ':execution:')}:{execution}"
                raise
        return answer["executionArn"]

    def answer(self, token: str, output: Mapping[str, object]) -> None:
        """See ``Workflows.answer``.

        AWS says ``InvalidToken`` of what never was a token, ``TaskDoesNotExist`` of a task that is
        gone, and ``TaskTimedOut`` of one that has expired and of one that has an answer alike (AWS
        Step Functions API Reference, SendTaskSuccess).
        """
        text = payload_text(output)
        with aws_call("answer a stage"):
            try:
                self._clients.stepfunctions.send_task_success(taskToken=token, output=text)
            except ClientError as error:
                # Not "from error": the request in it has the token.
                if error_code(error) == "TaskTimedOut":
                    said = "the task of this token waits no more"
                    raise TaskRefused(said, code="task_timed_out") from None
                if error_code(error) in ("InvalidToken", "TaskDoesNotExist"):
                    raise TaskRefused("Step Functions knows no task of this token") from None
                raise

    def runs(self, workflow: str, state: RunState | None = None, *, limit: int) -> Sequence[Run]:
        """See ``Workflows.runs``."""
        asked: dict[str, Any] = {"stateMachineArn": self._machine(workflow)}
        if state is not None:
            asked["statusFilter"] = state.name
        found: list[Run] = []
        with aws_call(f"list runs of {workflow}"):
            while len(found) < limit:
                asked["maxResults"] = min(1000, limit - len(found))
                page = self._clients.stepfunctions.list_executions(**asked)
                found += [_run(workflow, one) for one in page["executions"]]
                if not page.get("nextToken"):
                    break
                asked["nextToken"] = page["nextToken"]
        return found[:limit]

    def run(self, workflow: str, name: str) -> Run | None:
        """See ``Workflows.run``."""
        machine = self._machine(workflow)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{execution_name(name)}"
        with aws_call(f"look at {workflow} {name}"):
            try:
                described = self._clients.stepfunctions.describe_execution(executionArn=arn)
                states = tuple(self._states(arn))
            except ClientError as error:
                if error_code(error) == "ExecutionDoesNotExist":
                    return None
                raise
        found = _run(workflow, described)
        try:
            payload = json.loads(described.get("input", "{}"))
        except ValueError as error:
            raise EngineError(f"the input of {name} is not JSON") from error
        return replace(
            found,
            input=payload if isinstance(payload, dict) else {},
            error=described.get("error", ""),
            cause=described.get("cause", ""),
            states=states,
        )

    def result(self, workflow: str, name: str) -> RunResult | None:
        """See ``worker.services.tune.TuningRuns``: None as long as it runs."""
        machine = self._machine(workflow)
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{execution_name(name)}"
        with aws_call(f"look at {workflow} {name}"):
            described = self._clients.stepfunctions.describe_execution(executionArn=arn)
            if RunState[described["status"]] is RunState.RUNNING:
                return None
            failures = tuple(self._failures(arn))
        try:
            output = json.loads(described.get("output", "null"))
        except ValueError as error:
            raise EngineError(f"the output of {name} is not JSON") from error
        said = ": ".join(filter(None, (described.get("error"), described.get("cause"))))
        return RunResult(
            succeeded=RunState[described["status"]] is RunState.SUCCEEDED,
            output=output,
            failures=(*failures, *([said] if said and not failures else [])),
        )

    def _failures(self, arn: str) -> Iterator[str]:
        """Errors of tasks that are functions, in order, with their causes."""
        pages = self._clients.stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=arn, includeExecutionData=True, PaginationConfig={"PageSize": 1000}
        )
        for page in pages:
            for event in page["events"]:
                for kind in _FAILURES:
                    told: Any = event.get(kind)
                    if told is not None:
                        said = (told.get("error", ""), told.get("cause", ""))
                        yield ": ".join(filter(None, said)) or event["type"]

    def _states(self, arn: str) -> Iterator[str]:
        pages = self._clients.stepfunctions.get_paginator("get_execution_history").paginate(
            executionArn=arn, includeExecutionData=False, PaginationConfig={"PageSize": 1000}
        )
        for page in pages:
            for event in page["events"]:
                entered = event.get("stateEnteredEventDetails")
                if entered is not None:
                    yield entered["name"]

    def _machine(self, workflow: str) -> str:
        machine = self._machines.get(workflow)
        if machine is None:
            raise ConfigurationError(f"there is no workflow {workflow}")
        return machine


def _run(workflow: str, described: Mapping[str, Any]) -> Run:
    started, stopped = described["startDate"], described.get("stopDate")
    return Run(
        id=described["executionArn"],
        workflow=workflow,
        name=described["name"],
        state=RunState[described["status"]],
        started_at=_time(started),
        stopped_at="" if stopped is None else _time(stopped),
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def payload_text(payload: Mapping[str, object]) -> str:
    """The payload as JSON, the same for equal payloads. Raises ``EngineError``."""
    try:
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EngineError(f"a payload cannot be written as JSON: {error}") from error
    if len(text) > INPUT_BYTES:  # ASCII: json.dumps escapes the rest
        raise EngineError(f"a payload of {len(text)} bytes; {INPUT_BYTES} is the most")
    return text
