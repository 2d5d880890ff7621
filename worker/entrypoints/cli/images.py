"""``safelight inspect``, ``plan``, ``compare``, ``repack`` and ``samples``: single images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.domain.errors import InputError
from worker.entrypoints.cli import output
from worker.services.process_files.wording import (
    camera_text,
    change_text,
    exposure_text,
    primaries_text,
    size_text,
    transfer_text,
)

if TYPE_CHECKING:
    from worker.domain.colour import Colour
    from worker.domain.image import ContentCredentials, GainMap, Metadata, Probe
    from worker.imaging.plan import Output, Plan, Step


# --- inspect ----------------------------------------------------------------------------------


_SAID_BY = {
    "cicp": "cicp (code points of the file)",
    "icc": "icc (embedded profile)",
    "srgb": "srgb (chunk of the PNG)",
    "gama": "gama (chunk of the PNG)",
    "nclx": "nclx (box of the file)",
    "bitstream": "bitstream (AV1 sequence header)",
    "exif": "exif",
    "default": "default (the file does not say)",
}


@click.command(name="inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect_command(*, file: Path, as_json: bool) -> int:
    """Show the format, colours and metadata of an image.

    Ends with 1 if it would be rejected; its header is shown all the same.
    """
    from worker.services import examine

    found = examine.inspect(file)
    if as_json:
        error = found.rejected
        output.print_json(
            {
                "source": str(file),
                "status": "rejected" if error else "accepted",
                "reason": {"code": error.code, "message": error.message} if error else None,
                "probe": _probe_json(found.probe) if found.probe else None,
                "metadata": asdict(found.metadata) if found.metadata else None,
            }
        )
        return output.REJECTED if error else 0
    console = output.console()
    rows = _header(found.probe) if found.probe is not None else []
    if found.metadata is not None:
        rows += _known(found.metadata)
    if rows:
        console.print(output.table(str(file), rows))
    if found.rejected is not None:
        output.print_error(found.rejected, as_json=False)
        return output.REJECTED
    return 0


def _probe_json(probe: Probe) -> dict[str, object]:
    plain = asdict(probe)
    plain["colour"]["hdr"] = probe.colour.hdr
    return plain


def _header(probe: Probe) -> list[tuple[str, object]]:
    turned = f", stored {probe.width} x {probe.height}" if probe.orientation >= 5 else ""
    duration = f"{probe.duration_ms / 1000:g} s" if probe.duration_ms else None
    return [
        ("format", probe.format.value + (", progressive" if probe.progressive else "")),
        ("size", size_text(probe.bytes)),
        ("pixels", f"{probe.upright_width} x {probe.upright_height}{turned}"),
        ("orientation", probe.orientation if probe.orientation != 1 else None),
        ("frames" if probe.animated else "pages", probe.frames if probe.frames > 1 else None),
        ("duration", duration),
        ("loops", ("for ever" if probe.loop == 0 else probe.loop) if probe.animated else None),
        ("colours", f"{probe.colour_space.value}, {probe.bit_depth} bit"),
        ("alpha", "yes" if probe.alpha else None),
        ("profile", probe.icc),
        ("primaries", primaries_text(probe.colour)),
        ("transfer", transfer_text(probe.colour)),
        ("colours said by", _SAID_BY[probe.colour.source]),
        ("hdr", "yes, renditions are tone-mapped" if probe.colour.hdr else None),
        ("gain map", _gain_map(probe.gain_map) if probe.gain_map else None),
        ("warnings", ", ".join(probe.warnings)),
    ]


def _gain_map(found: GainMap) -> str:
    parts = [found.kind.value]
    if found.width is not None:
        colours = ", in colours" if found.channels == 3 else ""
        parts.append(f"{found.width} x {found.height}{colours}")
    if found.headroom is not None:
        parts.append(f"headroom {found.headroom:.2f} stops")
    parts.append("recipes can keep it" if found.carriable else "no recipe can keep it")
    return ", ".join(parts)


def _credentials(found: ContentCredentials) -> str:
    count = "1 manifest" if found.manifests == 1 else f"{found.manifests} manifests"
    by = f" by {found.generator}" if found.generator else ""
    return f"C2PA, {count}{by}, not checked, {found.renditions} in renditions"


def _known(metadata: Metadata) -> list[tuple[str, object]]:
    tags, measures = metadata.tags, metadata.measures
    position = None
    if tags.gps is not None:
        height = f", {tags.gps.altitude:g} m" if tags.gps.altitude is not None else ""
        position = f"{tags.gps.latitude:.6f}, {tags.gps.longitude:.6f}{height}"
    return [
        ("title", tags.title),
        ("caption", tags.caption),
        ("keywords", ", ".join(tags.keywords)),
        ("taken", tags.taken_at),
        ("camera", camera_text(tags)),
        ("lens", tags.lens),
        ("exposure", exposure_text(tags)),
        ("flash", {True: "fired", False: "off", None: None}[tags.flash]),
        ("position", position),
        ("artist", tags.artist),
        ("copyright", tags.copyright),
        ("software", tags.software),
        (
            "content credentials",
            _credentials(metadata.credentials) if metadata.credentials else None,
        ),
        ("dominant colour", measures.dominant),
        ("palette", " ".join(measures.palette)),
        ("brightness", f"{measures.brightness:.3f}, contrast {measures.contrast:.3f}"),
        ("clipped", f"{measures.clipped_dark:.1%} dark, {measures.clipped_light:.1%} light"),
        ("sharpness", f"{measures.sharpness:.0f}"),
        ("placeholder", measures.thumbhash),
        ("perceptual hash", measures.phash),
        ("sha256", metadata.sha256),
    ]


# --- plan -------------------------------------------------------------------------------------


@click.command(name="plan")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--recipe",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="A shipped recipe, or a .toml file.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Only this rendition, or one file of it: large, large.webp. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_command(*, file: Path, recipe: str, only: tuple[str, ...], as_json: bool) -> None:
    """Show what would be made of an image, without making it."""
    from worker import recipes
    from worker.services import examine

    plan = examine.plan(file, recipes.load(recipe), only)
    if as_json:
        output.print_json({"source": str(file), "hash": plan.hash, "plan": plan.as_dict()})
        return
    for line in plan_lines(plan):
        click.echo(output.one_line(line))


def plan_lines(plan: Plan) -> list[str]:
    """Return a plan in words, one line a step."""
    decode = plan.decode
    said = [f"plan {plan.hash}: recipe {plan.recipe} {plan.recipe_version}"]
    details = [f"{decode.width} x {decode.height}"]
    if decode.shrink > 1:
        details.append(f"shrunk by {decode.shrink} while loading")
    if decode.scale != 1:
        details.append(f"rasterised at {decode.scale:g} times its size")
    if decode.frames > 1:
        details.append(f"{decode.frames} frames")
    if decode.orientation != 1:
        details.append(f"rotated upright from orientation {decode.orientation}")
    if decode.colour is not None:
        details.append(_colours(decode.colour))
    if decode.tone_map is not None:
        details.append(f"tone-mapped by {decode.tone_map}")
    if decode.conversion.value != "none":
        details.append(f"colours converted to {decode.conversion.value}")
    if decode.linear:
        details.append("resized in linear light")
    said.append(f"decode  {decode.format.value}, {', '.join(details)}")
    if plan.gain_map is not None:
        shrunk = f", shrunk by {plan.gain_map.shrink}" if plan.gain_map.shrink > 1 else ""
        said.append(f"decode  gain map, {plan.gain_map.width} x {plan.gain_map.height}{shrunk}")
    for index, scale in enumerate(plan.scales):
        source = "the decoded image" if scale.source is None else f"scale {scale.source}"
        use = ", measured for metadata" if index == plan.preview else ""
        said.append(f"scale {index} {scale.size.width} x {scale.size.height} from {source}{use}")
    first: dict[Step, str] = {}
    for step in plan.steps:
        duplicate = first.setdefault(step.appearance, step.name)
        same = "" if duplicate == step.name else f", the same image as {duplicate}"
        said.append(f"make    {step.name}: {_rendition_text(step)}{same}")
        said.extend(f"        {step.name}.{_output_text(item)}" for item in step.outputs)
    kept = ", ".join(tag.value for tag in plan.keep)
    said.append(f"keep    {kept or 'no metadata'}")
    return said


def _colours(colour: Colour) -> str:
    primaries, transfer = primaries_text(colour), transfer_text(colour)
    return f"read as {primaries} with {transfer} transfer ({colour.source.value})"


def _rendition_text(step: Step) -> str:
    geometry = step.geometry
    parts = [f"{geometry.size.width} x {geometry.size.height} of scale {step.scale}"]
    if geometry.crop is not None:
        parts.append(f"cut at {geometry.crop.left}, {geometry.crop.top}")
    if geometry.attention is not None:
        parts.append("cut around what attracts attention")
    if geometry.canvas is not None:
        parts.append(f"on {step.background} at {geometry.canvas.left}, {geometry.canvas.top}")
    if step.sharpen:
        parts.append(f"sharpened by {step.sharpen:g}")
    if step.watermark is not None:
        parts.append("watermarked")
    if step.gain_map is not None:
        parts.append(f"with a gain map of {step.gain_map.width} x {step.gain_map.height} in JPEG")
    if step.minimum_saving:
        parts.append(f"later formats kept if {step.minimum_saving:.0%} smaller")
    return ", ".join(parts)


def _output_text(item: Output) -> str:
    encoding = item.encoding
    if item.packs is not None:
        how = "the jpeg, packed without loss"
    elif encoding.lossless:
        how = "lossless"
    elif encoding.distance is not None:
        how = f"distance {encoding.distance:g}"
    elif encoding.target is not None:
        target = encoding.target
        how = (
            f"lowest quality with SSIM {target.ssim:g}"
            if target.ssim is not None
            else f"quality for SSIMULACRA2 {target.ssimulacra2:g}"
        )
    else:
        how = f"quality {encoding.quality}"
    frames = f", {item.frames} frames" if item.frames > 1 else ""
    return f"{encoding.format.extension}: {how}{frames}"


# --- compare ----------------------------------------------------------------------------------


@click.command(name="compare")
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare_command(*, first: Path, second: Path, as_json: bool) -> None:
    """Compare B with A: structural similarity (SSIM of luma, 1 is equal), bytes and size.

    Images are compared upright and in sRGB, animations by their first frame. If they differ in
    size, B is resized to A's size.
    """
    from worker.services import examine

    bytes_a, bytes_b, found = examine.compare(first, second)
    sides = ((first, bytes_a, found.first), (second, bytes_b, found.second))
    if as_json:
        sides_json = [
            {
                "source": str(path),
                "format": probe.format.value,
                "bytes": size,
                "width": probe.upright_width,
                "height": probe.upright_height,
            }
            for path, size, probe in sides
        ]
        output.print_json(
            {"ssim": found.ssim, "resized": found.resized, "a": sides_json[0], "b": sides_json[1]}
        )
        return
    for name, (path, size, probe) in zip("AB", sides, strict=True):
        pixels = f"{probe.upright_width} x {probe.upright_height}"
        facts = f"{probe.format.value}, {pixels}, {size_text(size)}"
        click.echo(f"{name}     {output.one_line(str(path))}: {facts}")
    note = " (B resized to A's size)" if found.resized else ""
    click.echo(f"SSIM  {found.ssim:.4f}{note}")
    click.echo(f"bytes B is {change_text(bytes_b, bytes_a)}")


# --- repack -----------------------------------------------------------------------------------


@click.command(name="repack")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the result; that of FILE unless given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def repack_command(*, file: Path, folder: Path | None, as_json: bool) -> None:
    """Pack a JPEG as JPEG XL without loss, or give back the JPEG that is packed in a JPEG XL.

    The JPEG comes back with every byte, metadata included. An existing file is replaced.
    """
    from worker.services import examine

    packed = examine.repack(file, folder or file.parent)
    if as_json:
        output.print_json(
            {
                "source": str(file),
                "out": str(packed.path),
                "format": packed.format.value,
                "bytes": packed.bytes,
                "sha256": packed.sha256,
            }
        )
        return
    change = change_text(packed.bytes, packed.source_bytes)
    click.echo(f"{output.one_line(str(packed.path))}: {size_text(packed.bytes)}, {change}")


# --- samples ----------------------------------------------------------------------------------


@click.command(name="samples")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print the paths as JSON.")
def samples_command(*, folder: Path, as_json: bool) -> None:
    """Write sample images to try things on: orientations, colours, animations, broken ones."""
    from worker.samples import write

    try:
        written = write(folder)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}", code="output_unwritable") from error
    if as_json:
        output.print_json([str(path) for path in written])
    else:
        from worker.samples.catalogue import describe

        click.echo(describe())
        click.echo(f"{len(written)} files in {output.one_line(str(folder))}")
