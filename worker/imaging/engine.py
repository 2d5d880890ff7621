"""One picture from bytes to everything: probe, plan, render, describe.

The command line, the ingest service and the sandbox call it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from worker.domain.image import Dropped, Format, Metadata, Probe, Recipe, Rendition
from worker.imaging.formats.sniff import sniff
from worker.imaging.loaders import embedded_in
from worker.imaging.metadata import measure, read_credentials, read_tags, written_exif
from worker.imaging.plan import Plan, make_plan
from worker.imaging.probe import known, probe
from worker.imaging.render import render


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedImage:
    """An accepted picture and all that was made of it."""

    probe: Probe
    plan: Plan
    metadata: Metadata
    renditions: tuple[Rendition, ...]
    dropped: tuple[Dropped, ...]


def needs_sandbox(data: bytes) -> bool:
    """Whether :func:`process` must run in ``worker.subprocesses.sandbox`` from the first try on.

    Drawings are programs: a few bytes of SVG can ask for hours of drawing and for any amount of
    memory, within every limit that a header can be checked against. JPEG XL describes pixels by
    programs too (trees, splines, repeated details).
    """
    return sniff(data) in (Format.SVG, Format.JXL)


def process(
    data: bytes, recipe: Recipe, found: Probe | None = None, sha256: str = ""
) -> ProcessedImage:
    """Do everything a recipe asks for with one picture.

    Args:
        data: the original, whole.
        recipe: what to accept and what to make.
        found: what ``probe`` says of it by the limits and formats of the recipe, if known.
        sha256: of ``data``, if known.

    Raises:
        Rejected: the picture can never succeed; ``reason`` says why, ``probe`` what it is, if
            that was found out.
    """
    found = found or probe(data, recipe.limits, formats=recipe.formats)
    with known(found):
        return _process(data, recipe, found, sha256)


def _process(data: bytes, recipe: Recipe, found: Probe, sha256: str) -> ProcessedImage:
    plan = make_plan(found, recipe)
    embedded = embedded_in(data, found)
    tags = read_tags(embedded.exif, embedded.xmp, embedded.iptc)
    exif = written_exif(tags, recipe.keep)
    rendered = render(data, found, plan, assets=recipe.assets, exif=exif, icc=embedded.icc)
    assert rendered.preview is not None  # a whole plan has one
    metadata = Metadata(
        sha256=sha256 or hashlib.sha256(data).hexdigest(),
        icc=found.icc,
        tags=tags,
        measures=measure(rendered.preview),
        credentials=read_credentials(data, found.format),
    )
    return ProcessedImage(
        probe=replace(found, warnings=(*found.warnings, *rendered.warnings)),
        plan=plan,
        metadata=metadata,
        renditions=rendered.renditions,
        dropped=rendered.dropped,
    )
