"""What one run of the Pulumi program has declared, as values. No Pulumi here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STACK_KIND = "pulumi:pulumi:Stack"
"""What everything hangs on at last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource, or component of resources, with everything that was said about it."""

    kind: str
    """``aws:s3/bucket:Bucket`` is ``s3/Bucket``; components of ours keep their token."""
    name: str
    """Without project and stack."""
    inputs: Mapping[str, Any]
    parent: str
    """The parent's own kind."""
    waits_for: frozenset[tuple[str, str]]
    """Kind and name of all it depends on."""
    urn: str = ""
    parent_urn: str = ""
    needs: tuple[str, ...] = ()
    """URNs of all it depends on, its provider too if it names one; in order."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that say how it is replaced and deleted, as far as they are not the usual ones."""
    component: bool = False
    """Made of other resources, nothing by itself."""

    def document(self, key: str) -> Any:
        """An input that is JSON text."""
        return json.loads(self.inputs[key])

    def statements(self, key: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        found: list[dict[str, Any]] = self.document(key)["Statement"]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """All that one run of the program has registered."""

    resources: tuple[Resource, ...]
    """By URN: registrations come from several threads, in any order."""
    exports: Mapping[str, Any]

    def of(self, kind: str) -> list[Resource]:
        """All resources of a kind, by name."""
        found = [one for one in self.resources if one.kind == kind]
        return sorted(found, key=lambda one: one.name)

    def one(self, kind: str, name: str) -> Resource:
        """The one resource of that kind and name."""
        (found,) = [one for one in self.of(kind) if one.name == name]
        return found


def short_kind(token: str) -> str:
    """``aws:s3/bucket:Bucket`` is ``s3/Bucket``; what is not of AWS keeps its token."""
    package, module, kind = token.split(":")
    return f"{module.partition('/')[0]}/{kind}" if package == "aws" else token


def short_name(name: str, stack: str) -> str:
    """A resource's name without what all names of a stack begin with."""
    return name.removeprefix(f"safelight-{stack}-")
