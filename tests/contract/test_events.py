"""Events: one suite on an EventBridge bus and on the local log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.eventbridge import BATCH_BYTES, ROUNDS, EventBridgeEvents
from worker.adapters.event_log import EventLog, event_line, follow, parse_event
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    EngineError,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.domain.events import Event
from worker.local.emulator import ACCOUNT, REGION, free_port
from worker.ports import Events

EVENT = Event(
    id="4b1c", type="asset.accepted", asset="a-1", time="2026-07-01T10:00:00.123456Z",
    detail={"owner": "größer 🙂", "renditions": [{"name": "thumb", "width": 256}]},
)  # fmt: skip


def numbered(count: int, *, start: int = 0) -> list[Event]:
    """Events that can be told apart."""
    return [replace(EVENT, id=f"{start + number:04}") for number in range(count)]


def stepping(*steps: Callable[[], object]) -> Callable[[], bool]:
    """What a follower does while it waits: the next of these, until there are no more."""
    left = list(steps)

    def step() -> bool:
        if not left:
            return False
        left.pop(0)()
        return True

    return step


def nothing() -> None:
    """Only look again."""


def logged(path: Path) -> list[Event]:
    """Everything in a log."""
    return list(follow(path, from_start=True, wait=stepping()))


@dataclass(frozen=True)
class Wire:
    """Where events go in and come out."""

    events: Events
    arrived: Callable[[], list[Event]]


@pytest.fixture(params=["log", "eventbridge"])
def wire(request: pytest.FixtureRequest, tmp_path: Path, fresh: Callable[[str], str]) -> Wire:
    """Every adapter in turn."""
    if request.param == "log":
        path = tmp_path / "deep" / "events.jsonl"
        return Wire(EventLog(path), lambda: logged(path))
    clients: AwsClients = request.getfixturevalue("clients")
    name = fresh("bus")
    clients.events.create_event_bus(Name=name)
    url = clients.sqs.create_queue(QueueName=name)["QueueUrl"]
    clients.events.put_rule(
        Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["safelight"]})
    )
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    clients.events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])

    def arrived() -> list[Event]:
        found = []
        while messages := clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                sent = json.loads(message["Body"])
                known = parse_event(json.dumps(sent["detail"]))
                assert known is not None
                found.append(known)
        return found

    return Wire(EventBridgeEvents(clients, name), arrived)


@pytest.mark.parametrize("count", [0, 1, 10, 25])
def test_what_is_published_arrives(wire: Wire, count: int) -> None:
    """Every event arrives once with its type, asset, time and all that it says."""
    wire.events.publish(numbered(count))

    assert sorted(wire.arrived(), key=lambda event: event.id) == numbered(count)


def test_words_of_an_event_hide_none_of_ours(wire: Wire) -> None:
    """Fields named id, type or asset in the payload do not change the envelope."""
    event = replace(EVENT, detail={"id": "x", "type": "y", "asset": "z", "time": "", "data": 1})

    wire.events.publish([event])

    assert wire.arrived() == [event]


@pytest.mark.parametrize("value", [float("nan"), b"bytes", {1, 2}], ids=["nan", "bytes", "set"])
def test_what_is_not_json_stops_all(wire: Wire, value: object) -> None:
    """An event that cannot be written is a defect, and the others are not sent half."""
    with pytest.raises(EngineError):
        wire.events.publish([*numbered(12), replace(EVENT, detail={"x": value})])
    assert wire.arrived() == []


def test_the_bus_is_told_the_time() -> None:
    """An entry names its source, its type and the moment it happened, not that it was sent."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.events) as stub:
        answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}
        seen: list[Any] = []
        clients.events.meta.events.register(
            "provide-client-params.eventbridge.PutEvents",
            lambda params, **_: seen.append(params),
        )
        stub.add_response("put_events", answer)

        EventBridgeEvents(clients, "bus").publish([EVENT])

    (entry,) = seen[0]["Entries"]
    assert (entry["EventBusName"], entry["Source"]) == ("bus", "safelight")
    assert entry["DetailType"] == "asset.accepted"
    assert entry["Time"].isoformat() == "2026-07-01T10:00:00.123456+00:00"
    assert json.loads(entry["Detail"])["data"] == EVENT.detail


@dataclass
class Bus:
    """A bus whose answers are given, and what it was asked."""

    events: EventBridgeEvents
    stub: Stubber
    asked: list[list[str]]
    pauses: list[float]

    def answer(self, *codes: str | None) -> None:
        """Answer one request: an error code for each entry, or None."""
        entries = [{"ErrorCode": code} if code else {"EventId": "e"} for code in codes]
        failed = sum(code is not None for code in codes)
        self.stub.add_response("put_events", {"FailedEntryCount": failed, "Entries": entries})


@pytest.fixture
def bus() -> Iterator[Bus]:
    """A bus with given answers that costs no waiting."""
    asked: list[list[str]] = []
    pauses: list[float] = []
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.events) as stub:

        def note(params: dict[str, Any], **_: object) -> None:
            asked.append([json.loads(entry["Detail"])["id"] for entry in params["Entries"]])

        clients.events.meta.events.register("provide-client-params.eventbridge.PutEvents", note)
        yield Bus(EventBridgeEvents(clients, "bus", pause=pauses.append), stub, asked, pauses)


