"""The record of how a job ended, beside its results: ``result.json`` or ``rejected.json``.

Written last: its presence means done. What lives here: its shape, its name, and the digest by
which the same job is known again. What may not: files and S3 (``batch.outputs``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from batch.inputs import InputCopy
from batch.kind import JobKind
from batch.outputs import JobOutput, OutputStore
from batch.work import ListedFile, Value
from worker import __version__
from worker.domain.errors import Rejected, SafelightError

_JSON = "application/json"


def job_name(kind: JobKind, index: int | None) -> str:
    """Names a job within its output place: ``transcode``, ``transcode-part-00003``."""
    return kind.name if index is None else f"{kind.name}-{index:05d}"


def result_name(kind: JobKind, index: int | None) -> str:
    """``result.json``; of an array's child ``results/00003.result.json``."""
    return kind.result if index is None else f"results/{index:05d}.{kind.result}"


def rejected_name(kind: JobKind, index: int | None) -> str:
    """``rejected.json``, named like the result."""
    return _beside(result_name(kind, index))


def _beside(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(path.name.replace("result.json", "rejected.json")))


def digest(
    kind: JobKind,
    parameters: Mapping[str, Value],
    identities: Sequence[str],
    *,
    index: int | None,
    size: int,
) -> str:
    """What makes two jobs the same one: 64 hex digits.

    Args:
        identities: SHA-256 of each input; address and etag where nobody has read them.
    """
    meaning = {
        "kind": kind.name,
        "version": __version__,
        "parameters": {name: parameters[name] for name in sorted(parameters)},
        "inputs": list(identities),
        "index": index,
        "size": size,
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def done(
    kind: JobKind,
    *,
    job: str,
    array: tuple[int | None, int],
    parameters: Mapping[str, Value],
    inputs: Sequence[Mapping[str, object]],
    outputs: Sequence[JobOutput],
    details: Mapping[str, object],
    seconds: float,
) -> dict[str, object]:
    """The content of ``result.json``. ``job`` is the digest, ``array`` the index and the size."""
    return {
        "kind": kind.name,
        "version": __version__,
        "job": job,
        "array": list(array),
        "parameters": dict(parameters),
        "inputs": list(inputs),
        "outputs": [
            {
                "name": output.name,
                "bytes": output.bytes,
                "sha256": output.sha256,
                "content_type": output.content_type,
            }
            for output in outputs
        ],
        "details": dict(details),
        "seconds": round(seconds, 3),
    }


def rejected(kind: JobKind, error: SafelightError, sources: Sequence[str]) -> dict[str, object]:
    """The content of ``rejected.json``."""
    return {
        "kind": kind.name,
        "version": __version__,
        "code": error.code,
        "message": error.message,
        "verdict": type(error).__name__ if isinstance(error, Rejected) else "InputError",
        "inputs": [{"uri": source} for source in sources],
    }


def inputs_of(fetched: Sequence[InputCopy]) -> list[dict[str, object]]:
    """The ``inputs`` of a result."""
    return [
        {"uri": item.uri, "bytes": item.bytes, "sha256": item.sha256, "etag": item.etag}
        for item in fetched
    ]


def write(place: OutputStore, name: str, content: Mapping[str, object]) -> None:
    """Store a record. Whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Names that are no UTF-8 have lone surrogates: escaped, JSON reads them as the same.
    place.write(name, text.encode(errors="backslashreplace"), content_type=_JSON)


def read(place: OutputStore, name: str) -> Mapping[str, Any] | None:
    """A record, or None if there is none or it is damaged."""
    data = place.read(name)
    if data is None:
        return None
    try:
        content = json.loads(data)
    except ValueError:  # not UTF-8 is one too
        return None
    return content if isinstance(content, dict) else None


def same_request(
    content: Mapping[str, Any],
    kind: JobKind,
    *,
    array: tuple[int | None, int],
    parameters: Mapping[str, Value],
    found: Sequence[ListedFile],
) -> bool:
    """Whether a result is that of this request, by etags alone: nothing has been fetched yet."""
    wanted = json.loads(json.dumps(dict(parameters)))
    listed = content.get("inputs")
    return (
        content.get("kind") == kind.name
        and content.get("version") == __version__
        and content.get("array") == list(array)
        and content.get("parameters") == wanted
        and isinstance(listed, list)
        and [_identity(item) for item in listed]
        == [(item.uri, item.bytes, item.etag) for item in found]
    )


def _identity(item: object) -> tuple[object, object, object] | None:
    if not isinstance(item, Mapping) or not item.get("etag"):
        return None
    return item.get("uri"), item.get("bytes"), item.get("etag")
