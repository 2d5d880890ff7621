"""What the catalog's suites share: tables, records, calls, and DynamoDB watched and billed."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from worker.adapters.aws.dynamodb import schema
from worker.adapters.aws.dynamodb.schema import INDEXES, PARTITION_KEY, SORT_KEY, index_keys
from worker.domain.asset import AssetRecord, LogEntry, ObjectVersion, Status, Verdict, version_of
from worker.domain.errors import AlreadyRecorded, SafelightError, Superseded
from worker.domain.image import (
    ColourSpace,
    Dropped,
    Format,
    GpsPosition,
    Measures,
    Metadata,
    Probe,
    StoredRendition,
    Tags,
)
from worker.domain.label import BoundingBox, Label
from worker.domain.moderation import (
    Crossing,
    Moderation,
    ModerationLabel,
    ModerationOutcome,
    ModerationTier,
)
from worker.ports import Catalog

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import GlobalSecondaryIndexTypeDef, KeySchemaElementTypeDef

# --- tables -----------------------------------------------------------------------------------


def make_table(client: DynamoDBClient, name: str) -> None:
    """Create the table. It is ready when this returns: the emulator makes no one wait."""
    indexes: list[GlobalSecondaryIndexTypeDef] = [
        {
            "IndexName": index,
            "KeySchema": _keys(*schema.index_keys(index)),
            "Projection": {"ProjectionType": schema.INDEX_PROJECTION},
        }
        for index in schema.INDEXES
    ]
    client.create_table(
        TableName=name,
        BillingMode=schema.BILLING_MODE,
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"} for attribute in schema.ATTRIBUTES
        ],
        KeySchema=_keys(schema.PARTITION_KEY, schema.SORT_KEY),
        GlobalSecondaryIndexes=indexes,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def _keys(partition: str, sort: str) -> list[KeySchemaElementTypeDef]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]


def everything_in(client: DynamoDBClient, name: str) -> dict[tuple[str, str], Any]:
    """Every item of a table by its key."""
    pages = client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    items = [item for page in pages for item in page["Items"]]
    return {(item["PK"]["S"], item["SK"]["S"]): item for item in items}


# --- records ----------------------------------------------------------------------------------

SIZES = (("thumbnail", 256, 256), ("medium", 1024, 768), ("large", 2048, 1536))
DIGEST = hashlib.sha256(b"default").hexdigest()
OTHER_DIGEST = hashlib.sha256(b"product").hexdigest()
WAITS = Verdict(code="too_many_pixels", message="goes to Batch")


def digest(*parts: object) -> str:
    """64 hex digits, the same for the same parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def asset_id(number: int) -> str:
    """The id of asset number so and so."""
    return str(uuid.UUID(digest("asset", number)[:32]))


def at(second: int, micro: int = 0) -> str:
    """A time on the day everything happens."""
    minutes, seconds = divmod(second, 60)
    return f"2026-05-09T{7 + minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{micro:06}Z"


def upload(number: int, turn: int = 1) -> ObjectVersion:
    """Upload number ``turn`` of an asset; later ones are newer."""
    asset = asset_id(number)
    return ObjectVersion(
        bucket="safelight-intake-1a2b3c4",
        key=f"{digest(asset)[:2]}/uploads/{asset}/IMG_{number:04}.jpg",
        etag=digest("etag", number, turn)[:32],
        sequencer=f"0066{turn:04X}5AE7A381360A",
        size=1_234_567,
        version_id=digest("version", number, turn)[:32],
        time=at(turn),
    )


def metadata(number: int, turn: int = 1, *, phash: str | None = None) -> Metadata:
    """What a phone's photo says and shows."""
    return Metadata(
        sha256=digest("content", number, turn),
        icc="Display P3",
        tags=Tags(
            camera_make="Apple",
            camera_model="iPhone 15 Pro",
            lens="iPhone 15 Pro back triple camera 6.765mm f/1.78",
            software="18.3.1",
            taken_at="2025-06-11T17:03:22+02:00",
            exposure_seconds=0.008,
            f_number=1.78,
            iso=80,
            focal_length_mm=6.765,
            focal_length_35mm=24,
            flash=False,
            gps=GpsPosition(latitude=47.3769123, longitude=8.5417456, altitude=408.2),
        ),
        measures=Measures(
            dominant="#7f8a4c",
            palette=tuple(f"#{digest('colour', number, n)[:6]}" for n in range(6)),
            thumbhash="1QcSHQRnh493V4dIh4eXh1h4kJUI",
            phash=phash if phash is not None else digest("phash", number, turn)[:16],
            sharpness=312.45,
            brightness=0.4453,
            contrast=0.2107,
            clipped_dark=0.0046,
            clipped_light=0.0189,
        ),
    )


