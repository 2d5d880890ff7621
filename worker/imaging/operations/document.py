"""A photo of a page to the page: found, straightened, set level, its paper made white.

Corners are arrays of four points (x, y) in pixels: top left, top right, bottom right, bottom left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, reduced, silent

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
    rotated: float
    """Degrees anticlockwise that the text was rotated to be level."""


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
        step: called between the stages.

    Raises:
        UnsuitableInput: NO_PAGE, with ``missing="reject"`` only.
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    with opencv():
        step(0.0, "find the page")
        colour = raster.on()
        corners = find_page(colour)
        if corners is None and missing == "reject":
            raise UnsuitableInput(Reason.NO_PAGE, "no sheet of paper is seen in the picture")
        if corners is not None:
            step(0.3, "straighten")
            colour = straightened(colour, corners)
        angle = 0.0
        if deskew:
            step(0.5, "level the text")
            most = _SKEW_OF_WHOLE if corners is None else _SKEW_OF_PAGE
            angle = skew(_luma(colour), most)
            if abs(angle) >= _LEVEL:
                colour = rotated(colour, angle, paper_colour(colour))
            else:
                angle = 0.0
        step(0.7, "clean the paper")
        made = _cleaned(colour, clean, grey=raster.grey)
    step(1.0, "finished")
    return Document(
        raster=made,
        corners=None
        if corners is None
        else tuple((round(float(x), 2), round(float(y), 2)) for x, y in corners),
        rotated=round(angle, 2),
    )


def _cleaned(colour: Pixels, clean: Clean, *, grey: bool) -> Raster:
    if clean != "none":
        colour = whitened(colour)
    if clean in ("none", "colour"):
        return Raster(colour=colour, grey=grey)
    luma = _luma(colour)
    if clean == "black-white":
        luma = black_white(luma)
    return Raster(colour=pixels(cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)), grey=True)


def _luma(colour: Pixels) -> Pixels:
    return pixels(cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2GRAY))


# --- where the sheet lies, and what it looks like from straight above -----------------------------

Points = npt.NDArray[np.float64]

_LOOK = 800
"""Longer side of the picture in which a page is looked for."""

_SMALLEST = 0.12
"""Share of the picture that a page covers at least."""

_LARGEST = 0.985
"""More than this is the picture's own frame."""

_SUPPORT = 0.7
"""Share of a page's outline that must be an edge in the picture."""

_HAIR = 0.004
"""Of the sheet's shorter side: cut off at each edge."""

_SHARPEST, _BLUNTEST = 40.0, 140.0
"""Degrees of a page's corners in a photo that can still be read."""


def find_page(colour: Pixels) -> Points | None:
    """Corners of the most prominent sheet, to a fraction of a pixel; None if there is none.

    Candidates are the four-sided outlines of edges and of what differs from the picture's border
    in brightness or colour. The largest whose outline is an edge nearly everywhere wins.
    """
    small, scale = reduced(colour, _LOOK)
    height, width = small.shape[:2]
    if min(height, width) < 32:
        return None
    steepness = _steepness(small)
    # An edge is steeper than most of the picture, but no less than 6 levels a pixel.
    edge = max(6.0, float(np.quantile(steepness, 0.8)))
    best, best_score = None, 0.0
    for corners in _candidates(small):
        area = float(cv2.contourArea(corners.astype(np.float32))) / (width * height)
        if not _SMALLEST <= area <= _LARGEST or not _plausible(corners):
            continue
        support = _support(steepness, corners, edge)
        if support >= _SUPPORT and support**2 * math.sqrt(area) > best_score:
            best, best_score = corners, support**2 * math.sqrt(area)
    if best is None:
        return None
    found = _refined(small, best, 4.0)
    # The centre of pixel i is at i + 0.5 in both scales.
    found = (found + 0.5) / scale - 0.5
    return _refined(colour, found, 2.0 / scale) if scale < 1 else found


