"""Hostile inputs, made in code, with the code that each must be refused with.

Good files are in ``tests.unit.specimens``. ``HOSTILE`` holds what a probe rejects under the default
limits with every format accepted.
"""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.unit.heic import make_heic
from tests.unit.specimens import chunk, picture, saved, specimen, svg
from worker.domain.errors import Reason
from worker.imaging import libjxl
from worker.imaging.formats import isobmff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Maker = Callable[[], bytes]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# --- claims ---------------------------------------------------------------------------------------


def png_claiming(width: int, height: int) -> bytes:
    """A complete PNG with the pixels of a tiny one."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return PNG_SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def gif_claiming(width: int, height: int, *, frames: int = 1, delay: int = 0) -> bytes:
    """A GIF of frames that hold one pixel; delay in hundredths of a second."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    control = b"\x21\xf9\x04\x00" + struct.pack("<H", delay) + b"\0\0" if delay else b""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return head + (control + frame) * frames + b"\x3b"


def webp_claiming(width: int, height: int, *, frames: int = 0) -> bytes:
    """A WebP with a canvas of that size, still or with ``frames`` tiny frames."""
    still = saved(picture().resize((1, 1)), "WEBP", lossless=True)[12:]
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"VP8X" + struct.pack("<II", 10, 2 if frames else 0) + canvas
    if frames:
        # Position (6), size less one (6), milliseconds (3), flags.
        frame = bytes(12) + b"\x0a\0\0" + b"\0" + still
        body += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
        body += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * frames
    else:
        body += still
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiff_with(tags: dict[int, int], *, pages: int = 1, circular: bool = False) -> bytes:
    """A grey TIFF of ``pages`` directories; ``tags`` are added or replace the usual ones."""
    fields = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64, **tags}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    out = bytearray(b"II*\0" + struct.pack("<I", 72) + bytes(64))
    for page in range(pages):
        after = len(out) + 2 + len(entries) + 4
        following = 72 if circular else after if page + 1 < pages else 0
        out += struct.pack("<H", len(fields)) + entries + struct.pack("<I", following)
    return bytes(out)


def bmp_claiming(width: int, height: int) -> bytes:
    """A 24-bit BMP header with hardly any pixels behind it."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + header + bytes(946)


def jpeg_claiming(width: int, height: int, *, frame: int = 0xC0, bits: int = 8) -> bytes:
    """A small JPEG whose frame header was overwritten."""
    data = bytearray(specimen("jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 1] = frame
    data[at + 4] = bits
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is there a thousand times."""
    data = specimen("jpeg-progressive")
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * 1000 + data[-2:]


