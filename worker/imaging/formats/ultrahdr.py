"""Gain maps in files: found in JPEG, AVIF, HEIC and JPEG XL, written into JPEG.

In a JPEG the map is a second JPEG behind the first one. The multi-picture index of the first says
where (CIPA DC-007, 5.2), and the header of the second what its values mean: in an APP2 segment by
ISO 21496-1 or in XMP (Adobe, "Gain map specification" 1.0; Google, "Ultra HDR image format" 1.1).
Both forms are read, ISO first, and both are written. In AVIF and HEIC it is the second input of an
item of type ``tmap`` (ISO/IEC 23008-12), in JPEG XL a box of type ``jhgm``.

libvips 8.18.7 has libultrahdr, whose writer takes pixels or keeps a map as it was: crop, flip and
rot90 leave it whole and unturned (findings/libvips-gain-map.sh). :func:`join` takes two finished
JPEGs instead, so that any encoder may make them, and no further parser of libultrahdr's sees a file
of a stranger.

All of it comes from strangers. A map that is damaged or too large is passed over with a warning,
and its picture is accepted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from worker.domain.errors import LimitExceeded, Rejected
from worker.domain.image import Format, GainMap, GainMapKind, Limits
from worker.imaging import rejections
from worker.imaging.formats import isobmff, jpeg

GAIN_MAP_DAMAGED = "gain_map_damaged"
"""Warning: a gain map is announced, and it is missing, cut off or contradicts itself."""

GAIN_MAP_TOO_LARGE = "gain_map_too_large"
"""Warning: a gain map is over the limits, or larger than its picture."""

MOST_PIXELS = 40_000_000
"""Of a map: it is decoded whole. Cameras make them of a quarter of the picture's width."""

_BYTES = Limits()
"""Of a map as of an ordinary upload; of a picture that is larger than memory, the map is not."""

_UNREADABLE = (struct.error, IndexError, OverflowError, ValueError, Rejected)

_ISO = b"urn:iso:std:iso:ts:21496:-1\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
_APPLE = "http://ns.apple.com/HDRGainMap/1.0/"
_APPLE_AUXILIARY = b"urn:com:apple:photo:2020:aux:hdrgainmap"
_PROFILE = b"ICC_PROFILE\0"
_MPF = b"MPF\0"

_APP0, _APP1, _APP2 = 0xE0, 0xE1, 0xE2
_MOST_PICTURES = 16
"""Of an index that are looked at. Phones write two to four."""

