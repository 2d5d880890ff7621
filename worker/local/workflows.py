"""The tasks of a state machine that the embedded AWS cannot do: submit a job, invoke a function.

The embedded AWS runs the deployed state machine, but its Batch runs nothing and it cannot run the
function's image. At deploy ``on_queue`` rewrites each such task to
``sqs:sendMessage.waitForTaskToken``: the state sends its parameters and a token to a queue, and
waits. ``WorkflowTasks`` takes the message, asks whether the role of the state machine allows the
task, does it, and answers the token with the output or the error that Step Functions gives, so that
``Retry``, ``Catch`` and ``ResultSelector`` of the definition work unchanged (AWS Step Functions
Developer Guide, "Handling errors"; AWS Batch API Reference, SubmitJob).

A task that waits for somebody's answer (``lambda:invoke.waitForTaskToken``) hands its token on in
its parameters, and is answered here only if the call fails.

The same queue gets the events that a workflow has to be started for. On AWS the rule on the bus
invokes the function that starts the state machine; here this module does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.domain.errors import AccessDenied, JobRejected, SafelightError
from worker.domain.job import JobRequest, JobState, JobStatus
from worker.local.child import log, repeat
from worker.local.iam_simulator import Require, allow_all
from worker.ports import Queue

if TYPE_CHECKING:
    from types_boto3_stepfunctions import SFNClient

    from worker.job_context import Stop
    from worker.local.batch.jobs import LocalJobs

QUEUE = "safelight-local-heavy"
SUBMIT_JOB = "arn:aws:states:::batch:submitJob.sync"
INVOKE = "arn:aws:states:::lambda:invoke"
INVOKE_AND_WAIT = f"{INVOKE}.waitForTaskToken"
SEND = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
NO_TIMEOUT = 99_999_999
"""Seconds. Step Functions' default timeout; the embedded AWS uses 99,999 s."""
CAUSE_LENGTH = 32_768
"""Characters of a cause (AWS Step Functions Developer Guide, "Quotas")."""
IDLE_SECONDS = 1
"""Length of a poll while no job is waited for. Short, because a stop waits for it."""
LOOK_SECONDS = 0.2
"""Between two looks at jobs that are waited for."""
HIDDEN_SECONDS = 15
ATTEMPTS = 3
"""Calls of the function for an event until it is a dead letter: as many as Lambda makes of an
asynchronous call (AWS Lambda Developer Guide, "How Lambda handles errors and retries")."""


# --- deploy -----------------------------------------------------------------------------------


def on_queue(definition: str, machine: str) -> str:
    """A definition whose jobs and functions are done by the reader of ``QUEUE``.

    Everything else of a state stays: what it does with the output, with errors, what is next.

    Args:
        definition: in the Amazon States Language.
        machine: the name of the state machine, whose role counts for its tasks.
    """
    parsed = json.loads(definition)
    _rewrite(parsed, machine)
    return json.dumps(parsed)


def _rewrite(level: Mapping[str, Any], machine: str) -> None:
    for state in level["States"].values():
        for below in (*state.get("Branches", ()), state.get("ItemProcessor")):
            if below is not None:
                _rewrite(below, machine)
        resource = state.get("Resource")
        if resource in {SUBMIT_JOB, INVOKE, INVOKE_AND_WAIT}:
            body = {
                "token.$": "$$.Task.Token",
                "machine": machine,
                "resource": resource,
                "parameters": state.get("Parameters", {}),
            }
            state["Resource"] = SEND
            state["Parameters"] = {"QueueUrl": QUEUE, "MessageBody": body}
            state.setdefault("TimeoutSeconds", NO_TIMEOUT)


# --- tasks ------------------------------------------------------------------------------------


