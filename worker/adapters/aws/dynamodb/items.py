"""Records as items of the table, and back.

Attributes that a person looks for in the console, or that a condition names, are plain;
everything else is in ``body``, compressed JSON. A write costs a unit a kilobyte, and JSON of a
record has nearly three; deflate with a dictionary of the words that every record has makes it a
third.

The first byte of a body says how the rest is packed, so that what is stored stays readable for
ever: a change of the dictionary, even of one letter, must get a new number and keep the old one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from worker.adapters.aws.dynamodb import schema
from worker.adapters.aws.dynamodb.schema import (
    INDEXES,
    PARTITION_KEY,
    SORT_KEY,
    TTL_ATTRIBUTE,
    index_keys,
    position,
)
from worker.adapters.catalog_rules import order
from worker.codec import build, plain
from worker.domain.asset import AssetRecord, JobRecord, LogEntry, Status
from worker.domain.errors import EngineError
from worker.domain.review import Review, ReviewState

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
    """The contents of META: the record, and the timeline entry of its newest outcome."""

    record: AssetRecord
    entry: LogEntry


def key(partition: str, sort: str) -> Item:
    """The primary key of one item."""
    return {PARTITION_KEY: {"S": partition}, SORT_KEY: {"S": sort}}


def meta_key(asset: str) -> Item:
    """The primary key of an asset's record."""
    return key(schema.asset_partition(asset), schema.META)


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
    return item | _meta_indexes(stored) | _expiry(record)


def _expiry(record: AssetRecord) -> Item:
    """The time to live of what belongs to an upload that may never arrive."""
    if record.status is not Status.WAITING or record.upload is None:
        return {}
    moment = datetime.fromisoformat(record.upload.expires_at)
    return {TTL_ATTRIBUTE: {"N": str(int(moment.timestamp()))}}


def _meta_indexes(stored: Stored) -> Item:
    record = stored.record
    created = position(record.created_at, record.asset)
    status = schema.status_partition(record.status, schema.shard_of(record.asset))
    found = _index(schema.STATUS_INDEX, status, position(stored.entry.time, record.asset))
    if record.owner:
        found |= _index(schema.OWNER_INDEX, schema.owner_partition(record.owner), created)
    if record.metadata is not None:
        content = schema.content_partition(record.metadata.sha256)
        found |= _index(schema.CONTENT_INDEX, content, created)
    return found


def read_meta(item: Mapping[str, Any]) -> Stored:
    """Read a META item.

    Raises:
        EngineError: it is not one that :func:`meta_item` makes.
    """
    try:
        body, entry = unpack(item["body"]["B"])
        known = {
            "asset": schema.asset_of(item[PARTITION_KEY]["S"]),
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
        **key(schema.asset_partition(record.asset), schema.SIMILAR),
        SEQUENCE: {"S": order(record.source.sequencer)},
    }
    if phash is not None:
        for index, band in zip(INDEXES, schema.band_partitions(phash), strict=True):
            item |= _index(index, band, phash)
    return item


def tag_item(record: AssetRecord, tag: str) -> Item:
    """The item that lists an asset under a tag."""
    return {
        **key(schema.asset_partition(record.asset), schema.tag_key(tag)),
        **_index(
            schema.TAG_INDEX,
            schema.tag_partition(tag, schema.shard_of(record.asset)),
            position(record.created_at, record.asset),
        ),
        **_expiry(record),
    }


def log_item(asset: str, entry: LogEntry, expires: int | None) -> Item:
    """A line of the timeline. ``expires``: seconds since 1970, None to keep it."""
    item: Item = {
        **key(schema.asset_partition(asset), schema.log_key(entry)),
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
    if item[SORT_KEY]["S"] == schema.META:
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
        **key(schema.asset_partition(job.asset), schema.job_key(job.id)),
        "kind": {"S": job.kind},
        "state": {"S": job.state},
        "created": {"S": job.created_at},
        "updated": {"S": job.updated_at},
        "detail": _texts(job.detail),
    }


def read_job(item: Mapping[str, Any]) -> JobRecord:
    """Read a job."""
    return JobRecord(
        asset=schema.asset_of(text(item, PARTITION_KEY)),
        id=text(item, SORT_KEY).removeprefix(schema.JOB),
        kind=text(item, "kind"),
        state=text(item, "state"),
        created_at=text(item, "created"),
        updated_at=text(item, "updated"),
        detail=_read_texts(item.get("detail")),
    )


_PLAIN_REVIEW = frozenset(
    {"asset", "version", "number", "state", "owner", "deadline", "escalated", "revision", "token"}
)


def review_item(review: Review) -> Item:
    """A review. The token is an attribute of its own, so that nothing else need touch it."""
    open_ = review.state is ReviewState.OPEN
    time = (review.deadline or schema.NEVER) if open_ else review.closed_at
    item: Item = {
        **key(
            schema.asset_partition(review.asset), schema.review_key(review.version, review.number)
        ),
        **_index(
            schema.STATUS_INDEX, schema.review_partition(review.state), position(time, review.id)
        ),
        "state": {"S": review.state.value},
        "escalated": {"BOOL": review.escalated},
        REVISION: {"N": str(review.revision)},
        "body": {"B": pack(plain(review, without=_PLAIN_REVIEW))},
    }
    texts = {"owner": review.owner, "deadline": review.deadline, "token": review.token}
    return item | {name: {"S": text} for name, text in texts.items() if text}