_MOST_STOPS = 16.0
"""Of a gain or headroom. A screen of 10,000 cd/m2 has 5.6 above white of 203."""
_MOST_OFFSET = 1.0
"""White. Usual are 0 and 1/64."""
_GAMMAS = (1 / 16, 16.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GainMapMetadata:
    """The metadata of a gain map: ISO 21496-1, 5.2, in the terms of its formulas.

    Value v, 0 to 1, means a gain of ``minimum + (maximum - minimum) * v ** (1 / gamma)`` stops. In
    linear light HDR is ``(base + base_offset) * 2 ** gain - alternate_offset``. Each tuple has
    three numbers, of red, green and blue.
    """

    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    gamma: tuple[float, ...]
    base_offset: tuple[float, ...]
    alternate_offset: tuple[float, ...]
    base_headroom: float
    """Stops of headroom up to which the picture itself is shown."""
    alternate_headroom: float
    """Stops from which the whole gain is applied."""
    base_colours: bool = True
    """Gains apply to the primaries of the picture, not to those of the map's profile."""
    base_hdr: bool = False
    """The picture itself is HDR, and the map makes it darker."""

    @property
    def channels(self) -> int:
        """1 where all three are alike."""
        each = (
            self.minimum,
            self.maximum,
            self.gamma,
            self.base_offset,
            self.alternate_offset,
        )
        return 1 if all(len(set(three)) == 1 for three in each) else 3

    def sensible(self) -> bool:
        """Whether a gain follows from every value, and none is absurd. NaN is not."""
        low, high = _GAMMAS
        return (
            all(
                -_MOST_STOPS <= least <= most <= _MOST_STOPS
                for least, most in zip(self.minimum, self.maximum, strict=True)
            )
            and all(low <= gamma <= high for gamma in self.gamma)
            and all(abs(k) <= _MOST_OFFSET for k in (*self.base_offset, *self.alternate_offset))
            and 0 <= self.base_headroom <= _MOST_STOPS
            and 0 <= self.alternate_headroom <= _MOST_STOPS
            and self.base_headroom != self.alternate_headroom
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedGainMap:
    """A map as it lies in a JPEG."""

    kind: GainMapKind
    data: bytes
    """A JPEG."""
    metadata: GainMapMetadata | None
    """None of Apple's, whose formula is its own."""
    headroom: float | None
    components: int
    profile: bytes | None
    """The colour profile of the map: primaries that gains apply to, if not the picture's."""

    @property
    def channels(self) -> int:
        """1, or 3 if red, green and blue have gains of their own."""
        return max(self.components, self.metadata.channels if self.metadata else 1)


class DamagedGainMap(ValueError):
    """A gain map is announced and cannot be used."""


def examine(
    data: bytes, kind: Format, limits: Limits, size: tuple[int, int]
) -> tuple[GainMap | None, tuple[str, ...]]:
    """Examine the gain map of a picture; returns its facts and warnings. Decodes nothing, raises
    nothing.

    Args:
        data: the file.
        kind: its format.
        limits: for the map, as for any picture.
        size: width and height of the picture as stored.
    """
    try:
        if kind is Format.JPEG:
            found = find(data)
            return (None, ()) if found is None else (_examined(found, limits, size), ())
        if kind in (Format.AVIF, Format.HEIC):
            return _tone_mapped_item(data), ()
        if kind is Format.JXL:
            return _bundle(data), ()
    except LimitExceeded:
        return None, (GAIN_MAP_TOO_LARGE,)
    except _UNREADABLE:
        return None, (GAIN_MAP_DAMAGED,)
    return None, ()


def _examined(found: EmbeddedGainMap, limits: Limits, size: tuple[int, int]) -> GainMap:
    """Check a map as its picture was checked.

    Raises:
        LimitExceeded: it is over a limit, or larger than its picture.
        ValueError, Rejected: it is damaged.
    """
    most = replace(
        limits,
        pixels=min(limits.pixels, MOST_PIXELS),
        dimension=min(limits.dimension, max(size)),
    )
    width, height = jpeg.examine(found.data, most)
    if not width or not height or not jpeg.complete(found.data):
        raise DamagedGainMap("the map is cut off")
    metadata = found.metadata
    return GainMap(
        kind=found.kind,
        headroom=None if found.headroom is None else round(found.headroom, 4),
        width=width,
        height=height,
        channels=found.channels,
        carriable=metadata is not None
        and not metadata.base_hdr
        and metadata.base_headroom < metadata.alternate_headroom,
    )


# --- reading a JPEG -----------------------------------------------------------------------------


def find(data: bytes) -> EmbeddedGainMap | None:
    """The gain map of a JPEG; None if it has none.

    Raises:
        ValueError, struct.error, IndexError: there should be one.
        LimitExceeded: it has too many bytes.
    """
    announced = False
    pictures: list[tuple[int, int]] = []
    for marker, at, content in jpeg.segments(data):
        if marker == _APP1 and content.startswith(_XMP):
            announced = announced or _HDRGM.encode() in content
        elif marker == _APP2 and content.startswith(_ISO):
            announced = True
        elif marker == _APP2 and content.startswith(_MPF) and not pictures:
            # Offsets count from behind the signature, at its place in the file.
            start = at + len(_MPF)
            pictures = [(start + offset, size) for offset, size in _index(content[len(_MPF) :])]
    for start, size in pictures:
        found = _gain_map(data, start, size)
        if found is not None:
            return found
    if announced:
        raise DamagedGainMap("there is no gain map where one is announced")
    return None


def _index(content: bytes) -> list[tuple[int, int]]:
    """Offset and size of each picture behind the first. CIPA DC-007, 5.2.3: the MP entries."""
    order = {b"II": "<", b"MM": ">"}[content[:2]] if content[:2] in (b"II", b"MM") else ""
    if not order:
        return []
    try:
        (at,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, at)
        for entry in range(min(count, _MOST_PICTURES)):
            tag, _, length, value = struct.unpack_from(f"{order}HHII", content, at + 2 + 12 * entry)
            if tag == _MP_ENTRY:
                most = min(length // 16, _MOST_PICTURES)
                pictures = [
                    struct.unpack_from(f"{order}4xII4x", content, value + 16 * number)
                    for number in range(most)
                ]
                return [(offset, size) for size, offset in pictures if offset]
    except struct.error:
        pass  # an index that is cut off names no picture
    return []


_MP_ENTRY = 0xB002


def _gain_map(data: bytes, start: int, size: int) -> EmbeddedGainMap | None:
    """The picture there, if it is a gain map.

    Raises:
        ValueError, struct.error: it is one, and its metadata cannot be used.
        LimitExceeded: it is one, of too many bytes.
    """
    if start < 0 or data[start : start + 2] != b"\xff\xd8":
        return None
    iso = packet = None
    profile: dict[int, bytes] = {}
    components = 0
    for marker, _, segment in jpeg.segments(data, start):
        if marker == _APP2 and segment.startswith(_ISO):
            iso = segment[len(_ISO) :]
        elif marker == _APP1 and segment.startswith(_XMP):
            packet = segment[len(_XMP) :]
        elif marker == _APP2 and segment.startswith(_PROFILE) and len(segment) > 14:
            profile.setdefault(segment[12], segment[14:])
        elif marker in (0xC0, 0xC1, 0xC2):
            components = segment[5]
    known = _known(iso, packet)
    if known is None:
        return None
    rejections.check_bytes(size, _BYTES)
    kind, metadata, headroom = known
    if start + size > len(data) or components not in (1, 3):
        raise DamagedGainMap("the map is cut off, or has neither one channel nor three")
    return EmbeddedGainMap(
        kind=kind,
        data=bytes(data[start : start + size]),
        metadata=metadata,
        headroom=headroom,
        components=components,
        profile=b"".join(profile[number] for number in sorted(profile)) or None,
    )


_Known = tuple[GainMapKind, GainMapMetadata | None, float | None]


def _known(iso: bytes | None, packet: bytes | None) -> _Known | None:
    """The gain map metadata in the header of a second picture, if it is a gain map.

    Raises:
        ValueError, struct.error: it says nothing that can be used.
    """
    failed: Exception | None = None
    if iso is not None:
        try:
            metadata = read_iso(iso)
        except _UNREADABLE as error:
            failed = error  # XMP may be good
        else:
            return GainMapKind.ISO, metadata, metadata.alternate_headroom
    if packet is not None and (_HDRGM.encode() in packet or _APPLE.encode() in packet):
        from worker.imaging.metadata import xmp  # a parser of XML: not at every start

        properties = xmp.properties(packet)
        if f"{{{_HDRGM}}}Version" in properties:
            metadata = _from_xmp(properties)
            return GainMapKind.ULTRA_HDR, metadata, metadata.alternate_headroom
        if f"{{{_APPLE}}}HDRGainMapVersion" in properties:
            return GainMapKind.APPLE, None, _apple_headroom(properties)
    if failed is not None:
        raise DamagedGainMap(f"its metadata cannot be used: {failed}") from failed
    return None


def read_iso(content: bytes) -> GainMapMetadata:
    """The metadata of ISO 21496-1, annex C.2; the common denominator as libultrahdr writes it.

    Raises:
        ValueError, struct.error: they are of a later version, cut off or absurd.
    """
    version, _, flags = struct.unpack_from(">HHB", content)
    if version:
        raise DamagedGainMap("its metadata are of a later version")
    channels = 3 if flags & _MULTICHANNEL else 1
    common = bool(flags & _COMMON_DENOMINATOR)
    numbers: list[float] = []
    at = 5
    shared = 1
    if common:
        (shared,) = struct.unpack_from(">I", content, at)
        at += 4
    signs = "II" + "iiIii" * channels
    for sign in signs:
        if common:
            (over,), under = struct.unpack_from(f">{sign}", content, at), shared
            at += 4
        else:
            over, under = struct.unpack_from(f">{sign}I", content, at)
            at += 8
        if not under:
            raise DamagedGainMap("a denominator is zero")
        numbers.append(over / under)
    base, alternate, *rest = numbers
    each = [tuple((rest[n::5] * 3)[:3]) for n in range(5)]
    return _checked(
        GainMapMetadata(
            minimum=each[0],
            maximum=each[1],
            gamma=each[2],
            base_offset=each[3],
            alternate_offset=each[4],
            base_headroom=base,
            alternate_headroom=alternate,
            base_colours=bool(flags & _BASE_COLOURS),
            base_hdr=bool(flags & _BACKWARD),
        )
    )


_MULTICHANNEL, _BASE_COLOURS, _COMMON_DENOMINATOR, _BACKWARD = 0x80, 0x40, 0x08, 0x04


def _from_xmp(properties: dict[str, list[str]]) -> GainMapMetadata:
    """The ``hdrgm`` properties with their defaults. Adobe, "Gain map specification" 1.0, XMP.

    Raises:
        ValueError: one is no number, or absurd.
    """

    def each(name: str, default: str) -> tuple[float, ...]:
        found = properties.get(f"{{{_HDRGM}}}{name}", [default])
        if len(found) not in (1, 3):
            raise DamagedGainMap(f"{name} has neither one value nor three")
        return tuple(map(float, found * (3 // len(found))))

    return _checked(
        GainMapMetadata(
            minimum=each("GainMapMin", "0"),
            maximum=each("GainMapMax", "nan"),  # required
            gamma=each("Gamma", "1"),
            base_offset=each("OffsetSDR", "0.015625"),
            alternate_offset=each("OffsetHDR", "0.015625"),
            base_headroom=each("HDRCapacityMin", "0")[0],
            alternate_headroom=each("HDRCapacityMax", "nan")[0],
            base_hdr=properties.get(f"{{{_HDRGM}}}BaseRenditionIsHDR", [""])[0] == "True",
        )
    )


def _checked(metadata: GainMapMetadata) -> GainMapMetadata:
    if not metadata.sensible():
        raise DamagedGainMap("its metadata say what cannot be")
    return metadata


def _apple_headroom(properties: dict[str, list[str]]) -> float | None:
    """Stops, where the file says it itself and not only in its maker note."""
    try:
        factor = float(properties[f"{{{_APPLE}}}HDRGainMapHeadroom"][0])
    except (KeyError, IndexError, ValueError):
        return None
    return math.log2(factor) if 1 <= factor <= 2**_MOST_STOPS else None


# --- AVIF, HEIC and JPEG XL ---------------------------------------------------------------------


def _tone_mapped_item(data: bytes) -> GainMap | None:
    """The gain map of a ``tmap`` item, or the presence of Apple's auxiliary picture.

    Raises:
        ValueError, struct.error, IndexError, Rejected: an item is there and cannot be read.
    """
    item = isobmff.tone_map(data)
    if item is None:
        auxiliary = _APPLE_AUXILIARY in data[:_HEADER_BYTES]
        return GainMap(kind=GainMapKind.APPLE) if auxiliary else None
    content, size = item
    if content[:1] != b"\0":
        raise DamagedGainMap("its metadata are of a later version")
    metadata = read_iso(content[1:])
    width, height = size or (None, None)
    return GainMap(
        kind=GainMapKind.ISO,
        headroom=round(metadata.alternate_headroom, 4),
        width=width,
        height=height,
        channels=metadata.channels,
    )


def _bundle(data: bytes) -> GainMap | None:
    """The gain map of a JPEG XL's ``jhgm`` box: version, size of the metadata, and the metadata.

    libjxl 0.11, ``jxl/gain_map.h``.

    Raises:
        ValueError, struct.error: the box is there and cannot be read.
    """
    if data[4:8] != b"JXL ":
        return None  # a bare codestream
    for box in isobmff.walk(data, most=rejections.most_blocks(data)):
        if box.name == b"jhgm":
            content = bytes(data[box.content : min(box.end, box.content + 3 + 0xFFFF)])
            version, size = struct.unpack_from(">BH", content)
            if version:
                raise DamagedGainMap("its box is of a later version")
            metadata = read_iso(content[3 : 3 + size])
            return GainMap(
                kind=GainMapKind.ISO,
                headroom=round(metadata.alternate_headroom, 4),
                channels=metadata.channels,
            )
    return None


_HEADER_BYTES = 65_536
"""The item properties of a HEIC stand in its first box but one."""


# --- writing a JPEG -----------------------------------------------------------------------------


def join(
    picture: bytes, gain_map: bytes, metadata: GainMapMetadata, profile: bytes | None = None
) -> bytes:
    """One file of two JPEGs, for readers of ISO 21496-1 and of Ultra HDR 1.1.

    Args:
        picture: what every reader shows.
        gain_map: it covers all of the picture, in any size.
        metadata: what the values of the map mean.
        profile: with ``metadata.base_colours`` false the colour profile whose primaries gains apply
            to. XMP cannot say that, so it is left out then.
    """
    xmp = metadata.base_colours
    header = [_segment(_APP2, _ISO + write_iso(metadata))]
    if xmp:
        header.insert(0, _segment(_APP1, _XMP + _map_packet(metadata)))
    else:
        header += _profile_segments(profile or b"")
    gain_map = _inserted(gain_map, b"".join(header))

    before = _segment(_APP2, _ISO + struct.pack(">HH", 0, 0))
    if xmp:
        before = _segment(_APP1, _XMP + _picture_packet(len(gain_map))) + before
    at = _behind_applications(picture) + len(before)
    length = len(picture) + len(before) + len(_index_segment(0, 0, 0))
    # Offsets count from behind marker, length and signature.
    index = _index_segment(length, length - at - 4 - len(_MPF), len(gain_map))
    return _inserted(picture, before + index) + gain_map


def write_iso(metadata: GainMapMetadata) -> bytes:
    """The metadata as :func:`read_iso` takes them, each a fraction of its own."""
    channels = metadata.channels
    flags = (_MULTICHANNEL if channels == 3 else 0) | (
        _BASE_COLOURS if metadata.base_colours else 0
    )
    parts = [
        struct.pack(">HHB", 0, 0, flags),
        _fraction("I", metadata.base_headroom),
        _fraction("I", metadata.alternate_headroom),
    ]
    for number in range(channels):
        parts += [
            _fraction("i", metadata.minimum[number]),
            _fraction("i", metadata.maximum[number]),
            _fraction("I", metadata.gamma[number]),
            _fraction("i", metadata.base_offset[number]),
            _fraction("i", metadata.alternate_offset[number]),
        ]
    return b"".join(parts)


def _fraction(sign: str, value: float) -> bytes:
    # The greatest value is 16, and a numerator has 31 bits.
    found = Fraction(value).limit_denominator(100_000_000)
    return struct.pack(f">{sign}I", found.numerator, found.denominator)


_RDF = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" {0}</rdf:Description></rdf:RDF></x:xmpmeta>'
)


def _picture_packet(length: int) -> bytes:
    """The directory of the file. Google, "Ultra HDR image format" 1.1, GContainer."""
    item = '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{0}" {1}/></rdf:li>'
    mime = 'Item:Mime="image/jpeg"'
    return _RDF.format(
        'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" '
        f'xmlns:hdrgm="{_HDRGM}" hdrgm:Version="1.0">'
        "<Container:Directory><rdf:Seq>"
        + item.format("Primary", mime)
        + item.format("GainMap", f'{mime} Item:Length="{length}"')
        + "</rdf:Seq></Container:Directory>"
    ).encode()


def _map_packet(metadata: GainMapMetadata) -> bytes:
    properties: dict[str, Sequence[float]] = {
        "GainMapMin": metadata.minimum,
        "GainMapMax": metadata.maximum,
        "Gamma": metadata.gamma,
        "OffsetSDR": metadata.base_offset,
        "OffsetHDR": metadata.alternate_offset,
        "HDRCapacityMin": (metadata.base_headroom,),
        "HDRCapacityMax": (metadata.alternate_headroom,),
    }
    attributes = [f'xmlns:hdrgm="{_HDRGM}" hdrgm:Version="1.0"']
    elements = []
    for name, values in properties.items():
        if len(set(values)) == 1:
            attributes.append(f'hdrgm:{name}="{values[0]:.7g}"')
        else:
            items = "".join(f"<rdf:li>{value:.7g}</rdf:li>" for value in values)
            elements.append(f"<hdrgm:{name}><rdf:Seq>{items}</rdf:Seq></hdrgm:{name}>")
    attributes.append('hdrgm:BaseRenditionIsHDR="False"')
    return _RDF.format(" ".join(attributes) + ">" + "".join(elements)).encode()


def _index_segment(length: int, offset: int, size: int) -> bytes:
    """The index of two pictures. CIPA DC-007, 5.2."""
    entries = struct.pack(">III4xIII4x", 0x030000, length, 0, 0, size, offset)
    tags = struct.pack(
        ">HHHI4sHHIIHHIII",
        3,
        *(0xB000, 7, 4, b"0100"),
        *(0xB001, 4, 1, 2),
        *(_MP_ENTRY, 7, len(entries), 8 + 2 + 3 * 12 + 4),
        0,
    )
    return _segment(_APP2, _MPF + b"MM\0*" + struct.pack(">I", 8) + tags + entries)


def _profile_segments(profile: bytes) -> list[bytes]:
    """ICC.1:2022, annex B.4."""
    most = 65_000
    parts = [profile[at : at + most] for at in range(0, len(profile), most)]
    return [
        _segment(_APP2, _PROFILE + bytes([number, len(parts)]) + part)
        for number, part in enumerate(parts, 1)
    ]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def _inserted(data: bytes, segments: bytes) -> bytes:
    at = _behind_applications(data)
    return data[:at] + segments + data[at:]


def _behind_applications(data: bytes) -> int:
    """Where a file that an encoder of ours wrote has its last application segment behind it."""
    at = 2
    for marker, start, content in jpeg.segments(data):
        if not _APP0 <= marker <= 0xEF:
            break
        at = start + len(content)
    return at
