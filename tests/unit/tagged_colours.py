"""Pictures whose files say what their colours mean: PNG chunks, nclx, HDR; made in code."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
from pyvips.enums import ForeignKeep

from tests.unit.pictures import Pixels, encoded
from tests.unit.specimens import chunk
from worker.imaging.encode import attach

Floats = npt.NDArray[np.float64]

PATCHES = ((220, 30, 30), (200, 120, 60), (30, 200, 30), (60, 120, 200), (128, 128, 128))
SIDE = 16
"""Pixels of a patch: all of it one colour for encoders."""


def chart() -> Pixels:
    """The patches side by side, in sRGB."""
    row = np.array(PATCHES, dtype=np.uint8).repeat(SIDE, axis=0)
    return np.ascontiguousarray(np.broadcast_to(row, (SIDE, *row.shape)))


def patches_of(pixels: Pixels) -> list[tuple[int, ...]]:
    """Colours in the middles of the patches, of a chart of any size."""
    height, width = pixels.shape[:2]
    middles = [round((index + 0.5) * width / len(PATCHES)) for index in range(len(PATCHES))]
    return [tuple(int(value) for value in pixels[height // 2, x]) for x in middles]


def light(pixels: Pixels) -> Floats:
    """Linear light of sRGB values, 0 to 1 (IEC 61966-2-1)."""
    share = pixels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def png(pixels: npt.NDArray[Any], *chunks: bytes) -> bytes:
    """A PNG of 8 or 16-bit grey, RGB or RGBA with chunks before its pixels."""
    bands = 1 if pixels.ndim == 2 else pixels.shape[2]
    kind, depth = {1: 0, 2: 4, 3: 2, 4: 6}[bands], 8 * pixels.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *chunks,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


def gama(value: float) -> bytes:
    """A gAMA chunk."""
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(*xy: float) -> bytes:
    """A cHRM chunk: x and y of white, red, green, blue."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in xy)))


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    """A cICP chunk."""
    return chunk(b"cICP", bytes((primaries, transfer, matrix, full)))


def iccp(profile: bytes) -> bytes:
    """An iCCP chunk."""
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))


def avif(pixels: Pixels, primaries: int, transfer: int, **options: Any) -> bytes:
    """An AVIF with these code points in its nclx; Pillow writes 1/13/6 there."""
    data = encoded(pixels, "AVIF", quality=100, subsampling="4:4:4", speed=8, **options)
    assert data.count(b"colrnclx\0\1\0\r\0\6") == 1
    return data.replace(
        b"colrnclx\0\1\0\r\0\6", b"colrnclx" + struct.pack(">HHH", primaries, transfer, 6)
    )


def deep_avif(values: npt.NDArray[np.uint16], primaries: int, transfer: int) -> bytes:
    """The same of 10 bits. libvips writes a profile where the code points are put."""
    image = pyvips.Image.new_from_array(values).copy(interpretation="rgb16")
    profile: bytes = pyvips.Operation.call("profile_load", "srgb")
    attach(image, "icc-profile-data", bytes(profile))
    data = image.heifsave_buffer(
        compression="av1", bitdepth=10, Q=100, effort=0, subsample_mode="off", keep=ForeignKeep.ICC
    )
    found = data.index(b"colrrICC")
    points = b"colrnclx" + struct.pack(">HHHB", primaries, transfer, 6, 0x80)
    return bytes(data[:found] + points + data[found + len(points) :])


# --- HDR: the sRGB chart as bright as a page, white at 203 cd/m2 (ITU-R BT.2408) ------------------

_TO_BT2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)
"""ITU-R BT.2087, table 4."""


def nits(pixels: Pixels) -> Floats:
    """Linear light in BT.2020, cd/m2."""
    return np.asarray(np.clip(light(pixels) @ _TO_BT2020.T, 0, 1) * 203, dtype=np.float64)


def pq(brightness: Floats) -> npt.NDArray[np.uint16]:
    """16-bit PQ values of cd/m2 (SMPTE ST 2084, 5.2)."""
    power = (brightness / 10_000) ** 0.1593017578125
    return _deep(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def hlg(brightness: Floats) -> npt.NDArray[np.uint16]:
    """16-bit HLG values of cd/m2 on a display of 1000 cd/m2 (ITU-R BT.2100, table 5)."""
    display = brightness / 1000
    luminance = np.maximum(display @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)[..., None]
    scene = display * luminance ** ((1 - 1.2) / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return _deep(np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright))


def _deep(share: Floats) -> npt.NDArray[np.uint16]:
    return np.ascontiguousarray((share * 65535 + 0.5).astype(np.uint16))
