"""Counters of work: the tests' fake, then the table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.catalogs import everything_in, make_table, refusal, watching
from tests.unit.memory_ledger import WORK, MemoryLedger, counted
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.ledger import DynamoLedger
from worker.domain.errors import Throttled, Unreachable
from worker.domain.ledger import CountedWork, LedgerAccount, Trip
from worker.ports import Ledger

DAY = "2026-11-30"
TRIP = Trip(day=DAY, time=f"{DAY}T12:00:00.000000Z", usd=101.5, limit=100.0)


@pytest.fixture
def table(clients: AwsClients, fresh: Callable[[str], str]) -> Iterator[str]:
    """An empty table."""
    name = fresh("catalog")
    make_table(clients.dynamodb, name)
    yield name
    clients.dynamodb.delete_table(TableName=name)


@pytest.fixture(params=["fake", "dynamodb"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """An empty ledger."""
    if request.param == "fake":
        return MemoryLedger()
    clients: AwsClients = request.getfixturevalue("clients")
    return DynamoLedger(clients.dynamodb, request.getfixturevalue("table"), sleep=lambda _: None)


def total(
    ledger: Ledger, account: LedgerAccount = LedgerAccount.ALL, name: str | None = None
) -> int:
    """Uploads of the day."""
    return sum(line.work.objects for line in ledger.lines(DAY, account, name))


def test_work_is_in_a_line_of_every_account(ledger: Ledger) -> None:
    """Of its owner, of its recipe and of all; what is new is told by day."""
    new = ledger.add("shard", [counted(1), counted(2, owner="ben"), counted(3, recipe="avatar")])

    assert new == {DAY: WORK + WORK + WORK}
    owners = {line.name: line.work for line in ledger.lines(DAY, LedgerAccount.OWNER)}
    assert owners == {"anna": WORK + WORK, "ben": WORK}
    recipes = {line.name: line.work for line in ledger.lines(DAY, LedgerAccount.RECIPE)}
    assert recipes == {"avatar": WORK, "default": WORK + WORK}
    (whole,) = ledger.lines(DAY, LedgerAccount.ALL)
    assert (whole.name, whole.work) == ("", WORK + WORK + WORK)
    assert whole.counted_to == counted(1).time


def test_every_amount_is_kept_as_it_is(ledger: Ledger) -> None:
    """Whole numbers stay whole at any size, and hours keep their fractions."""
    work = CountedWork(
        objects=3, bytes=10**15, files=18, stored=2 * 10**15, heavy=1, job_hours=0.125, questions=9
    )
    ledger.add("shard", [counted(1, work=work), counted(2, work=work)])

    (line,) = ledger.lines(DAY, LedgerAccount.OWNER, "anna")
    assert line.work == work + work


@pytest.mark.parametrize("again", [(1, 2, 3, 4), (3, 4), (1, 2), (2, 3, 4, 5, 6)])
def test_what_comes_again_is_counted_once(ledger: Ledger, again: tuple[int, ...]) -> None:
    """The same batch, a half, or one that is cut otherwise: the sum has each change once."""
    ledger.add("shard", [counted(number) for number in (1, 2, 3, 4)])

    new = ledger.add("shard", [counted(number) for number in again])

    expected = len({1, 2, 3, 4, *again})
    assert total(ledger) == total(ledger, LedgerAccount.OWNER) == expected
    assert sum(work.objects for work in new.values()) == expected - 4


def test_a_batch_that_was_written_in_part_is_completed(ledger: Ledger) -> None:
    """A crash between two lines: the next try adds what is missing, and nothing twice."""
    ledger.add("shard", [counted(1, owner="anna")])

    ledger.add("shard", [counted(1, owner="anna"), counted(2, owner="ben")])

    assert total(ledger) == 2
    assert {line.name: line.work for line in ledger.lines(DAY, LedgerAccount.OWNER)} == {
        "anna": WORK,
        "ben": WORK,
    }


def test_shards_count_beside_each_other(ledger: Ledger) -> None:
    """Their positions have no common order: a low one of one shard is not an old one of another."""
    ledger.add("one", [counted(1_000)])
    ledger.add("other", [counted(1), counted(2)])

    assert total(ledger) == total(ledger, LedgerAccount.RECIPE, "default") == 3


def test_days_are_apart(ledger: Ledger) -> None:
    """A change of yesterday that comes after midnight is yesterday's."""
    late = counted(2, time="2026-11-29T23:59:59.999999Z")

    new = ledger.add("shard", [counted(1), late, counted(3)])

    assert {day: work.objects for day, work in new.items()} == {DAY: 2, "2026-11-29": 1}
    assert total(ledger) == 2
    assert not ledger.lines("2026-10-30", LedgerAccount.ALL)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a#b",
        "anna#" + "0" * 24,
        "LEDGER#2026-11-30",
        "../../etc",
        "'; DROP TABLE",
        "\x00\x1b[31m",
        "ü" * 3_000,
        "\u202eanna",
        "anna\U0010ffff",
    ],
)
def test_a_hostile_name_is_a_name(ledger: Ledger, name: str) -> None:
    """It is in no other's line, no other is in its own, and it comes back as it was."""
    ledger.add("shard", [counted(1), counted(2, owner=name), counted(3, owner="b")])

    assert (
        total(ledger, LedgerAccount.OWNER, name) == total(ledger, LedgerAccount.OWNER, "anna") == 1
    )
    assert {line.name for line in ledger.lines(DAY, LedgerAccount.OWNER)} == {"anna", "b", name}


