"""Records for the catalog's suites: plausible, different, and fixed by a number."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from typing import Any

from worker.domain.asset import (
    AssetRecord,
    LogEntry,
    ObjectVersion,
    Status,
    Verdict,
    version_of,
)
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
        tags=frozenset({"summer", "München 2026", "a#b"}),
        attributes={"sku": "4711", "note": "grün & ' \" \\ \x00 🖼", "empty": ""},
    )


def entry(of: AssetRecord) -> LogEntry:
    """The line of the timeline that comes with an outcome."""
    return LogEntry(
        time=of.updated_at, kind=of.status.value, detail={"version": of.version}, id=of.version
    )
