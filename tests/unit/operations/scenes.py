"""Scenes made in code, seen by cameras made in code. Colours are blue-green-red."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from worker.imaging.operations.raster import Raster

Pixels = npt.NDArray[np.uint8]


def scenery(width: int, height: int, seed: int = 1) -> Pixels:
    """Smooth ground with many sharp things on it: something to recognise everywhere."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(60, 200, (5, 7, 3)).astype(np.uint8)
    made = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).copy()
    for _ in range(width * height // 900):
        centre = random.integers(0, (width, height))
        colour = [int(value) for value in random.integers(20, 235, 3)]
        radius = random.uniform(4, 16)
        angles = np.sort(random.uniform(0, 2 * math.pi, int(random.integers(3, 7))))
        corners = centre + radius * np.column_stack([np.cos(angles), np.sin(angles)])
        cv2.fillPoly(made, [corners.round().astype(np.int32)], colour, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(made, (0, 0), 0.7), np.uint8)


def calm(width: int, height: int, seed: int = 1) -> Pixels:
    """Smooth ground with a few large shapes: what noise and scratches are seen on."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(50, 200, (3, 4, 3)).astype(np.uint8)
    made = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)).copy()
    for _ in range(6):
        centre = tuple(int(value) for value in random.integers(0, (width, height)))
        colour = tuple(int(value) for value in random.integers(40, 215, 3))
        cv2.circle(made, centre, int(random.integers(20, 60)), colour, -1, cv2.LINE_AA)
    return np.asarray(made, np.uint8)


def noisy(picture: Pixels, sigma: float, seed: int = 2) -> Pixels:
    """With Gaussian noise of that standard deviation in every channel."""
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).round().astype(np.uint8)


def psnr(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Peak signal to noise ratio in dB."""
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def turned_camera(scene: Pixels, yaw: float, width: int = 320, height: int = 240) -> Pixels:
    """A flat scene as a camera sees it that stands before its middle and is turned to the right.

    The scene is one focal length of 600 pixels away; the camera's own is 420 pixels.
    """
    inside = np.array([[420.0, 0, width / 2], [0, 420, height / 2], [0, 0, 1]])
    middle = scene.shape[1] / 2, scene.shape[0] / 2
    wall = np.array([[600.0, 0, middle[0]], [0, 600, middle[1]], [0, 0, 1]])
    angle = math.radians(yaw)
    turn = np.array(
        [
            [math.cos(angle), 0, math.sin(angle)],
            [0, 1, 0],
            [-math.sin(angle), 0, math.cos(angle)],
        ]
    )
    view = inside @ turn.T @ np.linalg.inv(wall)
    return np.asarray(cv2.warpPerspective(scene, view, (width, height)), np.uint8)


def sheet(width: int = 420, height: int = 594, ink: int = 30) -> Pixels:
    """A page of text, white."""
    made = np.full((height, width, 3), 250, np.uint8)
    cv2.putText(made, "Invoice", (40, 70), cv2.FONT_HERSHEY_DUPLEX, 1.2, (ink, ink, ink), 2)
    for line, top in enumerate(range(115, height - 40, 24)):
        words = "lorem ipsum dolor sit amet consectetur"[line % 5 : 22 + line % 7]
        cv2.putText(made, words, (40, top), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (ink, ink, ink), 1)
    return made


def photographed(
    page: Pixels, *, tilt: float = 25.0, turn: float = 12.0, noise: float = 2.0
) -> tuple[Pixels, npt.NDArray[np.float64]]:
    """A page on a dark table, seen at an angle and lit from one side; and its true corners.

    A real camera: 800 x 600 pixels, focal length 800, looking at the middle of the page.
    """
    width, height = 800, 600
    across, down = page.shape[1] / page.shape[0], 1.0
    corners = np.array([[-across, -down], [across, -down], [across, down], [-across, down]]) / 2
    points = np.column_stack([corners, np.zeros(4)])
    spin, lean = math.radians(turn), math.radians(tilt)
    about_axis = np.array(
        [[math.cos(spin), -math.sin(spin), 0], [math.sin(spin), math.cos(spin), 0], [0, 0, 1]]
    )
    # Leaning about two axes at once: no pair of its sides stays parallel in the picture.
    about_x = np.array(
        [[1, 0, 0], [0, math.cos(lean), -math.sin(lean)], [0, math.sin(lean), math.cos(lean)]]
    )
    about_y = np.array(
        [[math.cos(lean), 0, math.sin(lean)], [0, 1, 0], [-math.sin(lean), 0, math.cos(lean)]]
    )
    seen = points @ about_axis.T @ about_x.T @ about_y.T + [0, 0, 1.75]
    places = 800 * seen[:, :2] / seen[:, 2:] + [(width - 1) / 2, (height - 1) / 2]
    ends = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [page.shape[1] - 1, page.shape[0] - 1]
    view = cv2.getPerspectiveTransform(ends.astype(np.float32), places.astype(np.float32))
    table = np.full((height, width, 3), (70, 90, 120), np.float64)
    paper = np.asarray(cv2.warpPerspective(page, view, (width, height)), np.float64)
    covered = cv2.warpPerspective(np.full(page.shape[:2], 255, np.uint8), view, (width, height))
    share = np.asarray(covered, np.float64)[..., None] / 255
    light = np.linspace(1.0, 0.55, width)[None, :, None]
    made = (table * (1 - share) + paper * share) * light
    return noisy(np.clip(made, 0, 255).astype(np.uint8), noise), places


def raster(picture: Pixels) -> Raster:
    """As an operation takes it."""
    return Raster(colour=np.ascontiguousarray(picture))
