"""Behaviour of AWS services that the emulator lacks: Pipes, Batch, lifecycle rules.

One process does it all, a thread for each, because a process for each would cost the memory of
another set of AWS clients. Every thread has clients of its own with the rights of what it stands
for:

- the pipe moves uploads from the standard queue to the FIFO queue, with the pipe's role;
- the invalidation function, with its role, tells the delivery server what to forget;
- the webhook function, with its role, sends to each endpoint what is in its queue;
- the outbox function, with its role, gets the changes of the catalog and sends their events;
- the ledger function, with its role, gets them too and counts the work that they tell of;
- the event log moves every event of the bus to a file, as the ``service`` user;
- workflow tasks (``worker.local.workflows``) work as the ``service`` user and ask what the role of
  the state machine allows; the workflow function has its own role;
- the runner of Batch works in the main thread, because jobs end with the thread that has started
  them; jobs have the role of jobs;
- a stand-in for Rekognition answers (``worker.local.rekognition``);
- objects expire by the rules of their buckets (``worker.local.lifecycle``).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.stream import FILTERS
from worker.adapters.aws.errors import aws_call
from worker.adapters.aws.sqs import SqsQueue
from worker.adapters.event_log import EventLog, parse_event
from worker.bootstrap import assemble, bookkeeper, invalidation, outbox
from worker.domain.errors import Conflict
from worker.domain.events import Event
from worker.job_context import Stop, processors
from worker.local import iam_policies, lifecycle, rekognition
from worker.local.batch.execution import ProcessExecutor
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.resources import job_environment, resources_of
from worker.local.batch.runner import Runner
from worker.local.child import log, repeat, working
from worker.local.deploy import Outputs
from worker.local.event_source import EventSource, EventSourceMapping, FunctionConfig
from worker.local.iam_simulator import IamSimulator, Require, allow_all
from worker.local.roles import ROOT, SERVICE, Roles, RootClients
from worker.local.stream_source import StreamClients, StreamSource
from worker.local.workflows import AwsTaskTokens, Deployed, WorkflowTasks
from worker.ports import Events, Message, Queue
from worker.services import ordering
from worker.settings import Settings

PIPE_BATCH = 10
"""Messages, as in the Pulumi program."""
OUTBOX_BATCH = 100
LEDGER_BATCH = 1_000
"""Changes, as there."""
WAIT_SECONDS = 1
"""Length of a poll. Short, because the stop of the stack waits for it."""
HIDDEN_SECONDS = 15
"""The visibility timeout. It is shorter than that of the source queue on AWS, so that messages of a
killed process are soon delivered again."""
EVENT_QUEUE = EVENT_RULE = "safelight-local-event-log"
EVERY_EVENT = {"source": ["safelight"]}
"""Pattern of the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """The resources of the process."""

    outputs: Outputs
    event_queue: str
    """URL of the queue that gets every event of the bus."""
    task_queue: str
    """URL of the queue of workflow tasks."""
    event_log: Path
    jobs: Path
    """Folder of the jobs' table and logs."""
    workflow_handler: str
    invalidation_handler: str
    webhook_handler: str
    outbox_handler: str
    ledger_handler: str
    """``module:name``, all five."""
    places: Path
    """Folder of files that say how far the outbox and the ledger are in the catalog's stream."""
    rekognition: tuple[int, Path]
    """Port of the stand-in for Rekognition, and the folder with its table."""


