"""What a stack consists of, as a value that is printed, compared with another, and kept.

Inputs are plain data in a plan: a text that is JSON (policies, definitions, dashboards) is parsed,
files are named and hashed, secrets are hidden, and what only AWS knows is ``${...}``.

The last printed plan of each stack is ``.plans/<stack>.json`` in the checkout, to compare the next
one with. Git ignores the folder, and nothing else is lost with it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pulumi
from pulumi.runtime import rpc

from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.domain.errors import ConfigurationError, InputError
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
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan:
    """All resources of a stack and what it exports."""

    stack: str
    region: str | None
    items: tuple[PlannedResource, ...]
    """By the components they are part of, then by kind and name."""
    exports: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "version": VERSION,
            "stack": self.stack,
            "region": self.region,
            "resources": [
                {
                    "key": item.key,
                    "kind": item.kind,
                    "name": item.name,
                    "within": list(item.within),
                    "inputs": dict(item.inputs),
                    **({"options": dict(item.options)} if item.options else {}),
                }
                for item in self.items
            ],
            "exports": dict(self.exports),
        }


def from_dict(value: Any) -> StackPlan:
    """The plan that ``as_dict`` wrote. Raises ``ConfigurationError`` if it is none."""
    try:
        if value["version"] != VERSION:
            raise ConfigurationError("the plan was written by another version of Safelight")
        return StackPlan(
            stack=str(value["stack"]),
            region=value["region"],
            items=tuple(
                PlannedResource(
                    key=str(one["key"]),
                    kind=str(one["kind"]),
                    name=str(one["name"]),
                    within=tuple(map(str, one["within"])),
                    inputs=dict(one["inputs"]),
                    options=dict(one.get("options", {})),
                )
                for one in value["resources"]
            ),
            exports=dict(value["exports"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"this is no plan: {type(error).__name__} {error}") from error


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
    return StackPlan(stack=stack, region=region, items=tuple(items), exports=exports)


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

    path: str
    """``policy.Statement[0].Action``. An index of a list is that of the later plan; of a removed
    value, that of the earlier one."""
    how: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        found: dict[str, Any] = {"path": self.path, "how": self.how}
        if self.how != "added":
            found["before"] = self.before
        if self.how != "removed":
            found["after"] = self.after
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDifference:
    """What is different from one plan to another; false if that is nothing."""

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
    """What is different from one plan to another."""
    old = {item.key: item for item in before.items}
    new = {item.key: item for item in after.items}
    changes = {
        key: (
            *compare(old[key].inputs, new[key].inputs),
            *compare(old[key].options, new[key].options, "(options)"),
        )
        for key in new
        if key in old
    }
    return PlanDifference(
        created=tuple(item for key, item in new.items() if key not in old),
        changed=tuple((new[key], found) for key, found in changes.items() if found),
        removed=tuple(item for key, item in old.items() if key not in new),
        exports=tuple(compare(before.exports, after.exports)),
    )


def compare(before: Any, after: Any, path: str = "") -> Iterator[ValueChange]:
    """Every path at which two values of plain data differ, in order."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            inner = f"{path}.{key}" if path else key
            if key not in before:
                yield ValueChange(path=inner, how="added", after=after[key])
            elif key not in after:
                yield ValueChange(path=inner, how="removed", before=before[key])
            else:
                yield from compare(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _compare_lists(before, after, path)
    elif _text(before) != _text(after):  # not the values: True == 1 in Python
        yield ValueChange(path=path, how="changed", before=before, after=after)


def _compare_lists(before: list[Any], after: list[Any], path: str) -> Iterator[ValueChange]:
    """Items are matched by value, not by index: one more statement does not change all after it."""
    old, new = [*map(_text, before)], [*map(_text, after)]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for what, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if what == "equal":
            continue
        pairs = min(old_to - old_from, new_to - new_from)
        for number in range(pairs):
            new_at = new_from + number
            yield from compare(before[old_from + number], after[new_at], f"{path}[{new_at}]")
        for at in range(old_from + pairs, old_to):
            yield ValueChange(path=f"{path}[{at}]", how="removed", before=before[at])
        for at in range(new_from + pairs, new_to):
            yield ValueChange(path=f"{path}[{at}]", how="added", after=after[at])


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
