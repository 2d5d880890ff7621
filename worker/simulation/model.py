"""The simulation: uploads through queues, pipe and function, second by second where they wait.

An event is an upload that arrives, and a batch that begins or ends. While many wait, uploads arrive
in ticks of 50 ms: that changes nothing then, and saves most of the time. Each upload keeps its own
time, so percentiles are of uploads.

A large load is simulated in a smaller copy: one upload in ``weight``, and as much of each limit.
Counts are multiplied again. docs/scale.md has the resulting error.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import simpy

from worker.simulation import limits as rates
from worker.simulation.functions import Done, Instances, SimulatedSource, SourceScaling, Try
from worker.simulation.jobs import JobFigures, JobMachines
from worker.simulation.limits import RateLimit
from worker.simulation.queues import MessageQueue, QueuedUpload
from worker.simulation.rules import Rules
from worker.simulation.topology import Topology
from worker.simulation.workload import (
    OutageKind,
    ServiceTimes,
    SimulatedFault,
    SimulatedLoad,
    errors_of,
    factor_of,
)

TICK = 0.05
"""Seconds between two arrivals of several uploads, while so many wait:"""
CROWD = 1000
RESERVE_SECONDS = 2.0
"""Of its time the function keeps for the answer (``worker/services/ingest_pipeline.py``)."""
LONGEST_WAIT = 900.0
"""Seconds between two tries at most (``worker/entrypoints/lambda_ingest.py``)."""
TABLE_UNITS = 3.0
"""Write units of the table itself for an accepted upload: 2 of META and 1 of SIMILAR
(docs/catalog.md). Each of the two has one more in each index that it is in."""
HALF = 0.5
"""Of the last seconds: a limit that is full for longer holds the queue up."""
STATUS_SHARDS = 8
"""Partitions of a status in its index (docs/catalog.md)."""
SOURCE, RAMP, ACCOUNT, RESERVED = "source", "ramp", "account", "reserved"
NEW, PIPE, IN_FLIGHT, FAULT = "new instances", "pipe", "in flight", "errors"
STOPPED, GROUPS = "stopped", "groups"
DELIVERY, CATALOG, STATUSES, OWNER = "delivery", "catalog", "statuses", "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSample:
    """The state at one moment."""

    time: float
    arrived: float
    """Uploads a second since the sample before."""
    finished: float
    waiting: int
    """Messages in both queues that nobody works on."""
    age: float
    """Seconds that the oldest one has waited since its upload."""
    running: int
    """Instances at work."""
    pollers: int
    """Invocations at the same time that the event source would make."""


@dataclass(slots=True, kw_only=True)
class Waiting:
    """Waiting of uploads in upload-seconds, by cause."""

    seconds: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    """When that began."""

    def add(self, cause: str, amount: float, time: float) -> None:
        """So much more."""
        if amount > 0:
            self.seconds[cause] = self.seconds.get(cause, 0.0) + amount
            self.first.setdefault(cause, time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a simulation."""

    topology: Topology
    workload: SimulatedLoad
    service: ServiceTimes
    seconds: float
    """Simulated."""
    offered: int
    """Uploads that clients wanted."""
    rejected: int
    """Answered with 429 by the API."""
    accepted: int
    dead: int
    """Dead letters."""
    left: int
    """Neither, at the end."""
    latencies: array[float]
    """Seconds from the upload to the record, of each accepted one."""
    last: float
    """When the last one was accepted."""
    in_system: float
    """Mean number of uploads that are neither accepted nor dead: by Little's law the rate times
    the mean latency."""
    calls: int
    cold: int
    throttled: int
    billed_seconds: float
    busy: float
    """Mean instances at work."""
    peak_instances: int
    oldest: float
    """Longest that a waiting message had waited since its upload."""
    most_waiting: int
    waits: Waiting
    limits: tuple[RateLimit, ...]
    samples: tuple[StackSample, ...]
    jobs: JobFigures | None
    weight: int
    """One simulated upload stands for so many."""

    def percentile(self, percent: float) -> float:
        """Seconds after which so many per cent of the uploads were accepted."""
        if not self.latencies:
            return 0.0
        return float(np.percentile(np.frombuffer(self.latencies, dtype=np.float64), percent))

    @property
    def mean_batch(self) -> float:
        """Uploads of a call."""
        return self.accepted / self.calls if self.calls else 0.0

    @property
    def throughput(self) -> float:
        """Accepted uploads a second."""
        return self.accepted / self.seconds


