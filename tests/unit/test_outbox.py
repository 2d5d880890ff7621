"""The outbox: what a change tells, and that whatever happens every event is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.contract import catalogs as given_
from tests.contract.catalogs import at, bare, entry, record
from tests.unit.fakes import Fuse, Killed, MemoryEvents
from tests.unit.memory_queue import MemoryQueue
from tests.unit.test_settings import COMPLETE
from worker.adapters.aws.dynamodb.items import Stored, job_item, log_item, meta_item, similar_item
from worker.adapters.aws.dynamodb.stream import FILTERS, events_of
from worker.bootstrap import outbox
from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    PendingUpload,
    Status,
    UploadMethod,
    Verdict,
    tombstone,
)
from worker.domain.errors import ConfigurationError, EngineError, SettingsError, Throttled
from worker.domain.events import TYPES, Event, of_job, of_line, of_record
from worker.entrypoints import lambda_outbox
from worker.local.stream_source import matches
from worker.services.outbox import LETTER_BYTES, Outbox
from worker.settings import Settings

ACCEPTED = replace(record(1), revision=1, created_at=at(0))
HELD, OTHER = (Verdict(code="held", message=text) for text in ("look", "look again"))


def changed(record: AssetRecord, **values: Any) -> AssetRecord:
    """The next revision of a record."""
    return replace(record, revision=record.revision + 1, **values)


WAITING = replace(
    bare(1),
    revision=1,
    created_at=at(0),
    status=Status.WAITING,
    version="",
    verdict=None,
    upload=PendingUpload(
        method=UploadMethod.PUT, media_type="image/jpeg", expires_at=at(99), request="r"
    ),
)
REVIEW = changed(ACCEPTED, status=Status.REVIEW, verdict=HELD)
DETAIL = {"version": "v", "cause": "closed"}
LINE = LogEntry(time=at(1), kind="invalidated", detail=DETAIL, id="i")
NEWER = replace(record(1, 2), revision=2, created_at=at(0), replaces=ACCEPTED.version)
FILES = tuple(replace(one, bytes=one.bytes - 1) for one in ACCEPTED.renditions)


@pytest.mark.parametrize(
    ("old", "new", "kind", "was"),
    [
        (None, ACCEPTED, "asset.accepted", None),
        (None, WAITING, "asset.waiting", None),
        (WAITING, changed(WAITING, status=Status.UPLOADED), "asset.uploaded", "waiting"),
        (ACCEPTED, REVIEW, "asset.held", "accepted"),
        (
            REVIEW,
            changed(REVIEW, verdict=Verdict(code="held", message="b")),
            "asset.held",
            "review",
        ),
        (
            REVIEW,
            changed(REVIEW, status=Status.PUBLISHED, verdict=None),
            "asset.published",
            "review",
        ),
        (REVIEW, changed(REVIEW, status=Status.REJECTED), "asset.rejected", "review"),
        (ACCEPTED, changed(ACCEPTED, status=Status.DELETED), "asset.deleted", "accepted"),
        (ACCEPTED, NEWER, "asset.accepted", None),
        (ACCEPTED, changed(ACCEPTED, renditions=FILES), "asset.upgraded", "accepted"),
        (ACCEPTED, changed(ACCEPTED, tags=frozenset({"sea"})), None, None),
        (ACCEPTED, changed(ACCEPTED, attributes={"a": "b"}), None, None),
        (ACCEPTED, changed(ACCEPTED, focal_point=(0.5, 0.5)), None, None),
        (ACCEPTED, changed(ACCEPTED, recipe_digest=""), None, None),
        (None, tombstone(ACCEPTED, time=at(9)), None, None),
        (tombstone(ACCEPTED, time=at(9)), None, None, None),
        (None, None, None, None),
    ],
)
def test_what_a_change_of_a_record_tells(
    old: AssetRecord | None, new: AssetRecord | None, kind: str | None, was: str | None
) -> None:
    """Its status, a new version, new files; and nothing of what people say about it."""
    event = of_record(old, new, time=at(50))

    assert (event and event.type) == kind
    if event is not None:
        assert event.detail.get("was") == was
        assert event.time == (new.updated_at if new else at(50))
        assert event.id.endswith(f"/{new.revision if new else 1}")


@pytest.mark.parametrize(("old", "replaced"), [(REVIEW, "review"), (ACCEPTED, None)])
def test_a_new_version_tells_that_people_were_asked_about_the_old_one(
    old: AssetRecord, replaced: str | None
) -> None:
    """By this the question about it is withdrawn; nothing else needs to know."""
    event = of_record(old, NEWER)

    assert event is not None
    assert event.detail.get("replaced") == replaced
    assert "was" not in event.detail


@pytest.mark.parametrize(("expired", "kind"), [(True, "asset.expired"), (False, "asset.erased")])
def test_a_record_that_goes_by_its_time_to_live_is_told_apart(*, expired: bool, kind: str) -> None:
    """A record that expired has the event of an upload that never arrived."""
    event = of_record(WAITING, None, time=at(99), expired=expired)

    assert event is not None
    assert (event.type, event.time, event.detail["was"]) == (kind, at(99), "waiting")


def test_a_workflow_is_named_by_the_event_that_starts_it_alone() -> None:
    """Else each later event would start it once more."""
    asked = replace(REVIEW, workflow="approve")

    def told(old: AssetRecord | None, new: AssetRecord) -> object:
        event = of_record(old, new)
        return None if event is None else event.detail.get("workflow")

    assert told(None, asked) == "approve"
    assert told(ACCEPTED, asked) == "approve"
    assert (
        told(replace(ACCEPTED, workflow=""), changed(ACCEPTED, workflow="moderate")) == "moderate"
    )
    assert told(asked, changed(asked, status=Status.REJECTED)) is None
    assert told(asked, changed(asked, verdict=OTHER)) is None
    assert told(asked, changed(asked, tags=frozenset({"a"}))) is None


def job(state: str, **detail: str) -> JobRecord:
    """A job in a state."""
    return JobRecord(
        asset=ACCEPTED.asset,
        id="j-1",
        kind="poster",
        state=state,
        created_at=at(1),
        updated_at=at(2),
        detail=detail,
    )


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (None, job("SUBMITTED"), "job.submitted"),
        (None, job("RUNNING", attempt="1"), "job.started"),
        (job("SUBMITTED"), job("RUNNING", attempt="1"), "job.started"),
        (job("RUNNING", percent="1"), job("RUNNING", percent="2"), None),
        (job("RUNNING"), job("RUNNABLE"), None),
        (job("RUNNABLE"), job("RUNNING", attempt="2"), "job.started"),
        (job("RUNNING"), job("SUCCEEDED"), "job.succeeded"),
        (job("RUNNING"), job("FAILED", code="too_large", reason="9 GB"), "job.failed"),
        (job("RUNNING"), job("FAILED", code="stopped", reason="by its owner"), "job.cancelled"),
        (job("SUCCEEDED"), None, None),
    ],
)
def test_a_job_tells_its_states_and_no_progress(
    old: JobRecord | None, new: JobRecord | None, kind: str | None
) -> None:
    """A machine that is taken back begins another attempt, which is told again."""
    event = of_job(old, new)

    assert (event and event.type) == kind
    if event is not None:
        assert (event.subject, event.asset) == ("j-1", ACCEPTED.asset)


def test_only_some_lines_of_the_timeline_tell() -> None:
    """Only entries about invalidations and failed jobs cause events."""
    gone = LogEntry(
        time=at(1), kind="invalidated", detail={"version": "v", "cause": "closed"}, id="i"
    )
    event = of_line(ACCEPTED.asset, gone)

    assert event is not None
    assert (event.type, event.detail) == (
        "asset.invalidated",
        {"version": "v", "cause": "closed"},
    )
    assert of_line(ACCEPTED.asset, replace(LINE, kind="tagged")) is None


# --- the stream -----------------------------------------------------------------------------------


def json_item(item: Any) -> Any:
    """An item as Lambda has it: bytes as base64."""
    from worker.local.stream_source import _json

    return _json(item)


def change(old: Any, new: Any, **more: Any) -> dict[str, Any]:
    """A record of the stream."""
    item = new or old
    images = {name: json_item(one) for name, one in (("OldImage", old), ("NewImage", new)) if one}
    kind = "REMOVE" if new is None else "INSERT" if old is None else "MODIFY"
    return {
        "eventName": kind,
        "dynamodb": {
            "ApproximateCreationDateTime": 1_778_310_000,
            "Keys": {name: item[name] for name in ("PK", "SK")},
            "SequenceNumber": str(len(json.dumps(images))),
            **images,
        },
        **more,
    }


def meta(record: AssetRecord | None) -> Any:
    """The item of a record."""
    return None if record is None else meta_item(Stored(record=record, entry=entry(record)))


CHANGES: Mapping[str, tuple[dict[str, Any], str | None]] = {
    "a record": (change(None, meta(ACCEPTED)), "asset.accepted"),
    "a status": (change(meta(ACCEPTED), meta(REVIEW)), "asset.held"),
    "a tag": (change(meta(ACCEPTED), meta(changed(ACCEPTED, tags=frozenset("a")))), None),
    "erased": (change(meta(ACCEPTED), None), "asset.erased"),
    "expired": (
        change(
            meta(WAITING),
            None,
            userIdentity={"type": "Service", "principalId": "dynamodb.amazonaws.com"},
        ),
        "asset.expired",
    ),
    "a hash": (change(None, similar_item(ACCEPTED, "0" * 16)), None),
    "a line": (change(None, log_item(ACCEPTED.asset, LINE, None)), "asset.invalidated"),
    "a line again": (
        change(log_item(ACCEPTED.asset, LINE, None), log_item(ACCEPTED.asset, LINE, 1)),
        None,
    ),
    "another line": (
        change(None, log_item(ACCEPTED.asset, replace(LINE, kind="tagged"), None)),
        None,
    ),
    "a line that goes": (change(log_item(ACCEPTED.asset, LINE, None), None), None),
    "a job": (change(None, job_item(job("SUBMITTED"))), "job.submitted"),
    "a job that begins": (change(None, job_item(job("RUNNING"))), "job.started"),
    "a job that is started": (
        change(job_item(job("SUBMITTED")), job_item(job("RUNNING"))),
        "job.started",
    ),
    "progress": (
        change(job_item(job("RUNNING", percent="1")), job_item(job("RUNNING", percent="2"))),
        None,
    ),
    "a job that ends": (
        change(job_item(job("RUNNING")), job_item(job("SUCCEEDED"))),
        "job.succeeded",
    ),
    "a job that goes": (change(job_item(job("RUNNING")), None), None),
}
QUIET = {"a hash", "another line", "a line that goes", "progress", "a job that goes"}
"""Changes that cost nothing, because the function is not called for them."""


@pytest.mark.parametrize("name", CHANGES)
def test_the_stream_tells_what_the_change_tells_and_the_filter_lets_it_pass(name: str) -> None:
    """Every change with an event passes the filter; changes that never have an event are filtered
    out."""
    record, kind = CHANGES[name]

    told = events_of(record)

    assert [one.type for one in told] == ([kind] if kind else [])
    assert {one.type for one in told} <= TYPES.keys()
    passed = any(matches(record, one) for one in FILTERS)
    assert passed is (name not in QUIET)


def test_a_pattern_that_the_stack_cannot_follow_is_an_error() -> None:
    """It must not pass for one that matches nothing."""
    with pytest.raises(ValueError, match="numeric"):
        matches({"a": 1}, {"a": [{"numeric": [">", 0]}]})


# --- the service ----------------------------------------------------------------------------------


@dataclass
class World:
    """The outbox on a bus and a queue that can break."""

    fuse: Fuse = field(default_factory=Fuse)
    bus: MemoryEvents = field(init=False)
    queue: MemoryQueue = field(default_factory=MemoryQueue)

    def __post_init__(self) -> None:
        """Nothing is sent yet."""
        self.bus = MemoryEvents(self.fuse)

    @property
    def outbox(self) -> Outbox:
        """The service."""
        return Outbox(read=events_of, events=self.bus, queue=self.queue, dead_letters="dead")

    @property
    def letters(self) -> list[Any]:
        """The dead letters."""
        return [json.loads(body) for body in self.queue.bodies("dead")]


def records(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Changes of different assets, numbered."""
    found = []
    for number in range(start, start + count):
        one = change(None, meta(replace(record(number), revision=1, created_at=at(0))))
        one["dynamodb"]["SequenceNumber"] = f"{number:03}"
        found.append(one)
    return found


