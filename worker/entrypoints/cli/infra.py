"""``safelight infra``."""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import InputError, SafelightError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.reach import json_option

if TYPE_CHECKING:
    from worker.infra.stack_file import StackFile

_PLAN_EPILOG = """\b
What only AWS knows is a symbol that says whose property it is: ${s3/Bucket:intake.arn}. Texts that
are JSON are shown as what they say. Images that the configuration does not name are placeholders.

\b
The summary comes first and last, right before the end what is different from the last plan of the
stack, which is kept in .plans for that. It compares what the program says, not what is deployed:
that is `make preview`.

\b
Exit codes
  0    the program accepts the configuration
  2    it does not, each mistake is named; or there is no such stack
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
    """What the Pulumi program declares for AWS; needs a checkout, but no account."""


@group.command(name="plan", epilog=_PLAN_EPILOG)
@stack_option
@config_option
@click.option("--image", metavar="URI", help="The functions' image, with its digest.")
@click.option("--batch-image", metavar="URI", help="The Batch image, with its digest.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the plan to FILE, too, as JSON.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Compare with the plan in FILE, not with the last one.",
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
    """Print what a stack would consist of, and what is different from the last time."""
    from worker.entrypoints.cli import infra_text
    from worker.infra import checkout, program, stack_file
    from worker.infra import plan as plans

    file = _file(stack, config)
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
        plans.keep_plan(root, made)  # first: whoever reads the output may stop at any line
    except SafelightError as error:
        unkept = error  # the plan is shown all the same
    if as_json:
        body = made.as_dict()
        body["changes"] = None if difference is None else difference.as_dict()
        output.print_json(body)
    else:
        placeholders = [key for key in stack_file.IMAGES if key not in values]
        summary = list(infra_text.summary_lines(made, difference, placeholders, against))
        lines = (infra_text.plan_lines(made), infra_text.difference_lines(difference))
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
    help="Write it to FILE, as a Mermaid flowchart.",
)
@json_option
def graph_command(*, stack: str, config: Path | None, out: Path | None, as_json: bool) -> None:
    """Show which components a stack has and which refers to which."""
    from worker.infra import page, program

    file = _file(stack, config)
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

    _ready()
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

    eval "$(safelight infra env --stack dev)" sets them; then put, submit, assets, jobs and dlq find
    that stack.
    """
    from worker.infra import deployed

    if (stack is None) == (outputs is None):
        raise click.UsageError("name either a --stack or its --outputs")
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


def _file(stack: str, config: Path | None) -> StackFile:
    from worker.infra import checkout, stack_file

    _ready()
    file = stack_file.read(config or stack_file.path_of(stack, checkout.folder()))
    stack_file.require_plain(file)
    return file


def _ready() -> None:
    """Raises ``CheckoutMissing`` where there is no program, or nothing to run it with."""
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
