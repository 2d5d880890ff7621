"""The record of a picture that was too much for the ingest function, made of what its job left.

The job runs the same engine by the same recipe and stores renditions under the same names, so the
record is the one that ingest would have made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from worker import codec
from worker.domain.asset import AssetRecord, StoredRendition
from worker.domain.errors import EngineError, ObjectMissing
from worker.domain.image import Dropped, Format, Metadata, Probe
from worker.ports import ObjectStore
from worker.services.finalize.results import Result, mapping, objects, word

PROCESS = "batch-process"
ALL = (PROCESS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    name: str
    format: Format
    width: int
    height: int
    frames: int
    path: str
    duration_ms: int | None = None
    same_as: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """The part of the manifest's entry that a record is made of."""

    probe: Probe
    metadata: Metadata
    renditions: tuple[_Made, ...]
    dropped: tuple[Dropped, ...]


def picture_record(
    record: AssetRecord, results: Mapping[str, Result], store: ObjectStore, bucket: str
) -> AssetRecord:
    """The record with everything the job has made named in it.

    Args:
        record: of the upload; its status is left as it is.
        results: with that of the one job.

    Raises:
        EngineError: the job has left something that cannot be used.
        TransientError: the store does not answer.
    """
    result = results[PROCESS]
    manifest = _manifest(result, store, bucket)
    digest = word(mapping(manifest, "recipe"), "digest", 64)
    if digest != record.recipe_digest:
        raise EngineError(f"the job went by another recipe than {record.recipe}: {digest[:16]}")
    pictures = objects(manifest, "pictures")
    if len(pictures) != 1:
        raise EngineError(f"the job has made {len(pictures)} pictures of one")
    entry = _entry(pictures[0])
    return replace(
        record,
        probe=entry.probe,
        metadata=entry.metadata,
        renditions=tuple(_stored(made, result) for made in entry.renditions),
        dropped=entry.dropped,
    )


def _manifest(result: Result, store: ObjectStore, bucket: str) -> Mapping[str, Any]:
    output = result.output(word(result.details, "manifest", 900))
    try:
        value = json.loads(store.get(bucket, output.key)[0])
    except (ObjectMissing, ValueError, RecursionError) as error:
        raise EngineError(f"{output.key}: {error}") from error
    if not isinstance(value, dict):
        raise EngineError(f"{output.key}: not an object")
    return value


def _entry(value: Mapping[str, Any]) -> _Entry:
    try:
        return codec.build(_Entry, value)
    except EngineError as error:
        raise EngineError("the manifest of a job cannot be read") from error


def _stored(made: _Made, result: Result) -> StoredRendition:
    file = result.output(made.path)
    return StoredRendition(
        name=made.name,
        format=made.format,
        width=made.width,
        height=made.height,
        frames=made.frames,
        bytes=file.bytes,
        key=file.key,
        sha256=file.sha256,
        duration_ms=made.duration_ms,
        same_as=made.same_as,
    )
