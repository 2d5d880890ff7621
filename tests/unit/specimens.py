"""Valid pictures of every accepted format and flavour, made in code, small.

Bad files are in ``tests.unit.hostile``. All are 64 x 48 unless their name says otherwise, with a
red, a green, a blue and a white quarter so that rotation and channel order show.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvips
from PIL import Image, ImageCms

from tests.unit.heic import make_heic
from worker.imaging import libjxl

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WIDTH, HEIGHT = 64, 48


def quarters(*, seed: int = 1) -> NDArray[np.uint8]:
    """Red, green, blue and white quarters with a little noise, height x width x 3."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.int64)
    pixels[:24, :32] = (220, 30, 30)
    pixels[:24, 32:] = (30, 200, 30)
    pixels[24:, :32] = (30, 30, 220)
    pixels[24:, 32:] = (240, 240, 240)
    noise = np.random.default_rng(seed).integers(-6, 7, pixels.shape)
    clipped: NDArray[np.uint8] = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return clipped


def picture(mode: str = "RGB", *, seed: int = 1) -> Image.Image:
    """The quarters as a Pillow picture; alpha fades in from the left."""
    image = Image.fromarray(quarters(seed=seed))
    if mode in ("RGBA", "LA"):
        fade = np.linspace(0, 255, WIDTH).astype(np.uint8)[None, :].repeat(HEIGHT, 0)
        image.putalpha(Image.fromarray(fade))
    return image.convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode with Pillow."""
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def vips(pixels: NDArray[Any], interpretation: str = "srgb") -> pyvips.Image:
    """A libvips image of an array."""
    return pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)


def deep(bands: int = 3) -> NDArray[np.uint16]:
    """The quarters in 16 bits."""
    return quarters()[:, :, :bands].astype(np.uint16) * 257


def exif(orientation: int) -> bytes:
    """An EXIF block with an orientation and an artist."""
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x013B] = "A. Painter"
    return block.tobytes()


@cache
def srgb_profile() -> bytes:
    """An sRGB profile with the name "sRGB built-in"."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def frames(count: int) -> list[Image.Image]:
    """Different pictures of one size."""
    return [picture(seed=seed + 2).rotate(10 * seed) for seed in range(count)]


def animation(kind: str, *, count: int = 4, delay: int = 70, loop: int = 0) -> bytes:
    """A moving GIF or WebP."""
    first, *rest = frames(count)
    return saved(first, kind, save_all=True, append_images=rest, duration=delay, loop=loop)


