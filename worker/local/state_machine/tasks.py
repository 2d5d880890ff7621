"""The work of tasks, here: jobs of the local Batch, and the functions that Lambda would run.

``batch:submitJob.sync`` gets the parameters that AWS Batch gets and ends when the job does;
``lambda:invoke`` calls a handler in this process. Errors have the names that Step Functions gives
them (AWS Step Functions Developer Guide, "Handling errors"; AWS Batch API Reference, SubmitJob).
Before anything is done, the role of the state machine is asked whether it allows it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from worker.domain.errors import (
    AccessDenied,
    JobMissing,
    JobRejected,
    SafelightError,
    StateError,
    Throttled,
    TransientError,
)
from worker.domain.job import JobRequest, JobState, JobStatus
from worker.local.iam_simulator import Permit, everything
from worker.local.state_machine.definition import INVOKE, SUBMIT_JOB
from worker.local.state_machine.evaluate import RUNTIME, TaskFailed
from worker.ports import Jobs

FAILED = "States.TaskFailed"
CAUSE_LENGTH = 32_768
"""Characters of a cause (the same guide, "Quotas")."""

Function = Callable[[Any], Any]
"""A handler without its context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What the state machine's role allows, and the ARNs of what is known here by name."""

    permit: Permit = everything
    jobs: str = ""
    """ARN of every job: ``arn:aws:batch:...:job/*``."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Of job definitions, by kind."""
    queues: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)

    def submit(self, kind: str, queue: str) -> None:
        """Raise ``TaskFailed`` if a job may not be submitted."""
        for names, name in ((self.kinds, kind), (self.queues, queue)):
            self._require("Batch", "batch:SubmitJob", names.get(name, name))

    def describe(self) -> None:
        """The same for asking how a job stands."""
        self._require("Batch", "batch:DescribeJobs", "*")

    def terminate(self, job: str) -> None:
        """The same for ending one."""
        self._require("Batch", "batch:TerminateJob", self.jobs.replace("*", job))

    def invoke(self, function: str) -> None:
        """The same for calling a function."""
        self._require("Lambda", "lambda:InvokeFunction", self.functions.get(function, function))

    def _require(self, service: str, action: str, resource: str) -> None:
        try:
            self.permit(action, resource)
        except AccessDenied as error:
            raise TaskFailed(f"{service}.AccessDeniedException", error.message) from error


class LocalTasks:
    """``evaluate.Tasks`` on one machine.

    Args:
        jobs: where jobs are handed in.
        functions: by the name that definitions use (their ``FunctionName``).
        rights: of the state machine.
    """

    def __init__(
        self,
        jobs: Jobs,
        functions: Mapping[str, Function],
        rights: Rights = Rights(),
    ) -> None:
        self._jobs, self._functions, self._rights = jobs, functions, rights

    def begin(self, resource: str, parameters: Any) -> tuple[str, Any]:
        """See ``Tasks``."""
        if resource == INVOKE:
            return "", self._invoke(parameters)
        if resource != SUBMIT_JOB:
            raise TaskFailed(RUNTIME, f"{resource} is not done here")
        request = job_request(parameters)
        self._rights.submit(request.kind, request.queue)
        try:
            return self._jobs.submit(request), None
        except Throttled as error:
            raise TaskFailed("Batch.TooManyRequestsException", error.message) from error
        except TransientError as error:
            raise TaskFailed("Batch.ServerException", error.message) from error
        except JobRejected as error:
            raise TaskFailed("Batch.ClientException", error.message) from error

    def look(self, handle: str) -> tuple[bool, Any]:
        """See ``Tasks``. A job that cannot be asked about is asked about again later."""
        self._rights.describe()
        try:
            status = self._jobs.describe(handle)
        except JobMissing as error:
            raise TaskFailed(FAILED, error.message) from error
        except TransientError:
            return False, None
        if status.state is JobState.FAILED:
            raise TaskFailed(FAILED, json.dumps(_description(status))[:CAUSE_LENGTH])
        done = status.state is JobState.SUCCEEDED
        return done, _description(status) if done else None

    def stop(self, resource: str, handle: str) -> None:
        """See ``Tasks``."""
        if resource == SUBMIT_JOB:
            # Without the right it goes on to its own end, as on AWS.
            with suppress(StateError, TransientError, TaskFailed):
                self._rights.terminate(handle)
                self._jobs.stop(handle, "the state machine waits for it no more")

    def _invoke(self, parameters: Any) -> Any:
        name = parameters.get("FunctionName") if isinstance(parameters, Mapping) else None
        function = self._functions.get(str(name))
        if function is None:
            raise TaskFailed("Lambda.ResourceNotFoundException", f"there is no function {name}")
        self._rights.invoke(str(name))
        try:
            # What goes over the wire is JSON: nothing else may come out of a handler either.
            answer = json.loads(json.dumps(function(parameters.get("Payload", {}))))
        except Exception as error:  # as Lambda: whatever a function raises
            kind = type(error).__name__
            text = error.message if isinstance(error, SafelightError) else str(error)
            told = {"errorMessage": text, "errorType": kind}
            raise TaskFailed(kind, json.dumps(told)[:CAUSE_LENGTH]) from error
        return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": answer}


def job_request(parameters: Any) -> JobRequest:
    """The job that SubmitJob's parameters mean.

    Its definition is named after its kind and its queue as here; the command is that of the Batch
    image: ``run KIND --input URI --output URI --asset ID --param NAME=VALUE``.

    Raises:
        TaskFailed: they are not understood.
    """
    try:
        # The share counts where several wait for the same machines; one machine takes turns.
        known = {"JobName", "JobQueue", "JobDefinition", "ArrayProperties", "ContainerOverrides"}
        if set(parameters) - known - {"ShareIdentifier"} or set(
            parameters["ContainerOverrides"]
        ) != {"Command"}:
            raise ValueError(f"parameters that are not understood: {sorted(parameters)}")
        kind, options = _command(parameters["ContainerOverrides"]["Command"])
        if parameters["JobDefinition"] != kind:
            raise ValueError(f"the definition {parameters['JobDefinition']!r} runs {kind!r}")
        size = parameters.get("ArrayProperties", {}).get("Size")
        return JobRequest(
            name=str(parameters["JobName"]),
            kind=kind,
            queue=str(parameters["JobQueue"]),
            inputs=tuple(text for name, text in options if name == "--input"),
            output=next(text for name, text in options if name == "--output"),
            parameters=dict(_pair(text) for name, text in options if name == "--param"),
            asset=next((text for name, text in options if name == "--asset"), None),
            array_size=None if size is None else int(size),
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise TaskFailed(RUNTIME, f"not a job: {error!r}") from error


def _command(command: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    if len(command) % 2 or command[0] != "run" or not all(isinstance(one, str) for one in command):
        raise ValueError(f"not a command of the Batch image: {command!r}")
    options = list(zip(command[2::2], command[3::2], strict=True))
    unknown = {name for name, _ in options} - {"--input", "--output", "--asset", "--param"}
    if unknown:
        raise ValueError(f"options that are not understood: {sorted(unknown)}")
    return command[1], options


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--param {text!r} has no value")
    return name, value


def _description(status: JobStatus) -> dict[str, Any]:
    """The part of a job's description that a definition may use."""
    container = {} if status.exit_code is None else {"ExitCode": status.exit_code}
    return {
        "JobId": status.id,
        "JobName": status.name,
        "Status": status.state.value,
        "StatusReason": status.reason,
        "Container": container,
    }
