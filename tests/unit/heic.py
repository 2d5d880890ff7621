"""HEIC files made in code: boxes around three tiny HEVC key frames.

The frames (64 x 48) were encoded for this project from flat colours by x265, because no HEVC
encoder may be a dependency: quadrants red, green, blue and white, the same in 10 bits, a
grey ramp that serves as alpha, and one of 10 bits (64 x 64).
"""

from __future__ import annotations

import base64
import struct

WIDTH, HEIGHT = 64, 48

# VPS, SPS, PPS and one key frame each.
_COLOUR = (
    "QAEMAf//BAgAAAMAn6gAAAMAAB66AkA=",
    "QgEBBAgAAAMAn6gAAAMAAB6gIIMWW6uTK5qAhoCCAAADAAIAAAMAMhA=",
    "RAHBc8CJ",
    "KAGvF4DmvH/+dSd+WIy6H3tlIcLacS4iv/s2mhptKfwfprzZ4ItrIBvBZKr/9CUv5++/sW4lJ6dx8e2JOOWLI+6mJanQ"
    "QQFjqai7jI7kmz1PrAgOW4Fi8iL57mokIt2R8/Fxa/A=",
)
_DEEP = (
    "QAEMAf//BAgAAAMAnagAAAMAAB66AkA=",
    "QgEBBAgAAAMAnagAAAMAAB6gIIMTZbq5MrmoCGgIIAAAAwAgAAADAyE=",
    "RAHBc8CJ",
    "KAGvF4DmvH/+cd9+WIy6MrXkpVSRMi5rq/+6qdv2+qBZ+kfNyM6YZ8PHVFsk9xN0vX7Dn/vfLurRJTF+PQV+y/06g+tP"
    "oX+Rd323Aw2wl0L33u3Q",
)
_RAMP = (
    "QAEMAf//BAgAAAMAn+gAAAMAAB66AkA=",
    "QgEBBAgAAAMAn+gAAAMAAB7AggxZbq5MrmoCGgIIAAADAAgAAAMAyEA=",
    "RAHBc8CJ",
    "KAGuL+wT248ScJHLZoKnN/YWeonYvRxZOxwS5tA7J/Aj93SobcA8",
)
_DEEP_RAMP = (
    "QAEMAf//BAgAAAMAnfgAAAMAAB66AkA=",
    "QgEBBAgAAAMAnfgAAAMAAB7AggQTZbq5Ka5sCAAAAwDIAAADAAhA",
    "RAHBc8CJ",
    "KAGuCfBkg4G6OYeKrex0U3AL5Ow3LJrRLpGTq5xXbhSD/+Y1mzmEylvQxHLLbXGy+GPEhCh2U6RY13VqsiJJnzDdmcNb"
    "9bVcGIxg8HA=",
)


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), name) + content


def _full(name: bytes, flags: int, *parts: bytes) -> bytes:
    """A box with a version (in the high byte of ``flags``) and flags."""
    return _box(name, struct.pack(">I", flags), *parts)


def _configuration(frame: tuple[str, ...], *, chroma: int, depth: int) -> bytes:
    """The decoder configuration, ISO/IEC 14496-15 section 8.3.3."""
    units = [base64.b64decode(unit) for unit in frame[:3]]
    profile = units[1].replace(b"\0\0\3", b"\0\0")[3:15]
    arrays = b"".join(
        struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit
        for kind, unit in zip((32, 33, 34), units, strict=True)
    )
    fixed = struct.pack(
        ">HBBBBHBB", 0xF000, 0xFC, 0xFC | chroma, 0xF8 | depth - 8, 0xF8 | depth - 8, 0, 0x0F, 3
    )
    return _box(b"hvcC", b"\x01", profile, fixed, arrays)