def chunk(name: bytes, content: bytes) -> bytes:
    """One PNG chunk."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _palette_png(*, transparent: bool = False) -> bytes:
    options = {"transparency": 0} if transparent else {}
    return saved(picture().quantize(16), "PNG", **options)


def _clear_gif() -> bytes:
    return saved(picture().quantize(16), "GIF", transparency=0)


def _tiff(array: NDArray[Any], interpretation: str = "srgb", **options: Any) -> bytes:
    return bytes(vips(array, interpretation).tiffsave_buffer(**options))


def lab_tiff(image: Image.Image, **options: Any) -> bytes:
    """CIELAB in bytes, the white that of D50."""
    srgb, lab_profile = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    transform = ImageCms.buildTransform(srgb, lab_profile, "RGB", "LAB")
    lab = ImageCms.applyTransform(image, transform)
    assert lab is not None
    return saved(lab, "TIFF", **options)


def _mpo() -> bytes:
    return saved(picture(), "MPO", save_all=True, append_images=[picture(seed=9)])


def _gain_map_jpeg() -> bytes:
    """Like Ultra HDR: a second JPEG behind the end of the first one."""
    return saved(picture(), "JPEG") + saved(picture("L"), "JPEG")


def _alpha_bmp() -> bytes:
    """Version 4 header with a mask for each channel: Pillow reads alpha of BMP, and writes none."""
    rows = np.asarray(picture("RGBA"))[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, 32, 3, len(rows), 0, 0, 0, 0)
    head += struct.pack("<4I", *masks) + bytes(52)
    return b"BM" + struct.pack("<IHHI", 122 + len(rows), 0, 0, 122) + head + rows


def _avif_with_exif_only() -> bytes:
    """Its EXIF says that it is turned and its container does not, which is what counts."""
    image = vips(quarters())
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    data = bytes(image.heifsave_buffer(compression="av1", effort=0))
    return data.replace(b"irot\x03", b"irot\x00")


def svg(body: str = "", *, root: str = 'width="64" height="48"') -> bytes:
    """A drawing with the SVG namespace declared."""
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    shapes = body or '<rect width="32" height="24" fill="#dc1e1e"/>'
    return f"<svg {spaces} {root}>{shapes}</svg>".encode()


def jxl(
    *frames: NDArray[Any], distance: float = 1, progressive: bool = False, **options: Any
) -> bytes:
    """A JPEG XL of frames, height x width x channels."""
    settings = libjxl.JxlSettings(distance=distance, effort=3, progressive=progressive)
    return libjxl.encode(frames, settings, **options)


def p3_profile(*, red: int | None = None) -> bytes:
    """The profile of Display P3; with another red (X, in 65536ths) no code point says the same."""
    profile = bytearray(pyvips.Operation.call("profile_load", "p3"))
    if red is not None:
        entry = profile.index(b"rXYZ", 128)
        (place,) = struct.unpack_from(">I", profile, entry + 4)
        struct.pack_into(">i", profile, place + 8, red)
    return bytes(profile)


def _with_alpha() -> NDArray[np.uint8]:
    return np.asarray(picture("RGBA"))


def _bouncing() -> list[NDArray[np.uint8]]:
    return [np.roll(quarters(), 9 * index, axis=1) for index in range(4)]


SPECIMENS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(picture(), "JPEG"),
    "jpeg-progressive": lambda: saved(picture(), "JPEG", progressive=True),
    "jpeg-grey": lambda: saved(picture("L"), "JPEG"),
    "jpeg-cmyk": lambda: saved(picture("CMYK"), "JPEG"),
    "jpeg-rotated": lambda: saved(picture(), "JPEG", exif=exif(6)),
    "jpeg-profile": lambda: saved(picture(), "JPEG", icc_profile=srgb_profile()),
    "jpeg-mpo": _mpo,
    "jpeg-gain-map": _gain_map_jpeg,
    "png": lambda: saved(picture(), "PNG"),
    "png-alpha": lambda: saved(picture("RGBA"), "PNG"),
    "png-grey": lambda: saved(picture("L"), "PNG"),
    "png-grey-alpha": lambda: saved(picture("LA"), "PNG"),
    "png-one-bit": lambda: saved(picture("1"), "PNG"),
    "png-palette": _palette_png,
    "png-palette-clear": lambda: _palette_png(transparent=True),
    "png-clear-colour": lambda: saved(picture(), "PNG", transparency=(1, 2, 3)),
    "png-16": lambda: bytes(vips(deep(), "rgb16").pngsave_buffer(bitdepth=16)),
    "png-grey-16": lambda: bytes(vips(deep(1), "grey16").pngsave_buffer(bitdepth=16)),
    "png-interlaced": lambda: bytes(vips(quarters()).pngsave_buffer(interlace=True)),
    "png-rotated": lambda: saved(picture(), "PNG", exif=exif(8)),
    "png-profile": lambda: saved(picture(), "PNG", icc_profile=srgb_profile()),
    "png-animated": lambda: saved(picture(), "PNG", save_all=True, append_images=frames(3)),
    "webp": lambda: saved(picture(), "WEBP"),
    "webp-alpha": lambda: saved(picture("RGBA"), "WEBP"),
    "webp-lossless": lambda: saved(picture(), "WEBP", lossless=True),
    "webp-lossless-alpha": lambda: saved(picture("RGBA"), "WEBP", lossless=True),
    "webp-rotated": lambda: saved(picture(), "WEBP", exif=exif(3)),
    "webp-profile": lambda: saved(picture(), "WEBP", icc_profile=srgb_profile()),
    "webp-animated": lambda: animation("WEBP", loop=3),
    "gif": lambda: saved(picture(), "GIF", interlace=0),
    "gif-interlaced": lambda: saved(picture(), "GIF", interlace=1),
    "gif-clear": _clear_gif,
    "gif-grey": lambda: saved(picture("L"), "GIF", interlace=0),
    "gif-animated": lambda: animation("GIF"),
    "avif": lambda: saved(picture(), "AVIF", speed=10),
    "avif-alpha": lambda: saved(picture("RGBA"), "AVIF", speed=10),
    "avif-rotated": lambda: saved(picture(), "AVIF", speed=10, exif=exif(6)),
    "avif-exif": _avif_with_exif_only,
    "avif-profile": lambda: saved(picture(), "AVIF", speed=10, icc_profile=srgb_profile()),
    "avif-10": lambda: bytes(
        vips(deep(), "rgb16").heifsave_buffer(compression="av1", bitdepth=10, effort=0)
    ),
    "tiff": lambda: saved(picture(), "TIFF"),
    "tiff-lzw": lambda: saved(picture(), "TIFF", compression="tiff_lzw"),
    "tiff-deflate": lambda: _tiff(quarters(), compression="deflate", predictor="horizontal"),
    "tiff-jpeg": lambda: _tiff(quarters(), compression="jpeg"),
    "tiff-fax": lambda: saved(picture("1"), "TIFF", compression="group4"),
    "tiff-alpha": lambda: saved(picture("RGBA"), "TIFF"),
    "tiff-palette": lambda: saved(picture().quantize(16), "TIFF"),
    "tiff-grey": lambda: saved(picture("L"), "TIFF"),
    "tiff-cmyk": lambda: saved(picture("CMYK"), "TIFF"),
    "tiff-lab-8": lambda: lab_tiff(picture()),
    "tiff-lab-16": lambda: bytes(vips(quarters()).colourspace("labs").tiffsave_buffer()),
    "tiff-lab-float": lambda: bytes(vips(quarters()).colourspace("lab").tiffsave_buffer()),
    "tiff-16": lambda: _tiff(deep(), "rgb16"),
    "tiff-tiled": lambda: _tiff(quarters(), tile=True, tile_width=16, tile_height=16),
    "tiff-big": lambda: _tiff(quarters(), bigtiff=True),
    "tiff-big-endian": lambda: saved(picture("I;16B"), "TIFF"),
    "tiff-rotated": lambda: saved(picture(), "TIFF", tiffinfo={0x0112: 5}),
    "tiff-profile": lambda: saved(picture(), "TIFF", icc_profile=srgb_profile()),
    "tiff-pages": lambda: saved(picture(), "TIFF", save_all=True, append_images=frames(2)),
    "bmp": lambda: saved(picture(), "BMP"),
    "bmp-alpha": _alpha_bmp,
    "bmp-palette": lambda: saved(picture().quantize(16), "BMP"),
    "bmp-grey": lambda: saved(picture("L"), "BMP"),
    "bmp-one-bit": lambda: saved(picture("1"), "BMP"),
    "heic": make_heic,
    "heic-10": lambda: make_heic(deep=True),
    "heic-alpha": lambda: make_heic(alpha=True),
    "heic-rotated": lambda: make_heic(rotate=1),
    "heic-exif": lambda: make_heic(exif=exif(6).removeprefix(b"Exif\0\0")),
    "heic-profile": lambda: make_heic(icc=srgb_profile()),
    "jxl": lambda: jxl(quarters()),
    "jxl-alpha": lambda: jxl(_with_alpha()),
    "jxl-grey": lambda: jxl(quarters()[:, :, :1]),
    "jxl-lossless": lambda: jxl(quarters(), distance=0),
    "jxl-progressive": lambda: jxl(quarters(), progressive=True),
    "jxl-16": lambda: jxl(deep()),
    "jxl-wide": lambda: jxl(quarters(), profile=p3_profile()),
    "jxl-profile": lambda: jxl(quarters(), distance=0, profile=p3_profile(red=40_000)),
    "jxl-light": lambda: jxl(quarters(), profile=p3_profile(red=40_000)),
    "jxl-exif": lambda: jxl(quarters(), exif=exif(6)),
    "jxl-animated": lambda: jxl(*_bouncing(), delays=(50, 100, 150, 200), loop=3),
    "jxl-jpeg": lambda: libjxl.repack(saved(picture(), "JPEG"), effort=3),
    "jxl-jpeg-rotated": lambda: libjxl.repack(saved(picture(), "JPEG", exif=exif(6)), effort=3),
    "svg": svg,
    "svg-view-box": lambda: svg(root='viewBox="0 0 64 48"'),
}
"""Maker of each flavour; the name begins with the format's value."""


@cache
def specimen(name: str) -> bytes:
    """A specimen, made once in a process."""
    return SPECIMENS[name]()
