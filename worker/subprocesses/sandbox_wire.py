"""How a sandboxed child's answer travels: data only, never code.

A reply holds scalars, bytes, lists, tuples, dicts, and the dataclasses, enums and errors of
``worker.domain``, ``worker.imaging``, ``worker.video`` and this package.

The child decodes hostile files, so a reply may have been written by whatever took the child over.
Pickle would run it; even an unpickler with an allow-list lets its BUILD instruction overwrite
attributes of the classes it is allowed to name. So a frame is::

    b"SFLT" | u32 length of header | u64 length of body | header, JSON | body, raw bytes

Byte strings travel in the body, each once and in order, so a small frame cannot grow into a large
value. Fields of a dataclass are read by their annotations (``worker.codec``): an answer may be
wrong, but never of the wrong shape. Values stay untrusted: a name in it is a name the child chose.
"""

from __future__ import annotations

import importlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import TypeVar

from worker.codec import build, plain
from worker.domain.errors import EngineError, Reason, SafelightError
from worker.domain.image import Probe

MAGIC = b"SFLT"
PREFIX = struct.Struct("<4sIQ")
HEADER_LIMIT = 4_000_000
"""Bytes of JSON: a picture's description takes a few thousand."""

Node = object
"""A JSON value: scalars stand for themselves, everything else is ``[tag, ...]``; a byte string is
``{"$bytes": length}``, inside of a dataclass too."""

_BYTES = "$bytes"
_MODULES = re.compile(
    r"worker\.(domain\.(colour|image|errors)|(imaging|subprocesses|video)(\.\w+)*)"
)
_NAME = re.compile(r"[A-Za-z_]\w*")


class NotSendable(TypeError):
    """A value whose type has no place in a reply. A defect of the function that returned it."""


class BadReply(ValueError):
    """A frame that no honest child writes."""


# --- child: value to frame ---------------------------------------------------------------------


def encode(kind: str, value: object, *, check: bool = True) -> list[bytes]:
    """Make a frame of ``kind`` (``returned``, ``raised``, ``failed``, ``memory``).

    Args:
        kind: of the answer.
        value: what it says.
        check: read dataclasses as the parent will. There a wrong field would be an attack, here it
            is a defect. It is half of the time.

    Returns:
        Chunks to write one after the other; large byte strings are not copied.

    Raises:
        NotSendable: ``value`` contains something that is not data, or a field of another type than
            its annotation.
    """
    body: list[bytes] = []
    node = _node(value, body, check=check)
    header = json.dumps([kind, node], separators=(",", ":")).encode()
    return [PREFIX.pack(MAGIC, len(header), sum(map(len, body))), header, *body]


def _node(value: object, body: list[bytes], *, check: bool) -> Node:
    match value:
        case Enum():
            return ["enum", _name(type(value)), value.value]
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            body.append(value)
            return {_BYTES: len(value)}
        case list() | tuple():
            tag = "list" if isinstance(value, list) else "tuple"
            return [tag, *(_node(item, body, check=check) for item in value)]
        case Mapping():
            return [
                "dict",
                *(
                    [_node(name, body, check=check), _node(held, body, check=check)]
                    for name, held in value.items()
                ),
            ]
        case SafelightError():
            state = {k: v for k, v in vars(value).items() if not k.startswith("_")}
            return ["error", _name(type(value)), _node(state, body, check=check)]
    if is_dataclass(value) and not isinstance(value, type):
        return ["data", _name(type(value)), _fields(value, body, check=check)]
    raise NotSendable(f"a sandboxed call cannot return {type(value).__qualname__}")


def _fields(value: object, body: list[bytes], *, check: bool) -> Node:
    def store(data: bytes) -> Node:
        body.append(data)
        return {_BYTES: len(data)}

    try:
        if check:
            build(type(value), plain(value, store_bytes=bytes), strict=True)
        return plain(value, store_bytes=store)
    except (EngineError, TypeError) as error:
        raise NotSendable(f"{type(value).__name__} is not as annotated: {error}") from error


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
    at = 0

    def take(found: dict[str, object]) -> object:
        """The byte string that an object stands for; any other object as it is."""
        nonlocal at
        if found.keys() != {_BYTES}:
            return found
        length = found[_BYTES]
        if type(length) is not int or not 0 <= length <= len(body) - at:
            raise BadReply("bytes that are not there")
        at += length
        return bytes(body[at - length : at])

    try:
        match json.loads(bytes(header), object_hook=take):
            case [str(kind), node]:
                value = _value(node)
            case _:
                raise BadReply("not a kind and a value")
    except BadReply:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        NameError,
        ImportError,
        ArithmeticError,
        RecursionError,
        SafelightError,
    ) as error:
        raise BadReply(f"{type(error).__name__}: {error}") from error
    if at != len(body):
        raise BadReply("bytes that nothing refers to")
    return kind, value


def _value(node: Node) -> object:
    match node:
        case str():
            node.encode()  # a lone surrogate would fail later, where text is written
            return node
        case None | bool() | int() | float() | bytes():
            return node
        case ["list", *items]:
            return [_value(item) for item in items]
        case ["tuple", *items]:
            return tuple(_value(item) for item in items)
        case ["dict", *pairs]:
            return dict(_pair(pair) for pair in pairs)
        case ["enum", str(name), item]:
            return _resolve(name, Enum)(item)
        case ["error", str(name), state]:
            return _error(name, state)
        case ["data", str(name), dict(fields)]:
            kind = _resolve(name, object)
            if not is_dataclass(kind):
                raise BadReply(f"{name} is not a dataclass")
            return build(kind, fields, strict=True)
    raise BadReply("an unknown kind of value")


def _pair(node: Node) -> tuple[object, object]:
    match node:
        case [key, item]:
            return _value(key), _value(item)
    raise BadReply("a dict entry that is not a pair")


def _error(name: str, node: Node) -> SafelightError:
    kind = _resolve(name, SafelightError)
    state = _value(node)
    if not isinstance(state, dict) or not isinstance(state.get("message"), str):
        raise BadReply("an error without a message")
    types_of = {"message": str, "code": str, "reason": Reason, "probe": Probe}
    for key, value in state.items():
        # `retryable` and the methods belong to the class; of its attributes only `code` and
        # `probe` may differ for an instance.
        if not isinstance(key, str) or key.startswith("_"):
            raise BadReply(f"{name} has no attribute {key!r}")
        if hasattr(kind, key) and key not in {"code", "probe"}:
            raise BadReply(f"{name}.{key} is not the child's to say")
        if not isinstance(value, types_of.get(key, object)):
            raise BadReply(f"{name}.{key} cannot be {type(value).__name__}")
    # As pickle does, and for its reason: constructors differ, the state does not.
    error = kind.__new__(kind)
    error.args = (state["message"],)
    error.__dict__.update(state)
    return error


_Kind = TypeVar("_Kind")


def _resolve(name: str, base: type[_Kind]) -> type[_Kind]:
    """The class called ``module:Class``, if its module is ours and it is a ``base``."""
    module, _, attribute = name.partition(":")
    if not _MODULES.fullmatch(module) or not _NAME.fullmatch(attribute):
        raise BadReply(f"{name!r} may not be named")
    kind = getattr(importlib.import_module(module), attribute)
    if not isinstance(kind, type) or kind.__module__ != module or not issubclass(kind, base):
        raise BadReply(f"{name!r} is not a {base.__name__} of that module")
    return kind
