"""The catalog's contract, on SQLite and on DynamoDB: what one outcome does to one asset."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract import catalog_records as given_
from tests.contract.catalog_records import OTHER_DIGEST, WAITS, at, bare, entry, record
from worker.errors import (
    AlreadyRecorded,
    AssetMissing,
    Conflict,
    EngineError,
    InputError,
    SafelightError,
    Superseded,
)
from worker.ports import Catalog
from worker.records import AssetRecord, JobRecord, LogEntry, Status


def put(catalog: Catalog, *records: AssetRecord) -> AssetRecord:
    """Commit some outcomes in this order; the last one's record."""
    return [catalog.commit(one, entry(one)) for one in records][-1]


def outcome(catalog: Catalog, one: AssetRecord) -> str:
    """What a commit leads to: ``recorded`` or the error's code."""
    try:
        catalog.commit(one, entry(one))
    except (Superseded, AlreadyRecorded) as error:
        return error.code
    return "recorded"


# --- commit -----------------------------------------------------------------------------------


def test_an_unknown_asset_is_none(catalog: Catalog) -> None:
    """Reading what was never recorded is no error."""
    assert catalog.get(given_.asset_id(1)) is None


@pytest.mark.parametrize(
    "one", [record(1), bare(2), given_.everything(3)], ids=["accepted", "rejected", "everything"]
)
def test_a_record_comes_back_as_it_was_committed(catalog: Catalog, one: AssetRecord) -> None:
    """Every field of a record is stored; times and the revision are filled in."""
    committed = put(catalog, one)

    assert committed == replace(one, created_at=one.updated_at, revision=1)
    assert catalog.get(one.asset) == committed


HEAVY: dict[str, Any] = {"status": Status.HEAVY, "verdict": WAITS}
REVIEW: dict[str, Any] = {"status": Status.REVIEW, "verdict": WAITS}
OTHER: dict[str, Any] = {"recipe": "product", "recipe_digest": OTHER_DIGEST}


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [
        (record(1, 1), record(1, 2), "recorded"),
        (record(1, 2), record(1, 1), "superseded"),
        (record(1, 2), record(1, 1, **OTHER), "superseded"),
        (record(1, 2, **HEAVY), record(1, 1), "superseded"),
        (record(1), record(1), "already_recorded"),
        (record(1), record(1, updated_at=at(99)), "already_recorded"),
        (record(1), bare(1), "already_recorded"),
        (bare(1), record(1), "already_recorded"),
        (record(1), record(1, **HEAVY), "already_recorded"),
        (record(1), record(1, **OTHER), "recorded"),
        (record(1, **HEAVY), record(1), "recorded"),
        (record(1, **HEAVY), bare(1), "recorded"),
        (record(1, **REVIEW), record(1), "recorded"),
        (record(1, **HEAVY), record(1, **HEAVY), "already_recorded"),
        (record(1, **HEAVY), record(1, **REVIEW), "already_recorded"),
        (record(1, **HEAVY), record(1, **HEAVY, **OTHER), "recorded"),
        (bare(1, 1), record(1, 2), "recorded"),
        (record(1, 1), bare(1, 2), "recorded"),
    ],
)
def test_what_may_follow_what(
    catalog: Catalog, known: AssetRecord, new: AssetRecord, expected: str
) -> None:
    """Newer uploads, other recipes and ends of waiting are recorded; all else is refused."""
    before = put(catalog, known)

    assert outcome(catalog, new) == expected

    after = catalog.get(known.asset)
    assert after is not None
    if expected == "recorded":
        assert (after.version, after.status, after.revision) == (new.version, new.status, 2)
    else:
        assert after == before
        assert catalog.timeline(known.asset) == [entry(known)]


def test_sequencers_are_compared_as_padded_hexadecimal(catalog: Catalog) -> None:
    """A longer sequencer is not a newer one; zeros at its end and the case do not count."""
    first = record(1)
    sequencers = {
        "0066": "recorded",
        "006600": "already_recorded",
        "0065FFFFFFFF": "superseded",
        "0066000A": "recorded",
        "0066000a00": "already_recorded",
        "0067": "recorded",
    }

    found = {
        sequencer: outcome(
            catalog, replace(first, source=replace(first.source, sequencer=sequencer))
        )
        for sequencer in sequencers
    }

    assert found == sequencers


