"""The console in the local stack: its files, live changes, and how the pipeline is doing.

It stands on the port of the API. The files are public on loopback; everything else asks for a token
as the API does. On AWS the page finds none of the routes here: it looks at the list of assets now
and then, and hides what it cannot show.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from batch.catalogue import KINDS
from worker import codec, console, prices
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.sqs import SqsQueue
from worker.bootstrap import assemble
from worker.domain.asset import is_tombstone
from worker.domain.events import Event
from worker.domain.job import JobStatus
from worker.domain.ledger import CountedWork
from worker.entrypoints.api import views
from worker.entrypoints.api.app import Administrator, ApiServices, AssetId, Reader
from worker.entrypoints.api.problems import ProblemRoute
from worker.local import demo, metrics
from worker.local.address import EVENTS, Address
from worker.local.changes import Counts, read_events
from worker.local.records import LocalTraces
from worker.ports import Queue, TraceStore
from worker.services.cost import LEFT_OUT, cost
from worker.services.dead_letters import DeadLetters, QueuePair, Selection, groups
from worker.services.owned_assets import Caller
from worker.services.waterfall import Waterfalls, plain
from worker.settings import Settings

PATH = "/console/"
LOOK_SECONDS = 0.02
"""Between two looks at the event log by a request that waits."""
LONGEST_WAIT = 25
LETTERS_SECONDS = 10.0
"""A look at dead letters hides them from each other reader, so looks are rare."""
LETTERS_RATE = 50.0
"""Dead letters sent back a second."""
JOBS = 50
COUNTED_JOBS = 1_000
"""The newest ones, in the cost."""
METRIC_SECONDS = 10.0
"""Seconds between two readings of all logs for their metrics."""
COST_SECONDS = 30.0
"""Between two counts of their hours."""
_CHUNK = 1 << 18
_READ = ["GET", "HEAD"]


def attach(
    app: FastAPI, services: ApiServices, address: Address, *, stopping: Callable[[], bool]
) -> None:
    """Add everything here to the app of the API.

    Args:
        address: of the stack; it works with the operator's rights.
        stopping: whether the server is about to end.
    """
    clients = AwsClients(address.environment)
    settings = Settings.from_environment(address.environment)
    app_ = assemble(settings, clients)
    operations = Operations(
        services=services,
        queue=SqsQueue(clients),
        pairs=address.queue_pairs,
        events=address.data / EVENTS,
        traces=LocalTraces(data=address.data),
        logs=partial(metrics.logs, address.data),
        restart=app_.follow,
        stopping=stopping,
    )
    serve_operations(app, operations)
    configuration = {
        "api": "/",
        "token": address.token,
        "operations": True,
        "originals": True,
    }
    serve(app, configuration, console.headers(stores=[address.endpoint], media=address.delivery))
    demo.serve(app, services.app.catalog, lambda: services.addresses, address.delivery)


def serve(app: FastAPI, configuration: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Add the files of the console to an app.

    Args:
        configuration: what the page's ``config.json`` holds.
        headers: of every file, see ``worker.console.headers``.
    """
    # Read once: whatever is asked for later, nothing outside of the folder can be named.
    files = console.files()

    @app.get("/", include_in_schema=False)
    @app.get(PATH.rstrip("/"), include_in_schema=False)
    def to_console() -> Response:
        return RedirectResponse(PATH)

    @app.get(PATH + console.CONFIGURATION, include_in_schema=False)
    def configured(request: Request) -> Response:
        # It may hold a token: a page of another name that leads to this machine must not read it.
        if request.url.hostname not in ("127.0.0.1", "localhost"):
            return Response("ask for 127.0.0.1", 421, headers, "text/plain")
        return JSONResponse(dict(configuration), headers={**headers, "Cache-Control": "no-store"})

    @app.api_route(PATH + "{name:path}", methods=_READ, include_in_schema=False)
    def file(name: str) -> Response:
        path = files.get(name or console.PAGE)
        if path is None:
            return Response("there is no such file", 404, headers, "text/plain")
        # A checkout changes under the page: the browser asks each time.
        return Response(
            path.read_bytes(),
            200,
            {**headers, "Cache-Control": console.NEW_EACH_TIME},
            console.media_type(path),
        )


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Services of these routes, in addition to those of the API.

    Args:
        services: of the API.
        queue: with rights on the queues and their dead letters.
        events: the event log.
        traces: the spans that the stack has written.
        logs: those that metrics are in.
        restart: starts the work on a version of an asset again.
        stopping: whether the server is about to end: then nothing waits.
        now: the time.
    """

    services: ApiServices
    queue: Queue
    pairs: Sequence[QueuePair]
    events: Path
    traces: TraceStore
    logs: Callable[[], Sequence[Path]] = tuple
    restart: Callable[[str, str], object] | None = None
    stopping: Callable[[], bool] = lambda: False
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _letters: dict[str, Any] = field(default_factory=dict)
    _cost: dict[str, Any] = field(default_factory=dict)
    _counted: dict[str, Any] = field(default_factory=dict)

    @property
    def dead_letters(self) -> DeadLetters:
        """The use case."""
        catalog = self.services.app.catalog
        return DeadLetters(self.queue, catalog, self.pairs, restart=self.restart)

    def changed(self, caller: Caller, events: Iterable[Event]) -> Mapping[str, Any]:
        """The caller's assets that events are about, as they are now, and those that are gone."""
        ids = dict.fromkeys(event.asset for event in events)
        records = {one: self.services.app.catalog.get(one) for one in ids}
        known = [one for one in records.values() if one is not None and caller.owns(one)]
        shown = [
            views.summary(one, self.services.addresses).model_dump(mode="json")
            for one in known
            if not is_tombstone(one)
        ]
        gone = [one.asset for one in known if is_tombstone(one)]
        if caller.admin:  # their owners are not known any more
            gone += [one for one, record in records.items() if record is None]
        return {"assets": shown, "gone": gone}

    def state(self, counts: Counts) -> Mapping[str, Any]:
        """Queues, rates, reasons, dead letters, jobs, cost and metrics."""
        queues = [self._depths(pair) for pair in self.pairs]
        jobs = self.services.jobs
        return {
            "queues": queues,
            "minutes": counts.minutes(self.now().isoformat()),
            "errors": counts.reasons(),
            "dead_letters": self._dead(sum(one["dead"] for one in queues)),
            "jobs": [_job(one) for one in jobs.list(limit=JOBS)] if jobs is not None else [],
            "cost": self._costs(counts.days()),
            "metrics": self._metrics(),
        }

    def _metrics(self) -> Sequence[Mapping[str, Any]]:
        """The metrics from the logs, sorted by name."""
        known, now = self._counted, time.monotonic()
        if not known or now - known["at"] > METRIC_SECONDS:
            found = [
                metrics.plain(one) | {"text": metrics.figure_text(one)}
                for one in metrics.summarise(metrics.read(self.logs()))
            ]
            known.update(at=now, found=found)
        return list(known["found"])

    def _costs(self, days: Mapping[str, CountedWork]) -> Mapping[str, Any]:
        known, now = self._cost, time.monotonic()
        if not known or now - known["at"] > COST_SECONDS:
            jobs = self.services.jobs
            known.update(at=now, jobs=_job_work(jobs.list(limit=COUNTED_JOBS)) if jobs else {})
        return costs(days, known["jobs"])

    def _depths(self, pair: QueuePair) -> dict[str, Any]:
        waiting = taken = 0
        if pair.queue:
            waiting = self.queue.depth(pair.queue)
            taken = max(0, self.queue.depth(pair.queue, taken=True) - waiting)
        dead = self.queue.depth(pair.dead_letters)
        return {"name": pair.name, "waiting": waiting, "taken": taken, "dead": dead}

    def _dead(self, count: int) -> list[Mapping[str, Any]]:
        known, now = self._letters, time.monotonic()
        if not count:
            known.clear()
            return []
        if known.get("count") != count or now - known["at"] > LETTERS_SECONDS:
            found = [
                {
                    "queue": one.pair.name,
                    "cause": one.cause,
                    "reason": one.reason,
                    "count": one.count,
                    "oldest": one.oldest,
                }
                for one in groups(self.dead_letters.look())
            ]
            known.update(count=count, at=now, found=found)
        return list(known["found"])

    def forget_letters(self) -> None:
        """Look at the dead letters again, next time."""
        self._letters.clear()


