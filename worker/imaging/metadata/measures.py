"""Measures a picture on a small preview: colours, tones, sharpness, hash.

One pass: the measures share one copy of the pixels, one reduction and one luma plane. None of them
judges: the caller decides where blurred begins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

from worker.domain.errors import EngineError
from worker.domain.image import Measures
from worker.imaging.metadata import thumbhash

_Pixels = npt.NDArray[np.uint8]

_MODES = {3: "RGB", 4: "RGBA"}
# Colours and placeholder are taken from a reduction of this longest side: six colours and seven
# cosines see no more in a larger one.
_SMALL_SIDE = 64
_UNSEEN = "#000000"


def measure(preview: pyvips.Image) -> Measures:
    """Measure an upright sRGB preview: 8 bits, 3 bands, or 4 with alpha not premultiplied.

    Its longest side should be 512 pixels at most, for time and because sharpness depends on it.
    Pixels less than half as opaque as the most opaque one count neither as colours nor as tones.
    Where alpha shows something else through, hash and sharpness see the mean colour. A picture of
    which nothing is seen is black, with an empty palette and zeros.

    Raises:
        EngineError: the preview is in another pixel format.
    """
    mode = _MODES.get(preview.bands)
    if mode is None or preview.format != "uchar":
        raise EngineError(f"a preview of {preview.bands} bands of {preview.format} has no measures")
    size = (preview.width, preview.height)
    memory = preview.write_to_memory()
    picture = Image.frombuffer(mode, size, memory, "raw", mode, 0, 1)

    seen = None
    if mode == "RGBA":
        alpha = picture.getchannel("A")
        if alpha.getextrema() == (255, 255):
            picture = picture.convert("RGB")
        else:
            seen = alpha

    # Pillow averages whole blocks here, weighted by alpha where there is one.
    step = -(-max(size) // _SMALL_SIDE)
    pixels = np.asarray(picture.reduce(step).convert("RGBA"))
    # Averages would add mixtures along every edge to the colours; every so many pixels do not.
    every = np.frombuffer(memory, dtype=np.uint8).reshape(preview.height, preview.width, -1)
    top, left = min(step, preview.height) // 2, min(step, preview.width) // 2
    found = palette(_seen(every[top::step, left::step], pixels))

    if seen is None:
        luma = picture.convert("L")
        histogram = luma.histogram()
    else:
        luma = _over(picture, seen, _mean_colour(pixels)).convert("L")
        limit = _seen_from(int(np.asarray(seen).max()))
        histogram = luma.histogram(seen.point([0] * limit + [255] * (256 - limit)))
    return Measures(
        dominant=found[0] if found else _UNSEEN,
        palette=found,
        thumbhash=thumbhash.encode(pixels),
        phash=perceptual_hash(luma),
        sharpness=sharpness(np.asarray(luma)),
        **tones(histogram),
    )


def _seen(sample: _Pixels, averages: _Pixels) -> _Pixels:
    """Colours of the seen pixels of a sample, or of averages if the sample missed what is seen."""
    if sample.shape[-1] == 3:
        return sample.reshape(-1, 3)
    chosen = sample if sample[..., 3].any() else averages
    return chosen[..., :3][chosen[..., 3] >= _seen_from(int(chosen[..., 3].max()))]


def _seen_from(most: int) -> int:
    """The least alpha that counts as seen, when the most opaque pixel has ``most``."""
    return max(1, (most + 1) // 2)


def _mean_colour(rgba: _Pixels) -> tuple[int, int, int]:
    weights = rgba[..., 3].astype(np.float64)
    total = float(weights.sum()) or 1.0
    red, green, blue = (weights[..., np.newaxis] * rgba[..., :3]).sum(axis=(0, 1)) / total
    return round(red), round(green), round(blue)


def _over(picture: Image.Image, alpha: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """Lay a picture over one colour: the mean adds the weakest edges a background can."""
    flat = Image.new("RGB", picture.size, colour)
    flat.paste(picture.convert("RGB"), mask=alpha)
    return flat


# --- colours --------------------------------------------------------------------------------------

COLOURS_LIMIT = 6
"""Most colours of a palette."""

_CELLS = 64
# Distance up to which two colours count as one; black and white are 1 apart in OKLab, and about
# 0.02 is the least difference that is seen.
_ALIKE = 0.1
# Colours with a smaller share are dropped: edges and specks.
_LEAST_SHARE = 0.005

# Björn Ottosson, "A perceptual color space for image processing" (2020): linear sRGB to LMS, and
# the cube roots of LMS to OKLab.
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def palette(rgb: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """Name up to six colours of sRGB pixels (n x 3), as ``#rrggbb``, most covered first.

    Pixels that are not seen must be left out by the caller; without any there is no colour.

    An octree sorts the pixels into up to 64 small cells and averages each (Gervautz and
    Purgathofer, "A Simple Method for Color Quantization", 1988; Pillow's FASTOCTREE). Then cells
    that look alike are joined: the fullest cell first, each takes the remaining ones within a fixed
    distance in OKLab, where distances are what the eye sees. So a shaded sky is one colour, and a
    small but different area keeps its own. A plain median cut would spend its boxes on the sky.
    """
    if len(rgb) == 0:
        return ()
    strip = Image.frombytes("RGB", (len(rgb), 1), np.ascontiguousarray(rgb).tobytes())
    reduced = strip.quantize(_CELLS, method=Image.Quantize.FASTOCTREE)
    counts = np.array(reduced.histogram()[:_CELLS], dtype=np.float64)
    cells = np.zeros((_CELLS, 3))
    used = np.array(reduced.getpalette("RGB") or [], dtype=np.float64).reshape(-1, 3)[:_CELLS]
    cells[: len(used)] = used
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    joined = _joined(cells[order], counts[order])
    joined.sort(key=lambda found: -found[0])
    least = _LEAST_SHARE * len(rgb)
    return tuple(hex_name(colour) for count, colour in joined[:COLOURS_LIMIT] if count >= least)


def hex_name(colour: npt.NDArray[np.float64]) -> str:
    """Write three values of 0 to 255 as ``#rrggbb``."""
    red, green, blue = (int(value) for value in np.floor(colour + 0.5))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _joined(
    cells: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
) -> list[tuple[float, npt.NDArray[np.float64]]]:
    """Join cells (fullest first) that look alike; gives counts and mean colours."""
    lab = _oklab(cells)
    distances = np.linalg.norm(lab[:, np.newaxis] - lab, axis=-1)
    free = np.ones(len(cells), dtype=bool)
    groups = []
    for leader in range(len(cells)):
        if not free[leader]:
            continue
        members = free & (distances[leader] <= _ALIKE)
        free &= ~members
        weights = counts[members]
        groups.append((float(weights.sum()), weights @ cells[members] / weights.sum()))
    return groups


def _oklab(srgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert sRGB colours (n x 3, 0 to 255) to OKLab; the curve is that of IEC 61966-2-1."""
    encoded = srgb / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lab: npt.NDArray[np.float64] = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab


# --- tones and sharpness --------------------------------------------------------------------------

_DARK, _LIGHT = 4, 251
_LEVELS = np.arange(256) / 255.0


def tones(histogram: list[int]) -> dict[str, float]:
    """How luma (ITU-R BT.601, 0 to 255) is spread, by the fields of ``Measures``.

    Args:
        histogram: 256 bins; one without a pixel gives zeros.
    """
    counts = np.array(histogram, dtype=np.float64)
    total = float(counts.sum())
    if total == 0.0:
        return dict.fromkeys(("brightness", "contrast", "clipped_dark", "clipped_light"), 0.0)
    shares = counts / total
    mean = float(shares @ _LEVELS)
    variance = float(shares @ (_LEVELS - mean) ** 2)
    return {
        "brightness": round(mean, 4),
        "contrast": round(variance**0.5, 4),
        "clipped_dark": round(float(shares[: _DARK + 1].sum()), 4),
        "clipped_light": round(float(shares[_LIGHT:].sum()), 4),
    }


def sharpness(luma: npt.NDArray[np.uint8]) -> float:
    """Variance of the four-neighbour Laplacian over the inner pixels; 0 below 3 x 3 pixels.

    Pech-Pacheco and others, "Diatom autofocusing in brightfield microscopy: a comparative study"
    (2000): the second derivative is strong where there are edges, and blur removes it first. It
    depends on the size, so compare pictures at one size only.
    """
    if min(luma.shape) < 3:
        return 0.0
    plane = luma.astype(np.int16)
    inner = plane[1:-1, 1:-1]
    laplacian = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * inner
    # Whole numbers throughout: the sum is exact, so its order cannot change the result.
    squares = int(np.square(laplacian, dtype=np.int32).sum(dtype=np.int64))
    mean = int(laplacian.sum(dtype=np.int64)) / laplacian.size
    return round(squares / laplacian.size - mean * mean, 2)


# --- perceptual hash ------------------------------------------------------------------------------

_SIDE, _KEPT = 32, 8


_DCT = np.cos(np.pi / _SIDE * np.arange(_KEPT)[:, np.newaxis] * (np.arange(_SIDE) + 0.5))
_DCT *= np.sqrt(2.0 / _SIDE)
_DCT[0] /= np.sqrt(2.0)
"""The first eight rows of the orthonormal DCT-II matrix for 32 samples."""


def perceptual_hash(luma: Image.Image) -> str:
    """Hash a picture in mode ``L`` of any size to 64 bits, as 16 hex digits.

    The hash stays the same while a picture is resized or recompressed. The method is the DCT hash
    of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section
    3.2.1, in the widespread variant that keeps the first row and column of the transform (pictures
    made of bars or gradients have nothing else):

    1. luma (ITU-R BT.601), resized to 32 x 32 with a Lanczos filter, aspect ratio given up;
    2. the orthonormal two-dimensional DCT-II, of which the 8 x 8 lowest frequencies are kept,
       each rounded to a whole number, so that flat areas give zeros and not arithmetic noise;
    3. one bit a coefficient, by rows, the first the most significant: set if it is above the
       median of the 64.

    As a rule of thumb, pictures that look alike differ in up to 10 bits, others in 20 and more.
    """
    # The gap lets Pillow average whole blocks first: a third of the time, the same hash.
    small = luma.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    spectrum = np.rint(_DCT @ np.asarray(small, dtype=np.float64) @ _DCT.T)
    # The median; np.median would import all of numpy.ma at the first picture of a process.
    middle = spectrum.size // 2
    median = np.sort(spectrum, axis=None)[middle - 1 : middle + 1].mean()
    bits = spectrum > median
    return np.packbits(bits).tobytes().hex()


def hamming(a: str, b: str) -> int:
    """Count the bits in which two hashes differ: 0 (alike) to 64.

    Raises:
        ValueError: one of them is not hexadecimal.
    """
    return (int(a, 16) ^ int(b, 16)).bit_count()
