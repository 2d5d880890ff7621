"""Keys of the catalog's table: what is stored under them must be found under them for ever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.aws.dynamodb import schema
from worker.adapters.aws.dynamodb.items import (
    Stored,
    job_item,
    log_item,
    meta_item,
    similar_item,
    tag_item,
)
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, ObjectVersion, Status
from worker.domain.errors import InputError

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
    """Nothing is left of it when its zeros are cut, and nothing sorts before that."""
    oldest = ObjectVersion(bucket="b", key="k", etag="e", sequencer=sequencer, size=1)

    held = similar_item(replace(RECORD, source=oldest), "0" * 16)["sequence"]

    assert held == {"S": ""}