def renditions(number: int, version: str) -> tuple[StoredRendition, ...]:
    """Six files: three sizes in two formats."""
    asset = asset_id(number)
    return tuple(
        StoredRendition(
            name=name,
            format=format_,
            width=width,
            height=height,
            frames=1,
            bytes=int(digest(number, name, format_)[:4], 16) + 8_000,
            key=f"{digest(asset)[:2]}/{asset}/{version}/{name}.{format_.extension}",
            sha256=digest("rendition", number, name, format_),
        )
        for name, width, height in SIZES
        for format_ in (Format.JPEG, Format.WEBP)
    )


def record(number: int, turn: int = 1, **changes: Any) -> AssetRecord:
    """An accepted phone photo with six renditions, as ingest would commit it."""
    source = upload(number, turn)
    recipe_digest = changes.get("recipe_digest", DIGEST)
    version = version_of(source.etag, source.sequencer, recipe_digest)
    whole = AssetRecord(
        asset=asset_id(number),
        source=source,
        recipe="default",
        recipe_digest=recipe_digest,
        version=version,
        status=Status.ACCEPTED,
        owner="user_1a2b3c4d5e6f7a8b",
        probe=Probe(
            format=Format.JPEG,
            bytes=1_234_567,
            width=4032,
            height=3024,
            orientation=6,
            icc="Display P3",
        ),
        metadata=metadata(number, turn),
        renditions=renditions(number, version),
        updated_at=at(turn),
    )
    return replace(whole, **changes)


def bare(number: int, turn: int = 1, **changes: Any) -> AssetRecord:
    """A rejected upload: nothing is known about its content."""
    nothing: dict[str, Any] = {"probe": None, "metadata": None, "renditions": ()}
    rejected = {
        "status": Status.REJECTED,
        "verdict": Verdict(code="truncated", message="the file ends in the middle of a scan"),
    }
    return record(number, turn, **(nothing | rejected | changes))


def everything(number: int) -> AssetRecord:
    """A record with every field set to something other than its default."""
    return record(
        number,
        status=Status.REVIEW,
        verdict=Verdict(code="approval", message="the recipe asks for a person"),
        probe=Probe(
            format=Format.GIF,
            bytes=99,
            width=5,
            height=7,
            frames=3,
            animated=True,
            duration_ms=300,
            loop=0,
            orientation=3,
            colour_space=ColourSpace.GREY,
            bit_depth=16,
            alpha=True,
            icc="Grey Gamma 2.2",
            progressive=True,
        ),
        dropped=(
            Dropped(name="large", format=Format.WEBP, bytes=9, kept=Format.JPEG, kept_bytes=8),
        ),
        copied_from=asset_id(number + 1),
        moderation=Moderation(
            outcome=ModerationOutcome.HOLD,
            tier=ModerationTier.EARLIER,
            labels=(
                ModerationLabel(name="Explicit Nudity", category="explicit", confidence=71.25),
                ModerationLabel(name="Something New", confidence=60.0),
            ),
            crossed=(
                Crossing(
                    category="explicit",
                    outcome=ModerationOutcome.HOLD,
                    threshold=70.0,
                    confidence=71.25,
                ),
            ),
            model="rekognition",
            model_version="7.0",
            minimum=50.0,
            time=at(9),
            sampled=True,
            earlier=asset_id(number + 2),
            distance=2,
            error="throttled",
        ),
        labels=(
            Label(
                name="Golden Retriever",
                confidence=98.5,
                model_version="3.0",
                boxes=(BoundingBox(left=0.25, top=0.1, width=0.5, height=0.75),),
            ),
            Label(name="Cat", confidence=61.25, model_version="3.0", refused=True),
        ),
        labelled="0123456789abcdef",
        tags=frozenset({"summer", "München 2026", "a#b"}),
        attributes={"sku": "4711", "note": "grün & ' \" \\ \x00 🖼", "empty": ""},
    )


def entry(of: AssetRecord) -> LogEntry:
    """The line of the timeline that comes with an outcome."""
    return LogEntry(
        time=of.updated_at, kind=of.status.value, detail={"version": of.version}, id=of.version
    )


# --- calls ------------------------------------------------------------------------------------


def put(catalog: Catalog, *records: AssetRecord) -> AssetRecord:
    """Commit some outcomes in this order; the last one's record."""
    return [catalog.commit(one, entry(one)) for one in records][-1]


def outcome(catalog: Catalog, one: AssetRecord) -> str:
    """What a commit leads to: ``recorded`` or the error's code."""
    try:
        catalog.commit(one, entry(one))
    except (Superseded, AlreadyRecorded) as error:
        return error.code
    return "recorded"


