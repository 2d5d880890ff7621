"""An upload from the first call to the original in the intake bucket.

The asset exists from the first call on, as ``waiting``. Ingest finds its record by the key and
completes it. An upload that never arrives expires: the record by its time to live, parts by a rule
of the bucket. One write to the catalog begins an upload, and no request to the store unless it is
one in parts.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from worker.domain import trace
from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    PendingUpload,
    Status,
    UploadMethod,
    UploadRoute,
    is_tombstone,
)
from worker.domain.errors import (
    AlreadyRecorded,
    AssetMissing,
    InputError,
    NotAllowed,
    ObjectChanged,
    ObjectMissing,
    ParameterError,
    Problem,
    Superseded,
    UploadError,
)
from worker.domain.keys import upload_key
from worker.domain.user_metadata import UserMetadata, to_metadata
from worker.ports import Catalog, ObjectStore, UploadedPart, UploadStore, UploadTicket
from worker.recipes import DeploymentRecipes
from worker.services.erase import leave_tombstone
from worker.services.owned_assets import Caller, require_owned
from worker.settings import Settings

SMALLEST_PART = 5 * 1024**2
"""Bytes of every part but the last (Amazon S3 User Guide, "Amazon S3 multipart upload limits")."""
MOST_PARTS = 10_000
PART_BYTES = 16 * 1024**2
"""Of a part, unless the client says how fast it is."""
PART_SECONDS = 15.0
"""Seconds that a part should take: one part is sent again after a lost connection."""
LARGEST_PART = 512 * 1024**2
TICKETS_AT_ONCE = 1_000
"""Parts that one request may ask tickets for."""
FIRST_TICKETS = 20
"""Parts whose tickets come with the first answer."""
FORM_BYTES = 5 * 1024**3
"""Most bytes of an object that comes in one piece (Amazon S3 User Guide, "Uploading objects")."""
LONGEST_NAME = 200
"""Bytes of a file's name in a key, which has at most 1,024."""
_UPLOADS = uuid.UUID("0b4f5a7e-6f0c-5b52-9d3e-3f1f0d7c2a64")
_UNSAFE = re.compile(r'[\\/:*?"<>|#%{}^~\[\]`]')


class LineKind(StrEnum):
    """A line as browsers describe it (Network Information API, "Effective connection types")."""

    SLOW_2G = "slow-2g"
    TWO_G = "2g"
    THREE_G = "3g"
    FOUR_G = "4g"


