"""The webhook function: events for one endpoint in, signed requests and a partial response out.

Every endpoint's queue feeds this function by a mapping of its own, so a batch is of one endpoint.
Here: decode, one service call, encode.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.adapters import emf
from worker.bootstrap import assemble
from worker.domain import metrics, trace
from worker.domain.errors import MalformedMessage, TransientError
from worker.entrypoints import logs
from worker.ports import Message
from worker.services import work_metrics
from worker.services.webhooks import WebhookAttempt, Webhooks
from worker.settings import Settings

logger = logs.logger("webhook")


@cache
def service() -> Webhooks:
    """Wire the service once for the life of the process, at the first event."""
    logs.adopt(logger)
    return assemble(Settings.from_environment(os.environ)).webhooks


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle an SQS event; one without records is a warm-up call."""
    return handle(event, service())


@trace.flushing("webhook")
@emf.flushing("webhook")
def handle(event: Mapping[str, Any], sending: Webhooks) -> dict[str, Any]:
    """The handler with its service given.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``: the messages to keep.
    """
    batches: dict[str, list[Message]] = {}
    records = event.get("Records", [])
    work_metrics.begun("webhook", map(work_metrics.sent_of, records))
    for record in records:
        queue = str(record["eventSourceARN"]).rpartition(":")[2]
        batches.setdefault(queue, []).append(_message(record))
    kept = []
    for queue, messages in batches.items():
        endpoint = sending.of_queue(queue)
        for attempt in sending.deliver(endpoint, messages):
            with trace.bind(attempt.traceparent):
                _report(endpoint.name, attempt)
            if not attempt.ended:
                kept.append(attempt.message.id)
    return {"batchItemFailures": [{"itemIdentifier": one} for one in kept]}


def _message(record: Mapping[str, Any]) -> Message:
    return Message(
        id=record["messageId"],
        body=record["body"],
        receipt=record["receiptHandle"],
        receives=int(record["attributes"].get("ApproximateReceiveCount") or 1),
    )


def _report(endpoint: str, attempt: WebhookAttempt) -> None:
    extra: dict[str, Any] = {
        "endpoint": endpoint,
        "event": attempt.event,
        "asset": attempt.asset or None,
        "receives": attempt.message.receives,
    }
    if attempt.error is None:
        metrics.add(metrics.WEBHOOKS, outcome="delivered")
        logger.info("delivered", extra=extra)
        return
    metrics.add(metrics.WEBHOOKS, outcome="dead" if attempt.ended else "failed")
    if not attempt.ended:
        work_metrics.put_back("webhook", attempt.error)
    elif isinstance(attempt.error, MalformedMessage):
        work_metrics.poison(attempt.error.code)
    extra |= {"code": attempt.error.code, "reason": attempt.error.message, "wait": attempt.wait}
    # A receiver that fails is no defect here: its dead letters have an alarm. Errors that a retry
    # cannot fix, such as a missing secret, are logged: an alarm counts errors in this log.
    say = logger.warning if isinstance(attempt.error, TransientError) else logger.error
    say("not delivered", extra=extra)
