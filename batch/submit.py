"""From what a person asks for to the jobs that do it. Every mistake is reported before any is sent.

The request is checked against the catalogue and against the inputs that exist; many inputs are
divided into jobs, and each job gets a name that follows from its request.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from batch import catalogue
from batch.arguments import S3Address, check_parameters, read_address
from batch.catalogue import ARRAY_CHILDREN, JobKind
from batch.work import Value
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    ObjectMissing,
    ParameterError,
    Problem,
    Reason,
    RecipeError,
    StateError,
)
from worker.domain.image import Format
from worker.domain.job import JobRequest
from worker.imaging.formats.sniff import identify
from worker.ports import ObjectStore

USUAL_CHILDREN = 100
"""Most children of an array job unless --array says otherwise: starting a machine costs more than
processing an image."""
URGENT = 100
"""Scheduling priority of urgent jobs."""
_DIGITS = 20
_STEM = 60
"""Characters of an input's name in the name and the output of its job."""


HEAD_BYTES = 65_536
"""Bytes at the start of an input, the most that ``sniff`` looks at."""

_TAKES = {
    "video": "videos",
    "tracks": "videos, audio and subtitle files",
    "image": "images",
}
_TRACKS = ("video", "media", "audio", "EBML")
"""Prefixes of the names of containers that may hold a video. Matroska without a DocType is left to
the probe."""
_TEXT_TRACKS = ("WEBVTT", "[Script Info]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A person's request for a job."""

    kind: str
    inputs: tuple[str, ...]
    """Paths or ``s3://`` addresses."""
    output: str | None = None
    """A folder or an ``s3://`` prefix; None takes a prefix of the job's own below ``outputs``."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    """Parameters that were given as options of their own: problems use that name."""
    urgent: bool = False
    array: int | None = None
    """Children of the array; None chooses."""
    asset: str | None = None
    closed: bool = False
    """The asset may not be read by everybody: nor may the results."""
    unread: tuple[Problem, ...] = ()
    """Problems of texts that are not ``name=value``: reported with the others."""
    again: str = ""
    """Any text makes it another job than the same request without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitContext:
    """Where jobs are submitted from, and to."""

    files: bool
    """Whether the jobs run where they can read the files of this machine."""
    outputs: str | None = None
    """``s3://`` prefix for results of requests without an output."""
    store: ObjectStore | None = None
    """Checks ``s3://`` addresses before anything is submitted. None does not check them."""


def requests(spec: JobSpec, context: SubmitContext) -> tuple[JobRequest, ...]:
    """The jobs that do what is asked for.

    Inputs of a kind that runs as an array become one array job; a kind that takes many inputs gets
    all of them in one job; any other kind gets one job an input, each with an output of its own.

    Raises:
        ParameterError: with every mistake, each by the option or the parameter.
        TransientError: the store does not answer.
    """
    kind = catalogue.kind(spec.kind)
    values, wrong = check_parameters(kind, spec.parameters)
    problems = [
        Problem(_option_of(spec, each.path), each.message) for each in (*spec.unread, *wrong)
    ]
    sources = [_source(kind, text, context, problems) for text in spec.inputs]
    output = _output(spec, context, problems)
    problems += _count_problems(kind, spec)
    if not wrong:
        problems += _recipe_problems(spec, values, context)
    if problems:
        raise ParameterError(f"job {kind.name}", tuple(problems))
    alone = kind.inputs[1] == 1
    groups = [[source] for source in dict.fromkeys(sources)] if alone else [sources]
    made = []
    taken: set[str] = set()
    for group in groups:
        stem = _stem(group[0].text)
        meaning = [kind.name, [(each.text, each.print) for each in group], _plain(values)]
        name = _name(kind, stem, [*meaning, output, spec.asset, spec.array, spec.again])
        results = output
        if output is None:
            results = f"{context.outputs}{name[-2:]}/{name}/"
        elif len(groups) > 1:
            results = _below(output, stem, taken)
        assert results is not None
        made.append(
            JobRequest(
                name=name,
                kind=kind.name,
                queue="urgent" if spec.urgent else kind.queue,
                inputs=tuple(each.text for each in group),
                output=results,
                parameters=_passed_on(spec, context),
                asset=spec.asset,
                closed=spec.closed,
                array_size=_children(kind, spec),
                priority=URGENT if spec.urgent else 0,
            )
        )
    return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """An input and its state at this moment."""

    text: str
    print: str = ""
    """Fingerprint of the content, if known: other content under the same name is another job."""


def _option_of(spec: JobSpec, path: str) -> str:
    """The command line option that the parameter of a problem was given with."""
    name = path.strip("'")  # unknown names and repeated ones are quoted
    if name in spec.options:
        return f"--{name.replace('_', '-')}"
    return f"--param {path}"


def _source(kind: JobKind, text: str, context: SubmitContext, problems: list[Problem]) -> _Source:
    try:
        address = read_address(text)
    except ValueError as error:
        problems.append(Problem("INPUT", f"{error}, not {ascii(text)[:200]}"))
        return _Source(text=text)
    if isinstance(address, S3Address):
        found, wrong = _object(kind, address, context.store)
    else:
        found, wrong = _file(kind, address.absolute(), context)
    if wrong is not None:
        problems.append(Problem("INPUT", f"{_shown(text)} {wrong.message}", code=wrong.code))
    return found


_Looked: TypeAlias = tuple[_Source, Problem | None]
"""An input, and what is wrong with it."""


def _object(kind: JobKind, address: S3Address, store: ObjectStore | None) -> _Looked:
    text = str(address)
    if address.is_prefix and not kind.lazy:
        return _Source(text=text), _wrong(f"names a prefix, and {kind.name} takes objects")
    if store is None:
        return _Source(text=text), None
    try:
        if address.is_prefix:
            if next(store.list(address.bucket, address.key), None) is None:
                return _Source(text=text), _wrong("has no objects below it", "input_missing")
            return _Source(text=text), None
        head, stored = store.get(address.bucket, address.key, first=HEAD_BYTES)
    except ObjectMissing:
        return _Source(text=text), _wrong("does not exist", "input_missing")
    except AccessDenied as error:
        # S3 answers the same for a missing bucket if the caller may not list all buckets.
        said = "cannot be read: these credentials may not, or there is no such bucket"
        return _Source(text=text), _wrong(said, error.code)
    except ConfigurationError:
        said = f"cannot be read: there is no bucket {address.bucket}"
        return _Source(text=text), _wrong(said, "input_missing")
    except StateError as error:  # in an archive
        return _Source(text=text), _wrong(f"cannot be read: {error.message}", error.code)
    return _Source(text=text, print=stored.etag), _type_problem(kind, head)


def _file(kind: JobKind, path: Path, context: SubmitContext) -> _Looked:
    if not context.files:
        said = "is on this machine, but the job runs elsewhere; safelight put uploads it"
        return _Source(text=str(path)), _wrong(said)
    try:
        known = path.stat()
        if path.is_dir():
            return _Source(text=str(path)), _folder(kind, path)
        if not path.is_file():
            return _Source(text=str(path)), _wrong("is not a regular file", "input_unreadable")
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        said = "does not exist" if missing else f"cannot be read: {error.strerror}"
        code = "input_missing" if missing else "input_unreadable"
        return _Source(text=str(path)), _wrong(said, code)
    # A file that was written to is another input.
    seen = f"{known.st_size} {known.st_mtime_ns}"
    return _Source(text=str(path), print=seen), _type_problem(kind, head)


def _folder(kind: JobKind, path: Path) -> Problem | None:
    """A folder must have files in it; what they are, the job finds out."""
    if not kind.lazy:
        return _wrong(f"is a folder, and {kind.name} takes files")
    if not any(files for _, _, files in os.walk(path)):
        return _wrong("has no files in it", "input_missing")
    return None


def _type_problem(kind: JobKind, head: bytes) -> Problem | None:
    refused = unsuitable(kind, head)
    return None if refused is None else _wrong(refused[1], refused[0].value)


def _wrong(said: str, code: str = "") -> Problem:
    """A problem of an input; the caller puts the input's name in front."""
    return Problem("INPUT", said, code=code)


def _shown(text: str) -> str:
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 200 else f"{shown[:197]}..."


def _output(spec: JobSpec, context: SubmitContext, problems: list[Problem]) -> str | None:
    """The output as jobs are given it; None if each gets one of its own."""
    if spec.output is None:
        if context.outputs is None:
            problems.append(Problem("--out", "is needed: a folder or s3://bucket/prefix"))
        return None
    try:
        address = read_address(spec.output)
    except ValueError as error:
        problems.append(Problem("--out", f"{error}, not {ascii(spec.output)[:200]}"))
        return None
    if isinstance(address, S3Address):
        if not address.key:
            problems.append(Problem("--out", "must have a prefix below the bucket"))
        elif context.store is not None:
            problems += _bucket_problems(context.store, address)
        return str(address) if address.is_prefix else f"{address}/"
    if not context.files:
        problems.append(Problem("--out", "must be s3://bucket/prefix: the job runs elsewhere"))
    elif address.exists() and not address.is_dir():
        said = f"must be a folder, and {_shown(spec.output)} is a file"
        problems.append(Problem("--out", said, code="output_unwritable"))
    return str(address.absolute())


def _bucket_problems(store: ObjectStore, address: S3Address) -> list[Problem]:
    try:
        next(store.list(address.bucket, address.key), None)
    except AccessDenied as error:
        said = "cannot be listed: these credentials may not, or it does not exist"
        return [Problem("--out", f"bucket {address.bucket} {said}", code=error.code)]
    except ConfigurationError:
        return [Problem("--out", f"there is no bucket {address.bucket}", code="output_unwritable")]
    return []


def _count_problems(kind: JobKind, spec: JobSpec) -> list[Problem]:
    problems = []
    fewest, most = kind.inputs
    count = len(spec.inputs)
    if count < fewest or (count > most > 1):
        wanted = f"at least {fewest}" if count < fewest else f"at most {most:,}"
        problems.append(Problem("INPUT", f"{kind.name} takes {wanted}, not {count}"))
    if spec.array is not None and not kind.array:
        problems.append(Problem("--array", f"{kind.name} does not run as an array"))
    elif spec.array is not None and not 1 <= spec.array <= ARRAY_CHILDREN:
        problems.append(Problem("--array", f"must be 1 to {ARRAY_CHILDREN:,}, not {spec.array}"))
    return problems


def _passed_on(spec: JobSpec, context: SubmitContext) -> dict[str, str]:
    """The parameters as the job gets them: paths are absolute, as it runs in another folder."""
    given = dict(spec.parameters)
    if context.files and _is_file(given.get("recipe", "")):
        given["recipe"] = str(Path(given["recipe"]).absolute())
    return given


def _is_file(recipe: str) -> bool:
    return "/" in recipe or recipe.endswith(".toml")


def _recipe_problems(
    spec: JobSpec, values: Mapping[str, Value], context: SubmitContext
) -> list[Problem]:
    """Check a shipped recipe, or a file if the job can read the files of this machine."""
    name = str(values.get("recipe", ""))
    if not name or (_is_file(name) and not context.files):
        return []
    from worker import recipes

    try:
        recipes.load(name)
    except RecipeError as error:
        option = _option_of(spec, "recipe")
        return [Problem(option, f"{name}: {each}", code=error.code) for each in error.problems]
    return []


def _children(kind: JobKind, spec: JobSpec) -> int | None:
    """An array of one child becomes a single job: Batch has no such array."""
    if not kind.array:
        return None
    size = spec.array if spec.array is not None else min(len(spec.inputs), USUAL_CHILDREN)
    return size if size > 1 else None


def _plain(values: Mapping[str, Value]) -> dict[str, object]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _name(kind: JobKind, stem: str, meaning: Sequence[object]) -> str:
    """The same work has the same name; spelling out a default does not change it."""
    text = json.dumps(meaning, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")
    return "-".join(part for part in (kind.name, readable, digest) if part)


def _stem(text: str) -> str:
    """The name of an input without folders and ending."""
    stem = PurePosixPath(text.removeprefix("s3://")).stem[:_STEM]
    return stem if stem.strip(". ") else "input"


def _below(output: str, stem: str, taken: set[str]) -> str:
    """An output of its own for one of many jobs, also for two inputs of the same name."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return f"{output}{name}/" if "://" in output else str(Path(output) / name)


# --- whether a kind can take an input ---------------------------------------------------------


def unsuitable(kind: JobKind, head: bytes) -> tuple[Reason, str] | None:
    """Why a kind of job can never take a file that begins with these bytes, or None.

    Only what can never succeed is refused. A container that no table knows is left to the job:
    ffmpeg reads more of them than ``worker.imaging.formats.sniff`` names.

    Args:
        head: the first ``HEAD_BYTES`` of the file, or all of it.

    Returns:
        The code the job would end with, and the rest of a sentence about the input.
    """
    takes = f"{kind.name} takes {_TAKES[kind.media]}"
    if not head:
        return Reason.EMPTY, "has no bytes"
    found = identify(head)
    if kind.media == "image":
        if found is None:
            return Reason.UNKNOWN_FORMAT, f"has no known format; {takes}"
        # Recipes decide about SVG, and the installation about HEIC.
        if not isinstance(found, Format):
            return Reason.FORMAT_NOT_ALLOWED, f"is {found}; {takes}"
        return None
    if isinstance(found, Format):
        return Reason.FORMAT_NOT_ALLOWED, f"is an image ({found.value}); {takes}"
    if found is None:
        text = _text(head)
        if text is None or (kind.media == "tracks" and _is_subtitles(text)):
            return None
        return Reason.UNKNOWN_FORMAT, f"is text; {takes}"
    # An MP4 that declares itself audio may still have a video track.
    if found.startswith("audio") and found != "audio (MP4)":
        return None if kind.media == "tracks" else (Reason.NO_VIDEO, f"is {found}; {takes}")
    if found.startswith(_TRACKS):
        return None
    return Reason.FORMAT_NOT_ALLOWED, f"is {found}; {takes}"


def _text(head: bytes) -> str | None:
    """The bytes as text if every character is printable or white space; otherwise None."""
    coding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # The head may end within a character: UTF-8 has four bytes at most.
    for end in range(len(head), max(0, len(head) - 4), -1):
        try:
            text = head[:end].decode(coding)
        except UnicodeDecodeError:
            continue
        return text if all(c.isprintable() or c in "\t\n\r\f" for c in text) else None
    return None


def _is_subtitles(text: str) -> bool:
    """SubRip has no signature, but an arrow between the two times of each cue."""
    return text.startswith(_TEXT_TRACKS) or "-->" in text
