"""A photo of a page to the page: found, straightened, set level, its paper made white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations import page, paper
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, silent

Clean = Literal["none", "colour", "grey", "black-white"]

_SKEW_OF_PAGE = 3.0
"""Degrees that text may run askew on a sheet whose edges are level."""

_SKEW_OF_WHOLE = 15.0
_LEVEL = 0.1
"""Degrees; less is not worth resampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A page, ready to read."""

    raster: Raster
    corners: tuple[tuple[float, float], ...] | None
    """Of the page in the upright picture, pixels: top left, top right, bottom right, bottom left.
    None: no page was found, and the result is the whole picture."""
    turned: float
    """Degrees that the text was turned to be level, anticlockwise."""


def document(
    raster: Raster,
    *,
    clean: Clean = "colour",
    missing: Literal["whole", "reject"] = "whole",
    deskew: bool = True,
    step: Step = silent,
) -> Document:
    """Make a photo of a page readable. Transparency is laid on white.

    Args:
        raster: the photo.
        clean: ``none`` leaves the paper as it is, the others make it white.
        missing: what to do where no page is found.
        deskew: level the lines of text.
        step: told between the stages.

    Raises:
        UnsuitableInput: NO_PAGE, with ``missing="reject"`` only.
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    with opencv():
        step(0.0, "find the page")
        colour = raster.on()
        corners = page.find_page(colour)
        if corners is None and missing == "reject":
            raise UnsuitableInput(Reason.NO_PAGE, "no sheet of paper is seen in the picture")
        if corners is not None:
            step(0.3, "straighten")
            colour = page.straightened(colour, corners)
        turned = 0.0
        if deskew:
            step(0.5, "level the text")
            most = _SKEW_OF_WHOLE if corners is None else _SKEW_OF_PAGE
            turned = page.skew(_luma(colour), most)
            if abs(turned) >= _LEVEL:
                colour = page.rotated(colour, turned, paper.paper_colour(colour))
            else:
                turned = 0.0
        step(0.7, "clean the paper")
        made = _cleaned(colour, clean, grey=raster.grey)
    step(1.0, "finished")
    return Document(
        raster=made,
        corners=None
        if corners is None
        else tuple((round(float(x), 2), round(float(y), 2)) for x, y in corners),
        turned=round(turned, 2),
    )


def _cleaned(colour: Pixels, clean: Clean, *, grey: bool) -> Raster:
    if clean != "none":
        colour = paper.flattened(colour)
    if clean in ("none", "colour"):
        return Raster(colour=colour, grey=grey)
    luma = _luma(colour)
    if clean == "black-white":
        luma = paper.black_white(luma)
    return Raster(colour=pixels(cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)), grey=True)


def _luma(colour: Pixels) -> Pixels:
    return pixels(cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2GRAY))
