"""Reads the outputs and the state of a deployed stack from Pulumi. It changes nothing.

``safelight infra env`` makes an environment of the outputs. ``make destroy`` reads the state
(``pulumi stack export``): which resources are the originals, which survive unless told
otherwise, and what AWS would refuse to delete, so that it is said before anything is deleted.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.settings import ELSEWHERE, PREFIX, Settings

REGION = "AWS_REGION"
STACK_TYPE = "pulumi:pulumi:Stack"
_SECONDS = 120.0
"""Longest wait for `pulumi stack output`, which asks a server for the state."""
_ARN = re.compile(r"arn:[^:]+:[^:]+:([a-z0-9-]+):\d{12}:")
_QUEUE = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com")
BUCKET = "aws:s3/bucket:Bucket"
REPOSITORY = "aws:ecr/repository:Repository"
IMAGES = ("lambda", "batch")
"""The images in the names of the program's repositories."""
ORIGINALS = "intake"
"""The name of the bucket of originals in the program."""
GUARDS: Mapping[str, tuple[str, bool, str]] = {
    BUCKET: ("forceDestroy", True, "storage.forceDestroy: true, or it has to be empty"),
    "aws:dynamodb/table:Table": (
        "deletionProtectionEnabled",
        False,
        "catalog.deletionProtection: false",
    ),
    REPOSITORY: (
        "forceDelete",
        True,
        "registry.forceDelete: true, or it has to be empty",
    ),
}
"""By type: a property, its value without which AWS refuses to delete, and the key that sets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEnvironment:
    """The variables to set, and those to unset because another stack may have set them."""

    values: Mapping[str, str]
    others: tuple[str, ...]
    """Variables of Safelight's settings that this stack leaves at their defaults."""


def environment_of(outputs: Mapping[str, Any]) -> StackEnvironment:
    """Read what the program exports.

    Raises:
        ConfigurationError: these are no outputs of a whole deployment.
        SettingsError: the environment would not be one that Safelight accepts.
    """
    given = outputs.get("environment")
    if not isinstance(given, Mapping) or not given:
        raise ConfigurationError(
            "there is no output environment: this stack is not, or not wholly, deployed"
        )
    values = {str(name): str(text) for name, text in given.items() if str(name).startswith(PREFIX)}
    Settings.from_environment(values)
    region = _region(outputs)
    if region:
        values[REGION] = region
    known = {f"{PREFIX}{item.name.upper()}" for item in fields(Settings)} - ELSEWHERE
    return StackEnvironment(values=values, others=tuple(sorted(known - {*values})))


def pulumi_outputs(stack: str, folder: Path) -> Mapping[str, Any]:
    """Ask the pulumi program for a stack's outputs.

    Args:
        folder: of the Pulumi program.

    Raises:
        ConfigurationError: pulumi is not installed (``program_missing``), knows no such stack, or
            cannot reach its state.
    """
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigurationError(
            "the program pulumi is not installed; elsewhere `pulumi stack output --json` writes a"
            " file that --outputs reads",
            code="program_missing",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"pulumi did not answer within {_SECONDS:.0f} s") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"it ended with code {done.returncode}"
        raise ConfigurationError(f"pulumi has no outputs of stack {stack}: {said}")
    return parse_outputs(done.stdout)


def parse_outputs(text: str) -> Mapping[str, Any]:
    """Outputs from their JSON text. Raises ``ConfigurationError``."""
    try:
        outputs = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"these outputs are no JSON: {error}") from error
    if not isinstance(outputs, dict):
        raise ConfigurationError("these outputs are no JSON object")
    return outputs


