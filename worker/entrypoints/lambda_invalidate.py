"""The invalidation function: it makes one invalidation of a batch of events.

The queue between the bus and this function keeps every event until it is done. Here: decode, one
service call, encode.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.adapters import emf
from worker.bootstrap import invalidation
from worker.domain import metrics, trace
from worker.domain.errors import TransientError
from worker.entrypoints import logs
from worker.services import work_metrics
from worker.services.invalidate import Invalidate
from worker.settings import Settings

logger = logs.logger("invalidate")


@cache
def service() -> Invalidate:
    """Wire the service once for the life of the process, at the first event."""
    logs.adopt(logger)
    return invalidation(Settings.from_environment(os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle an SQS event; one without records is a warm-up call."""
    return handle(event, service())


@trace.flushing("invalidate")
@emf.flushing("invalidate")
def handle(event: Mapping[str, Any], invalidate: Invalidate) -> dict[str, Any]:
    """The handler with an injected service.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``: the messages to keep.
    """
    records = event.get("Records", [])
    work_metrics.begun("invalidate", map(work_metrics.sent_of, records))
    with metrics.timed(metrics.STAGE_SECONDS, stage="invalidate"):
        done = invalidate.handle({one["messageId"]: one["body"] for one in records})
    if done.assets:
        metrics.add(metrics.INVALIDATIONS, len(done.assets))
        logger.info("invalidated", extra={"assets": list(done.assets)})
    for message, error in done.failures.items():
        work_metrics.put_back("invalidate", error)
        # A person must look into errors that a retry cannot fix: an alarm counts errors in this
        # log.
        say = logger.warning if isinstance(error, TransientError) else logger.error
        extra = {"message_id": message, "code": error.code, "reason": error.message}
        say("not invalidated", extra=extra)
    return {"batchItemFailures": [{"itemIdentifier": one} for one in done.failures]}
