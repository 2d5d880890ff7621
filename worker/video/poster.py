"""The frame that stands for a video: sharp, well exposed, and not a title, a fade or a blur.

The score is the product of four numbers between 0 and 1, so that a frame must be good in every
way (:func:`judge`). Measures are taken on a reduced copy, so they do not depend on the size of
the video.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import cv2
import numpy as np

from worker.imaging.geometry import Size
from worker.imaging.operations.vision import opencv, pixels, reduced
from worker.job_context import JobContext
from worker.video.frames import Frame, FrameSource, Way, spread

_EDGE = 320
"""Longer side of what is measured, pixels."""
_SHARP = 400.0
"""Variance of the Laplacian at which a frame of that size counts as half sharp."""
_BLURRED = 12.0
"""Below this there is nothing to see in it."""
_DARK, _LIGHT = 30, 225
"""Mean luma of frames that are nearly black or white, of 255."""
_FLAT = 10.0
"""Standard deviation of luma of a frame without content."""
_NEAR = 5
"""Levels of luma that still are one plain background, to both sides."""
_PLAIN = 0.72
"""Share of such a background that makes a title card or credits."""


class Fault(StrEnum):
    """Why a frame should not stand for a source."""

    BLACK = "black"
    WHITE = "white"
    FLAT = "flat"
    """One colour, or nearly."""
    TITLE = "title"
    """A little on a plain background."""
    BLURRED = "blurred"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameMeasures:
    """Measurements of one frame, at 320 pixels on its longer side."""

    sharpness: float
    """Variance of the Laplacian of luma, 0-255 scale (Pech-Pacheco et al., "Diatom autofocusing
    in brightfield microscopy", ICPR 2000)."""
    exposure: float
    """Mean over pixels of exp(-(Y - 0.5)^2 / (2 * 0.2^2)), 0 to 1: well-exposedness of Mertens,
    Kautz and Van Reeth, "Exposure fusion", Pacific Graphics 2007."""
    colourfulness: float
    """Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 2003; 0 is grey,
    33 moderate, 109 extreme."""
    clipped: float
    """Share of pixels with luma <= 4 or >= 251."""
    mean: float
    """Of luma, 0 to 255."""
    deviation: float
    """Standard deviation of luma, 0-255 scale."""
    plain: float
    """Largest share of pixels whose luma is within 5 levels of one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Measures and what follows from them."""

    score: float
    """0 to 1."""
    fault: Fault | None
    measures: FrameMeasures


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """The frame that was chosen."""

    frame: Frame = field(repr=False)
    seconds: float
    """From the first picture."""
    judgement: Judgement
    """Its ``fault`` is set only where every candidate has one."""
    candidates: int
    faults: dict[str, int]
    """How many candidates were passed over, by reason."""
    way: Way


def choose(source: FrameSource, *, candidates: int, size: Size, context: JobContext) -> Poster:
    """Look at frames spread over a video and keep the best.

    Args:
        source: opened by ``frames.open_video``.
        candidates: how many, at most as many as the video has pictures.
        size: of the frame that is returned, pixels.
        context: told about progress and asked to stop.

    Raises:
        Rejected: no frame can be decoded.
    """
    count = max(1, min(candidates, source.timeline.pictures))
    best: tuple[tuple[bool, float], float, Frame, Judgement] | None = None
    faults: dict[str, int] = {}
    seen = 0

    def take(index: int, seconds: float, frame: Frame) -> None:
        nonlocal best, seen
        context.step(index / count, "looking at frames")
        seen += 1
        judgement = judge(frame)
        if judgement.fault is not None:
            faults[judgement.fault.value] = faults.get(judgement.fault.value, 0) + 1
        # The earlier of equals: a video that stands still is shown by its beginning.
        rank = (judgement.fault is None, judgement.score)
        if best is None or rank > best[0]:
            best = (rank, seconds, frame, judgement)

    way = spread(source, count, size, take)
    assert best is not None  # spread raises where there is no frame
    _, seconds, frame, judgement = best
    return Poster(
        frame=frame, seconds=seconds, judgement=judgement, candidates=seen, faults=faults, way=way
    )


def judge(frame: Frame) -> Judgement:
    """Measure a frame and score it.

    The score is sharpness x exposure x contrast x colour, where sharpness is v / (v + 400) of the
    Laplacian's variance v, exposure its mean well-exposedness less what is clipped, contrast is
    1 - exp(-deviation / 40) and colour goes from 0.7 (grey) to 1 (colourfulness 40 and above).
    The constants were set by eye on graded test scenes; only the order of frames depends on them.
    """
    found = measure(frame)
    sharp = found.sharpness / (found.sharpness + _SHARP)
    exposed = found.exposure * (1 - found.clipped)
    contrast = 1 - float(np.exp(-found.deviation / 40))
    colour = 0.7 + 0.3 * min(1.0, found.colourfulness / 40)
    score = sharp * exposed * contrast * colour
    return Judgement(score=round(score, 4), fault=_fault(found), measures=found)


def measure(frame: Frame) -> FrameMeasures:
    """Criteria of :func:`judge`."""
    with opencv():
        small, _ = reduced(frame, _EDGE)
        luma = pixels(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        laplacian = cv2.Laplacian(luma, cv2.CV_64F)
        share = luma.astype(np.float64) / 255
        red, green, blue = (small[..., band].astype(np.float64) for band in range(3))
        across, along = red - green, (red + green) / 2 - blue
        spread_ = float(np.hypot(across.std(), along.std()))
        middle = float(np.hypot(across.mean(), along.mean()))
        counts = np.bincount(luma.reshape(-1), minlength=256)
    near = np.convolve(counts, np.ones(2 * _NEAR + 1), mode="same")
    return FrameMeasures(
        sharpness=float(laplacian.var()),
        exposure=float(np.exp(-((share - 0.5) ** 2) / (2 * 0.2**2)).mean()),
        colourfulness=spread_ + 0.3 * middle,
        clipped=float((counts[:5].sum() + counts[251:].sum()) / luma.size),
        mean=float(luma.mean()),
        deviation=float(luma.std()),
        plain=float(near.max() / luma.size),
    )


def _fault(found: FrameMeasures) -> Fault | None:
    if found.plain >= _PLAIN and found.deviation >= _FLAT:
        return Fault.TITLE
    if found.mean < _DARK:
        return Fault.BLACK
    if found.mean > _LIGHT:
        return Fault.WHITE
    if found.deviation < _FLAT:
        return Fault.FLAT
    return Fault.BLURRED if found.sharpness < _BLURRED else None
