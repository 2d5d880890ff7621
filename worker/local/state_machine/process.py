"""The child of the local stack that runs state machines: from ``asset.processing`` to a record.

A rule on the bus sends heavy uploads to a queue of the local stack's own. This process hands each
to the handler that starts the workflow on AWS (``worker.entrypoints.lambda_workflow``), with starts
written to an SQLite file instead of sent to Step Functions, and drives what was started, looking
at every execution a few times a second. All it knows is in that file: killed at any moment it goes
on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.adapters.local_workflows import LocalWorkflows, Start
from worker.domain.errors import SafelightError, WorkflowError
from worker.job_context import Stop
from worker.local.child import Backoff, arguments, log, pause, stopping
from worker.local.deploy import STACK, Outputs, read_outputs
from worker.local.iam_simulator import Permits
from worker.local.roles import PLUMBING, ROOT, Actors
from worker.local.root_clients import RootClients
from worker.local.state_machine import definition
from worker.local.state_machine.definition import Machine
from worker.local.state_machine.evaluate import Ended, Evaluation
from worker.local.state_machine.store import Execution, Executions, Steps
from worker.local.state_machine.tasks import LocalTasks, Rights
from worker.ports import Queue

QUEUE = "safelight-local-heavy"
RULE = f"safelight-{STACK}-heavy"
"""Of the Pulumi program."""
FUNCTION = "workflow"
IDLE_SECONDS = 1
"""Length of a poll while nothing runs. The stop of the stack waits for it, so it is short."""
LOOK_SECONDS = 0.2
"""Between two looks at what runs."""
HIDDEN_SECONDS = 15
WORKFLOW = "heavy"


def attach(clients: AwsClients, bus: str) -> str:
    """Make the queue and let the deployed rule fill it; returns the queue's URL. Repeatable.

    On AWS the rule's target is the function, which here nobody but this process can call.
    """
    with aws_call("make the queue of heavy uploads"):
        url = clients.sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        found = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = found["Attributes"]["QueueArn"]
    with aws_call("listen to the rule of heavy uploads"):
        clients.events.put_targets(
            Rule=RULE, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}]
        )
    return url


def substitutions(file: Path) -> dict[str, str]:
    """What a definition's ``${Name}`` stand for here: names of kinds, of the queue and function.

    ``JobTranscodePart`` is the kind ``transcode-part``.
    """
    found = {"Queue": "standard", "WorkflowFunction": FUNCTION}
    for name in definition.places_in(file):
        if name.startswith("Job"):
            words = "".join(f"-{x.lower()}" if x.isupper() else x for x in name[3:])
            found[name] = words.strip("-")
    return found


def shipped(workflow: str) -> str:
    """The definition of a workflow, for this machine.

    Raises:
        WorkflowError: it cannot be used.
    """
    import batch.workflows

    file = Path(batch.workflows.__file__).with_name(f"{workflow}.asl.json")
    text = definition.read(file, substitutions(file))
    definition.load(text, file.name)
    return text


class Driver:
    """Executions, from their starts to their ends.

    Args:
        clock: seconds since 1970, for the waits between attempts.
    """

    def __init__(
        self,
        *,
        workflows: LocalWorkflows,
        executions: Executions,
        tasks: LocalTasks,
        definitions: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._workflows, self._executions, self._tasks = workflows, executions, tasks
        self._definitions, self._clock = definitions, clock
        self._seen = 0
        self._held: dict[str, tuple[Execution, Machine, Steps]] = {}
        for execution in executions.running():
            self._hold(execution)

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return bool(self._held)

    def once(self) -> None:
        """Take up what was started and take everything one look further.

        Raises:
            SafelightError: the file does not answer; nothing is lost.
        """
        for start in self._workflows.started(after=self._seen):
            self._take_up(start)
            self._seen = start.number
        for id_, (execution, machine, steps) in list(self._held.items()):
            context = {
                "Execution": {
                    "Id": id_,
                    "Name": execution.name,
                    "StartTime": execution.started,
                    "Input": execution.input,
                }
            }
            evaluation = Evaluation(
                memory=steps, tasks=self._tasks, context=context, now=self._clock()
            )
            ended = evaluation.run(machine, execution.input)
            if ended is not None:
                self._end(id_, ended)

    def _take_up(self, start: Start) -> None:
        execution = Execution(
            id=start.id,
            workflow=start.workflow,
            name=start.name,
            definition=self._definitions.get(start.workflow, "{}"),
            input=start.payload,
            started=start.time,
        )
        if self._executions.begin(execution):
            log(f"{execution.id}: started")
            self._hold(execution)

    def _hold(self, execution: Execution) -> None:
        try:
            machine = definition.load(execution.definition, execution.workflow)
        except WorkflowError as error:
            self._end(execution.id, Ended(error="States.Runtime", cause=error.message))
        else:
            self._held[execution.id] = (execution, machine, self._executions.steps(execution.id))

    def _end(self, id_: str, ended: Ended) -> None:
        self._executions.end(id_, ended)
        self._held.pop(id_, None)
        log(f"{id_}: {'succeeded' if ended.error is None else f'{ended.error}: {ended.cause}'}")


class Drives(Protocol):
    """What a process needs of a driver."""

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        ...

    def once(self) -> None:
        """Take everything one look further."""
        ...


def run(
    queue: Queue,
    driver: Drives,
    handler: Callable[[Any], Any],
    *,
    url: str,
    dead_letters: str,
    stop: Stop,
) -> None:
    """Start and drive until asked to stop. What fails is said, and tried again.

    Args:
        url: queue of events.
        dead_letters: queue for what can never be started.
    """

    def fail(event: Any, error: SafelightError) -> None:
        queue.send(dead_letters, [(_failed_call(event, error), "", "")])

    patience = Backoff(stop)
    while not stop.requested:
        try:
            wait = 0 if driver.busy else IDLE_SECONDS
            messages = queue.receive(url, wait=wait, visibility=HIDDEN_SECONDS)
            done = [message for message in messages if _started(handler, message.body, fail)]
            if done:
                queue.delete(url, done)
            driver.once()
        except SafelightError as error:
            patience.lose(error)
        else:
            patience.regain()
            if driver.busy:
                pause(stop, LOOK_SECONDS)


def _started(
    handler: Callable[[Any], Any], body: str, fail: Callable[[Any, SafelightError], None]
) -> bool:
    """Whether an event is done with. One that is not comes back, as from an EventBridge rule."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        log("no event, left out")
        return True
    try:
        handler(event)
    except SafelightError as error:
        log(f"not started: {error.code}: {error.message}")
        if error.retryable:
            return False
        fail(event, error)
    return True


