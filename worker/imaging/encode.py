"""Encodes working pixels, with the fastest measured encoder for each format.

JPEG and still WebP go through Pillow, whose builds of libjpeg-turbo and libwebp take 10-20 % less
CPU than the ones in pyvips-binary for the same bytes (docs/benchmarks.md); JPEG XL goes through
libjxl; AVIF, PNG, GIF and animated WebP go through libvips. Every file is written only with the
requested metadata, and without an orientation, because the pixels are upright.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image, WebPImagePlugin
from pyvips.enums import ForeignKeep

from worker.domain.image import ALPHA_FORMATS, Encoding, Format
from worker.imaging import libjxl
from worker.imaging.animation import gif_timing, shown_ms
from worker.imaging.rgbx import Rgbx

# If WebP is not registered, Pillow's first save() imports all its forty formats.
assert WebPImagePlugin.SUPPORTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """Contents of a file other than its pixels."""

    profile: bytes | None = None
    """ICC profile to embed; None for sRGB, which needs none."""
    exif: bytes | None = None
    delays: tuple[int, ...] = ()
    """Stored delay of each frame, in milliseconds. The file gets the delays that players would
    show."""
    loop: int = 0
    """Number of repeats of an animation; 0 for ever."""


class Picture:
    """The pixels of one rendition for several encoders. Each conversion is made once."""

    def __init__(self, frames: list[pyvips.Image], background: str = "#ffffff") -> None:
        """Take working pixels.

        Args:
            frames: all of one size, in memory.
            background: ``#rrggbb`` under transparency in formats without alpha.
        """
        self._frames = frames
        self._photo: Rgbx | None = None
        self.background = background
        self._opaque: Image.Image | None = None
        self._blended: Image.Image | None = None

    @classmethod
    def of_photo(cls, photo: Rgbx) -> Picture:
        """The same from pixels in a format of Pillow's."""
        made = cls([])
        made._photo = photo
        return made

    @property
    def frames(self) -> list[pyvips.Image]:
        """All frames, in memory."""
        if self._photo is not None and not self._frames:
            self._frames = [self._photo.vips()]
        return self._frames

    @property
    def transparent(self) -> bool:
        """Whether any pixel is transparent."""
        return self._photo is None and bool(self._frames[0].hasalpha())

    @property
    def width(self) -> int:
        """Pixels across."""
        return self._frames[0].width if self._photo is None else self._photo.size.width

    @property
    def height(self) -> int:
        """Pixels down."""
        return self._frames[0].height if self._photo is None else self._photo.size.height

    def arrays(self, count: int) -> list[npt.NDArray[np.uint8]]:
        """The first ``count`` frames in libjxl's format, all with the same number of channels."""
        if self._photo is not None:
            return [self._photo.packed()]
        frames = self.frames[:count]
        if any(frame.hasalpha() for frame in frames):
            frames = [frame if frame.hasalpha() else frame.addalpha() for frame in frames]
        if len({frame.bands for frame in frames}) > 1:
            frames = [frame.colourspace("srgb") for frame in frames]
        return [
            np.frombuffer(frame.write_to_memory(), np.uint8).reshape(
                frame.height, frame.width, frame.bands
            )
            for frame in frames
        ]

    def flat(self) -> list[pyvips.Image]:
        """The frames without transparency."""
        return [flattened(frame, self.background) for frame in self.frames]

    def opaque(self) -> Image.Image:
        """The first frame without transparency, in Pillow's format."""
        if self._opaque is None:
            if self._photo is None:
                self._opaque = _to_pillow(flattened(self.frames[0], self.background))
            else:
                self._opaque = self._photo.pillow()
        return self._opaque

    def blended(self) -> Image.Image:
        """The first frame with its transparency, if it has any."""
        if not self.transparent:
            return self.opaque()
        if self._blended is None:
            self._blended = _to_pillow(self.frames[0])
        return self._blended


