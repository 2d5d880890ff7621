"""The ingest function: it handles a batch of queue messages and returns a partial batch response.

It turns messages into deliveries, makes one service call for each, and turns errors into a
response. The same handler runs in Lambda and in the local stack's workers.

It builds the partial response itself instead of using Powertools' batch processor, whose import,
with asyncio and the classes of all other events, takes a tenth of the processor time of a cold
start.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from worker.adapters import emf
from worker.bootstrap import Application, assemble
from worker.domain import metrics, trace
from worker.domain.errors import EngineError, MalformedMessage, Postponed, SafelightError
from worker.entrypoints import logs
from worker.entrypoints.container import started
from worker.imaging.malloc import keep_memory
from worker.ports import Message
from worker.services import dead_letters, work_metrics
from worker.services.ingest import IngestResult
from worker.services.ingest_pipeline import Delivery, IngestPipeline
from worker.services.messages import unwrapped
from worker.settings import Ordering, Settings
from worker.subprocesses.jail import hide

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Record = Mapping[str, Any]
"""One message as Lambda passes it (its Developer Guide, "Using Lambda with Amazon SQS")."""

logger = logs.logger("ingest")

LONGEST_WAIT = 900
"""Longest delay between two attempts of a message, in seconds."""
MEMORABLE = 2
"""Number of receives from which on a failure is written to the asset's timeline."""
MEMORY_SECONDS = 10.0
"""With less time left no failure is written, because the response must not be late."""


@cache
def application() -> Application:
    """Wire the services once for the life of the process, at the first event."""
    logs.adopt(logger)
    hide()
    keep_memory()
    return assemble(Settings.from_environment(os.environ))


@emf.flushing("ingest")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an SQS event of a standard or FIFO queue.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``: the messages to keep.
    """
    try:
        return handle(event, context, application())
    finally:
        started()  # the first event creates clients: part of the start


@trace.flushing("ingest")
def handle(event: dict[str, Any], context: LambdaContext, app: Application) -> dict[str, Any]:
    """The handler with injected services."""
    ingest = app.ingest
    records: list[Record] = event.get("Records", [])
    if not records:  # a warm-up call: all services are ready now
        return {"batchItemFailures": []}
    began = time.perf_counter()
    work_metrics.begun("ingest", map(work_metrics.sent_of, records))
    failures: dict[str, SafelightError] = {}
    done: list[IngestResult] = []

    def remaining() -> float:
        return context.get_remaining_time_in_millis() / 1000

    with IngestPipeline(
        ingest, [_delivery(record) for record in records], remaining=remaining
    ) as pipeline:
        kept, waiting = [], set()
        for record in records:
            # In a FIFO group all messages after a failed one wait behind it.
            if _group(record, app.settings.ordering) not in waiting:
                try:
                    for ingested in pipeline.handle(record["messageId"]):
                        with trace.bind(ingested.upload.trace):
                            _report(ingested, record)
                        done.append(ingested)
                    continue
                except SafelightError as error:
                    failures[record["messageId"]] = error
                except Exception as error:
                    with trace.bind(pipeline.trace(record["messageId"])):
                        logger.exception("a defect")
                    text = f"{type(error).__name__}: {error}"
                    failures[record["messageId"]] = EngineError(text)
            kept.append(record)
            waiting.add(_group(record, app.settings.ordering))
    for record in kept:
        with trace.bind(pipeline.trace(record["messageId"])):
            _put_back(app, record, failures.get(record["messageId"]))
    _remember(app, records, failures, remaining)
    _count_cost(done, time.perf_counter() - began, context)
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in kept]}


def _group(record: Record, ordering: Ordering) -> str:
    """The group whose order a message must keep; on a standard queue each message is its own
    group."""
    if ordering is Ordering.FIFO:
        return str(record["attributes"].get("MessageGroupId"))
    return str(record["messageId"])


def _delivery(record: Record) -> Delivery:
    receives = int(record["attributes"].get("ApproximateReceiveCount") or 1)
    # A redriven message has a new receive count, but it has failed before.
    again = 1 if unwrapped(record["body"]).redriven else 0
    sent = record.get("messageAttributes", {}).get(trace.NAME, {}).get("stringValue", "")
    return Delivery(
        id=record["messageId"], body=record["body"], receives=receives + again, traceparent=sent
    )


def _put_back(app: Application, record: Record, error: SafelightError | None) -> None:
    """Set the delay of a failed message: exponential backoff if waiting may help, otherwise
    none."""
    receives = _delivery(record).receives
    wait = 0
    # A message without an error waited behind another message of its group.
    if error is not None and not isinstance(error, Postponed):
        if not isinstance(error, MalformedMessage):
            wait = min(LONGEST_WAIT, app.settings.retry_seconds * 2 ** (receives - 1))
        logger.warning(
            "not done",
            extra={"code": error.code, "reason": error.message, "receives": receives, "wait": wait},
        )
        work_metrics.put_back("ingest", error)
    message = Message(
        id=record["messageId"],
        body="",
        receipt=record["receiptHandle"],
        receives=receives,
    )
    try:
        app.queue.hide(app.settings.queue_url, message, wait)
    except SafelightError as hidden:
        # Then it becomes visible after the queue's own visibility timeout.
        logger.warning("could not set the wait", extra={"code": hidden.code})


def _remember(
    app: Application,
    records: Sequence[Record],
    failures: Mapping[str, SafelightError],
    remaining: Callable[[], float],
) -> None:
    """Record repeated failures where `safelight dlq` finds them.

    First failures are mostly transient and not recorded. If the catalog does not answer, recording
    stops.
    """
    for record in records:
        error, delivery = failures.get(record["messageId"]), _delivery(record)
        if error is None or isinstance(error, Postponed) or delivery.receives < MEMORABLE:
            continue
        if remaining() < MEMORY_SECONDS:
            return
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        try:
            dead_letters.remember(
                app.catalog, record["body"], error, receives=delivery.receives, time=time
            )
        except SafelightError as unkept:
            logger.warning("the failure is not recorded", extra={"code": unkept.code})
            return


def _count_cost(done: Sequence[IngestResult], seconds: float, context: LambdaContext) -> None:
    """Count the cost of each upload: its share of this call's time, and its requests."""
    if not done:
        return
    from worker import prices
    from worker.services.upload_cost import cost_per_upload

    price, need = prices.load()
    costs = cost_per_upload(
        done,
        seconds=seconds,
        memory=int(context.memory_limit_in_mb),
        machine=platform.machine(),
        price=price,
        need=need,
    )
    for dollars in costs:
        metrics.add(metrics.COST_PER_IMAGE, dollars)


def _report(ingested: IngestResult, record: Record) -> None:
    age = work_metrics.age_of(work_metrics.sent_of(record), time.time())
    work_metrics.uploaded(ingested, age=age)
    extra: dict[str, Any] = {
        "outcome": ingested.outcome.value,
        "asset": ingested.asset,
        "bytes": ingested.upload.size,
    }
    if ingested.record is not None and ingested.record.verdict is not None:
        extra["code"] = ingested.record.verdict.code
    logger.info("ingested", extra=extra)
