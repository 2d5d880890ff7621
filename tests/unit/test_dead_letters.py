"""Dead letters: looked at without loss, grouped by cause, sent back and dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.fakes import Fuse, Killed, MemoryCatalog
from tests.unit.memory_queue import MemoryQueue
from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Status,
    asset_id_of,
    version_of,
)
from worker.domain.errors import Throttled
from worker.ports import Message
from worker.services import dead_letters, ordering
from worker.services.dead_letters import DeadLetters, QueuePair, Selection, groups
from worker.services.messages import changes_in

WORK = QueuePair(queue="http://here/work.fifo", dead_letters="http://here/work-dead.fifo")
UPLOADS = QueuePair(
    queue="http://here/uploads", dead_letters="http://here/uploads-dead", direct=False
)

INVALIDATIONS = QueuePair(
    queue="http://here/invalidations", dead_letters="http://here/invalidations-dead", events=True
)


def notification(key: str, *, sequencer: str = "0A", name: str = "ObjectCreated:Put") -> str:
    """An S3 event notification."""
    item = {"key": key, "size": 3, "eTag": "e", "sequencer": sequencer}
    record = {"eventName": name, "s3": {"bucket": {"name": "intake"}, "object": item}}
    return json.dumps({"Records": [record]})


class World:
    """Two queue pairs with dead letters, and a clock that only pauses move."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        """Start empty."""
        self.queue = MemoryQueue(fuse)
        self.catalog = MemoryCatalog()
        self.seconds = 0.0
        self.dead_letters = DeadLetters(
            self.queue,
            self.catalog,
            (WORK, UPLOADS, INVALIDATIONS),
            pause=self.pause,
            clock=lambda: self.seconds,
            now=lambda: datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=self.seconds),
        )

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def add_dead(self, *bodies: str, pair: QueuePair = WORK) -> None:
        """Put messages into a dead-letter queue."""
        for number, body in enumerate(bodies):
            self.queue.send(pair.dead_letters, [(body, f"group-{number}", f"{pair.name}{number}")])
        self.queue.sent.clear()

    def record(self, key: str, sequencer: str = "0A") -> None:
        """Let the catalog know an upload."""
        (upload,) = changes_in(notification(key, sequencer=sequencer))
        assert isinstance(upload, ObjectVersion)
        asset = asset_id_of("intake", key)
        self.catalog.records[asset] = AssetRecord(
            asset=asset,
            source=upload,
            recipe="r",
            recipe_digest="d",
            version=version_of("e", sequencer, "d"),
            status=Status.ACCEPTED,
        )

    def fail(self, key: str, error: str = "throttled", *, sequencer: str = "0A") -> None:
        """Let a try of an upload have failed."""
        dead_letters.remember(
            self.catalog,
            notification(key, sequencer=sequencer),
            Throttled("slow down", code=error),
            receives=5,
            time="2026-01-01T00:00:00.000000Z",
        )

    def causes(self) -> dict[str, int]:
        """How many dead letters of each cause there are."""
        return {group.cause: group.count for group in groups(self.dead_letters.look())}


def everything_is_visible(queue: MemoryQueue) -> bool:
    """No message is left hidden."""
    return not any(one.hidden for held in queue.waiting.values() for one in held)


# --- looking ----------------------------------------------------------------------------------


def test_dead_letters_are_grouped_by_why_they_failed() -> None:
    """Malformed, empty, settled, failed with a code, and unknown are told apart."""
    world = World()
    world.add_dead(
        "no JSON",
        notification("a", name="ObjectTagging:Put"),
        notification("known"),
        notification("slow"),
        notification("slower"),
        notification("never seen"),
    )
    world.record("known")
    world.fail("slow")
    world.fail("slower")

    assert world.causes() == {
        "throttled": 2,
        "message_malformed": 1,
        "no_upload": 1,
        "settled": 1,
        "unknown": 1,
    }


def test_a_failure_of_another_upload_is_no_cause() -> None:
    """A line of the timeline counts only for the upload it was written for."""
    world = World()
    world.add_dead(notification("picture", sequencer="0B"))
    world.fail("picture", sequencer="0A")

    assert world.causes() == {"unknown": 1}


def test_a_failure_after_the_commit_is_the_cause() -> None:
    """The record is there but its event was not published: that is what failed."""
    world = World()
    world.add_dead(notification("picture"))
    world.record("picture")
    world.fail("picture", "unreachable")

    assert world.causes() == {"unreachable": 1}


def test_a_deletion_is_a_dead_letter_like_an_upload() -> None:
    """With its object and its cause, until the catalog says that nothing is left to do."""
    world = World()
    world.record("a.jpg")
    removal = notification("a.jpg", sequencer="0B", name="ObjectRemoved:Delete")
    error, time = Throttled("slow down", code="throttled"), "2026-01-01T00:00:00.000000Z"
    dead_letters.remember(world.catalog, removal, error, receives=3, time=time)
    world.add_dead(removal, removal.replace('"0B"', '"0C"'))

    assert world.causes() == {"throttled": 1, "unknown": 1}
    world.record("a.jpg", "0D")
    assert world.causes() == {"throttled": 1, "settled": 1}


def test_the_last_failure_is_the_cause() -> None:
    """Of several failures of an upload the newest counts."""
    world = World()
    world.add_dead(notification("picture"))
    world.fail("picture", "throttled")
    (entry,) = world.catalog.entries.values()
    later = LogEntry(
        time="2026-01-02T00:00:00.000000Z",
        kind=dead_letters.FAILED,
        detail={**entry.detail, "code": "storage_full"},
    )
    world.catalog.log(asset_id_of("intake", "picture"), later)

    assert world.causes() == {"storage_full": 1}


def test_looking_takes_nothing_away() -> None:
    """More dead letters than one receive brings, of both pairs: all are seen and put back."""
    world = World()
    world.add_dead(*(notification(f"{n}") for n in range(23)))
    world.add_dead(*(notification(f"u{n}") for n in range(3)), pair=UPLOADS)

    assert len(world.dead_letters.look()) == 26
    assert everything_is_visible(world.queue)
    assert len(world.dead_letters.look(Selection(limit=4))) == 4
    assert everything_is_visible(world.queue)


def test_a_look_that_breaks_puts_back_what_it_took() -> None:
    """The queue stops answering half-way: what was taken is visible again."""
    world = World(Fuse(burns_at=26, error=lambda: Throttled("slow down")))
    world.add_dead(*(notification(f"{n}") for n in range(23)))

    with pytest.raises(Throttled):
        world.dead_letters.look()

    assert everything_is_visible(world.queue)


def test_no_dead_letters_are_no_groups() -> None:
    """Empty queues give an empty list."""
    assert World().dead_letters.look() == []


# --- sending back -----------------------------------------------------------------------------


def test_dead_letters_go_back_to_the_queue_they_came_from() -> None:
    """For the function they are marked, in their old group; for the pipe as S3 sent them."""
    world = World()
    world.add_dead(notification("a"))
    world.add_dead(notification("b"), pair=UPLOADS)

    summary = world.dead_letters.redrive(Selection(), rate=100)

    assert summary.done == {"unknown": 2}
    (to_work, to_uploads) = world.queue.sent
    assert to_work[0] == WORK.queue
    assert json.loads(to_work[1])["redriven"] is True
    assert json.loads(to_work[1])["body"] == notification("a")
    assert to_work[2] == "group-0"
    assert changes_in(to_work[1]) == changes_in(notification("a"))
    assert to_uploads[:2] == (UPLOADS.queue, notification("b"))
    assert world.dead_letters.look() == []


def test_a_dead_letter_of_a_standard_queue_gets_its_objects_group() -> None:
    """The order of one object's events is kept."""
    world = World()
    world.add_dead(notification("b"), pair=UPLOADS)

    world.dead_letters.redrive(Selection(), rate=100)

    expected = ordering.handler([{"body": notification("b")}])[0]["group"]
    assert world.queue.sent[0][2] == expected


