"""What keeps the embedded AWS's state, where no embedded AWS is needed."""

from __future__ import annotations

import asyncio
import copy
import json
import os
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
    """What is added to ministack's list of all events is gone; without such a list it fails."""
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
    """What only changes items, messages or objects writes no state; everything unknown does."""
    headers = {"x-amz-target": target} if target else {}

    assert changes_state(service, method, path, headers, body) is expected
