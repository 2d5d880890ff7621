"""Marks: where they lie, how strong, whatever their kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.pictures import Pixels, encoded, one, pixels_of
from worker.domain.image import Encoding, Format, Gravity, Recipe, Watermark

PNG = Encoding(format=Format.PNG)
GROUND = np.full((200, 300, 3), 100, np.uint8)
SQUARE = np.full((40, 40, 4), 255, np.uint8)
RECIPE = Recipe(name="test", version=1, renditions=(), assets={"mark.png": encoded(SQUARE)})
MARK = Watermark(image="mark.png", opacity=1.0, scale=0.1, margin=0.05)


def marked(mark: Watermark, ground: Pixels = GROUND) -> Pixels:
    """The ground with a mark."""
    return pixels_of(
        one(encoded(ground), PNG, recipe=RECIPE, width=300, height=200, watermark=mark)
    )


@pytest.mark.parametrize(
    ("position", "rows", "columns"),
    [
        (Gravity.NORTH_WEST, (10, 40), (10, 40)),
        (Gravity.SOUTH_EAST, (160, 190), (260, 290)),
        (Gravity.CENTRE, (85, 115), (135, 165)),
        (Gravity.NORTH, (10, 40), (135, 165)),
    ],
)
def test_the_mark_lies_where_it_should(
    position: Gravity, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    """A tenth of the width, a margin from the edges, at the compass point."""
    shown = marked(replace(MARK, position=position))
    changed = np.argwhere((shown != 100).any(axis=2))
    assert tuple(changed.min(axis=0)) == (rows[0], columns[0])
    assert tuple(changed.max(axis=0) + 1) == (rows[1], columns[1])


def test_opacity_mixes() -> None:
    """Half a white mark on grey 100 is 177 or 178; none at all changes nothing."""
    assert abs(int(marked(replace(MARK, opacity=0.5)).max()) - 177) <= 1
    assert (marked(replace(MARK, opacity=0.0)) == 100).all()


def test_text_is_drawn_without_installed_fonts() -> None:
    """Text has its colour and stays inside the margins."""
    shown = marked(Watermark(text="© Safelight", opacity=1.0, scale=0.5, colour="#ff0000"))
    changed = np.argwhere((shown != 100).any(axis=2))
    assert len(changed) > 300
    assert changed.max(axis=0)[0] < 196
    assert changed.max(axis=0)[1] < 296
    assert shown[..., 0].max() >= 250
    assert shown[..., 1].max() <= 110


def test_a_mark_too_large_shrinks() -> None:
    """A tall mark on a flat picture fits inside its margins."""
    shown = marked(replace(MARK, scale=1.0))
    rows = np.argwhere((shown != 100).any(axis=2))[:, 0]
    assert rows.min() >= 9
    assert rows.max() <= 190


def test_transparent_and_grey_grounds_take_marks() -> None:
    """Alpha of the ground stays; a grey ground becomes colour."""
    ground = np.dstack([GROUND, np.zeros((200, 300), np.uint8)])
    ground[0, 0, 3] = 1
    shown = marked(MARK, ground)
    assert shown[175, 275, 3] >= 254
    assert shown[100, 100, 3] == 0
    red = replace(MARK, image=None, text="x", colour="#ff0000", scale=0.5)
    grey = marked(red, GROUND[..., 0])
    assert grey[..., 0].max() > 200 > grey[..., 1].max()
