"""``safelight plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.entrypoints.cli import output
from worker.services.process_files.wording import primaries_text, transfer_text

if TYPE_CHECKING:
    from worker.domain.colour import Colour
    from worker.imaging.plan import Output, Plan, Step


@click.command(name="plan")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="A recipe that ships, or a .toml file.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="A rendition of the recipe, or one file of it: large, large.webp. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, file: Path, recipe: str, only: tuple[str, ...], as_json: bool) -> None:
    """Show what would be made of a picture, without making it."""
    from worker import recipes
    from worker.services import examine

    plan = examine.plan(file, recipes.load(recipe), only)
    if as_json:
        output.print_json({"source": str(file), "hash": plan.hash, "plan": plan.as_dict()})
        return
    for line in lines(plan):
        click.echo(output.one_line(line))


def lines(plan: Plan) -> list[str]:
    """Return a plan in words, one step a line."""
    decode = plan.decode
    said = [f"plan {plan.hash}: recipe {plan.recipe} {plan.recipe_version}"]
    details = [f"{decode.width} x {decode.height}"]
    if decode.shrink > 1:
        details.append(f"shrunk by {decode.shrink} while loading")
    if decode.scale != 1:
        details.append(f"drawn at {decode.scale:g} times its size")
    if decode.frames > 1:
        details.append(f"{decode.frames} frames")
    if decode.orientation != 1:
        details.append(f"turned upright from orientation {decode.orientation}")
    if decode.colour is not None:
        details.append(_colours(decode.colour))
    if decode.tone_map is not None:
        details.append(f"tone-mapped by {decode.tone_map}")
    if decode.conversion.value != "none":
        details.append(f"colours converted to {decode.conversion.value}")
    if decode.linear:
        details.append("resized in linear light")
    said.append(f"decode  {decode.format.value}, {', '.join(details)}")
    for index, scale in enumerate(plan.scales):
        source = "the decoded picture" if scale.source is None else f"scale {scale.source}"
        use = ", measured for metadata" if index == plan.preview else ""
        said.append(f"scale {index} {scale.size.width} x {scale.size.height} from {source}{use}")
    first: dict[Step, str] = {}
    for step in plan.steps:
        duplicate = first.setdefault(step.appearance, step.name)
        same = "" if duplicate == step.name else f", the same picture as {duplicate}"
        said.append(f"make    {step.name}: {_step(step)}{same}")
        said.extend(f"        {step.name}.{_output(item)}" for item in step.outputs)
    kept = ", ".join(tag.value for tag in plan.keep)
    said.append(f"keep    {kept or 'no metadata'}")
    return said


def _colours(colour: Colour) -> str:
    primaries, transfer = primaries_text(colour), transfer_text(colour)
    return f"read as {primaries} with {transfer} transfer ({colour.source.value})"


def _step(step: Step) -> str:
    geometry = step.geometry
    parts = [f"{geometry.size.width} x {geometry.size.height} of scale {step.scale}"]
    if geometry.crop is not None:
        parts.append(f"cut at {geometry.crop.left}, {geometry.crop.top}")
    if geometry.attention is not None:
        parts.append("cut where the eye goes")
    if geometry.canvas is not None:
        parts.append(f"on {step.background} at {geometry.canvas.left}, {geometry.canvas.top}")
    if step.sharpen:
        parts.append(f"sharpened by {step.sharpen:g}")
    if step.watermark is not None:
        parts.append("watermarked")
    if step.minimum_saving:
        parts.append(f"later formats kept if {step.minimum_saving:.0%} smaller")
    return ", ".join(parts)


def _output(item: Output) -> str:
    encoding = item.encoding
    if encoding.lossless:
        how = "lossless"
    elif encoding.target is not None:
        how = f"lowest quality with SSIM {encoding.target.ssim:g}"
    else:
        how = f"quality {encoding.quality}"
    frames = f", {item.frames} frames" if item.frames > 1 else ""
    return f"{encoding.format.extension}: {how}{frames}"
