"""The upgrade function: once a day it encodes what is viewed often at a higher effort.

A schedule calls it. It reads the distribution's logs of a day for a part of its time, then encodes
the files that gain most, as far as budget and time go. The next call continues with the rest.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from worker.adapters import emf
from worker.bootstrap import Application, assemble
from worker.domain import metrics, trace
from worker.domain.errors import Problem, SettingsError
from worker.entrypoints import logs
from worker.services.breaker import OptionalWork
from worker.services.popularity import Popularity, read_logs
from worker.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = logs.logger("upgrade")

DAYS = 1.0
"""Of logs."""
READING = 0.4
"""Share of the time for reading logs."""
LAST_SECONDS = 330.0
"""An asset is not begun with less time left: its encoding ends after 300 s at the latest."""


@cache
def application() -> Application:
    """Wire the services once for the life of the process, at the first event."""
    logs.adopt(logger)
    return assemble(Settings.from_environment(os.environ))


@emf.flushing("upgrade")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle a call of the schedule; ``{}`` wires everything and does nothing."""
    app = application()
    if not event:
        return {}
    return handle(app, remaining=lambda: context.get_remaining_time_in_millis() / 1000)


@trace.flushing("upgrade")
def handle(app: Application, *, remaining: Callable[[], float]) -> dict[str, Any]:
    """The handler with its services given.

    Args:
        remaining: seconds that are left.

    Raises:
        SettingsError: the bucket of logs is not named.
        TransientError: a store does not answer; the next call goes on.
    """
    settings = app.settings
    if settings.edge_logs_bucket is None:
        problem = Problem("SAFELIGHT_EDGE_LOGS_BUCKET", "is not set; upgrades need it")
        raise SettingsError("settings", (problem,))
    if app.breaker.stops(OptionalWork.UPGRADE):
        return {"paused": True}
    until = remaining() * (1 - READING)
    popularity = Popularity()
    share = read_logs(
        app.store,
        settings.edge_logs_bucket,
        since=datetime.now(UTC) - timedelta(days=DAYS),
        popularity=popularity,
        enough=lambda: remaining() < until,
        shuffle=random.shuffle,
    )
    done = {"lines": popularity.lines, "ignored": popularity.ignored, "share": round(share, 3)}
    files, saved, costs = 0, 0, 0.0
    budget = settings.upgrade_cents / 100
    # Views of a part of the logs are those of a part of the day.
    plan = app.upgrades.plan(popularity, days=DAYS * share, budget=budget) if share else ()
    for upgrade in plan:
        if remaining() < LAST_SECONDS:
            break
        record = upgrade.record
        with trace.span("upgrade", parent=record.source.trace, asset=record.asset) as span:
            result = app.upgrades.apply(upgrade)
            span.set(files=result.files, bytes_saved=result.bytes_saved)
        files, saved = files + result.files, saved + result.bytes_saved
        costs += upgrade.costs
        if result.files:
            metrics.add(metrics.UPGRADES, result.files)
            metrics.add(metrics.BYTES_SAVED, result.bytes_saved, by="upgrade")
        extra = {"asset": result.asset, "files": result.files, "kept": result.kept}
        logger.info("upgraded", extra={**extra, "code": result.reason or None})
    done |= {"files": files, "bytes_saved": saved, "costs_usd": round(costs, 4)}
    logger.info("done", extra=done)
    return done
