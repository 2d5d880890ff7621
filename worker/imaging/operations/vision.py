"""The rules under which OpenCV runs here: the same result every time, errors of our own tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from worker.domain.errors import EngineError, MemoryPressure

Pixels = npt.NDArray[np.uint8]
"""Rows, columns and (if coloured) blue, green, red: OpenCV's order."""

Step = Callable[[float, str], None]
"""Called often with the share done (0 to 1) and what comes next. It may raise to stop the work:
operations leave nothing behind."""

_SEED = 20_260_101
_LONGEST_MESSAGE = 300


def silent(share: float, what: str) -> None:
    """A :data:`Step` that does nothing."""


@contextmanager
def opencv(threads: int = 1) -> Iterator[None]:
    """Wrap every use of OpenCV.

    Random choices (RANSAC, k-means) start from the same seed. More than one thread only where
    the operation is known to give the same pixels then; with one thread all of them do.

    Raises:
        MemoryPressure: OpenCV or numpy found no memory.
        EngineError: OpenCV refused an operation: a defect here, since inputs were checked.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    cv2.ocl.setUseOpenCL(False)
    cv2.setRNGSeed(_SEED)
    try:
        yield
    except MemoryError as error:
        raise MemoryPressure("the picture needs more memory than there is") from error
    except cv2.error as error:
        said = re.sub(r"\s+", " ", str(error)).strip()[:_LONGEST_MESSAGE]
        if getattr(error, "code", None) == cv2.Error.StsNoMem or "Insufficient memory" in said:
            raise MemoryPressure(f"OpenCV needs more memory than there is: {said}") from error
        raise EngineError(f"OpenCV: {said}") from error
    finally:
        cv2.setNumThreads(before)


def pixels(array: Any) -> Pixels:
    """OpenCV's result with the type of 8-bit pixels."""
    return np.asarray(array, np.uint8)


def reduced(picture: Pixels, longest: int) -> tuple[Pixels, float]:
    """A copy for looking at, its longer side at most ``longest`` pixels, and its scale (<= 1)."""
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    if scale == 1.0:
        return picture, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return pixels(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)), scale