def test_only_failed_entries_are_sent_again(bus: Bus) -> None:
    """Of ten entries of which the bus takes eight, two are sent again, later."""
    bus.answer(*[None] * 3, "ThrottlingException", *[None] * 5, "InternalFailure")
    bus.answer("ThrottlingException", None)
    bus.answer(None)

    bus.events.publish(numbered(10))

    assert bus.asked[1:] == [["0003", "0009"], ["0003"]]
    assert len(bus.pauses) == 2
    assert bus.pauses[0] < bus.pauses[1] * 2
    bus.stub.assert_no_pending_responses()


def test_a_bus_that_stays_busy_is_throttled(bus: Bus) -> None:
    """After the last round the caller is told to come back later."""
    for _ in range(ROUNDS):
        bus.answer("ThrottlingException")

    with pytest.raises(Throttled, match="ThrottlingException"):
        bus.events.publish([EVENT])

    assert len(bus.pauses) == ROUNDS - 1


@pytest.mark.parametrize(
    ("code", "kind"), [("AccessDeniedException", AccessDenied), ("MalformedDetail", EngineError)]
)
def test_what_the_bus_will_never_take_is_not_repeated(
    bus: Bus, code: str, kind: type[SafelightError]
) -> None:
    """An entry that is refused for good ends it at once."""
    bus.answer("ThrottlingException", code)

    with pytest.raises(kind):
        bus.events.publish(numbered(2))

    assert bus.pauses == []


def test_requests_keep_to_the_size_of_a_request(bus: Bus) -> None:
    """Large events go in several requests."""
    large = replace(EVENT, detail={"x": "x" * (BATCH_BYTES // 2 - 1000)})
    bus.answer(None, None)
    bus.answer(None, None)
    bus.answer(None)

    bus.events.publish([large] * 5)

    assert [len(ids) for ids in bus.asked] == [2, 2, 1]


def test_an_event_that_is_too_large_stops_all(bus: Bus) -> None:
    """No event is sent if one of them is too large."""
    large = replace(EVENT, detail={"x": "x" * BATCH_BYTES})
    with pytest.raises(EngineError):
        bus.events.publish([*numbered(12), large])
    assert bus.asked == []


def test_nobody_listening_is_unreachable() -> None:
    """A refused connection is transient."""
    with clients_for(f"http://127.0.0.1:{free_port()}") as clients, pytest.raises(Unreachable):
        EventBridgeEvents(clients, "bus").publish([EVENT])


def test_many_writers_write_whole_lines(tmp_path: Path) -> None:
    """Writers at the same time leave every event whole, those of one call side by side."""
    path = tmp_path / "events.jsonl"

    def write(writer: int) -> None:
        for number in range(20):
            EventLog(path).publish(numbered(3, start=writer * 100 + number * 3))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))

    ids = [event.id for event in logged(path)]
    assert len(ids) == len(set(ids)) == 240
    triples = [ids[start : start + 3] for start in range(0, 240, 3)]
    assert all(int(first) + 2 == int(last) for first, _, last in triples)


def test_a_follower_sees_what_comes(tmp_path: Path) -> None:
    """From now on, in order, and from the start if asked; the file may come later."""
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.publish(numbered(1))
    step = stepping(
        lambda: log.publish(numbered(2, start=1)), lambda: log.publish(numbered(1, start=3))
    )

    assert [event.id for event in follow(path, wait=step)] == ["0001", "0002", "0003"]
    assert [event.id for event in logged(path)] == ["0000", "0001", "0002", "0003"]


def test_a_follower_waits_for_the_file(tmp_path: Path) -> None:
    """A log that does not exist yet is read from its first event, and so is one made anew."""
    path = tmp_path / "events.jsonl"
    log = EventLog(path)

    def write() -> None:
        log.publish(numbered(2))

    def anew() -> None:
        path.unlink()
        log.publish(numbered(1, start=10))

    def cut() -> None:
        path.write_text("")

    def after_cut() -> None:
        log.publish(numbered(1, start=20))

    step = stepping(write, anew, nothing, cut, after_cut, nothing)

    ids = [event.id for event in follow(path, wait=step)]

    assert ids == ["0000", "0001", "0010", "0020"]


def test_a_follower_passes_over_what_is_no_event(tmp_path: Path) -> None:
    """Lines of somebody else, half lines and damaged text stop nobody."""
    path = tmp_path / "events.jsonl"
    good = event_line(EVENT)
    bad = ["", "{", "[]", "1", '{"id": 1}', '{"id":"x"}', "\x00", "[" * 50_000]
    path.write_bytes(b"\xff\xfe\n" + "\n".join([*bad, good, good[:20]]).encode())

    assert logged(path) == [EVENT]


def test_a_half_line_becomes_whole(tmp_path: Path) -> None:
    """A line that is there in part is yielded once the rest has come, even a very long one."""
    path = tmp_path / "events.jsonl"
    event = replace(EVENT, detail={"x": "x" * 200_000})
    text = event_line(event) + "\n"
    path.write_text(text[:1000])

    def rest() -> None:
        with path.open("a") as file:
            file.write(text[1000:])

    step = stepping(rest)

    assert list(follow(path, from_start=True, wait=step)) == [event]


def test_a_log_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file in the folder's place is one clear error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError):
        EventLog(tmp_path / "file" / "events.jsonl").publish([EVENT])