@pytest.mark.parametrize("pair", [WORK, UPLOADS])
def test_the_record_of_a_call_that_nobody_waited_for_is_a_dead_letter_like_others(
    pair: QueuePair,
) -> None:
    """Lambda's record of the failed call contains the event, which is sent back."""
    event = {"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": notification("a")}]}
    record = {
        "version": "1.0",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "responsePayload": {"errorType": "Sandbox.Timedout"},
    }
    world = World()
    world.add_dead(json.dumps(record), pair=pair)

    (dead_letter,) = world.dead_letters.look()
    world.dead_letters.redrive(Selection(), rate=100)

    assert (dead_letter.cause, [one.key for one in dead_letter.uploads]) == ("unknown", ["a"])
    (sent,) = world.queue.sent
    assert sent[0] == pair.queue
    assert changes_in(sent[1]) == changes_in(notification("a"))


def test_a_dead_letter_sent_back_twice_is_not_wrapped_twice() -> None:
    """However often it comes here, the body inside stays what S3 has sent."""
    world = World()
    world.add_dead(notification("a"))
    world.dead_letters.redrive(Selection(), rate=100)
    returned = world.queue.sent[0][1]
    again = World()
    again.add_dead(returned)

    again.dead_letters.redrive(Selection(), rate=100)

    assert json.loads(again.queue.sent[0][1])["body"] == notification("a")


