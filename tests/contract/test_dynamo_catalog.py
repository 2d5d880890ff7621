"""The catalog on DynamoDB: calls counted, every interleaving, a death at every step."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from tests.contract.catalogs import (
    Killed,
    Turns,
    at,
    bare,
    entry,
    everything_in,
    item_size,
    make_table,
    metadata,
    record,
    watching,
    write_units,
)
from tests.contract.test_reviews import question
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.domain.asset import AssetRecord, LogEntry, PendingUpload, Status, UploadMethod
from worker.domain.errors import AlreadyRecorded, SafelightError, Superseded
from worker.domain.review import ReviewState
from worker.local.emulator import Emulator

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[DynamoDBClient]:
    """A client that no other module's tests use: its events are listened to."""
    clients = AwsClients(emulator.environment)
    yield clients.dynamodb
    clients.close()


@pytest.fixture
def table(client: DynamoDBClient, fresh: Callable[[str], str]) -> Iterator[str]:
    """An empty table."""
    name = fresh("catalog")
    make_table(client, name)
    yield name
    client.delete_table(TableName=name)


@pytest.fixture
def catalog(client: DynamoDBClient, table: str) -> DynamoCatalog:
    """A catalog on it that never sleeps."""
    return DynamoCatalog(client, table, sleep=lambda _: None)


def put(catalog: DynamoCatalog, one: AssetRecord, *, new: bool = False) -> str:
    """What a commit leads to: ``recorded`` or the error's code."""
    try:
        catalog.commit(one, entry(one), new=new)
    except SafelightError as error:
        return error.code
    return "recorded"


# --- what a call costs ------------------------------------------------------------------------


def test_the_happy_path_is_one_read_and_two_writes(
    client: DynamoDBClient, catalog: DynamoCatalog
) -> None:
    """A first outcome writes SIMILAR and then META, and nothing else."""
    with watching(client) as calls:
        put(catalog, record(1))

    assert calls.names == ["GetItem", "PutItem", "PutItem"]
    assert [one["Item"]["SK"]["S"] for one in calls.parameters[1:]] == ["SIMILAR", "META"]


def test_a_new_asset_costs_no_read(client: DynamoDBClient, catalog: DynamoCatalog) -> None:
    """A caller that has just read that there is no record saves a second read."""
    with watching(client) as calls:
        assert put(catalog, record(1), new=True) == "recorded"

    assert calls.names == ["PutItem", "PutItem"]


@pytest.mark.parametrize(
    ("known", "outcome", "ends"),
    [
        (record(1, 1), record(1, 2), "recorded"),
        (record(1, 1), bare(1, 2), "recorded"),
        (record(1, tags=frozenset("ab")), record(1, 2, tags=frozenset("bc")), "recorded"),
        (record(1, status=Status.PROCESSING), record(1), "recorded"),
        (record(1), record(1), "already_recorded"),
        (record(1, 2), record(1, 1), "superseded"),
    ],
)
def test_who_takes_an_asset_for_new_decides_nothing(
    client: DynamoDBClient,
    table: str,
    catalog: DynamoCatalog,
    *,
    known: AssetRecord,
    outcome: AssetRecord,
    ends: str,
) -> None:
    """A record that came in between is found, and all ends as if it had been read first."""
    put(catalog, known)
    assert put(catalog, outcome) == ends
    usual = everything_in(client, table)
    catalog.delete(known.asset)
    put(catalog, known)

    assert put(catalog, outcome, new=True) == ends

    assert everything_in(client, table) == usual


@pytest.mark.parametrize(
    ("known", "new", "writes"),
    [
        (None, record(1), 2),
        (None, bare(1), 1),
        (None, record(1, tags=frozenset("ab")), 4),
        (record(1, 1), record(1, 2), 3),
        (record(1, 1), bare(1, 2), 3),
        (bare(1, 1), bare(1, 2), 2),
        (record(1, status=Status.PROCESSING), record(1), 2),
        (record(1), record(1, recipe_digest="f" * 64), 2),
        (record(1), record(1), 0),
        (record(1, 2), record(1, 1), 0),
    ],
)
def test_no_outcome_takes_more_than_three_writes(
    client: DynamoDBClient,
    catalog: DynamoCatalog,
    known: AssetRecord | None,
    new: AssetRecord,
    writes: int,
) -> None:
    """Writes are counted call by call; a tag that comes with a first record is one more."""
    if known is not None:
        put(catalog, known)

    with watching(client) as calls:
        put(catalog, new)

    assert (calls.writes, calls.names.count("GetItem")) == (writes, 1)
    assert len(calls.names) == writes + 1


