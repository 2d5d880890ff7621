"""The catalog's table as data: indexes, time to live, and every key that is written or read.

The Pulumi program declares the table from this, and tests create it in the emulator from the same
lines. docs/catalog.md says why the indexes are as they are.

::

    SK            GSI1PK / SK        GSI2PK / SK          GSI3PK / SK       GSI4PK / SK
    META          OWNER#o / created  STATUS#s#n / commit  -                 SHA#h / created
    SIMILAR       BAND#0#x / hash    BAND#1#x / hash      BAND#2#x / hash   BAND#3#x / hash
    TAG#t         -                  -                    TAG#t#n / created -
    LOG#time#id   -                  -                    -                 -
    JOB#id        -                  -                    -                 -
    CLAIM#work    -                  -                    -                 -
    REVIEW#v#n    -                  REVIEW#state / turn  -                 -

``PK`` is ``ASSET#{id}`` for all of them. (``RATE#{operation}`` has one item, ``RATE``, which counts
requests to AWS: ``request_rate``; ``LEDGER#{day}`` has counters of work: ``ledger``.) *created* and
*commit* are a :func:`position`: by the asset's first record and by its newest outcome; *turn* is
one by the deadline of an open review, or by the end of another one. ``n`` is the shard. The newest
line of the timeline that came with an outcome is in META; ``LOG#`` sorts directly before ``META``,
so one query backwards from META reads the timeline, newest first.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal

from worker.adapters.catalog_rules import bands, entry_id
from worker.domain.asset import LogEntry, Status
from worker.domain.errors import EngineError
from worker.domain.review import ReviewState
from worker.domain.user_metadata import check_id

PARTITION_KEY = "PK"
SORT_KEY = "SK"

INDEXES = ("GSI1", "GSI2", "GSI3", "GSI4")
"""Each has the string keys ``{index}PK`` and ``{index}SK``."""

INDEX_PROJECTION: Literal["KEYS_ONLY"] = "KEYS_ONLY"
"""A list is an index query and a batch read of the records. ALL would copy each record into three
indexes: 13 write units for a first outcome instead of 10, and more than twice the storage."""

ATTRIBUTES = (
    PARTITION_KEY,
    SORT_KEY,
    *(f"{index}{part}" for index in INDEXES for part in (PARTITION_KEY, SORT_KEY)),
)
"""Every attribute that is part of a key. All are strings (type ``S``)."""

TTL_ATTRIBUTE = "expires"
"""Seconds since 1970, on claims, and on lines of the timeline that are not kept for ever."""

BILLING_MODE: Literal["PAY_PER_REQUEST"] = "PAY_PER_REQUEST"
"""The billing mode that docs/catalog.md assumes; provisioned capacity is cheaper for a steady
load."""


def index_keys(index: str) -> tuple[str, str]:
    """Names of the partition and sort key of an index."""
    return f"{index}{PARTITION_KEY}", f"{index}{SORT_KEY}"


# --- times and places -------------------------------------------------------------------------


def stamp(time: str) -> str:
    """A time as text of fixed width whose lexical order is the order in time.

    Raises:
        EngineError: not ISO 8601; times are made by the pipeline, not by people.
    """
    try:
        moment = datetime.fromisoformat(time)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise EngineError(f"{time!r} is not an ISO 8601 time") from error
    return moment.strftime("%Y%m%dT%H%M%S.%fZ").rjust(23, "0")


def now() -> str:
    """The time, ISO 8601 UTC with microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def position(time: str, asset: str) -> str:
    """Where an asset stands in a list by this time of it."""
    return f"{stamp(time)}#{asset}"


# --- keys -------------------------------------------------------------------------------------

SHARDS = 8
"""Partitions that one status or one tag is spread over. A partition takes 1,000 writes a second,
so eight take 8,000 assets a second of one status: 69 times the average of ten million a day.
Fixed: with another number, what is stored already would be looked for in the wrong place."""

NEVER = "9999-12-31T23:59:59Z"
"""In the place of a deadline that a review does not have: it comes last."""

META = "META"
SIMILAR = "SIMILAR"
LOG = "LOG#"
JOB = "JOB#"
CLAIM = "CLAIM#"
TAG = "TAG#"
REVIEW = "REVIEW#"
_ASSET = "ASSET#"

OWNER_INDEX, STATUS_INDEX, TAG_INDEX, CONTENT_INDEX = INDEXES


def asset_partition(asset: str) -> str:
    """PK of everything about an asset. Raises InputError for what cannot be an id."""
    check_id(asset, "asset id")
    return f"{_ASSET}{asset}"


def asset_of(partition: str) -> str:
    """The asset whose items are in this partition."""
    return partition.removeprefix(_ASSET)


def shard_of(asset: str) -> int:
    """The shard an asset is in, the same for all lists and for ever."""
    return hashlib.sha256(asset.encode()).digest()[0] % SHARDS


def owner_partition(owner: str) -> str:
    """GSI1PK of all assets of an owner. Not sharded: one owner writes 1,000 a second at most."""
    return f"OWNER#{owner}"


def status_partition(status: Status, shard: int) -> str:
    """GSI2PK of the assets of a status in one shard."""
    return f"STATUS#{status.value}#{shard}"


def review_partition(state: ReviewState) -> str:
    """GSI2PK of the reviews in a state. Not sharded: a partition takes 1,000 writes a second, and
    a review is two writes in each list, so people may be asked about 43 million assets a day."""
    return f"{REVIEW}{state.value}"


def tag_partition(tag: str, shard: int) -> str:
    """GSI3PK of the assets with a tag in one shard."""
    return f"{TAG}{tag}#{shard}"


def content_partition(sha256: str) -> str:
    """GSI4PK of all assets with these bytes."""
    return f"SHA#{sha256.lower()}"


def band_partitions(phash: str) -> tuple[str, ...]:
    """GSI1PK to GSI4PK of the hashes that share the first to fourth band with this one."""
    return tuple(f"BAND#{number}#{band}" for number, band in enumerate(bands(phash)))


def tag_key(tag: str) -> str:
    """SK of the item that lists an asset under a tag."""
    return f"{TAG}{tag}"


def log_key(entry: LogEntry) -> str:
    """SK of a line of the timeline."""
    return f"{LOG}{stamp(entry.time)}#{entry_id(entry)}"


def review_key(version: str, number: int) -> str:
    """SK of a review; those of one version are in order. Raises InputError for what cannot be an
    id."""
    check_id(version, "version")
    return f"{REVIEW}{version}#{number:04}"


def claim_key(work: str) -> str:
    """SK of a claim. Raises InputError for what cannot be an id."""
    check_id(work, "work")
    return f"{CLAIM}{work}"


def job_key(job: str) -> str:
    """SK of a job. Raises InputError for what cannot be an id."""
    check_id(job, "job id")
    return f"{JOB}{job}"
