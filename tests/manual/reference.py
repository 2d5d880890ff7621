"""The parts of docs/ that are written from the code: ``python -m tests.manual.reference``.

A page has them between ``<!-- NAME -->`` and ``<!-- end -->``; around them people write.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import partial
from http import HTTPStatus
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from batch.catalogue import KINDS, Parameter
from worker import prices, settings
from worker.domain import errors
from worker.domain.errors import Reason, SafelightError
from worker.domain.event_schemas import file_of
from worker.domain.events import MEANING
from worker.domain.metrics import METRICS, MetricGroup, MetricSpec, Source, Unit
from worker.domain.workflow import OUTCOMES, StageKind
from worker.entrypoints.api.problems import status_of
from worker.entrypoints.cli import cli, run
from worker.entrypoints.cli.api import document
from worker.entrypoints.cli.submit import KindGroup
from worker.recipes import schema, workflow
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
    said = _field_docstrings(settings.Settings)
    rows = [
        f"| `{settings.PREFIX}{one.name.upper()}` | {_form(one)} | {_default(one)} |"
        f" {said[one.name]} |"
        for one in fields(settings.Settings)
    ]
    return "\n".join(
        ("| Variable | May be | Default | Meaning |", "| --- | --- | --- | --- |", *rows, "")
    )


def _field_docstrings(kind: type) -> Mapping[str, str]:
    """The text below each field; a field without one is a KeyError where it is looked up."""
    (node,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign | ast.Assign) and isinstance(text, ast.Expr):
            target = field.target if isinstance(field, ast.AnnAssign) else field.targets[0]
            assert isinstance(target, ast.Name)
            assert isinstance(text.value, ast.Constant)
            found[target.id] = _plain(str(text.value.value))
    return found


def _plain(docstring: str) -> str:
    """Text of a docstring as a cell of a table, with links to the pages that it names."""
    text = " ".join(docstring.split()).replace("``", "`").replace("|", "\\|")
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", text)


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


# --- events -------------------------------------------------------------------------------------


def events() -> str:
    """Every type of event, with its schema."""
    rows = [(f"[`{kind}`](events/{file_of(kind)})", means) for kind, means in MEANING.items()]
    return _table(("Type and schema", "Means"), rows)


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


# --- errors -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a program reads of an error."""

    name: str
    retryable: bool
    status: int | None
    """Of the API's answer, where that tells more than that something failed."""
    meaning: str


def reason_codes() -> list[Code]:
    """Those of rejected inputs."""
    said = _field_docstrings(Reason)
    return [
        Code(name=one.value, retryable=False, status=None, meaning=said[one.name]) for one in Reason
    ]


def codes_of(*roots: type[SafelightError]) -> list[Code]:
    """Those of some classes and of what derives from them, in the order of the code."""
    found = []
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, roots) and "code" in vars(kind):
            for name, meaning in _meanings(kind).items():
                error = kind.__new__(kind)  # each is made of something else
                error.code = name
                status = status_of(error)
                told = None if status == HTTPStatus.INTERNAL_SERVER_ERROR else status
                found.append(
                    Code(name=name, retryable=kind.retryable, status=told, meaning=meaning)
                )
    return found


def _meanings(kind: type[SafelightError]) -> Mapping[str, str]:
    """By code: the entries of ``Codes``, and the first paragraph for a class that lists none."""
    first, *sections = (inspect.getdoc(kind) or "").split("\n\n")
    for section in sections:
        if section.startswith("Codes:\n"):
            entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.MULTILINE)
            return {name: _plain(text) for name, text in entries}
    return {kind.code: _plain(first)}


def codes(*found: Code) -> str:
    """A table; with statuses if there are any."""
    answered = any(one.status for one in found)
    head = ("Code", "Retry", *(["API"] if answered else []), "Meaning")
    rows = [
        (
            f"`{one.name}`",
            "yes" if one.retryable else "no",
            *([str(one.status or "")] if answered else []),
            one.meaning,
        )
        for one in found
    ]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


# --- recipes ------------------------------------------------------------------------------------

RECIPE_TABLES = {
    "top": schema.RECIPE,
    "limits": schema.LIMITS,
    "moderation": schema.MODERATION,
    "categories": schema.CATEGORY,
    "labels": schema.LABELS,
    "renditions": schema.RENDITION,
    "encodings": schema.ENCODING,
    "target": schema.TARGET,
    "watermark": schema.WATERMARK,
}
BY_FORMAT = {"quality", "effort", "progressive", "lossless"}
"""Keys of an encoding whose defaults are in the table of formats."""


def recipe_keys(table: schema.RecipeTable) -> str:
    """The keys of one table of a recipe file."""
    return _table(
        ("key", "type", "default", "range", "meaning"),
        [
            (f"`{name}`", key.type, _recipe_default(table, name, key), key.range, key.meaning)
            for name, key in table.keys.items()
        ],
    )


def _recipe_default(table: schema.RecipeTable, name: str, key: schema.RecipeKey) -> str:
    if key.required:
        return "required"
    if name == "limits":
        return "see [limits]"
    if table is schema.ENCODING and name in BY_FORMAT:
        return "by format"
    if key.field.startswith("-"):
        return "none"
    (value,) = (one.default for one in fields(table.fills) if one.name == (key.field or name))
    if value is None:
        return "none"
    return f"`{json.dumps(sorted(value) if isinstance(value, frozenset) else value)}`"


