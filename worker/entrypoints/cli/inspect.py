"""``safelight inspect``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.entrypoints.cli import output
from worker.services.process_files.wording import (
    camera_text,
    exposure_text,
    primaries_text,
    size_text,
    transfer_text,
)

if TYPE_CHECKING:
    from worker.domain.image import Metadata, Probe

_SAID_BY = {
    "cicp": "cicp (chunk of the PNG)",
    "icc": "icc (embedded profile)",
    "srgb": "srgb (chunk of the PNG)",
    "gama": "gama (chunk of the PNG)",
    "nclx": "nclx (box of the file)",
    "bitstream": "bitstream (AV1 sequence header)",
    "exif": "exif",
    "default": "default (the file says nothing)",
}


@click.command(name="inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(*, file: Path, as_json: bool) -> int:
    """Show what a picture is and what is known about it.

    Ends with 1 if it would be rejected; what its header says is shown all the same.
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
        ("warnings", ", ".join(probe.warnings)),
    ]


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
        ("dominant colour", measures.dominant),
        ("palette", " ".join(measures.palette)),
        ("brightness", f"{measures.brightness:.3f}, contrast {measures.contrast:.3f}"),
        ("clipped", f"{measures.clipped_dark:.1%} dark, {measures.clipped_light:.1%} light"),
        ("sharpness", f"{measures.sharpness:.0f}"),
        ("placeholder", measures.thumbhash),
        ("perceptual hash", measures.phash),
        ("sha256", metadata.sha256),
    ]
