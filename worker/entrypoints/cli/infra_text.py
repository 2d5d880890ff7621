"""How a plan of the infrastructure reads on a terminal: resources by component, then changes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from worker.entrypoints.cli.output import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from worker.infra.plan import PlanDifference, PlannedResource, StackPlan, ValueChange

LONG = 60
"""Lines of one input. A longer one is counted: a state machine has five hundred."""
SHORT = 70
"""Characters of a value that is shown within a line of changes."""


def plan_lines(plan: StackPlan) -> Iterator[str]:
    """All resources with their inputs."""
    where: tuple[str, ...] | None = None
    for item in plan.items:
        if item.within != where:
            where = item.within
            yield ""
            yield click.style(one_line(" / ".join(where) or "the stack itself"), bold=True)
        yield f"  {one_line(item.key)}"
        for name, value in item.inputs.items():
            yield from _input(name, value)
        for name, value in item.options.items():
            yield from _input(f"({name})", value)
    if plan.exports:
        yield ""
        yield click.style("exports", bold=True)
        for name, value in plan.exports.items():
            yield from _input(name, value, "  ")


def summary_lines(
    plan: StackPlan,
    difference: PlanDifference | None,
    placeholders: Sequence[str],
    against: Path | None,
) -> Iterator[str]:
    """How much there is, what stands for what nobody has named, and how much changed."""
    region = plan.region or "a region that the configuration does not name"
    yield f"stack {plan.stack} in {region}: {len(plan.items)} resources"
    for key in placeholders:
        yield f"safelight:{key} is not set: a placeholder stands for it"
    since = f"the last plan of {plan.stack}" if against is None else str(against)
    if difference is None:
        yield f"nothing to compare with: this is the first plan of {plan.stack}"
    elif not difference:
        yield one_line(f"nothing is different from {since}")
    else:
        counts = (
            (len(difference.created), "new"),
            (len(difference.changed), "changed"),
            (len(difference.removed), "gone"),
        )
        said = ", ".join(f"{count} {word}" for count, word in counts)
        exports = ", exports changed" if difference.exports else ""
        yield one_line(f"different from {since}: {said}{exports}")


def difference_lines(difference: PlanDifference | None) -> Iterator[str]:
    """What changed, resource by resource; nothing if that is nothing."""
    if not difference:
        return
    yield ""
    yield click.style("different", bold=True)
    for item in difference.created:
        yield click.style(f"+ {_told(item)}", fg="green")
    for item, changes in difference.changed:
        yield click.style(f"~ {_told(item)}", fg="yellow")
        for change in changes:
            yield from _change_lines(change)
    for item in difference.removed:
        yield click.style(f"- {_told(item)}", fg="red")
    if difference.exports:
        yield click.style("~ exports", fg="yellow")
        for change in difference.exports:
            yield from _change_lines(change)


def _told(item: PlannedResource) -> str:
    return one_line(f"{item.key}  ({' / '.join(item.within)})" if item.within else item.key)


def _change_lines(change: ValueChange) -> Iterator[str]:
    before, after = change.before, change.after
    path = one_line(change.path)
    if change.how == "added":
        yield from _whole(f"    + {path}", after)
    elif change.how == "removed":
        yield from _whole(f"    - {path}", before)
    elif isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"    ~ {path}:"
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")
        for line in list(lines)[2:]:
            yield f"        {one_line(line)}"
    else:
        old, new = _inline(before), _inline(after)
        if len(old) + len(new) <= 2 * SHORT and None not in (old, new):
            yield f"    ~ {path}: {old} -> {new}"
        else:
            yield f"    ~ {path}:"
            yield f"        {old}"
            yield f"     -> {new}"


def _whole(start: str, value: Any) -> Iterator[str]:
    lines = list(_lines(value))
    if not _nested(value) and len(lines) == 1:
        yield f"{start}: {lines[0]}"
        return
    yield f"{start}:"
    for line in lines[:LONG]:
        yield f"        {line}"
    if len(lines) > LONG:
        yield f"        ... {len(lines) - LONG} more lines"


def _inline(value: Any) -> str:
    lines = list(_lines(value))
    return lines[0] if len(lines) == 1 else f"({len(lines)} lines)"


def _input(name: str, value: Any, indent: str = "    ") -> Iterator[str]:
    lines = list(_lines(value))
    name = one_line(name)
    if not _nested(value) and len(lines) == 1:
        yield f"{indent}{name}: {lines[0]}"
    elif len(lines) > LONG:
        yield f"{indent}{name}: ({len(lines)} lines; --json prints them)"
    else:
        yield f"{indent}{name}:"
        for line in lines:
            yield f"{indent}  {line}"


def _lines(value: Any) -> Iterator[str]:
    """A value in the way of YAML, for reading only."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _named(one_line(str(key)), item)
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    elif isinstance(value, str) and "\n" in value:
        yield "|"
        yield from (f"  {one_line(line)}" for line in value.splitlines())
    else:
        yield _scalar(value)


def _named(key: str, value: Any) -> Iterator[str]:
    lines = list(_lines(value))
    if _nested(value):
        yield f"{key}:"
        yield from (f"  {line}" for line in lines)
    else:
        yield f"{key}: {lines[0]}"
        yield from lines[1:]


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping | list) and bool(value)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return "[]"
    text = one_line(str(value))
    return text if text else '""'
