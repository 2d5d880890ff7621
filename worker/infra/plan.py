"""What a stack would consist of, as a value that can be printed, kept and compared. No Pulumi here
beyond what its inputs are made of.

Inputs are plain data in a plan: texts that are JSON (policies, definitions, dashboards) are what
they say, files are named and hashed, secrets are hidden, and what only AWS knows is ``${...}``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import rpc

from worker.domain.errors import ConfigurationError
from worker.infra.declaration import Declaration, Resource
from worker.infra.placeholders import shown

VERSION = 1
HIDDEN = "[secret]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One resource of a plan."""

    key: str
    """Kind and name: the same in every plan of the stack."""
    kind: str
    name: str
    within: tuple[str, ...]
    """Names of the components it is part of, from the outermost."""
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All resources of a stack and what it exports."""

    stack: str
    region: str | None
    items: tuple[Item, ...]
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


def from_dict(value: Any) -> Plan:
    """The plan that ``as_dict`` has written. Raises ``ConfigurationError`` if it is none."""
    try:
        if value["version"] != VERSION:
            raise ConfigurationError("the plan was written by another version of Safelight")
        return Plan(
            stack=str(value["stack"]),
            region=value["region"],
            items=tuple(
                Item(
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


def make(declared: Declaration, *, stack: str, region: str | None, root: Path) -> Plan:
    """The plan of what was declared with symbols.

    Args:
        root: the checkout; files are named from there.
    """
    by_urn = {one.urn: one for one in declared.resources}
    resources = [one for one in declared.resources if not one.component]
    count = Counter(f"{one.kind} {one.name}" for one in resources)
    items = []
    for one in resources:
        within = _within(one, by_urn)
        key = f"{one.kind} {one.name}"
        items.append(
            Item(
                # Names repeat only below components of different kinds.
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
    return Plan(stack=stack, region=region, items=tuple(items), exports=exports)


def _within(resource: Resource, by_urn: Mapping[str, Resource]) -> tuple[str, ...]:
    names: list[str] = []
    above = by_urn.get(resource.parent_urn)
    while above is not None:
        names.insert(0, above.name)
        above = by_urn.get(above.parent_urn)  # the stack itself is no resource of ours
    return tuple(names)


def _plain(value: Any, root: Path) -> Any:
    if rpc.is_rpc_secret(value):
        return HIDDEN
    if isinstance(value, Mapping):
        # The protocol's maps have no order of their own.
        return {str(key): _plain(value[key], root) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(item, root) for item in value]
    if isinstance(value, str):
        return _read(shown(value))
    if isinstance(value, pulumi.AssetArchive):
        return {"archive": _plain(value.assets, root)}
    if isinstance(value, pulumi.FileAsset | pulumi.FileArchive):
        return _file(Path(value.path), root)
    if isinstance(value, pulumi.StringAsset):
        return {"text": value.text}
    if value is None or isinstance(value, bool | int | float):
        return value
    return f"({type(value).__name__})"


def _read(text: str) -> Any:
    """JSON for what it says; every other text as it is."""
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