def test_a_newer_upload_keeps_what_people_added(catalog: Catalog) -> None:
    """Tags, attributes, the owner and the time of the first record stay with an asset."""
    put(catalog, record(1, 1))
    catalog.update(given_.asset_id(1), add_tags=["summer"], set_attributes={"sku": "4711"})

    after = put(catalog, record(1, 2, owner="", tags=frozenset({"x"}), created_at=at(77)))

    assert after.version == record(1, 2).version
    assert (after.tags, after.attributes) == (frozenset({"summer"}), {"sku": "4711"})
    assert (after.owner, after.created_at, after.updated_at) == (record(1).owner, at(1), at(2))
    assert (after.revision, catalog.get(after.asset)) == (3, after)


def test_a_newer_upload_may_name_another_owner(catalog: Catalog) -> None:
    """An owner that the new outcome names replaces the old one, in the lists too."""
    put(catalog, record(1, 1, owner="anna"), record(1, 2, owner="ben"))

    assert [one.owner for one in catalog.by_owner("ben").records] == ["ben"]
    assert catalog.by_owner("anna").records == ()


TURNS = st.lists(st.integers(1, 4), min_size=1, max_size=7)
MANY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@MANY
@given(turns=TURNS, number=st.integers(10_000, 10**9))
def test_any_order_of_events_ends_with_the_newest(
    catalog: Catalog, turns: list[int], number: int
) -> None:
    """Duplicated and shuffled uploads leave the newest one, listed once, as if it were alone."""
    catalog.delete(given_.asset_id(number))
    for turn in turns:
        one = record(number, turn, owner=f"owner-{number}")
        newest = catalog.get(one.asset)
        fresh = newest is None or newest.source.sequencer < one.source.sequencer
        assert (outcome(catalog, one) == "recorded") == fresh

    [left] = catalog.by_owner(f"owner-{number}").records
    assert left.version == record(number, max(turns)).version
    assert [one.record for one in catalog.similar(_phash(left), distance=0)] == [left]
    assert [one.asset for one in catalog.by_content(_sha(left))] == [left.asset]


def _phash(one: AssetRecord) -> str:
    assert one.metadata is not None
    return one.metadata.measures.phash


def _sha(one: AssetRecord) -> str:
    assert one.metadata is not None
    return one.metadata.sha256


