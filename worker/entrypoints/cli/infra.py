"""``safelight infra``: what the Pulumi program declares, and how a plan reads on a terminal."""

from __future__ import annotations

import difflib
import itertools
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.errors import InputError, SafelightError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import json_option

if TYPE_CHECKING:
    from pathlib import Path

    from worker.infra.plan import PlanDifference, PlannedResource, StackPlan, ValueChange
    from worker.infra.stack_file import StackFile


_PLAN_EPILOG = """\b
A value that only AWS knows is a placeholder with its resource: ${s3/Bucket:intake.arn}. JSON texts
are shown parsed. Container images that the configuration does not name are placeholders.

\b
The summary is printed first and last, and before the last one the differences from the last plan of
the stack, which is kept in .plans. They compare two runs of the program; `make preview` compares
with what is deployed.

\b
Exit codes
  0    the program accepts the configuration
  2    the configuration has mistakes, which are listed, or there is no such stack
"""

_PREFLIGHT_EPILOG = """\b
It needs lambda:GetAccountSettings, servicequotas:GetServiceQuota and
servicequotas:GetAWSDefaultServiceQuota, cloudfront:ListDistributions, cloudfront:ListCachePolicies
and cloudfront:ListResponseHeadersPolicies. Without a permission the quota is "unknown".

\b
Exit codes
  0    a deployment would work; quotas may be too small, or unknown
  1    a deployment would fail, or a part of the stack would never work
  2    the configuration has mistakes, which are listed, or there is no such stack
"""

stack_option = click.option(
    "--stack", default="dev", show_default=True, metavar="STACK", help="Name of the stack."
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Its configuration.  [default: pulumi/Pulumi.STACK.yaml]",
)


@click.group(name="infra")
def group() -> None:
    """Show what the Pulumi program declares for AWS. Needs a checkout; only commands that say so
    need an account."""