def costs(days: Mapping[str, CountedWork], jobs: Mapping[str, CountedWork]) -> Mapping[str, Any]:
    """The cost of the work on AWS: in total, by day and by component, with the prices used.

    Args:
        days: work of the pipeline by day.
        jobs: that of jobs.
    """
    price, need = prices.load()
    nothing = CountedWork()
    each = {day: days.get(day, nothing) + jobs.get(day, nothing) for day in sorted({*days, *jobs})}
    work = sum(each.values(), CountedWork())
    whole = cost(work, price, need)
    pictures = cost(replace(sum(days.values(), nothing), heavy=0), price, need)
    return {
        "usd": whole.total,
        # Of what ingest did; jobs cost by the length of videos.
        "thousand_usd": pictures.total / work.objects * 1000 if work.objects else None,
        "storage_month_usd": whole.storage_month,
        "objects": work.objects,
        "stored_bytes": work.stored,
        "job_hours": work.job_hours,
        "days": [{"day": day, "usd": cost(done, price, need).total} for day, done in each.items()],
        "parts": {
            "compute": whole.compute,
            "requests": whole.requests,
            "catalog": whole.catalog,
            "jobs": whole.jobs,
        },
        "figures": codec.plain(prices.figures()),
        "left_out": LEFT_OUT,
    }


