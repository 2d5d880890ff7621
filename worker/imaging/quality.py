"""Find the lowest quality that looks good enough, instead of guessing one for all pictures.

The measure is luma SSIM against the rendition's own pixels before encoding
(``worker.imaging.ssim``, Wang et al. 2004). It grows with quality, so the search halves the range:
at most ``ceil(log2(range)) + 1`` trial encodings, 7 for the widest range a recipe can ask for.
Trials of JPEG are written baseline, which has the same pixels as progressive for a fifth of the
CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyvips

from worker.domain.image import Encoding, Format, QualityTarget
from worker.imaging.encode import Extras, Picture, encode, flattened
from worker.imaging.loaders import open_image
from worker.imaging.probe import probe
from worker.imaging.rejections import UNLIMITED
from worker.imaging.ssim import reference


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityResult:
    """Result of a search."""

    quality: int
    ssim: float
    """Of the encoding at ``quality``; below the target only if even the maximum misses it."""
    trials: int


def search(picture: Picture, encoding: Encoding, target: QualityTarget) -> QualityResult:
    """The lowest quality within the target's range whose SSIM reaches it, else the highest.

    Args:
        picture: the rendition; of an animation the first frame is looked at.
        encoding: format and effort to try with.
        target: the SSIM to reach and the range of qualities.
    """
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
        if look(middle) >= target.ssim:
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
        case Format.JXL:
            return open_image(data, probe(data, UNLIMITED, formats={Format.JXL}))
        case other:
            message = f"{other.value} has no quality to search for"
            raise ValueError(message)
