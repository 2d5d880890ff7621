"""Colour conversion from a file's stored values to 8-bit sRGB (or Display P3) working pixels.

A picture is converted by its embedded profile, or by the primaries and transfer function that the
file declares (``domain.colour``). Both are lazy operations of libvips on the pixels that are left
after the first resize, so memory stays bounded.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyvips

from worker.domain.colour import CHROMATICITIES, Colour, Primaries, Transfer
from worker.imaging.plan import Conversion
from worker.imaging.primaries import conversion as primaries_conversion
from worker.imaging.primaries import to_d50

_DIRECT = {"srgb", "b-w"}
_LAB = {"lab", "labs", "labq"}

_TARGETS = {
    Conversion.SRGB: CHROMATICITIES[Primaries.BT709],
    Conversion.P3: CHROMATICITIES[Primaries.DISPLAY_P3],
}

HDR_UNIT = 40.0
"""cd/m2 that the curve of :func:`_tone_mapped` takes as 1. Videos take 100, which leaves a
dark surround's headroom: diffuse white of 203 cd/m2 (ITU-R BT.2408-7, table 1) becomes 193 of 255.
A still stands on a page among other stills: 40 brings what is not brighter than white back to
within 20 levels of 255."""

HDR_PEAK = 1000.0
"""Luminance in cd/m2 from which pixels become white: the nominal peak of HLG, which PQ stills and
videos are graded for."""

_HLG_GAMMA = 1.2
"""System gamma at a peak of 1000 cd/m2. ITU-R BT.2100-3, table 5 (HLG OOTF)."""


def to_working(
    image: pyvips.Image, conversion: Conversion, colour: Colour | None = None
) -> pyvips.Image:
    """Convert to the working space: 8 bits a channel, ``srgb`` or ``b-w``, alpha kept.

    16-bit, CMYK, Lab and palette pictures come out as 8-bit RGB or grey. An embedded profile is
    applied if the plan says so. A broken profile is ignored, as browsers do, because slightly wrong
    colours are better than no picture.

    Args:
        image: pixels in memory as the decoder gave them, with the profile still attached.
        conversion: from the plan.
        colour: from the plan: what the values mean, instead of the profile.
    """
    if colour is not None:
        image = from_values(image, conversion, colour)
    elif image.interpretation in _LAB:
        image = _from_lab(image)
    elif conversion is not Conversion.NONE:
        image = _through_profile(image, "p3" if conversion is Conversion.P3 else "srgb")
    if image.interpretation not in _DIRECT:
        grey = image.interpretation == "grey16"
        image = image.colourspace("b-w" if grey else "srgb")
    if image.format != "uchar":
        image = image.cast("uchar")
    return image


def _from_lab(image: pyvips.Image) -> pyvips.Image:
    """CIELAB of files, whose white is D50 (Adobe, TIFF technical notes) as in ICC profiles.

    libvips' own colour spaces have D65, by which saturated blues come out green.
    """
    if image.bands != 3:
        return image.colourspace("srgb")
    return image.colourspace("lab").icc_export(output_profile="srgb", intent="relative", depth=8)


def _through_profile(image: pyvips.Image, target: Literal["srgb", "p3"]) -> pyvips.Image:
    image, alpha = split_alpha(image)
    try:
        converted = icc_converted(image, target).copy_memory()
    except pyvips.Error:
        converted = image.colourspace("srgb")
    return converted if alpha is None else converted.bandjoin(alpha)


def icc_converted(image: pyvips.Image, target: Literal["srgb", "p3"]) -> pyvips.Image:
    """Colours without alpha by their embedded profile, or by the usual one, lazily.

    Relative colorimetric with black point compensation, the default of colour-managed browsers and
    photo editors.

    Raises:
        pyvips.Error: the profile is broken; some are only when pixels are pulled.
    """
    return image.icc_transform(
        target,
        embedded=True,
        input_profile="cmyk" if image.interpretation == "cmyk" else "srgb",
        intent="relative",
        black_point_compensation=True,
        depth=8,
    )


def split_alpha(image: pyvips.Image) -> tuple[pyvips.Image, pyvips.Image | None]:
    """Colours, and alpha in 8 bits if there is any."""
    if not image.hasalpha():
        return image, None
    alpha = image[image.bands - 1]
    if alpha.format == "ushort":
        alpha = (alpha >> 8).cast("uchar")
    return image[0 : image.bands - 1], alpha


@cache
def p3_profile() -> bytes:
    """The ICC profile of Display P3, as libvips ships it."""
    return bytes(pyvips.Operation.call("profile_load", "p3"))


# --- by what the file says its values are ---------------------------------------------------------


def from_values(image: pyvips.Image, conversion: Conversion, colour: Colour) -> pyvips.Image:
    """Convert 8 or 16-bit RGB or grey by its primaries and transfer function, line by line.

    Stored values to light, light of one set of primaries to that of the other, HDR through the
    curve that videos get, and back to values. Colours outside the resulting gamut are clipped
    channel by channel, as in a relative colorimetric conversion between such profiles.

    Args:
        image: ``uchar`` or ``ushort``.
        conversion: SRGB or P3, whose curve is that of sRGB, too.
        colour: what the values mean.
    """
    image, alpha = split_alpha(image)
    grey = image.bands == 1
    target = _TARGETS[conversion]
    if colour.xy != target or not colour.srgb_curve:
        light = image.maplut(_light_table(colour.transfer, colour.gamma, image.format))
        if colour.transfer is Transfer.HLG:
            light = _displayed(light, colour)
        if not grey:
            light = light.recomb(_matrix(primaries_conversion(colour.xy, target)))
        if colour.hdr:
            light = _tone_mapped(light)
        image = (light * 65535 + 0.5).cast("ushort").maplut(_value_table())
        image = image.copy(interpretation="b-w" if grey else "srgb")
    elif image.format == "ushort":
        image = image.colourspace("b-w" if grey else "srgb")
    return image if alpha is None else image.bandjoin(alpha)


def _tone_mapped(light: pyvips.Image) -> pyvips.Image:
    """HDR to SDR by the curve of videos (``worker.video.colours.to_bt709``), in light.

    The brightest of a pixel's channels goes through the curve and the others keep their ratio to
    it, as in ffmpeg's ``tonemap=hable:desat=0`` (libavfilter/vf_tonemap.c), so that bright colours
    do not change their hue. J. Hable, "Filmic Tonemapping Operators" (2010), the curve of
    Uncharted 2.

    Args:
        light: 1 is ``HDR_UNIT``.
    """
    brightest = light
    if light.bands > 1:
        brightest = light[0].maxpair(light[1]).maxpair(light[2])
    brightest = brightest.maxpair(pyvips.Image.black(1, 1).cast("float") + 1e-6)
    return light * (_hable(brightest) / brightest / _hable(HDR_PEAK / HDR_UNIT))


def _hable(x: pyvips.Image | float) -> pyvips.Image | float:
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    return (x * (x * a + c * b) + d * e) / (x * (x * a + b) + d * f) - e / f


def _displayed(scene: pyvips.Image, colour: Colour) -> pyvips.Image:
    """Light of a scene to light of a display of 1000 cd/m2, in units of ``HDR_UNIT``.

    ITU-R BT.2100-3, table 5: each channel times the luminance to the power of gamma - 1. (zscale,
    which videos go through, raises each channel by itself: greys are equal, colours stronger.)
    """
    luminance = scene
    if scene.bands > 1:
        luminance = scene.recomb(_matrix(to_d50(colour.xy)[1:2]))
    return scene * luminance ** (_HLG_GAMMA - 1) * (HDR_PEAK / HDR_UNIT)


@lru_cache(maxsize=16)
def _light_table(
    transfer: Transfer | None, gamma: float | None, kind: Literal["uchar", "ushort"]
) -> pyvips.Image:
    """Light of each stored value; white is 1, of PQ ``HDR_UNIT``, and HLG gives that of scenes."""
    values = np.linspace(0, 1, 256 if kind == "uchar" else 65536)
    return _table(_light(values, transfer, gamma).astype(np.float32), "float")


@cache
def _value_table() -> pyvips.Image:
    """sRGB values, 8 bits, of linear light in 16 bits. IEC 61966-2-1."""
    light = np.linspace(0, 1, 65536)
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return _table(np.rint(values * 255).astype(np.uint8), "uchar")


def _matrix(rows: npt.NDArray[np.float64]) -> pyvips.Image:
    return pyvips.Image.new_from_array(rows.tolist())


def _table(values: npt.NDArray[np.generic], kind: Literal["uchar", "float"]) -> pyvips.Image:
    return pyvips.Image.new_from_memory(values.tobytes(), values.size, 1, 1, kind)


def _light(
    v: npt.NDArray[np.float64], transfer: Transfer | None, gamma: float | None
) -> npt.NDArray[np.float64]:
    """ITU-T H.273, table 3; PQ and HLG as in ITU-R BT.2100-3, tables 4 and 5."""
    if transfer is Transfer.LINEAR:
        return v
    if gamma is not None:
        return np.asarray(v**gamma)
    if transfer is Transfer.SMPTE240M:
        return np.where(v < 4 * 0.0228, v / 4, ((v + 0.1115) / 1.1115) ** (1 / 0.45))
    if transfer is Transfer.SMPTE428:
        return np.asarray(v**2.6 * 52.37 / 48)
    if transfer is Transfer.PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = v ** (1 / m2)
        share = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
        return np.asarray(share * 10_000 / HDR_UNIT)
    if transfer is Transfer.HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
