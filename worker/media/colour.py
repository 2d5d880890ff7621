"""Colour: from whatever a file stores to 8-bit sRGB (or Display P3) working pixels."""

from __future__ import annotations

from functools import cache
from typing import Literal

import pyvips

from worker.media.plan import Conversion

_DIRECT = {"srgb", "b-w"}


def to_working(image: pyvips.Image, conversion: Conversion) -> pyvips.Image:
    """Convert to the working space: 8 bits a channel, ``srgb`` or ``b-w``, alpha kept.

    16-bit, CMYK, Lab and palette pictures come out as 8-bit RGB or grey. An embedded profile is
    followed if the plan says so; a broken one is ignored, as browsers do, because a picture with
    slightly wrong colours serves people better than none.

    Args:
        image: pixels in memory as the decoder gave them, with the profile still attached.
        conversion: from the plan.
    """
    if conversion is not Conversion.NONE:
        image = _through_profile(image, "p3" if conversion is Conversion.P3 else "srgb")
    if image.interpretation not in _DIRECT:
        grey = image.interpretation == "grey16"
        image = image.colourspace("b-w" if grey else "srgb")
    if image.format != "uchar":
        image = image.cast("uchar")
    return image


def _through_profile(image: pyvips.Image, target: Literal["srgb", "p3"]) -> pyvips.Image:
    cmyk = image.interpretation == "cmyk"
    alpha = None
    if image.hasalpha():
        alpha = image[image.bands - 1]
        image = image[0 : image.bands - 1]
        if alpha.format == "ushort":
            alpha = (alpha >> 8).cast("uchar")
    try:
        # Relative colorimetric with black point compensation: what colour-managed browsers and
        # photo editors do by default.
        converted = image.icc_transform(
            target,
            embedded=True,
            input_profile="cmyk" if cmyk else "srgb",
            intent="relative",
            black_point_compensation=True,
            depth=8,
        ).copy_memory()
    except pyvips.Error:
        converted = image.colourspace("srgb")
    return converted if alpha is None else converted.bandjoin(alpha)


@cache
def p3_profile() -> bytes:
    """The ICC profile of Display P3, as libvips ships it."""
    return bytes(pyvips.Operation.call("profile_load", "p3"))
