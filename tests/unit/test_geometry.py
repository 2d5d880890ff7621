"""Where pictures go inside the boxes of renditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.image import Fit, Gravity, RenditionSpec
from worker.imaging.geometry import Box, Size, place


def spec(
    width: int | None = None,
    height: int | None = None,
    fit: Fit = Fit.INSIDE,
    gravity: Gravity = Gravity.CENTRE,
    *,
    focal_point: tuple[float, float] | None = None,
    enlarge: bool = False,
) -> RenditionSpec:
    """A rendition of which only the geometry matters."""
    return RenditionSpec(
        name="x",
        encodings=(),
        width=width,
        height=height,
        fit=fit,
        gravity=gravity,
        focal_point=focal_point,
        enlarge=enlarge,
    )


@pytest.mark.parametrize(
    ("source", "asked", "expected"),
    [
        (Size(4000, 3000), spec(1024, 1024), Size(1024, 768)),
        (Size(3000, 4000), spec(1024, 1024), Size(768, 1024)),
        (Size(4000, 3000), spec(1000), Size(1000, 750)),
        (Size(4000, 3000), spec(height=300), Size(400, 300)),
        (Size(500, 400), spec(1024, 1024), Size(500, 400)),
        (Size(500, 400), spec(1000, 1000, enlarge=True), Size(1000, 800)),
        (Size(10_000, 1), spec(100, 100), Size(100, 1)),
        (Size(1, 1), spec(100, 100, enlarge=True), Size(100, 100)),
    ],
)
def test_inside_keeps_the_whole_picture(source: Size, asked: RenditionSpec, expected: Size) -> None:
    """Inside scales by the tighter side and never enlarges unless asked."""
    geometry = place(source, asked)
    assert geometry.scale == geometry.size == expected
    assert (geometry.crop, geometry.canvas, geometry.attention) == (None, None, None)


def test_cover_cuts_the_middle_by_default() -> None:
    """A wide picture loses the same on both sides."""
    geometry = place(Size(4000, 2000), spec(256, 256, Fit.COVER))
    assert geometry.scale == Size(512, 256)
    assert geometry.crop == Box(128, 0, 256, 256)


@pytest.mark.parametrize(
    ("gravity", "left"),
    [(Gravity.WEST, 0), (Gravity.CENTRE, 128), (Gravity.NORTH, 128), (Gravity.SOUTH_EAST, 256)],
)
def test_cover_follows_the_compass(gravity: Gravity, left: int) -> None:
    """The compass point says which side is kept."""
    geometry = place(Size(4000, 2000), spec(256, 256, Fit.COVER, gravity))
    assert geometry.crop == Box(left, 0, 256, 256)


def test_focal_point_is_centred_as_far_as_edges_allow() -> None:
    """A focal point near the edge does not push the cut outside."""
    inner = spec(256, 256, Fit.COVER, Gravity.FOCAL, focal_point=(0.6, 0.5))
    outer = spec(256, 256, Fit.COVER, Gravity.FOCAL, focal_point=(0.99, 0.5))
    assert place(Size(4000, 2000), inner).crop == Box(179, 0, 256, 256)
    assert place(Size(4000, 2000), outer).crop == Box(256, 0, 256, 256)


def test_attention_leaves_the_place_open() -> None:
    """Where the pixels decide, only the size is planned."""
    geometry = place(Size(4000, 2000), spec(256, 256, Fit.COVER, Gravity.ATTENTION))
    assert geometry.crop is None
    assert geometry.attention == geometry.size == Size(256, 256)


def test_cover_of_a_small_picture_keeps_the_shape_not_the_size() -> None:
    """Without enlarging, the box shrinks in proportion until it fits."""
    geometry = place(Size(300, 100), spec(256, 256, Fit.COVER))
    assert geometry.size == Size(100, 100)
    assert geometry.scale == Size(300, 100)


def test_contain_centres_on_a_canvas() -> None:
    """Contain gives exactly its box with the picture in the middle."""
    geometry = place(Size(4000, 2000), spec(256, 256, Fit.CONTAIN))
    assert geometry.scale == Size(256, 128)
    assert geometry.canvas == Box(0, 64, 256, 256)
    assert geometry.size == Size(256, 256)


def test_exact_gives_up_the_aspect_ratio() -> None:
    """Exact stretches to its box."""
    assert place(Size(4000, 2000), spec(100, 100, Fit.EXACT)).size == Size(100, 100)


def test_a_vector_drawing_has_no_size_to_exceed() -> None:
    """Drawings are scaled up: they have no pixels to run out of."""
    assert place(Size(24, 24), spec(256, 256), vector=True).size == Size(256, 256)


SIDES = st.integers(1, 30_000)
BOXES = st.integers(1, 16_384)


@given(
    source=st.builds(Size, SIDES, SIDES),
    box=st.builds(Size, BOXES, BOXES),
    fit=st.sampled_from(Fit),
    gravity=st.sampled_from(Gravity),
    enlarge=st.booleans(),
)
def test_every_geometry_is_possible(
    source: Size, box: Size, fit: Fit, gravity: Gravity, *, enlarge: bool
) -> None:
    """For any numbers no result is empty, no crop is outside the picture, and nothing is enlarged
    silently."""
    asked = spec(box.width, box.height, fit, gravity, focal_point=(0.3, 0.9), enlarge=enlarge)
    geometry = place(source, asked)
    assert min(geometry.scale.width, geometry.scale.height, geometry.size.width) >= 1
    assert geometry.size.width <= box.width
    assert geometry.size.height <= box.height
    if not enlarge:
        assert geometry.scale.width <= source.width
        assert geometry.scale.height <= source.height
    if geometry.crop is not None:
        assert 0 <= geometry.crop.left <= geometry.scale.width - geometry.crop.width
        assert 0 <= geometry.crop.top <= geometry.scale.height - geometry.crop.height
    if geometry.canvas is not None:
        assert 0 <= geometry.canvas.left <= geometry.canvas.width - geometry.scale.width
        assert 0 <= geometry.canvas.top <= geometry.canvas.height - geometry.scale.height