def together(*calls: Callable[[], object]) -> list[object]:
    """Run some calls at the same time; their results or errors."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        start.wait()
        try:
            return call()
        except SafelightError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def phash_of(one: AssetRecord) -> str:
    """The perceptual hash of a record that has one."""
    assert one.metadata is not None
    return one.metadata.measures.phash


def sha_of(one: AssetRecord) -> str:
    """The digest of the bytes of a record that has one."""
    assert one.metadata is not None
    return one.metadata.sha256


# --- requests, watched ------------------------------------------------------------------------

WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}

Answer = tuple[SimpleNamespace, dict[str, Any]]


class Killed(BaseException):
    """The process dies here: nothing in it may catch this."""


def refusal(code: str, status: int = 400, **more: Any) -> Answer:
    """What botocore would have made of an error answer."""
    said = {"Error": {"Code": code, "Message": "told so by a test"}}
    meta = {"ResponseMetadata": {"HTTPStatusCode": status, "RetryAttempts": 0}}
    return SimpleNamespace(status_code=status), said | meta | more


def answer(**said: Any) -> Answer:
    """What botocore would have made of a good answer."""
    meta = {"ResponseMetadata": {"HTTPStatusCode": 200, "RetryAttempts": 0}}
    return SimpleNamespace(status_code=200), said | meta


@dataclass
class Calls:
    """What was asked, in order."""

    names: list[str] = field(default_factory=list)
    parameters: list[dict[str, Any]] = field(default_factory=list)

    @property
    def writes(self) -> int:
        """Items written, by calls of one item each."""
        return sum(name in WRITES for name in self.names)

    def clear(self) -> None:
        """Forget them."""
        self.names.clear()
        self.parameters.clear()


@contextmanager
def watching(
    client: DynamoDBClient,
    before: Callable[[str, int], Answer | None] | None = None,
    after: Callable[[str, int], None] | None = None,
) -> Iterator[Calls]:
    """Record the calls of a client.

    Args:
        client: to watch.
        before: gets the name of each operation and its number, from 1; may raise, or return an
            answer that is then taken for the service's.
        after: gets the same when the service has answered; may raise.
    """
    calls = Calls()

    def parameters(params: dict[str, Any], **_: Any) -> None:
        calls.parameters.append(params)

    def ahead(model: Any, **_: Any) -> Answer | None:
        calls.names.append(model.name)
        return before(model.name, len(calls.names)) if before else None

    def behind(model: Any, **_: Any) -> None:
        if after:
            after(model.name, len(calls.names))

    events = client.meta.events
    hooks: dict[str, Callable[..., Any]] = {
        "provide-client-params.dynamodb": parameters,
        "before-call.dynamodb": ahead,
        "after-call.dynamodb": behind,
    }
    for event, hook in hooks.items():
        events.register(event, hook)
    try:
        yield calls
    finally:
        for event, hook in hooks.items():
            events.unregister(event, hook)


class Turns:
    """Makes the calls of some threads happen in a given order of the threads' names."""

    def __init__(self, order: str) -> None:
        self._order = list(order)
        self._changed = threading.Condition()

    def wait(self, _name: str, _number: int) -> None:
        """Before a call: until it is this thread's turn, or it has none left."""
        me = threading.current_thread().name
        with self._changed:
            self._changed.wait_for(lambda: me not in self._order or self._order[0] == me)

    def done(self, _name: str, _number: int) -> None:
        """After a call: the next one's turn."""
        with self._changed:
            if self._order and self._order[0] == threading.current_thread().name:
                del self._order[0]
            self._changed.notify_all()

    def leave(self) -> None:
        """A thread makes no more calls."""
        with self._changed:
            me = threading.current_thread().name
            self._order = [name for name in self._order if name != me]
            self._changed.notify_all()


# --- what DynamoDB bills ----------------------------------------------------------------------

KILOBYTE = 1024


def write_units(item: Mapping[str, Any]) -> int:
    """Write units of a new item with its index entries (KEYS_ONLY), each rounded up to 1 kB.

    Source: Amazon DynamoDB Developer Guide, "Provisioned throughput considerations for global
    secondary indexes".
    """
    units = -(-item_size(item) // KILOBYTE)
    for index in INDEXES:
        partition, sort = index_keys(index)
        if partition in item:
            entry = {name: item[name] for name in (PARTITION_KEY, SORT_KEY, partition, sort)}
            units += -(-item_size(entry) // KILOBYTE)
    return units


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes DynamoDB bills an item with: names and values in UTF-8, numbers packed.

    Source: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    [(kind, held)] = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return (len(held.lstrip("-")) + 1) // 2 + 1
    if kind == "B":
        return len(held)
    if kind == "SS":
        return sum(len(one.encode()) for one in held)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_size(one) for name, one in held.items())
    if kind == "L":
        return 3 + sum(1 + _value_size(one) for one in held)
    if kind == "BOOL":
        return 1
    raise TypeError(f"items here have no {kind}")