def test_the_documented_sizes_and_units_are_the_measured_ones(
    client: DynamoDBClient, table: str, catalog: DynamoCatalog
) -> None:
    """docs/catalog.md says what the items of a phone's photo with six renditions really take."""
    one, tagged = record(1), bare(2, tags=frozenset({"summer"}))
    put(catalog, one)
    put(catalog, tagged)
    catalog.log(one.asset, replace(entry(one), time=at(0)))
    measured = {
        re.sub("#.*", "", sort): (item_size(item), write_units(item))
        for (partition, sort), item in everything_in(client, table).items()
        if partition.endswith(one.asset) or sort.startswith("TAG#")
    }

    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) B \| .* \| (\d+) \|$", PAGE.read_text(), re.M)

    documented = {name: (int(size.replace(",", "")), int(units)) for name, size, units in rows}
    assert documented == measured


def test_a_page_of_a_sharded_list_is_one_query_a_shard_and_one_batch(
    client: DynamoDBClient, catalog: DynamoCatalog
) -> None:
    """Reads of a list do not depend on how long it is."""
    for number in range(60):
        put(catalog, bare(number))

    with watching(client) as calls:
        catalog.by_status(Status.REJECTED, limit=20)

    assert calls.names.count("BatchGetItem") == 1
    assert 8 <= calls.names.count("Query") <= 12


def test_a_page_of_reviews_is_one_query_and_one_batch(
    client: DynamoDBClient, catalog: DynamoCatalog
) -> None:
    """As many as the API shows, with their records; the review behind the page is not read."""
    for number in range(51):
        put(catalog, record(number))
        catalog.open_review(question(number))

    with watching(client) as calls:
        first = catalog.reviews(ReviewState.OPEN, limit=50)

    assert calls.names == ["Query", "BatchGetItem"]
    assert (len(first.reviews), len(first.records)) == (50, 50)
    rest = catalog.reviews(ReviewState.OPEN, limit=50, cursor=first.cursor)
    assert (len(rest.reviews), rest.cursor) == (1, None)


# --- exactly one effect -----------------------------------------------------------------------


def test_duplicates_change_no_byte(
    client: DynamoDBClient, table: str, catalog: DynamoCatalog
) -> None:
    """The same outcome again, later, and an older one leave every item as it is."""
    put(catalog, record(1, 1))
    put(catalog, record(1, 2))
    before = everything_in(client, table)

    again = [record(1, 2), record(1, 2, updated_at=at(50)), record(1, 1), bare(1, 2)]
    assert [put(catalog, one) for one in again] == [
        *("already_recorded", "already_recorded", "superseded", "already_recorded")
    ]

    assert everything_in(client, table) == before


A_CALLS, B_CALLS = 4, 4
INTERLEAVINGS = [
    "".join("a" if place in places else "b" for place in range(A_CALLS + B_CALLS))
    for places in combinations(range(A_CALLS + B_CALLS), A_CALLS)
]


