"""Reads a deployed stack's state (``pulumi stack export``) for ``make destroy``. Changes nothing.

What matters there: which resources are the originals and must survive unless somebody says
otherwise, and what would refuse to go, so that it is said before anything has gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.infra.declaration import STACK_KIND

BUCKET = "aws:s3/bucket:Bucket"
ORIGINALS = "intake"
"""What the bucket of originals is called in the program."""
GUARDS: Mapping[str, tuple[str, bool, str]] = {
    BUCKET: ("forceDestroy", True, "storage.forceDestroy: true, or it has to be empty"),
    "aws:dynamodb/table:Table": (
        "deletionProtectionEnabled",
        False,
        "catalog.deletionProtection: false",
    ),
    "aws:ecr/repository:Repository": (
        "forceDelete",
        True,
        "registry.forceDelete: true, or it has to be empty",
    ),
}
"""By type: a property, its value without which AWS refuses to delete, and the key that sets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One resource in the state."""

    urn: str
    type: str
    id: str
    parent: str
    above: frozenset[str]
    """URNs of all without which it cannot be."""
    protected: bool
    retained: bool
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its logical name."""
        return self.urn.rpartition("::")[2]

    @property
    def real(self) -> bool:
        """Something in the account; components, providers and the stack are none."""
        return bool(self.id) and not self.type.startswith("pulumi:")


def read(exported: Any) -> tuple[Known, ...]:
    """All resources of an export. Raises ``ConfigurationError`` if it is none."""
    try:
        found = exported["deployment"].get("resources") or []
        return tuple(_known(one) for one in found if not one.get("delete"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"this is no export of a stack: {error!r}") from error


def _known(one: Mapping[str, Any]) -> Known:
    by_property = one.get("propertyDependencies") or {}
    above = {
        one.get("parent"),
        one.get("deletedWith"),
        str(one.get("provider") or "").rpartition("::")[0],
        *(one.get("dependencies") or ()),
        *(urn for urns in by_property.values() for urn in urns or ()),
    }
    return Known(
        urn=one["urn"],
        type=one["type"],
        id=str(one.get("id") or ""),
        parent=one.get("parent") or "",
        above=frozenset(str(urn) for urn in above if urn),
        protected=bool(one.get("protect")),
        retained=bool(one.get("retainOnDelete")),
        outputs=one.get("outputs") or {},
    )


def originals(resources: Iterable[Known], stack: str) -> tuple[Known, ...]:
    """The bucket of originals, first, and what is set on it; nothing if it is not there."""
    resources = tuple(resources)
    name = f"safelight-{stack}-{ORIGINALS}"
    found = [one for one in resources if one.type == BUCKET and one.name == name]
    if not found:
        return ()
    (bucket,) = found
    settings = [
        one
        for one in resources
        if one.parent == bucket.parent and bucket.urn in one.above and one.urn != bucket.urn
    ]
    return (bucket, *settings)


def require_known(kept: Iterable[Known], resources: Iterable[Known], stack: str) -> None:
    """Nothing may be deleted on a guess.

    Raises:
        ConfigurationError: there are buckets, but none is known to be that of the originals.
    """
    if not tuple(kept) and any(one.type == BUCKET for one in resources):
        raise ConfigurationError(
            f"the state of stack {stack} has buckets, but none called"
            f" safelight-{stack}-{ORIGINALS}: which one holds the originals is not known"
        )


def with_all_above(kept: Iterable[Known], resources: Iterable[Known]) -> tuple[str, ...]:
    """URNs of resources and of all that they cannot be without, in the state's order.

    ``pulumi destroy`` deletes what an excluded resource stands on unless that is excluded too;
    for ``--exclude-protected`` it reckons the same set itself.
    """
    resources = tuple(resources)
    by_urn = {one.urn: one for one in resources}
    wanted = [one.urn for one in kept]
    found: set[str] = set()
    while wanted:
        urn = wanted.pop()
        if urn in by_urn and urn not in found:
            found.add(urn)
            wanted += by_urn[urn].above
    return tuple(one.urn for one in resources if one.urn in found)


def refusals(
    resources: Iterable[Known], *, without: Iterable[str], released: Iterable[str]
) -> Iterator[str]:
    """What would not let itself be deleted, and what to do about it: a line each.

    Args:
        without: URNs of what is not to be deleted.
        released: URNs of what will not be protected any more.
    """
    kept, free = {*without}, {*released}
    for one in resources:
        if one.urn in kept or one.type == STACK_KIND:
            continue
        if one.protected and one.urn not in free:
            yield f"{one.name} is protected: pulumi state unprotect '{one.urn}'"
        guard = GUARDS.get(one.type)
        if guard is not None and bool(one.outputs.get(guard[0])) is not guard[1]:
            kind = one.type.rpartition(":")[2].lower()
            yield f"the {kind} {one.id} needs {guard[2]}"


def going(resources: Iterable[Known], *, without: Iterable[str]) -> tuple[Known, ...]:
    """What is in the account and would be deleted."""
    kept = {*without}
    return tuple(one for one in resources if one.real and one.urn not in kept)