def test_a_crash_between_send_and_delete_sends_the_same_again() -> None:
    """The deduplication id is that of the first time, so a FIFO queue delivers one message."""

    def dead_after(name: str) -> Fuse:
        class Burning(Fuse):
            def around(self, called: str, effect: Callable[[], object]) -> object:
                if called == name:
                    raise Killed
                return effect()

        return Burning()

    world = World()
    world.add_dead(notification("a"))
    whole, world.queue.fuse = world.queue.fuse, dead_after("queue.delete")
    with pytest.raises(Killed):
        world.dead_letters.redrive(Selection(), rate=100)
    world.queue.fuse = whole

    summary = world.dead_letters.redrive(Selection(), rate=100)

    assert summary.done.total() == 1
    first, second = world.queue.sent
    assert first[3] == second[3]
    assert len(world.queue.bodies(WORK.queue)) == 1


def test_the_rate_is_kept() -> None:
    """Twenty dead letters at four a second take 4.75 seconds: no wait before the first."""
    world = World()
    world.add_dead(*(notification(f"{n}") for n in range(20)))

    world.dead_letters.redrive(Selection(), rate=4)

    assert world.seconds == pytest.approx(4.75)


def test_what_can_never_succeed_stays_unless_it_is_named() -> None:
    """A malformed message would only come back; whoever names it gets what was asked for."""
    world = World()
    world.add_dead("no JSON", notification("a"))

    summary = world.dead_letters.redrive(Selection(), rate=100)
    assert (summary.done, summary.left) == ({"unknown": 1}, 1)
    assert world.queue.bodies(WORK.dead_letters) == ["no JSON"]

    named = Selection(causes=frozenset({"message_malformed"}))
    assert world.dead_letters.redrive(named, rate=100).done.total() == 1
    assert world.dead_letters.look() == []


def test_what_comes_back_during_the_run_is_left() -> None:
    """A message that fails again at once does not keep a redrive going for ever."""
    world = World()
    world.dead_letters = DeadLetters(
        world.queue,
        world.catalog,
        (WORK,),
        now=lambda: datetime(2026, 1, 1, 0, 0, 2, 500_000, tzinfo=UTC),
    )
    world.add_dead(*(notification(f"{n}") for n in range(4)))  # sent at seconds 1 to 4

    summary = world.dead_letters.redrive(Selection(), rate=1000)

    assert (summary.done.total(), summary.left) == (2, 2)
    assert everything_is_visible(world.queue)


