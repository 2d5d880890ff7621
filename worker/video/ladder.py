"""The steps of a ladder: which sizes, codecs and rates a video is encoded to.

What lives here: pure choice from the size and frame rate of the source. What may not: reading a
file, command lines (``encode``), playlists (``package``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise


class Codec(StrEnum):
    """A video codec that steps can be encoded with."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step: one size in one codec."""

    name: str
    """``720p`` in H.264, ``720p-av1`` in others: a folder and a file name."""
    codec: Codec
    width: int
    height: int
    """Pixels; even, square, upright."""
    quality: int
    """Constant rate factor of the codec's encoder; lower is better."""
    kilobits: int
    """Average kilobits a second that it may come to; 0 is without a bound."""


QUALITY = {Codec.H264: 23, Codec.HEVC: 28, Codec.AV1: 35}
"""The encoders' own defaults (x264, x265, SVT-AV1), which look about alike."""

_H264_RATES = (
    (416 * 234, 145),
    (640 * 360, 365),
    (768 * 432, 1100),
    (960 * 540, 2000),
    (1280 * 720, 4500),
    (1920 * 1080, 7800),
)
_HEVC_RATES = (
    (640 * 360, 145),
    (768 * 432, 300),
    (960 * 540, 1600),
    (1280 * 720, 3400),
    (1920 * 1080, 5800),
    (2560 * 1440, 8100),
    (3840 * 2160, 16800),
)
"""(Pixels, average kilobits a second): "HLS authoring specification for Apple devices", tables of
video bit rates, the highest row of each size. They bound what the quality asks for."""

_LEAST_STEP = 1.2
"""A source this much larger than the largest listed step below it gets a step of its own."""
_AV1_LEAST = 64
"""SVT-AV1 takes no side shorter than this, pixels."""


def choose(
    width: int, height: int, *, heights: Sequence[int], codecs: Sequence[Codec]
) -> tuple[Rung, ...]:
    """The ladder of a source, largest first, in the order of ``codecs``.

    A step is named by its shorter side, so 720p is as sharp upright as it is lying. Nothing is
    enlarged: odd sides lose their last line, because 4:2:0 has one colour sample for two.

    Args:
        width: of the source as it is shown: upright, pixels made square.
        height: likewise.
        heights: shorter sides that are wanted; those above the source are left out.
        codecs: each gets every step.

    Returns:
        At least one step for each codec, except that AV1 has none below 64 pixels.
    """
    short = min(width, height)
    most = max(heights)
    fitting = sorted({side for side in heights if side <= short}, reverse=True)
    if short <= most and (not fitting or short >= fitting[0] * _LEAST_STEP):
        fitting.insert(0, short)
    sizes = dict.fromkeys(_size(width, height, side) for side in fitting or [most])
    return tuple(
        Rung(
            name=_name(min(size), codec),
            codec=codec,
            width=size[0],
            height=size[1],
            quality=QUALITY[codec],
            kilobits=kilobits(size[0] * size[1], codec),
        )
        for codec in codecs
        for size in sizes
        if codec is not Codec.AV1 or min(size) >= _AV1_LEAST
    )


def _size(width: int, height: int, side: int) -> tuple[int, int]:
    """The even size with ``side`` as its shorter one, of the same shape, within the source."""
    scale = Fraction(side, min(width, height))
    return _even(width * scale, width), _even(height * scale, height)


def _even(value: Fraction, most: int) -> int:
    """The nearest even number that is at most ``most``; 2 is the least there is."""
    return max(2, min(2 * round(value / 2), most // 2 * 2))


def _name(side: int, codec: Codec) -> str:
    return f"{side}p" if codec is Codec.H264 else f"{side}p-{codec}"


def kilobits(pixels: int, codec: Codec) -> int:
    """The average rate a step of that many pixels may come to, from the published table.

    Between two rows it follows the straight line on logarithmic scales, outside of them the
    nearest two rows. There is no table for AV1: its encoder's quality decides alone.
    """
    if codec is Codec.AV1:
        return 0
    rows = _H264_RATES if codec is Codec.H264 else _HEVC_RATES
    for (small, low), (large, high) in pairwise(rows):
        if pixels <= large or (large, high) == rows[-1]:
            share = math.log(pixels / small) / math.log(large / small)
            return max(64, round(low * math.pow(high / low, share)))
    raise AssertionError  # the last pair of rows always returns


_NTSC = Fraction(1000, 1001)
_COMMON_RATES: tuple[Fraction, ...] = (
    *(24 * _NTSC, 30 * _NTSC, 60 * _NTSC),
    *(Fraction(rate) for rate in (24, 25, 30, 48, 50, 60)),
)


def nearest_common(rate: float, *, tolerance: float) -> Fraction:
    """The usual frame rate next to a measured one, or the measured one as a short fraction."""
    best = min(_COMMON_RATES, key=lambda common: abs(float(common) - rate))
    if abs(float(best) - rate) <= tolerance * rate:
        return best
    return max(Fraction(rate).limit_denominator(100), Fraction(1, 100))


def lower(rate: Fraction, most: float) -> Fraction:
    """The rate divided by the least whole number that brings it to ``most`` or below.

    Every second or third picture is kept then, which moves evenly; other rates would judder.
    """
    return rate / max(1, math.ceil(rate / Fraction(most).limit_denominator(1001)))
