"""Find the quality that looks as a recipe asks, instead of guessing one for all pictures.

A target of SSIM halves the range of qualities (``search``): it grows with quality, so that at most
``ceil(log2(range)) + 1`` trials are encoded and measured whole, 7 for the widest range.

A target of SSIMULACRA2 costs less (``find``). How hard a picture is to compress is a factor beside
the format's usual curve. It is predicted from the files of the picture that were made before, else
from sixteen tiles encoded as one small picture. The file of that quality is measured, and made once
more if it is off. The measure takes its two finest scales from the tiles and the coarse ones from
the whole: tiles alone are 5 points off at worst, because few places decide the coarse scales, which
are cheap to compare whole.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyvips
import simplejpeg
from PIL import Image

from worker.domain.image import Encoding, Format, QualityTarget
from worker.imaging.encode import Extras, Picture, encode, flattened
from worker.imaging.loaders import open_image
from worker.imaging.probe import probe
from worker.imaging.rejections import UNLIMITED
from worker.imaging.ssim import reference
from worker.imaging.ssimulacra2 import COARSE, FINE, ScoreReference, scaled

Pixels = npt.NDArray[np.uint8]

TOLERANCE = 1.5
"""Points of SSIMULACRA2 within which a target counts as met."""

_CORRECT = 1.2
"""A file that is further from its target than this is made once more."""

_NEAR = 2.5
"""Points over which a curve foretells the score of a large picture to half a point: a file that is
made once more is measured again only after a larger step."""

_TRIALS = 3
"""Files that are measured, at most."""

_TILE = 64
"""Pixels; a multiple of the blocks of JPEG and WebP, so that tiles encode alike."""
_TILES = 16

KNOTS: Final = (10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 100)
"""Qualities of the curves."""
CURVES: Final[Mapping[Format, Sequence[float]]] = MappingProxyType(
    {
        Format.JPEG: (-8.5, 25.9, 42.0, 51.5, 57.8, 63.1, 68.9, 75.8, 79.7, 83.4, 87.4, 90.1),
        Format.WEBP: (20.9, 35.0, 44.6, 51.6, 56.9, 61.3, 64.9, 71.6, 76.2, 80.9, 85.1, 87.5),
        Format.JXL: (10.1, 33.0, 47.1, 51.6, 57.3, 63.4, 69.6, 76.1, 82.0, 85.7, 91.0, 97.1),
        Format.AVIF: (-6.6, 13.1, 30.7, 48.2, 62.5, 72.0, 78.4, 83.5, 85.1, 90.1, 92.6, 96.8),
    }
)
"""Mean SSIMULACRA2 of a format at each of ``KNOTS``, by ``worker.bench.fit_quality`` from
nine photos at 1024 pixels. The distance of a picture's own curve from 100 is that of this one
times a factor of its own."""

BIAS: Final[Mapping[Format, float]] = MappingProxyType(
    {Format.JPEG: 0.944, Format.WEBP: 0.932, Format.JXL: 0.906, Format.AVIF: 0.932}
)
"""The distance of a picture of tiles from 100 over that of the whole, on average at the qualities
60 to 90, by the same script."""


_OF_BEFORE, _OF_CHANGE, _OF_OTHERS = 0.85, 0.6, 0.55
"""Shares that make a format's next factor: of its factor at another size, of the change that other
formats saw since, of the factors of others alone."""
_DRIFT: Final[Mapping[Format, float]] = MappingProxyType(
    {Format.JPEG: -0.07, Format.WEBP: 0.05, Format.JXL: 0.0, Format.AVIF: 0.0}
)
"""Of a factor from one size to the next. These and the shares are fitted to 33 photos at targets of
70 to 80: then half of the files of 1024 and 2048 pixels are right at once."""

_MORE_OF_TILES = 1.05
"""Fine scales of the whole over those of tiles, on the same photos: tiles miss the worst spots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityResult:
    """Result of a search."""

    quality: int
    ssim: float
    """Of the encoding at ``quality``; below the target only if even the maximum misses it."""
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFile:
    """A file made for a target of SSIMULACRA2."""

    quality: int
    data: bytes
    """The first frame in it, with all extras."""
    score: float
    """Of that quality: measured, or told by the curve from a quality nearby."""
    missed: bool
    """More than :data:`TOLERANCE` below the target."""


@dataclass(slots=True)
class Factors:
    """How hard a picture is to compress, by format: the logarithm of its distance from 100 over the
    usual one. Kept from one rendition of a picture to the next."""

    before: dict[Format, float] = field(default_factory=dict)
    """Of earlier renditions, the last one counts."""
    now: dict[Format, float] = field(default_factory=dict)

    def next_rendition(self) -> None:
        """Another size of the same picture comes."""
        self.before |= self.now
        self.now = {}

    def predicted(self, kind: Format) -> float | None:
        """Of a format that comes next; None if nothing is known of the picture."""
        shares = _OF_BEFORE, _OF_CHANGE, _OF_OTHERS
        if kind in self.before:
            changes = [self.now[one] - self.before[one] for one in self.now if one in self.before]
            change = shares[1] * _mean(changes) if changes else 0.0
            return shares[0] * self.before[kind] + change + _DRIFT[kind]
        return shares[2] * _mean(self.now.values()) if self.now else None