class TaskFailed(Exception):
    """A task failed, with the error's name as Step Functions has it, and the cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause[:CAUSE_LENGTH]


class TaskTokens(Protocol):
    """Answers the tokens of waiting tasks."""

    def succeed(self, token: str, output: object) -> None:
        """End the task with an output. A token that is no longer waited for is no error."""
        ...

    def fail(self, token: str, error: str, cause: str) -> None:
        """End the task with an error. A token that is no longer waited for is no error."""
        ...


class AwsTaskTokens:
    """The tokens of Step Functions."""

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients

    def succeed(self, token: str, output: object) -> None:
        """See ``TaskTokens``."""
        text = json.dumps(output)
        self._send(lambda sfn: sfn.send_task_success(taskToken=token, output=text))

    def fail(self, token: str, error: str, cause: str) -> None:
        """See ``TaskTokens``."""
        self._send(lambda sfn: sfn.send_task_failure(taskToken=token, error=error, cause=cause))

    def _send(self, call: Callable[[SFNClient], object]) -> None:
        sfn = self._clients.stepfunctions
        # A token is no longer waited for when its execution was stopped, or lost with an embedded
        # AWS that was killed. That one starts the execution again, with other tokens.
        gone = (sfn.exceptions.TaskDoesNotExist, sfn.exceptions.TaskTimedOut)
        with aws_call("answer a state machine"), suppress(*gone):
            call(sfn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """The resources that parameters of state machines name by ARN, and whether their roles allow
    their use."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    """Kinds of jobs, by the ARN of their definition."""
    queues: Mapping[str, str] = field(default_factory=dict)
    """Names of queues of jobs, by ARN."""
    functions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """Handlers without their context, by ARN."""
    check: Callable[[str], Require] = lambda _machine: allow_all
    """The permissions of each state machine's role, by the name of the state machine."""

    def require(self, machine: str, service: str, action: str, resource: str) -> None:
        """Raises ``TaskFailed`` if the machine's role may not."""
        try:
            self.check(machine)(f"{service.lower()}:{action}", resource)
        except AccessDenied as error:
            raise TaskFailed(f"{service}.AccessDeniedException", error.message) from error


class WorkflowTasks:
    """Does what the queue asks for.

    Args:
        url: of the queue.
        dead_letters: URL of the queue for events that can never start anything.
        start: handles an event that a workflow has to be started for.
        jobs: where jobs are submitted; it remembers which token of which machine waits for which
            job.
        tokens: of waiting tasks.
        deployed: what tasks name.
    """

    def __init__(
        self,
        *,
        queue: Queue,
        url: str,
        dead_letters: str,
        start: Callable[[Any], object],
        jobs: LocalJobs,
        tokens: TaskTokens,
        deployed: Deployed,
    ) -> None:
        self._queue, self._url, self._dead_letters = queue, url, dead_letters
        self._start, self._jobs, self._tokens, self._deployed = start, jobs, tokens, deployed

    def run(self, stop: Stop) -> None:
        """Work until asked to stop. Failures are logged and retried."""

        def once() -> None:
            if self.once():
                stop.wait(LOOK_SECONDS)

        repeat(once, stop)

    def once(self) -> bool:
        """Answer for jobs that have ended, then take messages; returns whether to look again soon.

        Raises:
            SafelightError: the embedded AWS or the table of jobs does not answer; nothing is lost.
        """
        waiting = self._answer_ended()
        wait = 0 if waiting else IDLE_SECONDS
        messages = self._queue.receive(self._url, wait=wait, visibility=HIDDEN_SECONDS)
        for message in messages:
            if self._handle(message.body, receives=message.receives):
                self._queue.delete(self._url, [message])
        return waiting or bool(messages)

    def _answer_ended(self) -> bool:
        awaited = self._jobs.awaited()
        ended = {token: job for token, job in awaited.items() if job is not None}
        for known, job in ended.items():
            machine, _, token = known.rpartition(" ")
            try:
                self._deployed.require(machine, "Batch", "DescribeJobs", "*")
                self._tokens.succeed(token, job_output(job))
            except TaskFailed as failed:
                self._tokens.fail(token, failed.error, failed.cause)
            self._jobs.forget_token(known)
        return len(awaited) > len(ended)

    def _handle(self, body: str, *, receives: int) -> bool:
        """Whether a message is done with. One that is not comes back."""
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            log("a message that is not JSON is left out")
            return True
        if not isinstance(asked, Mapping) or "token" not in asked:
            return self._handle_event(asked, receives)
        token, machine = str(asked["token"]), str(asked.get("machine", ""))
        try:
            if asked["resource"] == SUBMIT_JOB:
                self._submit(asked["parameters"], machine, token)
            else:
                answer = self._invoke(asked["parameters"], machine)
                if asked["resource"] == INVOKE:
                    self._tokens.succeed(token, answer)
        except TaskFailed as failed:
            self._tokens.fail(token, failed.error, failed.cause)
        return True

    def _handle_event(self, event: Any, receives: int) -> bool:
        try:
            self._start(event)
        except SafelightError as error:
            log(f"not started: {error.code}: {error.message}")
            if error.retryable or receives < ATTEMPTS:
                return False
            self._queue.send(self._dead_letters, [(_failed_call(event, error), "", "")])
        return True

    def _submit(self, parameters: Any, machine: str, token: str) -> None:
        """Submit a job; the token is answered when the job has ended."""
        deployed = self._deployed
        request = job_request(parameters, deployed)
        deployed.require(machine, "Batch", "SubmitJob", parameters["JobDefinition"])
        deployed.require(machine, "Batch", "SubmitJob", parameters["JobQueue"])
        try:
            self._jobs.submit(request, token=f"{machine} {token}")
        except JobRejected as error:
            raise TaskFailed("Batch.ClientException", error.message) from error

    def _invoke(self, parameters: Any, machine: str) -> Mapping[str, Any]:
        name = str(parameters.get("FunctionName"))
        function = self._deployed.functions.get(name)
        if function is None:
            raise TaskFailed("Lambda.ResourceNotFoundException", f"there is no function {name}")
        self._deployed.require(machine, "Lambda", "InvokeFunction", name)
        try:
            # On AWS the result is JSON, so a handler's result must be valid JSON here too.
            answer = json.loads(json.dumps(function(parameters.get("Payload", {}))))
        except Exception as error:  # as Lambda: whatever a function raises
            text = error.message if isinstance(error, SafelightError) else str(error)
            kind = type(error).__name__
            raise TaskFailed(kind, json.dumps({"errorMessage": text, "errorType": kind})) from error
        return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": answer}