def avif_claiming(width: int, height: int) -> bytes:
    """A small AVIF whose size property was overwritten."""
    data = bytearray(specimen("avif"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


class _Bits:
    """Bits of a JPEG XL codestream, the lowest of each byte first."""

    def __init__(self) -> None:
        self.value = self.count = 0

    def put(self, value: int, count: int) -> _Bits:
        self.value |= value << self.count
        self.count += count
        return self

    def side(self, length: int) -> _Bits:
        return self.put(3, 2).put(length - 1, 30)

    def align(self) -> _Bits:
        self.count = -(-self.count // 8) * 8
        return self

    def bytes(self) -> bytes:
        return b"\xff\x0a" + self.value.to_bytes(-(-self.count // 8), "little")


def jxl_claiming(
    width: int,
    height: int,
    *,
    frames: int = 0,
    ticks: int = 1,
    frame: tuple[int, int] | None = None,
    channels: int = 0,
    profile: int = 0,
) -> bytes:
    """A JPEG XL of headers alone.

    Args:
        width: of the picture.
        height: of the picture.
        frames: how many empty ones follow, of an animation of 1000 ticks a second.
        ticks: of each frame.
        frame: a size that each frame says it has.
        channels: beside the colours, if any, at least 2.
        profile: bytes that a packed profile says it has.
    """
    bits = _Bits().put(0, 1).side(height).put(0, 3).side(width)
    bits.put(0, 1).put(1, 1)  # with extra fields
    bits.put(0, 3).put(0, 1).put(0, 1)  # orientation, intrinsic size, preview
    bits.put(1, 1).put(1, 2).put(0, 2).put(0, 2).put(0, 1)  # an animation
    bits.put(0, 1).put(0, 2).put(1, 1)  # 8 bits
    if channels:
        bits.put(3, 2).put(channels - 1, 12).put(2**channels - 1, channels)
    else:
        bits.put(0, 2)
    bits.put(1, 1)  # XYB
    bits.put(0, 1).put(1, 1).put(1, 2) if profile else bits.put(1, 1)
    bits.put(1, 1).put(0, 2).put(1, 1)  # tone mapping, extensions, transform
    if profile:
        bits.put(3, 2).put(profile & 0xFFF, 12)
        bits.put(1, 1).put(profile >> 12 & 0xFF, 8).put(1, 1).put(profile >> 20 & 0xFF, 8)
        bits.put(0, 1)
    bits.align()
    across, down = frame or (width, height)
    groups, coarse = (-(-across // side) * -(-down // side) for side in (256, 2048))
    parts = 1 if groups == 1 else 2 + coarse + groups
    for index in range(frames):
        bits.put(0, 1).put(0, 2).put(1, 1).put(0, 2)  # regular, modular, no flags
        bits.put(0, 2 + 2 * channels).put(1, 2).put(0, 2)  # no upsampling, groups, one pass
        if frame is None:
            bits.put(0, 1)
        else:
            bits.put(1, 1).put(0, 2 + 8).put(0, 2 + 8)
            bits.put(3, 2).put(frame[0] - 18_688, 30).put(3, 2).put(frame[1] - 18_688, 30)
        bits.put(0, 2 + 2 * channels)  # replaces
        last = index == frames - 1
        bits.put(3, 2).put(ticks, 32).put(last, 1)
        bits.put(0, 0 if last else 2 + (not ticks))  # one that takes no time can be referred to
        bits.put(0, 2).put(1, 1).put(0, 2)  # no name, usual filters, no extensions
        if parts < 10_000:
            bits.put(0, 1).align().put(0, 12 * parts).align()  # empty parts
    return bits.bytes()


def jxl_boxes(*boxes: tuple[bytes, bytes]) -> bytes:
    """A JPEG XL in these boxes."""
    start = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
    return start + b"".join(
        struct.pack(">I", 8 + len(content)) + name + content for name, content in boxes
    )


def jxl_misfit() -> bytes:
    """A packed JPEG whose reconstruction data belongs to another JPEG."""
    small, large = specimen("jxl-jpeg"), libjxl.repack(jpeg_of_noise(), effort=3)
    (data,) = (content for name, content in boxes_of(small) if name == b"jbrd")
    return jxl_boxes(
        *((name, data if name == b"jbrd" else content) for name, content in boxes_of(large))
    )


def jpeg_of_noise() -> bytes:
    """A JPEG of 200 x 120 pixels, grey."""
    random_bytes = np.frombuffer(noise(200 * 120), np.uint8).reshape(120, 200)
    return saved(Image.fromarray(random_bytes), "JPEG")


def boxes_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """The boxes of a JPEG XL behind the first two."""
    return [(box.name, data[box.content : box.end]) for box in isobmff.walk(data)][2:]


def _parts(*numbers: int) -> bytes:
    stream = specimen("jxl")
    step = -(-len(stream) // len(numbers))
    return jxl_boxes(
        *(
            (b"jxlp", struct.pack(">I", number) + stream[index * step : (index + 1) * step])
            for index, number in enumerate(numbers)
        )
    )


_LAST = 1 << 31

CLAIMS: dict[str, Callable[[int, int], bytes]] = {
    "jpeg": jpeg_claiming,
    "png": png_claiming,
    "gif": gif_claiming,
    "webp": webp_claiming,
    "tiff": lambda width, height: tiff_with({256: width, 257: height}),
    "bmp": bmp_claiming,
    "avif": avif_claiming,
    "heic": lambda width, height: make_heic(claim=(width, height)),
    "jxl": jxl_claiming,
    "svg": lambda width, height: svg(root=f'width="{width}" height="{height}"'),
}
"""For each format, a file that claims to be so large and is not."""


# --- drawings -------------------------------------------------------------------------------------

_PNG_URL = "data:image/png;base64,iVBORw0KGgo="


def billion_laughs() -> bytes:
    """Entities that multiply."""
    levels = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' if n else '<!ENTITY l0 "ha">' for n in range(10)
    )
    return f'<?xml version="1.0"?><!DOCTYPE svg [{levels}]><svg>&l9;</svg>'.encode()


UNSAFE_DRAWINGS: dict[str, Maker] = {
    "billion-laughs": billion_laughs,
    "external-entity": lambda: (
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    ),
    "parameter-entity": lambda: (
        b'<!DOCTYPE svg [<!ENTITY % x SYSTEM "http://a.example/x"> %x;]><svg/>'
    ),
    "attribute-default": lambda: b'<!DOCTYPE svg [<!ATTLIST svg onload CDATA "alert(1)">]><svg/>',
    **{
        name: partial(svg, body)
        for name, body in {
            "script": "<script>alert(1)</script>",
            "script-elsewhere": '<x:script xmlns:x="http://www.w3.org/1999/xhtml"/>',
            "handler": '<rect onload="alert(1)"/>',
            "handler-case": '<rect OnClick="alert(1)"/>',
            "foreign": "<foreignObject><p>x</p></foreignObject>",
            "image-http": '<image href="http://a.example/x.png"/>',
            "image-xlink": '<image xlink:href="https://a.example/x.png"/>',
            "image-file": '<image href="file:///etc/passwd"/>',
            "image-relative": '<image href="../secret.png"/>',
            "image-protocol": '<image href="//a.example/x.png"/>',
            "image-svg": '<image href="data:image/svg+xml,&lt;svg/&gt;"/>',
            "image-other": '<image href="data:image/png;base64,R0lGODlhAQABAAAAADs="/>',
            "use-outside": '<use href="other.svg#a"/>',
            "link-script": '<a href="javascript:alert(1)"><rect/></a>',
            "animated-link": '<animate attributeName="xlink:href" to="http://a.example"/>',
            "import": "<style>@import 'http://a.example/x.css';</style>",
            "import-escaped": "<style>@\\69mport 'x.css';</style>",
            "import-hidden": "<style>@im/**/port 'x.css'; rect{fill:url(x.png)}</style>",
            "url": '<rect fill="url(http://a.example/#a)"/>',
            "url-style": '<rect style="fill:url( &quot;x.svg#a&quot; )"/>',
            "url-escaped": "<style>rect{fill:\\75rl(x.png)}</style>",
            "url-unfinished": "<style>rect{fill:url('x.png}</style>",
            "font": "<style>@font-face{font-family:x;src:url(x.woff)}</style>",
            "base": '<g xml:base="http://a.example/"><rect/></g>',
            "stylesheet": '<?xml-stylesheet href="http://a.example/x.css"?>',
            "many": "<g/>" * 50_001,
            "deep": "<g>" * 5000 + "</g>" * 5000,
        }.items()
    },
}

# --- other things ---------------------------------------------------------------------------------


def archive() -> bytes:
    """A ZIP."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as bundle:
        bundle.writestr("picture.png", specimen("png"))
    return sink.getvalue()


def noise(length: int, *, seed: int = 7) -> bytes:
    """Random bytes that begin like nothing known."""
    return b"\xa7" + random.Random(seed).randbytes(length - 1)


def raw_tiff(tags: dict[int, int], *, maker: bytes = b"") -> bytes:
    """A TIFF-like camera raw file; the name of the maker stands in the picture data."""
    data = bytearray(tiff_with(tags))
    data[8 : 8 + len(maker)] = maker
    if maker:
        entry = struct.pack("<HHI", 0x010F, 4, 1)
        at = data.index(entry)
        data[at : at + 12] = struct.pack("<HHII", 0x010F, 2, len(maker), 8)
    return bytes(data)


OTHER_FORMATS: dict[str, Maker] = {
    "zip": archive,
    "pdf": lambda: saved(picture(), "PDF"),
    "html": lambda: b"<!-- a --><!DOCTYPE HTML><html><svg></svg></html>",
    "xml": lambda: b'<?xml version="1.0"?><note><svg/></note>',
    "elf": lambda: b"\x7fELF\x02\x01\x01" + bytes(100),
    "mp4": lambda: b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(64),
    "mov": lambda: b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(64),
    "webm": lambda: b"\x1a\x45\xdf\xa3" + bytes(64),
    "avi": lambda: b"RIFF\x40\0\0\0AVI LIST" + bytes(64),
    "heif-other": lambda: make_heic(brands=b"mif1mif1"),
    "jpeg-2000": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64),
    "psd": lambda: b"8BPS\0\x01" + bytes(64),
    "ico": lambda: saved(picture(), "ICO"),
    "gzip": lambda: zlib.compress(svg(), wbits=31),
    "cr2": lambda: b"II*\0\x10\0\0\0CR\x02\0" + bytes(64),
    "dng": lambda: raw_tiff({0xC612: 0x0401}),
    "nef": lambda: raw_tiff({254: 1, 330: 8, 0x010F: 0}, maker=b"NIKON CORPORATION"),
    "script": lambda: b"#!/bin/sh\n",
    "mvg": lambda: b"push graphic-context\nviewbox 0 0 9 9\nfill 'url(https://a.example)'\n",
}

HOSTILE: dict[str, tuple[Maker, Reason]] = {
    "empty": (bytes, Reason.EMPTY),
    "one-byte": (lambda: b"\xff", Reason.UNKNOWN_FORMAT),
    "zeros": (lambda: bytes(5000), Reason.UNKNOWN_FORMAT),
    "noise": (lambda: noise(5000), Reason.UNKNOWN_FORMAT),
    "text": (lambda: b"GIF is what this is not\n" * 9, Reason.UNKNOWN_FORMAT),
    "bytes": (lambda: specimen("png") + bytes(50_000_000), Reason.TOO_MANY_BYTES),
    "jpeg-in-name-only": (lambda: b"\xff\xd8\xff" + specimen("png"), Reason.TRUNCATED),
    "png-in-name-only": (lambda: PNG_SIGNATURE + specimen("jpeg"), Reason.CORRUPT),
    "gif-script": (lambda: b"GIF89a/*\x01\0\0\0*/=1;alert(1)//", Reason.CORRUPT),
    "jpeg-lossless": (lambda: jpeg_claiming(64, 48, frame=0xC3), Reason.UNSUPPORTED_VARIANT),
    "jpeg-12-bit": (lambda: jpeg_claiming(64, 48, bits=12), Reason.UNSUPPORTED_VARIANT),
    "jpeg-scans": (many_scans, Reason.CORRUPT),
    "jpeg-sizeless": (lambda: jpeg_claiming(64, 0), Reason.UNSUPPORTED_VARIANT),
    "png-empty": (lambda: png_claiming(0, 0), Reason.CORRUPT),
    "gif-frames": (lambda: gif_claiming(1, 1, frames=100_000), Reason.TOO_MANY_FRAMES),
    "gif-slow": (lambda: gif_claiming(1, 1, frames=2, delay=65_535), Reason.TOO_LONG_DURATION),
    "gif-together": (lambda: gif_claiming(9000, 9000, frames=3), Reason.TOO_MANY_PIXELS),
    "gif-blocks": (
        lambda: gif_claiming(1, 1)[:-1] + b"\x21\xfe" + b"\1\1" * 40_000 + b"\0\x3b",
        Reason.CORRUPT,
    ),
    "webp-frames": (lambda: webp_claiming(1, 1, frames=501), Reason.TOO_MANY_FRAMES),
    "webp-together": (lambda: webp_claiming(9000, 9000, frames=3), Reason.TOO_MANY_PIXELS),
    "tiff-pages": (lambda: tiff_with({}, pages=100_000), Reason.TOO_MANY_FRAMES),
    "tiff-circle": (lambda: tiff_with({}, circular=True), Reason.CORRUPT),
    "tiff-tiles": (lambda: tiff_with({322: 65_520, 323: 65_520}), Reason.CORRUPT),
    "tiff-channels": (lambda: tiff_with({277: 60_000}), Reason.UNSUPPORTED_VARIANT),
    "tiff-float": (lambda: tiff_with({258: 32, 339: 3, 279: 64}), Reason.UNSUPPORTED_VARIANT),
    "tiff-strips": (lambda: tiff_with({273: 1 << 30}), Reason.TRUNCATED),
    "tiff-lab-8-cut": (lambda: specimen("tiff-lab-8")[:5000], Reason.TRUNCATED),
    "bmp-jpeg": (
        lambda: bmp_claiming(9, 9)[:30] + b"\4" + bmp_claiming(9, 9)[31:],
        Reason.UNSUPPORTED_VARIANT,
    ),
    "avif-sequence": (
        lambda: b"\0\0\0\x14ftypavis\0\0\0\0avis\0\0\0\x08moov",
        Reason.UNSUPPORTED_VARIANT,
    ),
    "jxl-pixels": (lambda: jxl_claiming(2**30, 2**30), Reason.TOO_LARGE_DIMENSION),
    "jxl-frames": (lambda: jxl_claiming(8, 8, frames=5000), Reason.TOO_MANY_FRAMES),
    "jxl-hidden": (lambda: jxl_claiming(8, 8, frames=5000, ticks=0), Reason.TOO_MANY_FRAMES),
    "jxl-slow": (lambda: jxl_claiming(8, 8, frames=2, ticks=2**32 - 1), Reason.TOO_LONG_DURATION),
    "jxl-endless": (lambda: jxl_claiming(8, 8, frames=9)[:-20], Reason.TRUNCATED),
    "jxl-no-frame": (lambda: jxl_claiming(8, 8), Reason.TRUNCATED),
    "jxl-together": (lambda: jxl_claiming(9000, 9000, frames=3), Reason.TOO_MANY_PIXELS),
    "jxl-large-frame": (
        lambda: jxl_claiming(8, 8, frames=1, frame=(2**20, 2**20)),
        Reason.TOO_LARGE_DIMENSION,
    ),
    "jxl-channels": (lambda: jxl_claiming(8, 8, channels=200), Reason.UNSUPPORTED_VARIANT),
    "jxl-long-profile": (
        lambda: jxl_claiming(8, 8, profile=2**26),
        Reason.UNSUPPORTED_VARIANT,
    ),
    "jxl-no-codestream": (lambda: jxl_boxes((b"Exif", bytes(30))), Reason.TRUNCATED),
    "jxl-two-codestreams": (
        lambda: jxl_boxes((b"jxlc", specimen("jxl")), (b"jxlc", specimen("jxl"))),
        Reason.CORRUPT,
    ),
    "jxl-parts-out-of-order": (lambda: _parts(0, 2, 1 | _LAST), Reason.CORRUPT),
    "jxl-part-behind-the-last": (lambda: _parts(0, 1 | _LAST, 2), Reason.CORRUPT),
    "jxl-part-missing": (lambda: _parts(0, 2, 3 | _LAST), Reason.CORRUPT),
    "jxl-mislabelled": (lambda: jxl_boxes((b"jxlc", specimen("png"))), Reason.CORRUPT),
    "jxl-no-type": (
        lambda: specimen("jxl-exif")[:12] + specimen("jxl-exif")[32:],
        Reason.CORRUPT,
    ),
    "svg-malformed": (lambda: b"<svg><g></svg>", Reason.CORRUPT),
    "svg-picture": (
        lambda: svg(f'<image href="{_PNG_URL}"/>'),
        Reason.TRUNCATED,
    ),
    **{
        f"{name}-claim": (partial(make, 65_535, 65_535), Reason.TOO_LARGE_DIMENSION)
        for name, make in CLAIMS.items()
    },
    **{
        f"{name}-area": (partial(make, 20_000, 20_000), Reason.TOO_MANY_PIXELS)
        for name, make in CLAIMS.items()
    },
    **{f"svg-{name}": (make, Reason.UNSAFE_CONTENT) for name, make in UNSAFE_DRAWINGS.items()},
    **{name: (make, Reason.FORMAT_NOT_ALLOWED) for name, make in OTHER_FORMATS.items()},
}
"""Input and the code a probe must refuse it with."""


def polyglots() -> dict[str, bytes]:
    """Valid pictures that are something else as well, to a reader that looks elsewhere."""
    jpeg, png = specimen("jpeg"), specimen("png")
    comment = b"%PDF-1.7 <script>alert(1)</script>"
    segment = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    return {
        "jpeg-zip": jpeg + archive(),
        "jpeg-pdf": jpeg[:2] + segment + jpeg[2:],
        "png-html": png + b"<html><script>alert(1)</script></html>",
        "gif-zip": specimen("gif") + archive(),
    }


def cuts(data: bytes) -> Iterator[bytes]:
    """The beginnings of a file, at tenths of its length, in its header and near its end."""
    places = {len(data) * tenth // 10 for tenth in range(1, 10)}
    places |= {13, 16, 24, 30, 40, len(data) - 40, len(data) - 20}
    yield from (data[:place] for place in sorted(places) if 13 <= place < len(data) - 13)


def damaged(name: str) -> bytes:
    """A specimen with forty bytes in its last third overwritten."""
    data = bytearray(specimen(name))
    at = len(data) * 7 // 10
    data[at : at + 40] = random.Random(name).randbytes(40)
    return bytes(data)
