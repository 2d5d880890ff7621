"""The workflow function: starts state machines, and does the stages that are not jobs.

Thin: an event in, one service call, JSON out. The same handler runs in Lambda and in the local
stack. It understands:

- an event of the bus whose ``data`` has a ``workflow``: start it for that version, once;
- an event of what people have decided, or of a change of an asset that waits for people: see
  ``services.review.Reviews.follow``;
- ``{"task", "stage", "asset", "version", "workflow", "execution", ...}`` from a state machine: do
  one stage (:data:`STAGES`) and return ``{"outcome": WORD}``, by which the machine goes on. A stage
  that waits gets a ``token`` too, and what it returns is not looked at;
- ``{"task": "start", "asset", "version", "attempt"}``: start again what has failed, with a higher
  attempt;
- ``{}``: wire everything and do nothing: a warm-up call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from worker.adapters import emf
from worker.bootstrap import Application, assemble
from worker.domain import metrics, trace
from worker.domain.errors import MalformedMessage, SafelightError, Throttled, TransientError
from worker.domain.review import concerns_reviews
from worker.domain.workflow import StageCall
from worker.entrypoints import logs
from worker.services import work_metrics
from worker.services.finalize import JobReport
from worker.services.messages import mistake
from worker.settings import Settings

logger = logs.logger("workflow")


@cache
def application() -> Application:
    """Wire the services once for the life of the process, at the first event."""
    logs.adopt(logger)
    return assemble(Settings.from_environment(os.environ))


@emf.flushing("workflow")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's
    """Handle one event; see above."""
    return answer(event, application())


@trace.flushing("workflow")
def answer(event: Mapping[str, Any], app: Application) -> dict[str, Any]:
    """The handler with its services given.

    Raises:
        Throttled, TransientError: exactly one of these two classes for everything that may work
            later, because a state machine can match an error by the name of its class alone.
        SafelightError: anything else.
    """
    if not event:
        _ = app.heavy, app.runs
        return {}
    try:
        return handle(event, app)
    except Throttled as error:
        raise Throttled(error.message, code=error.code) from error
    except TransientError as error:
        raise TransientError(error.message, code=error.code) from error


def handle(event: Mapping[str, Any], app: Application) -> dict[str, Any]:
    """One event that asks for something.

    Raises:
        MalformedMessage: an event of another form.
        SafelightError: see the service.
    """
    try:
        if "detail-type" in event:
            detail = event["detail"]
            parent = trace.valid(detail.get(trace.NAME))
            trace.finished(
                "wait workflow", start=trace.moment(str(detail.get("time"))), parent=parent
            )
            with trace.span("workflow", kind="consumer", parent=parent, asset=str(detail["asset"])):
                return _follow(app, str(event["detail-type"]), detail)
        call = stage_call(event)
        if (stage := STAGES.get(call.task)) is not None:
            parent = trace.valid(event.get(trace.NAME))
            try:
                with (
                    trace.span(f"stage {call.task}", parent=parent, asset=call.asset) as span,
                    metrics.timed(metrics.STAGE_SECONDS, stage=call.task),
                ):
                    done = dict(stage(app, call))
                    span.set(outcome=str(done.get("outcome", "")))
                    return done
            finally:
                _trace_run(call, parent, str(event.get("started", "")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedMessage(f"no event of the workflow function: {mistake(error)}") from error
    raise MalformedMessage(f"the workflow function has no task {call.task!r}")


def _follow(app: Application, kind: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Handle an event of the bus: start a workflow, apply a decision, or both."""
    asset, data = str(detail["asset"]), detail["data"]
    wanted, done = False, dict[str, Any]()
    if "workflow" in data:
        wanted = True
        done |= _start(app, asset, str(data["version"]))
    if concerns_reviews(kind, data):
        wanted = True
        done["reviews"] = app.reviews.follow(asset)
        for outcome in done["reviews"]:
            logger.info("reviewed", extra={"asset": asset, "outcome": outcome})
            metrics.add(metrics.REVIEWS, outcome=outcome)
    if not wanted:
        raise ValueError(f"an event of type {kind!r} that leads to nothing here")
    return done