@pytest.mark.parametrize(
    ("choice", "done"),
    [
        (Selection(causes=frozenset({"throttled"})), 2),
        (Selection(limit=1), 1),
        (Selection(causes=frozenset({"throttled"}), limit=1), 1),
        (Selection(ids=frozenset({"m2"})), 1),
        (Selection(ids=frozenset({"m2"}), causes=frozenset({"unknown"})), 0),
    ],
)
def test_a_choice_is_kept_to(choice: Selection, done: int) -> None:
    """Cause, id and limit choose together; the others stay and are visible."""
    world = World()
    world.add_dead(*(notification(name) for name in ("a", "b", "c")))
    world.fail("b")
    world.fail("c")

    summary = world.dead_letters.redrive(choice, rate=100)

    assert summary.done.total() == done
    assert len(world.dead_letters.look()) == 3 - done
    assert everything_is_visible(world.queue)


def test_whoever_stops_a_redrive_finds_the_rest_untouched() -> None:
    """Stopped after two, the others are visible at once."""
    world = World()
    world.add_dead(*(notification(f"{n}") for n in range(5)))

    summary = world.dead_letters.redrive(
        Selection(), rate=100, stopped=lambda: len(world.queue.sent) >= 2
    )

    assert summary.done.total() == 2
    assert len(world.dead_letters.look()) == 3
    assert everything_is_visible(world.queue)


def test_dropping_deletes_what_is_chosen_and_sends_nothing() -> None:
    """Only the malformed one is gone."""
    world = World()
    world.add_dead("no JSON", notification("a"))

    summary = world.dead_letters.drop(Selection(causes=frozenset({"message_malformed"})))

    assert summary.done == {"message_malformed": 1}
    assert world.queue.sent == []
    assert world.causes() == {"unknown": 1}


def test_the_note_of_a_failure_is_short() -> None:
    """A reason of any length leaves a line of bounded size; a malformed message leaves none."""
    catalog = MemoryCatalog()
    error = Throttled("x" * 10_000)
    time = "2026-01-01T00:00:00.000000Z"
    dead_letters.remember(catalog, notification("a"), error, receives=2, time=time)
    dead_letters.remember(catalog, "no JSON", error, receives=2, time=time)

    (entry,) = catalog.entries.values()
    assert len(entry.detail["reason"]) == 300


def test_an_event_without_an_invalidation_is_sent_back_as_it_was() -> None:
    """Its cause says what is at stake; what the bus could not deliver says why."""
    world = World()
    asset = "11111111-1111-4111-8111-111111111111"
    event = json.dumps({"id": "1", "detail-type": "asset.erased", "detail": {"asset": asset}})
    world.add_dead(event, "no event", pair=INVALIDATIONS)

    found = {one.cause: one for one in world.dead_letters.look()}

    assert found.keys() == {"not_invalidated", "message_malformed"}
    assert found["not_invalidated"].assets == (asset,)
    done = world.dead_letters.redrive(Selection(), rate=100)
    assert (done.done, done.left) == ({"not_invalidated": 1}, 1)
    assert world.queue.sent == [(INVALIDATIONS.queue, event, "", "")]


def test_an_event_that_the_bus_could_not_deliver_says_why() -> None:
    """Its attributes have code and message of the failure."""
    asset = "11111111-1111-4111-8111-111111111111"
    body = json.dumps({"id": "1", "detail-type": "asset.held", "detail": {"asset": asset}})
    attributes = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "not allowed"}
    message = Message(id="1", body=body, receipt="r", receives=1, attributes=attributes)

    found = dead_letters._of_event(INVALIDATIONS, message)

    assert (found.cause, found.reason) == ("undelivered", "NO_PERMISSIONS: not allowed")