def _mean(values: Collection[float]) -> float:
    """``fmean``, whose module would cost each cold start of ingest 2 ms."""
    return math.fsum(values) / len(values)


class QualitySample:
    """The reference pixels of a rendition, made once for all its formats."""

    def __init__(self, picture: Picture, factors: Factors | None = None) -> None:
        """Take the first frame, without transparency.

        Args:
            picture: the rendition.
            factors: those that earlier renditions of the picture gave.
        """
        self.factors = Factors() if factors is None else factors
        self.factors.next_rendition()
        self._background = picture.background
        self._transparent = picture.transparent
        pixels = _array(flattened(picture.frames[0], picture.background))
        self._places = _tiles(pixels)
        self.large = bool(self._places)
        """Whether the two finest scales are measured on tiles."""
        tiles = self._cut(pixels)
        self._fine = ScoreReference(tiles, FINE)
        self._coarse = ScoreReference(pixels, COARSE)
        self._picture = Picture([as_image(tiles)])

    def of_tiles(self, encoding: Encoding, quality: int) -> float:
        """The score of the tiles as a picture of their own."""
        data = encode(self._picture, encoding, quality, Extras())
        tiles = decoded(data, encoding.format)
        if not self._places:
            return scaled(self._fine.distance(tiles) + self._coarse.distance(tiles))
        return self._whole_tiles.score(tiles)

    def score(self, data: bytes, kind: Format) -> float:
        """SSIMULACRA2 of a whole file, its two finest scales on the tiles."""
        if self._transparent:
            pixels = _array(flattened(_decoded(data, kind), self._background))
        else:
            pixels = decoded(data, kind)
        fine = self._fine.distance(self._cut(pixels)) * (_MORE_OF_TILES if self.large else 1)
        return scaled(fine + self._coarse.distance(pixels))

    @cached_property
    def _whole_tiles(self) -> ScoreReference:
        return ScoreReference(_array(self._picture.frames[0]))

    def _cut(self, pixels: Pixels) -> Pixels:
        """The tiles as one picture; the whole if it is no larger."""
        if not self._places:
            return pixels
        tiles = [pixels[top : top + _TILE, left : left + _TILE] for top, left in self._places]
        return np.vstack([np.hstack(tiles[row : row + 4]) for row in range(0, _TILES, 4)])


def find(
    picture: Picture,
    encoding: Encoding,
    target: QualityTarget,
    extras: Extras,
    sample: QualitySample,
) -> TargetFile:
    """The file whose SSIMULACRA2 is nearest to the target: predicted, measured, corrected once.

    JPEG is measured as a baseline file: the same pixels as a progressive one in a third of the CPU.

    Args:
        picture: the rendition; of an animation the first frame is looked at.
        encoding: format and effort.
        target: the score to meet and the range of qualities.
        extras: what the file carries beside its pixels.
        sample: of the same picture.
    """
    wanted = target.ssimulacra2
    assert wanted is not None
    kind = encoding.format
    stand_in = replace(encoding, progressive=False) if kind is Format.JPEG else encoding

    def bounded(factor: float) -> int:
        quality = _quality(kind, 100 - (100 - wanted) / math.exp(factor))
        return min(target.maximum, max(target.minimum, round(quality)))

    tried: dict[int, tuple[float, bytes]] = {}
    factor = _first_factor(sample, stand_in, bounded(0.0))
    while True:
        quality = bounded(factor)
        data = encode(picture, stand_in, quality, extras)
        score = sample.score(data, kind)
        tried[quality] = score, data
        factor = sample.factors.now[kind] = _factor(kind, quality, score)
        better, off = bounded(factor), abs(score - wanted)
        if better in tried or len(tried) == _TRIALS:
            quality, score, data = _best(tried, wanted)
            break
        if off <= _CORRECT and stand_in == encoding:
            break
        if off <= (_NEAR if sample.large else _CORRECT):
            quality, data = better, b""
            score = 100 - math.exp(factor) * (100 - _usual(kind, better))
            break
    if not data or stand_in != encoding:
        data = encode(picture, encoding, quality, extras)
    return TargetFile(quality=quality, data=data, score=score, missed=score < wanted - TOLERANCE)