class Simulation:
    """One run.

    Args:
        lifted: causes of waiting that are taken away, to see what comes next.
        weight: one simulated upload stands for so many.
        warm: begin as a stack that has had the steady rate for long.
        times: of the uploads, ascending, in place of random ones.
    """

    def __init__(
        self,
        topology: Topology,
        workload: SimulatedLoad,
        service: ServiceTimes,
        rules: Rules,
        *,
        faults: Sequence[SimulatedFault] = (),
        lifted: frozenset[str] = frozenset(),
        weight: int = 1,
        warm: bool = True,
        times: Sequence[float] | None = None,
    ) -> None:
        self._times = times
        self._whole = topology, workload
        self._weight = weight
        self._limits = tuple(_limits(topology, workload, rules, lifted))
        for limit in self._limits:
            limit.units *= weight
        self._needed = tuple(one for one in self._limits if one.units and not one.lifted)
        workload = replace(workload, rate=workload.rate / weight)
        topology, rules = _smaller(topology, weight), _slower(rules, weight)
        self._topology, self._load, self._service = topology, workload, service
        self._rules, self._faults, self._lifted = rules, faults, lifted
        self._env = env = simpy.Environment()
        self._random = Random(workload.seed)
        self._arrivals = np.random.default_rng(workload.seed)
        self._slowdown = any(one.kind is OutageKind.SLOW for one in faults)
        self._failing = workload.failures or any(one.kind is OutageKind.ERRORS for one in faults)
        self.queue = MessageQueue(
            env,
            most_in_flight=math.inf if IN_FLIGHT in lifted else rules.in_flight,
            fifo=topology.fifo,
            group_scan=rules.group_scan,
            maximum_receives=topology.maximum_receives,
        )
        self.instances = Instances(
            env,
            rules,
            most=math.inf if {ACCOUNT, RESERVED} & lifted else topology.instances,
            init_seconds=service.init_seconds,
            run=self._run,
            finish=self._finish,
            unlimited=NEW in lifted,
        )
        self.source = SimulatedSource(
            env,
            self.queue,
            self.instances.invoke,
            batch=topology.batch,
            window=topology.window,
            scaling=_lifted_scaling(topology.source, lifted),
            scale_in_seconds=rules.scale_in_seconds,
        )
        self._entry, self._pipe = self._entrance()
        jobs = topology.jobs
        self.jobs = (
            JobMachines(env, jobs, workload, rules, faults) if jobs and workload.videos else None
        )
        if warm:
            self._warm_up()
        self._offered = self._rejected = self._accepted = 0
        self._tokens = topology.burst
        self._latencies: array[float] = array("d")
        self._waits = Waiting()
        self._owed: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._samples: list[StackSample] = []
        self._system_seconds = self._busy_seconds = 0.0
        self._oldest, self._most_waiting = 0.0, 0
        self._last = 0.0

    def _entrance(self) -> tuple[MessageQueue, SimulatedSource | None]:
        """The queue that S3 notifies, and the pipe behind it."""
        pipe = self._topology.pipe
        if pipe is None:
            return self.queue, None
        entry = MessageQueue(self._env, most_in_flight=self._rules.in_flight)
        scaling = pipe.scaling
        if PIPE in self._lifted:
            scaling = SourceScaling.fixed(10**9)

        def carry(batch: list[QueuedUpload], done: Done) -> None:
            after = self._env.timeout(pipe.seconds)

            def over(_event: simpy.Event) -> None:
                entry.delete(batch)
                for message in batch:
                    message.receives = 0
                    self.queue.send(message)
                self.source.wake()
                done()

            after.callbacks.append(over)

        return entry, SimulatedSource(
            self._env,
            entry,
            carry,
            batch=pipe.batch,
            scaling=scaling,
            scale_in_seconds=self._rules.scale_in_seconds,
        )

    def _warm_up(self) -> None:
        """Begin as a stack that has had this rate for long."""
        needed = self._load.rate * self._service.seconds
        self.instances.warm(math.ceil(1.5 * needed))
        for source, count in ((self.source, 1.2 * needed + 5), (self._pipe, self._pipe_needs())):
            if source is not None:
                source.pollers = min(source.scaling.most, max(source.pollers, count))

    def _pipe_needs(self) -> float:
        pipe = self._topology.pipe
        return 2 * self._load.rate * pipe.seconds if pipe else 0.0

    # --- what happens to one batch -------------------------------------------------------------

    def _run(self, batch: Sequence[QueuedUpload], begin: float) -> tuple[float, list[Try]]:
        """Plan a batch: its seconds, and how and when each upload ends."""
        time, tries = begin, []
        last = begin + self._topology.timeout - RESERVE_SECONDS
        for message in batch:
            seconds = self._service.draw(self._random)
            if time > begin:
                seconds *= 1 - self._service.overlap
            if self._slowdown:
                seconds *= factor_of(self._faults, time)
            if time + seconds > last and time > begin:
                tries.append((message, time, "postponed"))
                continue
            time += seconds
            cause = self._fails(time)
            if not cause:
                wait, cause = self._reserve(time)
                time += wait
            tries.append((message, time, cause))
        return time - begin + self._topology.queue_seconds, tries

    def _fails(self, time: float) -> str:
        if not self._failing:
            return ""
        share = 1 - (1 - self._load.failures) * (1 - errors_of(self._faults, time))
        return FAULT if self._random.random() < share else ""

    def _reserve(self, time: float) -> tuple[float, str]:
        """Take what an upload needs of each limit: seconds of waiting, and what refused it."""
        longest = self._rules.retry_wait
        waited = 0.0
        for limit in self._needed:
            wait = limit.reserve(time + waited, longest)
            if wait is None:
                return waited + longest, limit.name
            waited += wait
        return waited, ""

    def _finish(self, tries: list[Try]) -> None:
        done = []
        for message, time, cause in tries:
            if cause:
                wait = 0.0
                if cause != "postponed":
                    message.failures += 1
                    doubled = self._topology.retry_seconds * 2.0 ** (message.receives - 1)
                    wait = min(LONGEST_WAIT, doubled)
                self.queue.put_back(message, wait, cause)
            else:
                self._latencies.append(time - message.uploaded)
                self._last = max(self._last, time)
                done.append(message)
        self._accepted += len(done)
        self.queue.delete(done)

    # --- what comes in, and what is looked at --------------------------------------------------

    def _arrive(self, count: int) -> None:
        self._offered += count
        allowed = self._allowed(count)
        self._rejected += count - allowed
        load = self._load
        uploaded = self._env.now - self._topology.notify_seconds
        for _ in range(allowed):
            group = 0
            if load.shared and self._random.random() < load.shared:
                group = self._random.randint(1, load.shared_keys)
            self._entry.send(QueuedUpload(uploaded, group))
        self._entry.on_ready()

    def _allowed(self, count: int) -> int:
        """How many the API lets in: a bucket of tokens that fills at its rate."""
        if not self._topology.requests_per_second or "api" in self._lifted:
            return count
        allowed = min(count, int(self._tokens))
        self._tokens -= allowed
        return allowed

    def _uploads(self) -> Generator[simpy.Event, None, None]:
        topology = self._topology
        while True:
            rate = self._load.rate_at(self._env.now)
            if len(self._entry) + len(self.queue) < CROWD:
                gap = self._random.expovariate(rate)
                yield self._env.timeout(gap)
                count = 1
            else:
                gap = TICK
                yield self._env.timeout(TICK)
                count = int(self._arrivals.poisson(rate * TICK))
            filled = self._tokens + gap * topology.requests_per_second
            self._tokens = min(topology.burst, filled)
            if count:
                self._arrive(count)

    def _given(self, times: Sequence[float]) -> Generator[simpy.Event, None, None]:
        for time in times:
            yield self._env.timeout(max(0.0, time + self._topology.notify_seconds - self._env.now))
            self._arrive(1)

    def _watch(self) -> Generator[simpy.Event, None, None]:
        """Look at everything once a second."""
        used: dict[str, list[float]] = {one.name: [] for one in self._limits}
        stopped = [one for one in self._faults if one.kind is OutageKind.STOP]
        throttled = [one for one in self._faults if one.kind is OutageKind.THROTTLE]
        while True:
            yield self._env.timeout(1)
            now = self._env.now
            self._count(now)
            self._attribute(now)
            for limit in self._limits:
                used[limit.name].append(limit.close(int(now) - 1))
                if len(used[limit.name]) == 60:
                    limit.grow(limit, sum(used[limit.name]) / 60)
                    used[limit.name].clear()
                limit.share = min(
                    (one.share for one in throttled if one.active(now) and _hits(one, limit)),
                    default=1.0,
                )
            self.source.stopped = any(one.active(now) for one in stopped)
            if not self.source.stopped and len(self.queue):
                self.source.wake()

    def _count(self, now: float) -> None:
        waiting = len(self.queue) + self.queue.blocked + self.queue.resting
        if self._entry is not self.queue:
            waiting += len(self._entry)
        self._most_waiting = max(self._most_waiting, waiting)
        self._system_seconds += self.held
        self._busy_seconds += self.instances.running
        age = max(self.queue.oldest(now), self._entry.oldest(now))
        self._oldest = max(self._oldest, age)

    @property
    def held(self) -> int:
        """Uploads that are on their way."""
        other = self._entry.held if self._entry is not self.queue else 0
        return self.queue.held + other

    def _attribute(self, now: float) -> None:
        """Say what the uploads that wait now wait for.

        A message that waits longer than it has to belongs to what held the queue up when the queue
        grew. While it shrinks, every cause loses its share.
        """
        if self._pipe is not None and self._pipe.busy >= int(self._pipe.pollers):
            self._waits.add(PIPE, len(self._entry), now)
        for limit in self._limits:
            inside = limit.waited - self._before.get(limit.name, 0.0)
            self._before[limit.name] = limit.waited
            self._waits.add(limit.name, inside, now)
        waiting = len(self.queue) + self.queue.blocked + self.queue.resting
        owed = sum(self._owed.values())
        if waiting > owed:
            cause = self._cause()
            self._owed[cause] = self._owed.get(cause, 0.0) + waiting - owed
        elif owed:
            for cause in self._owed:
                self._owed[cause] *= waiting / owed
        for cause, count in self._owed.items():
            self._waits.add(cause, count, now)

    def _cause(self) -> str:
        """The current cause of waiting."""
        if self.queue.full:
            return IN_FLIGHT
        if self.source.stopped:
            return STOPPED
        # More instances would only wait as well.
        fullest = max(self._limits, key=lambda one: one.recently, default=None)
        if fullest is not None and fullest.recently > HALF:
            return fullest.name
        if self.queue.resting > len(self.queue) + self.queue.blocked:
            return max(self.queue.causes, key=self.queue.causes.__getitem__)
        if len(self.instances):
            if self.instances.running < self.instances.most:
                return NEW
            return RESERVED if self._topology.reserved else ACCOUNT
        if self.queue.blocked > len(self.queue):
            return GROUPS
        return SOURCE if self.source.at_most else RAMP

    def _sample(self, every: float) -> Generator[simpy.Event, None, None]:
        offered = accepted = 0
        while True:
            yield self._env.timeout(every)
            now = self._env.now
            waiting = len(self.queue) + self.queue.blocked + self.queue.resting
            if self._entry is not self.queue:
                waiting += len(self._entry)
            self._samples.append(
                StackSample(
                    time=now,
                    arrived=(self._offered - offered) / every * self._weight,
                    finished=(self._accepted - accepted) / every * self._weight,
                    waiting=waiting * self._weight,
                    age=max(self.queue.oldest(now), self._entry.oldest(now)),
                    running=self.instances.running * self._weight,
                    pollers=int(self.source.pollers) * self._weight,
                )
            )
            offered, accepted = self._offered, self._accepted

    def run(self) -> Outcome:
        """Simulate until the load is over and the queues are empty, or for the longest time."""
        load = self._load
        expected = load.end + (load.spike_seconds if load.spike_seconds else 0)
        self._env.process(self._uploads() if self._times is None else self._given(self._times))
        self._env.process(self._watch())
        self._env.process(self._sample(max(1.0, expected / 300)))
        self._env.run(until=load.end)
        limit = load.end - load.after + load.drain_limit
        while load.spike_seconds and self._behind() and self._env.now < limit:
            self._env.run(until=min(limit, self._env.now + 60))
        return self._outcome()

    def _behind(self) -> bool:
        """Whether more waits than a steady load leaves at any moment."""
        steady = self._load.rate * (self._service.seconds * self._topology.batch + 5)
        return self.held > steady + 10

    def _outcome(self) -> Outcome:
        seconds, many = float(self._env.now), self._weight
        instances, (topology, load) = self.instances, self._whole
        for limit in self._limits:
            limit.units /= many
            limit.refused *= many
            limit.waited *= many
        for cause in self._waits.seconds:
            self._waits.seconds[cause] *= many
        notified = self._load.rate * topology.notify_seconds
        return Outcome(
            topology=topology,
            workload=load,
            service=self._service,
            seconds=seconds,
            offered=self._offered * many,
            rejected=self._rejected * many,
            accepted=self._accepted * many,
            dead=len(self.queue.dead) * many,
            left=self.held * many,
            latencies=self._latencies,
            last=self._last,
            in_system=(self._system_seconds / seconds + notified) * many,
            calls=instances.calls * many,
            cold=instances.cold * many,
            throttled=instances.throttled * many,
            billed_seconds=instances.seconds * many,
            busy=self._busy_seconds / seconds * many,
            peak_instances=instances.peak * many,
            oldest=self._oldest,
            most_waiting=self._most_waiting * many,
            waits=self._waits,
            limits=self._limits,
            samples=tuple(self._samples),
            jobs=self.jobs.figures() if self.jobs else None,
            weight=many,
        )


