"""Parses a job's arguments to checked values: URIs, parameters, the command line.

They are read here at submission, and again by the job itself. Every mistake is found before
any disk or network is touched, and all are reported at once.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn
from urllib.parse import unquote_to_bytes

from batch import catalogue
from batch.catalogue import ARRAY_CHILDREN, JobKind, Parameter
from batch.work import Value
from worker.domain import trace
from worker.domain.errors import ParameterError, Problem, ProblemsError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
TEXT_CHARACTERS = 2000
"""Longest value. Batch takes 30 kB for a whole job; nothing here needs a page."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,2})?")
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


# --- addresses --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Address:
    """An object, or a prefix if ``key`` is empty or ends in ``/``."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def is_prefix(self) -> bool:
        """Whether it names many objects."""
        return not self.key or self.key.endswith("/")


def read_address(text: str) -> Path | S3Address:
    """A path or an S3 address.

    It may contain any character, as names of uploads do: macOS puts a narrow no-break space into
    the names of screen recordings, and emoji have joiners.

    Raises:
        ValueError: it is neither; the message continues the parameter's name.
    """
    if not text or "\0" in text:
        raise ValueError("must be a path or s3://bucket/key")
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("must name a bucket: s3://bucket/key")
        return S3Address(bucket=bucket, key=key)
    if text.startswith("file://"):
        # Through bytes: a name on disk need not be UTF-8.
        path = os.fsdecode(unquote_to_bytes(text.removeprefix("file://").removeprefix("localhost")))
        if not path.startswith("/") or "\0" in path:
            raise ValueError("must be file:///absolute/path")
        return Path(path)
    if _SCHEME.match(text):
        raise ValueError("must be a path or s3://bucket/key; other addresses are not opened")
    return Path(text)


# --- parameters -------------------------------------------------------------------------------


def split_pairs(given: Iterable[str]) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """Split the ``name=value`` texts of a command line.

    Returns:
        The values by name, and a problem for each text without ``=`` and each repeated name.
    """
    read: dict[str, str] = {}
    problems: list[Problem] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            problems.append(Problem(_shown(text), "must be name=value"))
        elif name in read:
            problems.append(Problem(_shown(name), "is given twice"))
        else:
            read[name] = value
    return read, tuple(problems)


def check_parameters(
    kind: JobKind, given: Mapping[str, str]
) -> tuple[Mapping[str, Value], tuple[Problem, ...]]:
    """The values a job of this kind works with, given ones and defaults, and every mistake."""
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    for parameter in kind.parameters:
        text = given.get(parameter.name)
        if text is None:
            if parameter.default is not None:
                values[parameter.name] = parameter.default
            continue
        try:
            values[parameter.name] = value_of(parameter, text)
        except ValueError as error:
            problems.append(Problem(parameter.name, f"{error}, not {_shown(text)}"))
    # Values are checked against each other only if each is valid by itself.
    if kind.agreement is not None and not problems:
        problems += kind.agreement(values)
    known = [parameter.name for parameter in kind.parameters]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            problems.append(Problem(_shown(name), f"is not a parameter of {kind.name}{hint}"))
    return MappingProxyType(values), tuple(problems)


def value_of(parameter: Parameter, text: str) -> Value:
    """One value. Raises ValueError with what it must be."""
    if len(text) > TEXT_CHARACTERS:
        raise ValueError(f"must be at most {TEXT_CHARACTERS} characters")
    if not text.isprintable():
        raise ValueError("must be printable text")
    match parameter.type:
        case "int":
            return _bounded(_int(text), parameter.minimum, parameter.maximum)
        case "float":
            return _bounded(_float(text), parameter.minimum, parameter.maximum)
        case "bool":
            return _bool(text)
        case "choice":
            return _choice(parameter, text.strip())
        case "list":
            return _list(parameter, text)
        case "text":
            return _text(parameter, text.strip())


def _int(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError("must be a whole number")
    return int(text)


def _float(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError("must be a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("must be a number")
    return value


def _bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError("must be true or false")
    return word in _YES


def _choice(parameter: Parameter, text: str) -> str:
    if text not in parameter.choices:
        raise ValueError(f"must be one of {', '.join(parameter.choices)}")
    return text


def _text(parameter: Parameter, text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    if parameter.pattern is not None and not re.fullmatch(parameter.pattern, text):
        raise ValueError(f"must be {parameter.shape}")
    return text


def _list(parameter: Parameter, text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError("must be parts separated by single commas")
    _counted(parameter, len(parts))
    if parameter.choices:
        for part in parts:
            if part not in parameter.choices:
                raise ValueError(f"must be some of {', '.join(parameter.choices)}")
        if len(set(parts)) < len(parts):
            raise ValueError("must not name one twice")
    for part in parts if parameter.part != "text" else ():
        _part(parameter, part)
    return parts


def _part(parameter: Parameter, text: str) -> None:
    try:
        value = _int(text) if parameter.part == "int" else _float(text)
        _bounded(value, parameter.part_minimum, parameter.part_maximum)
    except ValueError as error:
        raise ValueError(f"each part {error}") from error


def _counted(parameter: Parameter, count: int) -> None:
    lowest = int(parameter.minimum or 1)
    if count < lowest or (parameter.maximum is not None and count > parameter.maximum):
        bound = lowest if parameter.maximum is None else parameter.minimum
        raise ValueError(f"must have {_between(bound, parameter.maximum)} parts")


def _bounded(value: int | float, low: float | None, high: float | None) -> int | float:
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"must be {_between(low, high)}")
    return value


def _between(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low:,}"
    if low is None:
        return f"at most {high:,}"
    return f"{low:,}" if low == high else f"from {low:,} to {high:,}"


def _shown(text: str) -> str:
    shown = ascii(text) if not text.isprintable() else repr(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


# --- the command line of an attempt -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArguments:
    """One attempt at one job."""

    kind: JobKind
    sources: tuple[str, ...]
    output: str
    parameters: Mapping[str, Value]
    asset: str | None = None
    closed: bool = False
    """The distribution may not read what it writes: see ``worker.services.access``."""
    traceparent: str = ""
    submitted: str = ""
    """ISO 8601; when the job was submitted, if that was said."""
    scratch: Path
    force: bool = False
    index: int | None = None
    size: int = 1
    job: str
    """Batch's id; elsewhere a name that follows from the request."""
    attempt: int = 1
    threads: int | None = None
    """None takes as many as there are processors."""