def run(options: ServiceOptions, ready: Path) -> None:
    """Work until a signal asks to stop. The environment is that of the workflow function."""
    outputs, roles = options.outputs, Roles.of(options.outputs)
    deployed_handler: Callable[[Any, Any], Any] = resolve_name(options.workflow_handler)

    def handler(event: Any) -> Any:
        return deployed_handler(event, None)

    handler({})  # wires the services: a mistake in the settings shows now, not at an upload

    @cache
    def machine_rights(machine: str) -> Require:
        return IamSimulator(RootClients(profile=ROOT), roles.machine(machine).role).require

    clients = AwsClients(profile=SERVICE)
    queue = SqsQueue(clients)
    tasks = WorkflowTasks(
        queue=queue,
        url=options.task_queue,
        dead_letters=str(outputs["heavyDeadLetters"]),
        start=handler,
        jobs=LocalJobs(options.jobs),
        tokens=AwsTaskTokens(clients),
        deployed=Deployed(
            kinds={arn: name for name, arn in outputs["jobDefinitions"].items()},
            queues={arn: name for name, arn in outputs["jobQueues"].items()},
            functions={roles.function(options.workflow_handler).arn: handler},
            check=machine_rights,
        ),
    )
    runner = Runner(
        options.jobs,
        resources=resources_of,
        executor=ProcessExecutor({**job_environment(), "AWS_PROFILE": roles.jobs().profile}),
        slots=processors(),
        say=log,
    )
    with ExitStack() as stack:
        stop = stack.enter_context(working(ready))
        stack.enter_context(rekognition.serving(*options.rekognition))
        stack.enter_context(lifecycle.sweeping(clients, iam_policies.expiring(outputs)))
        sink = EventLog(options.event_log)
        loops: dict[str, Callable[[], None]] = {
            "tasks": lambda: tasks.run(stop),
            "events": lambda: log_events(queue, sink, url=options.event_queue, stop=stop),
            "invalidations": lambda: _invalidate(options, stop),
            **_webhook_loops(options, stop),
            "outbox": lambda: _tell(options, stop),
            "ledger": lambda: _count(options, stop),
        }
        # With standard ordering S3 notifies the queue that the workers read.
        if outputs["uploadsQueue"] != outputs["workQueue"]:
            loops["pipe"] = lambda: _run_deployed_pipe(outputs, stop)
        for name, loop in loops.items():
            stack.enter_context(_in_background(name, loop, stop))
        runner.run(stop)


@contextmanager
def _in_background(name: str, loop: Callable[[], None], stop: Stop) -> Iterator[None]:
    """Run a loop in a thread while the block lasts. If it ends by a defect, the process stops and
    is then started again."""

    def run_loop() -> None:
        try:
            loop()
        finally:
            stop.request()

    thread = threading.Thread(target=run_loop, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join()


def attach_queue(
    clients: AwsClients, bus: str, rule: str, name: str, *, pattern: object = None
) -> str:
    """Make a queue that gets the events of a rule; returns its URL. Repeatable.

    Args:
        pattern: of the events; makes the rule too.
    """
    with aws_call(f"make the queue {name}"):
        url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
        found = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = found["Attributes"]["QueueArn"]
    with aws_call(f"send the events of the rule {rule} to the queue {name}"):
        if pattern is not None:
            clients.events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps(pattern))
        clients.events.put_targets(
            Rule=rule, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}]
        )
    return url


# --- the pipe ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enrichment:
    """The pipe's enrichment function, ``worker.services.ordering``, as it is deployed."""

    arn: str = ""
    require: Require = allow_all
    """Of the pipe's role."""

    def __call__(self, events: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Call it, if the pipe may. Raises ``AccessDenied``."""
        self.require("lambda:InvokeFunction", self.arn)
        return ordering.handler(events)


def _run_deployed_pipe(outputs: Outputs, stop: Stop) -> None:
    pipe, enrichment = Roles.of(outputs).pipe()
    simulator = IamSimulator(RootClients(profile=ROOT), pipe.role)
    run_pipe(
        SqsQueue(AwsClients(profile=pipe.profile)),
        source=str(outputs["uploadsQueue"]),
        target=str(outputs["workQueue"]),
        stop=stop,
        enrichment=Enrichment(enrichment.arn, simulator.require),
    )


def run_pipe(
    queue: Queue,
    *,
    source: str,
    target: str,
    stop: Stop,
    enrichment: Enrichment = Enrichment(),
) -> None:
    """Move messages until asked to stop, as EventBridge Pipes does: at least once, in any order.

    A failed message becomes visible again in the source queue, and ends in its dead-letter queue.
    """

    def once() -> None:
        messages = queue.receive(
            source, limit=PIPE_BATCH, wait=WAIT_SECONDS, visibility=HIDDEN_SECONDS
        )
        if messages:
            move(messages, queue, source=source, target=target, enrichment=enrichment)

    repeat(once, stop)


def move(
    messages: Sequence[Message],
    queue: Queue,
    *,
    source: str,
    target: str,
    enrichment: Enrichment = Enrichment(),
) -> int:
    """Send messages on and delete them from the source; returns how many were sent.

    Raises:
        SafelightError: the queue does not take them; they stay in the source.
    """
    events = [{"messageId": message.id, "body": message.body} for message in messages]
    sent = [
        (_template(answer["body"]), answer["group"], answer["deduplication"])
        for answer in enrichment(events)
    ]
    queue.send(target, sent)
    try:
        queue.delete(source, messages)
    except Conflict as error:
        # They come again, and the FIFO queue knows them by their deduplication ids.
        log(f"sent, but to be sent again: {error.message}")
    return len(sent)


def _template(body: object) -> str:
    """The result of the pipe's input template ``<$.body>`` for a body."""
    return body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))


