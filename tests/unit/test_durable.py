"""What keeps the embedded AWS's state, where no embedded AWS is needed."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.local.durable.packed import RECENT_OBJECTS, PackedRecords, Partitions
from worker.local.durable.rows import (
    HISTORIES,
    Messages,
    keep_executions,
    keep_tokens_apart,
    wait_for_messages,
)
from worker.local.durable.services import changes_state, forget_events, undo_cut_off_writes
from worker.local.durable.store import NAME, Store
from worker.local.durable.streams import (
    EXPIRED,
    NEWEST,
    REAPER,
    STREAM_RECORDS,
    TRIMMED_TOGETHER,
    StreamRecords,
    keep_streams,
)

BUCKET = "originals"


def test_a_store_knows_whether_it_was_closed(tmp_path: Path) -> None:
    """Only then is nothing half-way; whoever looks changes that."""
    store = Store(tmp_path / NAME)
    assert not store.was_closed
    store.close()

    again = Store(tmp_path / NAME)
    assert again.was_closed
    again.close()
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


def test_a_task_writes_its_token_into_a_context_of_its_own() -> None:
    """In a context that branches share they would read one another's."""

    def execute(_state: Any, _data: Any, _execution: Any, context: dict[str, Any]) -> Any:
        context["Task"] = {"Token": "mine"}
        return context

    stepfunctions, shared = SimpleNamespace(_execute_task=execute), {"State": {"Name": "A"}}

    keep_tokens_apart(stepfunctions)

    used = stepfunctions._execute_task({}, {}, {}, shared)
    assert used == {"State": {"Name": "A"}, "Task": {"Token": "mine"}}
    assert shared == {"State": {"Name": "A"}}


@pytest.mark.parametrize("happening", ["comes", "goes"])
def test_a_request_that_waits_looks_again_at_once(tmp_path: Path, happening: str) -> None:
    """When a message comes, or goes so that the next one of its group may be received."""
    store = Store(tmp_path / NAME)
    message = {"id": "m"}
    messages = Messages(store, "queue", [message] if happening == "goes" else [])
    change = messages.remove if happening == "goes" else messages.append

    async def waiting() -> None:
        looks = asyncio.create_task(wait_for_messages(3_600))
        await asyncio.sleep(0)  # it waits by now
        change(message)
        await asyncio.wait_for(looks, 60)

    asyncio.run(waiting())
    store.close()


def test_events_that_nobody_reads_are_not_kept() -> None:
    """Entries in ministack's list of all events are dropped; the patch fails if the list is
    missing."""
    kept: list[str] = []
    eventbridge = SimpleNamespace(_events_log_list=lambda: kept)

    forget_events(eventbridge)

    eventbridge._events_log_list().append("an event")
    assert (kept, list(eventbridge._events_log_list())) == ([], [])
    with pytest.raises(AttributeError):
        forget_events(SimpleNamespace())


def test_events_of_old_executions_are_not_held(tmp_path: Path) -> None:
    """Of those that run and of the last that ended they can be asked for; the rows have none."""
    told: list[str] = []
    stepfunctions = SimpleNamespace(
        _emit_execution_status_event=lambda execution: told.append(execution["status"]),
        load_persisted_state=lambda _: None,
    )
    store = Store(tmp_path / NAME)
    keep_executions(stepfunctions, SimpleNamespace(), store)
    executions = [
        {"executionArn": str(number), "status": "SUCCEEDED", "events": ["started", "ended"]}
        for number in range(HISTORIES + 3)
    ]
    running = {"executionArn": "running", "status": "RUNNING", "events": ["started"]}

    for execution in (running, *executions):
        stepfunctions._emit_execution_status_event(execution)

    assert [len(one["events"]) for one in executions] == [0] * 3 + [2] * HISTORIES
    assert running["events"] == ["started"]
    assert len(told) == HISTORIES + 4
    store.commit()
    rows = store.rows("SELECT execution FROM executions")
    assert {len(json.loads(text)["events"]) for (text,) in rows} == {0}
    store.close()


class Streams:
    """What of ministack's DynamoDB has to do with streams, for one table."""

    ARN = "arn:aws:dynamodb:eu-central-1:000000000000:table/pictures"

    def __init__(self) -> None:
        """A table with a stream and no item."""
        self.table: Any = {
            "TableName": "pictures",
            "TableArn": self.ARN,
            "StreamSpecification": {"StreamEnabled": True},
            "LatestStreamArn": f"{self.ARN}/stream/1",
        }
        self._tables = Scoped({"pictures": self.table})
        self._stream_records, self._stream_trimmed = Scoped(), Scoped()
        self.items: dict[str, Any] = {}

    def _trimmed_count(self, name: str) -> int:
        return int(self._stream_trimmed.get(name, 0))

    def _live_stream_records(self, name: str) -> Any:
        return self._stream_records.get(name) or []

    def _trim_stream_records(self, name: str, **_scope: str) -> None:
        """Of 24 hours: nothing is so old here."""
        assert self._stream_records[name][0]

    def _build_change_record(self, kind: str, old: Any, new: Any) -> Any:
        return {"eventName": kind, "dynamodb": {"OldImage": old, "NewImage": new}}

    def _emit_stream_event(self, name: str, kind: str, old: Any, new: Any) -> None:
        self._stream_records.setdefault(name, [])
        self._stream_records[name].append(self._build_change_record(kind, old, new))
        self._trim_stream_records(name)

    def _remove_item(self, _table: Any, pk: str, _sk: str) -> Any:
        return self.items.pop(pk, None)

    def load_persisted_state(self, _data: Any) -> None:
        """The table is there already."""