def test_events_are_sent_in_the_order_of_their_changes() -> None:
    """And the response names nothing that is to come again."""
    world = World()

    response = lambda_outbox.handle({"Records": records(60)}, world.outbox)

    assert response == {"batchItemFailures": []}
    expected = [given_.asset_id(number) for number in range(60)]
    assert [one.asset for one in world.bus.published] == expected
    assert lambda_outbox.handle({"Records": []}, world.outbox) == response
    assert lambda_outbox.handle({}, world.outbox) == response


def test_what_the_bus_did_not_take_comes_again_with_all_that_follows() -> None:
    """Earlier changes of the batch are not repeated."""
    world = World(Fuse(burns_at=2, error=lambda: Throttled("no")))
    batch = records(60)

    (failed,) = lambda_outbox.handle({"Records": batch}, world.outbox)["batchItemFailures"]

    assert failed == {"itemIdentifier": "025"}
    assert len(world.bus.published) == 25
    lambda_outbox.handle({"Records": batch[25:]}, world.outbox)
    assert len({one.id for one in world.bus.published}) == 60


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere_every_event_is_sent(*, after: bool) -> None:
    """At least once, each with its id: the batch comes again as a whole."""
    for step in (1, 2, 3):
        world = World(Fuse(burns_at=step, error=Killed, after=after))
        with pytest.raises(Killed):
            world.outbox.handle(records(60))

        world.outbox.handle(records(60))

        assert len({one.id for one in world.bus.published}) == 60


