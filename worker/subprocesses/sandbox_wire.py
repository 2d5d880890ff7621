"""How a sandboxed child's answer travels: data only, never code.

A reply holds scalars, bytes, containers, and the dataclasses, enums and errors of
``worker.domain``, ``worker.imaging``, ``worker.video`` and this package.

The child decodes hostile files, so a reply may have been written by whoever took the child over.
Pickle would run it; even an unpickler with an allow-list lets its BUILD instruction overwrite
attributes of the classes it is allowed to name. So a frame is::

    b"SFLT" | u32 length of header | u64 length of body | header, JSON | body, raw bytes

Byte strings travel in the body, each once and in order, so a small frame cannot grow into a large
value. Every field of a dataclass is compared with its annotation: an answer may be wrong, but
never of the wrong shape. Values stay untrusted: a name in it is a name the child chose.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import struct
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path

from worker.domain.errors import Reason, SafelightError

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAGIC = b"SFLT"
PREFIX = struct.Struct("<4sIQ")
HEADER_LIMIT = 4_000_000
"""Bytes of JSON: a picture's description takes a few thousand."""

Node = object
"""A JSON value: scalars stand for themselves, everything else is ``[tag, ...]``."""

_MODULES = re.compile(
    r"worker\.(domain\.(colour|image|errors)|(imaging|subprocesses|video)(\.\w+)*)"
)
_NAME = re.compile(r"[A-Za-z_]\w*")


class NotSendable(TypeError):
    """A value whose type has no place in a reply. A defect of the function that returned it."""


class BadReply(ValueError):
    """A frame that no honest child writes."""


# --- child: value to frame ---------------------------------------------------------------------


def encode(kind: str, value: object) -> list[bytes]:
    """Make a frame of ``kind`` (``returned``, ``raised``, ``failed``, ``memory``).

    Returns:
        Chunks to write one after the other; large byte strings are not copied.

    Raises:
        NotSendable: ``value`` contains something that is not data.
    """
    body: list[bytes] = []
    header = json.dumps([kind, _node(value, body)], separators=(",", ":")).encode()
    return [PREFIX.pack(MAGIC, len(header), sum(map(len, body))), header, *body]


def _node(value: object, body: list[bytes]) -> Node:
    match value:
        case Enum():
            return ["enum", _name(type(value)), value.value]
        case None | bool() | int() | float() | str():
            return value
        case bytes() | bytearray() | memoryview():
            body.append(bytes(value))
            return ["bytes", len(body[-1])]
        case list() | tuple() | set() | frozenset():
            tag = next(t for t in (list, tuple, frozenset, set) if isinstance(value, t)).__name__
            return [tag, *(_node(item, body) for item in value)]
        case Mapping():
            return ["dict", *([_node(k, body), _node(v, body)] for k, v in value.items())]
        case Path():
            return ["path", str(value)]
        case SafelightError():
            state = {k: v for k, v in vars(value).items() if not k.startswith("_")}
            return ["error", _name(type(value)), _node(state, body)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ["data", _name(type(value)), dict(_fields(value, body))]
    raise NotSendable(f"a sandboxed call cannot return {type(value).__qualname__}")


def _fields(value: DataclassInstance, body: list[bytes]) -> Iterator[tuple[str, Node]]:
    hints = _hints(type(value))
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if not _fits(item, hints[field.name]):  # here it is a defect, in the parent an attack
            raise NotSendable(f"{type(value).__name__}.{field.name} is not as annotated")
        if field.init:
            yield field.name, _node(item, body)


def _name(kind: type) -> str:
    if not _MODULES.fullmatch(kind.__module__) or not _NAME.fullmatch(kind.__qualname__):
        raise NotSendable(
            f"a sandboxed call cannot return {kind.__qualname__} of {kind.__module__}"
        )
    return f"{kind.__module__}:{kind.__qualname__}"


# --- parent: frame to value --------------------------------------------------------------------


def decode(header: bytes | bytearray, body: memoryview) -> tuple[str, object]:
    """Read a frame's kind and value.

    Raises:
        BadReply: anything about it is wrong.
    """
    try:
        message = json.loads(bytes(header))
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[0], str):
            raise BadReply("not a kind and a value")
        reader = _MessageReader(body)
        value = reader.value(message[1])
        reader.finish()
    except BadReply:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ImportError,
        ArithmeticError,
        RecursionError,
        SafelightError,
    ) as error:
        raise BadReply(f"{type(error).__name__}: {error}") from error
    return message[0], value


