"""What a value in a recipe may be: one small class for each kind of value.

What lives here: the strict reading of single values (nothing is coerced: ``"12"`` is not 12,
``true`` is not 1), the collecting of problems, and how a value is shown in a message.
What may not: which keys a recipe has (``schema``) and rules between keys (``building``).

This is a table of our own and not a structuring library because every message has to name its
path, all of them have to come at once, and the package has to import in a few milliseconds.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from worker.domain.errors import Problem

BAD: Final = object()
"""Returned by :meth:`Kind.read` for a value that was reported as a problem."""

MAXIMUM_PROBLEMS = 100
"""More than a person reads, and a bound on the work a hostile file can cause."""
_LONGEST_SHOWN = 40
_LONGEST_SUGGESTED = 40
_LONGEST_LIST = 64


class Problems:
    """Every mistake found so far, in the order of finding; the rest is counted only."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._omitted = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def full(self) -> bool:
        """Whether further problems are counted only: no need to word them well."""
        return len(self._found) >= MAXIMUM_PROBLEMS

    def add(self, path: str, message: str) -> None:
        """Note one mistake at ``path``."""
        if self.full:
            self._omitted += 1
        else:
            self._found.append(Problem(path, message))

    def all(self) -> tuple[Problem, ...]:
        """What was found, with one line for what was left out."""
        rest = (Problem("", f"and {self._omitted} more"),) if self._omitted else ()
        return (*self._found, *rest)


# --- how values are shown ---------------------------------------------------------------------


def printable(text: str) -> str:
    """``text`` with everything that could move a terminal's cursor written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """A short description of a TOML value: its kind and, where it is short, the value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to print whole numbers of more than 4300 digits.
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, str):
        short = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "..."
        return f'the text "{printable(short)}"'
    if isinstance(value, list):
        return "an array"
    if isinstance(value, Mapping):
        return "a table"
    return f"the date or time {value}"


def join(path: str, key: str) -> str:
    """Path of ``key`` in the table at ``path``, quoted where TOML would need quotes."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key):
        short = key if len(key) <= _LONGEST_SHOWN else key[:_LONGEST_SHOWN] + "..."
        key = f'"{printable(short)}"'
    return f"{path}.{key}" if path else key


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for the nearest known word, or nothing."""
    if len(word) > _LONGEST_SUGGESTED:
        return ""
    from difflib import get_close_matches  # here, because only mistakes pay for it

    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def listed(words: Collection[str]) -> str:
    """``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


# --- kinds ------------------------------------------------------------------------------------


class ValueType(Protocol):
    """What a value must be. ``type`` and ``range`` are the words of docs/recipes.md."""

    @property
    def type(self) -> str:
        """The TOML type in words."""

    @property
    def range(self) -> str:
        """Which values of that type are accepted, in words; empty if all."""

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """The value as the model has it, or :data:`BAD` after reporting what is wrong."""


def _wrong_type(kind: ValueType, value: object, path: str, problems: Problems) -> object:
    problems.add(path, f"must be {_article(kind.type)}, is {shown(value)}")
    return BAD


def _article(words: str) -> str:
    if words in ("text", "true or false"):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int
    type: str = "whole number"

    @property
    def range(self) -> str:
        """``low to high``."""
        return f"{self.low:_} to {self.high:_}"

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """An int; ``2.0`` is refused as ``"2"`` is."""
        if isinstance(value, bool) or not isinstance(value, int):
            return _wrong_type(self, value, path, problems)
        if not self.low <= value <= self.high:
            problems.add(path, f"must be {self.range}, is {shown(value)}")
            return BAD
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A number from ``low`` to ``high``; whole numbers are numbers too."""

    low: float
    high: float
    type: str = "number"

    @property
    def range(self) -> str:
        """``low to high``."""
        return f"{self.low:g} to {self.high:g}"

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """A finite float: ``1`` and ``1.0`` are the same number and give the same digest."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return _wrong_type(self, value, path, problems)
        if not self.low <= value <= self.high:  # false for nan too
            problems.add(path, f"must be {self.range}, is {shown(value)}")
            return BAD
        return float(value) + 0.0  # -0.0 + 0.0 is 0.0: one number, one digest


@dataclass(frozen=True, slots=True)
class Flag:
    """``true`` or ``false``."""

    type: str = "true or false"
    range: str = ""

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """A bool."""
        return value if isinstance(value, bool) else _wrong_type(self, value, path, problems)


@dataclass(frozen=True, slots=True)
class Text:
    """Text of ``shortest`` to ``longest`` characters, all of it matching ``pattern``."""

    pattern: str
    words: str
    """What the pattern asks for, in words that follow "must be"."""
    longest: int
    shortest: int = 1
    lower: bool = False
    """Upper case is the same and is stored as lower case."""
    type: str = "text"

    @property
    def range(self) -> str:
        """The pattern in words."""
        return self.words

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """A str."""
        if not isinstance(value, str):
            return _wrong_type(self, value, path, problems)
        long_enough = self.shortest <= len(value) <= self.longest
        if not (long_enough and re.fullmatch(self.pattern, value)):
            problems.add(path, f"must be {self.words}, is {shown(value)}")
            return BAD
        return value.lower() if self.lower else value


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the words in ``allowed``, as a member of its enumeration."""

    allowed: tuple[StrEnum, ...]
    type: str = "text"

    @property
    def range(self) -> str:
        """The words."""
        return listed(self.allowed)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """A member of the enumeration."""
        if not isinstance(value, str):
            return _wrong_type(self, value, path, problems)
        for member in self.allowed:
            if member == value:
                return member
        near = "" if problems.full else suggestion(value, self.allowed)
        problems.add(path, f"must be {self.range}, is {shown(value)}{near}")
        return BAD