def straightened(colour: Pixels, corners: Points) -> Pixels:
    """The sheet from straight above, at the resolution it has in the picture.

    A hair is cut off all around: its edge is blurred into what it lies on.
    """
    height, width = colour.shape[:2]
    across, down = _size(corners, width, height)
    cut = max(2, round(_HAIR * min(across, down)))
    right, bottom = across - 1 - cut, down - 1 - cut
    target = np.array([[-cut, -cut], [right, -cut], [right, bottom], [-cut, bottom]], np.float32)
    across, down = max(1, across - 2 * cut), max(1, down - 2 * cut)
    turn = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    return pixels(
        cv2.warpPerspective(
            colour, turn, (across, down), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
    )


def skew(luma: Pixels, most: float) -> float:
    """Degrees that lines of text run downhill to the right; 0.0 where no lines are seen.

    The angle at which sums along lines vary most from one line to the next (W. Postl: "Detection
    of linear oblique structures and skew scan in digitized documents", ICPR 1986).

    Args:
        luma: dark text on light paper.
        most: largest angle looked for, either way.
    """
    small, _ = reduced(luma, _LOOK)
    if min(small.shape) < 32:
        return 0.0
    block = max(15, (min(small.shape) // 16) | 1)
    ink = cv2.adaptiveThreshold(
        small, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, block, 15
    )
    # Frames and shadows at the rim would be the longest lines of all.
    rim = max(2, min(small.shape) // 50)
    inner = pixels(ink[rim:-rim, rim:-rim])
    if not 0.002 <= np.count_nonzero(inner) / inner.size <= 0.4:
        return 0.0
    coarse = np.arange(-most, most + 0.25, 0.5)
    scores = [_lines(inner, float(angle)) for angle in coarse]
    middle = float(coarse[int(np.argmax(scores))])
    fine = middle + np.arange(-0.5, 0.55, 0.05)
    values = [_lines(inner, float(angle)) for angle in fine]
    found = float(fine[int(np.argmax(values))])
    clear = max(values) >= _CLEAR * float(np.median(scores))
    return found if clear and abs(found) <= most else 0.0


_CLEAR = 3.0
"""How much more lines must stand out at the angle found than at others: photos without text were
measured at 1.3 to 1.9, pages of text at 20 and more."""


def rotated(colour: Pixels, degrees: float, level: tuple[int, int, int]) -> Pixels:
    """Rotated anticlockwise in its own frame; the corners that come in have colour ``level``."""
    height, width = colour.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return pixels(
        cv2.warpAffine(
            colour,
            turn,
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=level,
        )
    )


def _lines(ink: Pixels, degrees: float) -> float:
    height, width = ink.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    level = cv2.warpAffine(ink, turn, (width, height), flags=cv2.INTER_LINEAR)
    sums = np.asarray(level).sum(axis=1, dtype=np.float64)
    return float(np.square(np.diff(sums)).sum())


# --- candidates -----------------------------------------------------------------------------------


def _candidates(small: Pixels) -> Iterator[Points]:
    for mask in _masks(small):
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        enough = _SMALLEST * mask.size
        for contour in contours:
            hull = cv2.convexHull(contour)
            if cv2.contourArea(hull) >= enough:
                yield from _quadrilaterals(hull)


def _masks(small: Pixels) -> Iterator[Pixels]:
    calm = pixels(cv2.medianBlur(small, 5))
    grey = pixels(cv2.cvtColor(calm, cv2.COLOR_BGR2GRAY))
    kernel = np.ones((3, 3), np.uint8)
    for low, high in ((20, 60), (50, 150)):
        edges = np.zeros(grey.shape, np.uint8)
        for plane in (*cv2.split(calm), grey):
            edges |= pixels(cv2.Canny(plane, low, high))
        yield pixels(cv2.dilate(edges, kernel))
        yield pixels(cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)))
    rim = np.concatenate([calm[:3].reshape(-1, 3), calm[-3:].reshape(-1, 3)])
    rim = np.concatenate([rim, calm[:, :3].reshape(-1, 3), calm[:, -3:].reshape(-1, 3)])
    apart = np.abs(calm.astype(np.int16) - np.median(rim, axis=0).astype(np.int16)).max(axis=2)
    # Text and its shadow must not cut the sheet into pieces.
    side = max(5, (min(grey.shape) // 30) | 1)
    for plane in (grey, pixels(apart)):
        _, mask = cv2.threshold(plane, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        yield pixels(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)))


def _quadrilaterals(hull: Any) -> Iterator[Points]:
    length = cv2.arcLength(hull, closed=True)
    for share in (0.01, 0.02, 0.03, 0.05, 0.08):
        polygon = cv2.approxPolyDP(hull, share * length, closed=True)
        if len(polygon) == 4:
            yield _ordered(np.asarray(polygon, np.float64).reshape(4, 2))
        if len(polygon) <= 4:
            return


def _ordered(points: Points) -> Points:
    """From the corner nearest to the top left, clockwise."""
    centre = points.mean(axis=0)
    clockwise = points[np.argsort(np.arctan2(*(points - centre).T[::-1]))]
    return np.roll(clockwise, -int(np.argmin(clockwise.sum(axis=1))), axis=0)


def _plausible(corners: Points) -> bool:
    after = np.roll(corners, -1, axis=0) - corners
    before = np.roll(corners, 1, axis=0) - corners
    lengths = np.linalg.norm(after, axis=1)
    if lengths.min() < 16:
        return False
    cosines = (after * before).sum(axis=1) / (lengths * np.roll(lengths, 1))
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    return bool(angles.min() >= _SHARPEST and angles.max() <= _BLUNTEST)


def _steepness(small: Pixels) -> npt.NDArray[np.float32]:
    """Largest slope of any channel, in levels a pixel, spread by two pixels."""
    planes = cv2.GaussianBlur(small, (0, 0), 1.0)
    across = np.abs(np.asarray(cv2.Sobel(planes, cv2.CV_32F, 1, 0))).max(axis=2)
    down = np.abs(np.asarray(cv2.Sobel(planes, cv2.CV_32F, 0, 1))).max(axis=2)
    spread = cv2.dilate(np.hypot(across, down) / 4, np.ones((5, 5), np.uint8))
    return np.asarray(spread, np.float32)


def _support(steepness: npt.NDArray[np.float32], corners: Points, edge: float) -> float:
    """The least supported side counts: three sides of a sheet are often the edge of a table.

    A sheet may leave the picture with up to two sides; what lies on the frame is neither for it
    nor against it.
    """
    height, width = steepness.shape
    shares, visible = [], 0
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = start + np.linspace(0.04, 0.96, 64)[:, None] * (end - start)
        x, y = along.round().astype(int).T
        inside = (x >= 2) & (x < width - 2) & (y >= 2) & (y < height - 2)
        visible += bool(inside.mean() > 0.5)
        seen = steepness[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)] >= edge
        shares.append(float(np.where(inside, seen, 0.75).mean()))
    return min(shares) if visible >= 2 else 0.0


# --- precision ------------------------------------------------------------------------------------


def _refined(colour: Pixels, corners: Points, reach: float) -> Points:
    """Corners where straight lines through the steepest places near the four sides meet.

    Args:
        colour: the picture.
        corners: at most ``reach`` pixels off.
        reach: pixels to either side in which the edge is looked for.
    """
    lines = [
        _line(colour, start, end, reach)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ]
    found = corners.copy()
    for index, (line, before) in enumerate(zip(lines, [lines[-1], *lines[:-1]], strict=True)):
        met = np.cross(before, line)
        if abs(met[2]) > 1e-9:
            point = met[:2] / met[2]
            # Lines that are nearly one meet anywhere.
            if np.linalg.norm(point - corners[index]) <= 4 * reach:
                found[index] = point
    return found


def _line(colour: Pixels, start: Points, end: Points, reach: float) -> Points:
    """A side as a line (a, b, c) with a x + b y + c = 0."""
    direction = (end - start) / np.linalg.norm(end - start)
    normal = np.array([-direction[1], direction[0]])
    count = int(np.clip(np.linalg.norm(end - start) / 4, 16, 96))
    along = start + np.linspace(0.05, 0.95, count)[:, None] * (end - start)
    offsets = np.arange(-math.ceil(reach) - 2, math.ceil(reach) + 3)
    places = along[:, None] + offsets[None, :, None] * normal
    x, y = np.moveaxis(places, 2, 0).astype(np.float32)
    values = cv2.remap(colour, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    smooth = np.asarray(cv2.GaussianBlur(values, (0, 0), max(0.8, reach / 6)), np.float64)
    slopes = np.abs(np.diff(smooth, axis=1)).sum(axis=2)
    peaks = slopes.argmax(axis=1)
    picked = np.arange(count)
    # The vertex of the parabola through the steepest step and its neighbours.
    left = slopes[picked, np.maximum(peaks - 1, 0)]
    right = slopes[picked, np.minimum(peaks + 1, slopes.shape[1] - 1)]
    bend = left - 2 * slopes[picked, peaks] + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1), 0.0)
    moved = offsets[0] + 0.5 + peaks + np.clip(shift, -0.5, 0.5)
    sharp = slopes[picked, peaks] >= 0.3 * np.median(slopes[picked, peaks])
    edge = (along + moved[:, None] * normal)[sharp].astype(np.float32)
    run, rise, x0, y0 = np.ravel(cv2.fitLine(edge, cv2.DIST_HUBER, 0, 0.01, 0.01)).astype(float)
    return np.array([-rise, run, rise * x0 - run * y0])


def _size(corners: Points, width: int, height: int) -> tuple[int, int]:
    """Pixels across and down of the straightened sheet."""
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    across, down = max(sides[0], sides[2]), max(sides[1], sides[3])
    ratio = _ratio(corners, width, height)
    if ratio is not None and 0.5 < ratio / (across / down) < 2:
        across, down = max(across, down * ratio), max(down, across / ratio)
    # Never more pixels than the picture had.
    shrink = min(1.0, math.sqrt(width * height / (across * down)))
    return max(1, round(across * shrink) + 1), max(1, round(down * shrink) + 1)


def _ratio(corners: Points, width: int, height: int) -> float | None:
    """Width by height of the sheet itself, from its corners alone; None where they do not tell.

    Z. Zhang, L.-W. He: "Whiteboard scanning and image enhancement", Digital Signal Processing 17
    (2007), eq. 11-21: square pixels, and the lens at the centre of the picture.
    """
    centred = corners - np.array([(width - 1) / 2, (height - 1) / 2])
    one, two, four, three = np.column_stack([centred, np.ones(4)])
    second = np.cross(one, four) @ three / (np.cross(two, four) @ three)
    third = np.cross(one, four) @ two / (np.cross(three, four) @ two)
    across, down = second * two - one, third * three - one
    if abs(across[2]) < 0.02 or abs(down[2]) < 0.02:
        # One pair of sides is parallel: the focal length does not show, nor is it needed much.
        return None
    focal_squared = -(across[:2] @ down[:2]) / (across[2] * down[2])
    diagonal = math.hypot(width, height)
    if not (0.3 * diagonal) ** 2 <= focal_squared <= (10 * diagonal) ** 2:
        return None
    flat = across[:2] @ across[:2] / focal_squared + across[2] ** 2
    tall = down[:2] @ down[:2] / focal_squared + down[2] ** 2
    return math.sqrt(flat / tall)


# --- paper made white: uneven light taken out -----------------------------------------------------

_LIGHT_SIDE = 512
"""Longer side of the picture that the light is estimated in."""

_ROWS = 512
"""Rows worked on at a time: arithmetic is in floats."""

_WHITE = 0.94
"""Of the paper's own brightness: from here on it is white, so that its grain is gone."""

_SAUVOLA_K = 0.34
_SAUVOLA_RANGE = 128.0


def whitened(colour: Pixels) -> Pixels:
    """Divide by the colour of the paper under the light it lies in, and stretch the rest."""
    paper = _paper(colour)
    height, width = colour.shape[:2]
    made = np.empty_like(colour)
    full = pixels(cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR))
    looked, _ = reduced(colour, _LIGHT_SIDE)
    share = looked.astype(np.float32) / np.maximum(paper, 1)
    black = min(0.3, float(np.quantile(share.min(axis=2), 0.005)))
    for top in range(0, height, _ROWS):
        rows = slice(top, top + _ROWS)
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
    for top in range(0, luma.shape[0], _ROWS):
        above = max(0, top - margin)
        view = luma[above : top + _ROWS + margin]
        mean = np.asarray(cv2.boxFilter(view, cv2.CV_32F, (side, side)))
        square = np.asarray(cv2.sqrBoxFilter(view, cv2.CV_32F, (side, side)))
        spread = np.sqrt(np.maximum(square - mean * mean, 0))
        level = mean * (1 + _SAUVOLA_K * (spread / _SAUVOLA_RANGE - 1))
        ink = (view <= level)[top - above : top - above + _ROWS]
        made[top : top + _ROWS] = np.where(ink, 0, 255)
    return made


def paper_colour(colour: Pixels) -> tuple[int, int, int]:
    """The usual colour of the paper."""
    looked, _ = reduced(colour, _LIGHT_SIDE)
    blue, green, red = np.quantile(looked.reshape(-1, 3), 0.7, axis=0)
    return round(blue), round(green), round(red)


def _paper(colour: Pixels) -> Pixels:
    """The paper's colour everywhere, without what is on it, at the size it is estimated in."""
    looked, _ = reduced(colour, _LIGHT_SIDE)
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
