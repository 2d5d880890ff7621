"""Cut the subject out of its background: GrabCut, then an edge as soft as the picture's.

C. Rother, V. Kolmogorov, A. Blake: "GrabCut: Interactive Foreground Extraction using Iterated
Graph Cuts" (SIGGRAPH 2004) on a small copy; K. He, J. Sun, X. Tang: "Guided Image Filtering"
(PAMI 35 (2013)) to give its edge the detail of the picture. No trained model: it follows
colour, and does not know what a person or a chair is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from worker.domain.errors import Reason, UnsuitableInput
from worker.imaging.operations.raster import Raster
from worker.imaging.operations.vision import Pixels, Step, opencv, pixels, reduced, silent

Box = tuple[float, float, float, float]
"""Left, top, width, height as shares of the picture."""

_LOOK = 640
"""Longer side of the picture that is cut; the edge is then found again at full size."""

_TILE = 256

_LEAST, _MOST = 0.002, 0.97
"""Share of the picture a subject may cover."""

_FEWEST = 50
"""Pixels of each side that colours can be learnt from."""

_SETTLED = 0.0005
"""Share of pixels that may still change sides when GrabCut is taken to be done."""

_CRUMB = 0.1
"""Parts smaller than this share of the largest are not the subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOut:
    """A subject on nothing."""

    raster: Raster
    """With transparency."""
    box: tuple[int, int, int, int]
    """Left, top, width, height of the subject in the upright picture, pixels."""
    share: float
    """Of the picture that the subject covers."""


def cut_out(
    raster: Raster,
    *,
    box: Box | None = None,
    iterations: int = 5,
    feather: float = 1.5,
    trim: bool = False,
    step: Step = silent,
) -> CutOut:
    """Make the background transparent. Transparent pixels stay transparent.

    Args:
        raster: the picture.
        box: around the subject; None looks for what draws the eye.
        iterations: of GrabCut.
        feather: half the width of the zone in which the edge may be soft, in pixels of the full
            size; 0 gives a hard edge.
        trim: cut the picture to the subject.
        step: called between the stages.

    Raises:
        UnsuitableInput: NO_SUBJECT.
        MemoryPressure, EngineError: see :func:`worker.imaging.operations.vision.opencv`.
    """
    with opencv():
        step(0.0, "find the subject")
        colour = raster.on()
        small, scale = reduced(colour, _LOOK)
        seeds = _seeds(small, box)
        subject = _largest(_cut(small, seeds, iterations, step))
        if not _LEAST <= float(np.count_nonzero(subject)) / subject.size <= _MOST:
            raise UnsuitableInput(
                Reason.NO_SUBJECT, "nothing stands out from its background; a box may help"
            )
        step(0.6, "soften the edge")
        alpha = _matte(colour, subject, feather, math.ceil(1 / scale), step)
        cleaned = _without_background(colour, alpha)
        if raster.alpha is not None:
            alpha = np.minimum(alpha, raster.alpha)
        if raster.grey:
            cleaned[:] = cleaned[..., :1]
    left, top, width, height = (int(value) for value in cv2.boundingRect(pixels(alpha > 127)))
    made = replace(raster, colour=cleaned, alpha=alpha)
    if trim and width and height:
        rows, columns = slice(top, top + height), slice(left, left + width)
        made = replace(
            raster,
            colour=np.ascontiguousarray(cleaned[rows, columns]),
            alpha=np.ascontiguousarray(alpha[rows, columns]),
        )
    step(1.0, "cut out")
    return CutOut(
        raster=made,
        box=(left, top, width, height),
        share=float(alpha.mean(dtype=np.float64)) / 255,
    )


