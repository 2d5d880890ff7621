"""Opaque 8-bit pixels in four bytes each: the form of ordinary photos in the pyramid.

Two facts make it worth a form of its own, both measured (docs/benchmarks.md). libvips resamples
down a column four times as fast as along a row, because the values it weighs lie side by side. So a
resize here is two vertical passes with a transposition between them, and gives the bytes that
``pyvips.Image.resize`` gives. And both encoders of Pillow take four-byte pixels where they lie:
nothing is packed, joined or copied on the way to them. ``worker.imaging.pyramid`` decides which
picture takes this form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

from worker.imaging.geometry import Box, Size

_STRIP = 64
"""Rows that are transposed at a time: what they touch stays in the first-level cache."""

_ORIENTATIONS: dict[int, tuple[bool, bool, bool]] = {
    # Orientation: transpose, then mirror left to right, then top to bottom.
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""The transposition of each EXIF orientation (CIPA DC-008, 4.6.5.1.6)."""


@dataclass(frozen=True, slots=True)
class Rgbx:
    """Pixels as red, green, blue and a byte that means nothing.

    Attributes:
        pixels: shape (height, width, 4), contiguous; never written to again.
    """

    pixels: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, image: pyvips.Image) -> Rgbx:
        """Pull the pixels of an 8-bit picture with three bands, or with four of them."""
        if image.bands == 3:
            image = image.bandjoin(255)
        data = np.frombuffer(image.write_to_memory(), np.uint8)
        return cls(data.reshape(image.height, image.width, 4))

    @property
    def size(self) -> Size:
        """Width and height."""
        height, width, _ = self.pixels.shape
        return Size(width, height)

    def resized(self, size: Size) -> Rgbx:
        """Resample with a Lanczos kernel of three lobes to exactly ``size``."""
        if size == self.size:
            return self
        height, width, _ = self.pixels.shape
        if size.width > width or size.height > height:
            larger = self._four_bands().resize(
                size.width / width, vscale=size.height / height, kernel="lanczos3"
            )
            return Rgbx.of(larger)
        half = self._reduced(size.height)
        return half._transposed()._reduced(size.width)._transposed()

    def upright(self, orientation: int) -> Rgbx:
        """Apply an EXIF orientation, 1 to 8."""
        transposed, mirrored, flipped = _ORIENTATIONS[orientation]
        pixels = (self._transposed() if transposed else self).pixels
        if mirrored:
            pixels = pixels[:, ::-1]
        if flipped:
            pixels = pixels[::-1]
        return Rgbx(np.ascontiguousarray(pixels))

    def cut(self, box: Box) -> Rgbx:
        """The part inside ``box``."""
        rows = slice(box.top, box.top + box.height)
        columns = slice(box.left, box.left + box.width)
        return Rgbx(np.ascontiguousarray(self.pixels[rows, columns]))

    def vips(self) -> pyvips.Image:
        """The same as three bands of sRGB, in memory."""
        # Bands cut out of four carry no name, and operations that return to it, such as sharpening,
        # would fail.
        return self._four_bands()[0:3].copy(interpretation="srgb").copy_memory()

    def pillow(self) -> Image.Image:
        """The same for Pillow's encoders, on the same memory."""
        width, height = self.size.width, self.size.height
        data = self.pixels.reshape(-1)
        return Image.frombuffer("RGBX", (width, height), data, "raw", "RGBX", 0, 1)

    def packed(self) -> npt.NDArray[np.uint8]:
        """The same in three bytes a pixel: shape (height, width, 3)."""
        # A channel at a time: a quarter of the time of one copy of [:, :, :3].
        packed = np.empty((*self.pixels.shape[:2], 3), np.uint8)
        for channel in range(3):
            packed[:, :, channel] = self.pixels[:, :, channel]
        return packed

    def _four_bands(self) -> pyvips.Image:
        height, width, bands = self.pixels.shape
        return pyvips.Image.new_from_memory(self.pixels.data, width, height, bands, "uchar")

    def _reduced(self, height: int) -> Rgbx:
        """Resample down the columns; steps of more than 4 start with means, as ``resize`` does."""
        before = self.pixels.shape[0]
        if height == before:
            return self
        return Rgbx.of(self._four_bands().reducev(before / height, kernel="lanczos3", gap=2.0))

    def _transposed(self) -> Rgbx:
        """Rows become columns, a strip of rows at a time."""
        height, width, _ = self.pixels.shape
        words = self.pixels.view(np.uint32).reshape(height, width)
        columns = np.empty((width, height), np.uint32)
        for top in range(0, height, _STRIP):
            columns[:, top : top + _STRIP] = words[top : top + _STRIP].T
        return Rgbx(columns.view(np.uint8).reshape(width, height, 4))