def _job_work(jobs: Iterable[JobStatus]) -> Mapping[str, CountedWork]:
    """The work of jobs that have ended, by the day of their end: the last attempt of each."""
    done: dict[str, CountedWork] = {}
    for one in jobs:
        known = KINDS.get(one.kind)
        if known is not None and one.started_at and one.stopped_at:
            took = datetime.fromisoformat(one.stopped_at) - datetime.fromisoformat(one.started_at)
            hours = max(0.0, took.total_seconds()) / 3600 * known.vcpus
            day = one.stopped_at[:10]
            done[day] = done.get(day, CountedWork()) + CountedWork(job_hours=hours)
    return done


def _job(status: JobStatus) -> Mapping[str, Any]:
    return {
        "id": status.id,
        "kind": status.kind,
        "state": status.state.value,
        "progress": status.progress,
        "reason": status.reason,
        "doing": status.doing,
        "trouble": status.trouble,
        "created_at": status.created_at,
        "started_at": status.started_at,
        "stopped_at": status.stopped_at,
    }


class Redrive(BaseModel):
    """Which dead letters to send back."""

    model_config = ConfigDict(extra="forbid")
    cause: Annotated[str, Field(min_length=1, max_length=100)]


def serve_operations(app: FastAPI, operations: Operations) -> None:
    """Add live changes, and the state of the pipeline for administrators."""
    router = APIRouter(route_class=ProblemRoute, include_in_schema=False)
    counts = Counts(operations.events)

    @router.get("/changes")
    async def changes(
        who: Reader,
        cursor: Annotated[str | None, Query(max_length=64)] = None,
        wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT)] = 0,
    ) -> Mapping[str, Any]:
        until = time.monotonic() + wait
        while True:
            events, behind = read_events(operations.events, cursor)
            if events:
                found = await run_in_threadpool(operations.changed, who, events)
                if found["assets"] or found["gone"]:
                    return {"cursor": behind, **found}
            cursor = behind
            if time.monotonic() >= until or operations.stopping():
                return {"cursor": behind, "assets": [], "gone": []}
            await asyncio.sleep(LOOK_SECONDS)

    @router.get("/operations")
    def state(_: Administrator) -> Mapping[str, Any]:
        return operations.state(counts)

    @router.post("/operations/redrive")
    def redrive(_: Administrator, body: Redrive) -> Mapping[str, Any]:
        choice = Selection(causes=frozenset({body.cause}))
        summary = operations.dead_letters.redrive(choice, rate=LETTERS_RATE)
        operations.forget_letters()
        return {"sent": summary.done.total(), "left": summary.left}

    @router.get("/traces/{asset}")
    def trace(_: Administrator, asset: AssetId) -> Mapping[str, Any]:
        use = Waterfalls(catalog=operations.services.app.catalog, traces=operations.traces)
        return plain(use.of_asset(str(asset)))

    app.include_router(router)