def _smaller(topology: Topology, weight: int) -> Topology:
    """A copy of a stack that handles one upload in ``weight``."""
    if weight == 1:
        return topology
    pipe = topology.pipe
    return replace(
        topology,
        source=_scaled(topology.source, weight),
        pipe=replace(pipe, scaling=_scaled(pipe.scaling, weight)) if pipe else None,
        instances=topology.instances / weight,
        requests_per_second=topology.requests_per_second / weight,
        burst=topology.burst / weight,
    )


def _scaled(scaling: SourceScaling, weight: int) -> SourceScaling:
    return SourceScaling(
        start=max(1.0, scaling.start / weight),
        ramp=scaling.ramp / weight,
        most=max(1.0, scaling.most / weight),
    )


def _slower(rules: Rules, weight: int) -> Rules:
    """The rules of such a copy."""
    return replace(
        rules,
        instances_per_second=rules.instances_per_second / weight,
        instances_at_once=max(1.0, rules.instances_at_once / weight),
        in_flight=rules.in_flight / weight,
        group_scan=rules.group_scan / weight,
    )


def _hits(fault: SimulatedFault, limit: RateLimit) -> bool:
    """Whether a throttle is on what a limit is of."""
    return limit.name == DELIVERY if fault.target == DELIVERY else limit.name != DELIVERY