def _seeds(small: Pixels, box: Box | None) -> Pixels:
    """GrabCut's labels before its first iteration."""
    height, width = small.shape[:2]
    seeds = np.full((height, width), cv2.GC_BGD, np.uint8)
    if box is not None:
        return _seeds_of_box(small, seeds, box)
    if min(height, width) < 16:
        return seeds
    seen = saliency(small)
    levels = pixels(seen * 255)
    split, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    seeds[levels > 0.5 * split] = cv2.GC_PR_BGD
    seeds[levels > split] = cv2.GC_PR_FGD
    rim = max(1, min(height, width) // 100)
    for side in (seeds[:rim], seeds[:, :rim], seeds[:, -rim:]):
        side[side == cv2.GC_PR_FGD] = cv2.GC_PR_BGD
    return seeds


def _seeds_of_box(small: Pixels, seeds: Pixels, box: Box) -> Pixels:
    height, width = seeds.shape
    left, top = round(box[0] * width), round(box[1] * height)
    right, bottom = round((box[0] + box[2]) * width), round((box[1] + box[3]) * height)
    inside = np.zeros(seeds.shape, np.bool_)
    inside[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    seeds[inside] = cv2.GC_PR_FGD
    if np.count_nonzero(~inside) >= _FEWEST and inside.any():
        # Pixels inside the box that resemble the outside are probably background too.
        levels = pixels(unlike(small, ~inside) * 255)
        split, _ = cv2.threshold(levels[inside], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        seeds[inside & (levels <= split)] = cv2.GC_PR_BGD
    return seeds


def _cut(small: Pixels, seeds: Pixels, iterations: int, step: Step) -> Pixels:
    """255 where GrabCut sees the subject."""
    inside = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD))
    # Its colour models need a few samples of each side.
    if min(np.count_nonzero(inside), np.count_nonzero(~inside)) < _FEWEST:
        raise UnsuitableInput(
            Reason.NO_SUBJECT, "there is too little inside or outside of the subject's place"
        )
    labels = seeds.copy()
    models = np.zeros((1, 65), np.float64), np.zeros((1, 65), np.float64)
    whole = (0, 0, 1, 1)  # not read in these modes
    for index in range(iterations):
        # One at a time: on pictures without clear edges each takes seconds.
        step(0.2 + 0.4 * index / iterations, f"cut, {index + 1} of {iterations}")
        before = labels.copy()
        mode = cv2.GC_EVAL if index else cv2.GC_INIT_WITH_MASK
        cv2.grabCut(small, labels, whole, *models, 1, mode)
        if index and np.count_nonzero(labels != before) <= _SETTLED * labels.size:
            break
    return pixels(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)) * 255)


def _largest(subject: Pixels) -> Pixels:
    """Without crumbs, and without pinholes."""
    side = max(3, (min(subject.shape) // 150) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    calm = pixels(cv2.morphologyEx(subject, cv2.MORPH_OPEN, kernel))
    for keep in (calm, pixels(255 - calm)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(keep, connectivity=4)
        areas = np.asarray(stats)[:, cv2.CC_STAT_AREA].copy()
        areas[0] = 0
        limit = _CRUMB * areas.max() if keep is calm else 0.0005 * subject.size
        crumbs = np.flatnonzero(areas < limit)
        crumbs = crumbs[crumbs > 0]
        if count > 1 and crumbs.size:
            keep[np.isin(labels, crumbs)] = 0
        if keep is not calm:
            calm = pixels(255 - keep)
    return calm


def _matte(colour: Pixels, subject: Pixels, feather: float, zoom: int, step: Step) -> Pixels:
    """The cut at full size: its edge moved to the picture's own edge, and softened there."""
    height, width = colour.shape[:2]
    rough = pixels(cv2.resize(subject, (width, height), interpolation=cv2.INTER_LINEAR))
    # The cut is right to a pixel or two of the small picture.
    reach = max(1, round(2 * zoom + feather))
    made = np.empty_like(rough)
    tops = range(0, height, _TILE)
    for index, top in enumerate(tops):
        step(0.6 + 0.3 * index / len(tops), "soften the edge")
        margin = 4 * reach
        above = max(0, top - margin)
        rows = slice(above, top + _TILE + margin)
        band = _soft(colour[rows], rough[rows], reach, feather)
        made[top : top + _TILE] = band[top - above : top - above + _TILE]
    return made


def _soft(colour: Pixels, rough: Pixels, reach: int, feather: float) -> Pixels:
    hard = pixels(cv2.threshold(rough, 127, 255, cv2.THRESH_BINARY)[1])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = np.asarray(cv2.erode(hard, kernel, borderValue=(255,)))
    outside = np.asarray(cv2.dilate(hard, kernel))
    guided = _guided(colour, hard, reach)
    if feather == 0:
        soft = (guided >= 0.5).astype(np.float32)
    else:
        # Steeper than the filter leaves it, so that no haze lies around the subject.
        soft = np.clip((guided - 0.5) * _STEEP + 0.5, 0, 1)
        soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), feather / 2), np.float32)
    soft = np.where(inside > 0, 1.0, np.where(outside == 0, 0.0, soft))
    return pixels(soft * 255 + 0.5)


