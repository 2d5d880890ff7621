"""The work every contender does: the default recipe's ladder, as plain values for any language."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from worker import recipes
from worker.model import Encoding, Fit, Format, Recipe

SHIPPED = "default"
"""The recipe whose ladder is measured."""

USUAL_EFFORT = 4
"""What libwebp, libvips, sharp and Pillow use for WebP unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One size of the ladder."""

    name: str
    width: int
    height: int
    cover: bool
    """Fill the box and cut evenly; otherwise the whole picture inside the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Every rung as a progressive JPEG and a WebP. Nothing is ever enlarged."""

    rungs: tuple[Rung, ...]
    """Smallest first, as in the recipe."""
    jpeg_quality: int
    webp_quality: int
    webp_effort: int

    def with_effort(self, effort: int) -> Job:
        """The same job at another WebP effort, 0 to 6."""
        return replace(self, webp_effort=effort)

    def dump(self) -> str:
        """As JSON, for a child's command line."""
        return json.dumps(asdict(self), separators=(",", ":"))


def read(text: str) -> Job:
    """The job that :meth:`Job.dump` wrote."""
    values = json.loads(text)
    rungs = tuple(Rung(**rung) for rung in values.pop("rungs"))
    return Job(rungs=rungs, **values)


def recipe() -> Recipe:
    """The recipe as it ships."""
    return recipes.load(SHIPPED)


def of(measured: Recipe) -> Job:
    """The job that a recipe describes.

    Raises:
        ValueError: the recipe asks for something that not every contender does.
    """
    files = {
        (encoding.format, encoding.quality, encoding.effort, encoding.progressive)
        for spec in measured.renditions
        for encoding in _both(spec.encodings)
    }
    jpegs = [
        quality for form, quality, _, progressive in files if form is Format.JPEG and progressive
    ]
    webps = [(quality, effort) for form, quality, effort, _ in files if form is Format.WEBP]
    if len(jpegs) != 1 or len(webps) != 1:
        message = f"recipe {measured.name} has several qualities for one format"
        raise ValueError(message)
    rungs = []
    for spec in measured.renditions:
        if spec.width is None or spec.height is None or spec.fit not in {Fit.INSIDE, Fit.COVER}:
            message = f"rendition {spec.name} is neither cover nor inside a full box"
            raise ValueError(message)
        rungs.append(
            Rung(name=spec.name, width=spec.width, height=spec.height, cover=spec.fit is Fit.COVER)
        )
    return Job(
        rungs=tuple(rungs),
        jpeg_quality=jpegs[0],
        webp_quality=webps[0][0],
        webp_effort=webps[0][1],
    )


def _both(encodings: tuple[Encoding, ...]) -> tuple[Encoding, ...]:
    if {encoding.format for encoding in encodings} != {Format.JPEG, Format.WEBP}:
        message = "every rendition must be written as JPEG and as WebP"
        raise ValueError(message)
    return encodings