class _ArgumentParser(argparse.ArgumentParser):
    """Raises ``ParameterError`` where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        raise ParameterError("job", (Problem("command line", message),))


def parser() -> argparse.ArgumentParser:
    """The command line of ``python -m batch run``."""
    made = _ArgumentParser(prog="python -m batch run", allow_abbrev=False, description=__doc__)
    made.add_argument("kind", metavar="KIND", help=", ".join(catalogue.KINDS))
    made.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="URI",
        help="a path or s3://bucket/key; may be repeated",
    )
    made.add_argument("--output", required=True, metavar="URI", help="a folder or s3:// prefix")
    made.add_argument("--param", action="append", default=[], metavar="NAME=VALUE")
    made.add_argument("--asset", metavar="ID", help="whose record the job is listed in")
    made.add_argument(
        "--access",
        choices=("open", "closed"),
        default="open",
        help="closed: the distribution may not read the results",
    )
    made.add_argument("--trace", metavar="TRACEPARENT", help="of the upload that the work is for")
    made.add_argument("--submitted", metavar="TIME", help="when it was submitted, ISO 8601")
    made.add_argument("--scratch", metavar="DIR", help="default: the system's temporary folder")
    made.add_argument("--threads", metavar="N", help="default: one for each processor")
    made.add_argument("--index", metavar="N", help="child of an array; default: Batch's variable")
    made.add_argument("--size", metavar="N", help="children of the array; the same")
    made.add_argument("--force", action="store_true", help="do again what is done")
    return made


def read_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> JobArguments:
    """The attempt that a command line and Batch's variables describe.

    Raises:
        ParameterError: with every mistake.
    """
    given = parser().parse_args(list(arguments))
    texts, unread = split_pairs(given.param)
    problems = list(unread)
    values: Mapping[str, Value] = {}
    kind: JobKind | None = None
    try:
        kind = catalogue.kind(given.kind)
        values, wrong = check_parameters(kind, texts)
        problems += wrong
    except ProblemsError as error:
        problems += error.problems
    problems += _addresses(given.input, given.output)
    numbers = {
        "index": given.index or environment.get("AWS_BATCH_JOB_ARRAY_INDEX"),
        "size": given.size or environment.get("AWS_BATCH_JOB_ARRAY_SIZE"),
        "threads": given.threads,
        "attempt": environment.get("AWS_BATCH_JOB_ATTEMPT"),
    }
    read = {name: _number(name, text, problems) for name, text in numbers.items()}
    index, size = read["index"], read["size"]
    if kind is not None:
        fewest, most = kind.inputs
        if not fewest <= len(given.input) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most:,}"
            problems.append(
                Problem("--input", f"{kind.name} takes {wanted}, not {len(given.input)}")
            )
        if index is not None and not kind.array:
            problems.append(Problem("--index", f"{kind.name} does not run as an array"))
    if index is not None and (size is None or not index < size):
        problems.append(Problem("--size", f"must be more than the index, {index}"))
    if kind is None or problems:
        raise ParameterError("job", tuple(problems))
    return JobArguments(
        kind=kind,
        sources=tuple(given.input),
        output=given.output,
        parameters=values,
        asset=given.asset or None,
        closed=given.access == "closed",
        traceparent=trace.valid(given.trace),
        submitted=given.submitted or "",
        scratch=Path(given.scratch or tempfile.gettempdir()),
        force=given.force,
        index=index,
        size=size or 1,
        job=environment.get("AWS_BATCH_JOB_ID") or _name(kind, given.input, given.output, values),
        attempt=read["attempt"] or 1,
        threads=read["threads"] or None,
    )


def _addresses(inputs: Sequence[str], output: str) -> list[Problem]:
    problems = []
    for name, text in [*(("--input", text) for text in inputs), ("--output", output)]:
        try:
            address = read_address(text)
        except ValueError as error:
            problems.append(Problem(name, f"{error}, not {ascii(text)[:80]}"))
            continue
        if name == "--output" and isinstance(address, S3Address) and not address.key:
            problems.append(Problem(name, "must have a prefix below the bucket"))
    return problems


def _number(name: str, text: str | None, problems: list[Problem]) -> int | None:
    if text is None:
        return None
    lowest = 0 if name == "index" else 1
    if text.isascii() and text.isdigit() and lowest <= int(text) <= ARRAY_CHILDREN:
        return int(text)
    problems.append(Problem(f"--{name}", f"must be {lowest} to {ARRAY_CHILDREN:,}, not {text!r}"))
    return None


def _name(kind: JobKind, sources: Sequence[str], output: str, values: Mapping[str, Value]) -> str:
    meaning = json.dumps([kind.name, list(sources), output, dict(values)], sort_keys=True)
    return f"{kind.name}-{hashlib.sha256(meaning.encode()).hexdigest()[:16]}"