def together(*calls: Callable[[], object]) -> list[object]:
    """Run some calls at the same time; their results or errors."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        start.wait()
        try:
            return call()
        except SafelightError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.parametrize("number", range(4))
def test_two_workers_with_two_uploads_leave_the_newer(catalog: Catalog, number: int) -> None:
    """Whoever is faster, the newer upload is what is recorded in the end."""
    old, new = record(number, 1), record(number, 2)

    first, second = together(
        lambda: catalog.commit(old, entry(old)), lambda: catalog.commit(new, entry(new))
    )

    assert isinstance(first, AssetRecord | Superseded)
    assert isinstance(second, AssetRecord)
    assert catalog.get(old.asset) == second
    assert [one.record for one in catalog.similar(_phash(new), distance=0)] == [second]
    assert catalog.similar(_phash(old), distance=0) == []


def test_of_many_workers_with_one_upload_one_records_it(catalog: Catalog) -> None:
    """Exactly one of four workers on the same upload wins; the others are told so."""
    ones = [record(1, updated_at=at(5, micro)) for micro in range(4)]

    results = together(*(lambda one=one: catalog.commit(one, entry(one)) for one in ones))

    winners = [result for result in results if isinstance(result, AssetRecord)]
    assert [catalog.get(ones[0].asset)] == winners
    assert sum(isinstance(result, AlreadyRecorded) for result in results) == 3


# --- tags and attributes ----------------------------------------------------------------------


def test_tags_and_attributes_change(catalog: Catalog) -> None:
    """What is added is there, what is removed is not, the rest stays, and the revision grows."""
    asset = put(catalog, record(1)).asset
    catalog.update(asset, add_tags=["a", "b"], set_attributes={"x": "1", "y": "2"})

    changed = catalog.update(
        asset,
        add_tags=["c", "b"],
        remove_tags=["a", "never there"],
        set_attributes={"x": "3"},
        remove_attributes=["y", "z"],
    )

    assert (changed.tags, changed.attributes) == (frozenset("bc"), {"x": "3"})
    assert (changed.revision, changed.created_at) == (3, at(1))
    assert changed.updated_at > at(1)
    assert catalog.get(asset) == changed


def test_what_is_removed_and_added_is_there(catalog: Catalog) -> None:
    """A change that names a tag twice ends with the tag."""
    asset = put(catalog, record(1)).asset

    changed = catalog.update(
        asset,
        add_tags=["a"],
        remove_tags=["a"],
        set_attributes={"x": "1"},
        remove_attributes=["x"],
    )

    assert (changed.tags, changed.attributes) == (frozenset("a"), {"x": "1"})


def test_a_change_of_nothing_is_no_write(catalog: Catalog) -> None:
    """Repeating a change leaves the revision, and with it what others have read, as it is."""
    asset = put(catalog, record(1)).asset
    changed = catalog.update(asset, add_tags=["a"], set_attributes={"x": "1"})

    assert catalog.update(asset, add_tags=["a"], set_attributes={"x": "1"}) == changed
    assert catalog.update(asset) == changed


def test_a_change_of_what_somebody_else_changed_is_refused(catalog: Catalog) -> None:
    """Whoever names the revision they read is told if it is no longer the current one."""
    asset = put(catalog, record(1)).asset
    read = catalog.update(asset, add_tags=["a"])
    catalog.update(asset, add_tags=["b"], revision=read.revision)

    with pytest.raises(Conflict) as caught:
        catalog.update(asset, remove_tags=["a"], revision=read.revision)

    assert caught.value.code == "conflict"
    after = catalog.get(asset)
    assert after is not None
    assert after.tags == {"a", "b"}


def test_an_unknown_asset_cannot_be_tagged(catalog: Catalog) -> None:
    """Changing what is not there says so, and makes nothing."""
    with pytest.raises(AssetMissing):
        catalog.update(given_.asset_id(1), add_tags=["a"])

    assert catalog.by_tag("a").records == ()


def test_changes_at_the_same_time_all_count(catalog: Catalog) -> None:
    """Three people and a new upload at once: nobody's change is lost."""
    old, new = record(1, 1), record(1, 2)
    asset = put(catalog, old).asset

    results = together(
        *(lambda tag=tag: catalog.update(asset, add_tags=[tag]) for tag in "abc"),
        lambda: catalog.commit(new, entry(new)),
    )

    assert [result for result in results if isinstance(result, Exception)] == []
    after = catalog.get(asset)
    assert after is not None
    assert (after.tags, after.version, after.revision) == (frozenset("abc"), new.version, 5)
    assert [catalog.by_tag(tag).records for tag in "abc"] == [(after,)] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"add_tags": [""]},
        {"add_tags": ["x" * 129]},
        {"add_tags": ["\ud800"]},
        {"add_tags": [f"tag {n}" for n in range(41)]},
        {"set_attributes": {"": "x"}},
        {"set_attributes": {"x": "y" * 1025}},
        {"set_attributes": {"x": "\udfff"}},
        {"set_attributes": {f"name {n}": "" for n in range(41)}},
    ],
    ids=lambda change: repr(change)[:30],
)
def test_what_cannot_be_a_label_is_refused(catalog: Catalog, change: dict[str, Any]) -> None:
    """Empty, endless, broken or too many tags and attributes are the caller's mistake."""
    before = put(catalog, record(1))

    with pytest.raises(InputError):
        catalog.update(before.asset, **change)

    assert catalog.get(before.asset) == before


def test_as_many_labels_as_allowed_can_change_at_once(catalog: Catalog) -> None:
    """All tags of an asset may be replaced in one call, at their greatest length."""
    asset = put(catalog, record(1)).asset
    old = [f"{n:03}" + "ä" * 125 for n in range(40)]
    new = [f"{n:03}" + "🖼" * 125 for n in range(40)]
    catalog.update(asset, add_tags=old)

    changed = catalog.update(
        asset,
        add_tags=new,
        remove_tags=old,
        set_attributes={f"{n:03}" + "🖼" * 125: "🖼" * 1024 for n in range(40)},
    )

    assert catalog.get(asset) == changed
    assert catalog.by_tag(new[7]).records == (changed,)
    assert catalog.by_tag(old[7]).records == ()


# --- timeline, jobs, forgetting ---------------------------------------------------------------


def test_the_timeline_has_every_outcome_newest_first(catalog: Catalog) -> None:
    """Outcomes and lines added between them are listed by time, at most as many as asked for."""
    asset = put(catalog, record(1, 1)).asset
    tagged = LogEntry(time=at(1, 5), kind="tagged", detail={"by": "anna"}, id="t1")
    viewed = LogEntry(time=at(3), kind="viewed")
    catalog.log(asset, tagged)
    put(catalog, record(1, 2))
    catalog.log(asset, viewed)

    whole = [viewed, entry(record(1, 2)), tagged, entry(record(1, 1))]
    assert catalog.timeline(asset) == whole
    assert [catalog.timeline(asset, limit=n) for n in (1, 2, 3)] == [whole[:n] for n in (1, 2, 3)]
    assert catalog.timeline(given_.asset_id(2)) == []


