"""``safelight recipes list | show | lint``."""

from __future__ import annotations

import click

from worker.entrypoints.cli import output


@click.group(name="recipes")
def group() -> None:
    """List, show and check recipes."""


@group.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, as_json: bool) -> None:
    """List the shipped recipes."""
    from worker import recipes

    loaded = [recipes.load(name) for name in recipes.shipped()]
    if as_json:
        output.print_json(
            [
                {
                    "name": recipe.name,
                    "version": recipe.version,
                    "description": recipe.description,
                    "digest": recipe.digest,
                    "renditions": [spec.name for spec in recipe.renditions],
                }
                for recipe in loaded
            ]
        )
        return
    width = max(len(recipe.name) for recipe in loaded)
    for recipe in loaded:
        click.echo(f"{recipe.name:{width}}  {recipe.description}")


@group.command()
@click.argument("name", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(*, name: str, as_json: bool) -> None:
    """Show a recipe with every default spelled out."""
    from worker import recipes

    recipe = recipes.load(name)
    if as_json:
        output.print_json({**recipes.as_dict(recipe), "digest": recipe.digest})
    else:
        click.echo(recipes.dump(recipe), nl=False)


@group.command()
@click.argument("name", metavar="FILE|NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lint(*, name: str, as_json: bool) -> int:
    """Check a recipe: print every mistake, or warnings about its use.

    Ends with 1 if the recipe has mistakes and cannot be used; with warnings it ends with 0.
    """
    from worker import recipes
    from worker.recipes import Severity

    findings = recipes.lint(name)
    if as_json:
        output.print_json(
            [{"severity": f.severity.value, "path": f.path, "message": f.message} for f in findings]
        )
    else:
        for finding in findings:
            colour = "red" if finding.severity is Severity.ERROR else "yellow"
            severity = click.style(finding.severity.value, fg=colour)
            click.echo(f"{severity}: {output.one_line(str(finding))}")
        if not findings:
            click.echo(f"{output.one_line(name)}: no problems")
    return output.REJECTED if any(f.severity is Severity.ERROR for f in findings) else 0
