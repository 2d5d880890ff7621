"""The catalog's contract, on the fake and on DynamoDB: what the lists of assets have in them."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.catalogs import at, bare, digest, entry, metadata, record
from worker.domain.asset import AssetRecord, Page, Status
from worker.domain.errors import InputError
from worker.ports import Catalog


def put(catalog: Catalog, *records: AssetRecord) -> list[AssetRecord]:
    """Commit some outcomes; what is stored for each."""
    return [catalog.commit(one, entry(one)) for one in records]


def pages(ask: Callable[[str | None], Page]) -> Iterator[tuple[AssetRecord, ...]]:
    """Every page of a list, by its cursors."""
    cursor = None
    while True:
        page = ask(cursor)
        yield page.records
        cursor = page.cursor
        if cursor is None:
            return


# --- order and pages --------------------------------------------------------------------------


def test_300_records_over_all_shards_are_each_listed_once_in_order(catalog: Catalog) -> None:
    """Pages of any size have every record of a list once, newest first, some at the same time."""
    chance = random.Random(1)
    moments = [at(chance.randrange(250)) for _ in range(300)]
    stored = put(
        catalog,
        *(
            bare(number, owner="anna", updated_at=moment, tags=frozenset({"all"}))
            for number, moment in enumerate(moments)
        ),
    )
    newest_first = sorted(stored, key=lambda one: (one.created_at, one.asset), reverse=True)
    sizes = {"owner": 300, "status": 37, "tag": 299}

    found = {
        "owner": list(pages(lambda c: catalog.by_owner("anna", limit=sizes["owner"], cursor=c))),
        "status": list(
            pages(lambda c: catalog.by_status(Status.REJECTED, limit=sizes["status"], cursor=c))
        ),
        "tag": list(pages(lambda c: catalog.by_tag("all", limit=sizes["tag"], cursor=c))),
    }

    for name, listed in found.items():
        assert [one for page in listed for one in page] == newest_first
        assert {len(page) for page in listed[:-1]} <= {sizes[name]}
    assert [len(listed) for listed in found.values()] == [1, 9, 2]


def test_a_list_that_grows_while_it_is_read_repeats_nothing(catalog: Catalog) -> None:
    """New records come before the first page; the pages after it are what they were."""
    stored = put(catalog, *(record(n, updated_at=at(n)) for n in range(4)))
    first = catalog.by_status(Status.ACCEPTED, limit=2)
    put(catalog, record(9, updated_at=at(9)))

    second = catalog.by_status(Status.ACCEPTED, limit=2, cursor=first.cursor)

    assert [*first.records, *second.records] == stored[::-1]
    assert second.cursor is None


def test_a_list_that_shrinks_while_it_is_read_leaves_nothing_out(catalog: Catalog) -> None:
    """The asset a cursor stands on may be deleted."""
    stored = put(catalog, *(record(n, updated_at=at(n)) for n in range(4)))
    first = catalog.by_owner(stored[0].owner, limit=2)
    catalog.delete(first.records[-1].asset)

    second = catalog.by_owner(stored[0].owner, limit=2, cursor=first.cursor)

    assert list(second.records) == [stored[1], stored[0]]


def test_a_list_of_nothing_is_one_empty_page(catalog: Catalog) -> None:
    """Names nobody has used list nothing, and neither does no name."""
    put(catalog, bare(1, owner=""))

    for page in (
        *(catalog.by_owner(owner) for owner in ("", "nobody", "' OR 1=1 --", "OWNER#")),
        *(catalog.by_tag(tag) for tag in ("", "none", "#", "TAG#")),
        *(catalog.by_status(status) for status in (Status.ACCEPTED, Status.PROCESSING)),
    ):
        assert page == Page(records=())


def test_an_asset_is_in_the_list_of_its_present_status(catalog: Catalog) -> None:
    """A new outcome moves an asset to another list, to where the time of the outcome puts it."""
    waiting = record(1, 1, status=Status.PROCESSING)
    old, mid = put(catalog, waiting, record(2, updated_at=at(5)))
    assert catalog.by_status(Status.PROCESSING).records == (old,)

    [done] = put(catalog, record(1, 1, updated_at=at(7)))

    assert catalog.by_status(Status.PROCESSING).records == ()
    assert catalog.by_status(Status.ACCEPTED).records == (done, mid)
    assert catalog.by_owner(done.owner).records == (mid, done)


def test_all_assets_are_listed_whatever_their_status(catalog: Catalog) -> None:
    """Every asset once, newest outcome first, in pages of any size; a new outcome moves it."""
    states = [*Status] * 2
    stored = put(catalog, *(record(n, 1, status=s, updated_at=at(n)) for n, s in enumerate(states)))

    for limit in (3, len(states), 50):
        listed = list(pages(lambda c, n=limit: catalog.list_assets(limit=n, cursor=c)))  # type: ignore[misc]
        assert [one for page in listed for one in page] == stored[::-1]
        assert {len(page) for page in listed[:-1]} <= {limit}
    waiting = next(one for one in stored if one.status is Status.PROCESSING)
    first = catalog.list_assets(limit=2)
    assert first.cursor is not None
    [done] = put(catalog, replace(waiting, status=Status.ACCEPTED, verdict=None, updated_at=at(99)))
    assert catalog.list_assets(limit=1).records == (done,)
    assert waiting not in catalog.list_assets().records
    with pytest.raises(InputError):
        catalog.by_status(Status.ACCEPTED, cursor=first.cursor)


def test_tags_change_no_order(catalog: Catalog) -> None:
    """Tagging touches a record, not its place in any list."""
    first, second = put(catalog, record(1, 1), record(2, 2))

    tagged = catalog.update(first.asset, add_tags=["late"])

    assert catalog.by_status(Status.ACCEPTED).records == (second, tagged)
    assert catalog.by_owner(first.owner).records == (second, tagged)


def test_tags_are_listed_exactly(catalog: Catalog) -> None:
    """A tag is a text: its case counts, and a sign of our keys in it means nothing."""
    tags = ["summer", "Summer", "summer#1", "a#b", "München", "%", "🖼"]
    stored = put(catalog, *(record(n, tags=frozenset({tag})) for n, tag in enumerate(tags)))

    found = [catalog.by_tag(tag).records for tag in tags]

    assert found == [(one,) for one in stored]


# --- cursors ----------------------------------------------------------------------------------


def cursor_of(catalog: Catalog) -> str:
    """A cursor of the list of anna's assets."""
    put(catalog, *(bare(n, owner=owner) for n, owner in enumerate(["anna", "anna", "ben", "ben"])))
    cursor = catalog.by_owner("anna", limit=1).cursor
    assert cursor is not None
    return cursor


