"""The outbox function: changes of the catalog in, events on the bus and a partial response out.

Lambda reads the stream of the table and keeps what is not done. Here: one service call, encode.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from worker.bootstrap import outbox
from worker.services.outbox import Outbox
from worker.settings import Settings

logger = Logger(service="outbox")


@cache
def service() -> Outbox:
    """Wire the service once for the life of the process, at the first event."""
    return outbox(Settings.from_environment(os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle an event of the stream; one without records is a warm-up call."""
    return handle(event, service())


def handle(event: Mapping[str, Any], outbox: Outbox) -> dict[str, Any]:
    """The handler with its service given.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": sequence number}]}``: Lambda hands this change
        over again, with all that follow it (AWS Lambda Developer Guide, "Reporting batch item
        failures" of DynamoDB).
    """
    told = outbox.handle(event.get("Records", []))
    if told.unreadable:  # an alarm counts errors in this log
        logger.error("no event could be made", extra={"changes": told.unreadable})
    if told.error is None:
        return {"batchItemFailures": []}
    extra = {"code": told.error.code, "reason": told.error.message, "from": told.failed}
    logger.warning("not all events were sent", extra=extra)
    return {"batchItemFailures": [{"itemIdentifier": told.failed}]}