class Scoped(dict[str, Any]):
    """A dictionary of one account and region."""

    @property
    def _data(self) -> Any:
        return {("000000000000", "eu-central-1", name): held for name, held in self.items()}

    def set_scoped(self, _account: str, _region: str, name: str, value: Any) -> None:
        """The one account's."""
        self[name] = value


def kept_streams(path: Path) -> tuple[Streams, Store]:
    """Streams that are written into a file, and read from it."""
    store, dynamodb = Store(path), Streams()
    responses = SimpleNamespace(request_scope=lambda *_: contextlib.nullcontext())
    keep_streams(dynamodb, responses, store)
    dynamodb.load_persisted_state({})
    return dynamodb, store


def test_a_stream_shows_as_many_changes_as_it_may_and_memory_holds_fewer(tmp_path: Path) -> None:
    """Wherever they are read from, in order; a place is never given twice, not even by the next
    process."""
    dynamodb, store = kept_streams(tmp_path / NAME)
    count = STREAM_RECORDS + TRIMMED_TOGETHER + 1
    for number in range(count):
        dynamodb._emit_stream_event("pictures", "INSERT", None, number)
        if number % 50 == 0:
            store.commit()
    store.commit()

    def check(records: Any) -> None:
        assert isinstance(records, StreamRecords)
        found = [one["dynamodb"]["NewImage"] for one in records]
        assert found == list(range(count - STREAM_RECORDS, count))
        middle = [one["dynamodb"]["NewImage"] for one in records[-NEWEST - 2 : -NEWEST + 2]]
        assert middle == found[-NEWEST - 2 : -NEWEST + 2]
        assert records[-1]["dynamodb"]["NewImage"] == count - 1
        assert records[0]["dynamodb"]["NewImage"] == found[0]

    check(dynamodb._stream_records["pictures"])
    assert len(dynamodb._stream_records["pictures"]._newest) == NEWEST
    assert dynamodb._trimmed_count("pictures") == TRIMMED_TOGETHER + 1
    store.close()
    again, store = kept_streams(tmp_path / NAME)
    check(again._stream_records["pictures"])
    assert again._trimmed_count("pictures") == TRIMMED_TOGETHER + 1
    store.close()


def test_the_end_of_an_item_by_its_time_to_live_is_a_change(tmp_path: Path) -> None:
    """As on AWS, where the stream says who has removed it; what a program removes says nobody."""
    dynamodb, store = kept_streams(tmp_path / NAME)
    dynamodb.items = {"a": {"x": 1}, "b": {"x": 2}}
    dynamodb._remove_item(dynamodb.table, "a", "")  # whose change the caller tells of

    reaper = threading.Thread(
        target=lambda: dynamodb._remove_item(dynamodb.table, "b", ""), name=REAPER
    )
    reaper.start()
    reaper.join()

    [told] = dynamodb._stream_records["pictures"]
    assert (told["eventName"], told["userIdentity"]) == ("REMOVE", EXPIRED)
    assert told["dynamodb"]["OldImage"] == {"x": 2}
    store.close()


def test_changes_of_a_stream_that_is_no_more_go(tmp_path: Path) -> None:
    """Of a table that was deleted, or whose stream was switched off and on."""
    dynamodb, store = kept_streams(tmp_path / NAME)
    dynamodb._emit_stream_event("pictures", "INSERT", None, 1)
    store.commit()
    dynamodb.table["LatestStreamArn"] += "2"
    dynamodb.load_persisted_state({})
    store.commit()
    assert store.rows("SELECT count(*) FROM changes") == [(0,)]
    store.close()


