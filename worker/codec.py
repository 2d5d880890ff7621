"""Frozen dataclasses as JSON-ready values and back.

All stored and sent data uses this module: catalog items, manifests, plans, results of jobs,
answers of the sandbox. Unknown fields are ignored, and fields with their default value can be left
out, so that each version of the code reads data of older and newer versions.

cattrs does the same. It costs an ingest cold start 45 ms of processor time (import 30 ms, hooks of
the catalog's classes 15 ms, measured beside 2.5 ms for this module), and it converts silently:
a number becomes a text where a text is expected.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from fractions import Fraction
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from worker.domain.errors import EngineError

T = TypeVar("T")
_AS_THEY_ARE = frozenset({str, int, bool, type(None)})
_FRACTION = re.compile(r"-?\d+(/\d+)?")


def plain(
    value: object,
    *,
    without: frozenset[str] = frozenset(),
    defaults: bool = False,
    store_bytes: Callable[[bytes], object] | None = None,
) -> Any:
    """Return a value as dicts, lists, texts, numbers, booleans and None.

    Args:
        value: dataclasses, enums, fractions, tuples, sets of texts, mappings and JSON types.
        without: fields of the outermost dataclass to leave out.
        defaults: write fields that have their default value, too.
        store_bytes: returns the replacement of a byte string; without it byte strings are refused.

    Raises:
        EngineError: a number is infinite or NaN, which JSON does not have.
        TypeError: something has no JSON form.
    """

    def written(value: object) -> Any:
        if type(value) in _AS_THEY_ARE:  # most of all, and quicker than what follows
            return value
        if isinstance(value, Enum | str | int | float | Fraction):
            return _scalar(value)
        if is_dataclass(value):
            return members(value, frozenset())
        if isinstance(value, Mapping):
            return {str(name): written(held) for name, held in value.items()}
        if isinstance(value, frozenset | set):
            return sorted(written(held) for held in value)
        if isinstance(value, tuple | list):
            return [written(held) for held in value]
        if store_bytes is not None and isinstance(value, bytes):
            return store_bytes(value)
        raise TypeError(f"a {type(value).__name__} has no JSON form here")

    def members(value: Any, without: frozenset[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, default, make in _fields(cast(Any, type(value))):
            held = getattr(value, name)
            if name not in without and (defaults or held != (make() if make else default)):
                found[name] = written(held)
        return found

    return members(value, without) if is_dataclass(value) else written(value)


def _scalar(value: Enum | str | float | Fraction) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        raise EngineError(f"{value} cannot be stored")
    return str(value) if isinstance(value, Fraction) else value


def build(kind: type[T], value: Any, *, strict: bool = False) -> T:
    """Rebuild a dataclass from the output of :func:`plain`.

    Args:
        kind: the class.
        value: its plain form.
        strict: refuse unknown fields, and texts that are not valid Unicode.

    Raises:
        EngineError: the value does not match the class: a required field is missing, or a value
            has another type.
    """
    try:
        made: T = _reader(cast(Any, kind), strict)(value)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(f"a stored {kind.__name__} cannot be read: {error!r}") from error
    return made


@cache
def _fields(kind: Any) -> tuple[tuple[str, object, Callable[[], object] | None], ...]:
    """Of each field its name, its default and what makes its default."""
    return tuple(
        (
            field.name,
            field.default,
            None if field.default_factory is MISSING else field.default_factory,
        )
        for field in fields(kind)
    )


Reader = Callable[[Any], Any]


@cache
def _reader(kind: Any, strict: bool) -> Reader:  # noqa: FBT001 - cached by position
    """The function that builds a value of a type from its plain form."""
    origin, inside = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _dataclass_reader(cast(type, kind), strict=strict)
    if origin in {Union, types.UnionType}:
        element = _reader(next(part for part in inside if part is not types.NoneType), strict)
        return lambda held: None if held is None else element(held)
    if origin is tuple and inside[-1] is not Ellipsis:
        readers = [_reader(part, strict) for part in inside]
        return lambda held: tuple(
            read(item) for read, item in zip(readers, _checked(held, list), strict=True)
        )
    if origin in {tuple, frozenset}:
        element = _reader(inside[0], strict)
        return lambda held: origin(element(item) for item in _checked(held, list))
    if origin is not None and issubclass(origin, Mapping):
        name_of, element = (_reader(part, strict) for part in inside)
        return lambda held: {
            name_of(name): element(item) for name, item in _checked(held, dict).items()
        }
    if kind is object or kind is Any:
        return lambda held: held
    if kind is float:  # some languages write 2.0 as 2
        return lambda held: held if type(held) is float else float(_checked(held, int))
    if kind is str and strict:
        return _unicode
    if kind is Fraction:
        return _fraction
    if issubclass(kind, Enum):
        return cast(Reader, kind)
    return lambda held: _checked(held, kind)


def _checked(held: Any, kind: type) -> Any:
    if type(held) is not kind:
        raise TypeError(f"{held!r:.80} is not of type {kind.__name__}")
    return held


def _unicode(held: Any) -> str:
    text: str = _checked(held, str)
    text.encode()  # a lone surrogate would fail later, where the text is written
    return text


def _fraction(held: Any) -> Fraction:
    # No exponents: a few characters could make a number that fills the memory.
    if not _FRACTION.fullmatch(_checked(held, str)):
        raise TypeError(f"{held!r:.80} is not a fraction")
    return Fraction(held)


def _dataclass_reader(kind: type, *, strict: bool) -> Reader:
    # With localns a field called `bytes` does not hide the type in the annotations after it.
    hints = get_type_hints(kind, localns={})
    readers = {field.name: _reader(hints[field.name], strict) for field in fields(kind)}

    def read(held: Any) -> Any:
        found = _checked(held, dict)
        if strict and not found.keys() <= readers.keys():
            raise TypeError(f"{kind.__name__} has no {min(found.keys() - readers.keys())}")
        return kind(**{name: read(found[name]) for name, read in readers.items() if name in found})

    return read