@pytest.mark.parametrize(
    "broken",
    [
        {"dynamodb": {"SequenceNumber": "1"}},
        change(None, {**meta(ACCEPTED), "body": {"B": b"\x09"}}),
        change(None, {**meta(ACCEPTED), "status": {"S": "new"}}),
        {**change(None, meta(ACCEPTED)), "dynamodb": {"SequenceNumber": "1", "Keys": 7}},
    ],
    ids=["no keys", "an unknown body", "an unknown status", "other keys"],
)
def test_what_cannot_be_read_is_give_up_and_holds_up_nothing(broken: dict[str, Any]) -> None:
    """With the change itself: the stream forgets it after a day."""
    world = World()

    told = world.outbox.handle([*records(1), broken, *records(1, 1)])

    assert (told.events, told.unreadable, told.failed) == (2, 1, "")
    (letter,) = world.letters
    assert letter["code"] == EngineError.code
    assert letter["record"]["dynamodb"]["SequenceNumber"] == broken["dynamodb"]["SequenceNumber"]


def test_an_event_that_the_bus_refuses_is_give_up_alone() -> None:
    """Too large, say: its neighbours are sent."""
    world = World()
    refused = given_.asset_id(1)

    class Bus:
        """Takes all but one."""

        def publish(self, events: Sequence[Event]) -> None:
            """See the port."""
            if any(one.asset == refused for one in events):
                raise EngineError("an event of 300,000 bytes")
            world.bus.publish(events)

    told = replace(world.outbox, events=Bus()).handle(records(3))

    assert told.unreadable == 1
    assert [one.asset for one in world.bus.published] == [given_.asset_id(0), given_.asset_id(2)]
    (letter,) = world.letters
    assert letter["record"]["dynamodb"]["Keys"]["SK"] == {"S": "META"}


def test_a_dead_letter_of_a_huge_change_has_its_keys() -> None:
    """A queue takes no more than so many bytes."""
    world, huge = World(), records(1)[0]
    huge["dynamodb"]["NewImage"]["body"] = {"B": "!" * LETTER_BYTES}

    world.outbox.handle([huge])

    (letter,) = world.letters
    assert letter["record"] == {"dynamodb": {"Keys": huge["dynamodb"]["Keys"]}}


def test_a_mistake_of_the_deployment_fails_the_batch() -> None:
    """A bus that is not there is cured by a deployment: nothing is given up meanwhile."""
    world = World(Fuse(burns_at=1, error=lambda: ConfigurationError("no such bus")))

    with pytest.raises(ConfigurationError):
        world.outbox.handle(records(2))

    assert world.letters == []


def test_without_a_queue_for_what_fails_the_function_does_not_start() -> None:
    """A mistake in the settings is named by its variable."""
    with pytest.raises(SettingsError, match="SAFELIGHT_OUTBOX_DLQ_URL"):
        outbox(Settings.from_environment(COMPLETE))
