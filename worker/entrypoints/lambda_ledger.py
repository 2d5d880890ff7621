"""The ledger function: it counts work from changes of the catalog.

Lambda reads the stream of the table, as it does for the outbox, and passes the shard id because the
event source has a tumbling window. The window itself is not used. This module makes one service
call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.adapters import emf
from worker.bootstrap import bookkeeper
from worker.domain import trace
from worker.entrypoints import logs
from worker.services.ledger import Bookkeeper
from worker.settings import Settings

logger = logs.logger("ledger")


@cache
def service() -> Bookkeeper:
    """Wire the service once for the life of the process, at the first event."""
    logs.adopt(logger)
    return bookkeeper(Settings.from_environment(os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle an event of the stream; one without records ends a window, or is a warm-up call."""
    return handle(event, service())


@trace.flushing("ledger")
@emf.flushing("ledger")
def handle(event: Mapping[str, Any], books: Bookkeeper) -> dict[str, Any]:
    """The handler with an injected service.

    Returns:
        ``{"state": {}, "batchItemFailures": []}``: without a state Lambda takes the call for a
        failed one (AWS Lambda Developer Guide, "Implementing stateful DynamoDB stream processing
        in Lambda").

    Raises:
        TransientError: the table does not answer; Lambda retries the whole batch.
        ConfigurationError: the event names no shard.
    """
    records = event.get("Records", [])
    if records:
        found = books.count(str(event.get("shardId", "")), records)
        extra = {"changes": len(records), "uploads": found.work.objects, "usd": round(found.usd, 6)}
        logger.info("counted", extra=extra)
        if found.unreadable:  # an alarm counts errors in this log
            logger.error("changes were not counted", extra={"changes": found.unreadable})
    return {"state": {}, "batchItemFailures": []}
