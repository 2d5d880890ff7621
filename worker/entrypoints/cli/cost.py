"""``safelight cost``: what a recipe costs, and what first views save."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from worker.entrypoints.cli import output
from worker.entrypoints.cli.parameters import Number


@click.command(name="cost")
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
def command(*, pictures: tuple[Path, ...], recipe: str, viewed: float, as_json: bool) -> None:
    """Print what a recipe costs for a million uploads like PICTURES.

    Measures the engine on them: once as the recipe is, once with all files made at upload.
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