def recipe_formats() -> str:
    """What each format has and starts from."""
    columns = ("quality", "effort", "progressive", "lossless", "target")
    rows = []
    for each in schema.OUTPUTS:
        traits = schema.TRAITS[each]
        cells = ["-" if name not in traits.keys else _starts(traits, name) for name in columns]
        rows.append((f"`{each}`", *cells))
    return _table(("format", *columns), rows)


def _starts(traits: schema.Traits, name: str) -> str:
    if name == "target":
        return "yes"
    value = json.dumps(getattr(traits.default, name))
    return f"{value} ({traits.keys[name].range})" if name == "effort" else value


# --- workflows ----------------------------------------------------------------------------------


def workflow_keys() -> str:
    """The keys at the top of a workflow file."""
    rows = [(f"`{name}`", key.meaning) for name, key in workflow.TOP.keys.items()]
    return _table(("Key", "Meaning"), rows)


def stages() -> str:
    """Each kind of stage with its keys and its outcomes."""
    said = _field_docstrings(StageKind)
    rows = []
    for kind in StageKind:
        keys = [f"`{name}`" for name in workflow.KEYS[kind] if name not in {"on", "next"}]
        outcomes = [f"`{one}`" for one in OUTCOMES.get(kind, ())]
        rows.append((f"`{kind}`", said[kind.name], ", ".join(keys), ", ".join(outcomes)))
    return _table(("Kind", "Does", "Keys beside `kind`, `next` and `on`", "`on`"), rows)


# --- parameters of jobs -------------------------------------------------------------------------


def job_parameters() -> str:
    """A table for each kind; kinds that follow each other with the same parameters share one."""
    parts = []
    for parameters, kinds in groupby(KINDS.values(), key=lambda kind: kind.parameters):
        rows = [
            (f"`{one.name}`", _takes(one), _parameter_default(one), one.help) for one in parameters
        ]
        table = _table(("Parameter", "Takes", "Default", "Meaning"), rows)
        parts.append(f"### {' '.join(f'`{kind.name}`' for kind in kinds)}\n\n{table}")
    return "\n" + "\n".join(parts) + "\n"


def _takes(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    if parameter.type == "list":
        low, high = parameter.part_minimum, parameter.part_maximum
    span = "" if low is None else f"{low:,} to {high:,}" if high is not None else f"from {low:,}"
    choices = ", ".join(f"`{each}`" for each in parameter.choices)
    words = {
        "int": f"whole number, {span}",
        "float": f"number, {span}",
        "bool": "`true` or `false`",
        "choice": f"one of {choices}",
        "list": f"with commas: {choices or span}",
        "text": parameter.shape or "text",
    }
    return words[parameter.type].strip(", :")


def _parameter_default(parameter: Parameter) -> str:
    match parameter.default:
        case None:
            return ""
        case tuple(values):
            return f"`{','.join(values)}`"
        case bool(value):
            return f"`{str(value).lower()}`"
        case float(value):
            return f"`{value:g}`"
        case value:
            return f"`{value}`"


# --- AWS's rules --------------------------------------------------------------------------------


def scale_rules() -> str:
    """Every figure that a simulation goes by, with its source."""
    rows = [
        f"| {one.of[0].upper()}{one.of[1:]} | {one.value:,.10g} | {one.kind} | {one.source} |"
        for one in rules.listed()
    ]
    return "\n".join(["| Rule | Value | | Source |", "| --- | ---: | --- | --- |", *rows, ""])


# --- bills --------------------------------------------------------------------------------------


def transcript(command: str, first: str = "") -> str:
    """A command with what it prints from some words on; notes go before that."""
    said = io.StringIO()
    with chdir(DOCS.parent), redirect_stdout(said), redirect_stderr(io.StringIO()):
        assert run(command.split()) == 0
    text = said.getvalue().rstrip()
    return f"```text\n$ safelight {command}\n...\n{text[text.index(first) :]}\n```\n"


# --- pages --------------------------------------------------------------------------------------

PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "commands": ("commands.md", commands),
    "settings": ("settings.md", settings_table),
    "routes": ("api.md", routes),
    "events": ("events.md", events),
    "metrics": ("metrics.md", metrics),
    "rules": ("scale.md", scale_rules),
    "rejected": ("errors.md", lambda: codes(*reason_codes())),
    "configuration": ("errors.md", lambda: codes(*codes_of(errors.ConfigurationError))),
    "inputs": ("errors.md", lambda: codes(*codes_of(errors.InputError))),
    "requests": ("errors.md", lambda: codes(*codes_of(errors.RequestError))),
    "state": ("errors.md", lambda: codes(*codes_of(errors.StateError, errors.MalformedMessage))),
    "failures": ("errors.md", lambda: codes(*codes_of(errors.EngineError, errors.TransientError))),
    **{
        f"recipe {name}": ("recipes.md", partial(recipe_keys, table))
        for name, table in RECIPE_TABLES.items()
    },
    "recipe formats": ("recipes.md", recipe_formats),
    "workflow": ("workflows.md", workflow_keys),
    "stages": ("workflows.md", stages),
    "bill": ("cost.md", partial(transcript, "cost")),
    "measured bill": (
        "cost.md",
        partial(transcript, "cost --durations docs/durations.json", "Goals"),
    ),
    "levers": ("cost.md", partial(transcript, "cost --levers", "Levers: ")),
    "parameters": ("jobs.md", job_parameters),
}


def written(name: str, text: str) -> str:
    """A page with one part written anew.

    Raises:
        AssertionError: the page has no such part, or two.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    now, count = pattern.subn(lambda found: found[1] + PARTS[name][1]() + found[2], text)
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