@group.command(name="plan", epilog=_PLAN_EPILOG)
@stack_option
@config_option
@click.option("--image", metavar="URI", help="The functions' image, with its digest.")
@click.option("--batch-image", metavar="URI", help="The Batch image, with its digest.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the plan to FILE, as JSON.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Compare with the plan in FILE instead of the last one.",
)
@json_option
def plan_command(
    *,
    stack: str,
    config: Path | None,
    image: str | None,
    batch_image: str | None,
    out: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Print the resources of a stack, and what changed since the last plan."""
    from worker.infra import checkout, program, stack_file
    from worker.infra import plan as plans

    file = _stack_file(stack, config)
    images = {"image": image, "batchImage": batch_image}
    given = {key: text for key, text in images.items() if text is not None}
    before = None if against is None else plans.read_plan(against)
    values = {**file.config, **given}
    declared = program.declare(stack, values, region=file.region)
    root = checkout.folder().parent
    made = plans.plan_of(declared, stack=stack, region=file.region, root=root)
    before = before or plans.last_plan(root, stack)
    difference = None if before is None else plans.difference(before, made)
    if out is not None:
        plans.write_plan(out, made)
    unkept = None
    try:
        plans.keep_plan(root, made)  # before anything is printed: the reader may stop at any line
    except SafelightError as error:
        unkept = error  # the plan is printed all the same
    if as_json:
        body = made.as_dict()
        body["changes"] = None if difference is None else difference.as_dict()
        output.print_json(body)
    else:
        placeholders = [key for key in stack_file.IMAGES if key not in values]
        summary = list(summary_lines(made, difference, placeholders, against))
        lines = (plan_lines(made), difference_lines(difference))
        for line in itertools.chain(summary, *lines, ("",), summary):
            click.echo(line)
    if unkept is not None:
        raise unkept


@group.command(name="graph")
@stack_option
@config_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the graph to FILE, as a Mermaid flowchart.",
)
@json_option
def graph_command(*, stack: str, config: Path | None, out: Path | None, as_json: bool) -> None:
    """Show the components of a stack and their references."""
    from worker.infra import page, program

    file = _stack_file(stack, config)
    found = page.components(program.declare(stack, file.config, region=file.region))
    if out is not None:
        _write(out, page.mermaid(found))
    if as_json:
        references: dict[str, list[str]] = {one.name: [] for one in found.all}
        for a, b in sorted(found.references):
            references[a].append(b)
        output.print_json(
            [
                {
                    "component": one.name,
                    "purpose": one.purpose,
                    "resources": [
                        f"{part.resource.kind} {part.resource.name}" for part in one.parts
                    ],
                    "refers_to": references[one.name],
                }
                for one in found.all
            ]
        )
        return
    for one in found.all:
        others = [b for a, b in sorted(found.references) if a == one.name]
        arrow = f" -> {', '.join(others)}" if others else ""
        click.echo(output.one_line(f"{one.name}: {len(one.parts)} resources{arrow}"))


@group.command(name="docs")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to write them.  [default: docs in the checkout]",
)
@json_option
def docs_command(*, out: Path | None, as_json: bool) -> None:
    """Write infrastructure.md. Also `make infra-docs`."""
    from worker.infra import checkout, page

    _require_checkout()
    path = (out or checkout.folder().parent / "docs") / "infrastructure.md"
    _write(path, page.write(page.every_component()))
    written = [str(path)]
    if as_json:
        output.print_json(written)
        return
    for name in written:
        click.echo(output.one_line(name))


@group.command(name="env")
@click.option("--stack", metavar="STACK", help="Ask pulumi for the outputs of this stack.")
@click.option(
    "--outputs",
    metavar="FILE",
    help="Read them from FILE, or from standard input if it is -: `pulumi stack output --json`.",
)
@json_option
def env_command(*, stack: str | None, outputs: str | None, as_json: bool) -> None:
    """Print the variables with which the other commands work on a deployed stack.

    eval "$(safelight infra env --stack dev)" sets them; put, submit, assets, jobs and dlq then use
    that stack.
    """
    from worker.infra import deployed

    if (stack is None) == (outputs is None):
        raise click.UsageError("give --stack or --outputs")
    if stack is not None:
        from worker.infra import checkout

        found = deployed.pulumi_outputs(stack, checkout.folder())
    else:
        assert outputs is not None
        found = deployed.parse_outputs(_read(outputs))
    environment = deployed.environment_of(found)
    if as_json:
        output.print_json(dict(environment.values))
        return
    if environment.others:
        click.echo(f"unset {' '.join(environment.others)}")
    for name, text in environment.values.items():
        click.echo(f"export {name}={shlex.quote(text)}")


@group.command(name="preflight", epilog=_PREFLIGHT_EPILOG)
@stack_option
@config_option
@json_option
def preflight_command(*, stack: str, config: Path | None, as_json: bool) -> int:
    """Read the account's quotas, and list those that are too small for a stack.

    Asks the account of the current credentials, and the OpenID provider (api.issuer). Changes
    nothing. `make deploy` runs it first, and stops if a deployment would fail.
    """
    from worker.infra import preflight

    found = preflight.of_stack(stack, _stack_file(stack, config))
    if as_json:
        output.print_json([one.as_dict() for one in found])
    else:
        for line in preflight.lines(found):
            click.echo(line)
    wrong = any(one.state is preflight.State.WRONG for one in found)
    return output.REJECTED if wrong else 0


def _stack_file(stack: str, config: Path | None) -> StackFile:
    from worker.infra import checkout, stack_file

    _require_checkout()
    file = stack_file.read(config or stack_file.path_of(stack, checkout.folder()))
    stack_file.require_plain(file)
    return file


def _require_checkout() -> None:
    """Raises ``CheckoutMissing`` if there is no Pulumi program, or nothing to run it with."""
    from worker.infra import checkout

    checkout.require()


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file", code="input_missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read: {error}", code="input_unreadable") from error


def _write(path: Path, text: str) -> None:
    from worker.adapters.disk_errors import disk_call

    with disk_call(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")


# --- a plan as text ---------------------------------------------------------------------------


LONG = 60
"""Most lines of one value that are printed: a state machine has five hundred."""
SHORT = 140
"""Most characters of a value before and after that share a line."""


def plan_lines(plan: StackPlan) -> Iterator[str]:
    """All resources with their inputs."""
    where: tuple[str, ...] | None = None
    for item in plan.resources:
        if item.within != where:
            where = item.within
            yield ""
            yield click.style(output.one_line(" / ".join(where) or "the stack itself"), bold=True)
        yield f"  {output.one_line(item.key)}"
        for name, value in item.values.items():
            yield from _value_lines(f"    {name}", _lines(value))
    if plan.exports:
        yield ""
        yield click.style("exports", bold=True)
        for name, value in plan.exports.items():
            yield from _value_lines(f"  {name}", _lines(value))


def summary_lines(
    plan: StackPlan,
    difference: PlanDifference | None,
    placeholders: Sequence[str],
    against: Path | None,
) -> Iterator[str]:
    """The number of resources, the placeholders, and how much changed."""
    region = plan.region or "a region that the configuration does not name"
    yield f"stack {plan.stack} in {region}: {len(plan.resources)} resources"
    for key in placeholders:
        yield f"safelight:{key} is not set: a placeholder is used"
    since = f"the last plan of {plan.stack}" if against is None else str(against)
    if difference is None:
        yield f"nothing to compare with: this is the first plan of {plan.stack}"
    elif not difference:
        yield output.one_line(f"nothing changed since {since}")
    else:
        counts = (
            (len(difference.created), "new"),
            (len(difference.changed), "changed"),
            (len(difference.removed), "removed"),
        )
        said = ", ".join(f"{count} {word}" for count, word in counts)
        exports = ", exports changed" if difference.exports else ""
        yield output.one_line(f"changes since {since}: {said}{exports}")


def difference_lines(difference: PlanDifference | None) -> Iterator[str]:
    """The changes, resource by resource."""
    if not difference:
        return
    yield ""
    yield click.style("changes", bold=True)
    for item in difference.created:
        yield click.style(f"+ {_item_text(item)}", fg="green")
    for item, changes in difference.changed:
        yield click.style(f"~ {_item_text(item)}", fg="yellow")
        for change in changes:
            yield from _change_lines(change)
    for item in difference.removed:
        yield click.style(f"- {_item_text(item)}", fg="red")
    if difference.exports:
        yield click.style("~ exports", fg="yellow")
        for change in difference.exports:
            yield from _change_lines(change)


def _item_text(item: PlannedResource) -> str:
    return output.one_line(f"{item.key}  ({' / '.join(item.within)})" if item.within else item.key)


def _change_lines(change: ValueChange) -> Iterator[str]:
    before, after = _lines(change.before), _lines(change.after)
    if change.how == "added":
        yield from _value_lines(f"    + {change.name}", after)
    elif change.how == "removed":
        yield from _value_lines(f"    - {change.name}", before)
    elif len(before) == len(after) == 1 and len(before[0]) + len(after[0]) <= SHORT:
        yield output.one_line(f"    ~ {change.name}: {before[0]} -> {after[0]}")
    else:
        compared = difflib.unified_diff(before, after, n=2, lineterm="")
        yield from _value_lines(f"    ~ {change.name}", list(compared)[2:])


def _value_lines(start: str, lines: Sequence[str]) -> Iterator[str]:
    """A name with its value, on the same line if it has only one."""
    start = output.one_line(start)
    if len(lines) == 1:
        yield f"{start}: {lines[0]}"
    elif len(lines) > LONG:
        yield f"{start}: ({len(lines)} lines; --json prints them)"
    else:
        yield f"{start}:"
        yield from (f"        {line}" for line in lines)


def _lines(value: Any) -> list[str]:
    """Text as it is, everything else as JSON."""
    text = value if isinstance(value, str) and value else json.dumps(value, indent=2)
    return [output.one_line(line) for line in text.splitlines()]