def _lifted_scaling(scaling: SourceScaling, lifted: frozenset[str]) -> SourceScaling:
    most = 1e9 if SOURCE in lifted else scaling.most
    if RAMP in lifted or not scaling.ramp:
        return SourceScaling.fixed(int(most))
    return SourceScaling(start=scaling.start, ramp=scaling.ramp, most=most)


def _limits(
    topology: Topology, load: SimulatedLoad, rules: Rules, lifted: frozenset[str]
) -> Iterator[RateLimit]:
    """The rates that an upload needs something of."""
    table = topology.table
    if table is None:
        return
    steady = load.rate * topology.files
    # As many partitions as S3 has made for the steady load.
    partitions = 2 ** max(0, math.ceil(math.log2(max(steady / rules.prefix_writes, 1))))
    yield RateLimit(
        name=DELIVERY,
        units=topology.files,
        capacity=partitions * rules.prefix_writes,
        grow=rates.splitting(rules),
        lifted=DELIVERY in lifted,
    )
    units = load.rate * TABLE_UNITS
    if table.on_demand:
        warm = max(table.warm_writes, rules.warm_writes)
        # Twice the peak that the steady load has reached.
        warm = min(rules.table_writes, max(warm, rules.warm_growth * units))
        capacity, grow = warm, rates.on_demand(rules, warm)
    else:
        capacity = min(table.most_writes, max(table.least_writes, units / table.target))
        grow = rates.provisioned(rules, table.most_writes, table.target)
    yield RateLimit(
        name=CATALOG, units=TABLE_UNITS, capacity=capacity, grow=grow, lifted=CATALOG in lifted
    )
    yield RateLimit(
        name=STATUSES,
        units=1.0,
        capacity=STATUS_SHARDS * rules.partition_writes,
        lifted=STATUSES in lifted,
    )
    if load.largest_owner:
        yield RateLimit(
            name=OWNER,
            units=load.largest_owner,
            capacity=rules.partition_writes,
            lifted=OWNER in lifted,
        )