def _failed_call(event: Any, error: SafelightError) -> str:
    """The record that Lambda sends of a call that failed (AWS Lambda Developer Guide, "Capturing
    records of Lambda asynchronous invocations"), as far as ``safelight dlq`` reads it."""
    answer = {"errorType": type(error).__name__, "errorMessage": error.message}
    return json.dumps({"requestPayload": event, "responsePayload": answer})


def _starting(handler: Callable[[Any], Any], outputs: Outputs, code: str) -> Callable[[Any], Any]:
    """The handler, stopped where Step Functions would refuse it: the start is only written down."""
    function, machine = Actors.of(outputs).function(code), Actors.of(outputs).machine()
    permits = Permits(RootClients(profile=ROOT), function.role)

    def start(event: Any) -> Any:
        permits.require("states:StartExecution", machine.arn)
        return handler(event)

    return start


def _rights(outputs: Outputs, code: str) -> Rights:
    """Of the state machine."""
    function, machine = Actors.of(outputs).function(code), Actors.of(outputs).machine()
    jobs = machine.arn.replace(":states:", ":batch:").partition(":stateMachine")[0] + ":job/*"
    return Rights(
        permit=Permits(RootClients(profile=ROOT), machine.role).require,
        jobs=jobs,
        kinds=outputs["jobDefinitions"],
        queues=outputs["jobQueues"],
        functions={FUNCTION: function.arn},
    )


def main() -> None:
    """``python -m worker.local.state_machine --queue URL --file F --jobs DIR --outputs F ...``."""
    from worker.local.batch.jobs import LocalJobs

    given = arguments("queue", "file", "jobs", "outputs", "handler")
    file, code = Path(given.values["file"]), given.values["handler"]
    outputs = read_outputs(Path(given.values["outputs"]))
    deployed: Callable[[Any, Any], Any] = resolve_name(code)

    def handler(event: Any) -> Any:
        return deployed(event, None)

    handler({})  # wires the services: a mistake in the settings shows now, not at an upload
    driver = Driver(
        workflows=LocalWorkflows(file, names=[WORKFLOW]),
        executions=Executions(file),
        tasks=LocalTasks(
            LocalJobs(Path(given.values["jobs"])), {FUNCTION: handler}, _rights(outputs, code)
        ),
        definitions={WORKFLOW: shipped(WORKFLOW)},
    )
    starting = _starting(handler, outputs, code)
    with stopping(given.ready, profile=PLUMBING) as (queue, stop):
        run(
            queue,
            driver,
            starting,
            url=given.values["queue"],
            dead_letters=str(outputs["heavyDeadLetters"]),
            stop=stop,
        )
