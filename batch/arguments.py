"""What one attempt is asked to do: the command line and Batch's variables, checked at once.

What may not be here: looking at an input. That something is said wrongly is found before any
disk or network is touched.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from batch import catalogue, parameters
from batch.addresses import S3Address, read_address
from batch.kind import ARRAY_CHILDREN, JobKind
from batch.work import Value
from worker.domain import trace
from worker.domain.errors import ParameterError, Problem, ProblemsError


@dataclass(frozen=True, slots=True, kw_only=True)
class JobArguments:
    """One attempt at one job."""

    kind: JobKind
    sources: tuple[str, ...]
    output: str
    parameters: Mapping[str, Value]
    asset: str | None = None
    traceparent: str = ""
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
    """Says what is wrong by an error of ours; argparse would end the process."""

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
    made.add_argument("--trace", metavar="TRACEPARENT", help="of the upload that the work is for")
    made.add_argument("--scratch", metavar="DIR", help="default: the system's temporary folder")
    made.add_argument("--threads", metavar="N", help="default: one for each processor")
    made.add_argument("--index", metavar="N", help="child of an array; default: Batch's variable")
    made.add_argument("--size", metavar="N", help="children of the array; the same")
    made.add_argument("--force", action="store_true", help="do again what is done")
    return made


def read_order(arguments: Sequence[str], environment: Mapping[str, str]) -> JobArguments:
    """The order that a command line gives.

    Raises:
        ParameterError: with every mistake.
    """
    given = parser().parse_args(list(arguments))
    texts, unread = parameters.pairs(given.param)
    problems = list(unread)
    values: Mapping[str, Value] = {}
    kind: JobKind | None = None
    try:
        kind = catalogue.kind(given.kind)
        values, wrong = parameters.check(kind, texts)
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
        traceparent=trace.valid(given.trace),
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
            problems.append(Problem(name, "must have a prefix: a whole bucket is no output place"))
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