@dataclass(frozen=True, slots=True)
class ChoiceSet:
    """An array of different words out of ``allowed``; its order means nothing."""

    allowed: tuple[StrEnum, ...]
    shortest: int = 0
    type: str = "array of text"

    @property
    def range(self) -> str:
        """The words."""
        least = "at least one of " if self.shortest else ""
        return f"{least}{', '.join(self.allowed)}"

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """A frozenset of members."""
        if not isinstance(value, list):
            return _wrong_type(self, value, path, problems)
        if not self.shortest <= len(value) <= _LONGEST_LIST:
            problems.add(path, f"must have {self.shortest} to {len(self.allowed)} items")
            return BAD
        one = OneOf(self.allowed)
        members: set[StrEnum] = set()
        good = True
        for index, item in enumerate(value):
            member = one.read(item, f"{path}[{index}]", problems)
            if member is BAD:
                good = False
            elif member in members:
                problems.add(f"{path}[{index}]", f'"{member}" is listed twice')
                good = False
            else:
                members.add(member)
        return frozenset(members) if good else BAD


@dataclass(frozen=True, slots=True)
class Point:
    """Two shares, ``[x, y]``."""

    type: str = "array of two numbers"
    range: str = "0 to 1 each"

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """A pair of floats."""
        if not isinstance(value, list):
            return _wrong_type(self, value, path, problems)
        if len(value) != 2:
            problems.add(path, f"must be two numbers, [x, y], is {len(value)}")
            return BAD
        share = Number(0, 1)
        pair = [share.read(item, f"{path}[{i}]", problems) for i, item in enumerate(value)]
        return BAD if BAD in pair else (pair[0], pair[1])


@dataclass(frozen=True, slots=True)
class Nested:
    """A table or an array, read further by ``building``."""

    type: str
    holds: builtins.type[dict[str, object]] | builtins.type[list[object]]
    range: str = ""

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """The raw dict or list."""
        if not isinstance(value, self.holds):
            return _wrong_type(self, value, path, problems)
        return value
