"""Records as items of the table, and back.

What lives here: which attribute holds what. What may not: a request. Attributes that a person
looks for in the console, or that a condition names, are plain; everything else is in ``body``
(see ``body``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from worker.adapters.aws.dynamodb import keys
from worker.adapters.aws.dynamodb.compression import pack, unpack
from worker.adapters.aws.dynamodb.cursors import place
from worker.adapters.aws.dynamodb.schema import (
    INDEXES,
    PARTITION_KEY,
    SORT_KEY,
    TTL_ATTRIBUTE,
    index_keys,
)
from worker.adapters.catalog_rules import order
from worker.codec import build, plain
from worker.domain.asset import AssetRecord, JobRecord, LogEntry
from worker.domain.errors import EngineError

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

Item: TypeAlias = "dict[str, AttributeValueTypeDef]"

REVISION = "revision"
SEQUENCE = "sequence"
_PLAIN = frozenset(
    {"asset", "status", "owner", "tags", "attributes", "created_at", "updated_at", "revision"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What META holds: the record, and the line of the timeline that came with it."""

    record: AssetRecord
    entry: LogEntry


def key(partition: str, sort: str) -> Item:
    """The primary key of one item."""
    return {PARTITION_KEY: {"S": partition}, SORT_KEY: {"S": sort}}


def meta_key(asset: str) -> Item:
    """The primary key of an asset's record."""
    return key(keys.asset_partition(asset), keys.META)


def text(item: Mapping[str, Any], name: str) -> str:
    """A text attribute; empty if it is not there."""
    value: str = item[name]["S"] if name in item else ""
    return value


def _index(index: str, partition: str, sort: str) -> Item:
    partition_key, sort_key = index_keys(index)
    return {partition_key: {"S": partition}, sort_key: {"S": sort}}


# --- the record -------------------------------------------------------------------------------


def meta_item(stored: Stored) -> Item:
    """The META item."""
    record = stored.record
    item: Item = {
        **meta_key(record.asset),
        "status": {"S": record.status.value},
        "created": {"S": record.created_at},
        "updated": {"S": record.updated_at},
        REVISION: {"N": str(record.revision)},
        "body": {"B": pack([plain(record, without=_PLAIN), plain(stored.entry)])},
    }
    # An empty set cannot be stored, and an empty index key would index.
    if record.owner:
        item["owner"] = {"S": record.owner}
    if record.tags:
        item["tags"] = {"SS": sorted(record.tags)}
    if record.attributes:
        item["attributes"] = _texts(record.attributes)
    return item | _meta_indexes(stored)


def _meta_indexes(stored: Stored) -> Item:
    record = stored.record
    created = place(record.created_at, record.asset)
    status = keys.status_partition(record.status, keys.shard_of(record.asset))
    found = _index(keys.STATUS_INDEX, status, place(stored.entry.time, record.asset))
    if record.owner:
        found |= _index(keys.OWNER_INDEX, keys.owner_partition(record.owner), created)
    if record.metadata is not None:
        content = keys.content_partition(record.metadata.sha256)
        found |= _index(keys.CONTENT_INDEX, content, created)
    return found


def read_meta(item: Mapping[str, Any]) -> Stored:
    """Read a META item.

    Raises:
        EngineError: it is not one that :func:`meta_item` makes.
    """
    try:
        body, entry = unpack(item["body"]["B"])
        known = {
            "asset": keys.asset_of(item[PARTITION_KEY]["S"]),
            "status": item["status"]["S"],
            "created_at": item["created"]["S"],
            "updated_at": item["updated"]["S"],
            "revision": int(item[REVISION]["N"]),
            "owner": text(item, "owner"),
            "tags": item["tags"]["SS"] if "tags" in item else [],
            "attributes": _read_texts(item.get("attributes")),
        }
        return Stored(record=build(AssetRecord, body | known), entry=build(LogEntry, entry))
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{item.get(PARTITION_KEY)}: not a record: {error!r}") from error


# --- what lies beside it ----------------------------------------------------------------------


def similar_item(record: AssetRecord, phash: str | None) -> Item:
    """The SIMILAR item: one entry in each index, by one band of the hash each.

    Without a hash it is in no index; it still says which upload it is of, so that an older one
    cannot bring its hash back.
    """
    item: Item = {
        **key(keys.asset_partition(record.asset), keys.SIMILAR),
        SEQUENCE: {"S": order(record.source.sequencer)},
    }
    if phash is not None:
        for index, band in zip(INDEXES, keys.band_partitions(phash), strict=True):
            item |= _index(index, band, phash)
    return item


def tag_item(record: AssetRecord, tag: str) -> Item:
    """The item that lists an asset under a tag."""
    return {
        **key(keys.asset_partition(record.asset), keys.tag_key(tag)),
        **_index(
            keys.TAG_INDEX,
            keys.tag_partition(tag, keys.shard_of(record.asset)),
            place(record.created_at, record.asset),
        ),
    }


def log_item(asset: str, entry: LogEntry, expires: int | None) -> Item:
    """A line of the timeline. ``expires``: seconds since 1970, None to keep it."""
    item: Item = {
        **key(keys.asset_partition(asset), keys.log_key(entry)),
        "time": {"S": entry.time},
        "kind": {"S": entry.kind},
        "detail": _texts(entry.detail),
        "id": {"S": entry.id},
    }
    if expires is not None:
        item[TTL_ATTRIBUTE] = {"N": str(expires)}
    return item


def read_log(item: Mapping[str, Any]) -> LogEntry:
    """Read a line of the timeline, from its own item or from META."""
    if item[SORT_KEY]["S"] == keys.META:
        return read_meta(item).entry
    return LogEntry(
        time=text(item, "time"),
        kind=text(item, "kind"),
        detail=_read_texts(item.get("detail")),
        id=text(item, "id"),
    )


def job_item(job: JobRecord) -> Item:
    """A job."""
    return {
        **key(keys.asset_partition(job.asset), keys.job_key(job.id)),
        "kind": {"S": job.kind},
        "state": {"S": job.state},
        "created": {"S": job.created_at},
        "updated": {"S": job.updated_at},
        "detail": _texts(job.detail),
    }


def read_job(item: Mapping[str, Any]) -> JobRecord:
    """Read a job."""
    return JobRecord(
        asset=keys.asset_of(text(item, PARTITION_KEY)),
        id=text(item, SORT_KEY).removeprefix(keys.JOB),
        kind=text(item, "kind"),
        state=text(item, "state"),
        created_at=text(item, "created"),
        updated_at=text(item, "updated"),
        detail=_read_texts(item.get("detail")),
    )


def _texts(values: Mapping[str, str]) -> AttributeValueTypeDef:
    return {"M": {name: {"S": _sendable(value)} for name, value in values.items()}}


def _sendable(value: str) -> str:
    """A text without lone surrogates (of a file's name, say), which are no UTF-8."""
    return value.encode("utf-8", "replace").decode()


def _read_texts(held: Mapping[str, Any] | None) -> dict[str, str]:
    return {} if held is None else {name: value["S"] for name, value in held["M"].items()}
