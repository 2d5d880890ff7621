"""Times and cursors of the catalog's lists, on their own."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.aws.dynamodb.catalog import Cursors
from worker.adapters.aws.dynamodb.schema import position, stamp
from worker.domain.errors import EngineError, InputError

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
    """Whatever is sent as a cursor is refused in one way."""
    with pytest.raises(InputError) as caught:
        Cursors(b"key").open("owner anna", text)

    assert caught.value.code == "input_cursor"


def test_cursors_handed_out_stay_valid() -> None:
    """A page somebody has bookmarked is still found by a later version."""
    assert Cursors().open("owner anna", "XpcKelO_ATSkI8PbeA") == "x"


def test_no_cursor_is_the_start() -> None:
    """The first page has none."""
    assert Cursors().open("owner anna", None) is None
