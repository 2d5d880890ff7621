"""``safelight cost``: the bill of a month, what a recipe costs, and what escalation costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from worker.entrypoints.cli import LazyGroup, output
from worker.entrypoints.cli.parameters import Number, Percent
from worker.prices import HOME
from worker.services.escalation_cost import Escalated, escalation

_COMMANDS = {
    "recipe": ("cost:recipe_command", "Measure what a recipe costs for a million uploads."),
    "escalation": ("cost:escalation_command", "Price a month of escalation, line by line."),
    "prices": ("cost_prices:group", "Show the prices; compare them with AWS's price list."),
    "report": ("cost_report:report", "Print what the work of a month has cost, by the ledger."),
    "resume": ("cost_report:resume", "Let work go on that the daily limit pauses."),
}


@click.group(
    name="cost",
    cls=LazyGroup,
    invoke_without_command=True,
    commands_at={
        name: (f"worker.entrypoints.cli.{at}", text) for name, (at, text) in _COMMANDS.items()
    },
)
@click.option(
    "--images-per-day",
    type=Number(0, 1e12),
    default=10_000_000,
    metavar="N",
    help="Pictures uploaded a day.  [default: 10,000,000]",
)
@click.option(
    "--mb",
    type=Number(0, 100_000),
    default=1.0,
    show_default=True,
    metavar="N",
    help="Millions of bytes of a picture.",
)
@click.option(
    "--views",
    type=Number(0, 1e9),
    default=3.0,
    show_default=True,
    metavar="N",
    help="Files of a picture that viewers get, in the month of its upload.",
)
@click.option(
    "--misses",
    type=Percent(),
    metavar="PERCENT",
    help="Share of the views that the edge fetches, if it was measured.  [default: by the views]",
)
@click.option(
    "--videos-per-day",
    type=Number(0, 1e9),
    default=0.0,
    metavar="N",
    help="Videos of a minute uploaded a day.  [default: 0]",
)
@click.option(
    "--month",
    type=click.IntRange(1, 1200),
    default=1,
    show_default=True,
    metavar="N",
    help="The month of steady uploads that the bill is of: storage adds up.",
)
@click.option(
    "--preset",
    default="prod",
    show_default=True,
    metavar="NAME",
    help="The Pulumi configuration that is priced.",
)
@click.option(
    "--region", default=HOME, show_default=True, metavar="REGION", help="Whose list prices."
)
@click.option(
    "--fill",
    is_flag=True,
    help=f"Take prices that are not known of the region from {HOME}; a note names them.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a choice of the preset: lazy=true. Again for more.",
)
@click.option(
    "--prices",
    "own",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Prices of your own, as TOML: put_request = 4e-6.",
)
@click.option(
    "--durations",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Durations that `safelight tune` has measured, in place of the assumed ones.",
)
@click.option(
    "--levers",
    is_flag=True,
    help="Also print each lever, the way from a naive design, plans, and what is uncertain.",
)
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the way from the naive design to FILE, .svg or .png.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def group(
    context: click.Context,
    *,
    images_per_day: float,
    mb: float,
    views: float,
    misses: float | None,
    videos_per_day: float,
    month: int,
    preset: str,
    region: str,
    fill: bool,
    settings: tuple[str, ...],
    own: Path | None,
    durations: Path | None,
    levers: bool,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Print the bill of a month, line by line, for a preset under a load.

    Each line is an amount x a price: list prices without any free tier, by worker/prices.toml.
    docs/cost.md explains them.
    """
    if context.invoked_subcommand is not None:
        return
    from worker.domain.bill import Traffic
    from worker.entrypoints.cli import cost_bill

    cost_bill.show(
        cost_bill.BillRequest(
            traffic=Traffic(
                images_per_day=images_per_day,
                megabytes=mb,
                views=views,
                misses=misses,
                videos_per_day=videos_per_day,
                month=month,
            ),
            preset=preset,
            region=region,
            fill=fill,
            settings=settings,
            own_prices=own,
            durations=durations,
            levers=levers,
            svg=svg,
        ),
        as_json=as_json,
    )