def test_a_cursor_is_of_one_list_alone(catalog: Catalog) -> None:
    """Another owner's, another kind's list refuses it; its own takes it as often as it likes."""
    cursor = cursor_of(catalog)

    asks: list[Callable[[], Page]] = [
        lambda: catalog.by_owner("ben", cursor=cursor),
        lambda: catalog.by_tag("anna", cursor=cursor),
        lambda: catalog.by_status(Status.REJECTED, cursor=cursor),
    ]
    for ask in asks:
        with pytest.raises(InputError) as caught:
            ask()
        assert (caught.value.code, caught.value.retryable) == ("input_cursor", False)
    assert catalog.by_owner("anna", cursor=cursor) == catalog.by_owner("anna", cursor=cursor)


def test_an_edited_cursor_is_refused(catalog: Catalog) -> None:
    """Every other letter anywhere in a cursor, and every cut, is noticed."""
    cursor = cursor_of(catalog)
    edited = [
        cursor[:place] + ("A" if letter != "A" else "B") + cursor[place + 1 :]
        for place, letter in enumerate(cursor)
    ]
    cut = [cursor[:length] for length in range(len(cursor))]

    for wrong in (*edited, *cut, cursor + "A", cursor + "=", cursor + " "):
        with pytest.raises(InputError, match="does not belong to this list"):
            catalog.by_owner("anna", cursor=wrong)


@pytest.mark.parametrize(
    "wrong",
    ["", "null", "../../etc", "ä", "\x00", "=", "A" * 5000, base64.b64encode(b"{}").decode()],
    ids=repr,
)
def test_what_is_no_cursor_is_refused(catalog: Catalog, wrong: str) -> None:
    """Any text from outside that is no cursor is the caller's mistake."""
    with pytest.raises(InputError) as caught:
        catalog.by_owner("anna", cursor=wrong)

    assert caught.value.code == "input_cursor"


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_one_to_a_thousand_records(catalog: Catalog, limit: int) -> None:
    """Other sizes are the caller's mistake, in every list."""
    asks: list[Callable[[], object]] = [
        lambda: catalog.by_owner("anna", limit=limit),
        lambda: catalog.by_status(Status.ACCEPTED, limit=limit),
        lambda: catalog.by_tag("a", limit=limit),
        lambda: catalog.list_assets(limit=limit),
        lambda: catalog.timeline("a", limit=limit),
    ]
    for ask in asks:
        with pytest.raises(InputError):
            ask()