def run_interleaved(
    client: DynamoDBClient, order: str, calls: dict[str, Callable[[], object]]
) -> dict[str, object]:
    """Run two workers whose requests happen in exactly this order; results or errors by name."""
    turns = Turns(order)
    results: dict[str, object] = {}

    def run(name: str) -> None:
        try:
            results[name] = calls[name]()
        except SafelightError as error:
            results[name] = error
        finally:
            turns.leave()

    with watching(client, turns.wait, turns.done):
        threads = [threading.Thread(target=run, args=(name,), name=name) for name in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return results


def test_every_interleaving_of_two_uploads_ends_with_the_newer(
    client: DynamoDBClient, table: str, catalog: DynamoCatalog
) -> None:
    """All 70 orders of four requests each, on an asset that has an older upload already."""
    for number, order in enumerate(INTERLEAVINGS):
        first, old, new = (record(number, turn) for turn in (1, 2, 3))
        put(catalog, first)

        results = run_interleaved(
            client,
            order,
            {
                "a": lambda old=old: catalog.commit(old, entry(old)),  # type: ignore[misc]
                "b": lambda new=new: catalog.commit(new, entry(new)),  # type: ignore[misc]
            },
        )

        assert isinstance(results["a"], AssetRecord | Superseded), order
        assert catalog.get(new.asset) == results["b"], order
        assert [near.record for near in catalog.similar(_hash(new), distance=0)] == [results["b"]]
        lines = [line.id for line in catalog.timeline(new.asset)]
        assert lines[0] == new.version, order
        assert lines[-1] == first.version, order
        assert (old.version in lines) == isinstance(results["a"], AssetRecord), order
    left = {sort for _, sort in everything_in(client, table) if not sort.startswith("LOG#")}
    assert left == {"META", "SIMILAR"}


@pytest.mark.parametrize(("new", "requests"), [(False, 3), (True, 2)])
def test_every_interleaving_of_one_upload_is_recorded_once(
    client: DynamoDBClient, catalog: DynamoCatalog, *, new: bool, requests: int
) -> None:
    """Two workers on one first upload: one records it, the other is told so."""
    for number, places in enumerate(combinations(range(2 * requests), requests)):
        order = "".join("a" if place in places else "b" for place in range(2 * requests))
        one = record(number)
        other = replace(one, updated_at=at(9))

        results = run_interleaved(
            client,
            order,
            {
                "a": lambda one=one: catalog.commit(one, entry(one), new=new),  # type: ignore[misc]
                "b": lambda other=other: catalog.commit(  # type: ignore[misc]
                    other, entry(other), new=new
                ),
            },
        )

        kinds = sorted(type(result).__name__ for result in results.values())
        assert kinds == [AlreadyRecorded.__name__, AssetRecord.__name__], order
        assert catalog.get(one.asset) in results.values()
        assert len(catalog.timeline(one.asset)) == 1


def _hash(one: AssetRecord) -> str:
    assert one.metadata is not None
    return one.metadata.measures.phash


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_retry_completes_what_a_death_cut_short(
    client: DynamoDBClient, table: str, catalog: DynamoCatalog, step: int, *, answered: bool
) -> None:
    """Dead before or after any request, a second try leaves what one whole run leaves."""
    known, new = record(1, 1), record(1, 2)
    put(catalog, known)
    put(catalog, new)
    whole = everything_in(client, table)
    catalog.delete(new.asset)
    put(catalog, known)

    def die(_: str, number: int) -> None:
        if number == step:
            raise Killed

    with (
        watching(client, None if answered else die, die if answered else None) as calls,
        pytest.raises(Killed),
    ):
        catalog.commit(new, entry(new))
    assert len(calls.names) == step
    between = catalog.get(new.asset)
    assert between is not None
    done = step == 4 and answered
    assert between.version == (new if done else known).version
    assert len(catalog.timeline(new.asset)) == 1 + done

    assert put(catalog, new) == ("already_recorded" if done else "recorded")
    assert everything_in(client, table) == whole


def test_a_commit_whose_answer_is_lost_is_no_duplicate_of_itself(
    client: DynamoDBClient, catalog: DynamoCatalog
) -> None:
    """The write arrived, its answer did not, botocore sends it again: the commit succeeded."""
    wire = URLLib3Session()
    lost: list[str] = []

    def lose(request: Any, **_: Any) -> None:
        if not lost and b'"META"' in request.body:
            lost.append(request.url)
            wire.send(request)
            raise ConnectionClosedError(endpoint_url=request.url)

    client.meta.events.register("before-send.dynamodb.PutItem", lose)
    try:
        committed = catalog.commit(record(1), entry(record(1)))
    finally:
        client.meta.events.unregister("before-send.dynamodb.PutItem", lose)
        wire.close()

    assert len(lost) == 1
    assert catalog.get(committed.asset) == committed
    assert committed.revision == 1


# --- small print ------------------------------------------------------------------------------


def test_the_record_is_deleted_last(client: DynamoDBClient, catalog: DynamoCatalog) -> None:
    """A delete that is cut short leaves an asset that is still seen, and can be deleted again."""
    one = record(1, tags=frozenset("ab"))
    put(catalog, one)
    for second in range(30):
        catalog.log(one.asset, LogEntry(time=at(second), kind="seen"))

    def die(name: str, number: int) -> None:
        if (name, number) == ("BatchWriteItem", 3):
            raise Killed

    with watching(client, die), pytest.raises(Killed):
        catalog.delete(one.asset)
    assert catalog.get(one.asset) is not None

    catalog.delete(one.asset)
    assert (catalog.get(one.asset), catalog.timeline(one.asset)) == (None, [])


def test_lines_of_the_timeline_expire_if_asked_to(client: DynamoDBClient, table: str) -> None:
    """With a number of days each line has a time to live; the record has none."""
    catalog = DynamoCatalog(client, table, log_days=30)
    asset = record(1).asset
    put(catalog, record(1, 1))
    put(catalog, record(1, 2))

    items = everything_in(client, table)

    expiring = {
        sort: item["expires"]["N"] for (_, sort), item in items.items() if "expires" in item
    }
    # 2026-05-09T07:00:01Z is 1778310001.
    assert list(expiring.values()) == [str(1778310001 + 30 * 86_400)]
    assert catalog.timeline(asset) == [entry(record(1, 2)), entry(record(1, 1))]


def test_a_forged_cursor_needs_the_key(client: DynamoDBClient, table: str) -> None:
    """With a key, a cursor made without it is refused."""
    mine, theirs = DynamoCatalog(client, table, cursor_key=b"key"), DynamoCatalog(client, table)
    for number in range(3):
        put(mine, bare(number))
    cursor = theirs.by_status(Status.REJECTED, limit=1).cursor

    with pytest.raises(SafelightError) as caught:
        mine.by_status(Status.REJECTED, cursor=cursor)

    assert caught.value.code == "input_cursor"
    own = mine.by_status(Status.REJECTED, limit=1).cursor
    assert len(mine.by_status(Status.REJECTED, cursor=own).records) == 2


def test_what_an_index_says_wrongly_is_passed_over(
    client: DynamoDBClient, table: str, catalog: DynamoCatalog
) -> None:
    """Entries of records that are gone or changed, as indexes have for a moment, list nothing."""
    put(catalog, record(1))
    put(catalog, record(2, metadata=metadata(2)))
    whole = everything_in(client, table)
    stale = dict(next(item for (_, sort), item in whole.items() if sort == "META"))
    ghost = {name: value for name, value in stale.items() if name.startswith("GSI")}
    ghost |= {"PK": {"S": "ASSET#ghost"}, "SK": {"S": "OTHER"}}
    client.put_item(TableName=table, Item=ghost)
    asset = stale["PK"]["S"].removeprefix("ASSET#")

    owned = catalog.by_owner(record(1).owner, limit=1)

    rest = catalog.by_owner(record(1).owner, limit=5, cursor=owned.cursor)
    assert len({*(one.asset for one in (*owned.records, *rest.records))}) == 2
    assert len(catalog.by_status(Status.ACCEPTED).records) == 2
    known = catalog.get(asset)
    assert known is not None
    assert known.metadata is not None
    assert catalog.by_content(known.metadata.sha256) == [known]


# --- uploads that may never arrive --------------------------------------------------------------


def waits(tags: frozenset[str] = frozenset()) -> AssetRecord:
    """An asset whose original was asked for."""
    asked = PendingUpload(
        method=UploadMethod.PUT,
        media_type="image/jpeg",
        expires_at="2026-05-10T12:00:00.000000Z",
        request="d",
    )
    one = bare(1, tags=tags, verdict=None)
    source = replace(one.source, etag="", sequencer="")
    return replace(
        one, source=source, status=Status.WAITING, version="", recipe_digest="", upload=asked
    )


def expiring(client: DynamoDBClient, table: str) -> dict[str, str]:
    """The items of a table that expire, with when."""
    items = everything_in(client, table)
    return {sort: item["expires"]["N"] for (_, sort), item in items.items() if "expires" in item}


def test_what_never_arrives_expires_and_what_arrives_does_not(
    client: DynamoDBClient, table: str, catalog: DynamoCatalog
) -> None:
    """Record and tags go together; the outcome writes both anew, for good."""
    asked = waits(frozenset({"sea"}))
    end = "1778414400"

    assert put(catalog, asked, new=True) == "recorded"
    assert expiring(client, table) == {"META": end, "TAG#sea": end}
    catalog.update(asked.asset, add_tags=["sky"])
    assert expiring(client, table) == {"META": end, "TAG#sea": end, "TAG#sky": end}

    assert put(catalog, record(1)) == "recorded"
    assert expiring(client, table) == {}
    known = catalog.get(record(1).asset)
    assert known is not None
    assert known.tags == {"sea", "sky"}
    assert known.upload is None
    assert [one.asset for one in catalog.by_tag("sky").records] == [asked.asset]


def test_who_was_let_ask_is_the_owner_whatever_the_object_says(catalog: DynamoCatalog) -> None:
    """Metadata of the object is from outside."""
    put(catalog, replace(waits(), owner="ann"), new=True)

    put(catalog, record(1, owner="bob"))

    known = catalog.get(record(1).asset)
    assert known is not None
    assert known.owner == "ann"
