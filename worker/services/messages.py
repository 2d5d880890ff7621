"""Parses messages of queues. Everything in a message is untrusted.

``changes_in`` understands S3 event notifications (Amazon S3 User Guide, "Event message structure"),
EventBridge's "Object Created" and "Object Deleted" events, and either of them wrapped: by a pipe
that passes whole SQS records on, or by Lambda in its record of an asynchronous event that failed
(AWS Lambda Developer Guide, "Capturing records of Lambda asynchronous invocations").
``s3:TestEvent`` and other kinds of events change no original: such a message needs no work. Neither
does a folder of the S3 console: an empty object whose key ends in ``/``.

``asset_event`` reads events of Safelight's bus. ``not_started`` reads dead letters of the workflow
function: heavy work that was not started. Either EventBridge could not deliver the event: the
letter is the event, with the reason in its attributes (EventBridge User Guide, "Using dead-letter
queues to process undelivered events"). Or the function failed on it: the letter is Lambda's record
of the call with the event in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote_plus, unquote_plus
from uuid import UUID

from worker.domain import errors, trace
from worker.domain.asset import ObjectVersion, Removal, is_folder
from worker.domain.errors import MalformedMessage, SafelightError
from worker.domain.review import concerns_reviews

Change: TypeAlias = ObjectVersion | Removal

_DEPTH = 4
"""Deepest nesting of an event: redriven by hand, the record of a failed call, an SQS record, the
event."""


_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]+")
_LARGEST = 2**50
"""Largest accepted size in bytes: larger than any object, and exact in every JSON parser."""

UNDELIVERED = "undelivered"
"""EventBridge could not deliver the event to the function."""
FUNCTION_FAILED = "failed"
"""The function failed with an error that is not a ``SafelightError``."""


class _Unknown(ValueError):
    """A message has none of the forms above; the text says why."""


_MALFORMED = (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)
"""Errors raised by reading a message with values of a wrong type, or with too deep nesting."""


def changes_in(body: str, traceparent: str = "") -> tuple[Change, ...]:
    """The uploads and removals that a message announces; empty for other messages.

    Args:
        body: body of the message.
        traceparent: trace context from the message's attributes; one in the body takes precedence.

    Raises:
        MalformedMessage: not JSON, or not an event of any known form.
    """
    try:
        value = _parsed(body)
    except (ValueError, RecursionError):
        raise MalformedMessage("the message is not JSON") from None
    try:
        return tuple(_changes(value, _DEPTH, trace.valid(traceparent)))
    except _MALFORMED as error:
        raise MalformedMessage(f"the message is no event of an object: {mistake(error)}") from error


def _parsed(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: the text is invalid, or contains a lone surrogate, which no store, catalog or
            log can hold.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(text)
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode()
    return value


def mistake(error: Exception) -> str:
    """The defect of a message, for the cause of its dead letter."""
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, _Unknown):
        return str(error)
    return "something in it is of another kind than it should be"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A forwarded message: its original body with its metadata."""

    id: str
    """Id of the original message."""
    body: str
    """The original body."""
    traceparent: str = ""
    redriven: bool = False
    """Whether it was sent back from a dead-letter queue, so it has failed before."""


def wrapped(envelope: Envelope) -> str:
    """The body to send: the message in the form of a pipe's, with two additional fields."""
    value: dict[str, object] = {"messageId": envelope.id, "body": envelope.body}
    if envelope.redriven:
        value["redriven"] = True
    if envelope.traceparent:
        value[trace.NAME] = envelope.traceparent
    return json.dumps(value)


def unwrapped(body: str) -> Envelope:
    """The envelope of a body; a body that was not wrapped is its own content. Never fails."""
    try:
        value = _parsed(body)
    except (ValueError, RecursionError):
        return Envelope(id="", body=body)
    if not (isinstance(value, dict) and value.get("redriven") is True and "body" in value):
        return Envelope(id="", body=body)
    return Envelope(
        id=str(value.get("messageId", "")),
        body=str(value["body"]),
        traceparent=trace.valid(value.get(trace.NAME)),
        redriven=True,
    )