# --- the same and the similar -----------------------------------------------------------------


def test_identical_bytes_are_listed_oldest_first(catalog: Catalog) -> None:
    """Of thirty assets with the same bytes the twenty-five oldest, and no other asset."""
    same = metadata(1)
    stored = put(catalog, *(record(n, updated_at=at(100 - n), metadata=same) for n in range(30)))
    put(catalog, record(50), bare(51))

    found = catalog.by_content(same.sha256)

    assert list(found) == stored[::-1][:25]
    assert catalog.by_content(same.sha256.upper()) == found
    assert catalog.by_content(digest("other")) == []


def test_a_replaced_content_is_no_longer_found(catalog: Catalog) -> None:
    """After a newer upload, accepted or not, only what is there now is found."""
    put(catalog, record(1, 1), record(2, 1))
    changed, _ = put(catalog, record(1, 2), bare(2, 2))
    old, new = metadata(1, 1), metadata(1, 2)

    assert (catalog.by_content(old.sha256), catalog.similar(old.measures.phash)) == ([], [])
    assert catalog.by_content(new.sha256) == [changed]
    gone = metadata(2, 1)
    assert (catalog.by_content(gone.sha256), catalog.similar(gone.measures.phash)) == ([], [])


def flipped(phash: str, *bits: int) -> str:
    """A hash with these bits turned."""
    value = int(phash, 16)
    for bit in bits:
        value ^= 1 << bit
    return f"{value:016x}"


HASH = digest("picture")[:16]


def test_near_duplicates_are_found_nearest_first(catalog: Catalog) -> None:
    """Up to three bits apart is found, up to as many as asked for; four is not."""
    hashes = [flipped(HASH, *(0, 20, 40, 60)[:count]) for count in range(5)]
    stored = put(
        catalog, *(record(n, metadata=metadata(n, phash=hashes[n])) for n in (3, 1, 4, 0, 2))
    )
    by_distance = [stored[3], stored[1], stored[4], stored[0]]

    for distance in range(4):
        found = catalog.similar(HASH.upper(), distance=distance)
        assert [one.distance for one in found] == list(range(distance + 1))
        assert [one.record for one in found] == by_distance[: distance + 1]


@settings(
    max_examples=10,  # dozens of requests each
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    phash=st.integers(0, 2**64 - 1),
    bits=st.sets(st.integers(0, 63), min_size=1, max_size=6),
    number=st.integers(10_000, 10**9),
)
def test_any_three_bits_leave_a_band_untouched(
    catalog: Catalog, phash: int, bits: set[int], number: int
) -> None:
    """Whichever bits differ, at most three are found and more are not."""
    stored = f"{phash:016x}"
    [one] = put(catalog, record(number, metadata=metadata(number, phash=stored)))

    found = {near.record.asset: near.distance for near in catalog.similar(flipped(stored, *bits))}

    assert found.get(one.asset) == (len(bits) if len(bits) <= 3 else None)
    catalog.delete(one.asset)


def test_at_most_fifty_near_duplicates_are_returned(catalog: Catalog) -> None:
    """Of sixty pictures that look alike the fifty nearest."""
    exact = [record(n, metadata=metadata(n, phash=HASH)) for n in range(45)]
    near = [record(n, metadata=metadata(n, phash=flipped(HASH, 5))) for n in range(45, 60)]
    put(catalog, *near, *exact)

    found = catalog.similar(HASH)

    assert [one.distance for one in found] == [0] * 45 + [1] * 5


@pytest.mark.parametrize(
    ("phash", "distance"),
    [
        ("", 0),
        ("xyz", 0),
        (HASH[:15], 3),
        (HASH + "0", 3),
        ("0x" + HASH[2:], 1),
        (HASH, 4),
        (HASH, -1),
    ],
)
def test_what_is_no_hash_or_too_far_is_refused(catalog: Catalog, phash: str, distance: int) -> None:
    """A search that the index cannot answer completely is refused, not answered in part."""
    with pytest.raises(InputError):
        catalog.similar(phash, distance=distance)


def test_records_without_an_owner_keep_none(catalog: Catalog) -> None:
    """An asset that got its owner with a later upload is listed by the time of its first."""
    first, between = put(catalog, record(1, 1, owner=""), record(2, 2, owner="anna"))
    assert catalog.by_owner("anna").records == (between,)

    [owned] = put(catalog, record(1, 3, owner="anna"))

    assert catalog.by_owner("anna").records == (between, owned)
    assert owned == replace(
        record(1, 3, owner="anna"),
        created_at=first.created_at,
        replaces=first.version,
        revision=2,
    )
