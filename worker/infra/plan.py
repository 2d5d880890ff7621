"""The resources of a stack as a value that can be printed, compared and stored.

Inputs are plain data in a plan: a text that is JSON (policies, definitions, dashboards) is parsed,
files are named and hashed, secrets are hidden, and what only AWS knows is ``${...}``.

The last printed plan of each stack is ``.plans/<stack>.json`` in the checkout, to compare the next
one with. Git ignores the folder, and nothing else is lost with it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pulumi
from pulumi.runtime import rpc

from worker import codec
from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.domain.errors import ConfigurationError, EngineError, InputError
from worker.infra.program import Declaration, Resource, shown

FOLDER = ".plans"
VERSION = 1
HIDDEN = "[secret]"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedResource:
    """One resource of a plan."""

    key: str
    """Kind and name; the same in every plan of the stack."""
    kind: str
    name: str
    within: tuple[str, ...]
    """Names of the components it is part of, from the outermost."""
    inputs: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """Inputs by name, and options by their names in brackets."""
        return {**self.inputs, **{f"({name})": value for name, value in self.options.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """All resources of a stack and what it exports."""

    stack: str
    region: str | None
    resources: tuple[PlannedResource, ...]
    """By the components they are part of, then by kind and name."""
    exports: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"version": VERSION, **codec.plain(self, defaults=True)}


def from_dict(value: Any) -> StackPlan:
    """The plan that ``as_dict`` wrote. Raises ``ConfigurationError`` if it is none."""
    try:
        if value["version"] != VERSION:
            raise ConfigurationError("the plan was written by another version of Safelight")
        return codec.build(StackPlan, value)
    except (KeyError, TypeError, EngineError) as error:
        raise ConfigurationError(f"this is no plan: {error}") from error


def plan_of(declared: Declaration, *, stack: str, region: str | None, root: Path) -> StackPlan:
    """The plan of a declaration with placeholders.

    Args:
        root: the checkout; the names of files are relative to it.
    """
    by_urn = {one.urn: one for one in declared.resources}
    resources = [one for one in declared.resources if not one.component]
    count = Counter(f"{one.kind} {one.name}" for one in resources)
    items = []
    for one in resources:
        within = _within(one, by_urn)
        key = f"{one.kind} {one.name}"
        items.append(
            PlannedResource(
                # Two resources of one kind and name have parents of different kinds.
                key=key if count[key] == 1 else f"{key} ({one.parent})",
                kind=one.kind,
                name=one.name,
                within=within,
                inputs={name: _plain(value, root) for name, value in sorted(one.inputs.items())},
                options={name: _plain(value, root) for name, value in one.options.items()},
            )
        )
    items.sort(key=lambda item: (item.within, item.kind, item.name))
    exports = {name: _plain(value, root) for name, value in sorted(declared.exports.items())}
    return StackPlan(stack=stack, region=region, resources=tuple(items), exports=exports)


def _within(resource: Resource, by_urn: Mapping[str, Resource]) -> tuple[str, ...]:
    names: list[str] = []
    above = by_urn.get(resource.parent_urn)
    while above is not None:
        names.insert(0, above.name)
        above = by_urn.get(above.parent_urn)  # the stack itself is not recorded
    return tuple(names)


def _plain(value: Any, root: Path) -> Any:
    if rpc.is_rpc_secret(value):
        return HIDDEN
    if isinstance(value, Mapping):
        # Maps of the protocol have no order.
        return {str(key): _plain(value[key], root) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(item, root) for item in value]
    if isinstance(value, str):
        return _parsed(shown(value))
    if isinstance(value, pulumi.AssetArchive):
        return {"archive": _plain(value.assets, root)}
    if isinstance(value, pulumi.FileAsset | pulumi.FileArchive):
        return _file(Path(value.path), root)
    if isinstance(value, pulumi.StringAsset):
        return {"text": value.text}
    if value is None or isinstance(value, bool | int | float):
        return value
    return f"({type(value).__name__})"


def _parsed(text: str) -> Any:
    """The value of JSON text; every other text as it is."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _file(path: Path, root: Path) -> dict[str, str]:
    here = path.resolve()
    name = here.relative_to(root).as_posix() if here.is_relative_to(root) else path.name
    if not here.is_file():
        return {"file": name}
    return {"file": name, "sha256": hashlib.sha256(here.read_bytes()).hexdigest()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """One value of two plans that differs."""

    name: str
    """Of an input or an export; that of an option is in brackets."""
    how: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        found: dict[str, Any] = {"name": self.name, "how": self.how}
        if self.how != "added":
            found["before"] = self.before
        if self.how != "removed":
            found["after"] = self.after
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDifference:
    """The differences from one plan to another; false if there are none."""

    created: tuple[PlannedResource, ...]
    changed: tuple[tuple[PlannedResource, tuple[ValueChange, ...]], ...]
    removed: tuple[PlannedResource, ...]
    exports: tuple[ValueChange, ...]

    def __bool__(self) -> bool:
        return bool(self.created or self.changed or self.removed or self.exports)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "created": [item.key for item in self.created],
            "changed": {
                item.key: [change.as_dict() for change in changes] for item, changes in self.changed
            },
            "removed": [item.key for item in self.removed],
            "exports": [change.as_dict() for change in self.exports],
        }


def difference(before: StackPlan, after: StackPlan) -> PlanDifference:
    """The differences from one plan to another."""
    old = {item.key: item for item in before.resources}
    new = {item.key: item for item in after.resources}
    changes = {key: tuple(_compare(old[key].values, new[key].values)) for key in new if key in old}
    return PlanDifference(
        created=tuple(item for key, item in new.items() if key not in old),
        changed=tuple((new[key], found) for key, found in changes.items() if found),
        removed=tuple(item for key, item in old.items() if key not in new),
        exports=tuple(_compare(before.exports, after.exports)),
    )


def _compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[ValueChange]:
    """The values that differ, in the order of their names."""
    for name in sorted({*before, *after}):
        if name not in before:
            yield ValueChange(name=name, how="added", after=after[name])
        elif name not in after:
            yield ValueChange(name=name, how="removed", before=before[name])
        elif _text(before[name]) != _text(after[name]):  # not the values: True == 1 in Python
            yield ValueChange(name=name, how="changed", before=before[name], after=after[name])


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def last_plan(root: Path, stack: str) -> StackPlan | None:
    """The last plan of a stack; None if there is none, or none that can still be read."""
    try:
        return from_dict(json.loads(_last(root, stack).read_text("utf-8")))
    except (OSError, ValueError, ConfigurationError):
        return None


def read_plan(path: Path) -> StackPlan:
    """A plan from a file.

    Raises:
        InputError: the file cannot be read.
        ConfigurationError: it is no plan.
    """
    try:
        return from_dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="input_missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}", code="input_unreadable") from error
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(f"{path} holds no plan: {error}") from error


def keep_plan(root: Path, plan: StackPlan) -> None:
    """Make this the last plan of its stack, whole or not at all; raises what :func:`write_plan`
    does."""
    write_plan(_last(root, plan.stack), plan)


def write_plan(path: Path, plan: StackPlan) -> None:
    """Write a plan to a file, as JSON.

    Raises:
        StorageFull, AccessDenied, ConfigurationError: it cannot be written.
    """
    with disk_call(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(plan.as_dict(), indent=2) + "\n")


def _last(root: Path, stack: str) -> Path:
    return root / FOLDER / f"{stack}.json"
