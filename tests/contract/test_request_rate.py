"""Tokens for requests: no more than the quota in any second, from any number of processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.catalogs import everything_in, make_table
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.request_rate import LONGEST_WAIT, RequestRate
from worker.domain.errors import Throttled

OPERATION = "DetectModerationLabels"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        """Start at a whole second."""
        self.now = now

    def __call__(self) -> float:
        """Unix time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def table(clients: AwsClients, fresh: Callable[[str], str]) -> Iterator[str]:
    """An empty table."""
    name = fresh("catalog")
    make_table(clients.dynamodb, name)
    yield name
    clients.dynamodb.delete_table(TableName=name)


def rate(clients: AwsClients, table: str, clock: Clock, per_second: int = 3) -> RequestRate:
    """The tokens, as one process sees them."""
    return RequestRate(
        clients.dynamodb,
        table,
        per_second=per_second,
        clock=clock,
        sleep=clock.sleep,
        spread=lambda: 0.5,
    )


def test_a_second_has_so_many_tokens(clients: AwsClients, table: str) -> None:
    """A caller without a token waits for the next second, and no longer."""
    clock = Clock()
    tokens = rate(clients, table, clock)
    taken = []
    for _ in range(7):
        tokens.take(OPERATION)
        taken.append(int(clock.now))
    assert Counter(taken) == {1_000_000: 3, 1_000_001: 3, 1_000_002: 1}
    assert len(everything_in(clients.dynamodb, table)) == 1


def test_operations_have_tokens_of_their_own(clients: AwsClients, table: str) -> None:
    """Quotas of AWS are by operation."""
    clock = Clock()
    for operation in (OPERATION, "DetectLabels"):
        for _ in range(3):
            rate(clients, table, clock).take(operation)
    assert clock.now == 1_000_000


def test_processes_share_the_tokens(clients: AwsClients, table: str) -> None:
    """Many at once, in one second: exactly so many get one, the others would have to wait."""

    def wait(_: float) -> None:
        raise Throttled("has to wait")

    def process(_: int) -> bool:
        tokens = RequestRate(
            clients.dynamodb, table, per_second=5, clock=lambda: 1_000_000.0, sleep=wait
        )
        try:
            tokens.take(OPERATION)
        except Throttled:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(process, range(20))) == 5


def test_who_waits_too_long_is_throttled(clients: AwsClients, table: str) -> None:
    """Then the state machine waits: it costs nothing."""
    ahead = Clock(1_000_100.0)
    rate(clients, table, ahead, per_second=1).take(OPERATION)
    clock = Clock()
    with pytest.raises(Throttled, match="more than 1 requests a second"):
        rate(clients, table, clock, per_second=1).take(OPERATION)
    assert clock.now - 1_000_000 <= LONGEST_WAIT


def test_a_clock_that_is_behind_takes_no_more(clients: AwsClients, table: str) -> None:
    """It counts in the second of the clock that is ahead, and cannot turn that back."""
    ahead, behind = Clock(1_000_001.0), Clock()
    rate(clients, table, ahead).take(OPERATION)
    rate(clients, table, behind).take(OPERATION)
    rate(clients, table, ahead).take(OPERATION)
    assert (ahead.now, behind.now) == (1_000_001.0, 1_000_000.0)
    (item,) = everything_in(clients.dynamodb, table).values()
    assert (item["second"]["N"], item["used"]["N"]) == ("1000001", "3")