def _best(tried: Mapping[int, tuple[float, bytes]], wanted: float) -> tuple[int, float, bytes]:
    """The quality whose score is nearest to the target, the score, and the file if it was made."""
    below = max((one for one in tried if tried[one][0] < wanted), default=None)
    above = min((one for one in tried if tried[one][0] >= wanted), default=None)
    if below is not None and above is not None and above - below > 1:
        ends = tried[below][0], tried[above][0]
        between = round(float(np.interp(wanted, ends, (below, above))))
        if between not in tried:
            return between, float(np.interp(between, (below, above), ends)), b""
    nearest = min(tried, key=lambda one: abs(tried[one][0] - wanted))
    return nearest, *tried[nearest]


def _first_factor(sample: QualitySample, encoding: Encoding, quality: int) -> float:
    """The factor from earlier renditions; without any, from the picture's tiles at a quality."""
    known = sample.factors.predicted(encoding.format)
    if known is not None:
        return known
    told = _factor(encoding.format, quality, sample.of_tiles(encoding, quality))
    return told - math.log(BIAS[encoding.format]) if sample.large else told


def _factor(kind: Format, quality: int, score: float) -> float:
    return math.log(max(0.1, 100 - score) / max(0.1, 100 - _usual(kind, quality)))


def _usual(kind: Format, quality: int) -> float:
    return float(np.interp(quality, KNOTS, CURVES[kind]))


def _quality(kind: Format, score: float) -> float:
    return float(np.interp(score, CURVES[kind], KNOTS))


def _tiles(pixels: Pixels) -> list[tuple[int, int]]:
    """Top and left of tiles, evenly from the calmest to the busiest; none of a small picture."""
    height, width = pixels.shape[:2]
    rows, columns = height // _TILE, width // _TILE
    if rows * columns <= _TILES:
        return []
    green = pixels[: rows * _TILE : 2, : columns * _TILE, 1].astype(np.int16)
    steps = np.abs(green[:, 1::2] - green[:, 0::2])
    half = _TILE // 2
    activity = steps.reshape(rows, half, columns, half).mean(axis=(1, 3)).ravel()
    order = np.argsort(activity, kind="stable")
    chosen = order[((np.arange(_TILES) + 0.5) * order.size / _TILES).astype(int)]
    return [(int(one) // columns * _TILE, int(one) % columns * _TILE) for one in chosen]


def search(picture: Picture, encoding: Encoding, target: QualityTarget) -> QualityResult:
    """The lowest quality within the target's range whose SSIM reaches it, else the highest.

    Trials of JPEG are written baseline: the same pixels as progressive for a fifth of the CPU.

    Args:
        picture: the rendition; of an animation the first frame is looked at.
        encoding: format and effort to try with.
        target: the SSIM to reach and the range of qualities.
    """
    wanted = target.ssim
    assert wanted is not None
    original = reference(flattened(picture.frames[0], picture.background))
    trial = replace(encoding, progressive=False)
    seen: dict[int, float] = {}

    def look(quality: int) -> float:
        if quality not in seen:
            data = encode(picture, trial, quality, Extras())
            seen[quality] = original.compare(
                flattened(_decoded(data, encoding.format), picture.background)
            )
        return seen[quality]

    low, high = target.minimum, target.maximum
    while low < high:
        middle = (low + high) // 2
        if look(middle) >= wanted:
            high = middle
        else:
            low = middle + 1
    return QualityResult(quality=low, ssim=look(low), trials=len(seen))


def _decoded(data: bytes, file_format: Format) -> pyvips.Image:
    """Pixels of bytes that this process has just encoded itself: no limits needed."""
    match file_format:
        case Format.JPEG:
            return pyvips.Image.jpegload_buffer(data)
        case Format.WEBP:
            return pyvips.Image.webpload_buffer(data)
        case Format.AVIF:
            return pyvips.Image.heifload_buffer(data)
        case Format.PNG:
            return pyvips.Image.pngload_buffer(data)
        case Format.JXL:
            return open_image(data, probe(data, UNLIMITED, formats={Format.JXL}))
        case other:
            message = f"{other.value} has no quality to search for"
            raise ValueError(message)


def decoded(data: bytes, file_format: Format) -> Pixels:
    """The pixels of a file that this process has made, by the fastest decoder."""
    if file_format is Format.JPEG:
        pixels: Pixels = simplejpeg.decode_jpeg(data)
        return pixels
    if file_format is Format.WEBP:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.mode == "RGB":
                return np.asarray(opened)
    return _array(_decoded(data, file_format))


def _array(image: pyvips.Image) -> Pixels:
    """Shape (height, width, 3), or (height, width) if grey."""
    pixels: Pixels = np.asarray(image.numpy())
    return (
        pixels
        if pixels.ndim == 2
        else pixels[:, :, :3]
        if pixels.shape[2] >= 3
        else pixels[:, :, 0]
    )


def as_image(pixels: Pixels) -> pyvips.Image:
    """Pixels as the encoders take them."""
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(
        interpretation="b-w" if pixels.ndim == 2 else "srgb"
    )
