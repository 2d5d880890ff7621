"""``safelight tune``: how much memory the ingest function should have, and on which processor."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.codec import plain
from worker.domain.errors import ConfigurationError, InputError
from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number
from worker.services.tuning_curve import (
    BALANCE,
    TOLERANCE,
    DurationCurve,
    Recommendation,
    Strategy,
    read,
    recommend,
    with_recommendation,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SIZES = (768, 1024, 1280, 1536, 1769, 2048, 2560, 3008)
IMAGE = "safelight:latest"


class Sizes(click.ParamType[tuple[int, ...]]):
    """Megabytes, separated by commas."""

    name = "sizes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The sizes. Raises ``BadParameter``: one is no whole number."""
        if not isinstance(value, str):
            return tuple(value)
        parts = [one.strip() for one in value.split(",")]
        if not all(one.isascii() and one.isdecimal() and len(one) < 7 for one in parts):
            self.fail(f"{value!r} is no list of megabytes, like 1024,1769", param, ctx)
        return tuple(map(int, parts))


@click.command(name="tune")
@click.argument("photos", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--stack",
    metavar="NAME",
    help="Measure on AWS, by the Lambda Power Tuning of this stack.  [default: here, in the image]",
)
@click.option(
    "--from",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Measure nothing; read a curve that --out has written. Twice: one for each architecture.",
)
@click.option(
    "--memory",
    type=Sizes(),
    default=SIZES,
    show_default="768,1024,1280,1536,1769,2048,2560,3008",
    metavar="MB,MB...",
    help="Sizes to measure.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Here: containers of each size, which all photos are uploaded to.",
)
@click.option(
    "--each",
    type=click.IntRange(5, 150),
    default=20,
    show_default=True,
    help="With --stack: invocations with each size.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Uploads in an invocation.",
)
@click.option("--image", default=IMAGE, show_default=True, help="Here: the image to measure.")
@click.option("--recipe", default="default", show_default=True, help="Here: the recipe.")
@click.option(
    "--strategy",
    type=click.Choice([one.value for one in Strategy]),
    default=Strategy.COST.value,
    show_default=True,
    help=f"What counts; within {TOLERANCE:.0%} of the best the other one does.",
)
@click.option(
    "--balance",
    type=Number(0, 1),
    default=BALANCE,
    show_default=True,
    help="With --strategy balanced: weight of the cost.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the curve as JSON, for --from and `safelight cost --durations`.",
)
@click.option(
    "--chart",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the curve to FILE, .svg or .png.",
)
@click.option(
    "--write",
    metavar="NAME",
    help="Set the recommended memory in pulumi/Pulumi.NAME.yaml, which nothing deploys by itself.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *,
    photos: tuple[Path, ...],
    stack: str | None,
    files: tuple[Path, ...],
    memory: tuple[int, ...],
    rounds: int,
    each: int,
    batch: int,
    image: str,
    recipe: str,
    strategy: str,
    balance: float,
    out: Path | None,
    chart: Path | None,
    write: str | None,
    as_json: bool,
) -> None:
    """Measure what an upload costs the ingest function by its memory, and recommend a size.

    PHOTOS are JPEG files and folders of them, like those that people upload. Each upload of them
    gets bytes of its own. Here the function runs in its image, with the processor time that comes
    with each size; with --stack on AWS.
    """
    if bool(photos) == bool(files):
        raise click.UsageError("name photos to measure with, or curves with --from")
    if len(files) > 2:
        raise click.UsageError("--from takes two curves at most")
    from worker.infra import stack_file

    # Before minutes of measuring, not after.
    target = stack_file.of_stack(write) if write is not None else None
    least = stack_file.least_memory(target.config if target is not None else {})
    if chart is not None:
        from worker.bench import tuning_chart

        tuning_chart.check(chart)
    if files:
        curves: Sequence[DurationCurve] = [read(path) for path in files]
    else:
        if max(memory) < least:
            raise InputError(
                f"no size of at least {least} MB, which the sandbox needs, is measured"
            )
        today = datetime.now(UTC).date().isoformat()
        say = (lambda _: None) if as_json else _say
        if stack is None:
            curve = _here(
                image,
                photos,
                memory,
                rounds=rounds,
                batch=batch,
                recipe=recipe,
                today=today,
                say=say,
            )
        else:
            curve = _on_aws(stack, photos, memory, each=each, batch=batch, today=today, say=say)
        curves = [curve]
    chosen = recommend(curves, _price, Strategy(strategy), balance=balance, least=least)
    curves = [with_recommendation(one, chosen) for one in curves]
    if out is not None:
        _save(out, written(curves[0]))
    if chart is not None:
        tuning_chart.draw(chart, curves, _price, chosen, least=least)
    if target is not None:
        _save(target.path, stack_file.changed(target, {"intake": _intake(curves, chosen)}))
    _tell(curves, chosen, least, None if target is None else target.path, as_json=as_json)


