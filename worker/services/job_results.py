"""Results of a job in its folder of the output store: ``result.json`` or ``rejected.json``.

A job has decoded hostile bytes, so its result is validated before it becomes a key or a record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from worker.domain.asset import AssetRecord, JobRecord, Verdict
from worker.domain.errors import EngineError, ObjectMissing
from worker.domain.keys import jobs_prefix
from worker.ports import ObjectStore

RESULT = "result.json"
REJECTED = ("rejected.json", "plan.rejected.json")
"""Files of a rejection, by a job and by a planning job that shares its folder with others."""
SUCCEEDED = "SUCCEEDED"
"""The fields of a finished job in its asset's record."""
CHILDREN = "results/"
"""Folder of the results of an array's children."""
LARGEST = 20_000_000
"""Largest result that is read, in bytes: the result of a long video lists some ten thousand
segments."""
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """One file that a job has stored."""

    name: str
    """Path below the job's folder, without ``..`` and without a leading ``/``."""
    key: str
    bytes: int
    sha256: str
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedJob:
    """The result of a job that succeeded."""

    kind: str
    outputs: tuple[StoredOutput, ...]
    details: Mapping[str, Any]
    input_etag: str
    """ETag of the first input; empty if it was not an object."""
    input_sha256: str
    """SHA-256 of the first input; empty if it was not read as a whole."""

    def output(self, name: str) -> StoredOutput:
        """The file of that name.

        Raises:
            EngineError: there is none.
        """
        for one in self.outputs:
            if one.name == name:
                return one
        raise EngineError(f"{self.kind}: it has not stored {name[:80]!r}")


def tiles_key(record: AssetRecord, jobs: Iterable[JobRecord], bucket: str) -> str | None:
    """Key of the Deep Zoom descriptor of an asset's current version; None if it has no tiles.

    Args:
        jobs: jobs of the asset, oldest first, with the fields of ``batch.result.noted``.
        bucket: the delivery bucket.
    """
    found = None
    for job in jobs:
        folder, detail = job.detail.get("output", ""), job.detail
        if (
            job.state == SUCCEEDED
            and detail.get("descriptor", "").endswith(".dzi")
            and detail.get("etag") == record.source.etag
            and folder.startswith(f"s3://{bucket}/{jobs_prefix(record)}")
        ):
            found = f"{folder.removeprefix(f's3://{bucket}/').rstrip('/')}/{detail['descriptor']}"
    return found


def read_result(
    store: ObjectStore, bucket: str, folder: str, kind: str
) -> FinishedJob | Verdict | None:
    """The result of a job in its folder; None without a result.

    Args:
        folder: the prefix of the job's files, with a trailing slash.

    Returns:
        A verdict if the job has rejected its input.

    Raises:
        EngineError: the result is invalid, which is a defect of the job, not of the upload.
        TransientError: the store does not answer.
    """
    done = _fetch(store, bucket, folder + RESULT)
    if done is not None:
        return _result(done, folder, kind)
    for name in REJECTED:
        rejected = _fetch(store, bucket, folder + name)
        if rejected is not None:
            return _verdict(rejected, kind)
    for found in store.list(bucket, folder + CHILDREN):
        if found.key.endswith("rejected.json"):
            rejected = _fetch(store, bucket, found.key)
            if rejected is not None:
                return _verdict(rejected, kind)
    return None


def listed_files(store: ObjectStore, bucket: str, folder: str) -> tuple[str, ...]:
    """Keys of a job's files in a folder that it shares with others: the files that its result
    lists.

    Raises:
        EngineError, TransientError: see ``read_result``.
    """
    found = read_result(store, bucket, folder, "the job")
    outputs = [one.key for one in found.outputs] if isinstance(found, FinishedJob) else []
    return (*outputs, *(folder + name for name in (RESULT, *REJECTED)))


def _fetch(store: ObjectStore, bucket: str, key: str) -> dict[str, Any] | None:
    try:
        data, found = store.get(bucket, key, first=LARGEST)
    except ObjectMissing:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{key}: {found.size} bytes that are no JSON") from error
    if not isinstance(value, dict):
        raise EngineError(f"{key}: not an object")
    return value


def _result(value: dict[str, Any], folder: str, kind: str) -> FinishedJob:
    first = objects(value, "inputs")[0] if objects(value, "inputs") else {}
    return FinishedJob(
        kind=kind,
        outputs=tuple(_output(one, folder) for one in objects(value, "outputs")),
        details=mapping(value, "details"),
        input_etag=word(first, "etag", 200) if "etag" in first else "",
        input_sha256=_digest(first) if "sha256" in first else "",
    )


def _output(value: Mapping[str, Any], folder: str) -> StoredOutput:
    name = word(value, "name", 900)
    if any(part in {"", ".", ".."} for part in name.split("/")):
        raise EngineError(f"a job has stored {name[:80]!r}, which leaves its folder")
    return StoredOutput(
        name=name,
        key=folder + name,
        bytes=whole(value, "bytes"),
        sha256=_digest(value),
        content_type=word(value, "content_type", 100),
    )


def _digest(value: Mapping[str, Any]) -> str:
    found = word(value, "sha256", 64)
    if not _DIGEST.fullmatch(found):
        raise EngineError(f"not a SHA-256: {found!r}")
    return found


def _verdict(value: dict[str, Any], kind: str) -> Verdict:
    code = word(value, "code", 64)
    if not _CODE.fullmatch(code):
        raise EngineError(f"{kind}: not a reason code: {code!r}")
    return Verdict(code=code, message=word(value, "message", 100_000)[:500])


# --- one field of what a job said -------------------------------------------------------------


def _field(value: Mapping[str, Any], name: str, kind: type[T]) -> T:
    found = value.get(name)
    if not isinstance(found, kind) or isinstance(found, bool) is not (kind is bool):
        raise EngineError(f"a job has left no {kind.__name__} called {name}")
    return found


def word(value: Mapping[str, Any], name: str, longest: int) -> str:
    """A text of limited length. Raises ``EngineError``, like all of these functions."""
    found = _field(value, name, str)
    if len(found) > longest:
        raise EngineError(f"a job has left {len(found)} characters called {name}")
    return found


def whole(value: Mapping[str, Any], name: str) -> int:
    """A whole number that is not negative."""
    found = _field(value, name, int)
    if not 0 <= found < 2**63:
        raise EngineError(f"a job has left {found} as {name}")
    return found


def number(value: Mapping[str, Any], name: str) -> float:
    """A number that is not negative and not infinite."""
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise EngineError(f"a job has left no number called {name}")
    if not (math.isfinite(found) and found >= 0):
        raise EngineError(f"a job has left {found} as {name}")
    return float(found)


def mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object."""
    return _field(value, name, dict)


def objects(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects."""
    found = _field(value, name, list)
    if not all(isinstance(one, dict) for one in found):
        raise EngineError(f"a job has left something else than objects in {name}")
    return found