def read_review(item: Mapping[str, Any]) -> Review:
    """Read a review.

    Raises:
        EngineError: it is not one that :func:`review_item` makes.
    """
    try:
        version, _, number = text(item, SORT_KEY).removeprefix(schema.REVIEW).rpartition("#")
        known = {
            "asset": schema.asset_of(item[PARTITION_KEY]["S"]),
            "version": version,
            "number": int(number),
            "state": item["state"]["S"],
            "escalated": item["escalated"]["BOOL"],
            "revision": int(item[REVISION]["N"]),
            **{name: text(item, name) for name in ("owner", "deadline", "token")},
        }
        return build(Review, unpack(item["body"]["B"]) | known)
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{item.get(PARTITION_KEY)}: not a review: {error!r}") from error


def _texts(values: Mapping[str, str]) -> AttributeValueTypeDef:
    return {"M": {name: {"S": _sendable(value)} for name, value in values.items()}}


def _sendable(value: str) -> str:
    """A text without lone surrogates (of a file's name, say), which are no UTF-8."""
    return value.encode("utf-8", "replace").decode()


def _read_texts(held: Mapping[str, Any] | None) -> dict[str, str]:
    return {} if held is None else {name: value["S"] for name, value in held["M"].items()}


# --- bodies -----------------------------------------------------------------------------------

_DEFLATED_1 = b"\x01"
_RAW = -15
"""zlib's wbits for a deflate stream (RFC 1951) without header and checksum."""
_LARGEST = 4_000_000
"""Bytes of JSON; an item has at most 400 kB."""

# Strings near the end cost the fewest bits. Camera makers come first, because few pictures name
# one.
_WORDS_1 = (
    b'NIKON CORPORATIONOLYMPUSPanasonicFUJIFILMHUAWEIXiaomiOnePlusGoogleGoogle Pixelsamsung"'
    b"SM-GSonyILCECanonCanon EOS EF RF mm f/ IS USMAppleiPhone 1 Pro Max back triple camera f/1."
    b"Adobe Photoshop Lightroom Classic Macintosh Windows(c) Copyright "
    b"Adobe RGB (1998)Display P3sRGB IEC61966-2.1https://http://"
    b'"verdict":{"code":"message":"unknown_format"too_many_pixels"truncated"corrupt"'
    b'"dropped":[{"name":"","kept":"jpeg","kept_bytes":"copied_from":"'
    b'"frames":"animated":true,"duration_ms":"loop":0,"alpha":true,"progressive":true'
    b'"colour_space":"grey","bit_depth":16,"format":"png","gif","avif","heic","tiff"'
    b'{"time":"2026-","kind":"rejected","heavy","review","detail":{"version":"","code":""},"id":""}]'
    b'[{"source":{"bucket":"safelight-intake-","key":"/uploads//IMG_.jpg","etag":"","sequencer":"00'
    b'","size":,"version_id":"","time":"2026-20.000Z"},"recipe":"default","recipe_digest":"",'
    b'"version":"","probe":{"format":"jpeg","bytes":,"width":4032,"height":3024,'
    b'"orientation":6,"icc":"sRGB IEC61966-2.1"},"metadata":{"sha256":"","icc":"sRGB IEC61966-2.1"'
    b',"tags":{"camera_make":"","camera_model":"","lens":"","software":"","taken_at":"2026-0T:00",'
    b'"exposure_seconds":0.0,"f_number":1.,"iso":100,"focal_length_mm":,"focal_length_35mm":,'
    b'"flash":false,"gps":{"latitude":,"longitude":,"altitude":},"title":"","caption":"",'
    b'"keywords":["","],"artist":"","copyright":""},"measures":{"dominant":"#","palette":["#","#"'
    b'],"thumbhash":"","phash":"","sharpness":,"brightness":0.,"contrast":0.,'
    b'"clipped_dark":0.0,"clipped_light":0.0}},"renditions":['
    b'{"name":"s64","s128","s256","s512","tile","detail","zoom","master","working","preview",'
    b'"width":2048,"height":1536,2048,1365,"/medium.webp","sha256":"'
    b'{"name":"thumbnail","format":"jpeg","width":256,"height":256,"frames":1,"bytes":1,"key":"'
    b'/thumbnail.jpg","sha256":""},{"name":"thumbnail","format":"webp","width":256,"height":256,'
    b'"frames":1,"bytes":,"key":"/thumbnail.webp","sha256":""},{"name":"medium","format":"jpeg",'
    b'"width":1024,"height":768,"frames":1,"bytes":,"key":"/medium.jpg","sha256":""},'
    b'{"name":"large","format":"webp","width":2048,"height":1536,"frames":1,"bytes":1,"key":"'
    b'/large.webp","sha256":"'
)


def pack(value: Any) -> bytes:
    """Pack what JSON can say."""
    # Texts come from uploads: a lone surrogate must not make a record impossible.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    compressor = zlib.compressobj(9, zlib.DEFLATED, _RAW, 9, zdict=_WORDS_1)
    deflated = compressor.compress(text.encode("utf-8", "surrogatepass")) + compressor.flush()
    return _DEFLATED_1 + deflated


def unpack(packed: bytes) -> Any:
    """Read what :func:`pack` made.

    Raises:
        EngineError: it is damaged, or of a newer version of this code.
    """
    if packed[:1] != _DEFLATED_1:
        raise EngineError(f"the body of a record is packed in an unknown way: {packed[:1]!r}")
    try:
        inflater = zlib.decompressobj(_RAW, zdict=_WORDS_1)
        text = inflater.decompress(packed[1:], _LARGEST)
        if not inflater.eof:
            raise ValueError("it does not end")
        return json.loads(text.decode("utf-8", "surrogatepass"))
    except (zlib.error, ValueError) as error:
        raise EngineError(f"the body of a record is damaged: {error}") from error