def _failed_call(event: Any, error: SafelightError) -> str:
    """The record that Lambda sends of a call that failed (AWS Lambda Developer Guide, "Capturing
    records of Lambda asynchronous invocations"), as far as ``safelight dlq`` reads it."""
    answer = {"errorType": type(error).__name__, "errorMessage": error.message}
    return json.dumps({"requestPayload": event, "responsePayload": answer})


# --- jobs -------------------------------------------------------------------------------------


def job_request(parameters: Any, deployed: Deployed) -> JobRequest:
    """The job that SubmitJob's parameters mean.

    The command is that of the Batch image:
    ``run KIND --input URI --output URI --asset ID --access WORD --trace ID --submitted TIME
    --param NAME=VALUE``.

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
        definition = parameters["JobDefinition"]
        if deployed.kinds[definition] != kind:
            raise ValueError(f"the definition {definition!r} does not run {kind!r}")
        size = parameters.get("ArrayProperties", {}).get("Size")
        return JobRequest(
            name=str(parameters["JobName"]),
            kind=kind,
            queue=deployed.queues[parameters["JobQueue"]],
            inputs=tuple(text for name, text in options if name == "--input"),
            output=next(text for name, text in options if name == "--output"),
            parameters=dict(_pair(text) for name, text in options if name == "--param"),
            asset=next((text for name, text in options if name == "--asset"), None),
            closed=("--access", "closed") in options,
            traceparent=next((text for name, text in options if name == "--trace"), ""),
            submitted=next((text for name, text in options if name == "--submitted"), ""),
            array_size=None if size is None else int(size),
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise TaskFailed("States.Runtime", f"not a job: {error!r}") from error


def _command(command: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    if len(command) % 2 or command[0] != "run" or not all(isinstance(one, str) for one in command):
        raise ValueError(f"not a command of the Batch image: {command!r}")
    options = list(zip(command[2::2], command[3::2], strict=True))
    known = {"--input", "--output", "--asset", "--access", "--trace", "--submitted", "--param"}
    unknown = {name for name, _ in options} - known
    if unknown:
        raise ValueError(f"options that are not understood: {sorted(unknown)}")
    return command[1], options


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--param {text!r} has no value")
    return name, value


def job_output(status: JobStatus) -> Mapping[str, Any]:
    """The part of an ended job's description that a definition may use.

    Raises:
        TaskFailed: the job has failed.
    """
    container = {} if status.exit_code is None else {"ExitCode": status.exit_code}
    described = {
        "JobId": status.id,
        "JobName": status.name,
        "Status": status.state.value,
        "StatusReason": status.reason,
        "Container": container,
    }
    if status.state is JobState.FAILED:
        raise TaskFailed("States.TaskFailed", json.dumps(described))
    return described
