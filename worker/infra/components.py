"""The program's components and how they refer to each other, as data for page and graph. Pure but
for one thing: what a component is for is read from its class's docstring.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.infra.declaration import Declaration, Resource
from worker.infra.descriptions import PURPOSES

LOG = "cloudwatch/LogGroup"
ALONE = "the stack itself"
"""What hangs on no component: providers, for instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A resource with what people want to know of it."""

    resource: Resource
    place: str
    """The inner component it is in (``PrivateBucket intake``); empty if none."""
    purpose: str
    """What it says of itself, or what its kind is for."""
    needs: tuple[tuple[str, Resource], ...]
    """What it refers to, each with its component's name, by component, kind and name."""

    @property
    def thing(self) -> bool:
        """Something of its own, which can be tagged; the rest are settings, rights and logs of
        things."""
        kind = self.resource.kind
        return "tags" in self.resource.inputs and not kind.startswith("iam/") and kind != LOG


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One of the program's own components, with everything in it."""

    name: str
    title: str
    """Of its class: ``Buckets``."""
    purpose: str
    parts: tuple[Part, ...]
    """By kind and name."""
    inner: Mapping[str, str]
    """Purposes of the classes of components within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """All of them, and which refers to which."""

    all: tuple[Component, ...]
    """By name."""
    references: frozenset[tuple[str, str]]
    """Names: the first one refers to something in the second."""


def find(declared: Declaration) -> Components:
    """Read a declaration."""
    by_urn = {one.urn: one for one in declared.resources}
    home = {one.urn: _outermost(one, by_urn) for one in declared.resources}
    names = {urn: ALONE if top is None else top.name for urn, top in home.items()}
    parts: dict[str, list[Part]] = {}
    inner: dict[str, dict[str, str]] = {}
    tops: dict[str, Resource | None] = {}
    for one in declared.resources:
        name = names[one.urn]
        if one.component:
            tops.setdefault(name, home[one.urn])
            if one is not home[one.urn]:
                inner.setdefault(name, {})[_title(one)] = _purpose(one)
            continue
        tops.setdefault(name, home[one.urn])
        parts.setdefault(name, []).append(_part(one, by_urn, names))
    return Components(
        all=tuple(
            Component(
                name=name,
                title="" if top is None else _title(top),
                purpose="" if top is None else _purpose(top),
                parts=tuple(sorted(parts.get(name, ()), key=_order)),
                inner=dict(sorted(inner.get(name, {}).items())),
            )
            for name, top in sorted(tops.items())
        ),
        references=frozenset(
            (name, other)
            for name, found in parts.items()
            for part in found
            for other, _ in part.needs
            if other != name
        ),
    )


def _part(one: Resource, by_urn: Mapping[str, Resource], names: Mapping[str, str]) -> Part:
    above = by_urn.get(one.parent_urn)
    deep = above is not None and above.parent_urn in by_urn
    said = one.inputs.get("description") or one.inputs.get("alarmDescription")
    if not isinstance(said, str):
        said = PURPOSES.get(one.kind, "")
    needs = [(names[urn], by_urn[urn]) for urn in one.needs if urn in by_urn]
    return Part(
        resource=one,
        place=f"{_title(above)} {above.name}" if above is not None and deep else "",
        purpose=said,
        needs=tuple(
            sorted(
                (pair for pair in needs if not pair[1].component),
                key=lambda pair: (pair[0], pair[1].kind, pair[1].name),
            )
        ),
    )


def _order(part: Part) -> tuple[str, str, str]:
    return (part.resource.kind, part.resource.name, part.resource.urn)


def _outermost(one: Resource, by_urn: Mapping[str, Resource]) -> Resource | None:
    top = one if one.component else None
    above = by_urn.get(one.parent_urn)
    while above is not None:
        top = above
        above = by_urn.get(above.parent_urn)
    return top


def _title(component: Resource) -> str:
    return component.kind.rpartition(":")[2]


def _purpose(component: Resource) -> str:
    """The first sentences of the docstring of the class behind ``safelight:module:Class``."""
    _, module, name = component.kind.split(":")
    try:
        found: Any = getattr(importlib.import_module(f"stack.{module}"), name, None)
    except ModuleNotFoundError:
        return ""
    text = inspect.getdoc(found) if inspect.isclass(found) else None
    return " ".join((text or "").partition("\n\n")[0].split())


def counted(resources: Iterable[Resource]) -> dict[str, list[str]]:
    """Names by kind, both in order."""
    found: dict[str, list[str]] = {}
    for one in sorted(resources, key=lambda one: (one.kind, one.name)):
        found.setdefault(one.kind, []).append(one.name)
    return found
