"""The ingest function on events as Lambda gives them: what it answers and what it puts back.

The events in tests/events/ are of the form that Lambda's documentation shows; the objects they
name are put into a store in memory here, so that etags, sizes and version ids are the right ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fakes import Fuse, MemoryCatalog, MemoryStore
from tests.unit.memory_queue import MemoryQueue
from worker.bootstrap import Application
from worker.domain.asset import Status, asset_id_of
from worker.domain.errors import SafelightError, Throttled, Unreachable
from worker.entrypoints import lambda_ingest
from worker.entrypoints.lambda_ingest import handle
from worker.services.dead_letters import FAILED
from worker.settings import Ordering, Settings

EVENTS = Path(__file__).parents[1] / "events"
GIF = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401003b"
)
"""The smallest picture: one white pixel. The events carry its MD5 and size."""
KEY = "uploads/café 1+1.gif"


def event(name: str) -> dict[str, Any]:
    """One of the events."""
    value: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return value


def ids(value: dict[str, Any]) -> list[str]:
    """Message ids of an event."""
    return [record["messageId"] for record in value["Records"]]


def failed(response: dict[str, Any]) -> list[str]:
    """Message ids that a response names."""
    return [item["itemIdentifier"] for item in response["batchItemFailures"]]


@dataclass
class Clock:
    """A context object whose remaining time is read from a list, the last one for ever."""

    remaining: list[int] = field(default_factory=lambda: [120_000])
    function_name: str = "ingest"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:123456789012:function:ingest"
    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    def get_remaining_time_in_millis(self) -> int:
        """See Lambda."""
        return self.remaining.pop(0) if len(self.remaining) > 1 else self.remaining[0]


class World:
    """A wired application on fakes."""

    def __init__(
        self,
        ordering: Ordering = Ordering.STANDARD,
        *,
        store: Fuse | None = None,
        catalog: Fuse | None = None,
    ) -> None:
        """Start empty."""
        self.store = MemoryStore(store)
        self.catalog = MemoryCatalog(catalog)
        self.queue = MemoryQueue()
        self.app = Application(
            settings=Settings(
                table="catalog",
                intake_bucket="intake",
                delivery_bucket="delivery",
                quarantine_bucket="quarantine",
                event_bus="bus",
                queue_url="work",
                dlq_url="dead",
                ordering=ordering,
                recipe="avatar",
                retry_seconds=10,
            ),
            store=self.store,
            catalog=self.catalog,
            queue=self.queue,
        )

    def handle(self, value: dict[str, Any], clock: Clock | None = None) -> dict[str, Any]:
        """Invoke the function."""
        return handle(value, clock or Clock(), self.app)  # type: ignore[arg-type]

    @property
    def statuses(self) -> dict[str, Status]:
        """Status by key."""
        return {record.source.key: record.status for record in self.catalog.records.values()}


def breaking(times: int, error: Callable[[str], SafelightError] = Unreachable) -> Fuse:
    """A fuse that breaks its first calls."""

    class Burning(Fuse):
        def around(self, name: str, effect: Callable[[], object]) -> object:
            self.calls.append(name)
            if len(self.calls) <= times:
                raise error("not now")
            return effect()

    return Burning()


# --- what events mean -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["s3_notification", "event_bridge", "pipe_wrapped"])
def test_every_form_of_an_upload_event_is_understood(name: str) -> None:
    """A notification, an EventBridge event and a record a pipe passed on: one accepted asset."""
    world = World()
    world.store.upload("intake", KEY, GIF)

    response = world.handle(event(name))

    assert response == {"batchItemFailures": []}
    assert world.statuses == {KEY: Status.ACCEPTED}
    assert [one.type for one in world.catalog.told] == ["asset.accepted"]
    assert world.queue.hidden == []


@pytest.mark.parametrize("name", ["test_event", "object_removed", "other_bucket"])
def test_what_is_no_upload_is_done_without_work(name: str) -> None:
    """S3's test message, a deletion and an event of another bucket are done with, nothing else."""
    world = World()

    assert world.handle(event(name)) == {"batchItemFailures": []}
    assert world.statuses == {}
    assert world.store.fuse.calls == []


def test_a_malformed_message_is_tried_again_at_once() -> None:
    """Waiting does not help it: it is a dead letter as soon as its receives run out."""
    world, value = World(), event("malformed")

    assert failed(world.handle(value)) == ids(value)
    assert world.queue.hidden == [(ids(value)[0], 0)]
    assert world.catalog.entries == {}


def test_an_empty_batch_wires_the_services_and_does_nothing() -> None:
    """A warm-up call reports mistakes in the settings and does nothing else."""
    assert World().handle({"Records": []}) == {"batchItemFailures": []}