def _trace_run(call: StageCall, parent: str, started: str) -> None:
    """Write the run so far, with the same ids at each of its stages: the last one says it all."""
    if call.execution and parent:
        run = trace.derived(call.execution)
        own = f"{parent[:36]}{trace.span_id(run)}-01"
        moment = trace.moment(started)
        trace.finished("run", start=moment, parent=parent, own=own, workflow=call.workflow)


_OWN = frozenset(
    {
        *("task", "asset", "version", "stage"),
        *("workflow", "execution", "token"),
        "started",
        trace.NAME,
    }
)


def stage_call(event: Mapping[str, Any]) -> StageCall:
    """The call that an event of a state machine means.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it means none.
    """
    texts = {name: event.get(name, "") for name in ("stage", "workflow", "execution", "token")}
    texts |= {name: event[name] for name in ("task", "asset", "version")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError("its names are not texts")
    parameters = {name: value for name, value in event.items() if name not in _OWN}
    return StageCall(**texts, parameters=parameters)


def _start(app: Application, asset: str, version: str, *, attempt: int = 1) -> dict[str, Any]:
    run = app.runs.start(asset, version, attempt=attempt)
    logger.info("started", extra={"asset": asset, "version": version, "run": run})
    if run is not None:
        metrics.add(metrics.RUNS)
    return {"execution": run}


def _start_again(app: Application, call: StageCall) -> dict[str, Any]:
    attempt: Any = call.parameters.get("attempt", 1)
    return _start(app, call.asset, call.version, attempt=int(attempt))


def _finish(app: Application, call: StageCall) -> dict[str, Any]:
    told: Any = call.parameters.get("jobs", [])
    jobs = [_report(job) for job in told]
    try:
        finished = app.heavy.finish(call.asset, call.version, jobs)
    except SafelightError as error:
        logger.warning("not finished", extra={"asset": call.asset, "code": error.code})
        raise
    record = finished.record
    code = record.verdict.code if record is not None and record.verdict is not None else None
    outcome = finished.outcome.value
    extra = {"asset": call.asset, "version": call.version, "outcome": outcome, "code": code}
    logger.info("finished", extra=extra)
    work_metrics.finished(finished)
    return {"outcome": outcome, "code": code}


def _report(job: Mapping[str, Any]) -> JobReport:
    return JobReport(
        kind=str(job["kind"]),
        failed=job.get("state") != "done",
        error=str(job.get("error", "")),
        cause=str(job.get("cause", "")),
    )


def _send(app: Application, call: StageCall) -> dict[str, Any]:
    record = app.catalog.get(call.asset)
    if record is None or record.version != call.version:
        return {"outcome": "stale"}
    app.webhooks.tell(str(call.parameters["endpoint"]), record)
    return {"outcome": "sent"}


Stage = Callable[[Application, StageCall], Mapping[str, Any]]
"""Does a stage; what it returns is JSON with the word ``outcome``. Raises ``SafelightError``."""
STAGES: Mapping[str, Stage] = {
    "start": _start_again,
    "finish": _finish,
    "approve": lambda app, call: {"outcome": app.reviews.ask(call)},
    "expire": lambda app, call: {"outcome": app.reviews.expire(call)},
    "publish": lambda app, call: {"outcome": app.reviews.publish(call)},
    "reject": lambda app, call: {"outcome": app.reviews.reject(call)},
    "quarantine": lambda app, call: {"outcome": app.reviews.quarantine(call)},
    "moderate": lambda app, call: app.moderate.run(call),
    "label": lambda app, call: app.label.run(call),
    "webhook": _send,
}
"""The functions of tasks, by name: kinds of stages, and tasks of rules on the bus."""