# --- invalidations ----------------------------------------------------------------------------


def _invalidate(options: ServiceOptions, stop: Stop) -> None:
    """Work as the invalidation function, without its window: no limit of AWS is spared here."""
    outputs = options.outputs
    role = Roles.of(outputs).function(options.invalidation_handler)
    deployed = resolve_name(options.invalidation_handler.partition(":")[0])
    clients = AwsClients(profile=role.profile)
    service = invalidation(Settings.from_environment(os.environ), clients)
    mapping = EventSourceMapping(
        queue_url=str(outputs["invalidationsQueue"]),
        batch_size=100,
        function=FunctionConfig(name=role.name, timeout=30.0, memory=256),
    )

    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        answer: dict[str, Any] = deployed.handle(event, service)
        return answer

    EventSource(SqsQueue(clients), handler, mapping).run(stop)


# --- webhooks -----------------------------------------------------------------------------------


def _webhook_loops(options: ServiceOptions, stop: Stop) -> Mapping[str, Callable[[], None]]:
    """Work as the webhook function, with a mapping for each endpoint as on AWS."""
    outputs = options.outputs
    endpoints = outputs.get("webhooks", {})
    if not endpoints:
        return {}
    role = Roles.of(outputs).function(options.webhook_handler)
    deployed = resolve_name(options.webhook_handler.partition(":")[0])
    clients = AwsClients(profile=role.profile)
    service = assemble(Settings.from_environment(os.environ), clients).webhooks

    def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        answer: dict[str, Any] = deployed.handle(event, service)
        return answer

    def loop(url: str) -> Callable[[Stop], None]:
        mapping = EventSourceMapping(
            queue_url=url, function=FunctionConfig(name=role.name, timeout=60.0, memory=256)
        )
        return EventSource(SqsQueue(clients), handler, mapping).run

    return {
        f"webhook {name}": partial(loop(str(one["queue"])), stop) for name, one in endpoints.items()
    }


# --- the outbox and the ledger ----------------------------------------------------------------


def _tell(options: ServiceOptions, stop: Stop) -> None:
    """Work as the outbox function and as the reader of its stream, which has the same role."""
    _read_stream(options, options.outbox_handler, outbox, OUTBOX_BATCH, stop)


def _count(options: ServiceOptions, stop: Stop) -> None:
    """Work as the ledger function, in the same way."""
    _read_stream(options, options.ledger_handler, bookkeeper, LEDGER_BATCH, stop)


def _read_stream(
    options: ServiceOptions,
    name: str,
    wire: Callable[[Settings, AwsClients], object],
    batch_size: int,
    stop: Stop,
) -> None:
    module = name.partition(":")[0]
    clients = StreamClients(profile=Roles.of(options.outputs).function(name).profile)
    deployed, service = resolve_name(module), wire(Settings.from_environment(os.environ), clients)

    def handler(event: dict[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = deployed.handle(event, service)
        return answer

    StreamSource(
        clients=clients,
        stream=str(options.outputs["catalogStream"]),
        handler=handler,
        place=options.places / f"{module.rpartition('_')[2]}.json",
        filters=FILTERS,
        batch_size=batch_size,
    ).run(stop)


# --- the event log ----------------------------------------------------------------------------


def log_events(queue: Queue, sink: Events, *, url: str, stop: Stop) -> None:
    """Move events from the queue to the sink until asked to stop.

    The sink is a file (``safelight events tail``), because a queue gives each message to one reader
    only: of the file any number of readers see every event, from the start if they want.
    """

    def once() -> None:
        messages = queue.receive(url, wait=WAIT_SECONDS, visibility=HIDDEN_SECONDS)
        if messages:
            sink.publish(_events_in(messages))
            queue.delete(url, messages)

    repeat(once, stop)


def _events_in(messages: Sequence[Message]) -> list[Event]:
    """The events of messages that the rule has sent; anything else is left out."""
    found = []
    for message in messages:
        try:
            envelope = json.loads(message.body)
            line = json.dumps(envelope["detail"])
        except (ValueError, TypeError, KeyError):
            log("a message that is no event is left out")
            continue
        event = parse_event(line)
        if event is not None:
            found.append(event)
    return found
