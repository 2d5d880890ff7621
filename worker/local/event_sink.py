"""From the local stack's event bus to a file that anybody can follow (``safelight events tail``).

A rule on the bus sends everything to a queue of the local stack's own; this process moves it to
``DATA/events.jsonl``. A file, because a queue gives each message to one reader only: with the
file any number of readers see every event, from the start if they want.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.adapters.event_log import EventLog, parse_event
from worker.domain.asset import Event
from worker.domain.errors import SafelightError
from worker.job_context import Stop
from worker.local import lifecycle
from worker.local.child import Backoff, arguments, log, stopping
from worker.ports import Events, Message, Queue

QUEUE = "safelight-local-event-log"
RULE = "safelight-local-event-log"
WAIT_SECONDS = 1
HIDDEN_SECONDS = 15


def attach(clients: AwsClients, bus: str) -> str:
    """Make the queue and the rule that fills it; returns the queue's URL. Repeatable."""
    with aws_call("make the queue of local events"):
        url = clients.sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        found = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = found["Attributes"]["QueueArn"]
    with aws_call("make the rule of local events"):
        clients.events.put_rule(
            Name=RULE, EventBusName=bus, EventPattern=json.dumps({"source": ["safelight"]})
        )
        clients.events.put_targets(
            Rule=RULE, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}]
        )
    return url


def events_in(messages: Sequence[Message]) -> list[Event]:
    """The events of messages that the rule has sent; anything else is left out."""
    found = []
    for message in messages:
        try:
            envelope = json.loads(message.body)
            line = json.dumps({"type": envelope["detail-type"], **envelope["detail"]})
        except (ValueError, TypeError, KeyError):
            log("no event, left out")
            continue
        event = parse_event(line)
        if event is not None:
            found.append(event)
    return found


def run(queue: Queue, sink: Events, *, url: str, stop: Stop) -> None:
    """Move events until asked to stop."""
    patience = Backoff(stop)
    while not stop.requested:
        try:
            messages = queue.receive(url, wait=WAIT_SECONDS, visibility=HIDDEN_SECONDS)
            if messages:
                sink.publish(events_in(messages))
                queue.delete(url, messages)
        except SafelightError as error:
            patience.lose(error)
        else:
            patience.regain()


def main() -> None:
    """``python -m worker.local.event_sink --queue URL --out FILE [--buckets A,B] [--ready FILE]``.

    Objects of the buckets expire by their rules meanwhile.
    """
    given = arguments("queue", "out", optional={"buckets": ""})
    buckets = [one for one in given.values["buckets"].split(",") if one]
    with stopping(given.ready) as (queue, stop), lifecycle.sweeping(AwsClients(), buckets):
        run(queue, EventLog(Path(given.values["out"])), url=given.values["queue"], stop=stop)


if __name__ == "__main__":
    main()
