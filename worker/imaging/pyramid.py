"""Decode once, then make every size from the next larger: the scales of a plan, as needed.

Orientation, colour conversion and 16-bit to 8-bit happen after the first resize, where there are
fewest pixels; for the result that is the same as doing them first, except for rounding by one
level. Every scale is upright working pixels (see ``worker.imaging.colour``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyvips
import simplejpeg

from worker.domain.image import ColourSpace, Encoding, Format, Probe, Recipe, RenditionSpec
from worker.imaging.colour import to_working
from worker.imaging.encode import attach
from worker.imaging.formats import jpeg
from worker.imaging.loaders import FAST_JPEG_PIXELS, decoding, embedded_in, open_image
from worker.imaging.plan import Conversion, make_plan
from worker.imaging.rgbx import Rgbx

if TYPE_CHECKING:
    from worker.imaging.geometry import Size
    from worker.imaging.plan import Decode, Plan


WHOLE = Recipe(
    name="whole",
    version=1,
    renditions=(
        RenditionSpec(
            name="whole", width=2**20, frames=1, encodings=(Encoding(format=Format.PNG),)
        ),
    ),
)
"""One rendition as large as the picture."""


class Pyramid:
    """All scales of one picture. Pixels are made on first use and kept.

    Not for sharing between threads. Errors of the decoder surface as ``pyvips.Error`` when
    pixels are pulled: wrap use in ``worker.imaging.loaders.decoding``.
    """

    def __init__(self, data: bytes, probe: Probe, plan: Plan, icc: bytes | None = None) -> None:
        """Open the original; ``icc`` is its colour profile, if the caller has read it."""
        self._probe = probe
        self._plan = plan
        self._made: dict[tuple[int, int], pyvips.Image] = {}
        self._quick: dict[int, Rgbx] = {}
        self.delays: tuple[int, ...] = ()
        self.loop = 0
        self._photo = _decode_photo(data, probe, plan.decode)
        self._icc = icc
        if self._photo is not None:
            return
        image = _decode(data, probe, plan.decode, icc)
        frames = plan.decode.frames
        if frames > 1:
            self.delays = _delays(image)
            self.loop = probe.loop or 0
            self._frames: list[pyvips.Image] = image.copy_memory().pagesplit()
        else:
            direct = sum(scale.source is None for scale in plan.scales)
            # A streamed picture can be read once only; more than one reader needs it in memory.
            self._frames = [image.copy_memory() if direct > 1 else image]

    def pixels(self, scale: int, frame: int = 0) -> pyvips.Image:
        """One frame at one scale, in memory."""
        key = (scale, frame)
        if key not in self._made:
            quick = self.quick(scale)
            self._made[key] = self._make(scale, frame) if quick is None else quick.vips()
        return self._made[key]

    def quick(self, scale: int) -> Rgbx | None:
        """One scale of an ordinary photo, without the cost of :meth:`pixels`; None for others."""
        if self._photo is None:
            return None
        if scale not in self._quick:
            self._quick[scale] = self._make_quick(self._photo, scale)
        return self._quick[scale]

    def _make_quick(self, photo: Rgbx, scale: int) -> Rgbx:
        wanted = self._plan.scales[scale]
        if wanted.source is not None:
            source = self.quick(wanted.source)
            assert source is not None  # all scales are of one kind
            return source.resized(wanted.size)
        decode = self._plan.decode
        image = photo.resized(wanted.size.rotated if decode.orientation >= 5 else wanted.size)
        if decode.conversion is not Conversion.NONE:
            stored = image.vips()
            if self._icc is not None:
                stored = stored.copy()
                attach(stored, "icc-profile-data", self._icc)
            image = Rgbx.of(to_working(stored, decode.conversion, decode.colour))
        return image if decode.orientation == 1 else image.upright(decode.orientation)

    def _make(self, scale: int, frame: int) -> pyvips.Image:
        wanted = self._plan.scales[scale]
        if wanted.source is not None:
            image = self.pixels(wanted.source, frame)
            return _resized(image, wanted.size, linear=self._plan.decode.linear).copy_memory()
        image = self._frames[frame]
        decode = self._plan.decode
        stored = wanted.size.rotated if decode.orientation >= 5 else wanted.size
        if decode.linear:
            image = to_working(image.copy_memory(), decode.conversion, decode.colour)
            image = _resized(image, stored, linear=True).copy_memory()
        else:
            # In memory before colours: a decoder's complaint must not look like a profile's.
            image = _resized(image, stored, linear=False).copy_memory()
            image = to_working(image, decode.conversion, decode.colour).copy_memory()
        if decode.orientation != 1:
            image = _upright(image, decode.orientation).copy_memory()
        return image if self._probe.animated else _without_opaque_alpha(image)


def whole_picture(data: bytes, probe: Probe) -> pyvips.Image:
    """Decode a picture in its own size: first frame, upright, 8 bits, sRGB, in memory.

    Raises:
        Rejected: the pixels cannot be decoded.
    """
    plan = make_plan(probe, WHOLE)
    with decoding():
        pyramid = Pyramid(data, probe, plan, embedded_in(data, probe).icc)
        return pyramid.pixels(plan.steps[0].scale)


def _decode_photo(data: bytes, probe: Probe, decode: Decode) -> Rgbx | None:
    """An ordinary photo in the quick form; None where libvips has to do the work."""
    if not _is_plain_jpeg(probe) or probe.colour_space is not ColourSpace.RGB or decode.linear:
        return None
    array = _decode_jpeg(data, decode, "RGBA")
    return None if array is None else Rgbx(array)


def _decode(data: bytes, probe: Probe, decode: Decode, icc: bytes | None) -> pyvips.Image:
    if _is_plain_jpeg(probe):
        grey = probe.colour_space is ColourSpace.GREY
        array = _decode_jpeg(data, decode, "GRAY" if grey else "RGB")
        if array is not None:
            height, width, bands = array.shape
            image = pyvips.Image.new_from_memory(array.data, width, height, bands, "uchar")
            image = image.copy(interpretation="b-w" if grey else "srgb")
            if icc is not None:
                attach(image, "icc-profile-data", icc)
            return image
    return open_image(data, probe, frames=decode.frames, shrink=decode.shrink, scale=decode.scale)


def _decode_jpeg(data: bytes, decode: Decode, colours: str) -> npt.NDArray[np.uint8] | None:
    """Decode whole, in memory; None for what libvips must judge: damaged or unusual files."""
    try:
        array = simplejpeg.decode_jpeg(
            data,
            colorspace=colours,
            min_factor=decode.shrink,
            min_width=decode.width,
            min_height=decode.height,
        )
    except ValueError:
        mended = jpeg.whole(data, colours="GRAY", look=True)
        return None if mended is data else _decode_jpeg(mended, decode, colours)
    height, width, _ = array.shape
    return array if (width, height) == (decode.width, decode.height) else None


def _delays(strip: pyvips.Image) -> tuple[int, ...]:
    delays = strip.get("delay") if strip.get_typeof("delay") else None
    return tuple(int(delay) for delay in delays) if isinstance(delays, list) else ()


def _is_plain_jpeg(probe: Probe) -> bool:
    return (
        probe.format is Format.JPEG
        and probe.bit_depth == 8
        and probe.colour_space in {ColourSpace.RGB, ColourSpace.GREY}
        and probe.pixels <= FAST_JPEG_PIXELS
    )


def _resized(image: pyvips.Image, size: Size, *, linear: bool) -> pyvips.Image:
    if (image.width, image.height) == (size.width, size.height):
        return image
    before, interpretation = image.format, image.interpretation
    if linear:
        image = image.colourspace("scrgb")
    alpha = image.hasalpha()
    if alpha:
        # Otherwise the colour of invisible pixels bleeds into the visible edge.
        image = image.premultiply()
    image = image.resize(
        size.width / image.width, vscale=size.height / image.height, kernel="lanczos3"
    )
    if (image.width, image.height) != (size.width, size.height):
        image = image.gravity("centre", size.width, size.height, extend="copy")
    if alpha:
        image = image.unpremultiply()
    if linear:
        image = image.colourspace(interpretation)
    return image if image.format == before else image.rint().cast(before)


def _upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Apply an EXIF orientation, 2 to 8 (CIPA DC-008, 4.6.5.1.6)."""
    # The decoder may have lost the tag (simplejpeg) or kept it; the plan's word counts.
    tagged = image.copy()
    tagged.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return tagged.autorot()


def _without_opaque_alpha(image: pyvips.Image) -> pyvips.Image:
    """Screenshots carry an alpha channel that says nothing; without it files are smaller."""
    if image.hasalpha() and image[image.bands - 1].min() == 255:
        return image[0 : image.bands - 1].copy_memory()
    return image
