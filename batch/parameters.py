"""Reads the parameters of a job: text in, checked values out, every mistake at once.

Used by whoever submits a job and again by the job itself. Standard library and ``domain.errors``
only. What may not be here: the parameters of a kind (``batch.kinds``).
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from batch.kind import JobKind, Parameter
from batch.work import Value
from worker.domain.errors import ParameterError, Problem

__all__ = ["ParameterError", "check", "pairs", "read", "value_of"]

TEXT_CHARACTERS = 2000
"""Longest value. Batch takes 30 kB for a whole job; nothing here needs a page."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,2})?")
_YES = frozenset({"true", "yes", "on", "1"})
_NO = frozenset({"false", "no", "off", "0"})


def pairs(given: Iterable[str]) -> tuple[Mapping[str, str], tuple[Problem, ...]]:
    """Split ``name=value`` texts of a command line; a text without ``=`` or a second one is told.

    Told, not raised: whoever reads a command line lists all its mistakes at once.
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


def read(kind: JobKind, given: Mapping[str, str]) -> Mapping[str, Value]:
    """The values a job of this kind works with: what is given, and defaults.

    Raises:
        ParameterError: with every mistake, each by its parameter.
    """
    values, problems = check(kind, given)
    if problems:
        raise ParameterError(f"parameters of {kind.name}", problems)
    return values


def check(
    kind: JobKind, given: Mapping[str, str]
) -> tuple[Mapping[str, Value], tuple[Problem, ...]]:
    """Like :func:`read`, with the problems beside the values instead of raised."""
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    for parameter in kind.parameters:
        text = given.get(parameter.name)
        if text is None:
            if parameter.required:
                problems.append(Problem(parameter.name, "is required"))
            elif parameter.default is not None:
                values[parameter.name] = parameter.default
            continue
        try:
            values[parameter.name] = value_of(parameter, text)
        except ValueError as error:
            problems.append(Problem(parameter.name, f"{error}, not {_shown(text)}"))
    # What does not hold between values is told of right ones only.
    if kind.agreement is not None and not problems:
        problems += kind.agreement(values)
    known = [parameter.name for parameter in kind.parameters]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            problems.append(Problem(_shown(name), f"is no parameter of {kind.name}{hint}"))
    return MappingProxyType(values), tuple(problems)


def value_of(parameter: Parameter, text: str) -> Value:
    """One value. Raises ValueError with what it must be."""
    if len(text) > TEXT_CHARACTERS:
        raise ValueError(f"must be at most {TEXT_CHARACTERS} characters")
    if not text.isprintable():
        raise ValueError("must be printable text")
    match parameter.type:
        case "int":
            return _within(parameter, _int(text))
        case "float":
            return _within(parameter, _float(text))
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
        raise ValueError("must be parts with one comma between two")
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
        bound = f"at least {lowest}" if parameter.maximum is None else _range(parameter)
        raise ValueError(f"must have {bound} parts")


def _within(parameter: Parameter, value: int | float) -> Value:
    return _bounded(value, parameter.minimum, parameter.maximum)


def _bounded(value: int | float, low: float | None, high: float | None) -> int | float:
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"must be {_between(low, high)}")
    return value


def _range(parameter: Parameter) -> str:
    return _between(parameter.minimum, parameter.maximum)


def _between(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low:,}"
    if low is None:
        return f"at most {high:,}"
    return f"{low:,}" if low == high else f"from {low:,} to {high:,}"


def _shown(text: str) -> str:
    shown = ascii(text) if not text.isprintable() else repr(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
