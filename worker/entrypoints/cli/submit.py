"""``safelight submit``: a command for each kind of job, with its parameters as options."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.domain.asset import PUBLIC
from worker.domain.errors import AssetMissing
from worker.entrypoints.cli import output
from worker.entrypoints.cli.jobs import JobWatch, exit_code, job_json, print_log, state_text
from worker.entrypoints.cli.target import data_option, find_target, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch.catalogue import JobKind, Parameter
    from worker.domain.job import JobRequest, JobStatus
    from worker.ports import Jobs, ObjectStore


LOOK_SECONDS = 1.0
"""Time between two looks at a job that the command waits for."""

_EXIT_CODES = """\b
Exit codes with --wait, --follow or --local
  0    every job succeeded
  1    an input can never succeed; the job says why
  2    wrong use: nothing was submitted
  3    the output folder cannot be written
  70   a defect in Safelight
  75   a job was stopped, or failed too often; try again
  130  Ctrl-C or SIGTERM; jobs of --local are stopped too, others continue
"""

_EPILOG = f"""
safelight submit KIND --help shows the parameters of a kind; docs/jobs.md lists all. Repeating a
request does not make another job, unless the first has failed or --again is given.

{_EXIT_CODES}"""


def _options() -> list[click.Parameter]:
    """Options of every kind."""

    @click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
    @click.option("--out", metavar="OUTPUT", help="Folder, or s3://BUCKET/PREFIX, for the results.")
    @click.option(
        "--param",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        help="A parameter written differently: --param width=640 is --width 640.",
    )
    @click.option(
        "--priority", is_flag=True, help="Run the job before all others, in the urgent queue."
    )
    @click.option("--array", type=int, metavar="N", help="Number of children of an array job.")
    @click.option("--asset", metavar="ASSET", help="List the job in the record of this asset.")
    @click.option(
        "--again", is_flag=True, help="Submit a new job even if the same one is already done."
    )
    @click.option("--wait", is_flag=True, help="Wait until all jobs have ended.")
    @click.option(
        "--follow", is_flag=True, help="Show the logs of the jobs, and wait until all have ended."
    )
    @click.option("--local", is_flag=True, help="Run the jobs here; no stack and no AWS is needed.")
    @click.option("--container", is_flag=True, help="With --local: in containers of an image.")
    @click.option(
        "--image", default="safelight-batch", show_default=True, help="With --container: the image."
    )
    @data_option
    @json_option
    def holder() -> None:
        pass

    return list(reversed(holder.__click_params__))  # type: ignore[attr-defined]


def _submit(
    *,
    kind: str,
    given: Sequence[tuple[str, str]],
    inputs: tuple[str, ...],
    parameters: tuple[str, ...],
    out: str | None,
    priority: bool,
    array: int | None,
    asset: str | None,
    again: bool,
    wait: bool,
    follow: bool,
    local: bool,
    container: bool,
    image: str,
    data: Path | None,
    as_json: bool,
) -> int:
    from batch.arguments import split_pairs
    from batch.submit import JobSpec, SubmitContext, requests

    if container and not local:
        raise click.UsageError("--container needs --local: elsewhere every job runs in a container")
    if local and data is not None:
        raise click.UsageError("--local takes no --data: it needs no stack")
    texts, unread = split_pairs([*(f"{name}={text}" for name, text in given), *parameters])
    spec = JobSpec(
        kind=kind,
        inputs=inputs,
        output=out,
        parameters=texts,
        options=frozenset(name for name, _ in given),
        unread=unread,
        urgent=priority,
        array=array,
        asset=asset,
        again=str(time.time_ns()) if again else "",
    )
    if local:
        here = requests(spec, SubmitContext(files=True, store=_store_of(inputs, out)))
        return _run_local(here, image if container else None, follow=follow, as_json=as_json)
    from worker.services.breaker import OptionalWork

    target, traceparent = find_target(data), ""
    if asset is not None:
        record = target.app.catalog.get(asset)
        if record is None:
            raise AssetMissing(f"there is no asset {asset} to list the job with")
        spec = replace(spec, closed=record.status not in PUBLIC)
        traceparent = record.source.trace
    around = SubmitContext(
        files=target.local is not None,
        outputs=f"s3://{target.app.settings.delivery_bucket}/",
        store=target.app.store,
    )
    jobs = target.jobs
    made = [replace(one, traceparent=traceparent) for one in requests(spec, around)]
    if not priority:
        target.app.breaker.require(OptionalWork.JOB)
    ids = tuple(dict.fromkeys(jobs.submit(request) for request in made))
    if not (wait or follow):
        for id_ in ids:
            _print_job(jobs.describe(id_), as_json=as_json)
        return 0
    commands = [f"safelight jobs {what} {ids[0]}" for what in ("logs --follow", "show")]
    commands.append(f"safelight jobs stop {' '.join(ids)}")
    with output.explain_interrupt(
        "the submitted jobs continue; to follow, look at or stop them:", commands, data
    ):
        return _await(jobs, ids, follow=follow, as_json=as_json)


def _store_of(inputs: Sequence[str], out: str | None) -> ObjectStore | None:
    """S3 for jobs that run here, if any of their addresses is there."""
    if not any(text.startswith("s3://") for text in (*inputs, out or "")):
        return None
    from batch.job_services import JobServices

    return JobServices().store


def _await(jobs: Jobs, ids: Sequence[str], *, follow: bool, as_json: bool) -> int:
    if not as_json:
        for id_ in ids:
            _print_job(jobs.describe(id_), as_json=False)
    if follow:
        for id_ in ids:
            array = jobs.describe(id_).array_size is not None
            for line in jobs.logs(id_, follow=True):
                _print_log_line(line, array=array, as_json=as_json)
    watch = JobWatch(jobs.describe, quiet=as_json)
    while not watch.ended(ids):
        time.sleep(LOOK_SECONDS)
    found = [jobs.describe(id_) for id_ in ids]
    for job in found:
        _print_job(job, as_json=as_json)
    return exit_code(found)


def _run_local(
    made: Sequence[JobRequest], image: str | None, *, follow: bool, as_json: bool
) -> int:
    from worker.job_context import Stop
    from worker.local.batch.run_local import run_local

    stop = Stop()
    arrays = any(request.array_size is not None for request in made)
    with stop.on_signals(), run_local(made, image=image) as here:
        # With --follow the lines of the jobs say the same.
        watch = JobWatch(here.jobs.describe, quiet=as_json or follow)
        for line in here.work(stop, lines=follow):
            if line is not None:
                _print_log_line(line, array=arrays, as_json=as_json)
            watch.ended(here.ids)
        found = [here.jobs.describe(id_) for id_ in here.ids]
        for job in found:
            _print_job(job, as_json=as_json, here=True)
        if stop.requested:
            click.echo("stopped; the same command continues", err=True)
            return output.INTERRUPTED
        return exit_code(found)


def _print_log_line(line: str, *, array: bool, as_json: bool) -> None:
    """Print a line of a job's log to standard error; only results go to standard output."""
    if as_json:
        click.echo(output.one_line(line), err=True)
    else:
        print_log(line, array=array, err=True)


