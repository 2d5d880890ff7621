"""From what a person asks for to the jobs that do it. Every mistake is named before any is sent.

What lives here: checking against the catalogue and what is there, dividing many inputs into jobs,
and names. What may not: who runs jobs (``worker.ports.Jobs``), and clients.
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

from batch import catalogue, parameters
from batch.addresses import S3Address, read_address
from batch.input_types import HEAD_BYTES, refusal
from batch.kind import ARRAY_CHILDREN, JobKind
from batch.work import Value
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    ObjectMissing,
    ParameterError,
    Problem,
    RecipeError,
    StateError,
)
from worker.domain.job import JobRequest
from worker.ports import ObjectStore

USUAL_CHILDREN = 100
"""Of an array job for many inputs, unless told: starting a machine costs more than a picture."""
URGENT = 100
"""Scheduling priority of what was asked for with priority."""
_DIGITS = 20
_STEM = 60
"""Characters of an input's name in the name and the place of its job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What somebody wants done."""

    kind: str
    inputs: tuple[str, ...]
    """Paths or ``s3://`` addresses."""
    output: str | None = None
    """A folder or an ``s3://`` prefix; None takes a place of the job's own below ``places``."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    """Parameters that were given as options of their own: mistakes are told by that name."""
    urgent: bool = False
    array: int | None = None
    """Children of the array; None chooses."""
    asset: str | None = None
    unread: tuple[Problem, ...] = ()
    """What was said about parameters and is no ``name=value``: listed with the other mistakes."""
    again: str = ""
    """Any text makes it another job than the same wish without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitContext:
    """What the answer to a wish depends on beside the wish."""

    files: bool
    """Whether whoever runs the jobs sees the files of this machine."""
    places: str | None = None
    """``s3://`` prefix for results that were given no place."""
    store: ObjectStore | None = None
    """Where ``s3://`` addresses are looked at before anything is submitted. None does not look."""


def requests(wish: JobSpec, around: SubmitContext) -> tuple[JobRequest, ...]:
    """The jobs that do what is wished.

    Inputs of a kind that runs as an array are one array job; a kind that takes many inputs gets
    all of them in one job; any other kind gets one job an input, each with its own output place.

    Raises:
        ParameterError: with every mistake, each by the option or the parameter.
        TransientError: the store does not answer.
    """
    kind = catalogue.kind(wish.kind)
    values, wrong = parameters.check(kind, wish.parameters)
    problems = [
        Problem(_option_of(wish, each.path), each.message) for each in (*wish.unread, *wrong)
    ]
    sources = [_source(kind, text, around, problems) for text in wish.inputs]
    output = _output(wish, around, problems)
    problems += _count_problems(kind, wish)
    if not wrong:
        problems += _recipe_problems(wish, values, around)
    if problems:
        raise ParameterError(f"job {kind.name}", tuple(problems))
    alone = kind.inputs[1] == 1
    groups = [[source] for source in dict.fromkeys(sources)] if alone else [sources]
    made = []
    taken: set[str] = set()
    for group in groups:
        stem = _stem(group[0].text)
        meaning = [kind.name, [(each.text, each.print) for each in group], _plain(values)]
        name = _name(kind, stem, [*meaning, output, wish.asset, wish.array, wish.again])
        place = output
        if output is None:
            place = f"{around.places}{name[-2:]}/{name}/"
        elif len(groups) > 1:
            place = _below(output, stem, taken)
        assert place is not None
        made.append(
            JobRequest(
                name=name,
                kind=kind.name,
                queue="urgent" if wish.urgent else kind.queue,
                inputs=tuple(each.text for each in group),
                output=place,
                parameters=_passed_on(wish, around),
                asset=wish.asset,
                array_size=_children(kind, wish),
                priority=URGENT if wish.urgent else 0,
            )
        )
    return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """An input and what it is at this moment."""

    text: str
    print: str = ""
    """Of the content, as far as it is known: another content under the same name is another job."""


