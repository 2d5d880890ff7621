"""The order of DynamoDB's indexes in the embedded AWS, beside sorting everything."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from worker.local.durable.indexes import IndexPartition, Window, window_of

KEYS = ("GSI2SK", "PK", "SK")
NAMES = {"#p": "GSI2PK", "#s": "GSI2SK"}


def query(condition: str = "#p = :p", **more: Any) -> dict[str, Any]:
    """A query of an index, as the catalog asks it."""
    asked = {
        "KeyConditionExpression": condition,
        "ExpressionAttributeNames": NAMES,
        "ExpressionAttributeValues": {":p": {"S": "x"}, ":s": {"S": "5"}},
        "Limit": 3,
    }
    return {**asked, **more}


@pytest.mark.parametrize("seed", range(20))
def test_a_window_has_what_sorting_would_have(seed: int) -> None:
    """After additions, changes and removals, in both directions, between any bounds."""
    random, kept = Random(seed), IndexPartition()
    expected: dict[tuple[str, str], str] = {}
    for _ in range(300):
        key = (str(random.randrange(40)), str(random.randrange(2)))
        if random.random() < 0.3:
            kept.remove(key)
            expected.pop(key, None)
        else:
            expected[key] = str(random.randrange(10))
            kept.add(key, expected[key])
    places = sorted((sort, *key) for key, sort in expected.items())

    assert len(kept) == len(places)
    assert list(kept) == [place[1:] for place in places]
    for _ in range(50):
        low, high = (
            random.choice([None, (str(random.randrange(10)), str(random.randrange(40)), "0")])
            for _ in range(2)
        )
        forward, most = random.random() < 0.5, random.randrange(1, 20)
        inside = [
            place
            for place in places
            if (low is None or place > low) and (high is None or place < high)
        ]
        IndexPartition.window = Window(low, high, forward, most)
        try:
            found = list(kept)
        finally:
            IndexPartition.window = None
        assert found == [one[1:] for one in (inside[:most] if forward else inside[-most:])]


def test_conditions_of_the_catalog_are_understood() -> None:
    """Beyond a key in either direction, from the start, and from where a page ended."""
    start = {"GSI2SK": {"S": "7"}, "PK": {"S": "a"}, "SK": {"S": "b"}, "GSI2PK": {"S": "x"}}

    assert window_of(query(), KEYS) == Window(None, None, True, 4)
    below = window_of(query("#p = :p AND #s < :s", ScanIndexForward=False), KEYS)
    assert below == Window(None, ("5", "", ""), False, 4)
    above = window_of(query("#p = :p AND #s > :s"), KEYS)
    assert above is not None
    assert above.low is not None
    assert above.low > ("5", "zzz", "zzz")
    after = window_of(query("#p = :p AND #s > :s", ExclusiveStartKey=start), KEYS)
    assert after == Window(("7", "a", "b"), None, True, 4)
    before = window_of(query(ExclusiveStartKey=start, ScanIndexForward=False), KEYS)
    assert before == Window(None, ("7", "a", "b"), False, 4)


@pytest.mark.parametrize(
    "asked",
    [
        query("#p = :p AND #s BETWEEN :s AND :s"),
        query("#p = :p AND begins_with(#s, :s)"),
        query("#p = :p AND #other > :s"),
        query(FilterExpression="#s = :s"),
        query(Limit=None),
        {"KeyConditions": {}, "Limit": 3},
        query("#p = :p AND #s > :s", ExpressionAttributeValues={":s": {"N": "5"}}),
    ],
)
def test_of_what_is_not_understood_everything_is_seen(asked: dict[str, Any]) -> None:
    """ministack answers as it would without us."""
    assert window_of(asked, KEYS) is None
