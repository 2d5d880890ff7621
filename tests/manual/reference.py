"""The parts of docs/ that are written from the code: ``python -m tests.manual.reference``.

A page has them between ``<!-- NAME -->`` and ``<!-- end -->``; around them people write.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from typing import Any

import click

from worker import prices, settings
from worker.domain.metrics import METRICS, MetricGroup, MetricSpec, Source, Unit
from worker.entrypoints.cli import cli
from worker.entrypoints.cli.api import document
from worker.entrypoints.cli.submit import KindGroup
from worker.simulation import rules

DOCS = Path(__file__).parents[2] / "docs"
WIDTH = 100
CONTEXT: Mapping[str, Any] = {**cli.context_settings, "terminal_width": WIDTH}
MANY = 17
"""Values of a dimension that a cell names; of more it has the number."""


# --- commands -----------------------------------------------------------------------------------


def commands() -> str:
    """Every command as its ``--help`` shows it; the first block has the list and the exit codes."""
    return "\n".join(f"### {name}\n\n```text\n{text}\n```\n" for name, text in _helps())


def _helps() -> Iterator[tuple[str, str]]:
    top = click.Context(cli, info_name="safelight", **CONTEXT)
    yield "safelight", cli.get_help(top)
    yield from _commands_of(cli, top)


def _commands_of(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name, terminal_width=WIDTH)
        # The kinds of submit are in docs/jobs.md, with what each parameter may be.
        group_of = command if isinstance(command, click.Group) else None
        if isinstance(command, KindGroup):
            group_of = None
        if group_of is None or group_of.invoke_without_command:
            # A command keeps the first help option it was asked for, whatever the context was then.
            command._help_option = None
            yield inner.command_path, command.get_help(inner)
        if group_of is not None:
            yield from _commands_of(group_of, inner)


# --- settings -----------------------------------------------------------------------------------

FORMS = {
    "_classifier": "`opennsfw` or `package.module:function`",
    "_dollars": "0 to 1,000,000,000",
    "_list": "texts, with commas",
    "_machines": "`NAME=ARN`, with commas",
    "_name": "text",
    "_namespace": "as CloudWatch names namespaces",
    "_networks": "networks, with commas",
    "_optional": "text",
    "_percent": "0.01 to 100",
    "_recipes": "names or paths, with commas",
    "_routes": "`direct`, `accelerated`, `distribution`, with commas",
    "_switch": "`on` or `off`",
    "_trace_target": "`xray` or `file:FOLDER`",
    "endpoints": "JSON",
    "strip": "text",
}
"""What a variable may be, by the function that reads it; enumerations and ranges say it."""


def settings_table() -> str:
    """Every variable, in the order of the code."""
    said = _field_docstrings()
    rows = [
        f"| `{settings.PREFIX}{one.name.upper()}` | {_form(one)} | {_default(one)} |"
        f" {said[one.name]} |"
        for one in fields(settings.Settings)
    ]
    return "\n".join(
        ("| Variable | May be | Default | Meaning |", "| --- | --- | --- | --- |", *rows, "")
    )


def _field_docstrings() -> Mapping[str, str]:
    """The text below each field; a field without one is a KeyError where it is looked up."""
    (kind,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(settings)))
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    found = {}
    for field, text in zip(kind.body, kind.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name)
            assert isinstance(text.value, ast.Constant)
            plain = " ".join(inspect.cleandoc(str(text.value.value)).split())
            found[field.target.id] = plain.replace("``", "`").replace("|", "\\|")
    return found


def _form(one: Any) -> str:
    parse = one.metadata["parse"]
    if parse.__qualname__.startswith("_whole."):
        bounds = inspect.getclosurevars(parse).nonlocals
        return f"{bounds['lowest']:,} to {bounds['highest']:,}"
    if isinstance(one.default, Enum):
        return " or ".join(f"`{each}`" for each in type(one.default))
    return FORMS[parse.__name__]


def _default(one: Any) -> str:
    match one.default:
        case value if value is MISSING:
            return "required"
        case None | () | "":
            return "none"
        case bool(value):
            return "`on`" if value else "`off`"
        case int(value) | float(value) if not isinstance(value, Enum):
            return f"{value:,}"
        case tuple(values):
            return f"`{','.join(map(str, values))}`"
        case value:
            return f"`{value}`"


# --- routes of the API --------------------------------------------------------------------------


def routes() -> str:
    """Every route of the OpenAPI document, with the scope that it asks for."""
    rows = []
    for path, operations in json.loads(document())["paths"].items():
        for method, operation in operations.items():
            scopes = [name for one in operation.get("security", []) for name in one["token"]]
            says = operation["description"].replace("\n", " ")
            rows.append(f"| `{method.upper()} {path}` | {', '.join(scopes) or 'none'} | {says} |")
    return "\n".join(("| Request | Scope | Does |", "| --- | --- | --- |", *rows, ""))


# --- metrics ------------------------------------------------------------------------------------


def metrics() -> str:
    """The tables, a group after the other, and what all of it costs."""
    parts = []
    for group in MetricGroup:
        mine = [one for one in METRICS if one.group is group]
        rows = "\n".join(_metric(one) for one in mine)
        parts.append(
            f"### {group.value}\n\n| Metric | Unit | Statistic | Dimensions | Counted by | Says |\n"
            f"| --- | --- | --- | --- | --- | --- |\n{rows}\n"
        )
    return "\n".join(["", *parts, _metrics_cost()]) + "\n"


def _metric(metric: MetricSpec) -> str:
    unit = "USD" if metric.unit is Unit.DOLLARS else metric.unit.value
    names = f"`{metric.name}`"
    if metric.source is Source.LOG:
        names = f"`{metric.names[0]}` ..." if metric.dimensions else names
    by = "log" if metric.source is Source.LOG else ", ".join(metric.services)
    cells = (names, unit, metric.statistic.value, "; ".join(_dimensions(metric)), by, metric.says)
    return f"| {' | '.join(cells)} |"


def _dimensions(metric: MetricSpec) -> Iterator[str]:
    for name, values in metric.dimensions.items():
        said = ", ".join(values) if len(values) <= MANY else f"{len(values)} values"
        yield f"`{name}`: {said}"


def _metrics_cost() -> str:
    price, _ = prices.load()
    most = sum(one.distinct for one in METRICS)
    usd = most * price.metric_month
    return (
        f"These are at most {most} metrics for CloudWatch, {price.metric_month:.2f} USD a month"
        f" each: {usd:.2f} USD if all\nare counted in every hour of a month. A metric is billed"
        " for the hours in which it has\nvalues: eleven photos and their delivery, on a laptop,"
        " count 21 of them."
    )


# --- pages --------------------------------------------------------------------------------------

# --- AWS's rules --------------------------------------------------------------------------------


def scale_rules() -> str:
    """Every figure that a simulation goes by, with its source."""
    rows = [
        f"| {one.of[0].upper()}{one.of[1:]} | {one.value:,.10g} | {one.kind} | {one.source} |"
        for one in rules.listed()
    ]
    return "\n".join(["| Rule | Value | | Source |", "| --- | ---: | --- | --- |", *rows, ""])


PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "commands": ("commands.md", commands),
    "settings": ("settings.md", settings_table),
    "routes": ("api.md", routes),
    "metrics": ("metrics.md", metrics),
    "rules": ("scale.md", scale_rules),
}


def written(name: str, text: str) -> str:
    """A page with one part written anew.

    Raises:
        AssertionError: the page has no such part, or two.
    """
    pattern = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    now, count = pattern.subn(lambda _: PARTS[name][1](), text)
    assert count == 1, (
        f"{PARTS[name][0]} has {count} parts between <!-- {name} --> and <!-- end -->"
    )
    return now


def main() -> None:
    """Write every part, and the OpenAPI document."""
    (DOCS / "openapi.json").write_text(document(), "utf-8")
    for name, (page, _) in PARTS.items():
        path = DOCS / page
        path.write_text(written(name, path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
