"""What the pixels of a picture say, found in one pass over a small preview.

What lives here: the order in which the measures share their work (one copy of the pixels, one
reduction, one luma plane). What may not: the measures themselves; each has a module beside this.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

from worker.domain.errors import EngineError
from worker.domain.image import Measures
from worker.imaging.metadata import colours, phash, quality, thumbhash

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
    found = colours.palette(_seen(every[top::step, left::step], pixels))

    if seen is None:
        luma = picture.convert("L")
        histogram = luma.histogram()
    else:
        luma = _over(picture, seen, _mean_colour(pixels)).convert("L")
        limit = _seen_from(int(np.asarray(seen).max()))
        histogram = luma.histogram(seen.point([0] * limit + [255] * (256 - limit)))
    tones = quality.tones(histogram)
    return Measures(
        dominant=found[0] if found else _UNSEEN,
        palette=found,
        thumbhash=thumbhash.encode(pixels),
        phash=phash.encode(luma),
        sharpness=quality.sharpness(np.asarray(luma)),
        brightness=tones.brightness,
        contrast=tones.contrast,
        clipped_dark=tones.clipped_dark,
        clipped_light=tones.clipped_light,
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