def _tell(
    curves: Sequence[DurationCurve],
    chosen: Recommendation,
    least: int,
    target: Path | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        output.print_json(
            {
                "curves": [_shown(one) for one in curves],
                "least": least,
                "recommended": plain(chosen),
                "written": None if target is None else str(target),
            }
        )
        return
    _print(curves, chosen, least)
    if target is not None:
        click.echo(f"{target} has it now; `pulumi up` deploys it")


def _here(
    image: str,
    photos: Sequence[Path],
    memory: Sequence[int],
    *,
    rounds: int,
    batch: int,
    recipe: str,
    today: str,
    say: Callable[[str], None],
) -> DurationCurve:
    from worker.bench import tuning
    from worker.services.tune import read_photos

    return tuning.measure(
        image,
        read_photos(photos),
        memory,
        rounds=rounds,
        batch=batch,
        recipe=recipe,
        today=today,
        say=say,
    )


def _on_aws(
    stack: str,
    photos: Sequence[Path],
    memory: Sequence[int],
    *,
    each: int,
    batch: int,
    today: str,
    say: Callable[[str], None],
) -> DurationCurve:
    from worker.adapters.aws import functions
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.stepfunctions import StepFunctionsWorkflows
    from worker.bootstrap import assemble
    from worker.infra import checkout, deployed
    from worker.services.tune import MACHINE, Tuning, read_photos
    from worker.settings import Settings

    found = read_photos(photos)
    outputs = deployed.pulumi_outputs(stack, checkout.folder())
    tuning = outputs.get("powerTuning")
    if not tuning:
        text = f"stack {stack} has no Power Tuning; deploy it with cost.powerTuning: true"
        raise ConfigurationError(text)
    environment = deployed.environment_of(outputs).values
    clients = AwsClients()
    app = assemble(Settings.from_environment(environment), clients)
    function = str(tuning["function"])
    return Tuning(
        store=app.store,
        catalog=app.catalog,
        runs=StepFunctionsWorkflows(clients, {MACHINE: str(tuning["machine"])}),
        facts=lambda: functions.facts(clients, function),
        erase=app.eraser().erase_all,
        function=function,
        bucket=app.settings.intake_bucket,
        run=f"{today}-{secrets.token_hex(3)}",
        say=say,
    ).measure(found, memory, each=each, batch=batch, today=today)


def _intake(curves: Sequence[DurationCurve], chosen: Recommendation) -> Mapping[str, object]:
    """The configuration to set. The architecture only if both were measured: images are built for
    one."""
    found: dict[str, object] = {"memory": chosen.memory}
    if len({one.architecture for one in curves}) == 2:
        found["architecture"] = chosen.architecture
    return found


def _save(path: Path, text: str) -> None:
    from worker.adapters.disk_errors import disk_call
    from worker.atomic import atomic_write

    with disk_call(path):
        atomic_write(path, text)


def _price(architecture: str) -> float:
    """US dollars of a gigabyte and second."""
    from worker import prices

    found = prices.load()[0]
    return found.gigabyte_second if architecture == "arm64" else found.gigabyte_second_x86


def _shown(curve: DurationCurve) -> dict[str, Any]:
    found: dict[str, Any] = plain(curve, defaults=True)
    for point, measured in zip(found["points"], curve.points, strict=True):
        point["usd_per_million"] = _million(curve, measured.memory)
    return found


def _million(curve: DurationCurve, memory: int) -> float:
    return 1e6 * curve.at(memory).gigabyte_seconds() * _price(curve.architecture)


def _print(curves: Sequence[DurationCurve], chosen: Recommendation, least: int) -> None:
    for curve in curves:
        photos = curve.photos
        click.echo(
            f"{curve.architecture}, {curve.where.value}, {curve.measured}: {photos.count} photos of"
            f" {photos.bytes / 1e6:.2f} MB and {photos.pixels / 1e6:.1f} megapixels, recipe"
            f" {curve.recipe}, batches of {curve.batch}"
        )
        rows = [
            [
                f"{one.memory:,}",
                str(one.uploads),
                f"{one.seconds:.3f} s",
                "" if one.longest is None else f"{one.longest:.3f} s",
                "" if one.cpu_seconds is None else f"{one.cpu_seconds:.3f} s",
                "" if one.init_seconds is None else f"{one.init_seconds:.2f} s",
                "" if one.peak is None else f"{one.peak} MB",
                f"${_million(curve, one.memory):.2f}",
                "<"
                if one.memory == chosen.memory and curve.architecture == chosen.architecture
                else "",
            ]
            for one in curve.points
        ]
        names = (
            "memory",
            "uploads",
            "an upload",
            "slowest",
            "cpu",
            "start",
            "peak",
            "a million",
            "best",
        )
        output.print_rows(names, (), rows)
        for size, text in curve.failed.items():
            click.echo(output.one_line(f"{size} MB failed: {text}"))
    click.echo(
        f"recommended: {chosen.memory:,} MB on {chosen.architecture}"
        f" (at least {least:,} MB, for the sandbox)"
    )
    if len({one.architecture for one in curves}) == 1:
        click.echo(
            "only one architecture was measured: a gigabyte-second of arm64 costs 0.8 of one of"
            " x86_64, so arm64 is cheaper unless it takes more than 1.25 times as long"
        )


def _say(text: str) -> None:
    click.echo(output.one_line(text), err=True)
