"""The pipe from the standard queue to the FIFO queue, as EventBridge Pipes runs it on AWS.

Polls, asks ``worker.services.ordering`` for group and deduplication id (on AWS the same function
is the pipe's enrichment step), sends, and deletes only what was sent: at least once, in any order.
What fails stays hidden until the source queue shows it again, and ends in its dead-letter queue.
The embedded AWS accepts pipes but moves nothing, so the local stack runs this process, with the
pipe's role: its calls to the queues are checked by the embedded AWS, and before the function is
called, ``permits`` are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.errors import Conflict, SafelightError
from worker.job_context import Stop
from worker.local.child import Backoff, arguments, log, stopping
from worker.local.iam_simulator import Permit, Permits, everything
from worker.local.roles import ROOT
from worker.local.root_clients import RootClients
from worker.ports import Message, Queue
from worker.services import ordering

BATCH = 10
"""As in the Pulumi program."""
WAIT_SECONDS = 1
"""Length of a poll. The stop of the stack waits for it, so it is short."""
HIDDEN_SECONDS = 15
"""Less than the source queue's own timeout on AWS: what a killed pipe held comes back soon."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The function that enriches, as it is deployed."""

    arn: str = ""
    permit: Permit = everything
    """Of the pipe."""

    def __call__(self, events: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Call it, if the pipe may. Raises ``AccessDenied``."""
        self.permit("lambda:InvokeFunction", self.arn)
        return ordering.handler(events)


def carry(
    messages: Sequence[Message],
    queue: Queue,
    *,
    source: str,
    target: str,
    grouping: Grouping = Grouping(),
) -> int:
    """Send messages on and delete them from the source; returns how many went on.

    Raises:
        SafelightError: the queue does not take them; they stay in the source.
    """
    events = [{"messageId": message.id, "body": message.body} for message in messages]
    sent = [
        (_template(answer["body"]), answer["group"], answer["deduplication"])
        for answer in grouping(events)
    ]
    queue.send(target, sent)
    try:
        queue.delete(source, messages)
    except Conflict as error:
        # They come again, and the FIFO queue knows them by their deduplication ids.
        log(f"sent, but to be sent again: {error.message}")
    return len(sent)


def _template(body: object) -> str:
    """What the pipe's input template ``<$.body>`` makes of the body."""
    return body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))


def run(
    queue: Queue,
    *,
    source: str,
    target: str,
    stop: Stop,
    grouping: Grouping = Grouping(),
) -> None:
    """Carry until asked to stop. What fails is said, and tried again."""
    patience = Backoff(stop)
    while not stop.requested:
        try:
            messages = queue.receive(
                source, limit=BATCH, wait=WAIT_SECONDS, visibility=HIDDEN_SECONDS
            )
            if messages:
                sent = carry(messages, queue, source=source, target=target, grouping=grouping)
                log(f"{sent} sent on")
        except SafelightError as error:
            patience.lose(error)
        else:
            patience.regain()


def main() -> None:
    """``python -m worker.local.pipe --source URL --target URL [--role ARN --enrichment ARN]``."""
    given = arguments("source", "target", optional={"role": "", "enrichment": ""})
    values, grouping = given.values, Grouping()
    if values["role"]:
        permits = Permits(RootClients(profile=ROOT), values["role"])
        grouping = Grouping(values["enrichment"], permits.require)
    with stopping(given.ready) as (queue, stop):
        run(queue, source=values["source"], target=values["target"], stop=stop, grouping=grouping)


if __name__ == "__main__":
    main()