def _region(outputs: Mapping[str, Any]) -> str | None:
    machines = [*(outputs.get("workflows") or {}).values()]
    texts = [*machines[:1], outputs.get("workQueue"), outputs.get("uploadsQueue")]
    for text in texts:
        found = _ARN.match(str(text)) or _QUEUE.match(str(text))
        if found:
            return found[1]
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateResource:
    """One resource in the state."""

    urn: str
    type: str
    id: str
    parent: str
    above: frozenset[str]
    """URNs of all that it cannot exist without."""
    protected: bool
    retained: bool
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its logical name."""
        return self.urn.rpartition("::")[2]

    @property
    def real(self) -> bool:
        """Whether it is in the account; components, providers and the stack are not."""
        return bool(self.id) and not self.type.startswith("pulumi:")


def read_state(exported: Any) -> tuple[StateResource, ...]:
    """All resources of an export. Raises ``ConfigurationError`` if it is none."""
    try:
        found = exported["deployment"].get("resources") or []
        return tuple(_state_resource(one) for one in found if not one.get("delete"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"this is no export of a stack: {error!r}") from error


def _state_resource(one: Mapping[str, Any]) -> StateResource:
    by_property = one.get("propertyDependencies") or {}
    above = {
        one.get("parent"),
        one.get("deletedWith"),
        str(one.get("provider") or "").rpartition("::")[0],
        *(one.get("dependencies") or ()),
        *(urn for urns in by_property.values() for urn in urns or ()),
    }
    return StateResource(
        urn=one["urn"],
        type=one["type"],
        id=str(one.get("id") or ""),
        parent=one.get("parent") or "",
        above=frozenset(str(urn) for urn in above if urn),
        protected=bool(one.get("protect")),
        retained=bool(one.get("retainOnDelete")),
        outputs=one.get("outputs") or {},
    )


def originals(resources: Iterable[StateResource], stack: str) -> tuple[StateResource, ...]:
    """The bucket of originals, first, and its settings; nothing if there is no such bucket."""
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


def repositories(resources: Iterable[StateResource], stack: str) -> tuple[str, str]:
    """Addresses of the repositories for the functions' and the Batch image.

    Raises:
        ConfigurationError: one of them is not there.
    """
    found = {
        one.name: str(one.outputs.get("repositoryUrl") or "")
        for one in resources
        if one.type == REPOSITORY
    }
    lambdas, batch = (found.get(f"safelight-{stack}-image-{one}", "") for one in IMAGES)
    if not lambdas or not batch:
        raise ConfigurationError(f"the state of stack {stack} has no repositories for both images")
    return lambdas, batch


def require_known(
    kept: Iterable[StateResource], resources: Iterable[StateResource], stack: str
) -> None:
    """Make sure that the originals are known: nothing is deleted on a guess.

    Raises:
        ConfigurationError: there are buckets, but none is known to be that of the originals.
    """
    if not tuple(kept) and any(one.type == BUCKET for one in resources):
        raise ConfigurationError(
            f"the state of stack {stack} has buckets, but none called"
            f" safelight-{stack}-{ORIGINALS}: which one holds the originals is not known"
        )


def with_all_above(
    kept: Iterable[StateResource], resources: Iterable[StateResource]
) -> tuple[str, ...]:
    """URNs of resources and of all that they cannot exist without, in the state's order.

    ``pulumi destroy`` deletes what an excluded resource depends on unless that is excluded too.
    For ``--exclude-protected`` it computes the same set itself.
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
    resources: Iterable[StateResource], *, without: Iterable[str], released: Iterable[str]
) -> Iterator[str]:
    """The resources that cannot be deleted, with the remedy, one line each.

    Args:
        without: URNs of what is kept.
        released: URNs of what loses its protection first.
    """
    kept, free = {*without}, {*released}
    for one in resources:
        if one.urn in kept or one.type == STACK_TYPE:
            continue
        if one.protected and one.urn not in free:
            yield f"{one.name} is protected: pulumi state unprotect '{one.urn}'"
        guard = GUARDS.get(one.type)
        if guard is not None and bool(one.outputs.get(guard[0])) is not guard[1]:
            kind = one.type.rpartition(":")[2].lower()
            yield f"the {kind} {one.id} needs {guard[2]}"


def deleted(
    resources: Iterable[StateResource], *, without: Iterable[str]
) -> tuple[StateResource, ...]:
    """The existing resources that will be deleted."""
    kept = {*without}
    return tuple(one for one in resources if one.real and one.urn not in kept)
