"""The outbox function: it sends events for changes of the catalog.

Lambda reads the stream of the table and retries changes that are not done. This module makes one
service call and encodes its result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from worker.adapters import emf
from worker.bootstrap import outbox
from worker.domain import metrics, trace
from worker.domain.errors import EngineError
from worker.entrypoints import logs
from worker.services import work_metrics
from worker.services.outbox import Outbox
from worker.settings import Settings

logger = logs.logger("outbox")


@cache
def service() -> Outbox:
    """Wire the service once for the life of the process, at the first event."""
    logs.adopt(logger)
    return outbox(Settings.from_environment(os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle an event of the stream; one without records is a warm-up call."""
    return handle(event, service())


@trace.flushing("outbox")
@emf.flushing("outbox")
def handle(event: Mapping[str, Any], outbox: Outbox) -> dict[str, Any]:
    """The handler with an injected service.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": sequence number}]}``: Lambda retries this change
        and all later ones (AWS Lambda Developer Guide, "Reporting batch item failures" of
        DynamoDB).
    """
    records = event.get("Records", [])
    work_metrics.begun("outbox", map(work_metrics.changed_of, records))
    with metrics.timed(metrics.STAGE_SECONDS, stage="tell"):
        told = outbox.handle(records)
    if told.events:
        metrics.add(metrics.EVENTS, told.events)
    if told.unreadable:  # an alarm counts errors in this log
        work_metrics.poison(EngineError.code, times=told.unreadable)
        logger.error("no event could be made", extra={"changes": told.unreadable})
    if told.error is None:
        return {"batchItemFailures": []}
    numbers = [one.get("dynamodb", {}).get("SequenceNumber") for one in records]
    work_metrics.put_back("outbox", told.error, times=len(records) - numbers.index(told.failed))
    extra = {"code": told.error.code, "reason": told.error.message, "from": told.failed}
    logger.warning("not all events were sent", extra=extra)
    return {"batchItemFailures": [{"itemIdentifier": told.failed}]}
