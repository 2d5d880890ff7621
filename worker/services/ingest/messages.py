"""What a queue delivers, read as uploads. Everything in a message is from outside.

Understood are S3 event notifications (Amazon S3 User Guide, "Event message structure"),
EventBridge "Object Created" events, and either of them wrapped: by a pipe that passes whole SQS
records on, or by Lambda in its record of an event that nobody waited for and that failed (AWS
Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations"). ``s3:TestEvent``,
deletions and other kinds of events are no uploads: such a message is done without work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from worker.errors import MalformedMessage
from worker.records import ObjectVersion

_DEPTH = 4
"""Most wrappings of an event, itself included: sent back by hand, a failed call's record, an SQS
record, the event."""


def uploads_in(body: str) -> tuple[ObjectVersion, ...]:
    """The uploads a message announces; none for messages that announce something else.

    Raises:
        MalformedMessage: not JSON, or not an event of any known form.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedMessage("the message is not JSON") from None
    try:
        return tuple(_uploads(value, _DEPTH))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedMessage(f"the message is no upload event: {error!r}") from error


def original(body: str) -> str:
    """What was sent first, of a message that was sent back from a dead-letter queue."""
    return str(json.loads(body)["body"]) if is_redriven(body) else body


def is_redriven(body: str) -> bool:
    """Whether a message was sent back from a dead-letter queue: it has failed before."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("redriven") is True and "body" in value


def _uploads(value: Any, depth: int) -> Iterator[ObjectVersion]:
    if not isinstance(value, dict) or depth == 0:
        raise TypeError("not an event")
    if value.get("Event") == "s3:TestEvent":
        return
    if "Records" in value:
        for record in value["Records"]:
            if record.get("eventSource") == "aws:sqs":
                yield from _uploads(json.loads(record["body"]), depth - 1)
            elif str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:"):
                yield _from_notification(record)
    elif "detail-type" in value:
        if value["detail-type"] == "Object Created":
            yield _from_event_bridge(value)
    elif "body" in value and "messageId" in value:
        body = value["body"]
        yield from _uploads(json.loads(body) if isinstance(body, str) else body, depth - 1)
    elif "requestPayload" in value:
        yield from _uploads(value["requestPayload"], depth - 1)
    else:
        raise TypeError("no event of a known form")


def _from_notification(record: dict[str, Any]) -> ObjectVersion:
    bucket, item = record["s3"]["bucket"], record["s3"]["object"]
    # Keys in notifications are URL-encoded like form fields: a space is a plus.
    return _upload(bucket["name"], unquote_plus(item["key"]), item, record.get("eventTime", ""))


def _from_event_bridge(event: dict[str, Any]) -> ObjectVersion:
    detail = event["detail"]
    item = detail["object"]
    # Keys in EventBridge events are plain.
    return _upload(detail["bucket"]["name"], item["key"], item, event.get("time", ""))


def _upload(bucket: str, key: str, item: dict[str, Any], time: str) -> ObjectVersion:
    version = item.get("versionId", item.get("version-id"))
    sequencer = item["sequencer"]
    int(sequencer, 16)  # compared as hexadecimal; anything else has no order
    if not (isinstance(bucket, str) and bucket and isinstance(key, str) and key):
        raise TypeError("no bucket or no key")
    return ObjectVersion(
        bucket=bucket,
        key=key,
        etag=str(item.get("eTag", item.get("etag", ""))).strip('"'),
        sequencer=sequencer,
        size=int(item.get("size", 0)),
        version_id=str(version) if version and version != "null" else None,
        time=str(time),
    )