@pytest.mark.parametrize("nobody", [(), (2, 5)], ids=["alone", "beside nobody"])
def test_an_owner_is_forgotten_and_no_sum_changes(ledger: Ledger, nobody: tuple[int, ...]) -> None:
    """The work is nobody's from then on; what is added later is counted as ever."""
    first = [counted(1), *(counted(number, owner="") for number in nobody), counted(6, owner="ben")]
    ledger.add("one", first)
    ledger.add("other", [counted(1), counted(2, time="2026-11-29T10:00:00Z")])
    before = {account: total(ledger, account) for account in LedgerAccount}

    assert ledger.forget("anna", [DAY]) > 0
    assert ledger.forget("anna", [DAY]) == 0

    assert {account: total(ledger, account) for account in LedgerAccount} == before
    owners = {line.name: line.work.objects for line in ledger.lines(DAY, LedgerAccount.OWNER)}
    assert owners == {"": 2 + len(nobody), "ben": 1}
    assert [line.name for line in ledger.lines("2026-11-29", LedgerAccount.OWNER)] == ["anna"]
    ledger.add("one", [*first[1:], counted(7, owner=""), counted(8)])
    owners = {line.name: line.work.objects for line in ledger.lines(DAY, LedgerAccount.OWNER)}
    assert owners == {"": 3 + len(nobody), "anna": 1, "ben": 1}


def test_nobody_cannot_be_forgotten(ledger: Ledger) -> None:
    """Nor a name that has no line; nothing changes."""
    ledger.add("shard", [counted(1, owner="")])
    assert ledger.forget("", [DAY]) == ledger.forget("anna", [DAY]) == 0
    assert total(ledger, LedgerAccount.OWNER, "") == 1


def test_a_limit_is_passed_once_a_day(ledger: Ledger) -> None:
    """The first one to find it says so; the next day has a trip of its own."""
    assert ledger.tripped() is None
    assert ledger.trip(TRIP)
    assert not ledger.trip(replace(TRIP, usd=150.0))
    assert ledger.tripped() == TRIP

    tomorrow = replace(TRIP, day="2026-12-01", time="2026-12-01T23:00:00.000000Z")
    assert ledger.trip(tomorrow)
    assert ledger.tripped() == tomorrow
    assert not ledger.trip(TRIP), "a late batch of yesterday"


def test_a_person_lets_work_go_on(ledger: Ledger) -> None:
    """For the day of the trip: again is harmless, another day is refused, a new trip is not."""
    assert ledger.resume(DAY, time="now") is None
    ledger.trip(TRIP)
    assert ledger.resume("2026-12-01", time="now") is None
    assert ledger.resume(DAY, time="then") == replace(TRIP, resumed="then")
    assert ledger.resume(DAY, time="later") == replace(TRIP, resumed="then")

    tomorrow = replace(TRIP, day="2026-12-01")
    ledger.trip(tomorrow)
    assert ledger.tripped() == tomorrow


# --- the table alone ----------------------------------------------------------------------------


def test_two_at_once_on_one_shard_count_once(clients: AwsClients, table: str) -> None:
    """Two calls of the function with the same changes: each is in the sum once."""
    batch = [counted(number, owner=f"owner {number % 7}") for number in range(1, 40)]
    with ThreadPoolExecutor(4) as pool:
        tries = [
            pool.submit(DynamoLedger(clients.dynamodb, table).add, "shard", batch) for _ in range(4)
        ]
        new = [one.result() for one in tries]

    ledger = DynamoLedger(clients.dynamodb, table)
    assert total(ledger) == total(ledger, LedgerAccount.OWNER) == len(batch)
    assert sum(work.objects for one in new for work in one.values()) == len(batch)


