"""The simulation: against formulas, by hand, and that it loses nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.errors import ParameterError
from worker.services import tuning_curve
from worker.simulation import findings, model, rules
from worker.simulation.functions import Done, SimulatedSource, SourceScaling
from worker.simulation.limits import RateLimit, on_demand, provisioned, splitting
from worker.simulation.model import Outcome, Simulation
from worker.simulation.queues import MessageQueue, QueuedUpload
from worker.simulation.topology import JobsShape, PipeShape, TableShape, Topology
from worker.simulation.workload import (
    OutageKind,
    ServiceTimes,
    SimulatedFault,
    SimulatedLoad,
    duration,
    read_faults,
)

RULES = rules.load()
DURATIONS = Path(__file__).parents[2] / "docs" / "durations.json"


class Exponential(ServiceTimes):
    """Service times without memory, as the formulas want them."""

    __slots__ = ()

    def draw(self, random: Random) -> float:
        """Seconds of one upload."""
        return random.expovariate(1 / self.seconds)


PLAIN = Topology(
    name="plain",
    region="eu-central-1",
    fifo=False,
    pipe=None,
    batch=1,
    window=0.0,
    source=SourceScaling.fixed(4),
    memory=1769,
    timeout=1e6,
    instances=1e6,
    maximum_receives=5,
    notify_seconds=0.0,
    queue_seconds=0.0,
)
"""A queue with four servers and nothing else."""


def simulated(
    topology: Topology, load: SimulatedLoad, service: ServiceTimes, **options: object
) -> Outcome:
    """What comes of a run."""
    return Simulation(topology, load, service, RULES, **options).run()  # type: ignore[arg-type]


def erlang_c(servers: int, offered: float) -> float:
    """Probability that a customer of M/M/c waits (Erlang, 1917).

    Args:
        offered: rate x service time, below ``servers``.
    """
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize(("servers", "use"), [(1, 0.5), (4, 0.8), (10, 0.75)])
def test_the_mean_wait_is_that_of_the_formula_of_erlang(servers: int, use: float) -> None:
    """M/M/c: the mean wait is C(c, a) x s / (c - a)."""
    seconds = 0.5
    offered = servers * use
    load = SimulatedLoad(rate=offered / seconds, seconds=40_000 / (offered / seconds), seed=3)
    topology = replace(PLAIN, source=SourceScaling.fixed(servers))
    found = simulated(topology, load, Exponential(seconds=seconds))
    expected = erlang_c(servers, offered) * seconds / (servers - offered)
    mean = sum(found.latencies) / len(found.latencies)
    assert mean - seconds == pytest.approx(expected, rel=0.12)


def test_the_mean_wait_of_equal_work_is_half_of_that_of_exponential_work() -> None:
    """M/D/1: rho x s / (2 x (1 - rho)) (Pollaczek and Khinchine)."""
    load = SimulatedLoad(rate=1.6, seconds=20_000, seed=5)
    found = simulated(
        replace(PLAIN, source=SourceScaling.fixed(1)), load, ServiceTimes(seconds=0.5)
    )
    mean = sum(found.latencies) / len(found.latencies)
    assert mean - 0.5 == pytest.approx(0.8 * 0.5 / (2 * 0.2), rel=0.1)


@pytest.mark.parametrize("weight", [1, 5])
def test_littles_law_holds(weight: int) -> None:
    """As many are in the system as come in a second times how long they stay."""
    load = SimulatedLoad(rate=40, seconds=900, seed=2)
    topology = replace(
        PLAIN,
        fifo=True,
        notify_seconds=1.0,
        source=SourceScaling.fixed(25),
        pipe=PipeShape(batch=10, scaling=SourceScaling.fixed(5), seconds=0.1),
    )
    found = simulated(topology, load, ServiceTimes(seconds=0.5, spread=0.3), weight=weight)
    mean = sum(found.latencies) / len(found.latencies)
    assert found.in_system == pytest.approx(found.accepted / found.seconds * mean, rel=0.03)


def backlog(scaling: SourceScaling, messages: int) -> tuple[simpy.Environment, SimulatedSource]:
    """An event source before a full queue; each batch takes 1,000 s."""
    env = simpy.Environment()
    queue = MessageQueue(env)
    for _ in range(messages):
        queue.send(QueuedUpload(0.0))
    source = SimulatedSource(env, queue, lambda _batch, _done: None, batch=1, scaling=scaling)
    source.wake()
    return env, source


@pytest.mark.parametrize(
    ("scaling", "after", "expected"),
    [
        # 5 + 300 a minute: AWS Lambda Developer Guide.
        (SourceScaling(start=5, ramp=300, most=1250), 0.5, 5),
        (SourceScaling(start=5, ramp=300, most=1250), 60.5, 305),
        (SourceScaling(start=5, ramp=300, most=1250), 120.5, 605),
        (SourceScaling(start=5, ramp=300, most=400), 120.5, 400),
        # Two provisioned pollers of ten, and 1,000 a minute.
        (SourceScaling(start=20, ramp=1000, most=20_000), 60.5, 1020),
    ],
)
def test_the_ramp_of_an_event_source_is_the_one_by_hand(
    scaling: SourceScaling, after: float, expected: int
) -> None:
    """While messages wait, so many invocations are made at the same time after so many seconds."""
    env, source = backlog(scaling, 3000)
    env.run(until=after)
    assert source.busy == pytest.approx(expected, abs=1)


def test_an_event_source_polls_less_when_nothing_waits() -> None:
    """After a minute without need only as many pollers are left as were busy."""
    env = simpy.Environment()
    queue = MessageQueue(env)
    scaling = SourceScaling(start=5, ramp=300, most=1250)
    source = SimulatedSource(env, queue, lambda _batch, done: done(), batch=1, scaling=scaling)
    source.pollers = 200
    env.run(until=130)
    assert source.pollers == 5


def test_a_window_collects_a_batch() -> None:
    """Messages wait for others until the batch is full, or the window of the first one is over."""
    env = simpy.Environment()
    queue = MessageQueue(env)
    batches: list[tuple[float, int]] = []

    def invoke(batch: list[QueuedUpload], done: Done) -> None:
        batches.append((env.now, len(batch)))
        done()

    source = SimulatedSource(
        env,
        queue,
        invoke,
        batch=3,
        window=5.0,
        scaling=SourceScaling.fixed(2),
    )
    queue.send(QueuedUpload(0.0))
    source.wake()
    env.run(until=6)
    for _ in range(3):
        queue.send(QueuedUpload(6.0))
    source.wake()
    assert batches == [(5.0, 1), (6.0, 3)]


def test_a_group_is_never_under_way_twice() -> None:
    """Later messages of a group wait and keep their order."""
    env = simpy.Environment()
    queue = MessageQueue(env, fifo=True)
    first, second, other = QueuedUpload(0, 7), QueuedUpload(1, 7), QueuedUpload(2, 8)
    for message in (first, second, other):
        queue.send(message)
    assert queue.receive(1) == [first]
    third = QueuedUpload(3, 7)
    queue.send(third)
    assert queue.receive(10) == [other]
    assert queue.blocked == 2
    queue.delete([first])
    assert queue.receive(10) == [second, third]


def test_a_failed_message_comes_back_before_those_of_its_group() -> None:
    """Others of the group wait as long as it does."""
    env = simpy.Environment()
    queue = MessageQueue(env, fifo=True)
    first, second = QueuedUpload(0, 7), QueuedUpload(1, 7)
    queue.send(first)
    queue.receive(1)
    queue.send(second)
    queue.put_back(first, 10, "errors")
    assert queue.receive(10) == []
    env.run(until=11)
    assert queue.receive(10) == [first, second]


def test_no_more_messages_are_under_way_than_sqs_allows() -> None:
    """At the limit nothing is received, also with messages that rest after a failure."""
    queue = MessageQueue(simpy.Environment(), most_in_flight=3)
    for _ in range(5):
        queue.send(QueuedUpload(0.0))
    taken = queue.receive(10)
    queue.put_back(taken[0], 100, "errors")
    assert len(taken) == 3
    assert queue.receive(10) == []
    queue.delete(taken[1:])
    assert len(queue.receive(10)) == 2


def test_a_rate_is_kept_in_every_second() -> None:
    """Ten uploads of 3 units at 9 a second take four seconds; a further one gives up."""
    limit = RateLimit(name="catalog", units=3, capacity=9)
    waits = [limit.reserve(0.5, 3) for _ in range(13)]
    assert waits == [0.0] * 3 + [0.5] * 3 + [1.5] * 3 + [2.5] * 3 + [None]
    assert limit.refused == 1
    assert [limit.close(second) for second in range(5)] == [9, 9, 9, 9, 0]
    assert limit.full_seconds == 4


def test_s3_splits_a_prefix_after_half_an_hour_near_its_limit() -> None:
    """A pause begins the half hour anew."""
    limit = RateLimit(name="delivery", units=5, capacity=3500, grow=splitting(RULES))
    for minute in range(29):
        limit.grow(limit, 3400 if minute != 10 else 100)
    assert limit.capacity == 3500
    for _ in range(12):
        limit.grow(limit, 3400)
    assert limit.capacity == 7000


def test_a_table_on_demand_takes_twice_its_earlier_peak() -> None:
    """The peak of the last half hour counts only later; capacity does not fall."""
    limit = RateLimit(name="catalog", units=3, capacity=4000, grow=on_demand(RULES, 4000))
    for _ in range(30):
        limit.grow(limit, 4000)
    assert limit.capacity == 4000
    limit.grow(limit, 100)
    assert limit.capacity == 8000
    for _ in range(60):
        limit.grow(limit, 0)
    assert limit.capacity == 8000


def test_provisioned_capacity_follows_after_two_minutes() -> None:
    """To what is used divided by the target, at most its bound."""
    limit = RateLimit(name="catalog", units=3, capacity=500, grow=provisioned(RULES, 1000, 0.7))
    limit.grow(limit, 490)
    assert limit.capacity == 500
    limit.grow(limit, 490)
    assert limit.capacity == pytest.approx(700)
    for _ in range(4):
        limit.grow(limit, 5000)
    assert limit.capacity == 1000


@settings(max_examples=25, deadline=None)
@given(
    rate=st.floats(1, 60),
    spike=st.floats(1, 12),
    batch=st.integers(1, 10),
    pollers=st.integers(1, 60),
    failures=st.floats(0, 0.9),
    shared=st.floats(0, 1),
    fifo=st.booleans(),
    writes=st.floats(30, 200),
    seed=st.integers(0, 2**31),
)
def test_every_upload_is_counted_exactly_once(
    *,
    rate: float,
    spike: float,
    batch: int,
    pollers: int,
    failures: float,
    shared: float,
    fifo: bool,
    writes: float,
    seed: int,
) -> None:
    """Accepted, dead, refused and in-flight uploads add up to all arrivals, under any faults."""
    topology = replace(
        PLAIN,
        fifo=fifo,
        batch=batch,
        timeout=30.0,
        source=SourceScaling(start=1, ramp=60, most=pollers),
        instances=40.0,
        pipe=PipeShape(batch=10, scaling=SourceScaling.fixed(3), seconds=0.2) if fifo else None,
        table=TableShape(on_demand=False, least_writes=writes, most_writes=writes),
        files=3.0,
        requests_per_second=300.0,
        burst=50.0,
        retry_seconds=2.0,
    )
    load = SimulatedLoad(
        rate=rate,
        seconds=20,
        spike=spike,
        spike_seconds=20,
        after=20,
        drain_limit=40,
        failures=failures,
        shared=shared,
        shared_keys=3,
        seed=seed,
    )
    found = simulated(topology, load, ServiceTimes(seconds=0.4, spread=0.3, init_seconds=0.5))
    assert found.offered == found.accepted + found.dead + found.rejected + found.left
    assert len(found.latencies) == found.accepted
    assert min(found.latencies, default=0.0) >= 0
    assert found.peak_instances <= min(40, pollers)


def test_the_same_seed_gives_the_same_run_and_another_one_does_not() -> None:
    """The result does not depend on the clock or on the order of sets."""
    load = SimulatedLoad(rate=30, seconds=60, failures=0.1, seed=11)
    runs = [simulated(PLAIN, one, ServiceTimes(seconds=0.1, spread=0.3)) for one in (load, load)]
    assert runs[0].latencies == runs[1].latencies
    assert runs[0].samples == runs[1].samples
    other = simulated(PLAIN, replace(load, seed=12), ServiceTimes(seconds=0.1, spread=0.3))
    assert other.latencies != runs[0].latencies


def test_a_smaller_copy_waits_as_long_as_the_whole() -> None:
    """One upload in ten, with a tenth of each limit, has the same backlog within 10 %."""
    load = SimulatedLoad(rate=40, seconds=60, spike=5, spike_seconds=240, after=60, seed=1)
    topology = replace(PLAIN, source=SourceScaling(start=5, ramp=300, most=50))
    whole, tenth = (
        simulated(topology, load, ServiceTimes(seconds=0.5), weight=weight) for weight in (1, 10)
    )
    assert tenth.oldest == pytest.approx(whole.oldest, rel=0.1)
    assert tenth.most_waiting == pytest.approx(whole.most_waiting, rel=0.1)
    assert tenth.offered == pytest.approx(whole.offered, rel=0.03)


def test_the_backlog_of_a_spike_is_the_one_by_hand() -> None:
    """100 a second for 300 s at 80 a second: 20 x 300 wait at the end, and the oldest 75 s."""
    load = SimulatedLoad(rate=10, seconds=30, spike=10, spike_seconds=300, after=60, seed=4)
    topology = replace(PLAIN, source=SourceScaling.fixed(40))
    found = simulated(topology, load, ServiceTimes(seconds=0.5))
    assert found.most_waiting == pytest.approx(6000, rel=0.05)
    assert found.oldest == pytest.approx(6000 / 80, rel=0.05)
    (first, *_) = findings.causes(found)
    assert first.cause == model.SOURCE
    assert first.setting == "intake.maximumConcurrency"
    assert first.per_second == pytest.approx(80)
    assert "70 for 100 uploads a second" in first.advice


def test_each_limit_is_found_and_what_comes_after_it() -> None:
    """With the first bottleneck away, the next one of the chain is named."""
    load = SimulatedLoad(rate=10, seconds=30, spike=10, spike_seconds=120, after=60, seed=4)
    topology = replace(
        PLAIN,
        source=SourceScaling.fixed(25),
        table=TableShape(on_demand=False, least_writes=210, most_writes=210),
        files=1.0,
    )
    found = simulated(topology, load, ServiceTimes(seconds=0.5))
    steps = list(findings.chain(found, RULES, steps=3))
    assert [one.bottleneck.cause for one in steps] == [model.SOURCE, model.CATALOG]
    assert steps[1].bottleneck.setting == "catalog.maximumWrites"
    assert steps[1].bottleneck.per_second == pytest.approx(70)


def test_nothing_is_a_bottleneck_where_nothing_waits() -> None:
    """A stack with room is said to have none."""
    found = simulated(PLAIN, SimulatedLoad(rate=2, seconds=60), ServiceTimes(seconds=0.1))
    assert findings.causes(found) == ()


def test_the_api_refuses_what_is_over_its_rate() -> None:
    """30 a second against 10, after a burst of 20."""
    topology = replace(PLAIN, requests_per_second=10, burst=20)
    found = simulated(topology, SimulatedLoad(rate=30, seconds=100), ServiceTimes(seconds=0.01))
    assert found.accepted + found.left == pytest.approx(1020, abs=5)
    assert found.rejected == found.offered - found.accepted - found.left


def test_a_failed_try_ends_as_a_dead_letter_after_its_last_receive() -> None:
    """With every try failing, all uploads are dead after five receives."""
    fault = SimulatedFault(kind=OutageKind.ERRORS, at=0, seconds=1e6)
    load = SimulatedLoad(rate=1, seconds=120)
    found = simulated(
        replace(PLAIN, retry_seconds=1), load, ServiceTimes(seconds=0.01), faults=[fault]
    )
    assert found.accepted == 0
    # 1 + 2 + 4 + 8 s of waits.
    assert found.dead == pytest.approx(found.offered * 105 / 120, rel=0.15)
    assert found.dead + found.left == found.offered


def test_a_stopped_event_source_takes_up_its_work_again() -> None:
    """Uploads wait for the fault, and are done after it."""
    fault = SimulatedFault(kind=OutageKind.STOP, at=20, seconds=60)
    found = simulated(
        PLAIN, SimulatedLoad(rate=5, seconds=200), ServiceTimes(seconds=0.1), faults=[fault]
    )
    assert found.oldest == pytest.approx(60, abs=3)
    assert found.left <= 2
    assert findings.causes(found)[0].cause == model.STOPPED


JOBS = JobsShape(spot_vcpus=64, steady_vcpus=0, overflow_vcpus=32, vcpus=8, attempts=3)


def test_jobs_wait_for_their_machine_and_use_spot_first() -> None:
    """A first job waits for the start of a machine; on demand nothing is started."""
    load = SimulatedLoad(rate=1, seconds=7200, videos=1 / 60, video_seconds=60, seed=1)
    jobs = simulated(replace(PLAIN, jobs=JOBS), load, ServiceTimes(seconds=0.1)).jobs
    assert jobs is not None
    assert jobs.wait_longest == pytest.approx(RULES.machine_seconds + 10, abs=60)
    assert jobs.overflow_vcpus == 0
    assert jobs.asked == jobs.done + jobs.failed + jobs.left
    assert jobs.left < 8


def test_reclaimed_jobs_begin_again_and_fail_only_after_their_attempts() -> None:
    """Every Spot machine is taken three times; no Spot machine can be had for a while."""
    faults = [SimulatedFault(kind=OutageKind.RECLAIM, at=at) for at in (600, 1200, 1800)]
    faults.append(SimulatedFault(kind=OutageKind.NO_SPOT, at=1800, seconds=600))
    load = SimulatedLoad(rate=1, seconds=3600, videos=1 / 20, video_seconds=120, seed=1)
    jobs = simulated(replace(PLAIN, jobs=JOBS), load, ServiceTimes(seconds=0.1), faults=faults).jobs
    assert jobs is not None
    assert jobs.reclaimed > 3
    assert jobs.overflow_vcpus == 32
    assert jobs.asked == jobs.done + jobs.failed + jobs.left


def test_the_spread_of_measured_durations_gives_back_their_slowest() -> None:
    """The mean largest of 36 draws is the slowest that was measured, within 10 %."""
    point = tuning_curve.read(DURATIONS).at(1769)
    service = ServiceTimes.of_curve(tuning_curve.read(DURATIONS), 1769)
    random = Random(1)
    slowest = [max(service.draw(random) for _ in range(point.uploads)) for _ in range(300)]
    assert sum(slowest) / 300 == pytest.approx(point.longest, rel=0.1)
    draws = [service.draw(random) for _ in range(20_000)]
    assert sum(draws) / len(draws) == pytest.approx(point.seconds, rel=0.02)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("2h", 7200), ("90", 90), ("1.5 d", 129_600)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """A number with a unit; without one it is seconds."""
    assert duration(text) == seconds


def test_a_file_of_faults_is_read_and_every_mistake_in_it_is_named(tmp_path: Path) -> None:
    """Kinds, times and shares; a wrong file says all that is wrong with it."""
    good = tmp_path / "faults.toml"
    good.write_text(
        '[[fault]]\nkind = "throttle"\ntarget = "catalog"\nat = "10m"\nfor = "5m"\nshare = 0.2\n'
    )
    (fault,) = read_faults(good)
    assert (fault.kind, fault.at, fault.seconds, fault.share) == (
        OutageKind.THROTTLE,
        600,
        300,
        0.2,
    )
    bad = tmp_path / "bad.toml"
    bad.write_text('[[fault]]\nkind = "quake"\nat = "soon"\nshare = 2\nsize = 1\n')
    with pytest.raises(ParameterError) as caught:
        read_faults(bad)
    assert {one.path for one in caught.value.problems} == {
        "fault 1.kind",
        "fault 1.at",
        "fault 1.share",
        "fault 1.size",
    }


def test_every_rule_has_a_source_and_is_used() -> None:
    """The file and the fields of ``Rules`` are the same names."""
    listed = rules.listed()
    assert {one.name for one in listed} == {*RULES.__slots__}
    assert all(one.source and one.of and one.kind in rules.KINDS for one in listed)
