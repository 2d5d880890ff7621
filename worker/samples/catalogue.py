"""The list of samples: name, what it shows, how its file is made."""

from __future__ import annotations

import struct
import textwrap
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyvips
from PIL import Image

from worker.samples import camera, scenes
from worker.samples.camera import Shot
from worker.samples.scenes import Floats, Landscape, develop, landscape

_COMPASS = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">
  <title>Compass rose</title>
  <defs>
    <radialGradient id="face"><stop offset="0" stop-color="#fffaf0"/>
      <stop offset="1" stop-color="#ecd9b8"/></radialGradient>
    <path id="points" d="M200 40 L222 200 L200 360 L178 200 Z" fill="#b23a48"/>
  </defs>
  <circle cx="200" cy="200" r="184" fill="url(#face)" stroke="#1d3557" stroke-width="12"/>
  <use href="#points"/>
  <use href="#points" transform="rotate(90 200 200)"/>
</svg>
"""
"""A harmless SVG: shapes, a gradient, references inside the file."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: its path below the folder, a line about it and the maker of its bytes."""

    name: str
    about: str
    make: Callable[[float], bytes]
    """Its bytes, with sides of this share of the usual."""


def _size(scale: float, width: int, height: int) -> tuple[int, int]:
    return max(round(width * scale), 48), max(round(height * scale), 48)


def _photo(
    scene: Callable[[int, int], Floats],
    size: tuple[int, int],
    shot: Shot,
    *,
    progressive: bool = False,
    p3: bool = False,
) -> Callable[[float], bytes]:
    """A photo of a scene, with a canvas of this size."""

    def make(scale: float) -> bytes:
        pixels = develop(scene(*_size(scale, *size)))
        return camera.photo(pixels, shot, progressive=progressive, p3=p3)

    return make


def _landscape(land: Landscape) -> Callable[[int, int], Floats]:
    return partial(landscape, land=land)


_FOG = Shot(
    taken="2025:09:21 06:48:12",
    exposure=(1, 250),
    gps=(46.5405, 12.1357, 1840.0),
    title="Mountains in morning fog",
    caption="Six ranges behind each other, a little after sunrise.",
    keywords=("mountains", "fog", "sunrise", "landscape"),
)
_HARBOUR = Shot(
    title="Harbour at dusk", exposure=(1, 8), keywords=("harbour", "dusk", "reflection", "Fjørd")
)
_DUNES = Shot(title="Dunes in low sun", orientation=3, gps=(31.1499, -3.9790, 731.0))


def _cmyk(scale: float) -> bytes:
    pixels = develop(landscape(*_size(scale, 700, 700), scenes.FOG))
    return camera.cmyk(pixels, Shot(title="Mountains, for print"))


def _deep_png(scale: float) -> bytes:
    canvas = landscape(*_size(scale, 1050, 700), scenes.MOON)
    data: bytes = camera.deep(canvas).pngsave_buffer(bitdepth=16, compression=4)
    return data