class _MessageReader:
    """Builds a value from nodes, taking byte strings from the body in order."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def finish(self) -> None:
        if self._at != len(self._body):
            raise BadReply("bytes that nothing refers to")

    def value(self, node: Node) -> object:
        match node:
            case str():
                node.encode()  # a lone surrogate would fail later, where text is written
                return node
            case None | bool() | int() | float():
                return node
            case ["bytes", int(length)] if 0 <= length <= len(self._body) - self._at:
                self._at += length
                return bytes(self._body[self._at - length : self._at])
            case ["list", *items]:
                return list(self._all(items))
            case ["tuple", *items]:
                return tuple(self._all(items))
            case ["frozenset", *items]:
                return frozenset(self._all(items))
            case ["set", *items]:
                return set(self._all(items))
            case ["dict", *pairs]:
                return {self.value(key): self.value(item) for key, item in self._pairs(pairs)}
            case ["path", str(text)]:
                return Path(text)
            case ["enum", str(name), item]:
                kind = _resolve(name, Enum)
                return kind(self.value(item))
            case ["error", str(name), state]:
                return self._error(name, state)
            case ["data", str(name), dict(fields)]:
                return self._data(name, fields)
        raise BadReply("an unknown kind of value")

    def _all(self, nodes: Sequence[Node]) -> Iterator[object]:
        return (self.value(node) for node in nodes)

    @staticmethod
    def _pairs(nodes: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
        for node in nodes:
            match node:
                case [key, item]:
                    yield key, item
                case _:
                    raise BadReply("a dict entry that is not a pair")

    def _data(self, name: str, fields: dict[str, Node]) -> object:
        kind = _resolve(name, object)
        if not dataclasses.is_dataclass(kind):
            raise BadReply(f"{name} is not a dataclass")
        values = {key: self.value(node) for key, node in fields.items()}
        hints = _hints(kind)
        for key, value in values.items():
            if not _fits(value, hints[key]):
                raise BadReply(f"{name}.{key} cannot be {type(value).__name__}")
        return kind(**values)

    def _error(self, name: str, node: Node) -> SafelightError:
        kind = _resolve(name, SafelightError)
        state = self.value(node)
        if not isinstance(state, dict) or not isinstance(state.get("message"), str):
            raise BadReply("an error without a message")
        types_of = {"message": str, "code": str, "reason": Reason}
        for key, value in state.items():
            # `retryable` and the methods belong to the class; of its attributes only `code` may
            # differ for an instance.
            if not isinstance(key, str) or key.startswith("_"):
                raise BadReply(f"{name} has no attribute {key!r}")
            if hasattr(kind, key) and key != "code":
                raise BadReply(f"{name}.{key} is not the child's to say")
            if not isinstance(value, types_of.get(key, object)):
                raise BadReply(f"{name}.{key} cannot be {type(value).__name__}")
        # As pickle does, and for its reason: constructors differ, the state does not.
        error = kind.__new__(kind)
        error.args = (state["message"],)
        error.__dict__.update(state)
        return error


_Kind = typing.TypeVar("_Kind")


def _resolve(name: str, base: type[_Kind]) -> type[_Kind]:
    """The class called ``module:Class``, if its module is ours and it is a ``base``."""
    module, _, attribute = name.partition(":")
    if not _MODULES.fullmatch(module) or not _NAME.fullmatch(attribute):
        raise BadReply(f"{name!r} may not be named")
    kind = getattr(importlib.import_module(module), attribute)
    if not isinstance(kind, type) or kind.__module__ != module or not issubclass(kind, base):
        raise BadReply(f"{name!r} is not a {base.__name__} of that module")
    return kind


@cache
def _hints(kind: type) -> Mapping[str, object]:
    # Without localns a field called `bytes` would hide the type in the annotations after it.
    return typing.get_type_hints(kind, localns={})


def _fits(value: object, hint: object) -> bool:
    """Whether ``value`` is of the annotated type, to the bottom."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any or hint is object:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint in (int, float):
        accepted = int if hint is int else (int, float)
        return isinstance(value, accepted) and not isinstance(value, bool)
    if origin is tuple and (len(arguments) != 2 or arguments[1] is not Ellipsis):
        return (
            isinstance(value, tuple)
            and len(value) == len(arguments)
            and all(map(_fits, value, arguments))
        )
    if isinstance(origin, type):
        if not isinstance(value, origin):
            return False
        if isinstance(value, Mapping):
            return all(_fits(k, arguments[0]) and _fits(v, arguments[1]) for k, v in value.items())
        return isinstance(value, (list, tuple, set, frozenset)) and all(
            _fits(item, arguments[0]) for item in value
        )
    return isinstance(hint, type) and isinstance(value, hint)