def announcement(source: ObjectVersion, *, sender: str) -> str:
    """The body of a message that announces an upload again, in the form of S3's.

    Args:
        sender: the sender, in place of ``aws:s3``.
    """
    item: dict[str, object] = {
        "key": quote_plus(source.key),
        "size": source.size,
        "sequencer": source.sequencer,
        "eTag": source.etag,
    }
    if source.version_id:
        item["versionId"] = source.version_id
    event = {
        "eventVersion": "2.1",
        "eventSource": sender,
        "eventName": "ObjectCreated:Put",
        "eventTime": source.time,
        "s3": {"bucket": {"name": source.bucket}, "object": item},
    }
    return json.dumps({"Records": [event]}, separators=(",", ":"))


def _changes(value: Any, depth: int, traceparent: str) -> Iterator[Change]:
    if not isinstance(value, dict) or depth == 0:
        raise _Unknown("it is no JSON object, or nested too deep")
    traceparent = trace.valid(value.get(trace.NAME)) or traceparent
    if value.get("Event") == "s3:TestEvent":
        return
    if "Records" in value:
        for record in value["Records"]:
            if record.get("eventSource") == "aws:sqs":
                yield from _changes(_parsed(record["body"]), depth - 1, traceparent)
            else:
                yield from _from_notification(record, traceparent)
    elif "detail-type" in value:
        yield from _from_event_bridge(value, traceparent)
    elif "body" in value and "messageId" in value:
        body = value["body"]
        inner = _parsed(body) if isinstance(body, str) else body
        yield from _changes(inner, depth - 1, traceparent)
    elif "requestPayload" in value:
        yield from _changes(value["requestPayload"], depth - 1, traceparent)
    else:
        raise _Unknown("it has no form that is known")


def _from_notification(record: dict[str, Any], traceparent: str) -> Iterator[Change]:
    family = str(record["eventName"]).removeprefix("s3:").partition(":")[0]
    if family not in {"ObjectCreated", "ObjectRemoved", "LifecycleExpiration"}:
        return
    bucket, item = record["s3"]["bucket"]["name"], record["s3"]["object"]
    # Keys in notifications are URL-encoded like form fields: a space is a plus.
    key, time = unquote_plus(item["key"]), str(record.get("eventTime", ""))
    if family == "ObjectCreated":
        yield from _upload(bucket, key, item, time, traceparent)
    else:
        yield _removal(bucket, key, item, time, expired=family == "LifecycleExpiration")


def _from_event_bridge(event: dict[str, Any], traceparent: str) -> Iterator[Change]:
    kind = event["detail-type"]
    if kind not in {"Object Created", "Object Deleted"}:
        return
    detail = event["detail"]
    # Keys in EventBridge events are plain.
    bucket, item, time = detail["bucket"]["name"], detail["object"], str(event.get("time", ""))
    if kind == "Object Created":
        yield from _upload(bucket, item["key"], item, time, traceparent)
    else:
        expired = detail.get("reason") == "Lifecycle Expiration"
        yield _removal(bucket, item["key"], item, time, expired=expired)


def _removal(bucket: str, key: str, item: dict[str, Any], time: str, *, expired: bool) -> Removal:
    _check_name(bucket, key)
    sequencer = item.get("sequencer") or ""  # expirations may lack a sequencer
    if sequencer:
        _check_sequencer(sequencer)
    return Removal(
        bucket=bucket,
        key=key,
        sequencer=sequencer,
        version_id=_version_id(item),
        time=time,
        expired=expired,
    )


def _version_id(item: dict[str, Any]) -> str | None:
    version = item.get("versionId", item.get("version-id"))
    return str(version) if version and version != "null" else None


def _check_name(bucket: object, key: object) -> None:
    if not (isinstance(bucket, str) and bucket and isinstance(key, str) and key):
        raise _Unknown("bucket or key is empty or no text")


