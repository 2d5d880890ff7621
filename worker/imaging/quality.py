"""Find the quality that looks as a recipe asks, instead of guessing one for all pictures.

A target of SSIM halves the range of qualities (``search``): it grows with quality, so that at most
``ceil(log2(range)) + 1`` trials are encoded and measured whole, 7 for the widest range.

A target of SSIMULACRA2 costs less (``find``). Sixteen tiles of the picture, encoded as one small
picture, tell how hard it is to compress, and the format's usual curve then gives a quality. The
file of that quality is measured, and made once more if it is off. That measure takes its two finest
scales from the tiles and the coarse ones from the whole: tiles alone are 5 points off at worst,
because few places decide the coarse scales, which are cheap to compare whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyvips

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

_CORRECT = 0.9
"""A file that is further from its target than this is made once more."""

_TILE = 64
"""Pixels; a multiple of the blocks of JPEG and WebP, so that tiles encode alike."""
_TILES = 16

KNOTS: Final = (10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 100)
"""Qualities of the curves."""
CURVES: Final[Mapping[Format, Sequence[float]]] = MappingProxyType(
    {
        Format.JPEG: (-4.2, 29.8, 45.1, 54.2, 60.1, 65.0, 70.4, 76.6, 80.2, 83.5, 87.2, 89.9),
        Format.WEBP: (29.4, 41.3, 49.7, 55.8, 60.9, 64.5, 67.7, 73.2, 77.4, 81.3, 85.1, 87.4),
        Format.JXL: (15.4, 37.3, 50.3, 54.4, 59.3, 64.5, 70.3, 76.4, 82.0, 85.7, 91.0, 97.2),
        Format.AVIF: (-1.7, 18.0, 34.7, 51.0, 64.1, 72.8, 78.9, 83.7, 85.1, 90.3, 92.7, 96.9),
    }
)
"""Mean SSIMULACRA2 of a format at each of ``KNOTS``, by ``worker.bench.fit_quality`` from
five photos at 1024 pixels. The distance of a picture's own curve from 100 is that of this one
times a factor of its own."""

BIAS: Final[Mapping[Format, float]] = MappingProxyType(
    {Format.JPEG: 0.960, Format.WEBP: 0.946, Format.JXL: 0.908, Format.AVIF: 0.937}
)
"""The distance of a picture of tiles from 100 over that of the whole, on average at the qualities
60 to 90, by the same script."""


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
    missed: bool
    """More than :data:`TOLERANCE` below the target."""


class QualitySample:
    """What of a picture is measured; made once for all its formats."""

    def __init__(self, picture: Picture) -> None:
        """Take the first frame, without transparency."""
        self._background = picture.background
        pixels = _array(flattened(picture.frames[0], picture.background))
        self._places = _tiles(pixels)
        tiles = self._cut(pixels)
        self._fine = ScoreReference(tiles, FINE)
        self._coarse = ScoreReference(pixels, COARSE)
        self._tiles = Picture([_image(tiles)])
        self._rough = ScoreReference(tiles, COARSE) if self._places else self._coarse

    def trial(self, encoding: Encoding, quality: int) -> float:
        """About the score of the whole at this quality, from the tiles alone."""
        score = self.of_tiles(encoding, quality)
        return 100 - (100 - score) / BIAS[encoding.format] if self._places else score

    def of_tiles(self, encoding: Encoding, quality: int) -> float:
        """The score of the tiles as a picture of their own."""
        data = encode(self._tiles, encoding, quality, Extras())
        tiles = _array(_decoded(data, encoding.format))
        return scaled(self._fine.distance(tiles) + self._rough.distance(tiles))

    def score(self, data: bytes, kind: Format) -> float:
        """SSIMULACRA2 of a whole file, its two finest scales on the tiles."""
        pixels = _array(flattened(_decoded(data, kind), self._background))
        return scaled(self._fine.distance(self._cut(pixels)) + self._coarse.distance(pixels))

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

    Args:
        picture: the rendition; of an animation the first frame is looked at.
        encoding: format and effort.
        target: the score to meet and the range of qualities.
        extras: what the file carries beside its pixels.
        sample: of the same picture.
    """
    wanted = target.ssimulacra2
    assert wanted is not None

    def bounded(quality: float) -> int:
        return min(target.maximum, max(target.minimum, round(quality)))

    def made(quality: int) -> TargetFile:
        data = encode(picture, encoding, quality, extras)
        score = sample.score(data, encoding.format)
        return TargetFile(
            quality=quality, data=data, score=score, missed=score < wanted - TOLERANCE
        )

    curve = CURVES[encoding.format]
    start = bounded(_quality(curve, wanted))
    predicted = bounded(_moved(curve, start, sample.trial(encoding, start), wanted))
    first = made(predicted)
    corrected = bounded(_moved(curve, predicted, first.score, wanted))
    if abs(first.score - wanted) <= _CORRECT or corrected == predicted:
        return first
    second = made(corrected)
    return min((second, first), key=lambda file: abs(file.score - wanted))


def _moved(curve: Sequence[float], quality: int, score: float, wanted: float) -> float:
    """The quality that gives ``wanted`` where ``quality`` gives ``score``."""
    usual = float(np.interp(quality, KNOTS, curve))
    factor = max(0.1, 100 - score) / max(0.1, 100 - usual)
    return _quality(curve, 100 - (100 - wanted) / factor)


def _quality(curve: Sequence[float], score: float) -> float:
    return float(np.interp(score, curve, KNOTS))


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
    """The pixels of a file that this process has made."""
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


def _image(pixels: Pixels) -> pyvips.Image:
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(
        interpretation="b-w" if pixels.ndim == 2 else "srgb"
    )