def _option_of(wish: JobSpec, path: str) -> str:
    """How the parameter that a problem is about was given on the command line."""
    name = path.strip("'")  # what is no name of a parameter is quoted, and one given twice
    if name in wish.options:
        return f"--{name.replace('_', '-')}"
    return f"--param {path}"


def _source(kind: JobKind, text: str, around: SubmitContext, problems: list[Problem]) -> _Source:
    try:
        address = read_address(text)
    except ValueError as error:
        problems.append(Problem("INPUT", f"{error}, not {ascii(text)[:200]}"))
        return _Source(text=text)
    if isinstance(address, S3Address):
        found, wrong = _object(kind, address, around.store)
    else:
        found, wrong = _file(kind, address.absolute(), around)
    if wrong is not None:
        problems.append(Problem("INPUT", f"{_shown(text)} {wrong.message}", code=wrong.code))
    return found


_Looked: TypeAlias = tuple[_Source, Problem | None]
"""What is known of an input, and what is wrong with it."""


def _object(kind: JobKind, address: S3Address, store: ObjectStore | None) -> _Looked:
    text = str(address)
    if address.is_prefix and not kind.lazy:
        return _Source(text=text), _wrong(f"names a prefix, and {kind.name} takes objects")
    if store is None:
        return _Source(text=text), None
    try:
        if address.is_prefix:
            if next(store.list(address.bucket, address.key), None) is None:
                return _Source(text=text), _wrong("has nothing below it", "input_missing")
            return _Source(text=text), None
        head, stored = store.get(address.bucket, address.key, first=HEAD_BYTES)
    except ObjectMissing:
        return _Source(text=text), _wrong("is not there", "input_missing")
    except AccessDenied as error:
        # S3 says the same of a bucket that is not there to whoever may not list all.
        said = "may not be read with these rights, or there is no such bucket"
        return _Source(text=text), _wrong(said, error.code)
    except ConfigurationError:
        said = f"cannot be read: there is no bucket {address.bucket}"
        return _Source(text=text), _wrong(said, "input_missing")
    except StateError as error:  # in an archive
        return _Source(text=text), _wrong(f"cannot be read: {error.message}", error.code)
    return _Source(text=text, print=stored.etag), _unsuitable(kind, head)


def _file(kind: JobKind, path: Path, around: SubmitContext) -> _Looked:
    if not around.files:
        said = "is on this machine, where the job will not be; safelight put uploads it"
        return _Source(text=str(path)), _wrong(said)
    try:
        known = path.stat()
        if path.is_dir():
            return _Source(text=str(path)), _folder(kind, path)
        if not path.is_file():
            return _Source(text=str(path)), _wrong("is no regular file", "input_unreadable")
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        said = "is not there" if missing else f"cannot be read: {error.strerror}"
        code = "input_missing" if missing else "input_unreadable"
        return _Source(text=str(path)), _wrong(said, code)
    # A file that has been written to is another input.
    seen = f"{known.st_size} {known.st_mtime_ns}"
    return _Source(text=str(path), print=seen), _unsuitable(kind, head)


def _folder(kind: JobKind, path: Path) -> Problem | None:
    """A folder may hold anything by the time the job runs, but not nothing now."""
    if not kind.lazy:
        return _wrong(f"is a folder, and {kind.name} takes files")
    if not any(files for _, _, files in os.walk(path)):
        return _wrong("has no files in it", "input_missing")
    return None


def _unsuitable(kind: JobKind, head: bytes) -> Problem | None:
    refused = refusal(kind, head)
    return None if refused is None else _wrong(refused[1], refused[0].value)


def _wrong(said: str, code: str = "") -> Problem:
    """A sentence about an input that begins with its name."""
    return Problem("INPUT", said, code=code)


def _shown(text: str) -> str:
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 200 else f"{shown[:197]}..."


