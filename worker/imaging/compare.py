"""Two pictures side by side, as a person would see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.domain.image import Encoding, Format, Limits, Probe, Recipe, RenditionSpec
from worker.imaging.loaders import decoding, embedded_in
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe
from worker.imaging.pyramid import Pyramid
from worker.imaging.ssim import ssim

if TYPE_CHECKING:
    import pyvips

_WHOLE = Recipe(
    name="compare",
    version=1,
    renditions=(
        RenditionSpec(
            name="whole", width=2**20, frames=1, encodings=(Encoding(format=Format.PNG),)
        ),
    ),
)
"""One rendition as large as the picture: its scale is what is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How alike two pictures are."""

    ssim: float
    """Mean luma SSIM, see ``worker.imaging.ssim``; 1.0 for equal."""
    first: Probe
    second: Probe
    resized: bool
    """The second was resized to the first's size: they differ in pixels."""


def compare(first: bytes, second: bytes) -> Comparison:
    """Compare two pictures upright, in sRGB and by their first frames.

    Raises:
        Rejected: one of them cannot be decoded, or is over the usual limits.
    """
    found, pixels = _pixels(first)
    other, others = _pixels(second)
    resized = (pixels.width, pixels.height) != (others.width, others.height)
    with decoding():
        if resized:
            others = others.thumbnail_image(pixels.width, height=pixels.height, size="force")
        value = ssim(pixels, others)
    return Comparison(ssim=value, first=found, second=other, resized=resized)


def _pixels(data: bytes) -> tuple[Probe, pyvips.Image]:
    found = probe(data, Limits(), formats=_WHOLE.formats)
    plan = make_plan(found, _WHOLE)
    with decoding():
        pyramid = Pyramid(data, found, plan, embedded_in(data, found).icc)
        return found, pyramid.pixels(plan.steps[0].scale)
