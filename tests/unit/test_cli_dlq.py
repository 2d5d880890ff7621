"""``dlq``: each cause by itself, and dead letters of the workflow beside those of the intake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_pipeline import OUTPUTS, Pipeline, pipeline
from worker.domain.asset import AssetRecord, Status
from worker.domain.errors import AccessDenied, SafelightError, Unreachable
from worker.services import dead_letters
from worker.services.messages import not_started

DEAD = "http://127.0.0.1:9/1/dead.fifo"
HEAVY = OUTPUTS["heavyDeadLetters"]
ASSET = "0192f0c1-0000-7000-8000-000000000001"


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """A pipeline without dead letters."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as made:
        yield made


def notification(key: str) -> str:
    """An S3 event notification."""
    item = {"key": key, "size": 3, "eTag": "e", "sequencer": "0A"}
    record = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "intake"}, "object": item},
    }
    return json.dumps({"Records": [record]})


def failed(world: Pipeline, key: str, error: SafelightError) -> None:
    """A dead letter of an upload whose last try ended so."""
    body = notification(key)
    world.queue.send(DEAD, [(body, key, key)])
    time = "2026-01-01T00:00:00.000000Z"
    dead_letters.remember(world.catalog, body, error, receives=5, time=time)


def heavy_event(record: AssetRecord) -> dict[str, Any]:
    """What the workflow is told of an upload that waits."""
    detail = {"asset": record.asset, "data": {"version": record.version}}
    return {"detail-type": "asset.processing", "source": "safelight", "detail": detail}


def test_each_cause_is_a_line_of_its_own(world: Pipeline) -> None:
    """Codes apart, and messages of one code; names and numbers make no difference."""
    failed(world, "a b.jpg", Unreachable("get s3://intake/a b.jpg: no answer in 3.5 s"))
    failed(world, "c.jpg", Unreachable("get s3://intake/c.jpg: no answer in 12 s"))
    failed(world, "d.jpg", Unreachable("publish events: could not connect"))
    failed(world, "e.jpg", AccessDenied("put s3://delivery/00/e.jpg: not authorised (403)"))
    world.queue.send(DEAD, [("no JSON", "x", "x"), ("{}", "y", "y")])

    causes = world.json("dlq", "list")
    assert [(each["count"], each["cause"]) for each in causes] == [
        (2, "unreachable"),
        (1, "access_denied"),
        (1, "message_malformed"),
        (1, "message_malformed"),
        (1, "unreachable"),
    ]
    reasons = [each["reason"] for each in causes]
    assert len(set(reasons)) == 5
    assert reasons[0] == "get s3://intake/a b.jpg: no answer in 3.5 s"
    assert reasons[4] == "publish events: could not connect"
    assert {each["queue"] for each in causes} == {"work.fifo"}
    assert causes[0]["oldest"] == causes[0]["example"]["sent_at"] == "2026-01-01T00:00:01.000Z"

    header, first, *rest = world.run("dlq", "list")[0].splitlines()
    assert header.split() == ["count", "oldest", "cause", "queue", "example", "reason"]
    assert first.split()[0] == "2"
    assert len(rest) == 4


def test_dead_letters_of_the_workflow_say_why(world: Pipeline) -> None:
    """Not handed over, failed with an error of ours or another, and none that waits any more."""
    video = world.record("video.mp4", Status.PROCESSING, code="video")
    done = world.record("done.mp4")
    event = heavy_event(video)

    def call(answer: object) -> str:
        return json.dumps({"requestPayload": event, "responsePayload": answer})

    bodies = [
        json.dumps(event),
        call({"errorType": "AccessDenied", "errorMessage": "start: not authorised"}),
        call({"errorType": "ImportError", "errorMessage": "no module"}),
        call(None),
        json.dumps(heavy_event(done)),
        json.dumps({"detail-type": "Object Created"}),
        "no JSON",
    ]
    world.queue.send(HEAVY, [(body, "", str(number)) for number, body in enumerate(bodies)])

    found = {(each["cause"], each["reason"]) for each in world.json("dlq", "list")}
    assert {cause for cause, _ in found} == {
        *("undelivered", "access_denied", "failed", "settled", "message_malformed"),
    }
    assert ("access_denied", "start: not authorised") in found
    assert ("failed", "ImportError: no module") in found
    shown = world.json("dlq", "show", "--cause", "undelivered")
    assert [(each["queue"], each["assets"]) for each in shown] == [("heavy-dead", [video.asset])]


def test_what_was_not_started_is_started_again(world: Pipeline) -> None:
    """The dead letter is gone then; what is no event of heavy work stays."""
    video = world.record("video.mp4", Status.PROCESSING, code="video")
    world.queue.send(HEAVY, [(json.dumps(heavy_event(video)), "", "1"), ("no JSON", "", "2")])

    told = world.json("dlq", "redrive")

    assert told == {"messages": 1, "causes": {"undelivered": 1}, "left": 1}
    ((_, name),) = world.starts
    assert name.startswith(f"{video.asset}-{video.version}-")
    assert world.queue.bodies(HEAVY) == ["no JSON"]
    assert world.json("dlq", "drop", "--all")["messages"] == 1


def test_what_waits_for_people_or_a_workflow_is_not_settled(world: Pipeline) -> None:
    """Its run was never started: who drops the dead letter loses the only trace of it."""
    held = world.record("held.jpg", Status.REVIEW, code="approval")
    event = {**heavy_event(held), "detail-type": "asset.held"}
    event["detail"]["data"]["workflow"] = "strict"
    answer = {"errorType": "ConfigurationError", "errorMessage": "there is no workflow strict"}
    body = json.dumps({"requestPayload": event, "responsePayload": answer})
    world.queue.send(HEAVY, [(body, "", "1")])

    (found,) = world.json("dlq", "list")

    assert (found["cause"], found["reason"]) == (
        "configuration_invalid",
        "there is no workflow strict",
    )


def test_changes_that_were_not_told_are_shown_and_stay(world: Pipeline) -> None:
    """No function reads their queue, so they cannot be redriven, only dropped."""
    key = {"PK": {"S": f"ASSET#{ASSET}"}, "SK": {"S": "META"}}
    change = {"dynamodb": {"Keys": key}}
    untold = {"code": "internal", "reason": "the body is damaged", "record": change}
    dead = OUTPUTS["outboxDeadLetters"]
    world.queue.send(dead, [(json.dumps(untold), "", "1"), ("no JSON", "", "2")])

    shown = world.json("dlq", "show")

    assert [(one["cause"], one["assets"]) for one in shown] == [
        ("internal", [ASSET]),
        ("message_malformed", []),
    ]
    assert world.json("dlq", "redrive") == {"messages": 0, "causes": {}, "left": 2}
    assert len(world.queue.bodies(dead)) == 2
    assert world.json("dlq", "drop", "--all")["messages"] == 2


def test_the_reason_of_the_bus_is_in_the_attributes() -> None:
    """EventBridge says what went wrong beside the event."""
    event = {"detail-type": "asset.processing", "detail": {"asset": "a", "data": {"version": "v"}}}
    attributes = {"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "may not call"}

    found = not_started(json.dumps(event), attributes)
    assert (found.asset, found.version, found.cause) == ("a", "v", "undelivered")
    assert found.reason == "NO_PERMISSIONS: may not call"
