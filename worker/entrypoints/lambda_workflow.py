"""The workflow function: starts the state machine of a heavy upload, and is its last task.

Thin: an event in, one service call, JSON out. The same handler runs in Lambda and in the local
stack. It understands:

- ``asset.processing`` from EventBridge: start the workflow of that upload, once;
- ``{"task": "start", "asset", "version", "attempt"}``: the same, again with a higher attempt;
- ``{"task": "finish", "asset", "version", "jobs"}``: commit what the jobs have left;
- ``{}``: wire everything and do nothing: a warm-up call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from worker.bootstrap import Application, assemble
from worker.domain import trace
from worker.domain.errors import MalformedMessage, SafelightError, TransientError
from worker.services.finalize import JobReport
from worker.services.messages import mistake
from worker.settings import Settings

logger = Logger(service="workflow")
logger.addFilter(trace.stamp)
metrics = Metrics(namespace="Safelight", service="workflow")


@cache
def application() -> Application:
    """Wire the services once for the life of the process, at the first event."""
    return assemble(Settings.from_environment(os.environ))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle one event; see above."""
    try:
        return answer(event, application())
    finally:
        if metrics.metric_set:  # powertools warns of an event without any: it only woke us up
            metrics.flush_metrics()


def answer(event: Mapping[str, Any], app: Application) -> dict[str, Any]:
    """The handler with its services given.

    Raises:
        TransientError: exactly this class for everything that may work later, because a state
            machine can match an error by the name of its class alone.
        SafelightError: anything else.
    """
    if not event:
        _ = app.heavy
        return {}
    try:
        return handle(event, app)
    except TransientError as error:
        raise TransientError(error.message, code=error.code) from error


def handle(event: Mapping[str, Any], app: Application) -> dict[str, Any]:
    """One event that asks for something.

    Raises:
        MalformedMessage: an event of another form.
        SafelightError: see the service.
    """
    try:
        if event.get("detail-type") == "asset.processing":
            detail = event["detail"]
            with trace.bind(trace.valid(detail.get(trace.NAME))):
                return _start(app, str(detail["asset"]), str(detail["data"]["version"]))
        task, asset, version = event["task"], str(event["asset"]), str(event["version"])
        with trace.bind(trace.valid(event.get(trace.NAME))):
            if task == "start":
                return _start(app, asset, version, attempt=int(event.get("attempt", 1)))
            if task == "finish":
                return _finish(app, asset, version, [_report(job) for job in event.get("jobs", [])])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessage(f"no event of the workflow function: {mistake(error)}") from error
    raise MalformedMessage(f"the workflow function has no task {task!r}")


def _start(app: Application, asset: str, version: str, *, attempt: int = 1) -> dict[str, Any]:
    run = app.heavy.start(asset, version, attempt=attempt)
    logger.info("started", extra={"asset": asset, "version": version, "run": run})
    metrics.add_metric(name="Started", unit=MetricUnit.Count, value=int(run is not None))
    return {"execution": run}


def _finish(app: Application, asset: str, version: str, jobs: list[JobReport]) -> dict[str, Any]:
    try:
        finished = app.heavy.finish(asset, version, jobs)
    except SafelightError as error:
        logger.warning("not finished", extra={"asset": asset, "code": error.code})
        raise
    record = finished.record
    code = record.verdict.code if record is not None and record.verdict is not None else None
    extra = {"asset": asset, "version": version, "outcome": finished.outcome.value, "code": code}
    logger.info("finished", extra=extra)
    metrics.add_metric(name=finished.outcome.value.title(), unit=MetricUnit.Count, value=1)
    return {"outcome": finished.outcome.value, "code": code}


def _report(job: Mapping[str, Any]) -> JobReport:
    return JobReport(
        kind=str(job["kind"]),
        failed=job.get("state") != "done",
        error=str(job.get("error", "")),
        cause=str(job.get("cause", "")),
    )
