"""The two presets as they are deployed: every resource with every input, as text to compare.

``dev`` is written down whole, ``prod`` as far as it is another resource or other inputs.
``python -m tests.infra.presets`` writes both files anew: what changes in them is what a deployment
would change. Left out is what tests of its own say exactly: tags, what a job's container is given,
the state machine's definition, the dashboard.
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
FOLDER = Path(__file__).with_name("golden")
PROGRAM = Path(__file__).parents[2] / "pulumi"
LEFT_OUT = frozenset({"containerProperties", "dashboardBody", "definition", "tags"})
WIDTH = 100
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


def texts() -> Mapping[str, str]:
    """What should be in the file of each preset."""
    dev, prod = (_all(declared(name)) for name in NAMES)
    other = {what: prod.get(what) for what in {*dev, *prod} if dev.get(what) != prod.get(what)}
    return {"dev": _lines(dev, 0) + "\n", "prod": _lines(other, 0) + "\n"}


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


def _lines(value: Any, depth: int) -> str:
    """JSON with keys in order; a line for what fits in one."""
    line = json.dumps(value, sort_keys=True)
    if len(line) + depth <= WIDTH or not isinstance(value, (dict, list)):
        return line
    inside = depth + 1
    if isinstance(value, dict):
        ends = "{}"
        parts = [f"{json.dumps(key)}: {_lines(value[key], inside)}" for key in sorted(value)]
    else:
        ends = "[]"
        parts = [_lines(item, inside) for item in value]
    body = ",\n".join(" " * inside + part for part in parts)
    return f"{ends[0]}\n{body}\n{' ' * depth}{ends[1]}"


def main() -> None:
    """Write both files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / f"{name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
