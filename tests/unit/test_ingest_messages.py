"""What a message announces: uploads, removals, folders that are neither, and what is malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.domain.asset import ObjectVersion, Removal
from worker.domain.errors import MalformedMessage
from worker.services import ordering
from worker.services.messages import changes_in

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
    """Whoever lists dead letters reads it, and knows no Python."""
    with pytest.raises(MalformedMessage) as caught:
        changes_in(body)

    assert caught.value.message == f"the message is no event of an object: {said}"