NETWORK_RATES = {LineKind.SLOW_2G: 6_250, LineKind.TWO_G: 8_750, LineKind.THREE_G: 87_500}
"""Bytes a second at most: 50, 70 and 700 kbit/s (the same table). The fourth has no upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """A client's request for an upload."""

    name: str
    """Of the file, as people see it."""
    size: int
    """Bytes."""
    media_type: str
    metadata: UserMetadata = field(default_factory=UserMetadata)
    sha256: str = ""
    """64 hex digits; empty if the client does not know it."""
    method: UploadMethod | None = None
    """None chooses."""
    rate: int | None = None
    """The client's measured rate in bytes a second."""
    network: LineKind | None = None
    """The kind of the client's connection, if it knows no rate."""
    route: UploadRoute | None = None
    """None goes by the settings."""

    @property
    def line_rate(self) -> int | None:
        """Expected bytes a second; None if nothing indicates a slow connection."""
        if self.rate is not None or self.network is None:
            return self.rate
        return NETWORK_RATES.get(self.network)

    def digest(self) -> str:
        """A digest that distinguishes this request from a different one with the same key."""
        metadata = self.metadata
        meant = [
            *(self.name, self.size, self.media_type, metadata.owner, sorted(metadata.tags)),
            *(sorted(metadata.attributes.items()), self.sha256, self.method),
            *([metadata.recipe] if metadata.recipe else []),
        ]
        return hashlib.sha256(json.dumps(meant).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadState:
    """The state of an upload, and the parts that the client may send next."""

    record: AssetRecord
    ticket: UploadTicket | None = None
    """Of an upload in one piece that waits."""
    tickets: Mapping[int, UploadTicket] = field(default_factory=dict)
    """Of parts, by their number."""
    parts: Sequence[UploadedPart] = ()
    """Of an upload in parts: those that are there."""
    expires_at: str = ""
    """When the tickets end, ISO 8601 UTC."""

    @property
    def part_count(self) -> int:
        """How many parts the upload has; 0 if it is in one piece."""
        return len(part_sizes(self.record))


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """The use case. One instance serves many callers, on several threads."""

    catalog: Catalog
    store: ObjectStore
    uploads: UploadStore
    settings: Settings
    recipes: DeploymentRecipes
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def begin(self, caller: Caller, wanted: UploadRequest, *, key: str = "") -> UploadState:
        """Record an asset that waits for its original, and make tickets for it.

        Args:
            key: of the client, for repeating the request: the same key of the same owner is the
                same upload.

        Raises:
            ParameterError: with everything that is wrong with the request.
            NotAllowed: ``recipe_not_allowed``: the recipe is an administrator's to choose.
            UploadError: ``upload_reused``: the key belongs to another request.
            AssetMissing: ``asset_erased``: the asset of this key was deleted.
        """
        self._check(wanted)
        chosen = wanted.metadata.recipe
        if chosen and not caller.admin and chosen not in self.recipes.for_everybody:
            said = f"only an administrator may choose the recipe {chosen}"
            raise NotAllowed(said, code="recipe_not_allowed")
        owner = wanted.metadata.owner
        asset = str(uuid.uuid5(_UPLOADS, f"{owner}\n{key}")) if key else new_asset_id()
        record = self._record(asset, wanted)
        if key and (known := self.catalog.get(asset)) is not None:
            return self._again(known, wanted)
        if record.upload is not None and record.upload.method is UploadMethod.MULTIPART:
            upload_id = self.uploads.begin(
                record.source.bucket,
                record.source.key,
                media_type=wanted.media_type,
                metadata=_metadata(wanted.metadata),
            )
            record = replace(record, upload=replace(record.upload, upload_id=upload_id))
        try:
            made = self.catalog.commit(record, self._line("waiting", record), new=True)
        except (AlreadyRecorded, Superseded):  # the same request, twice at the same time
            self._abort(record)
            return self._again(require_owned(self.catalog, caller, asset), wanted)
        return self._tickets(made)

    def show(self, caller: Caller, asset: str) -> UploadState:
        """How an upload stands, with the parts that are there, and new tickets.

        Raises:
            AssetMissing: the caller has no such asset.
        """
        record = require_owned(self.catalog, caller, asset)
        if record.upload is None or not self._waits(record):
            return UploadState(record=record)
        if record.upload.method is not UploadMethod.MULTIPART:
            return self._tickets(record)
        try:
            parts = self._uploaded(record)
        except ObjectMissing:
            # Another call has joined it and not recorded it yet, or it is gone.
            with suppress(ObjectMissing):
                self.store.head(record.source.bucket, record.source.key)
                record = replace(record, status=Status.UPLOADED)
            return UploadState(record=record)
        there = {one.number for one in parts}
        left = [number for number in part_sizes(record) if number not in there]
        return replace(self._tickets(record, left[:FIRST_TICKETS]), parts=parts)

    def parts(
        self,
        caller: Caller,
        asset: str,
        numbers: Sequence[int],
        *,
        route: UploadRoute | None = None,
    ) -> UploadState:
        """Tickets for some parts, new ones if they had some.

        Raises:
            AssetMissing: the caller has no such asset.
            ParameterError: there are no such parts, or no such route.
            UploadError: it has no parts, is finished or has expired.
        """
        record = self._waiting_parts(caller, asset)
        sizes = part_sizes(record)
        wrong = [number for number in numbers if number not in sizes]
        problems = list(self._route_problems(route))
        if wrong:
            said = f"there are parts 1 to {len(sizes)}, no {', '.join(map(str, wrong[:5]))}"
            problems.append(Problem("numbers", said))
        if problems:
            raise ParameterError("parts", tuple(problems))
        return self._tickets(record, numbers, route=route)

    def complete(self, caller: Caller, asset: str) -> UploadState:
        """Make the original of the parts. Doing it twice does it once.

        Raises:
            AssetMissing: the caller has no such asset.
            UploadError: ``upload_incomplete``: parts are missing or have another size; it has no
                parts or has expired.
        """
        record = require_owned(self.catalog, caller, asset)
        if record.upload is None or record.status is not Status.WAITING:
            return UploadState(record=record)  # done before
        record = self._waiting_parts(caller, asset)
        upload = record.upload
        assert upload is not None
        bucket, key = record.source.bucket, record.source.key
        try:
            parts = self._uploaded(record)
            _check_parts(part_sizes(record), parts)
            self.uploads.complete(bucket, key, upload.upload_id, parts)
        except (ObjectMissing, ObjectChanged):
            # Completed by a call whose answer did not arrive, or gone.
            try:
                self.store.head(bucket, key)
            except ObjectMissing:
                raise _expired(record) from None
        arrived = replace(record, status=Status.UPLOADED, updated_at=self._time())
        try:
            record = self.catalog.commit(arrived, self._line("uploaded", arrived))
        except (AlreadyRecorded, Superseded):  # ingest was faster
            record = self.catalog.get(asset) or record
        return UploadState(record=record)

    def abort(self, caller: Caller, asset: str) -> None:
        """Give an upload up: parts and record go. One that is gone is no error.

        Raises:
            UploadError: ``upload_finished``: the original is there; delete the asset instead.
        """
        try:
            record = require_owned(self.catalog, caller, asset)
        except AssetMissing:
            return
        if record.status is not Status.WAITING:
            raise _finished(record)
        self._abort(record)
        try:
            self.store.head(record.source.bucket, record.source.key)
        except ObjectMissing:
            # If a valid ticket is used from now on, ingest removes the object.
            self.catalog.delete(asset)
            leave_tombstone(self.catalog, record, time=self._time())
        else:
            raise _finished(record)

    # --- requests ---------------------------------------------------------------------------

    def _check(self, wanted: UploadRequest) -> None:
        problems: list[Problem] = []
        limit = self.settings.upload_bytes
        if wanted.size > limit:
            problems.append(Problem("size", f"must be at most {limit:,} bytes", code="too_large"))
        if wanted.method is not None and wanted.method is not UploadMethod.MULTIPART:
            if wanted.size > FORM_BYTES:
                problems.append(Problem("method", f"{wanted.method} takes {FORM_BYTES:,} bytes"))
        elif wanted.sha256 and self._method(wanted) is UploadMethod.MULTIPART:
            said = "is of uploads in one piece: S3 keeps no SHA-256 of parts that are joined"
            problems.append(Problem("sha256", said))
        chosen = wanted.metadata.recipe
        if chosen and chosen not in self.recipes.all:
            names = ", ".join(sorted(self.recipes.for_everybody))
            said = f"no recipe is called {chosen}; choose one of: {names}"
            problems.append(Problem("recipe", said, code="recipe_unknown"))
        problems += self._route_problems(wanted.route)
        if wanted.route is UploadRoute.DISTRIBUTION and wanted.method is UploadMethod.POST:
            said = "forms are not sent through the distribution"
            problems.append(Problem("method", said, code="route_unavailable"))
        try:
            to_metadata(UserMetadata(owner=wanted.metadata.owner))
        except InputError as error:
            problems.append(Problem("owner", error.message))
        if problems:
            raise ParameterError("upload", tuple(problems))

    def _route_problems(self, route: UploadRoute | None) -> Iterator[Problem]:
        offered = self.settings.upload_routes
        if route is not None and route not in offered:
            yield Problem(
                "route", f"must be one of: {', '.join(offered)}", code="route_unavailable"
            )

    def _method(self, wanted: UploadRequest) -> UploadMethod:
        if wanted.method is not None:
            return wanted.method
        whole = self.settings.upload_whole_bytes
        rate = wanted.line_rate
        if rate is not None:  # what takes longer than a few parts is better resumed
            whole = min(whole, max(SMALLEST_PART, int(4 * PART_SECONDS * rate)))
        return UploadMethod.MULTIPART if wanted.size > whole else UploadMethod.PUT

    def _record(self, asset: str, wanted: UploadRequest) -> AssetRecord:
        method, now = self._method(wanted), self.now()
        parted = method is UploadMethod.MULTIPART
        metadata = wanted.metadata
        return AssetRecord(
            asset=asset,
            source=ObjectVersion(
                bucket=self.settings.intake_bucket,
                key=upload_key(asset, file_name(wanted.name)),
                etag="",
                sequencer="",  # before that of everything that arrives
                size=wanted.size,
                # Its trace begins with this call; a bucket's event of it carries none.
                traceparent=trace.current() or trace.new(),
            ),
            recipe=metadata.recipe or self.settings.recipe,
            chosen_recipe=metadata.recipe,
            recipe_digest="",
            version="",
            status=Status.WAITING,
            owner=metadata.owner,
            tags=metadata.tags,
            attributes=metadata.attributes,
            updated_at=_stamp(now),
            upload=PendingUpload(
                method=method,
                media_type=wanted.media_type,
                expires_at=_stamp(now + timedelta(hours=self.settings.upload_hours)),
                request=wanted.digest(),
                sha256=wanted.sha256,
                part_size=part_size(wanted.size, wanted.line_rate) if parted else 0,
                route=wanted.route or self._usual_route(method),
            ),
        )

    def _usual_route(self, method: UploadMethod) -> UploadRoute:
        first = self.settings.upload_routes[0]
        formless = first is UploadRoute.DISTRIBUTION and method is UploadMethod.POST
        return UploadRoute.DIRECT if formless else first

    def _again(self, known: AssetRecord, wanted: UploadRequest) -> UploadState:
        """The answer to a request that was answered before."""
        if is_tombstone(known):
            raise AssetMissing(f"asset {known.asset} was deleted", code="asset_erased")
        if known.upload is None:
            # The original has arrived. Of the request, the record has only name and size.
            meant = upload_key(known.asset, file_name(wanted.name)), wanted.size
            same = meant == (known.source.key, known.source.size)
        else:
            same = known.upload.request == wanted.digest()
        if not same:
            raise UploadError(
                "another request was made with this idempotency key", code="upload_reused"
            )
        return self._tickets(known, route=wanted.route)

    # --- tickets ----------------------------------------------------------------------------

    def _tickets(
        self,
        record: AssetRecord,
        numbers: Sequence[int] | None = None,
        *,
        route: UploadRoute | None = None,
    ) -> UploadState:
        upload, source = record.upload, record.source
        if upload is None or not self._waits(record):
            return UploadState(record=record)
        route = route or upload.route
        seconds = self.settings.upload_seconds
        until = _stamp(self.now() + timedelta(seconds=seconds))
        if upload.method is UploadMethod.MULTIPART:
            sizes = part_sizes(record)
            chosen = list(sizes)[:FIRST_TICKETS] if numbers is None else numbers
            tickets = self.uploads.parts(
                source.bucket,
                source.key,
                upload.upload_id,
                {number: sizes[number] for number in chosen},
                seconds=seconds,
                route=route,
            )
            return UploadState(record=record, tickets=tickets, expires_at=until)
        metadata = UserMetadata(
            owner=record.owner,
            tags=record.tags,
            attributes=record.attributes,
            recipe=record.chosen_recipe,
        )
        given = {
            "size": source.size,
            "media_type": upload.media_type,
            "metadata": _metadata(metadata),
            "sha256": upload.sha256,
            "seconds": seconds,
            "route": route,
        }
        sign = self.uploads.form if upload.method is UploadMethod.POST else self.uploads.put
        ticket = sign(source.bucket, source.key, **given)  # type: ignore[arg-type]
        return UploadState(record=record, ticket=ticket, expires_at=until)

    def _waiting_parts(self, caller: Caller, asset: str) -> AssetRecord:
        record = require_owned(self.catalog, caller, asset)
        if record.upload is None or record.status is not Status.WAITING:
            raise _finished(record)
        if record.upload.method is not UploadMethod.MULTIPART:
            raise UploadError(f"upload {asset} is in one piece", code="upload_unparted")
        if not self._waits(record):
            raise _expired(record)
        return record

    def _waits(self, record: AssetRecord) -> bool:
        """Whether something may still be sent."""
        upload = record.upload
        return (
            upload is not None
            and record.status is Status.WAITING
            and datetime.fromisoformat(upload.expires_at) > self.now()
        )

    def _uploaded(self, record: AssetRecord) -> Sequence[UploadedPart]:
        assert record.upload is not None
        source = record.source
        return self.uploads.uploaded(source.bucket, source.key, record.upload.upload_id)

    def _abort(self, record: AssetRecord) -> None:
        upload = record.upload
        if upload is not None and upload.upload_id:
            with suppress(ObjectMissing):
                self.uploads.abort(record.source.bucket, record.source.key, upload.upload_id)

    def _line(self, kind: str, record: AssetRecord) -> LogEntry:
        assert record.upload is not None
        detail = {"method": record.upload.method.value}
        return LogEntry(time=record.updated_at, kind=kind, detail=detail, id=f"upload-{kind}")

    def _time(self) -> str:
        return _stamp(self.now())


# --- names, ids and sizes -----------------------------------------------------------------------


def new_asset_id() -> str:
    """A UUIDv7: the first 48 bits are milliseconds since 1970, the rest is random (RFC 9562)."""
    value = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def file_name(name: str) -> str:
    """A file's name as the last part of a key: composed Unicode, without characters that have a
    meaning in some system or in URLs, at most ``LONGEST_NAME`` bytes with its ending."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    kept = "".join("_" if unicodedata.category(one)[0] == "C" else one for one in text)
    kept = " ".join(_UNSAFE.sub("_", kept).split()).strip(". ")
    stem, dot, ending = kept.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, dot, ending = kept, "", ""
    room = LONGEST_NAME - len(ending.encode()) - len(dot)
    stem = stem.encode()[:room].decode(errors="ignore").strip(". ")
    return f"{stem or 'file'}{dot}{ending}"


def part_size(size: int, rate: int | None) -> int:
    """Bytes of each part but the last, whole mebibytes.

    Args:
        size: of the file.
        rate: bytes a second, if known.
    """
    wanted = PART_BYTES if rate is None else int(rate * PART_SECONDS)
    least = -(-size // MOST_PARTS)
    mebibyte = 1024**2
    chosen = min(max(wanted, SMALLEST_PART), LARGEST_PART)
    return -(-max(chosen, least) // mebibyte) * mebibyte


def part_sizes(record: AssetRecord) -> dict[int, int]:
    """Bytes of each part, by its number; none of an upload in one piece."""
    upload, size = record.upload, record.source.size
    if upload is None or not upload.part_size:
        return {}
    count = max(1, -(-size // upload.part_size))
    return {
        number: min(upload.part_size, size - (number - 1) * upload.part_size)
        for number in range(1, count + 1)
    }


def _check_parts(sizes: Mapping[int, int], parts: Sequence[UploadedPart]) -> None:
    """Raise UploadError unless exactly these parts are there."""
    found = {one.number: one.size for one in parts}
    missing = [number for number in sizes if number not in found]
    wrong = [number for number in found if found[number] != sizes.get(number)]
    if missing or wrong:
        said = [f"missing: {_some(missing)}"] if missing else []
        said += [f"of another size: {_some(wrong)}"] if wrong else []
        raise UploadError(f"parts {'; '.join(said)}", code="upload_incomplete")


def _some(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return ", ".join(map(str, numbers[:10])) + more


def _metadata(metadata: UserMetadata) -> Mapping[str, str]:
    """The metadata of the object: all of it, or only the owner if it is too large.

    The record has them in any case; the object's own are for a catalog that is made anew.
    """
    try:
        return to_metadata(metadata)
    except InputError:
        return to_metadata(UserMetadata(owner=metadata.owner, recipe=metadata.recipe))


def _expired(record: AssetRecord) -> UploadError:
    return UploadError(f"upload {record.asset} has expired; begin anew", code="upload_expired")


def _finished(record: AssetRecord) -> UploadError:
    return UploadError(f"the original of {record.asset} is there", code="upload_finished")


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
