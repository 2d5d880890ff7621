"""``safelight workflow``: check and compile workflows, look at their runs and resume them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker import codec
from worker.domain.errors import InputError
from worker.domain.workflow import END, RunState
from worker.entrypoints.cli import output
from worker.entrypoints.cli.target import data_option, find_target, json_option
from worker.services.process_files.wording import age_text

if TYPE_CHECKING:
    from worker.domain.workflow import Run, Workflow

file_option = click.option(
    "--file",
    "file",
    metavar="FILE",
    help="The file of a workflow of your own.  [default: the one that ships under the name]",
)


@click.group(name="workflow")
def group() -> None:
    """Check and compile workflows; look at runs, and resume what failed."""


@group.command(name="list")
@json_option
def list_command(*, as_json: bool) -> None:
    """List the workflows that ship."""
    from worker.recipes import workflow as workflows

    loaded = [workflows.load(name) for name in workflows.shipped()]
    if as_json:
        output.print_json(
            [
                {
                    "name": one.name,
                    "version": one.version,
                    "starts": one.starts.value,
                    "description": one.description,
                    "stages": list(one.stages),
                }
                for one in loaded
            ]
        )
        return
    width = max(len(one.name) for one in loaded)
    for one in loaded:
        click.echo(f"{one.name:{width}}  {one.starts.value:9}  {one.description}")


@group.command(name="show")
@click.argument("name", metavar="NAME|FILE")
@json_option
def show_command(*, name: str, as_json: bool) -> None:
    """Show the stages of a workflow, and what follows each of them."""
    from worker.recipes.workflow import after_failure

    one = _load(name)
    if as_json:
        output.print_json(codec.plain(one, defaults=True))
        return
    click.echo(f"{one.name} {one.version}: {one.description}")
    click.echo(f"starts with {one.first}, for uploads: {one.starts.value}")
    for stage in one.stages.values():
        ways = [f"{word} -> {after}" for word, after in stage.on.items()]
        ways += [f"{branch} | {first}" for branch, first in stage.branches.items()]
        ways += [f"-> {after}" for after in (stage.next, stage.otherwise) if after]
        failed = after_failure(one, stage)
        ways += [f"on error -> {failed}"] if failed and stage.next != END else []
        click.echo(f"  {stage.name:20} {stage.kind.value:10} {', '.join(ways)}".rstrip())


@group.command(name="lint")
@click.argument("name", metavar="FILE|NAME")
@json_option
def lint_command(*, name: str, as_json: bool) -> int:
    """Check a workflow: print every mistake.

    Ends with 1 if it has mistakes and cannot be used.
    """
    from batch.catalogue import KINDS
    from worker.recipes import workflow as workflows

    problems = workflows.lint(name, jobs=KINDS)
    if as_json:
        output.print_json([{"path": one.path, "message": one.message} for one in problems])
    else:
        for problem in problems:
            click.echo(f"{click.style('error', fg='red')}: {output.one_line(str(problem))}")
        if not problems:
            click.echo(f"{output.one_line(name)}: no problems")
    return output.REJECTED if problems else 0


@group.command(name="compile")
@click.argument("name", metavar="FILE|NAME")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
@json_option
def compile_command(*, name: str, out: Path | None, as_json: bool) -> None:
    """Print the state machine of a workflow, in the Amazon States Language.

    ${Name} in it stands for what a deployment fills in: a queue, jobs, the function.
    """
    from batch.workflows.compiler import compiled, definition
    from worker.adapters.disk_errors import disk_call
    from worker.atomic import atomic_write

    one = _load(name)
    if out is not None:
        with disk_call(out):
            atomic_write(out, definition(one).encode())
    if as_json:
        output.print_json(compiled(one))
    elif out is None:
        click.echo(definition(one), nl=False)
    else:
        click.echo(output.one_line(f"{out}: {len(compiled(one)['States'])} states"))


@group.command(name="runs")
@click.argument("workflow")
@click.argument("run", required=False)
@click.option(
    "--state",
    type=click.Choice([each.value for each in RunState]),
    help="Only runs in this state.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="At most N runs.",
    metavar="N",
)
@data_option
@json_option
def runs_command(
    *,
    workflow: str,
    run: str | None,
    state: str | None,
    limit: int,
    data: Path | None,
    as_json: bool,
) -> None:
    """List the runs of a WORKFLOW, newest first; or show one RUN with its states."""
    runs = find_target(data).app.runs
    if run is not None:
        one = runs.run(workflow, run)
        if as_json:
            output.print_json([run_json(one)])
        else:
            click.echo(_line(one))
            click.echo(output.one_line("  " + " > ".join(one.states)))
        return
    found = runs.listed(workflow, RunState(state) if state else None, limit=limit)
    if as_json:
        output.print_json([run_json(one) for one in found])
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("no runs")


@group.command(name="resume")
@click.argument("workflow")
@click.argument("run")
@click.option("--stage", help="Begin with this stage.  [default: the one that failed]")
@file_option
@data_option
@json_option
def resume_command(
    *,
    workflow: str,
    run: str,
    stage: str | None,
    file: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Start a failed RUN of a WORKFLOW again, from the stage that failed.

    The new run has the definition that is deployed by now, and the input of the failed one.
    """
    from batch.workflows.compiler import failed_stage, resumable

    of = _load(file or workflow)
    if of.name != workflow:
        raise InputError(f"the file is of the workflow {of.name}, not of {workflow}")
    if stage is not None and stage not in resumable(of):
        names = ", ".join(resumable(of))
        raise InputError(f"{workflow} cannot be resumed from {stage}; it has {names}")
    resumed = find_target(data).app.runs.resume(
        workflow, run, lambda states: failed_stage(of, states), stage=stage or ""
    )
    if as_json:
        output.print_json(run_json(resumed))
    else:
        begin = resumed.input.get("resume", of.first)
        click.echo(output.one_line(f"started {resumed.name} with the stage {begin}"))


def run_json(run: Run) -> dict[str, Any]:
    """A run as commands print it."""
    return {
        "workflow": run.workflow,
        "name": run.name,
        "id": run.id,
        "state": run.state.value,
        "started_at": run.started_at,
        "stopped_at": run.stopped_at,
        "error": run.error,
        "cause": run.cause,
        "asset": str(run.input.get("asset", "")),
        "version": str(run.input.get("version", "")),
        "states": list(run.states),
    }


def _line(run: Run) -> str:
    age = age_text(run.started_at, datetime.now(UTC))
    said = f"{run.error}: {run.cause}" if run.error else ""
    return output.one_line(f"{run.state.value:9}  {age:>8}  {run.name}  {said}").rstrip()


def _load(name_or_file: str) -> Workflow:
    from batch.catalogue import KINDS
    from worker.recipes.workflow import load

    return load(name_or_file, jobs=KINDS)
