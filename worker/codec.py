"""Frozen dataclasses as JSON-ready values and back: how records are stored.

What lives here: one converter, driven by the fields of the classes. What may not: a word about
any particular class, or a file format.

Fields that have their default value are left out, and names that are not known are passed over,
so that a version of the code reads what an older or a newer one has written. cattrs could do the
same; it takes over 0.1 s to import, which every cold start of a function would pay.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from worker.domain.errors import EngineError

T = TypeVar("T")


def plain(value: object, *, without: frozenset[str] = frozenset()) -> Any:
    """Return a value as dicts, lists, texts, numbers, booleans and None.

    Args:
        value: dataclasses, enums, tuples, sets of texts, mappings and what JSON has.
        without: fields of the outermost dataclass to leave out.

    Raises:
        EngineError: a number is infinite or none: JSON has no such thing.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        raise EngineError(f"{value} cannot be stored")
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value):
        return {
            field.name: plain(held)
            for field in fields(value)
            if field.name not in without
            if (held := getattr(value, field.name)) != _default(field)
        }
    if isinstance(value, Mapping):
        return {str(name): plain(held) for name, held in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(plain(held) for held in value)
    if isinstance(value, tuple | list):
        return [plain(held) for held in value]
    raise TypeError(f"a {type(value).__name__} has no JSON form here")


def build(kind: type[T], value: Any) -> T:
    """Make a dataclass of what :func:`plain` made of one.

    Raises:
        EngineError: the value is not of this class: a required field is missing or a part of it
            cannot be read.
    """
    try:
        made: T = _reader(cast(Any, kind))(value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EngineError(f"a stored {kind.__name__} cannot be read: {error!r}") from error
    return made


def _default(field: Field[Any]) -> object:
    if field.default is not MISSING:
        return field.default
    return MISSING if field.default_factory is MISSING else field.default_factory()


Reader = Callable[[Any], Any]


@cache
def _reader(kind: Any) -> Reader:
    """What makes a value of a type out of its plain form."""
    origin, inside = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _dataclass_reader(kind)  # type: ignore[arg-type]  # a class, not an instance
    if origin in {Union, types.UnionType}:
        return _optional_reader(inside)
    if origin in {tuple, frozenset}:
        element = _reader(inside[0])
        if origin is tuple and inside[-1] is not Ellipsis:
            return lambda held: tuple(
                _reader(part)(x) for part, x in zip(inside, held, strict=True)
            )
        return lambda held: origin(element(x) for x in held)
    if origin is not None and issubclass(origin, Mapping):
        element = _reader(inside[1])
        return lambda held: {str(name): element(x) for name, x in held.items()}
    if kind is object:
        return lambda held: held
    if isinstance(kind, type) and issubclass(kind, Enum | float):
        return kind  # JSON writes 2.0 as 2 in some languages; an enum checks its value
    return _exact_reader(kind)


def _optional_reader(inside: tuple[Any, ...]) -> Reader:
    element = _reader(next(part for part in inside if part is not types.NoneType))
    return lambda held: None if held is None else element(held)


def _exact_reader(kind: type) -> Reader:
    def read(held: Any) -> Any:
        if type(held) is not kind:
            raise TypeError(f"{held!r} is not of type {kind.__name__}")
        return held

    return read


def _dataclass_reader(kind: type) -> Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}

    def read(held: Any) -> Any:
        known = {name: reader(held[name]) for name, reader in readers.items() if name in held}
        return kind(**known)

    return read
