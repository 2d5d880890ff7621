"""The two presets as they are deployed: every resource with every input, as text to compare.

``dev`` is written down whole, ``prod`` as far as it is another resource or other inputs: what
changes in the files is what a deployment would change. ``jobs`` has what both leave out of job
definitions and of the state machine. Tests of their own say the rest
exactly: other tags, the dashboard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pulumi import AssetArchive
from ruamel.yaml import YAML

from tests.infra.declared import Declaration, Resource, declare

NAMES = ("dev", "prod")
PROGRAM = Path(__file__).parents[2] / "pulumi"
LEFT_OUT = frozenset({"containerProperties", "dashboardBody", "definition", "tags"})
Shown = Mapping[str, Any]


def values(name: str) -> Mapping[str, Any]:
    """What a preset says about Safelight, read from the file that is deployed."""
    loaded = YAML(typ="safe").load((PROGRAM / f"Pulumi.{name}.yaml").read_text("utf-8"))
    return {
        key.removeprefix("safelight:"): value
        for key, value in loaded["config"].items()
        if key.startswith("safelight:")
    }


@cache
def declared(name: str) -> Declaration:
    """A stack of the preset's values; the images are given. Both are of one name, to compare."""
    return declare(values(name))


def files() -> Mapping[str, Shown]:
    """What should be in each golden file."""
    dev, prod = (_all(declared(name)) for name in NAMES)
    other = {what: prod.get(what) for what in {*dev, *prod} if dev.get(what) != prod.get(what)}
    jobs = {
        f"{one.kind} {one.name}": {
            key: json.loads(value) if isinstance(value, str) else value
            for key, value in one.inputs.items()
            if key in LEFT_OUT
        }
        for one in declared("dev").resources
        if one.kind in {"batch/JobDefinition", "sfn/StateMachine"}
    }
    return {"dev": dev, "prod": other, "jobs": jobs}


def _all(declaration: Declaration) -> Shown:
    return {
        f"{one.kind} {one.name}": _shown(one) for one in declaration.resources if "/" in one.kind
    }


def _shown(one: Resource) -> Shown:
    waits = sorted(f"{kind} {name}" for kind, name in one.waits_for)
    return {"(of)": one.parent, "(waits for)": waits, **_plain(dict(one.inputs))}


def _plain(value: Any) -> Any:
    """JSON in text as JSON; files by their names."""
    if isinstance(value, AssetArchive):
        return sorted(value.assets)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in LEFT_OUT}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value  # a pattern of a metric filter
    return value