def test_a_line_written_again_is_one_line(catalog: Catalog) -> None:
    """The same id and time is the same line; the same words at one moment too."""
    asset = put(catalog, record(1)).asset
    lines = [
        LogEntry(time=at(2), kind="tagged", id="a"),
        LogEntry(time=at(2), kind="tagged", id="b"),
        LogEntry(time=at(3), kind="viewed"),
        LogEntry(time=at(3), kind="viewed", detail={"by": "anna"}),
    ]
    for line in (*lines, *lines, entry(record(1))):
        catalog.log(asset, line)

    found = catalog.timeline(asset)

    assert len(found) == 5
    assert all(line in found for line in (*lines, entry(record(1))))


def test_times_are_compared_as_times(catalog: Catalog) -> None:
    """A time with fewer digits or in another zone stands where it belongs."""
    asset = given_.asset_id(1)
    times = [
        "2026-05-09T07:00:00Z",
        "2026-05-09T07:00:00.5Z",
        "2026-05-09T09:00:01+02:00",
        "2026-05-09T07:00:01.000001Z",
    ]
    for time in times:
        catalog.log(asset, LogEntry(time=time, kind="seen"))

    assert [line.time for line in catalog.timeline(asset)] == times[::-1]


def test_what_is_no_time_is_a_defect(catalog: Catalog) -> None:
    """Times come from the pipeline: another text is refused before anything is written."""
    with pytest.raises(EngineError):
        catalog.commit(record(1), LogEntry(time="yesterday", kind="accepted"))

    assert catalog.get(given_.asset_id(1)) is None


def test_jobs_are_listed_oldest_first_and_replaced(catalog: Catalog) -> None:
    """A job that is put again has its new state; other assets' jobs are not listed."""
    asset, other = given_.asset_id(1), given_.asset_id(2)

    def job(of: str, name: str, state: str, made: int) -> JobRecord:
        return JobRecord(
            asset=of, id=name, kind="video", state=state, created_at=at(made), updated_at=at(9)
        )

    for one in (
        job(asset, "b", "running", 1),
        job(asset, "a", "queued", 2),
        replace(job(asset, "a", "done", 2), detail={"exit": "0"}),
        job(other, "c", "queued", 1),
    ):
        catalog.put_job(one)

    found = catalog.jobs(asset)

    assert [(one.id, one.state, one.detail) for one in found] == [
        ("b", "running", {}),
        ("a", "done", {"exit": "0"}),
    ]


def test_a_forgotten_asset_is_gone_everywhere(catalog: Catalog) -> None:
    """After a delete nothing of the asset is listed, and its neighbour is untouched."""
    one, other = record(1, owner="anna"), record(2, owner="anna")
    kept = put(catalog, one, other)
    catalog.update(one.asset, add_tags=["a"])
    for second in range(60):
        catalog.log(one.asset, LogEntry(time=at(second), kind="seen"))
    catalog.put_job(
        JobRecord(asset=one.asset, id="j", kind="k", state="s", created_at="", updated_at="")
    )

    catalog.delete(one.asset)

    assert catalog.get(one.asset) is None
    assert catalog.by_owner("anna").records == (kept,)
    assert catalog.by_status(Status.ACCEPTED).records == (kept,)
    assert catalog.by_tag("a").records == ()
    assert (catalog.by_content(_sha(one)), catalog.similar(_phash(one))) == ([], [])
    assert (catalog.timeline(one.asset), catalog.jobs(one.asset)) == ([], [])
    catalog.delete(one.asset)
    assert outcome(catalog, one) == "recorded"


@pytest.mark.parametrize("asset", ["", "x" * 201, "\ud800"], ids=["empty", "long", "broken"])
def test_what_cannot_be_an_id_is_refused(catalog: Catalog, asset: str) -> None:
    """An id from outside that no asset can have is the caller's mistake, in every method."""
    line = LogEntry(time=at(1), kind="seen")
    calls: list[Callable[[], object]] = [
        lambda: catalog.get(asset),
        lambda: catalog.commit(replace(record(1), asset=asset), line),
        lambda: catalog.update(asset, add_tags=["a"]),
        lambda: catalog.delete(asset),
        lambda: catalog.timeline(asset),
        lambda: catalog.log(asset, line),
        lambda: catalog.jobs(asset),
    ]

    for call in calls:
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("asset", ["a#b", "META", "LOG#", "%", "' OR 1=1 --", "ä/ö"])
def test_ids_are_only_text(catalog: Catalog, asset: str) -> None:
    """An id that looks like a key or a query is an id."""
    one = replace(record(1), asset=asset)

    committed = put(catalog, one)

    assert catalog.get(asset) == committed
    assert catalog.timeline(asset) == [entry(one)]
    assert catalog.by_owner(one.owner).records == (committed,)