def _pages(scale: float) -> bytes:
    """Two pages of 16 bits in one TIFF."""
    width, height = _size(scale, 720, 480)
    pages = [
        camera.deep(scene(width, height)) for scene in (_landscape(scenes.LAKE), scenes.lights)
    ]
    strip = pyvips.Image.arrayjoin(pages, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    data: bytes = strip.tiffsave_buffer(compression="deflate", predictor="horizontal")
    return data


def _avif(scale: float) -> bytes:
    image = pyvips.Image.new_from_array(
        develop(scenes.lights(*_size(scale, 800, 600)), grain=0.015)
    )
    data: bytes = image.heifsave_buffer(compression="av1", Q=60, effort=1)
    return data


def _webp(scale: float) -> bytes:
    image = pyvips.Image.new_from_array(develop(landscape(*_size(scale, 600, 800), scenes.DUNES)))
    data: bytes = image.webpsave_buffer(Q=82, effort=2)
    return data


def _palette(scale: float) -> bytes:
    picture = Image.fromarray(develop(landscape(*_size(scale, 450, 600), scenes.HARBOUR)))
    return camera.saved(picture.quantize(24, dither=Image.Dither.NONE), "PNG", optimize=True)


def _bmp(scale: float) -> bytes:
    return camera.saved(scenes.bouncing_balls(*_size(scale, 480, 360))[0], "BMP")


def _gif(scale: float) -> bytes:
    first, *others = scenes.bouncing_balls(*_size(scale, 480, 360))
    delays = [60, 40, 40, 40, 60, 40, 40, 140] * 3
    return camera.saved(
        first, "GIF", save_all=True, append_images=others, duration=delays, loop=0, disposal=1
    )


def _moving_webp(scale: float) -> bytes:
    first, *others = scenes.nightfall(*_size(scale, 480, 360))
    delays = [120, 70, 70, 70, 70] * 4
    return camera.saved(
        first, "WEBP", save_all=True, append_images=others, duration=delays, loop=3, method=2
    )


def _dashboard(scale: float) -> bytes:
    return camera.saved(scenes.dashboard(*_size(scale, 1600, 1000)), "PNG", optimize=True)


def _logo(scale: float) -> bytes:
    return camera.saved(scenes.logo(_size(scale, 640, 640)[0]), "PNG")


def _truncated(_scale: float) -> bytes:
    """The first two fifths of a photograph: an upload that was cut off.

    Always of one size: a small one would be cut off within its metadata.
    """
    whole = camera.photo(develop(landscape(600, 400, scenes.DUNES)), _DUNES)
    return whole[: len(whole) * 2 // 5]


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk (ISO 15948, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _pixel_bomb(_scale: float) -> bytes:
    """A PNG of 65,535 x 65,535 pixels, 12 GB once decoded, in 1 kB."""
    header = struct.pack(">IIBBBBB", 65_535, 65_535, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


_LETTER = """\
Dear reader,

this is a letter. Somebody gave it the name of a picture. What a file is called says
nothing about what it is.
"""

_OUTWARD = """\
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
  width="200" height="200">
  <rect width="200" height="200" fill="#eee"/>
  <image xlink:href="http://images.invalid/track.png" width="100" height="100"/>
  <image xlink:href="file:///etc/hostname" width="100" height="100"/>
</svg>
"""


SAMPLES = (
    Sample(
        "mountains-in-morning-fog.jpg",
        "JPEG from a camera: EXIF with GPS, IPTC, XMP, sRGB profile",
        _photo(_landscape(scenes.FOG), (1500, 1000), _FOG),
    ),
    Sample(
        "harbour-at-dusk.jpg",
        "progressive JPEG, keywords beyond ASCII",
        _photo(_landscape(scenes.HARBOUR), (1500, 1000), _HARBOUR, progressive=True),
    ),
    Sample(
        "moon-over-a-lake.jpg",
        "JPEG of a camera held upright: EXIF orientation 6",
        _photo(
            _landscape(scenes.LAKE),
            (1000, 1500),
            Shot(title="Moon over a lake", exposure=(6, 1), orientation=6),
        ),
    ),
    Sample(
        "lights-in-a-garden.jpg",
        "JPEG in Display P3, colours wider than sRGB",
        _photo(scenes.lights, (1500, 1000), Shot(title="Lights in a garden"), p3=True),
    ),
    Sample(
        "dunes-upright.jpg",
        "JPEG of a camera held upright the other way: EXIF orientation 8",
        _photo(_landscape(scenes.DUNES), (1000, 1250), Shot(title="Dunes, upright", orientation=8)),
    ),
    Sample(
        "harbour-in-a-mirror.jpg",
        "JPEG of a front camera, mirrored and rotated: EXIF orientation 5",
        _photo(
            _landscape(scenes.HARBOUR), (960, 1280), Shot(title="Harbour, mirrored", orientation=5)
        ),
    ),
    Sample(
        "dunes-in-low-sun.jpg",
        "JPEG of a camera held upside down: EXIF orientation 3",
        _photo(_landscape(scenes.DUNES), (1400, 930), _DUNES),
    ),
    Sample("mountains-for-print.jpg", "CMYK JPEG with its profile, inverted as Adobe does", _cmyk),
    Sample("dune-sketch.webp", "WebP without any metadata", _webp),
    Sample("garden-sketch.avif", "AVIF", _avif),
    Sample("moonrise.png", "PNG of 16 bits a channel: smooth gradients", _deep_png),
    Sample("visitors-dashboard.png", "PNG of a screen full of text", _dashboard),
    Sample("lighthouse-logo.png", "PNG with transparency and a soft shadow", _logo),
    Sample("harbour-poster.png", "PNG with a palette of 24 colours", _palette),
    Sample("lake-and-lights.tif", "TIFF of two pages, 16 bits a channel", _pages),
    Sample("balls.bmp", "BMP", _bmp),
    Sample("bouncing-balls.gif", "animated GIF, 24 frames of different length, for ever", _gif),
    Sample(
        "nightfall.webp", "animated WebP, 20 frames of different length, three times", _moving_webp
    ),
    Sample(
        "compass.svg",
        "SVG, harmless; accepted only by a recipe that says so",
        lambda _scale: _COMPASS.encode(),
    ),
    Sample(
        "really-a-png.jpg",
        "a PNG with the wrong name; accepted, because names are not believed",
        lambda scale: _logo(scale / 2),
    ),
    Sample("broken/cut-off.jpg", "the first two fifths of a JPEG", _truncated),
    Sample("broken/letter.jpg", "text with the name of a picture", lambda _scale: _LETTER.encode()),
    Sample("broken/pixel-bomb.png", "1 kB that says it is 65,535 x 65,535 pixels", _pixel_bomb),
    Sample("broken/empty.jpg", "nothing at all", lambda _scale: b""),
    Sample(
        "broken/calls-home.svg",
        "SVG that refers to another server and to a file of yours",
        lambda _scale: _OUTWARD.encode(),
    ),
)
"""Every sample, good ones first."""


def describe() -> str:
    """Description of each file, for people."""
    width = max(len(sample.name) for sample in SAMPLES)
    lines = [f"{sample.name:{width}}  {sample.about}" for sample in SAMPLES]
    introduction = textwrap.fill(
        "These pictures were painted by formulas, so they are in the public domain (CC0). The"
        " cameras in their metadata do not exist; the places do. Files in broken/ are broken on"
        " purpose: each must be rejected with a reason.",
        90,
    )
    return f"Safelight sample inputs\n\n{introduction}\n\n" + "\n".join(lines) + "\n"