_STEEP = 2.0


def _guided(colour: Pixels, hard: Pixels, reach: int) -> npt.NDArray[np.float32]:
    """He, Sun and Tang's filter with the luma and both chromas as one guide each, the clearest
    winning: where two things are equally bright, their colours tell them apart."""
    side = (2 * reach + 1, 2 * reach + 1)
    target = hard.astype(np.float32) / 255
    mean_target = np.asarray(cv2.blur(target, side))
    best = mean_target.copy()
    explained = np.zeros_like(best)
    planes = cv2.split(np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2YCrCb), np.float32) / 255)
    for guide in planes:
        mean = np.asarray(cv2.blur(guide, side))
        spread = np.asarray(cv2.blur(guide * guide, side)) - mean * mean
        together = np.asarray(cv2.blur(guide * target, side)) - mean * mean_target
        slope = together / (spread + _EPSILON)
        offset = mean_target - slope * mean
        value = np.asarray(cv2.blur(slope, side)) * guide + np.asarray(cv2.blur(offset, side))
        power = np.asarray(cv2.blur(slope * together, side))
        best = np.where(power > explained, value, best)
        explained = np.maximum(power, explained)
    return np.asarray(best, np.float32)


_EPSILON = 1e-4
"""Regularisation, as a variance of channels from 0 to 1: edges of 1 % contrast are followed."""


def _without_background(colour: Pixels, alpha: Pixels) -> Pixels:
    """Where the subject is half seen through: its own colour from further inside, so that no rim
    of the old background shows on a new one. Black where nothing is left."""
    made = colour.copy()
    solid = (alpha >= 250).astype(np.float32)
    rows = np.flatnonzero(alpha.any(axis=1))
    if rows.size == 0:
        return made
    for top in range(0, colour.shape[0], _TILE):
        above = max(0, top - 32)
        view = slice(above, top + _TILE + 32)
        weight = np.asarray(cv2.GaussianBlur(solid[view], (0, 0), 4.0))[..., None]
        sums = np.asarray(cv2.GaussianBlur(colour[view] * solid[view][..., None], (0, 0), 4.0))
        inner = sums / np.maximum(weight, 1e-6)
        share = alpha[view].astype(np.float32)[..., None] / 255
        mixed = np.where(weight > 1e-3, inner * (1 - share) + colour[view] * share, colour[view])
        mixed = np.where(share == 0, 0, np.where(share >= 0.98, colour[view], mixed))
        cut = slice(top - above, top - above + _TILE)
        made[top : top + _TILE] = pixels(np.clip(mixed + 0.5, 0, 255))[cut]
    return made


# --- what draws the eye, without a trained model: the first guess ---------------------------------

Map = npt.NDArray[np.float32]

