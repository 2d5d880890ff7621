"""Compares two pictures as a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.image import Limits, Probe
from worker.imaging.loaders import decoding
from worker.imaging.probe import probe
from worker.imaging.pyramid import WHOLE, whole_picture
from worker.imaging.ssim import ssim


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The similarity of two pictures."""

    ssim: float
    """Mean luma SSIM, see ``worker.imaging.ssim``; 1.0 for equal."""
    first: Probe
    second: Probe
    resized: bool
    """Whether the second picture was resized to the size of the first."""


def compare(first: bytes, second: bytes) -> Comparison:
    """Compare two pictures upright, in sRGB and by their first frames.

    Raises:
        Rejected: one of them cannot be decoded, or is over the usual limits.
    """
    found, other = (probe(data, Limits(), formats=WHOLE.formats) for data in (first, second))
    pixels, others = whole_picture(first, found), whole_picture(second, other)
    resized = (pixels.width, pixels.height) != (others.width, others.height)
    with decoding():
        if resized:
            others = others.thumbnail_image(pixels.width, height=pixels.height, size="force")
        value = ssim(pixels, others)
    return Comparison(ssim=value, first=found, second=other, resized=resized)