@click.command(name="recipe")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--recipe", default="default", show_default=True, metavar="NAME|FILE")
@click.option(
    "--viewed",
    type=Number(0, 100),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="Share of the files made at first view that anybody asks for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recipe_command(
    *, pictures: tuple[Path, ...], recipe: str, viewed: float, as_json: bool
) -> None:
    """Print what a recipe costs for a million uploads like PICTURES.

    It measures the engine on them: once as the recipe is, once with all files made at upload.
    """
    from worker import prices, recipes
    from worker.services.recipe_cost import compare

    price, need = prices.load()
    found = compare(pictures, recipes.load(recipe), viewed=viewed / 100, price=price, need=need)
    if as_json:
        output.print_json(asdict(found))
        return
    click.echo(
        f"{found.recipe}: {found.pictures} pictures measured; a million uploads like them, "
        f"{viewed:g} % of the files made at first view are viewed"
    )
    now, whole = found.as_it_is, found.all_at_upload
    rows = (
        ("files at upload, each", f"{now.files_at_upload:.1f}", f"{whole.files_at_upload:.1f}"),
        ("files at first view", f"{now.files_at_first_view:.1f}", "0.0"),
        ("CPU of the engine, each", f"{now.cpu_seconds:.2f} s", f"{whole.cpu_seconds:.2f} s"),
        ("compute", f"${now.compute_usd:,.2f}", f"${whole.compute_usd:,.2f}"),
        ("requests", f"${now.requests_usd:,.2f}", f"${whole.requests_usd:,.2f}"),
        (
            "storage of a month",
            f"${now.storage_month_usd:,.2f}",
            f"${whole.storage_month_usd:,.2f}",
        ),
    )
    click.echo(f"{'':26}{'as it is':>12}{'all at upload':>15}")
    for name, mine, theirs in rows:
        click.echo(f"{name:26}{mine:>12}{theirs:>15}")


@click.command(name="escalation")
@click.option(
    "--share",
    type=Percent(),
    default=0.01,
    show_default="1%",
    metavar="PERCENT",
    help="Of all uploads: what goes through the workflow.",
)
@click.option(
    "--daily",
    type=click.IntRange(1, 1_000_000_000),
    default=10_000_000,
    show_default=True,
    metavar="N",
    help="Uploads a day.",
)
@click.option(
    "--workflow",
    default="moderate",
    show_default=True,
    metavar="NAME|FILE",
    help="What they go through.",
)
@click.option(
    "--reviewed",
    type=Percent(),
    default=0.1,
    show_default="10%",
    metavar="PERCENT",
    help="Share of them that people decide. All, if no machine is asked.",
)
@click.option("--labels", is_flag=True, help="The recipe has [labels].")
@click.option(
    "--endpoints",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="Webhooks that hear of each event.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def escalation_command(
    *,
    share: float,
    daily: int,
    workflow: str,
    reviewed: float,
    labels: bool,
    endpoints: int,
    as_json: bool,
) -> None:
    """Print what a month of escalation costs.

    It counts the steps of the workflow and what they call, and prices each. What is not escalated
    takes no step.
    """
    from batch.workflows.compiler import compiled
    from worker import prices
    from worker.entrypoints.cli.cost_bill import text_of_line
    from worker.recipes.workflow import load

    price, need = prices.load()
    of = Escalated(
        uploads=daily * need.month_days,
        share=share,
        reviewed=reviewed,
        labels=labels,
        endpoints=endpoints,
    )
    chosen = load(workflow)
    found = escalation(compiled(chosen), of, workflow=chosen.name, price=price, need=need)
    if as_json:
        output.print_json(asdict(found) | {"total": found.total})
        return
    click.echo(
        f"{daily:,} uploads a day, {100 * of.share:.4g} % of them through the workflow "
        f"{found.workflow}, {100 * found.of.reviewed:.4g} % of those decided by people; "
        f"a month of {need.month_days:g} days"
    )
    for path in found.paths:
        click.echo(f"  {len(path.steps)} steps: {', '.join(path.steps)}")
    for line in found.lines:
        click.echo(text_of_line(line))
    click.echo(f"{'together':36}{f'${found.total:,.2f}':>58}")
    click.echo("What is not escalated: 0 state transitions, 0 questions to Rekognition")
