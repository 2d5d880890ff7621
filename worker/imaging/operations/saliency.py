"""What in a picture draws the eye, without a trained model: a first guess for cutting it out."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from worker.imaging.operations.vision import Pixels, pixels, reduced

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
    # Colour says most; the other two tell apart what is equally odd.
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