def test_metrics_are_published_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch leaves a line for each stage; one that only wakes the process up leaves none."""
    world = World()
    monkeypatch.setattr(lambda_ingest, "application", lambda: world.app)
    world.store.put("intake", KEY, GIF, content_type="image/gif")

    lambda_ingest.handler({"Records": []}, Clock())  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""
    lambda_ingest.handler(event("standard_batch"), Clock())  # type: ignore[arg-type]

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    published = [line for line in lines if "_aws" in line]
    assert {line["stage"] for line in published} == {"fetch", "render", "commit"}
    assert len(published) == 3
    assert published[0]["Uploads"] == 3
    assert {line["service"] for line in published} == {"ingest"}


# --- what fails -------------------------------------------------------------------------------


def test_only_what_failed_is_returned() -> None:
    """Of three messages one finds its store unreachable; the other two are done."""
    world = World(store=breaking(1))
    for number in (1, 2, 3):
        world.store.upload("intake", f"uploads/{number}.gif", GIF)
    value = event("standard_batch")

    assert failed(world.handle(value)) == ids(value)[:1]
    assert set(world.statuses) == {"uploads/2.gif", "uploads/3.gif"}


def test_a_batch_that_fails_entirely_is_an_answer_not_an_error() -> None:
    """Every message is named; raising would make Lambda retry them without their own waits."""
    for ordering in Ordering:
        world, value = World(ordering, store=breaking(9)), event("standard_batch")
        assert failed(world.handle(value)) == ids(value)


@pytest.mark.parametrize(("receives", "wait"), [(1, 10), (2, 20), (3, 40), (7, 640), (12, 900)])
def test_the_wait_grows_with_every_receive(receives: int, wait: int) -> None:
    """A transient failure rests twice as long each time, at most a quarter of an hour."""
    world, value = World(store=breaking(9)), event("s3_notification")
    value["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(receives)

    world.handle(value)

    assert world.queue.hidden == [(ids(value)[0], wait)]


def test_time_running_out_returns_the_rest() -> None:
    """With too little time for another picture the remaining messages come back at once."""
    world = World()
    for number in (1, 2, 3):
        world.store.upload("intake", f"uploads/{number}.gif", GIF)
    value = event("standard_batch")

    response = world.handle(value, Clock([60_000, 1_000]))

    assert failed(response) == ids(value)[1:]
    assert set(world.statuses) == {"uploads/1.gif"}
    assert world.queue.hidden == [(message, 0) for message in ids(value)[1:]]
    assert world.catalog.entries.keys() == {
        key for key in world.catalog.entries if key[0] == asset_id_of("intake", "uploads/1.gif")
    }


def test_a_failure_holds_back_its_own_group_only() -> None:
    """On FIFO the later upload of the same object waits behind the failed one; others go on."""
    world, value = World(Ordering.FIFO, store=breaking(1)), event("fifo")
    for key in ("one", "two", "one"):
        world.store.upload("intake", f"uploads/{key}.gif", GIF)
    first, _, third = ids(value)

    assert failed(world.handle(value)) == [first, third]
    assert set(world.statuses) == {"uploads/two.gif"}
    assert world.queue.hidden == [(first, 10), (third, 0)]


def test_the_next_delivery_of_a_group_is_done_in_order() -> None:
    """Delivered again, both uploads of the object are handled, and the newer one is recorded."""
    world, value = World(Ordering.FIFO), event("fifo")
    for key in ("one", "two", "one"):
        world.store.upload("intake", f"uploads/{key}.gif", GIF)

    assert failed(world.handle(value)) == []
    known = world.catalog.records[asset_id_of("intake", "uploads/one.gif")]
    assert known.source.sequencer == "0055AED6DCD90281E3"


# --- what is remembered of a failure ----------------------------------------------------------


def test_a_second_failure_is_written_to_the_timeline() -> None:
    """`safelight dlq` finds the cause there; a first failure mostly passes and costs no write."""
    world, value = World(store=breaking(9, Throttled)), event("s3_notification")
    world.handle(value)
    assert world.catalog.entries == {}

    value["Records"][0]["attributes"]["ApproximateReceiveCount"] = "2"
    world.handle(value)

    (entry,) = world.catalog.entries.values()
    assert (entry.kind, entry.detail["code"]) == (FAILED, "throttled")
    assert entry.detail["sequencer"] == "0055AED6DCD90281E5"


def test_a_catalog_that_does_not_answer_costs_one_try_to_remember() -> None:
    """Ten messages that fail because of the catalog must not each wait for it once more."""
    world, value = World(catalog=breaking(99)), event("standard_batch")
    for record in value["Records"]:
        record["attributes"]["ApproximateReceiveCount"] = "3"

    assert failed(world.handle(value)) == ids(value)
    assert world.catalog.fuse.calls == ["catalog.get"] * 3 + ["catalog.log"]


def test_near_the_end_nothing_is_remembered() -> None:
    """The response must not be late for the sake of a note."""
    world, value = World(store=breaking(9)), event("s3_notification")
    value["Records"][0]["attributes"]["ApproximateReceiveCount"] = "2"

    assert failed(world.handle(value, Clock([60_000, 5_000]))) == ids(value)
    assert world.catalog.entries == {}


def test_what_was_sent_back_counts_as_failed_before() -> None:
    """A dead letter that returns concludes a commit after which the process died."""
    world, value = World(), event("s3_notification")
    world.store.upload("intake", KEY, GIF)
    world.handle(value)
    world.store.fuse.calls.clear()
    record = value["Records"][0]
    world.handle(value)
    assert "store.head" not in world.store.fuse.calls

    record["body"] = json.dumps({"messageId": "m", "body": record["body"], "redriven": True})
    world.handle(value)

    assert "store.head" in world.store.fuse.calls  # is the original still there?
