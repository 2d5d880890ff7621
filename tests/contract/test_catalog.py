"""The catalog's contract, on the fake and on DynamoDB: what one outcome does to one asset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract import catalogs as given_
from tests.contract.catalogs import (
    OTHER_DIGEST,
    WAITS,
    at,
    bare,
    entry,
    outcome,
    phash_of,
    put,
    record,
    sha_of,
    together,
)
from worker.domain.asset import AssetRecord, Status, Verdict
from worker.domain.errors import AlreadyRecorded, Conflict, Superseded
from worker.ports import Catalog

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


HEAVY: dict[str, Any] = {"status": Status.PROCESSING, "verdict": WAITS}
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
        (record(1, **REVIEW), record(1), "already_recorded"),
        (record(1, status=Status.PUBLISHED), record(1), "already_recorded"),
        (record(1, **HEAVY), record(1, **HEAVY), "already_recorded"),
        (record(1, **HEAVY), record(1, **REVIEW), "recorded"),
        (record(1, **REVIEW), record(1, **HEAVY), "already_recorded"),
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
    """Tags, attributes, the owner and the time of the first record stay; new labels join them."""
    put(catalog, record(1, 1))
    catalog.update(given_.asset_id(1), add_tags=["summer"], set_attributes={"sku": "4711"})

    new = record(1, 2, owner="", tags=frozenset({"x"}), attributes={"a": "b"}, created_at=at(77))
    after = put(catalog, new)

    assert after.version == record(1, 2).version
    assert (after.tags, after.attributes) == (frozenset({"summer", "x"}), {"sku": "4711", "a": "b"})
    assert [catalog.by_tag(tag).records for tag in ("summer", "x")] == [(after,), (after,)]
    assert after.replaces == record(1, 1).version
    assert (after.owner, after.created_at, after.updated_at) == (record(1).owner, at(1), at(2))
    assert (after.revision, catalog.get(after.asset)) == (3, after)


def test_a_person_decides_who_may_read_an_asset(catalog: Catalog) -> None:
    """The lists follow, all else stays, and what cannot be decided changes nothing."""
    known = put(catalog, record(1, 1))
    why = Verdict(code="held", message="why")

    held = catalog.update(known.asset, decision=(Status.REVIEW, why))
    assert (held.status, held.verdict, held.revision) == (Status.REVIEW, why, known.revision + 1)
    assert catalog.by_status(Status.REVIEW).records == (held,)
    assert catalog.by_status(Status.ACCEPTED).records == ()
    assert catalog.update(known.asset, decision=(Status.REVIEW, why)) == held

    published = catalog.update(known.asset, decision=(Status.PUBLISHED, None))
    assert (published.status, published.verdict) == (Status.PUBLISHED, None)
    assert (published.renditions, published.version) == (known.renditions, known.version)
    for status in (Status.ACCEPTED, Status.DELETED):
        with pytest.raises(Conflict) as raised:
            catalog.update(known.asset, decision=(status, None))
        assert raised.value.code == "undecidable"
    assert catalog.get(known.asset) == published


def test_a_file_may_be_replaced_under_its_key(catalog: Catalog) -> None:
    """Its size and digest change in the record; a key that the asset has not is a conflict."""
    known = put(catalog, record(1, 1))
    old = known.renditions[0]
    new = replace(old, bytes=old.bytes - 1, sha256="e" * 64)

    changed = catalog.update(known.asset, rendition=new)

    assert changed.renditions == (new, *known.renditions[1:])
    assert catalog.get(known.asset) == changed
    assert catalog.update(known.asset, rendition=new) == changed
    with pytest.raises(Conflict):
        catalog.update(known.asset, rendition=replace(new, key="of another version"))


def test_the_same_upload_brings_no_tag_back(catalog: Catalog) -> None:
    """Another recipe or the end of a job is no reason for what a person took away."""
    put(catalog, record(1, 1, status=Status.PROCESSING, tags=frozenset({"x"})))
    catalog.update(given_.asset_id(1), remove_tags=["x"])

    done = put(catalog, record(1, 1, tags=frozenset({"x"})))
    again = put(catalog, record(1, 1, recipe_digest=OTHER_DIGEST, tags=frozenset({"x"})))

    assert (done.tags, again.tags) == (frozenset(), frozenset())
    assert (done.replaces, again.replaces) == ("", done.version)
    assert catalog.by_tag("x").records == ()


def test_an_asset_whose_original_is_gone_keeps_all_else(catalog: Catalog) -> None:
    """Its files and tags stay, and only a newer upload may follow."""
    waits = put(catalog, record(1, 1, status=Status.PROCESSING))
    done = put(catalog, record(1, 1))

    gone = put(catalog, replace(waits, status=Status.DELETED, updated_at=at(50)))

    assert gone == replace(
        done, status=Status.DELETED, verdict=waits.verdict, updated_at=at(50), revision=3
    )
    assert catalog.by_status(Status.DELETED).records == (gone,)
    for late in (record(1, 1), record(1, 1, recipe_digest=OTHER_DIGEST), gone):
        assert outcome(catalog, late) == "already_recorded"
    assert put(catalog, record(1, 2)).status is Status.ACCEPTED


def test_what_was_made_of_a_record_does_not_outlive_it(catalog: Catalog) -> None:
    """The asset was erased meanwhile: the outcome of a job is not a first outcome."""
    waits = put(catalog, record(1, 1, status=Status.PROCESSING))
    catalog.delete(waits.asset)

    assert outcome(catalog, replace(waits, status=Status.ACCEPTED)) == "superseded"
    assert catalog.get(waits.asset) is None


def test_a_newer_upload_may_name_another_owner(catalog: Catalog) -> None:
    """An owner that the new outcome names replaces the old one, in the lists too."""
    put(catalog, record(1, 1, owner="anna"), record(1, 2, owner="ben"))

    assert [one.owner for one in catalog.by_owner("ben").records] == ["ben"]
    assert catalog.by_owner("anna").records == ()


TURNS = st.lists(st.integers(1, 4), min_size=1, max_size=7)
MANY = settings(
    max_examples=10,  # dozens of requests each
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
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
    assert [one.record for one in catalog.similar(phash_of(left), distance=0)] == [left]
    assert [one.asset for one in catalog.by_content(sha_of(left))] == [left.asset]


@pytest.mark.parametrize("number", range(4))
def test_two_workers_with_two_uploads_leave_the_newer(catalog: Catalog, number: int) -> None:
    """The newer upload is recorded at the end, whichever worker is faster."""
    old, new = record(number, 1), record(number, 2)

    first, second = together(
        lambda: catalog.commit(old, entry(old)), lambda: catalog.commit(new, entry(new))
    )

    assert isinstance(first, AssetRecord | Superseded)
    assert isinstance(second, AssetRecord)
    assert catalog.get(old.asset) == second
    assert [one.record for one in catalog.similar(phash_of(new), distance=0)] == [second]
    assert catalog.similar(phash_of(old), distance=0) == []


def test_of_many_workers_with_one_upload_one_records_it(catalog: Catalog) -> None:
    """Exactly one of four workers on the same upload wins; the others are told so."""
    ones = [record(1, updated_at=at(5, micro)) for micro in range(4)]

    results = together(*(lambda one=one: catalog.commit(one, entry(one)) for one in ones))

    winners = [result for result in results if isinstance(result, AssetRecord)]
    assert [catalog.get(ones[0].asset)] == winners
    assert sum(isinstance(result, AlreadyRecorded) for result in results) == 3
