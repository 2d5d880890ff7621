"""Where a picture goes inside the box of a rendition. Whole numbers in, whole numbers out.

All sizes are in upright pixels: orientation is already applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from worker.domain.image import Fit, Gravity, RenditionSpec


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Width and height in pixels, both at least 1."""

    width: int
    height: int

    @property
    def longer(self) -> int:
        """The longer side."""
        return max(self.width, self.height)

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def rotated(self) -> Size:
        """The same picture on its side."""
        return Size(self.height, self.width)

    def covers(self, other: Size, margin: Fraction = Fraction(1)) -> bool:
        """Whether this is at least ``margin`` times ``other`` in both directions."""
        return self.width >= margin * other.width and self.height >= margin * other.height


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, its top left corner first."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Scale the whole picture, cut a box out of it, put that on a canvas: each part optional."""

    scale: Size
    """The whole picture is resized to this first."""
    crop: Box | None = None
    """Part of the scaled picture that is kept; None for all of it."""
    attention: Size | None = None
    """Size of the part to keep where the pixels decide its place; then ``crop`` is None."""
    canvas: Box | None = None
    """Size of the canvas, and where on it (left, top) the picture lies; None without one."""

    @property
    def size(self) -> Size:
        """Size of the result."""
        if self.canvas is not None:
            return Size(self.canvas.width, self.canvas.height)
        if self.attention is not None:
            return self.attention
        if self.crop is not None:
            return Size(self.crop.width, self.crop.height)
        return self.scale


def place(source: Size, spec: RenditionSpec, *, vector: bool = False) -> Geometry:
    """Geometry of ``spec`` for a picture of ``source`` pixels.

    Never enlarges unless the spec asks for it or the source is a ``vector`` drawing, which has
    no pixels to run out of. Where a ``cover`` or ``exact`` box cannot be filled without
    enlarging, the box shrinks in proportion; ``contain`` keeps its box and centres the picture
    at its own size.
    """
    enlarge = spec.enlarge or vector
    if spec.fit is Fit.INSIDE:
        return Geometry(scale=_scaled(source, _inside_ratio(source, spec, enlarge=enlarge)))
    assert spec.width is not None  # the recipe's rule: all other fits have both
    assert spec.height is not None
    box = Size(spec.width, spec.height)
    if spec.fit is Fit.CONTAIN:
        scale = _scaled(source, _inside_ratio(source, spec, enlarge=enlarge))
        left, top = (box.width - scale.width) // 2, (box.height - scale.height) // 2
        if (left, top) == (0, 0) and scale == box:
            return Geometry(scale=scale)
        return Geometry(scale=scale, canvas=Box(left, top, box.width, box.height))
    if not enlarge:
        box = _shrunk(box, source)
    if spec.fit is Fit.EXACT:
        return Geometry(scale=box)
    return _cover(source, box, spec)


def _cover(source: Size, box: Size, spec: RenditionSpec) -> Geometry:
    ratio = max(Fraction(box.width, source.width), Fraction(box.height, source.height))
    # Rounding may leave the scaled picture a pixel short of the box: never let it.
    scaled = _scaled(source, ratio)
    scale = Size(max(scaled.width, box.width), max(scaled.height, box.height))
    if scale == box:
        return Geometry(scale=scale)
    if spec.gravity is Gravity.ATTENTION:
        return Geometry(scale=scale, attention=box)
    horizontal, vertical = _anchor(spec)
    spare_width, spare_height = scale.width - box.width, scale.height - box.height
    if spec.gravity is Gravity.FOCAL:
        # The focal point becomes the middle of the cut, as far as the edges allow.
        left = _clamp(round(horizontal * scale.width - Fraction(box.width, 2)), spare_width)
        top = _clamp(round(vertical * scale.height - Fraction(box.height, 2)), spare_height)
    else:
        left, top = int(horizontal * spare_width), int(vertical * spare_height)
    return Geometry(scale=scale, crop=Box(left, top, box.width, box.height))


def inside(source: Geometry, wanted: Geometry) -> Geometry | None:
    """Geometry that gives ``wanted`` from the pixels that ``source`` gave, for one picture.

    ``source`` has no canvas. The result has the size of ``wanted``.

    Returns:
        None if ``wanted`` shows a part of the picture that is not in ``source``, or may not be:
        attention finds its cut in the pixels.
    """
    if source.attention is not None:
        if wanted.attention is None or not _same_shape(source.attention, wanted.attention):
            return None
        return Geometry(scale=wanted.attention)
    if source.crop is None:
        return wanted
    if wanted.crop is None:
        return None
    across = Fraction(wanted.scale.width, source.scale.width)
    down = Fraction(wanted.scale.height, source.scale.height)
    cut, box = wanted.crop, source.crop
    left, top = cut.left - round(box.left * across), cut.top - round(box.top * down)
    scale = Size(_nearest(box.width * across), _nearest(box.height * down))
    # Both cuts are rounded: a pixel beyond the edge is none.
    if (
        min(left, top) < -1
        or left + cut.width > scale.width + 1
        or top + cut.height > scale.height + 1
    ):
        return None
    scale = Size(max(scale.width, cut.width), max(scale.height, cut.height))
    if scale == wanted.size:
        return Geometry(scale=scale)
    left, top = _clamp(left, scale.width - cut.width), _clamp(top, scale.height - cut.height)
    return Geometry(scale=scale, crop=Box(left, top, cut.width, cut.height))


def _same_shape(first: Size, second: Size) -> bool:
    """Whether two sizes have one aspect ratio, each side rounded to a whole pixel."""
    differ = abs(first.width * second.height - first.height * second.width)
    return 2 * differ <= first.width + first.height + second.width + second.height


def anchor(gravity: Gravity) -> tuple[Fraction, Fraction]:
    """A compass point as shares of the free space left of and above a box, each 0 to 1."""
    half = Fraction(1, 2)
    horizontal = half
    if "west" in gravity.value:
        horizontal = Fraction(0)
    elif "east" in gravity.value:
        horizontal = Fraction(1)
    vertical = half
    if "north" in gravity.value:
        vertical = Fraction(0)
    elif "south" in gravity.value:
        vertical = Fraction(1)
    return horizontal, vertical


def _anchor(spec: RenditionSpec) -> tuple[Fraction, Fraction]:
    if spec.gravity is Gravity.FOCAL and spec.focal_point is not None:
        across, down = spec.focal_point
        return Fraction(across).limit_denominator(10_000), Fraction(down).limit_denominator(10_000)
    return anchor(spec.gravity)


def _clamp(value: int, highest: int) -> int:
    return min(max(value, 0), highest)


def _inside_ratio(source: Size, spec: RenditionSpec, *, enlarge: bool) -> Fraction:
    ratios = []
    if spec.width is not None:
        ratios.append(Fraction(spec.width, source.width))
    if spec.height is not None:
        ratios.append(Fraction(spec.height, source.height))
    ratio = min(ratios)
    return ratio if enlarge else min(ratio, Fraction(1))


def _scaled(source: Size, ratio: Fraction) -> Size:
    return Size(_nearest(source.width * ratio), _nearest(source.height * ratio))


def _nearest(value: Fraction) -> int:
    # Halves go up, so that a result does not depend on whether its neighbour is even.
    return max(1, int(value + Fraction(1, 2)))


def _shrunk(box: Size, source: Size) -> Size:
    """The largest box of the same shape that fits inside the source, at most ``box`` itself."""
    ratio = min(Fraction(1), Fraction(source.width, box.width), Fraction(source.height, box.height))
    return _scaled(box, ratio)
