"""The record of how a job ended, beside its results: ``result.json`` or ``rejected.json``.

It is written last: its presence means that the job is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from batch.catalogue import JobKind
from batch.inputs import InputCopy
from batch.outputs import JobOutput, OutputStore
from batch.work import ListedFile, Value
from worker import __version__, codec
from worker.domain.errors import EngineError, Rejected, SafelightError


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInput:
    """One input of a job, as far as it is known."""

    uri: str
    bytes: int | None = None
    sha256: str = ""
    """Empty if the job has not read it as a whole."""
    etag: str = ""

    @classmethod
    def of(cls, copy: InputCopy) -> JobInput:
        """An input that the job has read."""
        return cls(uri=copy.uri, bytes=copy.bytes, sha256=copy.sha256, etag=copy.etag)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """The content of ``result.json``."""

    kind: str
    version: str
    """Of Safelight."""
    job: str
    """The digest of the request: see :func:`digest`."""
    array: tuple[int | None, int]
    """Index of the child, None outside of array jobs, and size of the array."""
    parameters: Mapping[str, object]
    inputs: tuple[JobInput, ...]
    outputs: tuple[JobOutput, ...]
    details: Mapping[str, object]
    """The return value of the operation: docs/jobs.md describes it for each kind."""
    seconds: float

    def answers(
        self,
        kind: JobKind,
        *,
        array: tuple[int | None, int],
        parameters: Mapping[str, Value],
        found: Sequence[ListedFile],
    ) -> bool:
        """Whether this is the result of a request, by etags alone: nothing is fetched yet."""
        return (
            self.kind == kind.name
            and self.version == __version__
            and self.array == array
            and self.parameters == codec.plain(parameters)
            and all(one.etag for one in self.inputs)
            and [(one.uri, one.bytes, one.etag) for one in self.inputs]
            == [(one.uri, one.bytes, one.etag) for one in found]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionRecord:
    """The content of ``rejected.json``."""

    kind: str
    version: str
    code: str
    message: str
    verdict: str
    """Class of the error."""
    inputs: tuple[JobInput, ...]


def noted(record: ResultRecord) -> dict[str, str]:
    """The fields of a result that the asset's record keeps for its job, because a page needs them:
    its upload, and the name of the file that a viewer opens."""
    kept = {"etag": record.inputs[0].etag if record.inputs else ""}
    kept["descriptor"] = str(record.details.get("descriptor") or "")
    return {name: text for name, text in kept.items() if text}


def rejection(kind: JobKind, error: SafelightError, sources: Sequence[str]) -> RejectionRecord:
    """The verdict on inputs that can never succeed."""
    return RejectionRecord(
        kind=kind.name,
        version=__version__,
        code=error.code,
        message=error.message,
        verdict=type(error).__name__ if isinstance(error, Rejected) else "InputError",
        inputs=tuple(JobInput(uri=source) for source in sources),
    )


def job_name(kind: JobKind, index: int | None) -> str:
    """Names a job within its output store: ``transcode``, ``transcode-part-00003``."""
    return kind.name if index is None else f"{kind.name}-{index:05d}"


def result_name(kind: JobKind, index: int | None) -> str:
    """``result.json``; of an array's child ``results/00003.result.json``."""
    return kind.result if index is None else f"results/{index:05d}.{kind.result}"


def rejected_name(kind: JobKind, index: int | None) -> str:
    """``rejected.json``, named like the result."""
    path = PurePosixPath(result_name(kind, index))
    return str(path.with_name(path.name.replace("result.json", "rejected.json")))


def digest(
    kind: JobKind,
    parameters: Mapping[str, Value],
    identities: Sequence[str],
    *,
    index: int | None,
    size: int,
) -> str:
    """Identity of a job: 64 hex digits.

    Args:
        identities: SHA-256 of each input; address and etag of inputs that were not read.
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


def write(store: OutputStore, name: str, content: ResultRecord | RejectionRecord) -> None:
    """Store a record, whole or not at all."""
    text = json.dumps(codec.plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Names that are not UTF-8 have lone surrogates: escaped, JSON reads them as the same.
    data = text.encode(errors="backslashreplace")
    store.write(name, data, content_type="application/json")


def read(store: OutputStore, name: str) -> ResultRecord | None:
    """A result; None if there is none or it is damaged."""
    data = store.read(name)
    try:
        return None if data is None else codec.build(ResultRecord, json.loads(data))
    except (ValueError, EngineError):  # not UTF-8 is a ValueError too
        return None
