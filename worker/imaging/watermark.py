"""Lay a picture or a line of text over a rendition."""

from __future__ import annotations

from collections.abc import Mapping

import pyvips
from PIL import Image, ImageDraw, ImageFont

from worker.domain.image import Format, Limits, Watermark
from worker.imaging.geometry import anchor
from worker.imaging.loaders import open_image
from worker.imaging.probe import probe

MARK_FORMATS = frozenset({Format.PNG, Format.WEBP, Format.JPEG})
_MARK_LIMITS = Limits(bytes=5_000_000, pixels=25_000_000, frames=1)
_TEXT_SIZE = 96
"""Points at which text is drawn before it is resized to its place."""


def picture(mark: Watermark, assets: Mapping[str, bytes]) -> pyvips.Image:
    """The mark as sRGB with alpha, at its natural size.

    Args:
        mark: from the recipe.
        assets: contents of the recipe's pictures by the path that names them.

    Raises:
        Rejected: the picture of the mark cannot be read (the recipe's linter finds that first).
    """
    if mark.image is not None:
        data = assets[mark.image]
        found = probe(data, _MARK_LIMITS, formats=MARK_FORMATS)
        image = open_image(data, found).colourspace("srgb")
        image = image.cast("uchar") if image.format != "uchar" else image
        return (image if image.hasalpha() else image.addalpha()).copy_memory()
    return _text(mark.text or "", mark.colour)


def _text(text: str, colour: str) -> pyvips.Image:
    # Pillow carries its font in its wheel: the same mark on every machine, with no fonts
    # installed.
    font = ImageFont.load_default(_TEXT_SIZE)
    left, top, right, bottom = font.getbbox(text)
    size = (max(1, round(right - left)), max(1, round(bottom - top)))
    canvas = Image.new("RGBA", size, colour + "00")
    ImageDraw.Draw(canvas).text((-left, -top), text, font=font, fill=colour + "ff")
    drawn = pyvips.Image.new_from_memory(canvas.tobytes(), *size, 4, "uchar")
    return drawn.copy(interpretation="srgb")


def apply(image: pyvips.Image, mark: Watermark, drawn: pyvips.Image) -> pyvips.Image:
    """Lay ``drawn`` (from :func:`picture`) over one frame.

    The mark keeps its shape, is ``mark.scale`` of the frame's width and shrinks further where it
    would not fit inside the margins.
    """
    margin = round(mark.margin * min(image.width, image.height))
    room_width = max(1, image.width - 2 * margin)
    room_height = max(1, image.height - 2 * margin)
    factor = min(
        mark.scale * image.width / drawn.width,
        room_width / drawn.width,
        room_height / drawn.height,
    )
    mark_pixels = drawn.premultiply().resize(factor).unpremultiply().cast("uchar")
    faded = (mark_pixels[3] * mark.opacity).cast("uchar")
    mark_pixels = mark_pixels[0:3].bandjoin(faded).copy(interpretation="srgb")
    across, down = anchor(mark.position)
    left = margin + int(across * max(0, room_width - mark_pixels.width))
    top = margin + int(down * max(0, room_height - mark_pixels.height))
    base = image.colourspace("srgb") if image.bands < 3 else image
    mixed = base.composite2(mark_pixels, "over", x=left, y=top)
    mixed = mixed if image.hasalpha() else mixed[0:3]
    return mixed.cast("uchar").copy_memory()