def _print_job(job: JobStatus, *, as_json: bool, here: bool = False) -> None:
    if as_json:
        output.print_line(job_json(job))
        return
    name = job.name if here else f"{job.id}  {job.name}"
    target = f" -> {job.output}" if job.output else ""
    click.echo(output.one_line(f"{name}  {state_text(job)}{target}"))
    if here and job.state.value == "FAILED" and job.log:
        click.echo(output.one_line(f"  log: {job.log}"), err=True)


# --- commands made from the job catalogue -----------------------------------------------------


_PREFIX = "parameter_"
"""Prefix of parameters in click: a parameter may be called ``format``, as an argument cannot."""
_TRUE, _FALSE = "true", "false"


class KindGroup(click.Group):
    """``submit``: its commands are the kinds of jobs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the kinds that are offered."""
        from batch.catalogue import OFFERED

        return list(OFFERED)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return the command of a kind; steps of divided work have one too."""
        from batch.catalogue import KINDS

        kind = KINDS.get(cmd_name)
        if kind is None:
            return None
        return _KindCommand(
            name=kind.name,
            help=_kind_help(kind),
            epilog=_EXIT_CODES,
            callback=_callback(kind),
            params=[*(_option(each) for each in kind.parameters), *_options()],
            context_settings={"token_normalize_func": _hyphened},
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the kind first: options of every kind may come before it."""
        return super().parse_args(ctx, self._kind_first(ctx, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a kind; suggest an offered one for a typing mistake."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no kind of job {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the kinds, then the options that every kind has."""
        from batch.catalogue import KINDS

        offered = [KINDS[name] for name in self.list_commands(ctx)]
        sections = {
            "Kinds that make one job of each input": [k for k in offered if k.inputs[1] == 1],
            "Kinds that make one job of all inputs": [
                k for k in offered if k.inputs[1] > 1 and not k.array
            ],
            "Kinds that divide inputs among the children of an array job": [
                k for k in offered if k.array
            ],
        }
        for title, kinds in sections.items():
            with formatter.section(title):
                formatter.write_dl([(kind.name, kind.summary) for kind in kinds])
        _write_options(ctx, formatter, "Options of every kind", [*_options(), _help_of(ctx)])

    def _kind_first(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        valued = {
            name
            for option in _options()
            if isinstance(option, click.Option) and not option.is_flag
            for name in option.opts
        }
        before: list[str] = []
        rest = list(args)
        while rest and rest[0].startswith("-") and rest[0] not in {"--", *ctx.help_option_names}:
            word = rest.pop(0)
            before += [word, *(rest[:1] if word in valued else ())]
            del rest[: int(word in valued)]
        if not before or (rest and rest[0] in ctx.help_option_names):
            return rest
        if rest[:1] == ["--"]:
            return [*rest[1:2], *before, "--", *rest[2:]]
        if not rest:
            ctx.fail("Missing argument 'KIND'.")
        return [rest[0], *before, *rest[1:]]


def _callback(kind: JobKind) -> Callable[..., int]:
    def act(**values: Any) -> int:
        return _submit(kind=kind.name, given=taken(values), **values)

    return act


class _KindCommand(click.Command):
    """Its help lists the parameters of the kind apart from the options of every kind."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both lists."""
        own = [each for each in self.params if _is_own(each)]
        _write_options(ctx, formatter, "Parameters", own)
        rest = [each for each in self.get_params(ctx) if not _is_own(each)]
        _write_options(ctx, formatter, "Options", rest)


def taken(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Remove the parameters that were given as options from the values of click.

    Returns:
        Name and text of each, as often as it was given.
    """
    found: list[tuple[str, str]] = []
    for key in [key for key in values if key.startswith(_PREFIX)]:
        name, value = key.removeprefix(_PREFIX), values.pop(key)
        if isinstance(value, bool):
            found.append((name, _TRUE if value else _FALSE))
        elif value is not None:
            found += [(name, text) for text in value]
    return found


def _option(parameter: Parameter) -> click.Option:
    """A parameter as an option; ``batch.arguments`` checks its text together with all others."""
    flag, key = parameter.name.replace("_", "-"), f"{_PREFIX}{parameter.name}"
    said = f"{parameter.help}  [{_takes(parameter)}]"
    if parameter.type == "bool":
        return click.Option([key, f"--{flag}/--no-{flag}"], default=None, help=said)
    # Multiple, so that a parameter given twice is a mistake instead of the last one winning.
    return click.Option([key, f"--{flag}"], multiple=True, metavar=_metavar(parameter), help=said)


def _metavar(parameter: Parameter) -> str:
    return {"int": "N", "float": "NUMBER", "list": "A,B,..."}.get(parameter.type, "TEXT")


def _takes(parameter: Parameter) -> str:
    """The values a parameter takes, and its default."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type == "list":
        low, high = parameter.part_minimum, parameter.part_maximum
    words = [
        ", ".join(parameter.choices),
        "" if low is None or high is None else f"{low:,} to {high:,}",
        parameter.shape,
        "no default"
        if parameter.default is None
        else f"default: {_default_text(parameter.default)}",
    ]
    return "; ".join(word for word in words if word)


def _default_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _kind_help(kind: JobKind) -> str:
    fewest, most = kind.inputs
    what = {"video": "a video", "tracks": "a video or an audio file", "image": "an image"}[
        kind.media
    ]
    if kind.lazy:
        what += ", or a folder or prefix of them"
    each = f"An INPUT is {what}: a path or an s3:// address."
    many = "Each is a job of its own."
    if most > 1:
        many = f"All inputs, {fewest:,} to {most:,} of them, are one job."
    last = "All mistakes are reported before anything is submitted."
    return f"{kind.summary}.\n\n{each} {many}\n\n{last}"


def _write_options(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    options: Sequence[click.Parameter],
) -> None:
    named = [each for each in options if isinstance(each, click.Option)]
    records = [record for each in named if (record := each.get_help_record(ctx)) is not None]
    with formatter.section(title):
        formatter.write_dl(records)


def _help_of(ctx: click.Context) -> click.Parameter:
    found = ctx.command.get_help_option(ctx)
    assert found is not None
    return found


def _is_own(option: click.Parameter) -> bool:
    return option.name is not None and option.name.startswith(_PREFIX)


def _hyphened(word: str) -> str:
    """``--max_seconds``, as --param spells it, is the same as ``--max-seconds``."""
    return word.replace("_", "-")


command = KindGroup(
    name="submit",
    epilog=_EPILOG,
    subcommand_metavar="KIND INPUT... [OPTIONS]",
    options_metavar="",
    help="""Submit heavy work, and print the ids of its jobs.

    An INPUT is a file, a folder, or an s3:// address. All mistakes are reported before anything is
    submitted: wrong parameters, missing inputs, inputs that the kind cannot take.
    """,
)
