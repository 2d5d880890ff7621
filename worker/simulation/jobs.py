"""Batch: jobs of videos, the machines that Batch starts for them, and what Spot takes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from random import Random

import simpy

from worker.simulation.rules import Rules
from worker.simulation.topology import JobsShape
from worker.simulation.workload import OutageKind, SimulatedFault, SimulatedLoad

LOOK_SECONDS = 10.0
"""Between two looks at what machines are needed."""


@dataclass(slots=True, eq=False)
class _Job:
    asked: float
    attempts: int = 0


@dataclass(slots=True, eq=False)
class _Machine:
    spot: bool
    lives_until: float
    """When Spot takes it back."""
    began: float
    running: dict[_Job, simpy.Event] = field(default_factory=dict)
    ready: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """The results of the jobs."""

    asked: int
    done: int
    failed: int
    """Taken back as often as a job may be tried."""
    reclaimed: int
    """Attempts that Spot ended."""
    left: int
    wait_p50: float
    """Seconds from the video to the start of its first attempt."""
    wait_p99: float
    wait_longest: float
    spot_vcpus: int
    """Most at the same time; starting ones too."""
    overflow_vcpus: int
    spot_hours: float
    """Of processors."""
    full_seconds: float
    """Jobs waited and no further machine was allowed."""


class JobMachines:
    """The queue of jobs and the machines behind it.

    Jobs start in order. A machine takes as many as it has processors for. Batch asks for machines
    as long as jobs wait: Spot first, on demand if Spot has none or its bound is reached.
    """

    def __init__(
        self,
        env: simpy.Environment,
        shape: JobsShape,
        load: SimulatedLoad,
        rules: Rules,
        faults: Sequence[SimulatedFault],
    ) -> None:
        self._env, self._shape, self._load, self._rules = env, shape, load, rules
        self._faults = [one for one in faults if one.kind is OutageKind.RECLAIM]
        self._without = [one for one in faults if one.kind is OutageKind.NO_SPOT]
        self._random = Random(f"{load.seed} jobs")
        self._each = max(1, int(rules.machine_vcpus // shape.vcpus))
        self._waiting: deque[_Job] = deque()
        self._machines: list[_Machine] = []
        self._steady = int(shape.steady_vcpus // shape.vcpus)
        self._waits: list[float] = []
        self.asked = self.done = self.failed = self.reclaimed = 0
        self._running = 0
        self._peak = {True: 0, False: 0}
        self._spot_seconds = self._full = 0.0
        self._on_steady = 0
        env.process(self._submit())
        env.process(self._scale())

    def _submit(self) -> Generator[simpy.Event, None, None]:
        while True:
            rate = self._load.videos * self._load.rate_at(self._env.now) / self._load.rate
            gap = max(self._random.expovariate(rate), 1 / self._rules.submits_per_second)
            yield self._env.timeout(gap)
            self.asked += 1
            self._waiting.append(_Job(self._env.now))
            self._place()

    def _place(self) -> None:
        """Give waiting jobs to free processors: those that always run first."""
        while self._waiting and self._on_steady < self._steady:
            self._on_steady += 1
            self._start(self._waiting.popleft(), None)
        for machine in self._machines:
            while self._waiting and machine.ready and len(machine.running) < self._each:
                self._start(self._waiting.popleft(), machine)

    def _start(self, job: _Job, machine: _Machine | None) -> None:
        if not job.attempts:
            self._waits.append(self._env.now - job.asked)
        job.attempts += 1
        self._running += 1
        end = self._env.timeout(self._random.expovariate(1 / self._load.video_seconds))
        if machine is not None:
            machine.running[job] = end

        def over(event: simpy.Event) -> None:
            if machine is None:
                self._on_steady -= 1
            elif machine.running.get(job) is not event:
                return  # Spot has taken the machine meanwhile
            else:
                del machine.running[job]
            self._running -= 1
            self.done += 1
            self._place()

        end.callbacks.append(over)

    def _scale(self) -> Generator[simpy.Event, None, None]:
        taken: set[int] = set()
        while True:
            yield self._env.timeout(LOOK_SECONDS)
            now = self._env.now
            for number, fault in enumerate(self._faults):
                if fault.at <= now and number not in taken:
                    taken.add(number)
                    spot = [one for one in self._machines if one.spot and one.ready]
                    for machine in self._random.sample(spot, round(fault.share * len(spot))):
                        self._reclaim(machine)
            for machine in [*self._machines]:
                if machine.lives_until <= now:
                    self._reclaim(machine)
                elif machine.ready and not machine.running and not self._waiting:
                    self._end(machine)
            self._ask(now)

    def _ask(self, now: float) -> None:
        starting = sum(not one.ready for one in self._machines) * self._each
        missing = -(-(len(self._waiting) - starting) // self._each)
        full = False
        for _ in range(max(0, missing)):
            have = {
                spot: sum(one.spot is spot for one in self._machines) * self._rules.machine_vcpus
                for spot in (True, False)
            }
            each = self._rules.machine_vcpus
            spot = have[True] + each <= self._shape.spot_vcpus
            if any(one.active(now) for one in self._without):
                spot = False
            if not spot and have[False] + each > self._shape.overflow_vcpus:
                full = True
                break
            self._add(spot=spot)
        if full:
            self._full += LOOK_SECONDS

    def _add(self, *, spot: bool) -> None:
        now, hourly = self._env.now, self._rules.reclaims_per_hour
        life = self._random.expovariate(hourly / 3600) if spot and hourly else float("inf")
        machine = _Machine(spot, now + life, now)
        self._machines.append(machine)
        count = sum(one.spot is spot for one in self._machines)
        self._peak[spot] = max(self._peak[spot], int(count * self._rules.machine_vcpus))
        ready = self._env.timeout(self._rules.machine_seconds)

        def up(_event: simpy.Event) -> None:
            machine.ready = not machine.gone
            self._place()

        ready.callbacks.append(up)

    def _reclaim(self, machine: _Machine) -> None:
        """Its jobs begin again elsewhere, before all others."""
        for job in machine.running:
            self._running -= 1
            self.reclaimed += 1
            if job.attempts >= self._shape.attempts:
                self.failed += 1
            else:
                self._waiting.appendleft(job)
        machine.running.clear()
        self._end(machine)
        self._place()

    def _end(self, machine: _Machine) -> None:
        machine.gone, machine.ready = True, False
        self._machines.remove(machine)
        if machine.spot:
            self._spot_seconds += self._env.now - machine.began

    def figures(self) -> JobFigures:
        """The results so far."""
        waits = sorted(self._waits)
        alive = sum(self._env.now - one.began for one in self._machines if one.spot)

        def at(share: float) -> float:
            return waits[min(len(waits) - 1, int(share * len(waits)))] if waits else 0.0

        return JobFigures(
            asked=self.asked,
            done=self.done,
            failed=self.failed,
            reclaimed=self.reclaimed,
            left=len(self._waiting) + self._running,
            wait_p50=at(0.5),
            wait_p99=at(0.99),
            wait_longest=at(1),
            spot_vcpus=self._peak[True],
            overflow_vcpus=self._peak[False],
            spot_hours=(self._spot_seconds + alive) * self._rules.machine_vcpus / 3600,
            full_seconds=self._full,
        )
