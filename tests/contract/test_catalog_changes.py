"""The catalog's contract, on the fake and on DynamoDB: tags, timeline, jobs, forgetting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.contract import catalogs as given_
from tests.contract.catalogs import at, entry, outcome, phash_of, put, record, sha_of, together
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, Status
from worker.domain.errors import AssetMissing, Conflict, EngineError, InputError
from worker.domain.label import BoundingBox, Label
from worker.domain.user_metadata import MAX_TAGS
from worker.ports import Catalog

# --- tags and attributes ----------------------------------------------------------------------


def test_tags_and_attributes_change(catalog: Catalog) -> None:
    """Additions and removals are applied, everything else stays, and the revision rises."""
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
    """A change that names an old revision is refused."""
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
    assert (catalog.by_content(sha_of(one)), catalog.similar(phash_of(one))) == ([], [])
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


# --- claims -------------------------------------------------------------------------------------


def test_a_claim_keeps_others_out_until_it_ends(catalog: Catalog) -> None:
    """Its holder may claim again; whoever claims after the end is told of the tries before."""
    asset = given_.asset_id(1)

    assert catalog.claim(asset, "v/w/640.webp", holder="a", seconds=3600) == 1
    assert catalog.claim(asset, "v/w/640.webp", holder="b", seconds=3600) == 0
    assert catalog.claim(asset, "v/w/640.webp", holder="a", seconds=0) == 2
    assert catalog.claim(asset, "v/w/640.webp", holder="b", seconds=3600) == 3
    assert catalog.claim(asset, "v/w/640.webp", holder="a", seconds=3600) == 0
    assert catalog.claim(asset, "v/w/640.jpg", holder="a", seconds=3600) == 1
    assert catalog.claim(given_.asset_id(2), "v/w/640.webp", holder="a", seconds=3600) == 1


def test_one_of_many_gets_a_claim(catalog: Catalog) -> None:
    """Only the first caller gets the claim."""
    asset = given_.asset_id(1)

    def claim(number: int) -> int:
        return catalog.claim(asset, "v/large.webp", holder=f"holder {number}", seconds=3600)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(40))) == [0] * 39 + [1]


def test_claims_are_no_records_and_go_with_the_asset(catalog: Catalog) -> None:
    """They are in no list and no timeline; erasing the asset ends them."""
    asset = put(catalog, record(1)).asset
    catalog.claim(asset, "v/large.webp", holder="a", seconds=3600)

    assert len(catalog.timeline(asset)) == 1
    assert catalog.jobs(asset) == []
    catalog.delete(asset)

    assert catalog.get(asset) is None
    assert catalog.claim(asset, "v/large.webp", holder="b", seconds=3600) == 1


# --- labels -------------------------------------------------------------------------------------

DOG = Label(
    name="Dog", confidence=98.5, boxes=(BoundingBox(left=0.1, top=0.2, width=0.3, height=0.4),)
)
CAT = Label(name="Cat", confidence=61.0, model_version="3.0")


def labelled(catalog: Catalog, *labels: Label) -> AssetRecord:
    """An asset of a person's tag with labels and their tags."""
    asset = put(catalog, record(1, tags=frozenset({"summer"}))).asset
    return catalog.update(asset, labels=labels, add_tags=[one.tag for one in labels])


def test_labels_are_kept_and_list_the_asset(catalog: Catalog) -> None:
    """With confidence, version and boxes, beside the tags of people."""
    known = labelled(catalog, DOG, CAT)

    assert catalog.get(known.asset) == known
    assert known.labels == (DOG, CAT)
    assert known.tags == {"summer", "label:dog", "label:cat"}
    assert [one.asset for one in catalog.by_tag("label:dog").records] == [known.asset]


def test_a_person_who_removes_a_tag_refuses_its_label(catalog: Catalog) -> None:
    """The label stays with that mark, which goes when somebody adds the tag again."""
    asset = labelled(catalog, DOG, CAT).asset

    refused = catalog.update(asset, remove_tags=["label:dog"])
    assert refused.labels == (replace(DOG, refused=True), CAT)
    assert catalog.by_tag("label:dog").records == ()

    assert catalog.update(asset, add_tags=["label:dog"]).labels == (DOG, CAT)


def test_labels_make_room_for_a_tag_of_a_person(catalog: Catalog) -> None:
    """The least confident label loses its tag, and is not refused."""
    people = [f"tag {number}" for number in range(MAX_TAGS - 3)]
    asset = labelled(catalog, DOG, CAT).asset
    catalog.update(asset, add_tags=people)

    changed = catalog.update(asset, add_tags=["one more"])

    assert changed.tags == {"summer", "label:dog", "one more", *people}
    assert changed.labels == (DOG, CAT)
    assert catalog.by_tag("label:cat").records == ()


def test_labels_stay_with_their_picture(catalog: Catalog) -> None:
    """Another recipe keeps them; another picture under the key has lost them, and their tags."""
    known = labelled(catalog, DOG)

    again = put(catalog, record(1, recipe_digest=given_.OTHER_DIGEST))
    assert (again.labels, again.tags) == (known.labels, known.tags)

    newer = put(catalog, record(1, 2, tags=frozenset({"label:car"})))
    assert not newer.labels
    assert newer.tags == {"summer", "label:car"}
    assert catalog.by_tag("label:dog").records == ()
