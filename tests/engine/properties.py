"""Inputs of resources: which there are, what differs, what a name must be."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from botocore.session import Session
from pulumi import _types
from pulumi.runtime.proto import provider_pb2 as messages
from pulumi.runtime.rpc import UNKNOWN

from tests.engine import rules

DEFAULTS = "__defaults"
"""Among the inputs in the state: those that the provider chose, as Pulumi's providers keep it."""
_MODULES = {"lambda": "lambda_"}
Kind = messages.PropertyDiff.Kind


@functools.cache
def _arguments(token: str) -> Any:
    """The SDK's class of a type's inputs."""
    _, module, name = token.split(":")
    package = module.partition("/")[0]
    resource = getattr(
        importlib.import_module(f"pulumi_aws.{_MODULES.get(package, package)}"), name
    )
    home = inspect.getmodule(resource)
    # It has another name where the type has an input of its own name.
    return getattr(home, f"{name}InitArgs", None) or getattr(home, f"{name}Args")


@functools.cache
def known_inputs(token: str) -> frozenset[str]:
    """Every input of a type, in camel case."""
    return frozenset(_types.input_type_py_to_pulumi_names(_arguments(token)).values())


def is_input(token: str, path: str) -> bool:
    """Whether a type has an input, or a nested property of one (``a.b``)."""
    *outer, last = path.split(".")
    found = _arguments(token)
    for key in outer:
        kind = _types.input_type_types(found).get(key)
        found = get_args(kind)[0] if get_args(kind) else kind
        # An entry of a list may also be a promise of one.
        found = get_args(found)[0] if get_args(found) else found
    return last in _types.input_type_py_to_pulumi_names(found).values()


@functools.cache
def required_inputs(token: str) -> frozenset[str]:
    """Those without which the SDK does not make it."""
    names = _types.input_type_py_to_pulumi_names(_arguments(token))
    parameters = inspect.signature(_arguments(token).__init__).parameters.values()
    return frozenset(
        names[one.name]
        for one in parameters
        if one.default is inspect.Parameter.empty and one.name in names
    )


def problems(token: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the provider would refuse: an input and why."""
    for name in sorted({*inputs} - known_inputs(token) - {DEFAULTS}):
        yield name, f"{token} has no such input"
    for name in sorted(required_inputs(token) - {*inputs}):
        yield name, "is required"
    key = name_input(token)
    made = inputs.get(key)
    if isinstance(made, str) and made != UNKNOWN:
        longest, pattern = _limits(token)
        if longest and len(made) > longest:
            yield key, f"{made!r} has {len(made)} characters, of at most {longest}"
        if pattern and not re.fullmatch(pattern, made):
            yield key, f"{made!r} does not match {pattern}"


def name_input(token: str) -> str:
    """The input that the provider fills with a name of its own."""
    return rules.AUTO_NAMED.get(token, "name")


def auto_named(token: str) -> bool:
    """Whether the provider makes a name where the program gives none."""
    return name_input(token) in known_inputs(token)


@functools.cache
def _limits(token: str) -> tuple[int, str]:
    if token in rules.LENGTHS:
        return rules.LENGTHS[token]
    if token not in rules.NAMES:
        return 0, ""
    service, operation, member = rules.NAMES[token]
    model = Session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    metadata = shape.members[member].metadata
    return int(metadata.get("max", 0)), str(metadata.get("pattern", ""))


def differences(token: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, int]:
    """Paths of what differs, and how: an addition, a deletion or an update, with or without a
    replacement.

    What is not known yet differs from everything that is known.
    """
    replaces = rules.REPLACES[token]
    found: dict[str, int] = {}
    for key in sorted(({*old} | {*new}) - {DEFAULTS}):
        for path, kind, value in _compare(key, old.get(key), new.get(key)):
            found[path] = kind + (1 if key in replaces or _within(path, value, replaces) else 0)
    return found


def _within(path: str, value: Any, replaces: frozenset[str]) -> bool:
    """Whether a nested property that replaces is what differs, or came or went with what does."""
    bare = re.sub(r"\[[^]]*]", "", path)
    return bare in replaces or any(
        one.startswith(f"{bare}.") and _holds(value, one.removeprefix(f"{bare}.").split("."))
        for one in replaces
    )


def _holds(value: Any, keys: list[str]) -> bool:
    """Whether there is something at the end of some keys, in any entry of a list."""
    if isinstance(value, list):
        return any(_holds(one, keys) for one in value)
    if not keys:
        return value is not None
    return isinstance(value, Mapping) and _holds(value.get(keys[0]), keys[1:])


def _compare(path: str, old: Any, new: Any) -> Iterator[tuple[str, int, Any]]:
    """Paths, kinds of difference without replacement, and what is there or was."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old} | {*new}):
            named = key if re.fullmatch(r"[A-Za-z_]\w*", key) else f'["{key}"]'
            joined = f"{path}{named}" if named[0] == "[" else f"{path}.{named}"
            yield from _compare(joined, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for at in range(max(len(old), len(new))):
            before = old[at] if at < len(old) else None
            after = new[at] if at < len(new) else None
            yield from _compare(f"{path}[{at}]", before, after)
    elif old is None:
        yield path, Kind.ADD, new
    elif new is None:
        yield path, Kind.DELETE, old
    else:
        yield path, Kind.UPDATE, new
