"""What the console is told of the event log."""

from __future__ import annotations

from pathlib import Path

from worker.adapters.event_log import EventLog
from worker.domain.events import Event
from worker.local.changes import Counts, read_events


def event(number: int, status: str = "accepted", **detail: object) -> Event:
    """Something that happened in a minute of its own."""
    return Event(
        id=f"{number}/{status}",
        type=f"asset.{status}",
        asset=f"asset-{number}",
        time=f"2026-11-29T12:{number:02}:30.000000Z",
        detail=detail,
    )


def test_a_cursor_goes_on_where_the_last_read_ended(tmp_path: Path) -> None:
    """Without a cursor nothing old is told; with one, all that came since, once."""
    log = EventLog(tmp_path / "events.jsonl")
    log.publish([event(1)])
    found, cursor = read_events(tmp_path / "events.jsonl", None)
    assert not found
    log.publish([event(2), event(3)])
    found, cursor = read_events(tmp_path / "events.jsonl", cursor)
    assert [one.asset for one in found] == ["asset-2", "asset-3"]
    assert read_events(tmp_path / "events.jsonl", cursor) == ([], cursor)


def test_a_log_that_is_not_there_yet_is_read_from_its_start(tmp_path: Path) -> None:
    """A page that was open before the first event gets it."""
    path = tmp_path / "events.jsonl"
    found, cursor = read_events(path, None)
    assert not found
    EventLog(path).publish([event(1)])
    found, _ = read_events(path, cursor)
    assert [one.asset for one in found] == ["asset-1"]


def test_a_line_that_is_being_written_is_left_for_the_next_read(tmp_path: Path) -> None:
    """Half a line is no event, and is not lost either."""
    path = tmp_path / "events.jsonl"
    EventLog(path).publish([event(1)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    found, cursor = read_events(path, "0-0")
    assert not found
    with path.open("ab") as file:
        file.write(whole[-10:])
    found, _ = read_events(path, cursor)
    assert [one.asset for one in found] == ["asset-1"]


def test_cursors_of_other_files_begin_anew(tmp_path: Path) -> None:
    """A replaced file is read from its start; so is one for which the cursor is nonsense."""
    path = tmp_path / "events.jsonl"
    EventLog(path).publish([event(1)])
    inode = path.stat().st_ino
    for cursor in ("0-5", "nonsense", f"{inode}-999999", f"{inode}-²", f"{inode}--1", ""):
        found, _ = read_events(path, cursor)
        assert [one.asset for one in found] == ["asset-1"], cursor


def test_verdicts_are_counted_by_minute_and_reason(tmp_path: Path) -> None:
    """Rates have every minute, empty ones too; reasons come the most frequent first."""
    path = tmp_path / "events.jsonl"
    log, counts = EventLog(path), Counts(path)
    bad = {"code": "unknown_format", "message": "of no known format"}
    log.publish([event(1), event(1, "rejected", reason=bad), event(3, "rejected", reason=bad)])
    log.publish([event(3, "rejected", reason={"code": "too_many_pixels", "message": "large"})])
    minutes = counts.minutes("2026-11-29T12:04:10+00:00")
    assert [(one["accepted"], one["rejected"]) for one in minutes[-5:]] == [
        (0, 0),
        (1, 1),
        (0, 0),
        (0, 2),
        (0, 0),
    ]
    assert [(one["code"], one["count"]) for one in counts.reasons()] == [
        ("unknown_format", 2),
        ("too_many_pixels", 1),
    ]
    log.publish([event(4)])
    assert counts.minutes("2026-11-29T12:04:10+00:00")[-1]["accepted"] == 1
