"""Bodies of records: packed small, and readable for ever."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.aws.dynamodb import items
from worker.adapters.aws.dynamodb.items import pack, unpack
from worker.domain.errors import EngineError

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
    """What cannot be read is a defect with a name, and never a bomb."""
    with pytest.raises(EngineError, match="body of a record"):
        unpack(damaged)


def test_numbers_that_are_none_are_refused() -> None:
    """NaN is no JSON: other languages could not read it."""
    with pytest.raises(ValueError, match="JSON"):
        pack(float("nan"))
