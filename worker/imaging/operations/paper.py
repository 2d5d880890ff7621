"""Paper made white: uneven light taken out, and black on white where that is asked for.

What lives here: brightness and colour of a page. What may not: its geometry
(``worker.imaging.operations.page``).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from worker.imaging.operations.vision import Pixels, pixels, reduced

_LOOK = 512
"""Longer side of the picture that the light is estimated in."""

_STRIP = 512
"""Rows worked on at a time: arithmetic is in floats."""

_WHITE = 0.94
"""Of the paper's own brightness: from here on it is white, so that its grain is gone."""

_SAUVOLA_K = 0.34
_SAUVOLA_RANGE = 128.0


def flattened(colour: Pixels) -> Pixels:
    """Divide by the colour of the paper under the light it lies in, and stretch the rest."""
    paper = _paper(colour)
    height, width = colour.shape[:2]
    made = np.empty_like(colour)
    full = pixels(cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR))
    looked, _ = reduced(colour, _LOOK)
    share = looked.astype(np.float32) / np.maximum(paper, 1)
    black = min(0.3, float(np.quantile(share.min(axis=2), 0.005)))
    for top in range(0, height, _STRIP):
        rows = slice(top, top + _STRIP)
        lit = colour[rows].astype(np.float32) / np.maximum(full[rows], 1)
        lit = (lit - black) / (_WHITE - black)
        made[rows] = np.clip(lit * 255 + 0.5, 0, 255).astype(np.uint8)
    return made


def black_white(luma: Pixels) -> Pixels:
    """Black ink on white: 0 and 255 only.

    J. Sauvola, M. Pietikaeinen: "Adaptive document image binarization", Pattern Recognition 33
    (2000), 225-236, with their R = 128. Their k of 0.5 broke the thin strokes of text that was
    photographed small; 0.2 made them thick.
    """
    side = max(15, (max(luma.shape) // 40) | 1)
    margin = side // 2 + 1
    made = np.empty_like(luma)
    for top in range(0, luma.shape[0], _STRIP):
        above = max(0, top - margin)
        view = luma[above : top + _STRIP + margin]
        mean = np.asarray(cv2.boxFilter(view, cv2.CV_32F, (side, side)))
        square = np.asarray(cv2.sqrBoxFilter(view, cv2.CV_32F, (side, side)))
        spread = np.sqrt(np.maximum(square - mean * mean, 0))
        level = mean * (1 + _SAUVOLA_K * (spread / _SAUVOLA_RANGE - 1))
        ink = (view <= level)[top - above : top - above + _STRIP]
        made[top : top + _STRIP] = np.where(ink, 0, 255)
    return made


def paper_colour(colour: Pixels) -> tuple[int, int, int]:
    """The usual colour of the paper."""
    looked, _ = reduced(colour, _LOOK)
    blue, green, red = np.quantile(looked.reshape(-1, 3), 0.7, axis=0)
    return round(blue), round(green), round(red)


def _paper(colour: Pixels) -> Pixels:
    """The paper's colour everywhere, without what is on it, at the size it is estimated in."""
    looked, _ = reduced(colour, _LOOK)
    side = max(3, (min(looked.shape[:2]) // 24) | 1)
    kernel = np.ones((side, side), np.uint8)
    bare = pixels(cv2.medianBlur(cv2.morphologyEx(looked, cv2.MORPH_CLOSE, kernel), 5))
    bright = pixels(bare.max(axis=2))
    trusted = _trusted(bare, bright)
    weights = trusted.astype(np.float32)
    wide = max(2.0, max(bright.shape) / 16)
    spread = np.asarray(cv2.GaussianBlur(weights, (0, 0), wide))[..., None]
    sums = np.asarray(cv2.GaussianBlur(bare * weights[..., None], (0, 0), wide))
    # Under pictures and stamps: what the paper around them has.
    filled = np.where(trusted[..., None], bare, sums / np.maximum(spread, 1e-6))
    whole = np.where(spread > 1e-3, filled, np.quantile(bare.reshape(-1, 3), 0.9, axis=0))
    smooth = cv2.GaussianBlur(whole.astype(np.float32), (0, 0), max(1.0, side / 3))
    return pixels(np.clip(np.asarray(smooth) + 0.5, 1, 255))


def _trusted(bare: Pixels, bright: Pixels) -> npt.NDArray[np.bool_]:
    """Where paper shows: nearly as bright as the brightest around, and of the paper's own tint."""
    around = max(9, (max(bright.shape) // 4) | 1)
    local = cv2.dilate(bright, np.ones((around, around), np.uint8))
    local = np.asarray(cv2.GaussianBlur(local, (0, 0), around / 4), np.float32)
    tint = bare / np.maximum(bright, 1)[..., None].astype(np.float32)
    usual = np.median(tint[bright >= 0.75 * local], axis=0) if bright.size else 1.0
    odd = np.abs(tint - usual).max(axis=2)
    return np.asarray((bright >= 0.6 * local) & (odd <= 0.18), np.bool_)
