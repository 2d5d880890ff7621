"""The catalog's table: keys, items, packed bodies, cursors."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.aws.dynamodb import items, schema
from worker.adapters.aws.dynamodb.catalog import Cursors
from worker.adapters.aws.dynamodb.items import (
    Stored,
    job_item,
    log_item,
    meta_item,
    pack,
    similar_item,
    tag_item,
    unpack,
)
from worker.adapters.aws.dynamodb.schema import position, stamp
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, ObjectVersion, Status
from worker.domain.errors import EngineError, InputError

# --- keys and items ---------------------------------------------------------------------------

NOON = "2026-05-09T12:00:00.000000Z"
RECORD = AssetRecord(
    asset="0190-a",
    source=ObjectVersion(bucket="b", key="k", etag="e", sequencer="0066A0", size=1),
    recipe="default",
    recipe_digest="d",
    version="v",
    status=Status.ACCEPTED,
    owner="anna",
    created_at=NOON,
    updated_at=NOON,
    revision=7,
)
LINE = LogEntry(time="2026-05-10T00:30:00+02:00", kind="accepted", id="v")


def texts(item: Mapping[str, object]) -> dict[str, object]:
    """The plain attributes of an item without their types."""
    return {
        name: next(iter(value.values()))
        for name, value in item.items()
        if isinstance(value, dict) and name != "body"
    }


def test_the_keys_of_a_record_are_fixed() -> None:
    """META is listed by owner, by status and time of its outcome; bytes only if they are known."""
    assert texts(meta_item(Stored(record=RECORD, entry=LINE))) == {
        "PK": "ASSET#0190-a",
        "SK": "META",
        "GSI1PK": "OWNER#anna",
        "GSI1SK": "20260509T120000.000000Z#0190-a",
        "GSI2PK": "STATUS#accepted#2",
        "GSI2SK": "20260509T223000.000000Z#0190-a",
        "status": "accepted",
        "owner": "anna",
        "created": NOON,
        "updated": NOON,
        "revision": "7",
    }


def test_the_keys_of_everything_else_are_fixed() -> None:
    """Tags, hashes, lines and jobs lie beside the record, under these schema."""
    job = JobRecord(asset="0190-a", id="j", kind="k", state="s", created_at=NOON, updated_at=NOON)

    assert texts(tag_item(RECORD, "a#b")) == {
        "PK": "ASSET#0190-a",
        "SK": "TAG#a#b",
        "GSI3PK": "TAG#a#b#2",
        "GSI3SK": "20260509T120000.000000Z#0190-a",
    }
    assert texts(similar_item(RECORD, "0123456789abcdef")) == {
        "PK": "ASSET#0190-a",
        "SK": "SIMILAR",
        "sequence": "0066A",
        "GSI1PK": "BAND#0#0123",
        "GSI2PK": "BAND#1#4567",
        "GSI3PK": "BAND#2#89ab",
        "GSI4PK": "BAND#3#cdef",
        **dict.fromkeys(["GSI1SK", "GSI2SK", "GSI3SK", "GSI4SK"], "0123456789abcdef"),
    }
    assert texts(log_item("0190-a", LINE, 5))["SK"] == "LOG#20260509T223000.000000Z#v"
    assert texts(job_item(job))["SK"] == "JOB#j"
    assert schema.content_partition("AB") == "SHA#ab"


def test_every_key_is_one_of_the_table() -> None:
    """The schema has exactly the key attributes that items use, and no index has others."""
    used = {
        name
        for item in (
            meta_item(Stored(record=RECORD, entry=LINE)),
            tag_item(RECORD, "a"),
            similar_item(RECORD, "0" * 16),
        )
        for name in item
        if name.endswith(("PK", "SK"))
    }

    assert used | {"GSI4PK", "GSI4SK"} == set(schema.ATTRIBUTES)
    assert len(schema.ATTRIBUTES) == 10
    assert schema.index_keys("GSI2") == ("GSI2PK", "GSI2SK")


def test_lines_are_directly_before_the_record() -> None:
    """Reading backwards from META meets the timeline first, and nothing else."""
    order = sorted(["META", "SIMILAR", "TAG#x", "JOB#x", "LOG#99991231T000000.000000Z#x"])

    assert order == ["JOB#x", "LOG#99991231T000000.000000Z#x", "META", "SIMILAR", "TAG#x"]


def test_assets_are_spread_over_all_shards() -> None:
    """No shard takes much more than its part."""
    counts = Counter(schema.shard_of(f"asset {number}") for number in range(8_000))

    assert sorted(counts) == list(range(schema.SHARDS))
    assert max(counts.values()) < 1_150


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_keys_fit_or_are_refused(asset: str, entry: str) -> None:
    """No id from outside makes a key that DynamoDB would refuse: 2,048 and 1,024 bytes."""
    try:
        partition = schema.asset_partition(asset)
        sort = schema.log_key(LogEntry(time=NOON, kind="k", id=entry))
    except InputError:
        return
    assert len(partition.encode()) <= 2_048
    assert len(sort.encode()) <= 1_024
    assert len(schema.tag_key(entry).encode()) <= 1_024


@pytest.mark.parametrize("sequencer", ["", "0", "000"])
def test_a_sequencer_of_zeros_is_the_oldest(sequencer: str) -> None:
    """Without its trailing zeros it is empty, which sorts first."""
    oldest = ObjectVersion(bucket="b", key="k", etag="e", sequencer=sequencer, size=1)

    held = similar_item(replace(RECORD, source=oldest), "0" * 16)["sequence"]

    assert held == {"S": ""}


# --- bodies -----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone surrogates too: names of uploads may have them.
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_is_packed_comes_back(value: object) -> None:
    """Anything JSON can say survives, broken Unicode too."""
    assert unpack(pack(value)) == value


def test_a_lone_surrogate_survives() -> None:
    """A file name that is no UTF-8 cannot make a record impossible."""
    assert unpack(pack(["\ud800", "\udfff\ud800"])) == ["\ud800", "\udfff\ud800"]


def test_what_was_packed_once_is_readable_for_ever() -> None:
    """Bytes written by the first version; the dictionary it used must never change."""
    stored = bytes.fromhex(
        "0123b25c06964c20972197a606a6ba06962106e6c082c2cac0300a5161242627036b1f6085511b0b00"
    )

    assert unpack(stored) == [
        {"source": {"bucket": "safelight-intake-1"}},
        {"time": "2026-05-09T07:00:01Z", "kind": "accepted"},
    ]
    assert hashlib.sha256(items._WORDS_1).hexdigest() == (
        "7248b676d69ab89d18befd2b897cfb9efc92c01233a14e214cc83a6b05b1a298"
    )


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x01",
        b"\x02" + pack({"a": 1})[1:],
        pack({"a": 1})[:-1],
        b"\x01" + b"\xff" * 40,
        pack("x" * 5_000_000),
    ],
    ids=["nothing", "no stream", "newer", "cut", "noise", "endless"],
)
def test_a_damaged_body_is_named(damaged: bytes) -> None:
    """A damaged body raises a clear error and never expands without limit."""
    with pytest.raises(EngineError, match="body of a record"):
        unpack(damaged)


def test_numbers_that_are_none_are_refused() -> None:
    """NaN is no JSON: other languages could not read it."""
    with pytest.raises(ValueError, match="JSON"):
        pack(float("nan"))


# --- positions and cursors --------------------------------------------------------------------

TIMES = st.datetimes(timezones=st.timezones())


@given(TIMES, TIMES)
def test_stamps_sort_as_times_do(first: datetime, second: datetime) -> None:
    """The order of two stamps is the order of their times, whatever their zones."""
    try:
        early, late = stamp(first.isoformat()), stamp(second.isoformat())
    except EngineError:
        return  # before year 1 or after 9999 in UTC
    assert (early < late, early == late) == (first < second, first == second)
    assert len(early) == len(late) == 23


@pytest.mark.parametrize("time", ["", "yesterday", "2026-13-01", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_time_has_no_stamp(time: str) -> None:
    """A time that cannot be put in order is a defect of whoever made it."""
    with pytest.raises(EngineError):
        stamp(time)


def test_a_time_without_a_zone_is_utc() -> None:
    """Our own times always say Z; one that says nothing means it."""
    assert position("2026-05-09T12:00:00", "a") == "20260509T120000.000000Z#a"


@given(st.binary(max_size=20), st.text(max_size=50), st.text(max_size=80))
def test_cursors_open_to_what_was_sealed(key: bytes, listing: str, where: str) -> None:
    """Any place of any list comes back, with and without a key, in letters fit for a URL."""
    where = where.encode("utf-8", "replace").decode()
    cursors = Cursors(key)

    sealed = cursors.seal(listing, where)

    assert cursors.open(listing, sealed) == where
    assert set(sealed) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text(max_size=200))
def test_texts_from_outside_are_no_cursors(text: str) -> None:
    """Any invalid cursor raises the same error."""
    with pytest.raises(InputError) as caught:
        Cursors(b"key").open("owner anna", text)

    assert caught.value.code == "input_cursor"


def test_cursors_handed_out_stay_valid() -> None:
    """A page somebody has bookmarked is still found by a later version."""
    assert Cursors().open("owner anna", "XpcKelO_ATSkI8PbeA") == "x"


def test_no_cursor_is_the_start() -> None:
    """The first page has none."""
    assert Cursors().open("owner anna", None) is None
