"""Photos as assets, in a folder: what the delivery service of the bench reads and writes.

An asset is a number. Each request for a rendition that is to be made names an asset of its own. All
assets of a photo share the files that ingest would have stored, so that a folder of some megabytes
has any number of assets.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from worker import recipes
from worker.bench.delivery.servers import BOX, SETTINGS
from worker.codec import build, plain
from worker.domain.asset import AssetRecord, ObjectVersion, Status
from worker.domain.errors import ObjectMissing
from worker.domain.image import Format, Recipe
from worker.domain.keys import prefix_of
from worker.ports import StoredObject

INTAKE, DELIVERY = "intake", "delivery"
"""Buckets, and folders below that of the library."""
SMALL = "small"
"""The rendition that is asked for and was not made at upload."""
EAGER = (Format.JPEG, Format.WEBP)
"""Formats that were made at upload."""
VERSION = "0123456789abcdef"
_IDS = "00000000-0000-5000-8000-"
_RECORDS = "records.json"


def asset_of(number: int) -> str:
    """The id of an asset; the number is its end, so that the catalog needs no list."""
    return f"{_IDS}{number:012x}"


def path_of(number: int, kind: Format) -> str:
    """The URL path of an asset's small rendition in a format."""
    return f"/{asset_of(number)}/{VERSION}/{SMALL}.{kind.extension}"


def recipe() -> Recipe:
    """Three sizes in all formats. Of medium and large the upload has made ``EAGER``."""
    formats = ", ".join(
        f'{{ format = "{kind.value}", quality = {one.quality}'
        + (f", effort = {one.effort} }}" if kind is not Format.JPEG else " }")
        for kind, one in SETTINGS.items()
    )
    sizes = {"large": 2048, "medium": 1024, SMALL: BOX}
    text = "".join(
        f'[[renditions]]\nname = "{name}"\nwidth = {side}\nheight = {side}\nformats = [{formats}]\n'
        for name, side in sizes.items()
    )
    return recipes.parse(f'name = "bench"\nversion = 1\n{text}', subject="the recipe of the bench")


def at_upload() -> Recipe:
    """The part of the recipe that an upload has made: medium and large as recipe ``default``."""
    whole = recipe()
    sizes = tuple(
        replace(one, encodings=tuple(each for each in one.encodings if each.format in EAGER))
        for one in whole.renditions
        if one.name != SMALL
    )
    return replace(whole, renditions=sizes)


class FolderStore:
    """Buckets as folders: the part of ``ports.ObjectStore`` that delivery needs."""

    def __init__(self, folder: Path) -> None:
        """Read and write below ``folder``."""
        self._folder = folder

    def _path(self, bucket: str, key: str) -> Path:
        # One folder a bucket: S3 has none, and making some for each key takes time.
        return self._folder / bucket / key.replace("/", "!")

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,  # noqa: ARG002  objects are never replaced
        etag: str | None = None,  # noqa: ARG002
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """As the port says."""
        try:
            data = self._path(bucket, key).read_bytes()
        except OSError as error:
            raise ObjectMissing(f"{bucket}/{key}: {error.strerror}") from error
        tag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        stored = StoredObject(key=key, size=len(data), etag=tag)
        return (data if first is None else data[:first]), stored

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """As the port says."""
        return self.get(bucket, key, version_id=version_id)[1]

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,  # noqa: ARG002  the ending says it
        cache_control: str = "",  # noqa: ARG002
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002
        once: bool = False,
    ) -> str:
        """As the port says."""
        path = self._path(bucket, key)
        if not (once and path.exists()):
            path.parent.mkdir(exist_ok=True)
            staged = path.with_name(f"{path.name}.{threading.get_ident()}")
            staged.write_bytes(data)
            staged.replace(path)
        return hashlib.md5(data, usedforsecurity=False).hexdigest()


class NumberedCatalog:
    """Records of assets 0, 1, 2 ...: photo after photo, over and over.

    Args:
        records: one of each photo.
    """

    def __init__(self, records: Sequence[AssetRecord]) -> None:
        self._records = records
        self._claims: dict[tuple[str, str], int] = {}

    def get(self, asset: str) -> AssetRecord | None:
        """As ``ports.Catalog`` says."""
        if not asset.startswith(_IDS):
            return None
        number = int(asset.removeprefix(_IDS), 16)
        return replace(self._records[number % len(self._records)], asset=asset)

    def claim(self, asset: str, work: str, *, holder: str, seconds: float) -> int:
        """As ``ports.Catalog`` says, of one process: its server asks for each file once."""
        del holder, seconds
        self._claims[asset, work] = self._claims.get((asset, work), 0) + 1
        return self._claims[asset, work]


def create(folder: Path, photos: Mapping[str, Path]) -> None:
    """Write the library of some photos into an empty folder.

    Args:
        photos: by name.

    Raises:
        Rejected: a photo is not accepted.
    """
    from worker.imaging.engine import process  # the process that measures does without libvips
    from worker.services.recipe_store import RecipeStore

    made, store = recipe(), FolderStore(folder)
    made_records: list[AssetRecord] = []
    RecipeStore(store, DELIVERY).keep(made)  # type: ignore[arg-type]  # it reads and writes only
    for name, path in photos.items():
        data = path.read_bytes()
        etag = store.put(INTAKE, name, data, content_type="image/jpeg")
        done = process(data, at_upload())
        stored = []
        for one in done.renditions:
            prefix = prefix_of(asset_of(len(made_records)), VERSION)
            key = f"{prefix}{one.name}.{one.format.extension}"
            store.put(DELIVERY, key, one.data, content_type=one.format.media_type)
            stored.append(one.stored_as(key))
        made_records.append(
            AssetRecord(
                asset=asset_of(len(made_records)),
                source=ObjectVersion(
                    bucket=INTAKE, key=name, etag=etag, sequencer="1", size=len(data)
                ),
                recipe=made.name,
                recipe_digest=made.digest,
                version=VERSION,
                status=Status.ACCEPTED,
                probe=done.probe,
                metadata=done.metadata,
                renditions=tuple(stored),
                dropped=done.dropped,
            )
        )
    (folder / _RECORDS).write_text(json.dumps([plain(one) for one in made_records]), "utf-8")


def records(folder: Path, *, stored: bool) -> list[AssetRecord]:
    """The records of a library.

    Args:
        stored: with the renditions of the upload; else as of an upload whose recipe makes all of
            them at first view.
    """
    found = [build(AssetRecord, one) for one in json.loads((folder / _RECORDS).read_text("utf-8"))]
    return found if stored else [replace(one, renditions=(), dropped=()) for one in found]