def _check_sequencer(sequencer: object) -> None:
    """Check that a sequencer is hexadecimal, because it is compared as such."""
    if not (isinstance(sequencer, str) and _HEXADECIMAL.fullmatch(sequencer)):
        raise _Unknown("its sequencer is no hexadecimal number")


def _upload(
    bucket: str, key: str, item: dict[str, Any], time: str, traceparent: str
) -> Iterator[ObjectVersion]:
    _check_name(bucket, key)
    sequencer = item["sequencer"]
    _check_sequencer(sequencer)
    size = int(item.get("size", 0))
    if not 0 <= size <= _LARGEST:
        raise _Unknown("no object has that size")
    if is_folder(key, size):
        return
    yield ObjectVersion(
        bucket=bucket,
        key=key,
        etag=str(item.get("eTag", item.get("etag", ""))).strip('"'),
        sequencer=sequencer,
        size=size,
        version_id=_version_id(item),
        time=time,
        traceparent=traceparent,
    )


# --- events of assets ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEvent:
    """An event of an asset, in the form that a rule of the bus puts into a queue."""

    id: str
    """Id given by the bus: an event that is published twice has two ids."""
    type: str
    asset: str
    time: str = ""
    """ISO 8601 UTC."""
    traceparent: str = ""


def asset_event(body: str) -> AssetEvent:
    """Parse the message of an event.

    Raises:
        MalformedMessage: it is not an event, or its asset is not a valid id.
    """
    try:
        event = _parsed(body)
        identity, kind, asset = event["id"], event["detail-type"], event["detail"]["asset"]
        if not (isinstance(identity, str) and isinstance(kind, str) and isinstance(asset, str)):
            raise TypeError("no id, type or asset")
        if str(UUID(asset)) != asset:
            raise _Unknown("its asset is no id of an asset")
    except _MALFORMED as error:
        said = f"the message is no event of an asset: {mistake(error)}"
        raise MalformedMessage(said) from error
    time, traceparent = event["detail"].get("time"), event["detail"].get(trace.NAME)
    return AssetEvent(
        id=identity,
        type=kind,
        asset=asset,
        time=str(time or ""),
        traceparent=trace.valid(traceparent),
    )


# --- dead letters of the workflow function ------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """A workflow that was not started."""

    asset: str
    version: str
    cause: str
    """Code of an error, or one of this module's codes."""
    reason: str


def not_started(body: str, attributes: Mapping[str, str]) -> NotStarted:
    """Parse a dead letter of the workflow function.

    Raises:
        MalformedMessage: it has neither of the two forms.
    """
    try:
        value = _parsed(body)
        call = value if "requestPayload" in value else None
        event = value if call is None else value["requestPayload"]
        kind, data = event["detail-type"], event["detail"]["data"]
        known = "workflow" in data or kind == "asset.processing" or concerns_reviews(kind, data)
        if not known:
            raise ValueError(f"an event of type {kind!r} without a workflow")
        asset, version = event["detail"]["asset"], event["detail"]["data"]["version"]
        if not (isinstance(asset, str) and isinstance(version, str)):
            raise TypeError("no asset or no version")
    except _MALFORMED as error:
        raise MalformedMessage(
            f"the message is no event of a workflow: {mistake(error)}"
        ) from error
    if call is not None:
        cause, reason = _failure(call.get("responsePayload"))
    else:
        code, text = (attributes.get(name, "") for name in ("ERROR_CODE", "ERROR_MESSAGE"))
        said = ": ".join(part for part in (code, text) if part)
        cause, reason = UNDELIVERED, said or "the event could not be delivered to the function"
    return NotStarted(asset=asset, version=version, cause=cause, reason=reason)


def _failure(answer: Any) -> tuple[str, str]:
    """Cause and reason, from the record of a failed call."""
    if not isinstance(answer, Mapping):
        return (
            FUNCTION_FAILED,
            "the function failed without an answer: it was ended, or ran out of time",
        )
    name, text = str(answer.get("errorType", "")), str(answer.get("errorMessage", ""))
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, SafelightError):
        return kind.code, text
    return FUNCTION_FAILED, ": ".join(part for part in (name, text) if part)
