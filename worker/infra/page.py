"""``docs/infrastructure.md``: every resource of a stack, what it is for and what it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.infra import graph
from worker.infra.components import Component, Components, Part
from worker.infra.declaration import Resource

MANY = 3
"""More resources of one kind are counted, not named."""

EVERYTHING: Mapping[str, Mapping[str, Any]] = {
    "storage": {"accessLogs": True, "replicateTo": "arn:aws:s3:::originals-elsewhere"},
    "catalog": {"capacity": "provisioned", "contributorInsights": True},
    "observability": {"enabled": True, "email": "team@example.com"},
    "cost": {
        "email": "team@example.com",
        "monthlyBudget": 30_000,
        "anomalyDollars": 200,
        "activateTags": True,
        "powerTuning": True,
        "savingsPlanCents": 150,
    },
}
"""What is merged into the configuration of ``prod`` so that the page shows every part there is."""

COMMAND = "make infra-docs"

_INTRODUCTION = """\
# Infrastructure

Everything that the [Pulumi program](../pulumi/README.md) declares for a stack like `prod`, with all
that is off unless asked for switched on: `Pulumi.prod.yaml` with addresses for alarms, a budget and
a watch for unusual spending. Made by `{command}` from the program itself; a test fails when the
program says something else.

```mermaid
{graph}```

An arrow leads from a component to one that it refers to and cannot be made without. It is left out
where other arrows lead there too.

{total} resources in {components} components. `safelight infra plan --stack dev` prints those of any
stack with all their inputs, and what is different from the time before; `safelight infra graph`
draws the components of any stack.
"""


def write(components: Components) -> str:
    """The page as Markdown."""
    total = sum(len(one.parts) for one in components.all)
    lines = [
        _INTRODUCTION.format(
            command=COMMAND,
            total=total,
            components=len(components.all),
            graph=graph.mermaid(components),
        ),
        "| Component | Resources | Refers to | Is for |",
        "| --- | --- | --- | --- |",
    ]
    for one in components.all:
        others = sorted(b for a, b in components.references if a == one.name)
        links = ", ".join(f"[{other}](#{_anchor(other)})" for other in others)
        link = f"[{one.name}](#{_anchor(one.name)})"
        lines.append(f"| {link} | {len(one.parts)} | {links} | {_cell(one.purpose)} |")
    for one in components.all:
        lines += ["", *_section(one)]
    return "\n".join(lines) + "\n"


def _section(one: Component) -> Iterator[str]:
    yield f"## {one.name}"
    yield ""
    if one.purpose:
        yield one.purpose
        yield ""
    for title, purpose in one.inner.items():
        yield f"- `{title}`: {purpose}"
    if one.inner:
        yield ""
    if not one.parts:
        yield "Nothing in this stack."
        return
    yield "| Type | Name | Within | Is for | Refers to |"
    yield "| --- | --- | --- | --- | --- |"
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for part in one.parts:
        needs = "; ".join(_needs(part, one.name))
        # Those that are the same in everything but their name are one line.
        row = (part.resource.kind, part.place, part.purpose, needs)
        rows.setdefault(row, []).append(part.resource.name)
    for (kind, place, says, needs), names in rows.items():
        yield f"| `{kind}` | {', '.join(names)} | {place} | {_cell(says)} | {_cell(needs)} |"


def _needs(part: Part, home: str) -> Iterator[str]:
    by_kind: dict[tuple[str, str], list[Resource]] = {}
    for component, other in part.needs:
        by_kind.setdefault((component, other.kind), []).append(other)
    for (component, kind), found in by_kind.items():
        where = "" if component == home else f"{component}: "
        title = kind.rpartition("/")[2]
        if len(found) > MANY:
            yield f"{where}{len(found)} {title}"
        else:
            yield f"{where}{title} {', '.join(one.name for one in found)}"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