_SPECTRUM = 64
"""Longer side at which spectra are compared: what the authors found right for whole pictures."""

_RIM = 0.04
_COLOURS = 5
"""Share of the sides that is taken for background, and how many colours that may have."""

_SAMPLES = 20_000
"""Pixels that colours are sought in, about."""


def saliency(colour: Pixels) -> Map:
    """How likely each pixel belongs to the subject, 0 to 1, at the picture's own size.

    The product of three cues: colours that the rim of the picture does not have, the residual
    of the spectrum (X. Hou, L. Zhang: "Saliency Detection: A Spectral Residual Approach", CVPR
    2007), and nearness to the centre. Give it a small picture.
    """
    height, width = colour.shape[:2]
    rim = max(1, round(_RIM * min(height, width)))
    outside = np.ones((height, width), np.bool_)
    outside[rim : height - rim, rim : width - rim] = False
    # The lower rim counts half: people and things stand on it.
    outside[height - rim :, 1::2] = False
    contrast = _scaled(unlike(colour, outside))
    residual = _scaled(cv2.resize(_residual(colour), (width, height)))
    y, x = np.mgrid[-1 : 1 : complex(height), -1 : 1 : complex(width)]
    centre = np.exp(-(x * x + y * y) / (2 * 0.6**2))
    # Colour says most; the other two tell apart equally odd pixels.
    mixed = contrast * (0.6 + 0.4 * residual) * (0.35 + 0.65 * centre)
    blurred = cv2.GaussianBlur(mixed.astype(np.float32), (0, 0), max(1.0, max(height, width) / 150))
    return _scaled(blurred)


def unlike(colour: Pixels, outside: npt.NDArray[np.bool_]) -> Map:
    """How far each pixel is from the main colours outside, 0 to 1.

    The distance is that in CIE Lab to the nearest of them, in its own spread.

    Args:
        colour: a small picture.
        outside: where there is only background; some of it must be.
    """
    lab = np.asarray(cv2.cvtColor(cv2.medianBlur(colour, 5), cv2.COLOR_BGR2Lab), np.float32)
    samples = lab[outside]
    samples = np.ascontiguousarray(samples[:: max(1, len(samples) // _SAMPLES)])
    count = min(_COLOURS, len(samples))
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
    start = np.zeros((len(samples), 1), np.int32)
    _, labels, centres = cv2.kmeans(samples, count, start, criteria, 3, cv2.KMEANS_PP_CENTERS)
    labels = np.ravel(labels)
    nearest = np.full(lab.shape[:2], np.inf, np.float32)
    for index in range(count):
        members = samples[labels == index]
        # A subject that reaches outside must not become its own background.
        if len(members) < 0.05 * len(samples):
            continue
        centre = np.asarray(centres[index], np.float32)
        spread = np.maximum(members.std(axis=0), (6.0, 3.0, 3.0)).astype(np.float32)
        nearest = np.minimum(nearest, np.square((lab - centre) / spread).sum(axis=2))
    return np.asarray(1 - np.exp(-np.sqrt(nearest) / 6), np.float32)


def _residual(colour: Pixels) -> Map:
    small, _ = reduced(pixels(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)), _SPECTRUM)
    spectrum = np.fft.fft2(small.astype(np.float64))
    level = np.log(np.abs(spectrum) + 1e-9)
    unusual = level - np.asarray(cv2.blur(level, (3, 3)))
    back = np.abs(np.fft.ifft2(np.exp(unusual + 1j * np.angle(spectrum)))) ** 2
    return np.asarray(cv2.GaussianBlur(back, (0, 0), 2.5), np.float32)


def _scaled(values: cv2.typing.MatLike) -> Map:
    array = np.asarray(values, np.float32)
    low, high = float(np.quantile(array, 0.01)), float(np.quantile(array, 0.99))
    return np.asarray(np.clip((array - low) / max(high - low, 1e-6), 0, 1), np.float32)
