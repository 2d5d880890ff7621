"""The gain map of a picture through the geometry of a rendition.

A map covers its whole picture, in a size of its own. So it is turned as the picture is, and of it
the part is resampled that the rendition shows, to fractions of its pixels. Values are resampled as
they are stored: for the usual gamma of 1 that is a mean of stops. Contents: ``formats.ultrahdr``.
"""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import simplejpeg
from PIL import Image

from worker.domain.colour import Primaries
from worker.domain.image import ColourSpace
from worker.imaging.formats import ultrahdr
from worker.imaging.geometry import Box, Size
from worker.imaging.plan import Conversion

if TYPE_CHECKING:
    from worker.domain.image import Probe
    from worker.imaging.formats.ultrahdr import GainMapMetadata
    from worker.imaging.plan import GainMapDecode, Plan, Step

QUALITY = 80
"""Of the JPEG of a map, whose colours are kept at full size. 90 takes 40 to 50 % more bytes and
brings light nearer by 0.001 to 0.006 stops (docs/recipes.md)."""

_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition of each EXIF orientation; Pillow rotates anticlockwise (CIPA DC-008,
4.6.5.1.6)."""


class GainMapPixels:
    """The decoded map of a picture, upright."""

    def __init__(self, data: bytes, probe: Probe, plan: Plan, icc: bytes | None) -> None:
        """Decode the map of a JPEG.

        Args:
            data: what the plan starts from.
            probe: of ``data``.
            plan: with a ``gain_map``.
            icc: the colour profile of ``data``.

        Raises:
            ValueError: the map is damaged.
        """
        assert plan.gain_map is not None
        found = ultrahdr.find(data)
        if found is None or found.metadata is None:
            raise ultrahdr.DamagedGainMap("there is no gain map")
        self._metadata, self._profile = _applied_to_result(found, probe, plan, icc)
        image = _decoded(found, plan.gain_map)
        turned = _TRANSPOSED.get(plan.decode.orientation)
        self._image = image if turned is None else image.transpose(turned)

    def joined(self, picture: bytes, step: Step, crop: Box | None) -> bytes:
        """A JPEG of a step with the map in it.

        Args:
            picture: the JPEG.
            step: with a ``gain_map``.
            crop: what the step cuts out of its scale, in pixels of that; None for all of it.
        """
        assert step.gain_map is not None
        whole, canvas = step.geometry.scale, step.geometry.canvas
        part = crop or Box(0, 0, whole.width, whole.height)
        size = step.gain_map if canvas is None else Size(part.width, part.height)
        image = self._image.resize(
            (size.width, size.height),
            Image.Resampling.LANCZOS,
            box=_box(part, whole, Size(*self._image.size)),
        )
        metadata = self._metadata
        if canvas is not None:
            # Edges lie where those of the picture lie, so it is put there before it gets smaller.
            image, metadata = _on_canvas(image, metadata, canvas)
            size = step.gain_map
            image = image.resize((size.width, size.height), Image.Resampling.BILINEAR)
        return ultrahdr.join(picture, _encoded(image), metadata, self._profile)


def _decoded(found: ultrahdr.EmbeddedGainMap, decode: GainMapDecode) -> Image.Image:
    array = simplejpeg.decode_jpeg(
        found.data,
        colorspace="GRAY" if found.components == 1 else "RGB",
        min_factor=decode.shrink,
        min_width=decode.width,
        min_height=decode.height,
    )
    if array.shape[:2] != (decode.height, decode.width):
        raise ultrahdr.DamagedGainMap("the map has another size than its header says")
    return Image.fromarray(array[..., 0] if found.components == 1 else array)


def _applied_to_result(
    found: ultrahdr.EmbeddedGainMap, probe: Probe, plan: Plan, icc: bytes | None
) -> tuple[GainMapMetadata, bytes | None]:
    """Metadata for renditions, and the profile of the primaries that gains apply to.

    One gain for all three channels is the same in all primaries, since offsets are grey. Three
    gains stay with the primaries that they were made for: those of the original where its colours
    are converted. A decoder then converts to those, which is more than XMP can ask for.
    """
    metadata = found.metadata
    assert metadata is not None
    if found.channels == 1:
        return replace(metadata, base_colours=True), None
    if not metadata.base_colours:
        return (metadata, found.profile) if found.profile else _base_colours(metadata)
    same = plan.decode.conversion is Conversion.NONE or (
        plan.decode.conversion is Conversion.P3 and probe.colour.primaries is Primaries.DISPLAY_P3
    )
    if same or icc is None or probe.colour_space is ColourSpace.GREY:
        return metadata, None
    return replace(metadata, base_colours=False), icc


def _base_colours(metadata: GainMapMetadata) -> tuple[GainMapMetadata, None]:
    return replace(metadata, base_colours=True), None


def _box(part: Box, whole: Size, gain_map: Size) -> tuple[float, float, float, float]:
    """Edges of a part of a picture in pixels of its map."""
    across, down = Fraction(gain_map.width, whole.width), Fraction(gain_map.height, whole.height)
    return (
        float(part.left * across),
        float(part.top * down),
        float(min((part.left + part.width) * across, Fraction(gain_map.width))),
        float(min((part.top + part.height) * down, Fraction(gain_map.height))),
    )


def _on_canvas(
    image: Image.Image, metadata: GainMapMetadata, canvas: Box
) -> tuple[Image.Image, GainMapMetadata]:
    """A canvas is as bright as it was: its gain is none, which the range may have to be widened
    for."""
    wider = replace(
        metadata,
        minimum=tuple(min(least, 0.0) for least in metadata.minimum),
        maximum=tuple(max(most, 0.0) for most in metadata.maximum),
    )
    bands = len(image.getbands())
    if wider != metadata:
        image = image.point(
            [
                _value(wider, channel, _stops(metadata, channel, value))
                for channel in range(bands)
                for value in range(256)
            ]
        )
    none = tuple(_value(wider, channel, 0.0) for channel in range(bands))
    made = Image.new(image.mode, (canvas.width, canvas.height), none[0] if bands == 1 else none)
    made.paste(image, (canvas.left, canvas.top))
    return made, wider


def _stops(metadata: GainMapMetadata, channel: int, value: int) -> float:
    low, high = metadata.minimum[channel], metadata.maximum[channel]
    return float(low + (high - low) * (value / 255) ** (1 / metadata.gamma[channel]))


def _value(metadata: GainMapMetadata, channel: int, stops: float) -> int:
    low, high = metadata.minimum[channel], metadata.maximum[channel]
    share = (stops - low) / (high - low) if high > low else 0.0
    return round(255 * float(min(max(share, 0.0), 1.0) ** metadata.gamma[channel]))


def _encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return out.getvalue()
