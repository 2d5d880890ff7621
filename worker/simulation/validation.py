"""The simulation beside a run of ``safelight load`` on the local stack, with the same uploads.

Service times are those that the workers of that run have counted. The simulation adds the queues,
the pipe, the batches and the waiting, and the comparison tests these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from worker import codec
from worker.domain.errors import EngineError, InputError
from worker.domain.load import FINAL, SCHEMA, LoadReport, UploadOutcome, percentile
from worker.domain.metrics import STAGE_SECONDS
from worker.local import metrics
from worker.simulation.model import Simulation
from worker.simulation.rules import Rules
from worker.simulation.topology import local
from worker.simulation.workload import ServiceTimes, SimulatedLoad

STAGES = ("fetch", "render", "commit")
"""Of an upload in a worker, one after the other. The record has the time at which the last one
begins (``worker/services/ingest.py``), and by that a load counts."""
PIPE_SECONDS = 0.03
"""Of a batch of the local pipe: four calls of the emulator."""
BATCH = 10
"""Most uploads that a worker takes at once: the default of ``intake.batchSize``."""
RATE = "uploads a second"
JUDGED = ("p50", RATE)
ALLOWED = 0.15
"""Difference of these that the simulation is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureComparison:
    """A figure of both."""

    name: str
    loaded: float
    simulated: float

    @property
    def error(self) -> float:
        """Difference, as a share of what the load has shown."""
        return abs(self.simulated - self.loaded) / self.loaded if self.loaded else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """The results of the run and of the simulation."""

    uploads: int
    workers: int
    service: ServiceTimes
    figures: tuple[FigureComparison, ...]

    @property
    def good(self) -> bool:
        """Whether p50 and throughput are near enough."""
        return all(one.error <= ALLOWED for one in self.figures if one.name in JUDGED)


def measured(values: Iterable[metrics.MetricValue], *, until: float) -> tuple[ServiceTimes, float]:
    """Measurements of the workers of a run: their durations, and the mean of the last stage.

    Args:
        values: of the logs, from the start of the run on.
        until: seconds since 1970.

    Raises:
        InputError: ``input_invalid``: they have counted nothing.
    """
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for one in values:
        stage = dict(one.dimensions).get("stage")
        if one.metric is STAGE_SECONDS and stage in found and one.time <= until:
            found[stage].append(one.value)
    if not all(found.values()):
        raise InputError("the logs of the local stack have no seconds of that run's uploads")
    means = {stage: sum(those) / len(those) for stage, those in found.items()}
    total = sum(means.values())
    # While one upload is rendered, the one before it is stored and the next one is fetched.
    overlap = 1 - max(means.values()) / total
    variance = sum(_variance(those) for those in found.values())
    spread = math.sqrt(math.log(1 + variance / total**2))
    return ServiceTimes(seconds=total, spread=spread, overlap=overlap), means[STAGES[-1]]


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((one - mean) ** 2 for one in values) / len(values)


def read_report(path: Path) -> LoadReport:
    """A report written by ``safelight load --out``.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        if found["schema"] != SCHEMA:
            raise InputError(f"{path} is no report of `safelight load`", code="input_invalid")
        return codec.build(LoadReport, found)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="input_missing") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", code="input_unreadable") from error
    except (ValueError, TypeError, KeyError, RecursionError, EngineError) as error:
        text = f"{path} is no report of `safelight load`: {error}"
        raise InputError(text, code="input_invalid") from error


@dataclass(frozen=True, slots=True)
class _Done:
    """An upload that came to an end."""

    uploaded: float
    accepted: float


def _done(outcomes: Iterable[UploadOutcome]) -> list[_Done]:
    return sorted(
        (
            _Done(one.uploaded, one.accepted)
            for one in outcomes
            if one.uploaded is not None and one.accepted is not None and one.status in FINAL
        ),
        key=lambda one: one.uploaded,
    )


def validate(
    report: LoadReport, rules: Rules, *, data: Path, workers: int, seed: int = 1
) -> Validation:
    """Simulate the uploads of a run, each at its own time, and compare.

    Args:
        data: of the local stack that it ran on, with its logs.
        workers: processes of that stack.

    Raises:
        InputError: ``input_invalid``: nothing was uploaded, or the logs do not go with the run.
    """
    done = _done(report.outcomes)
    if not done:
        raise InputError("no upload of that run came to an end")
    started = datetime.fromisoformat(report.started).timestamp()
    counted = metrics.read(metrics.logs(data), since=started)
    service, ending = measured(counted, until=started + report.elapsed)
    first, last = done[0].uploaded, max(one.accepted for one in done)
    times = [one.uploaded - first for one in done]
    stack = local(workers, pipe_seconds=PIPE_SECONDS, notify_seconds=0.0, batch=BATCH)
    load = SimulatedLoad(
        rate=len(times) / max(times[-1], 1.0), seconds=2 * (last - first) + 600, seed=seed
    )
    found = Simulation(stack, load, service, rules, times=times).run()
    real = sorted(one.accepted - one.uploaded for one in done)
    simulated = sorted(latency - ending for latency in found.latencies)
    ranks = (
        FigureComparison(
            name=f"p{rank}",
            loaded=percentile(real, rank / 100),
            simulated=percentile(simulated, rank / 100),
        )
        for rank in (50, 90, 99)
    )
    rate = FigureComparison(
        name=RATE,
        loaded=len(done) / (last - first),
        simulated=len(simulated) / (found.last - ending),
    )
    return Validation(uploads=len(done), workers=workers, service=service, figures=(*ranks, rate))


def workers_of(data: Path) -> int:
    """Processes that handle pictures in a local stack, by their logs.

    Raises:
        InputError: ``input_missing``: it has none.
    """
    found = len(list((data / "logs").glob("worker-*.log")))
    if not found:
        raise InputError(f"{data} has no logs of workers", code="input_missing")
    return found