def test_nothing_is_left_of_a_name(clients: AwsClients, table: str) -> None:
    """Neither the name nor its hash, whose name could be guessed; nobody's line expires, too."""
    ledger = DynamoLedger(clients.dynamodb, table)
    ledger.add("shard", [counted(1, owner="geheim")])
    digest = hashlib.sha256(b"geheim").hexdigest()[:24]
    assert digest in repr(everything_in(clients.dynamodb, table))

    assert ledger.forget("geheim", [DAY]) == 1

    left = everything_in(clients.dynamodb, table)
    assert "geheim" not in repr(left)
    assert digest not in repr(left)
    assert all("expires" in item for item in left.values())


def test_work_that_is_added_while_an_owner_is_forgotten_is_not_lost(
    clients: AwsClients, table: str
) -> None:
    """Each piece is in the sum of all owners once, whoever was first."""
    ledger = DynamoLedger(clients.dynamodb, table)

    def work(shard: int) -> None:
        for number in range(1, 11):  # in order, as a stream has them
            ledger.add(f"shard {shard}", [counted(number)])

    with ThreadPoolExecutor(4) as pool:
        tasks: list[Any] = [pool.submit(work, shard) for shard in range(3)]
        tasks += [pool.submit(ledger.forget, "anna", [DAY]) for _ in range(8)]
        for one in tasks:
            one.result()

    assert total(ledger) == 30
    counts = {line.name: line.work.objects for line in ledger.lines(DAY, LedgerAccount.OWNER)}
    assert sum(counts.values()) == total(ledger)
    ledger.forget("anna", [DAY])
    assert total(ledger, LedgerAccount.OWNER, "") == total(ledger)


def test_lines_expire(clients: AwsClients, table: str) -> None:
    """By the table's time to live, those of owners sooner; keys have no names."""
    DynamoLedger(clients.dynamodb, table).add("shardId-1", [counted(1, owner="geheim")])

    items = everything_in(clients.dynamodb, table)
    begin = 1_795_996_800  # 2026-11-30
    days = {at[1].partition("#")[0]: item["expires"]["N"] for at, item in items.items()}
    assert {name: (int(end) - begin) // 86_400 for name, end in days.items()} == {
        "ALL": 400,
        "RECIPE": 400,
        "OWNER": 62,
    }
    assert not any("geheim" in item["PK"]["S"] + item["SK"]["S"] for item in items.values())


@pytest.mark.parametrize(
    "method",
    [
        lambda ledger: ledger.add("shard", [counted(1)]),
        lambda ledger: ledger.lines(DAY, LedgerAccount.OWNER),
        lambda ledger: ledger.forget("anna", [DAY]),
        lambda ledger: ledger.trip(TRIP),
        lambda ledger: ledger.tripped(),
        lambda ledger: ledger.resume(DAY, time="now"),
    ],
)
@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ProvisionedThroughputExceededException", 400, Throttled),
        ("InternalServerError", 500, Unreachable),
    ],
)
def test_a_table_that_refuses_is_tried_again(
    clients: AwsClients, method: Callable[[Ledger], Any], code: str, status: int, error: type
) -> None:
    """Each method raises an error that may be retried."""
    with (
        watching(clients.dynamodb, lambda _name, _number: refusal(code, status)),
        pytest.raises(error),
    ):
        method(DynamoLedger(clients.dynamodb, "any", sleep=lambda _: None))


def test_a_write_whose_answer_was_lost_is_told_as_new(clients: AwsClients) -> None:
    """botocore sends it again, and the condition fails on what the first try has written."""
    there = {"position": {"S": counted(1).position}}
    sent_twice = {"HTTPStatusCode": 400, "RetryAttempts": 1}
    told = refusal("ConditionalCheckFailedException", Item=there, ResponseMetadata=sent_twice)
    ledger = DynamoLedger(clients.dynamodb, "any", sleep=lambda _: None)

    with watching(clients.dynamodb, lambda _name, _number: told) as calls:
        assert ledger.add("shard", [counted(1)]) == {DAY: WORK}
    assert calls.names == ["UpdateItem"] * 3


def test_a_batch_costs_a_write_for_each_line(clients: AwsClients, table: str) -> None:
    """A thousand uploads of one owner are three writes of one unit; each further owner is one."""
    ledger = DynamoLedger(clients.dynamodb, table)
    with watching(clients.dynamodb) as calls:
        ledger.add("shard", [counted(number) for number in range(1, 1_001)])
        assert calls.names == ["UpdateItem"] * 3
        ledger.add("shard", [counted(2_000 + each, owner=f"{each}") for each in range(10)])
    assert calls.names == ["UpdateItem"] * (3 + 12)
    largest = max(len(repr(item)) for item in everything_in(clients.dynamodb, table).values())
    assert largest < 1_000