def _output(wish: JobSpec, around: SubmitContext, problems: list[Problem]) -> str | None:
    """The place as jobs are told it; None if each gets one of its own."""
    if wish.output is None:
        if around.places is None:
            problems.append(Problem("--out", "is needed: a folder or s3://bucket/prefix"))
        return None
    try:
        address = read_address(wish.output)
    except ValueError as error:
        problems.append(Problem("--out", f"{error}, not {ascii(wish.output)[:200]}"))
        return None
    if isinstance(address, S3Address):
        if not address.key:
            problems.append(Problem("--out", "must have a prefix: a whole bucket is no place"))
        elif around.store is not None:
            problems += _bucket_problems(around.store, address)
        return str(address) if address.is_prefix else f"{address}/"
    if not around.files:
        problems.append(Problem("--out", "must be s3://bucket/prefix: the job runs elsewhere"))
    elif address.exists() and not address.is_dir():
        said = f"must be a folder, and {_shown(wish.output)} is a file"
        problems.append(Problem("--out", said, code="output_unwritable"))
    return str(address.absolute())


def _bucket_problems(store: ObjectStore, address: S3Address) -> list[Problem]:
    try:
        next(store.list(address.bucket, address.key), None)
    except AccessDenied as error:
        said = f"bucket {address.bucket} may not be looked into with these rights, or is not there"
        return [Problem("--out", said, code=error.code)]
    except ConfigurationError:
        return [Problem("--out", f"there is no bucket {address.bucket}", code="output_unwritable")]
    return []


def _count_problems(kind: JobKind, wish: JobSpec) -> list[Problem]:
    problems = []
    fewest, most = kind.inputs
    count = len(wish.inputs)
    if count < fewest or (count > most > 1):
        wanted = f"at least {fewest}" if count < fewest else f"at most {most:,}"
        problems.append(Problem("INPUT", f"{kind.name} takes {wanted}, not {count}"))
    if wish.array is not None and not kind.array:
        problems.append(Problem("--array", f"{kind.name} does not run as an array"))
    elif wish.array is not None and not 1 <= wish.array <= ARRAY_CHILDREN:
        problems.append(Problem("--array", f"must be 1 to {ARRAY_CHILDREN:,}, not {wish.array}"))
    return problems


def _passed_on(wish: JobSpec, around: SubmitContext) -> dict[str, str]:
    """The parameters as the job gets them: it works in another folder."""
    given = dict(wish.parameters)
    if around.files and _is_file(given.get("recipe", "")):
        given["recipe"] = str(Path(given["recipe"]).absolute())
    return given


def _is_file(recipe: str) -> bool:
    return "/" in recipe or recipe.endswith(".toml")


def _recipe_problems(
    wish: JobSpec, values: Mapping[str, Value], around: SubmitContext
) -> list[Problem]:
    """A recipe that ships is known here; a file is, if the job sees the files of this machine."""
    name = str(values.get("recipe", ""))
    if not name or (_is_file(name) and not around.files):
        return []
    from worker import recipes

    try:
        recipes.load(name)
    except RecipeError as error:
        option = _option_of(wish, "recipe")
        return [Problem(option, f"{name}: {each}", code=error.code) for each in error.problems]
    return []


def _children(kind: JobKind, wish: JobSpec) -> int | None:
    """An array of one child is a single job: Batch knows no such array."""
    if not kind.array:
        return None
    size = wish.array if wish.array is not None else min(len(wish.inputs), USUAL_CHILDREN)
    return size if size > 1 else None


def _plain(values: Mapping[str, Value]) -> dict[str, object]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _name(kind: JobKind, stem: str, meaning: Sequence[object]) -> str:
    """The same for the same work: a default that is written out changes nothing."""
    text = json.dumps(meaning, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")
    return "-".join(part for part in (kind.name, readable, digest) if part)


def _stem(text: str) -> str:
    """What an input is called, without folders and ending."""
    stem = PurePosixPath(text.removeprefix("s3://")).stem[:_STEM]
    return stem if stem.strip(". ") else "input"


def _below(output: str, stem: str, taken: set[str]) -> str:
    """A place of its own for one of many jobs; two inputs of one name get two."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return f"{output}{name}/" if "://" in output else str(Path(output) / name)
