"""Processes one picture: probe, plan, render, measure.

The command line, the ingest service and the sandbox call it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from worker.domain.errors import InputError
from worker.domain.image import (
    Dropped,
    FirstViewRendition,
    Format,
    Limits,
    Metadata,
    Probe,
    Recipe,
    Rendition,
    StoredRendition,
    Tags,
)
from worker.imaging import libjxl
from worker.imaging.formats.sniff import sniff
from worker.imaging.loaders import embedded_in
from worker.imaging.malloc import keep_memory
from worker.imaging.metadata import measure, read_credentials, read_tags, written_exif
from worker.imaging.plan import AllowedFile, Plan, make_plan, plan_file
from worker.imaging.probe import known, probe
from worker.imaging.render import render

_OURS = Limits(
    bytes=2_000_000_000,
    pixels=2_000_000_000,
    dimension=1_000_000,
    frames=100_000,
    animation_pixels=10_000_000_000,
    duration=86_400,
)
"""Limits of a stored rendition: the highest that any recipe allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedImage:
    """An accepted picture with its renditions and metadata."""

    probe: Probe
    plan: Plan
    metadata: Metadata
    renditions: tuple[Rendition, ...]
    dropped: tuple[Dropped, ...]
    first_view: tuple[FirstViewRendition, ...] = ()
    """Renditions that are made at their first view."""


def needs_sandbox(data: bytes) -> bool:
    """Whether :func:`process` must run in ``worker.subprocesses.sandbox`` from the first attempt
    on.

    Drawings are programs: a few bytes of SVG can ask for hours of drawing and for any amount of
    memory, within every limit that a header can be checked against. JPEG XL describes pixels by
    programs too (trees, splines, repeated details).
    """
    return sniff(data) in (Format.SVG, Format.JXL)


def get_ready() -> None:
    """Prepare a process that handles pictures one after the other; the import has loaded the
    rest."""
    keep_memory()


def process(
    data: bytes, recipe: Recipe, found: Probe | None = None, sha256: str = ""
) -> ProcessedImage:
    """Make all renditions of a recipe for one picture at upload.

    Args:
        data: the original, whole.
        recipe: what to accept and what to make.
        found: result of ``probe`` with the limits and formats of the recipe, if known.
        sha256: SHA-256 of ``data``, if known.

    Raises:
        Rejected: the picture can never succeed; ``reason`` says why, ``probe`` what it is, if
            that was found out.
    """
    found = found or probe(data, recipe.limits, formats=recipe.formats)
    with known(found):
        return _process(data, recipe, found, sha256)


def _process(data: bytes, recipe: Recipe, found: Probe, sha256: str) -> ProcessedImage:
    plan = make_plan(found, recipe, at_upload=True)
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
        first_view=_first_view(found, recipe),
    )


def _first_view(found: Probe, recipe: Recipe) -> tuple[FirstViewRendition, ...]:
    if not any(one.first_view for spec in recipe.renditions for one in spec.encodings):
        return ()
    return tuple(
        FirstViewRendition(
            name=step.name,
            format=output.encoding.format,
            width=step.geometry.size.width,
            height=step.geometry.size.height,
            frames=output.frames,
        )
        for step in make_plan(found, recipe).steps
        for output in step.outputs
        if output.encoding.first_view
    )


def make_file(
    data: bytes, file: AllowedFile, tags: Tags | None = None, original: Probe | None = None
) -> Rendition:
    """Make one file of an accepted picture, by the plan of ``plan_file``.

    Args:
        data: the stored rendition ``file.source``, or the original if that is None.
        file: which one.
        tags: tags of the original; the file carries those that the recipe keeps.
        original: probe of the original; needed only if ``data`` is a rendition.

    Raises:
        Rejected: ``data`` cannot be decoded, or is not what was accepted.
        InputError: ``source_unsuitable``: the file is not made from ``file.source``.
    """
    recipe = file.recipe
    exif = None if tags is None else written_exif(tags, recipe.keep)
    if file.source is None or original is None:
        found = probe(data, recipe.limits, formats=recipe.formats)
        plan = plan_file(found, file)
    else:
        plan = plan_file(original, file, [file.source])
        if plan.source is None:
            raise InputError(f"{file.source.name} gives no {file.name}", code="source_unsuitable")
        found = probe(data, _OURS, formats=frozenset(Format))
    with known(found):
        icc = embedded_in(data, found).icc
        rendered = render(data, found, plan, assets=recipe.assets, exif=exif, icc=icc)
    return rendered.renditions[0]


def repacked(data: bytes, jpeg: StoredRendition, effort: int) -> Rendition:
    """A stored JPEG packed as JPEG XL without loss.

    Raises:
        Rejected: it cannot be packed.
    """
    packed = libjxl.repack(data, effort=effort)
    return Rendition(
        name=jpeg.name,
        format=Format.JXL,
        width=jpeg.width,
        height=jpeg.height,
        frames=1,
        data=packed,
        sha256=hashlib.sha256(packed).hexdigest(),
        quality=jpeg.quality,
    )