def test_items_are_held_as_text_and_read_as_they_were_set() -> None:
    """By every way in which ministack reads and changes the items of a table."""
    first, second = {"text": {"S": "ü"}}, {"set": {"SS": ["a"]}}
    partitions = Partitions({"a": {"1": first}})
    partitions.setdefault("a", {})["2"] = second
    partitions.setdefault("b", {})["1"] = first
    below = partitions["a"]

    assert {type(held) for held in dict.values(below)} == {str}
    assert (below["1"], below.get("2"), below.get("3")) == (first, second, None)
    assert below["1"] is not below["1"]
    assert below.values() == [first, second]
    assert below.items() == [("1", first), ("2", second)]
    assert json.loads(json.dumps(partitions)) == {"a": {"1": first, "2": second}, "b": {"1": first}}
    assert copy.deepcopy(dict(partitions)) == partitions
    assert (below.pop("2"), below.pop("2", None), sorted(below)) == (second, None, ["1"])
    with pytest.raises(KeyError):
        below.pop("2")


def test_records_in_use_can_be_changed_and_the_others_are_text() -> None:
    """One that is looked at is a value again; one that its file does not tell all of stays one."""
    plain = {"body": None, "etag": "1", "size": 1}
    held = PackedRecords({"restored": {**plain, "restore": {"days": 1}}, "first": {**plain}})
    held["unwritten"] = {**plain, "body": b"bytes"}
    for number in range(RECENT_OBJECTS):
        held[str(number)] = {**plain, "size": number}

    assert {key for key, one in dict.items(held) if isinstance(one, str)} == {"first"}
    held["first"]["version_id"] = "1"
    assert held["first"] == {**plain, "version_id": "1"}
    assert len([one for one in dict.values(held) if isinstance(one, str)]) == 1
    assert len(held.values()) == RECENT_OBJECTS + 3
    assert (held.get("none"), held.pop("restored")["restore"]) == (None, {"days": 1})


@pytest.fixture
def objects(tmp_path: Path) -> Callable[[str, bytes, dict[str, Any]], Path]:
    """Writes an object as ministack does: bytes, then what is known of them."""

    def write(key: str, data: bytes, known: dict[str, Any]) -> Path:
        path = tmp_path / "000000000000" / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.with_name(f"{path.name}.meta.json").write_text(json.dumps(known))
        return path

    return write


def test_a_write_that_was_cut_off_is_undone(
    tmp_path: Path, objects: Callable[[str, bytes, dict[str, Any]], Path]
) -> None:
    """Bytes without a description go; bytes newer than it give way to the version it describes."""
    whole = objects("a/whole.jpg", b"whole", {"version_id": "1", "size": 5})
    torn = objects("a/torn.jpg", b"old", {"version_id": "2", "size": 3, "etag": "of old"})
    alone = objects("a/alone.jpg", b"old", {"version_id": None, "size": 3, "etag": "of old"})
    before = tmp_path / ".versions" / "000000000000" / BUCKET / "2" / "a" / "torn.jpg"
    before.parent.mkdir(parents=True)
    before.write_bytes(b"old")
    new, half = whole.with_name("new.jpg"), whole.with_name("x.jpg.tmp")
    later = time.time() + 5
    for path in (torn, alone, new, half):
        path.write_bytes(b"newer")
        os.utime(path, (later, later))

    undo_cut_off_writes(tmp_path)

    assert (whole.read_bytes(), torn.read_bytes()) == (b"whole", b"old")
    assert not new.exists()
    assert not half.exists()
    assert alone.read_bytes() == b"newer"
    known = json.loads(alone.with_name("alone.jpg.meta.json").read_text())
    assert (known["size"], known["etag"]) == (None, None)  # ministack reads both anew
    undo_cut_off_writes(tmp_path)
    assert torn.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("service", "method", "path", "target", "body", "expected"),
    [
        ("dynamodb", "POST", "/", "DynamoDB_20120810.CreateTable", b"{}", True),
        ("dynamodb", "POST", "/", "DynamoDB_20120810.PutItem", b"{}", False),
        ("dynamodb", "POST", "/", "DynamoDB_20120810.DescribeTable", b"{}", False),
        ("iam", "POST", "/", "", b"Action=CreateRole&Version=2010-05-08", True),
        ("iam", "POST", "/", "", b"Version=2010-05-08&Action=GetRole", False),
        ("sts", "POST", "/", "", b"Action=AssumeRole", True),
        ("lambda", "POST", "/2015-03-31/functions", "", b"{}", True),
        ("lambda", "GET", "/2015-03-31/functions", "", b"", False),
        ("s3", "PUT", "/bucket", "", b"", True),
        ("s3", "PUT", "/bucket/", "", b"<xml/>", True),
        ("s3", "PUT", "/bucket/key", "", b"", False),
        ("s3", "POST", "/bucket", "", b"", False),
        ("s3", "DELETE", "/bucket", "", b"", True),
    ],
)
def test_requests_that_change_more_than_rows_are_told_apart(
    service: str, method: str, path: str, target: str, body: bytes, *, expected: bool
) -> None:
    """Requests that change only items, messages or objects write no state; unknown requests do."""
    headers = {"x-amz-target": target} if target else {}

    assert changes_state(service, method, path, headers, body) is expected
