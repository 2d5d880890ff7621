"""The converter between frozen dataclasses and JSON-ready values."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from worker.codec import build, plain
from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    ObjectVersion,
    StoredMedia,
    Verdict,
    VideoInfo,
)
from worker.domain.errors import EngineError
from worker.domain.events import Event
from worker.domain.image import (
    Dropped,
    Format,
    GpsPosition,
    Measures,
    Metadata,
    Probe,
    StoredRendition,
    Tags,
)

STORED = (AssetRecord, LogEntry, JobRecord, Probe, Metadata, Verdict, ObjectVersion)


@given(st.one_of([st.from_type(kind) for kind in STORED]))
def test_every_value_of_every_stored_class_comes_back(value: Any) -> None:
    """A value rebuilt from its JSON equals the original, for any field values."""
    try:
        written = json.dumps(plain(value))
    except EngineError:
        reject()  # not a finite number: see below

    assert build(type(value), json.loads(written)) == value


def test_no_stored_class_was_forgotten() -> None:
    """The classes that records are made of are all reached by the ones tested above."""
    reached = {
        Dropped,
        VideoInfo,
        GpsPosition,
        Measures,
        StoredMedia,
        StoredRendition,
        Tags,
        *STORED,
    }

    assert {field.name for kind in reached for field in fields(kind)} >= {
        "gps",
        "kept_bytes",
        "subtitle_tracks",
    }


def test_defaults_are_left_out() -> None:
    """Default values are not stored."""
    line = LogEntry(time="t", kind="k")

    assert plain(line) == {"time": "t", "kind": "k"}
    assert plain(Tags()) == {}
    assert plain(line, without=frozenset({"time"})) == {"kind": "k"}


def test_defaults_are_written_where_they_are_asked_for() -> None:
    """A manifest and a plan say everything, also inside of what they hold."""
    line = LogEntry(time="t", kind="k")

    assert plain([line], defaults=True) == [{"time": "t", "kind": "k", "detail": {}, "id": ""}]


def test_fractions_and_bytes() -> None:
    """A fraction is a text; a byte string is what the caller puts in its place."""
    value = Odd(rate=Fraction(30000, 1001), data=b"abc")
    written = plain(value, store_bytes=bytes)

    assert written == {"rate": "30000/1001", "data": b"abc"}
    assert build(Odd, written) == value
    # Of a few characters this would fill the memory.
    with pytest.raises(EngineError, match="fraction"):
        build(Odd, {"rate": "1e999999999", "data": b""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """What JSON has no form for."""

    rate: Fraction
    data: bytes


@pytest.mark.parametrize(
    "value", [{"time": "t", "kind": "k", "mood": "fine"}, {"time": "\ud800", "kind": "k"}]
)
def test_strict_reading_refuses_what_is_odd(value: dict[str, str]) -> None:
    """An unknown field or a lone surrogate is no harm in what we stored, and a sign of an attack
    in what a sandboxed child sends."""
    assert build(LogEntry, value).kind == "k"
    with pytest.raises(EngineError):
        build(LogEntry, value, strict=True)


def test_what_a_newer_version_added_is_passed_over() -> None:
    """A record with a field nobody knows yet can be read."""
    assert build(LogEntry, {"time": "t", "kind": "k", "mood": "fine"}).kind == "k"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (LogEntry, {"time": "t"}),
        (LogEntry, {"time": 1, "kind": "k"}),
        (LogEntry, {"time": "t", "kind": "k", "detail": 5}),
        (LogEntry, None),
        (LogEntry, []),
        (Verdict, {"code": None, "message": "m"}),
        (Probe, {"format": "doc", "bytes": 1, "width": 1, "height": 1}),
        (Probe, {"format": "png", "bytes": True, "width": 1, "height": 1}),
        (GpsPosition, {"latitude": "north", "longitude": 1}),
    ],
)
def test_what_is_no_such_record_is_named(kind: type, value: object) -> None:
    """A missing field, or one of another type, is a defect that says which class it is of."""
    with pytest.raises(EngineError, match=kind.__name__):
        build(kind, value)


def test_whole_numbers_are_read_where_fractions_are_meant() -> None:
    """2.0 and 2 are one number to JSON."""
    place = build(GpsPosition, {"latitude": 2, "longitude": -1})

    assert (place.latitude, type(place.latitude)) == (2.0, float)


def test_a_pair_is_a_pair() -> None:
    """Tuples of a fixed length keep it."""

    assert build(Pair, {"both": [1, "a"]}) == Pair(both=(1, "a"))
    with pytest.raises(EngineError):
        build(Pair, {"both": [1]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two things of different types."""

    both: tuple[int, str]
    more: tuple[Format, ...] = field(default_factory=tuple)


def test_what_json_has_not_is_refused() -> None:
    """A value without a JSON form is the caller's mistake, found when it is written."""
    with pytest.raises(TypeError, match="bytes"):
        plain(Event(id="i", type="t", asset="a", time="t", detail={"data": b""}))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_a_defect(number: float) -> None:
    """JSON has no NaN; a measure that is one is found when it is written."""
    with pytest.raises(EngineError):
        plain(GpsPosition(latitude=number, longitude=1.0))


def test_reading_records_needs_no_library() -> None:
    """Only the standard library is imported, because each module slows a cold start."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import worker.adapters.aws.dynamodb.schema, worker.codec, worker.adapters.catalog_rules\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(roots - sys.stdlib_module_names - {'__main__', 'worker'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == ""
