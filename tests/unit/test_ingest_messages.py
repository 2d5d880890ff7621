"""What a message announces: uploads, removals, folders that are neither, and what is malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.domain.asset import ObjectVersion, Removal
from worker.domain.errors import MalformedMessage
from worker.services import ordering
from worker.services.messages import asset_event, changes_in, not_started, unwrapped

TIME = "2026-11-20T08:15:30.123Z"


def notification(name: str, key: str = "a+%C3%BC.jpg", **item: Any) -> str:
    """As S3 sends it to a queue."""
    value = {
        "eventSource": "aws:s3",
        "eventName": name,
        "eventTime": TIME,
        "s3": {"bucket": {"name": "intake"}, "object": {"key": key, **item}},
    }
    return json.dumps({"Records": [value]})


def event_bridge(kind: str, key: str = "a ü.jpg", *, reason: str = "", **item: Any) -> str:
    """As S3 sends it to a bus."""
    detail = {"bucket": {"name": "intake"}, "object": {"key": key, **item}, "reason": reason}
    return json.dumps({"detail-type": kind, "time": TIME, "detail": detail})


REMOVAL = Removal(bucket="intake", key="a ü.jpg", sequencer="0A", version_id="v", time=TIME)
ITEM = {"versionId": "v", "sequencer": "0A"}
PLAIN = {"version-id": "v", "sequencer": "0A"}


@pytest.mark.parametrize(
    "body",
    [
        notification("ObjectRemoved:Delete", **ITEM),
        notification("ObjectRemoved:DeleteMarkerCreated", **ITEM),
        notification("s3:ObjectRemoved:Delete", **ITEM),
        event_bridge("Object Deleted", reason="DeleteObject", **PLAIN),
        json.dumps({"messageId": "m", "body": event_bridge("Object Deleted", **PLAIN)}),
    ],
)
def test_every_form_of_a_removal_is_understood(body: str) -> None:
    """For good or by a marker, by a notification, a bus, or passed on by a pipe."""
    assert changes_in(body) == (REMOVAL,)


@pytest.mark.parametrize(
    "body",
    [
        notification("LifecycleExpiration:Delete", versionId="v"),
        notification("LifecycleExpiration:DeleteMarkerCreated", versionId="v"),
        event_bridge("Object Deleted", reason="Lifecycle Expiration", **{"version-id": "v"}),
    ],
)
def test_what_expires_is_removed(body: str) -> None:
    """Such an event may have no sequencer, and belongs to its object all the same."""
    (removal,) = changes_in(body)
    assert isinstance(removal, Removal)
    assert (removal.expired, removal.sequencer, removal.key) == (True, "", "a ü.jpg")
    upload = notification("ObjectCreated:Put", size=1, **ITEM)
    answers = ordering.handler([{"body": body}, {"body": upload}])
    assert answers[0]["group"] == answers[1]["group"]
    assert answers[0]["deduplication"] != answers[1]["deduplication"]


@pytest.mark.parametrize("key", ["folder/", "a/b/c/", "/"])
def test_a_folder_is_no_upload(key: str) -> None:
    """A key that ends in a slash, without bytes; with bytes it is one, and so is an empty file."""
    item = {"sequencer": "0A"}
    assert changes_in(notification("ObjectCreated:Put", key, size=0, **item)) == ()
    assert changes_in(event_bridge("Object Created", key, size=0, **item)) == ()
    (upload,) = changes_in(notification("ObjectCreated:Put", key, size=1, **item))
    assert isinstance(upload, ObjectVersion)
    assert upload.key == key
    assert len(changes_in(notification("ObjectCreated:Put", "empty", size=0, **item))) == 1


@pytest.mark.parametrize(
    "body",
    [
        notification("ObjectRemoved:Delete", sequencer="no hex"),
        notification("ObjectRemoved:Delete", key="", sequencer="0A"),
        notification("ObjectCreated:Put"),
        event_bridge("Object Deleted", key=7, sequencer="0A"),  # type: ignore[arg-type]
        '{"Records": [{"eventName": "ObjectRemoved:Delete", "s3": {}}]}',
    ],
)
def test_a_malformed_removal_is_said_to_be_one(body: str) -> None:
    """It becomes a dead letter with a name."""
    with pytest.raises(MalformedMessage, match="no event of an object"):
        changes_in(body)


@pytest.mark.parametrize(
    "body",
    [notification("ObjectTagging:Put", **ITEM), event_bridge("Object Restore Completed", **PLAIN)],
)
def test_what_changes_no_original_is_passed_over(body: str) -> None:
    """Other events of S3."""
    assert changes_in(body) == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{}", "it has no form that is known"),
        ("[]", "it is no JSON object, or nested too deep"),
        ('{"Records": [{"eventName": "ObjectCreated:Put"}]}', "s3 is missing"),
        ('{"Records": [7]}', "something in it is of another kind than it should be"),
        (notification("ObjectCreated:Put", "", **ITEM), "bucket or key is empty or no text"),
    ],
)
def test_what_is_wrong_with_a_message_is_said_in_words(body: str, said: str) -> None:
    """The reason is readable without knowledge of Python."""
    with pytest.raises(MalformedMessage) as caught:
        changes_in(body)

    assert caught.value.message == f"the message is no event of an object: {said}"


def in_sqs(body: str) -> str:
    """As a dead letter that holds an SQS record."""
    return json.dumps({"Records": [{"eventSource": "aws:sqs", "body": body}]})


@pytest.mark.parametrize(
    "body",
    [
        in_sqs("[" * 100_000),
        json.dumps({"messageId": "m", "body": "[" * 100_000}),
        notification("ObjectCreated:Put", sequencer="0A", size=float("inf")),
        notification("ObjectCreated:Put", sequencer="0A", size=-1),
        notification("ObjectCreated:Put", sequencer="0A", size=2**63),
        notification("ObjectCreated:Put", sequencer="-0A"),
        notification("ObjectCreated:Put", sequencer="0x1_0"),
        notification("ObjectCreated:Put", "\ud800.jpg", sequencer="0A"),
        in_sqs(notification("ObjectCreated:Put", sequencer="0A", eTag="\ud800")),
        event_bridge("Object Created", "a\udfff.jpg", sequencer="0A"),
    ],
)
def test_values_that_no_object_has_are_malformed(body: str) -> None:
    """Nested too deeply inside, sizes and sequencers out of range, halves of surrogate pairs."""
    with pytest.raises(MalformedMessage):
        changes_in(body)


def test_a_surrogate_pair_is_a_character() -> None:
    """JSON escapes characters beyond 16 bits as two halves; a backslash before ``ud`` is text."""
    (change,) = changes_in(event_bridge("Object Created", "\U0001f600\\ud8.jpg", **PLAIN))
    assert change.key == "\U0001f600\\ud8.jpg"


def test_an_event_of_half_a_surrogate_pair_is_none() -> None:
    """No webhook could be told of it, and no report of dead letters could say it."""
    event = {
        "id": "\ud800",
        "detail-type": "asset.published",
        "detail": {"asset": "3a2c742b-4e3f-5839-aeb5-9ea52771c9f5"},
    }
    with pytest.raises(MalformedMessage):
        asset_event(json.dumps(event))
    with pytest.raises(MalformedMessage):
        not_started(json.dumps({"detail-type": "asset.processing", "detail": "\ud800"}), {})
    assert unwrapped('{"redriven": true, "body": "\\ud800"}').redriven is False
