"""The list of samples: name, what it shows, how its file is made.

What lives here: one entry a file. What may not: painting, and the settings of encoders.
"""

from __future__ import annotations

import dataclasses
import struct
import textwrap
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pyvips

from worker.samples import animations, encoders, graphics, landscapes, still_lifes
from worker.samples.tagged import Shot


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One file: its path below the folder, a line about it and the maker of its bytes."""

    name: str
    about: str
    make: Callable[[float], bytes]
    """Its bytes, with sides of this share of the usual."""


def _size(scale: float, width: int, height: int) -> tuple[int, int]:
    return max(round(width * scale), 48), max(round(height * scale), 48)


# --- photographs -------------------------------------------------------------------------------

_FOG = Shot(
    taken="2025:09:21 06:48:12",
    exposure=(1, 250),
    f_number=8,
    iso=100,
    focal=70,
    gps=(46.5405, 12.1357, 1840.0),
    title="Mountains in morning fog",
    caption="Seven ranges behind each other, a little after sunrise.",
    keywords=("mountains", "fog", "sunrise", "landscape"),
)
_DUNES = Shot(
    taken="2025:03:02 17:55:40",
    offset="+01:00",
    exposure=(1, 500),
    f_number=5.6,
    iso=64,
    focal=50,
    gps=(31.1499, -3.9790, 731.0),
    title="Dunes in low sun",
    caption="Wind has drawn ripples on the side that the evening sun still reaches.",
    keywords=("desert", "dunes", "sand", "evening"),
)
_HARBOUR = Shot(
    taken="2024:08:17 21:22:05",
    exposure=(1, 8),
    f_number=4,
    iso=800,
    focal=35,
    gps=(59.9075, 10.7360, 3.5),
    title="Harbour at dusk",
    caption="Two boats at anchor, the town's windows in the water.",
    keywords=("harbour", "dusk", "boats", "reflection", "Fjørd"),
)
_AURORA = Shot(
    model="Lumina M5 II",
    lens="Lumina 14mm F1.8",
    taken="2025:01:28 23:41:09",
    offset="+01:00",
    exposure=(6, 1),
    f_number=1.8,
    iso=1600,
    focal=14,
    orientation=6,
    gps=(69.6496, 18.9560, 12.0),
    title="Northern lights",
    caption="Curtains of light over a still fjord; the camera was held upright.",
    keywords=("aurora", "night", "stars", "fjord"),
)
_DEW = Shot(
    lens="Lumina Macro 90mm F2.8",
    taken="2025:05:11 07:03:33",
    exposure=(1, 320),
    f_number=2.8,
    iso=200,
    focal=90,
    title="Dew on grass",
    caption="Colours wider than sRGB: a Display P3 picture.",
    keywords=("macro", "grass", "dew", "bokeh"),
)
_BRICKS = Shot(
    make="Pocketphone",
    model="Pocketphone 12",
    lens="Pocketphone 12 main camera",
    taken="2025:06:30 18:14:51",
    exposure=(1, 120),
    f_number=1.8,
    iso=50,
    focal=26,
    orientation=8,
    gps=(53.5443, 9.9883, 8.0),
    title="Brick wall",
    caption="A warehouse wall under trees; the phone was held with its buttons down.",
    keywords=("bricks", "wall", "texture", "shadow"),
)
_FIGURE = Shot(
    make="Pocketphone",
    model="Pocketphone 12",
    lens="Pocketphone 12 front camera",
    taken="2025:02:14 11:30:00",
    offset="+01:00",
    exposure=(1, 60),
    f_number=2.2,
    iso=125,
    focal=23,
    orientation=5,
    title="Portrait by the window",
    caption="A mannequin's selfie, mirrored and turned as front cameras do.",
    keywords=("portrait", "mannequin", "studio"),
)
_VASE = Shot(
    model="Lumina Studio",
    lens="Lumina 80mm F4",
    taken="2025:04:08 14:20:00",
    exposure=(1, 125),
    f_number=11,
    iso=64,
    focal=80,
    title="Vase, glazed stoneware",
    caption="A product for a printed catalogue: CMYK.",
    keywords=("product", "vase", "ceramics"),
)


# --- pictures of other kinds -------------------------------------------------------------------


def _deep_png(scale: float) -> bytes:
    canvas = landscapes.moonrise(*_size(scale, 1050, 700))
    data: bytes = encoders.deep(canvas).pngsave_buffer(bitdepth=16, compression=4)
    return data


def _pages(scale: float) -> bytes:
    """Two pages of 16 bits in one TIFF."""
    width, height = _size(scale, 720, 480)
    pages = [
        encoders.deep(still_lifes.linen(width, height, dye=dye)) for dye in ("ded0b4", "5f7fa6")
    ]
    strip = pyvips.Image.arrayjoin(pages, across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    data: bytes = strip.tiffsave_buffer(compression="deflate", predictor="horizontal")
    return data


def _avif(scale: float) -> bytes:
    pixels = landscapes.pool(*_size(scale, 800, 600))
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    data: bytes = image.heifsave_buffer(compression="av1", Q=60, effort=1)
    return data


def _webp(scale: float) -> bytes:
    pixels = landscapes.dunes(*_size(scale, 600, 800))
    image = pyvips.Image.new_from_array(pixels, interpretation="srgb")
    data: bytes = image.webpsave_buffer(Q=82, effort=2)
    return data


# --- files that are broken on purpose ----------------------------------------------------------


def _truncated(_scale: float) -> bytes:
    """The first two fifths of a photograph: an upload that was cut off.

    Always of one size: a small one would be cut off within its metadata.
    """
    whole = encoders.photo(landscapes.dunes(600, 400), _DUNES)
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
        name="mountains-in-morning-fog.jpg",
        about="JPEG from a camera: EXIF with GPS, IPTC, XMP, sRGB profile",
        make=lambda scale: encoders.photo(landscapes.mountains(*_size(scale, 1500, 1000)), _FOG),
    ),
    Sample(
        name="harbour-at-dusk.jpg",
        about="progressive JPEG, keywords beyond ASCII",
        make=lambda scale: encoders.photo(
            landscapes.harbour(*_size(scale, 1500, 1000)), _HARBOUR, progressive=True
        ),
    ),
    Sample(
        name="northern-lights.jpg",
        about="JPEG of a camera held upright: EXIF orientation 6",
        make=lambda scale: encoders.photo(landscapes.aurora(*_size(scale, 1000, 1500)), _AURORA),
    ),
    Sample(
        name="dew-on-grass.jpg",
        about="JPEG in Display P3, colours wider than sRGB",
        make=lambda scale: encoders.photo(
            still_lifes.dew(*_size(scale, 1500, 1000)), _DEW, p3=True
        ),
    ),
    Sample(
        name="brick-wall.jpg",
        about="JPEG of a phone turned the other way: EXIF orientation 8",
        make=lambda scale: encoders.photo(still_lifes.bricks(*_size(scale, 1000, 1250)), _BRICKS),
    ),
    Sample(
        name="portrait-by-the-window.jpg",
        about="JPEG of a front camera, mirrored and turned: EXIF orientation 5",
        make=lambda scale: encoders.photo(still_lifes.figure(*_size(scale, 960, 1280)), _FIGURE),
    ),
    Sample(
        name="dunes-in-low-sun.jpg",
        about="JPEG of a camera held upside down: EXIF orientation 3",
        make=lambda scale: encoders.photo(
            landscapes.dunes(*_size(scale, 1400, 930)), dataclasses.replace(_DUNES, orientation=3)
        ),
    ),
    Sample(
        name="vase-for-print.jpg",
        about="CMYK JPEG with its profile, inverted as Adobe does",
        make=lambda scale: encoders.cmyk(still_lifes.vase(*_size(scale, 1000, 1000)), _VASE),
    ),
    Sample(
        name="dune-sketch.webp",
        about="WebP without any metadata",
        make=_webp,
    ),
    Sample(
        name="pool-light.avif",
        about="AVIF",
        make=_avif,
    ),
    Sample(
        name="moonrise.png",
        about="PNG of 16 bits a channel: smooth gradients",
        make=_deep_png,
    ),
    Sample(
        name="visitors-dashboard.png",
        about="PNG of a screen full of text",
        make=lambda scale: encoders.saved(
            graphics.chart(*_size(scale, 1600, 1000)), "PNG", optimize=True
        ),
    ),
    Sample(
        name="lighthouse-logo.png",
        about="PNG with transparency and a soft shadow",
        make=lambda scale: encoders.saved(graphics.logo(_size(scale, 640, 640)[0]), "PNG"),
    ),
    Sample(
        name="travel-poster.png",
        about="PNG with a palette of 24 colours",
        make=lambda scale: encoders.saved(
            graphics.poster(*_size(scale, 900, 1200)), "PNG", optimize=True
        ),
    ),
    Sample(
        name="linen-swatches.tif",
        about="TIFF of two pages, 16 bits a channel",
        make=_pages,
    ),
    Sample(
        name="cottage.bmp",
        about="BMP, pixel art",
        make=lambda _scale: encoders.saved(graphics.pixel_garden(6), "BMP"),
    ),
    Sample(
        name="bouncing-balls.gif",
        about="animated GIF, 24 frames of different length, for ever",
        make=lambda scale: encoders.moving(
            animations.bouncing_balls(*_size(scale, 480, 360)),
            "GIF",
            loop=0,
            disposal=1,
            optimize=False,
        ),
    ),
    Sample(
        name="lighthouse-at-night.webp",
        about="animated WebP, 20 frames of different length, three times",
        make=lambda scale: encoders.moving(
            animations.lighthouse(*_size(scale, 480, 360)), "WEBP", loop=3, quality=80, method=2
        ),
    ),
    Sample(
        name="compass.svg",
        about="SVG, harmless; accepted only by a recipe that says so",
        make=lambda _scale: graphics.COMPASS.encode(),
    ),
    Sample(
        name="really-a-png.jpg",
        about="a PNG with the wrong name; accepted, because names are not believed",
        make=lambda scale: encoders.saved(graphics.logo(_size(scale, 320, 320)[0]), "PNG"),
    ),
    Sample(
        name="broken/cut-off.jpg",
        about="the first two fifths of a JPEG",
        make=_truncated,
    ),
    Sample(
        name="broken/letter.jpg",
        about="text with the name of a picture",
        make=lambda _scale: _LETTER.encode(),
    ),
    Sample(
        name="broken/pixel-bomb.png",
        about="1 kB that says it is 65,535 x 65,535 pixels",
        make=_pixel_bomb,
    ),
    Sample(
        name="broken/empty.jpg",
        about="nothing at all",
        make=lambda _scale: b"",
    ),
    Sample(
        name="broken/calls-home.svg",
        about="SVG that refers to another server and to a file of yours",
        make=lambda _scale: _OUTWARD.encode(),
    ),
)
"""Every sample, good ones first."""


def describe() -> str:
    """What each file is, for people."""
    width = max(len(sample.name) for sample in SAMPLES)
    lines = [f"{sample.name:{width}}  {sample.about}" for sample in SAMPLES]
    introduction = textwrap.fill(
        "These pictures were painted by formulas, so nobody owns them (CC0). The cameras in"
        " their metadata do not exist; the places do. Files in broken/ are broken on purpose:"
        " each must be rejected with a reason.",
        90,
    )
    return f"Safelight sample inputs\n\n{introduction}\n\n" + "\n".join(lines) + "\n"
