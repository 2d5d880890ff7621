"""The FIFO group of an upload event, between the standard queue and the FIFO queue.

S3 can notify only standard queues, so a pipe moves the events to the FIFO queue. The group must
identify the object, so that two workers never process one object at the same time. But group ids
have at most 128 characters (Amazon SQS API reference, SendMessage), while a key has up to 1,024
bytes, each up to three characters once URL-encoded: a Cyrillic file name of 22 letters is already
too long. A pipe can copy a value but not hash it, so this small function is its enrichment step.

This file is deployed alone, so it imports only the standard library.
The local stack's pipe calls the same function.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus


def handler(events: Sequence[Mapping[str, Any]], _context: object = None) -> list[dict[str, Any]]:
    """Return the messages to forward for a pipe's batch of SQS records (at most ten), in the same
    order.

    S3's test events are dropped. Any other invalid message is forwarded in a separate group, so
    that the ingest function reports its defect and the dead-letter queue keeps it.

    Returns:
        For each record ``group`` and ``deduplication`` (64 hex digits each) and ``body``: JSON
        already parsed if it is JSON, else text.
    """
    return [
        {"group": group, "deduplication": deduplication, "body": body}
        for body in (_parsed(event.get("body")) for event in events)
        if not (isinstance(body, dict) and body.get("Event") == "s3:TestEvent")
        for group, deduplication in [_ids(body)]
    ]


def _parsed(body: object) -> object:
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _ids(body: Any) -> tuple[str, str]:
    """Group id, for the object, and deduplication id, for the upload; SQS drops duplicates for five
    minutes."""
    try:
        if "Records" in body:
            # S3 sends one record per message so far. If there are several, the first decides the
            # group, and the catalog's conditional writes keep the others correct.
            found, plain = body["Records"][0]["s3"], False
        else:
            found, plain = body["detail"], True
        bucket, item = found["bucket"]["name"], found["object"]
        # Keys are URL-encoded in notifications and plain in EventBridge events.
        key = item["key"] if plain else unquote_plus(item["key"])
        # Expirations by a lifecycle rule may lack a sequencer; then the version distinguishes
        # them.
        which = item.get("sequencer") or str(item.get("versionId", item.get("version-id", "")))
        return _digest(bucket, key), _digest(bucket, key, which, _kind(body))
    except (KeyError, IndexError, TypeError, AttributeError):
        whole = _digest(json.dumps(body, sort_keys=True))
        return whole, whole


def _kind(body: Any) -> str:
    """Creation and deletion of an object are different events."""
    records = body.get("Records")
    return str(records[0]["eventName"] if records else body.get("detail-type"))


def _digest(*parts: str) -> str:
    # A separator that no key can contain, so that two lists of parts never collide.
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
