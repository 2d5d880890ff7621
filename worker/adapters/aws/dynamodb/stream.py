"""Changes of the catalog's table, as its stream has them, and the events that follow.

The stream has each item as it was and as it is now (``NEW_AND_OLD_IMAGES``), in the order of the
writes of one item, for 24 hours (Amazon DynamoDB Developer Guide, "Change data capture for
DynamoDB Streams").
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from worker.adapters.aws.dynamodb import schema
from worker.adapters.aws.dynamodb.items import read_job, read_log, read_meta, read_review
from worker.adapters.aws.dynamodb.schema import PARTITION_KEY, SORT_KEY
from worker.domain import events
from worker.domain.asset import AssetRecord
from worker.domain.errors import EngineError
from worker.domain.events import Event
from worker.domain.ledger import CatalogChange

T = TypeVar("T")

NUMBER_DIGITS = 40
"""Most digits of a sequence number (DynamoDB Streams API Reference, "StreamRecord")."""

EXPIRES = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
"""The identity that removes an expired item (the same guide, "DynamoDB Streams and Time to
Live")."""


def _filter(sort: object, **images: object) -> Mapping[str, object]:
    return {"dynamodb": {"Keys": {SORT_KEY: {"S": [sort]}}, **images}}


FILTERS: Sequence[Mapping[str, object]] = (
    _filter(schema.META),
    _filter({"prefix": schema.LOG}, NewImage={"kind": {"S": sorted(events.LINES)}}),
    _filter(
        {"prefix": schema.REVIEW},
        NewImage={"state": {"S": sorted(one.value for one in events.REVIEWS)}},
    ),
    _filter(
        {"prefix": schema.JOB},
        NewImage={"state": {"S": sorted({*events.JOBS} - {"RUNNING"})}},
    ),
    # A job that runs writes its progress every few seconds.
    _filter(
        {"prefix": schema.JOB},
        NewImage={"state": {"S": ["RUNNING"]}},
        OldImage={"state": {"S": [{"anything-but": ["RUNNING"]}, {"exists": False}]}},
    ),
)
"""Patterns of the changes that the outbox is called for. An event source takes five, and looks
under ``dynamodb`` only, not at the kind of a change (AWS Lambda Developer Guide, "Using event
filtering with a DynamoDB event source"). A change that passes may cause no event; a change that is
filtered out never causes one."""


def events_of(record: Mapping[str, Any]) -> tuple[Event, ...]:
    """The events that follow from a record of the stream.

    Raises:
        EngineError: it is no record of the catalog's stream, or no item of this program's.
    """
    try:
        change = record["dynamodb"]
        sort: str = change["Keys"][SORT_KEY]["S"]
        asset = schema.asset_of(change["Keys"][PARTITION_KEY]["S"])
        old, new = change.get("OldImage"), change.get("NewImage")
        event = _event(sort, asset, _plain(old), _plain(new), record)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EngineError(f"no record of the catalog's stream: {error!r}") from error
    return () if event is None else (event,)


def change_of(record: Mapping[str, Any]) -> CatalogChange | None:
    """An asset's record or a job before and after a change; None for what is neither.

    Raises:
        EngineError: it is no record of the catalog's stream, or no item of this program's.
    """
    try:
        change = record["dynamodb"]
        sort: str = change["Keys"][SORT_KEY]["S"]
        number = str(change["SequenceNumber"])
        old, new = _plain(change.get("OldImage")), _plain(change.get("NewImage"))
        position, time = (
            number.rjust(NUMBER_DIGITS, "0"),
            _time(change.get("ApproximateCreationDateTime")),
        )
        if sort == schema.META:
            before, after = _read(old, _read_record), _read(new, _read_record)
            event = events.of_record(before, after, time=time)
            return CatalogChange(position=position, time=time, event=event, old=before, new=after)
        if sort.startswith(schema.JOB) and new is not None:
            job = (_read(old, read_job), read_job(new))
            return CatalogChange(position=position, time=time, job=job)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EngineError(f"no record of the catalog's stream: {error!r}") from error
    return None


def _event(
    sort: str,
    asset: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    record: Mapping[str, Any],
) -> Event | None:
    if sort == schema.META:
        return events.of_record(
            _read(old, _read_record),
            _read(new, _read_record),
            time=_time(record["dynamodb"].get("ApproximateCreationDateTime")),
            expired=record.get("userIdentity") == EXPIRES,
        )
    if sort.startswith(schema.LOG):
        # META's own line is no change of its own; a line is written once.
        return None if new is None or old is not None else events.of_line(asset, read_log(new))
    if sort.startswith(schema.JOB):
        return events.of_job(_read(old, read_job), _read(new, read_job))
    if sort.startswith(schema.REVIEW):
        return events.of_review(_read(old, read_review), _read(new, read_review))
    return None


def _read_record(item: Mapping[str, Any]) -> AssetRecord:
    return read_meta(item).record


def _read(item: Mapping[str, Any] | None, read: Callable[[Mapping[str, Any]], T]) -> T | None:
    return None if item is None else read(item)


def _plain(image: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """An image with bytes as bytes: Lambda hands them over as base64."""
    if image is None:
        return None
    return {
        name: {"B": base64.b64decode(value["B"], validate=True)}
        if isinstance(value.get("B"), str)
        else value
        for name, value in image.items()
    }


def _time(seconds: object) -> str:
    """ISO 8601 UTC; Lambda says seconds since 1970, the SDK a date."""
    if isinstance(seconds, datetime):
        moment = seconds.astimezone(UTC)
    elif isinstance(seconds, int | float):
        moment = datetime.fromtimestamp(seconds, UTC)
    else:
        raise EngineError("the change has no time")
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