def make_heic(
    *,
    deep: bool = False,
    grey: bool = False,
    alpha: bool = False,
    icc: bytes = b"",
    nclx: tuple[int, int, int] | None = None,
    exif: bytes = b"",
    gain_map: bytes = b"",
    rotate: int = 0,
    claim: tuple[int, int] = (WIDTH, HEIGHT),
    brands: bytes = b"heicmif1heic",
) -> bytes:
    """A HEIC still.

    Args:
        deep: 10 bits a channel.
        grey: with ``deep`` and a ``claim`` of 64 x 64: a ramp from black to white.
        alpha: with a ramp of transparency, clear on the left.
        icc: colour profile to embed.
        nclx: code points of primaries, transfer function and matrix (ITU-T H.273); limited
            range, as the frames are.
        exif: EXIF block, beginning with its TIFF header.
        gain_map: data of an item of type ``tmap``, whose map is the picture once more.
        rotate: quarter turns anticlockwise that the decoder must apply.
        claim: the size its header claims.
        brands: major brand, then the compatible ones.
    """
    frame = (_DEEP_RAMP if grey else _DEEP) if deep else _COLOUR
    shape = _full(b"ispe", 0, struct.pack(">II", *claim))
    properties = [_configuration(frame, chroma=0 if grey else 1, depth=10 if deep else 8), shape]
    linked = {1: [0x81, 2]}
    items = [(1, b"hvc1", frame[3])]
    references = b""
    if icc:
        properties.append(_box(b"colr", b"prof", icc))
        linked[1].append(len(properties))
    if nclx is not None:
        properties.append(_box(b"colr", b"nclx", struct.pack(">3HB", *nclx, 0)))
        linked[1].append(len(properties))
    if rotate:
        properties.append(_box(b"irot", bytes([rotate])))
        linked[1].append(0x80 | len(properties))
    if alpha:
        properties.append(_configuration(_RAMP, chroma=0, depth=8))
        properties.append(_full(b"auxC", 0, b"urn:mpeg:hevc:2015:auxid:1\0"))
        linked[2] = [0x80 | len(properties) - 1, 2, 0x80 | len(properties)]
        items.append((2, b"hvc1", _RAMP[3]))
        references += _box(b"auxl", struct.pack(">HHH", 2, 1, 1))
    payloads = []
    for _, _, unit in items:
        content = base64.b64decode(unit)
        payloads.append(struct.pack(">I", len(content)) + content)
    entries = [(number, kind) for number, kind, _ in items]
    if exif:
        entries.append((3, b"Exif"))
        payloads.append(struct.pack(">I", 6) + b"Exif\0\0" + exif)
        references += _box(b"cdsc", struct.pack(">HHH", 3, 1, 1))
    if gain_map:
        entries += [(4, b"hvc1"), (5, b"tmap")]
        payloads += [payloads[0], gain_map]
        linked[4] = linked[5] = [0x81, 2]
        references += _box(b"dimg", struct.pack(">HHHH", 5, 2, 1, 4))
    information = b"".join(
        _full(b"infe", 0x02000000, struct.pack(">HH4s", number, 0, kind), b"\0")
        for number, kind in entries
    )
    associations = b"".join(
        struct.pack(">HB", number, len(indexes)) + bytes(indexes)
        for number, indexes in linked.items()
    )

    def meta(start: int) -> bytes:
        locations = b""
        for (number, _), payload in zip(entries, payloads, strict=True):
            locations += struct.pack(">HHHII", number, 0, 1, start, len(payload))
            start += len(payload)
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, struct.pack(">I4s12x", 0, b"pict"), b"\0"),
            _full(b"pitm", 0, struct.pack(">H", 1)),
            _full(b"iinf", 0, struct.pack(">H", len(entries)), information),
            _full(b"iref", 0, references) if references else b"",
            _box(
                b"iprp",
                _box(b"ipco", *properties),
                _full(b"ipma", 0, struct.pack(">I", len(linked)), associations),
            ),
            _full(b"iloc", 0, struct.pack(">BBH", 0x44, 0, len(entries)), locations),
        )

    head = _box(b"ftyp", brands[:4], b"\0\0\0\0", brands[4:])
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + _box(b"mdat", *payloads)
