"""``safelight cost``: what a recipe costs, what first views save, and what escalation costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number, Percent
from worker.services.escalation_cost import Escalated, escalation


@click.command(name="cost")
@click.argument("pictures", nargs=-1, type=click.Path(path_type=Path))
@click.option("--recipe", default="default", show_default=True, metavar="NAME|FILE")
@click.option(
    "--viewed",
    type=Number(0, 100),
    default=10,
    show_default=True,
    metavar="PERCENT",
    help="Share of the files made at first view that anybody asks for.",
)
@click.option(
    "--escalated",
    type=Percent(),
    metavar="PERCENT",
    help="Print what a month of escalation costs, of this share of all uploads: 1%.",
)
@click.option(
    "--daily",
    type=click.IntRange(1, 1_000_000_000),
    default=10_000_000,
    show_default=True,
    metavar="N",
    help="With --escalated: uploads a day.",
)
@click.option(
    "--workflow",
    default="moderate",
    show_default=True,
    metavar="NAME|FILE",
    help="With --escalated: what they go through.",
)
@click.option(
    "--reviewed",
    type=Percent(),
    default=0.1,
    show_default="10%",
    metavar="PERCENT",
    help="With --escalated: share of them that people decide. All, if no machine is asked.",
)
@click.option("--labels", is_flag=True, help="With --escalated: the recipe has [labels].")
@click.option(
    "--endpoints",
    type=click.IntRange(0, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="With --escalated: webhooks that hear of each event.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *,
    pictures: tuple[Path, ...],
    recipe: str,
    viewed: float,
    escalated: float | None,
    daily: int,
    workflow: str,
    reviewed: float,
    labels: bool,
    endpoints: int,
    as_json: bool,
) -> None:
    """Print what a recipe costs for a million uploads like PICTURES, or what escalation costs.

    With PICTURES it measures the engine on them: once as the recipe is, once with all files made
    at upload. With --escalated it counts the steps of the workflow and what they call, and prices
    a month line by line; what is not escalated takes no step.
    """
    if (escalated is None) == (not pictures):
        raise click.UsageError("name pictures, or give --escalated")
    if escalated is not None:
        of = Escalated(
            daily=daily, share=escalated, reviewed=reviewed, labels=labels, endpoints=endpoints
        )
        _print_escalation(workflow, of, as_json=as_json)
        return
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


def _print_escalation(name: str, of: Escalated, *, as_json: bool) -> None:
    from batch.workflows.compiler import compiled
    from worker import prices
    from worker.recipes.workflow import load

    price, need = prices.load()
    workflow = load(name)
    found = escalation(compiled(workflow), of, workflow=workflow.name, price=price, need=need)
    if as_json:
        output.print_json(asdict(found) | {"total": found.total})
        return
    click.echo(
        f"{of.daily:,} uploads a day, {100 * of.share:.4g} % of them through the workflow "
        f"{found.workflow}, {100 * found.of.reviewed:.4g} % of those decided by people; "
        f"a month of {need.month_days:g} days"
    )
    for path in found.paths:
        click.echo(f"  {len(path.steps)} steps: {', '.join(path.steps)}")
    for line in found.lines:
        what = f"{line.amount:,.0f} {line.unit}"
        click.echo(f"{line.name:36}{what:>30}{f'${line.usd:,.2f}':>14}")
    click.echo(f"{'together':66}{f'${found.total:,.2f}':>14}")
    click.echo("What is not escalated: 0 state transitions, 0 questions to Rekognition")
