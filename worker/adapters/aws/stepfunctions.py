"""Workflows on Step Functions (standard state machines, whose executions have names)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from botocore.exceptions import ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code
from worker.domain.errors import ConfigurationError, EngineError, TaskRefused

NAME_LENGTH = 80
"""Longest name of an execution (AWS Step Functions API Reference, StartExecution)."""
INPUT_BYTES = 256 * 1024
"""Largest input (the same)."""

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
        machine = self._machines.get(workflow)
        if machine is None:
            raise ConfigurationError(f"there is no workflow {workflow}")
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


def payload_text(payload: Mapping[str, object]) -> str:
    """The payload as JSON, the same for equal payloads. Raises ``EngineError``."""
    try:
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EngineError(f"a payload cannot be written as JSON: {error}") from error
    if len(text) > INPUT_BYTES:  # ASCII: json.dumps escapes the rest
        raise EngineError(f"a payload of {len(text)} bytes; {INPUT_BYTES} is the most")
    return text