def encode(
    picture: Picture, encoding: Encoding, quality: int, extras: Extras, *, frames: int = 1
) -> bytes:
    """Write one file.

    Args:
        picture: the pixels.
        encoding: format and its settings; its own ``quality`` and ``target`` are not read.
        quality: 1 to 100.
        extras: metadata and animation timing.
        frames: how many frames to write; more than one only for WebP, GIF and JPEG XL.

    Returns:
        The file's bytes; the same arguments give the same bytes.

    Raises:
        ValueError: the format cannot be written.
    """
    if encoding.format is Format.JPEG:
        return _pillow(picture.opaque(), encoding, quality, extras)
    if encoding.format is Format.WEBP and frames == 1 and not encoding.lossless:
        return _pillow(picture.blended(), encoding, quality, extras)
    if encoding.format is Format.JXL:
        return _jxl(picture.arrays(frames), encoding, quality, extras)
    kept = picture.frames if encoding.format in ALPHA_FORMATS else picture.flat()
    return _vips(kept[:frames], encoding, quality, extras)


def _jxl(
    frames: list[npt.NDArray[np.uint8]], encoding: Encoding, quality: int, extras: Extras
) -> bytes:
    distance = libjxl.distance_of(quality) if encoding.distance is None else encoding.distance
    delays = [shown_ms(delay) for delay in extras.delays[: len(frames)]]
    return libjxl.encode(
        frames,
        libjxl.JxlSettings(
            distance=0 if encoding.lossless else distance,
            effort=encoding.effort,
            progressive=encoding.progressive,
        ),
        # Grey has no gamut, and an RGB profile would not match.
        profile=extras.profile if frames[0].shape[2] > 2 else None,
        exif=extras.exif,
        delays=delays + [shown_ms(0)] * (len(frames) - len(delays)),
        loop=extras.loop,
    )


def colour_of(value: str) -> list[float]:
    """``#rrggbb`` as three numbers, 0 to 255, as libvips takes them."""
    return [float(part) for part in bytes.fromhex(value.removeprefix("#"))]


def flattened(image: pyvips.Image, background: str) -> pyvips.Image:
    """Flatten transparency onto a colour; opaque pictures are returned unchanged."""
    if not image.hasalpha():
        return image
    if image.bands == 2:
        image = image.colourspace("srgb")
    return image.flatten(background=colour_of(background))


JPEG_LUMA = (
    4.5, 6.0, 9.4, 14.8, 15.6, 16.5, 17.5, 20.4, 23.8, 27.8, 32.6, 38.4, 45.2, 53.1, 62.5,
)  # fmt: skip
JPEG_CHROMA = (
    3.2, 6.4, 9.2, 13.2, 15.7, 18.7, 22.4, 22.6, 22.8, 23.0, 28.3, 34.7, 42.5, 52.2, 64.0,
)  # fmt: skip
"""Steps of quantisation at quality 80, by the sum of both frequencies of a coefficient (0 to 14).

Fitted to SSIMULACRA2 by ``worker.bench.fit_jpeg``. At an equal score, files are 14 % smaller than
with the tables of ITU-T T.81, annex K (13 % on 22 photos that were not fitted).
"""


def jpeg_tables(quality: int) -> list[list[int]]:
    """Tables of quantisation for luma and chroma, 64 steps each, row by row, 1 to 255.

    Quality scales them as in libjpeg (``jpeg_quality_scaling`` in jcparam.c), so that a quality
    number gives the same visual quality as there, or slightly better.

    Args:
        quality: 1 to 100.
    """
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    factor = percent / 40  # 40 is what quality 80 gives
    return [
        [
            # Baseline decoders take steps of 8 bits (ITU-T T.81, B.2.4.1).
            min(255, max(1, round(factor * steps[row + column])))
            for row in range(8)
            for column in range(8)
        ]
        for steps in (JPEG_LUMA, JPEG_CHROMA)
    ]


_NO_MEMORY = ("encoding error 1", "encoding error 2")
"""Pillow's messages for libwebp's two codes of a failed allocation (webp/encode.h)."""


def _pillow(image: Image.Image, encoding: Encoding, quality: int, extras: Extras) -> bytes:
    options: dict[str, object] = {}
    if extras.exif is not None:
        options["exif"] = extras.exif
    if extras.profile is not None:
        options["icc_profile"] = extras.profile
    if encoding.format is Format.JPEG:
        # optimize=True changes nothing for progressive files, whose Huffman tables always are
        # computed; baseline ones get theirs for 2 ms.
        options |= {"progressive": encoding.progressive, "optimize": not encoding.progressive}
        options["qtables"] = jpeg_tables(quality)[: 1 if image.mode == "L" else 2]
    else:
        options |= {"quality": quality, "method": encoding.effort}
    out = io.BytesIO()
    try:
        image.save(out, encoding.format.value, **options)
    except ValueError as error:
        if str(error) in _NO_MEMORY:
            raise MemoryError(f"{error} (WebP)") from error
        raise
    return out.getvalue()


def _to_pillow(image: pyvips.Image) -> Image.Image:
    """Pass pixels to Pillow without a copy: Pillow maps four-byte modes in place."""
    if image.bands == 1:
        mode = "L"
    elif image.hasalpha():
        mode = "RGBA"
        image = image.colourspace("srgb") if image.bands == 2 else image
    else:
        return Rgbx.of(image).pillow()
    pixels = image.write_to_memory()
    return Image.frombuffer(mode, (image.width, image.height), pixels, "raw", mode, 0, 1)


_PINNED = threading.Lock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Make libvips use one thread. libheif passes the number of threads to libaom, which divides
    the picture into that many columns, so the bytes of an AVIF would depend on it.

    heifsave has no parameter for it. The number is global to the process; the lock prevents a
    second encoder from restoring it while the first is running. At 2048 pixels two threads would
    save 30 to 40 % of the time of an AVIF, and no CPU.
    """
    with _PINNED:
        before = pyvips.vips_lib.vips_concurrency_get()
        pyvips.vips_lib.vips_concurrency_set(1)
        try:
            yield
        finally:
            pyvips.vips_lib.vips_concurrency_set(before)


def _vips(frames: list[pyvips.Image], encoding: Encoding, quality: int, extras: Extras) -> bytes:
    image = _animation(frames, encoding, extras) if len(frames) > 1 else frames[0].copy()
    if image.bands <= 2 and encoding.format is not Format.PNG:
        image = image.colourspace("srgb")
    for field in image.get_fields():
        # Metadata of the original, especially GPS, must not leak into renditions.
        if field.startswith(("exif-", "xmp-", "iptc-", "icc-", "png-comment", "gif-", "heif-")):
            image.remove(field)
    keep = ForeignKeep.NONE
    if extras.profile is not None:
        attach(image, "icc-profile-data", extras.profile)
        keep |= ForeignKeep.ICC
    if extras.exif is not None and encoding.format is not Format.GIF:
        attach(image, "exif-data", extras.exif)
        keep |= ForeignKeep.EXIF
    save: Callable[..., bytes]
    match encoding.format:
        case Format.WEBP:
            save = partial(
                image.webpsave_buffer,
                Q=quality,
                effort=encoding.effort,
                lossless=encoding.lossless,
                # Otherwise libwebp replaces colours below full transparency.
                exact=encoding.lossless,
            )
        case Format.AVIF:
            save = partial(
                image.heifsave_buffer,
                compression="av1",
                Q=quality,
                effort=encoding.effort,
                lossless=encoding.lossless,
            )
        case Format.PNG:
            save = partial(
                image.pngsave_buffer, compression=encoding.effort, interlace=encoding.progressive
            )
        case Format.GIF:
            save = image.gifsave_buffer
        case other:
            message = f"{other.value} is not an output format"
            raise ValueError(message)
    if encoding.format is Format.AVIF:
        with _one_thread():
            return save(keep=keep)
    return save(keep=keep)


def attach(image: pyvips.Image, name: str, data: bytes) -> None:
    """Set a binary field (an ICC profile, an EXIF block) on an image that has no other user."""
    value: Any = data  # the stubs of pyvips do not know that blobs take bytes
    image.set_type(pyvips.GValue.blob_type, name, value)


def _animation(frames: list[pyvips.Image], encoding: Encoding, extras: Extras) -> pyvips.Image:
    """Frames in libvips's form of an animation: one below the other, with their delays."""
    if any(frame.hasalpha() for frame in frames):
        frames = [frame if frame.hasalpha() else frame.addalpha() for frame in frames]
    delays = [shown_ms(delay) for delay in extras.delays[: len(frames)]]
    delays += [shown_ms(0)] * (len(frames) - len(delays))
    if encoding.format is Format.GIF:
        timing = gif_timing(delays)
        frames, delays = [frames[index] for index, _ in timing], [delay for _, delay in timing]
    image = pyvips.Image.arrayjoin(frames, across=1).copy()
    image.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    image.set_type(pyvips.GValue.array_int_type, "delay", delays)
    image.set_type(pyvips.GValue.gint_type, "loop", extras.loop)
    return image
