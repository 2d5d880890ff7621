"""JPEGs with gain maps made in code, as cameras write them, and a reader of their light.

The writer here shares nothing with the one under test.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.imaging.formats import ultrahdr

Light = npt.NDArray[np.float64]

ISO = b"urn:iso:std:iso:ts:21496:-1\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
OFFSET = 1 / 64


def segment(marker: int, content: bytes) -> bytes:
    """A marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(pixels: npt.NDArray[np.uint8], **options: Any) -> bytes:
    """A JPEG of good quality."""
    out = io.BytesIO()
    options = {"quality": 97, "subsampling": 0} | options
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def xmp_packet(**properties: object) -> bytes:
    """XMP with ``hdrgm`` properties; a tuple becomes an array."""
    flat = {name: value for name, value in properties.items() if not isinstance(value, tuple)}
    attributes = " ".join(f'hdrgm:{name}="{value}"' for name, value in flat.items())
    arrays = "".join(
        f"<hdrgm:{name}><rdf:Seq>{''.join(f'<rdf:li>{one}</rdf:li>' for one in value)}"
        f"</rdf:Seq></hdrgm:{name}>"
        for name, value in properties.items()
        if isinstance(value, tuple)
    )
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'rdf:about="" xmlns:hdrgm="{HDRGM}" {attributes}>{arrays}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def iso_metadata(
    *,
    low: tuple[float, ...] = (0.0,),
    high: tuple[float, ...] = (3.0,),
    gamma: float = 1.0,
    offset: float = OFFSET,
    headroom: float = 3.0,
    version: int = 0,
    flags: int = 0x40,
    denominator: int = 1_000_000,
    common: bool = False,
) -> bytes:
    """The metadata of ISO 21496-1, three channels where ``low`` has three."""
    flags |= (0x80 if len(low) == 3 else 0) | (0x08 if common else 0)
    numbers = [0.0, headroom]
    for least, most in zip(low, high, strict=True):
        numbers += [least, most, gamma, offset, offset]
    content = struct.pack(">HHB", version, 0, flags)
    content += struct.pack(">I", denominator) if common else b""
    for number in numbers:
        content += struct.pack(">i", round(number * (denominator or 1)))
        content += b"" if common else struct.pack(">I", denominator)
    return content


def index(
    length: int, pictures: list[tuple[int, int]], *, order: str = ">", count: int | None = None
) -> bytes:
    """A multi-picture index: offsets and sizes of the pictures behind the first."""
    entries = struct.pack(f"{order}IIII", 0x030000, length, 0, 0)
    for offset, size in pictures:
        entries += struct.pack(f"{order}IIII", 0, size & 0xFFFFFFFF, offset & 0xFFFFFFFF, 0)
    said = 16 * (1 + len(pictures)) if count is None else count
    return (
        b"MPF\0"
        + (b"MM\0*" if order == ">" else b"II*\0")
        + struct.pack(f"{order}IH", 8, 3)
        + struct.pack(f"{order}HHI4s", 0xB000, 7, 4, b"0100")
        + struct.pack(f"{order}HHII", 0xB001, 4, 1, 1 + len(pictures))
        + struct.pack(f"{order}HHII", 0xB002, 7, said, 50)
        + struct.pack(f"{order}I", 0)
        + entries
    )


def with_gain_map(
    base: bytes,
    gain_map: bytes,
    *,
    iso: bytes | None = None,
    xmp: bytes | None = None,
    offset: int = 0,
    size: int = 0,
    order: str = ">",
    announced: bool = True,
    profile: bytes = b"",
    count: int | None = None,
) -> bytes:
    """One file of two JPEGs.

    Args:
        base: the picture.
        gain_map: a JPEG without metadata.
        iso: metadata of the map.
        xmp: metadata of the map, too.
        offset: added to the place that the index says.
        size: added to the size that the index says.
        order: of bytes in the index.
        announced: the picture says that it has a map.
        profile: colour profile of the map.
        count: bytes of the index's entries that it claims to have.
    """
    said = segment(0xE1, XMP + xmp) if xmp is not None else b""
    said += segment(0xE2, ISO + iso) if iso is not None else b""
    said += segment(0xE2, b"ICC_PROFILE\0\x01\x01" + profile) if profile else b""
    gain_map = gain_map[:2] + said + gain_map[2:]
    before = b""
    if announced:
        before = segment(0xE1, XMP + xmp_packet(Version="1.0")) + segment(0xE2, ISO + bytes(4))
    # As libultrahdr 2.0 writes it, the index is the last segment before the scan.
    scan = base.index(b"\xff\xda")
    length = len(base) + len(before) + len(segment(0xE2, index(0, [(0, 0)])))
    place = length - (scan + len(before) + 8)
    found = index(length, [(place + offset, len(gain_map) + size)], order=order, count=count)
    return base[:2] + before + base[2:scan] + segment(0xE2, found) + base[scan:] + gain_map


# --- light ----------------------------------------------------------------------------------------


def to_light(values: npt.NDArray[Any]) -> Light:
    """Linear light of 8-bit sRGB values."""
    v = np.asarray(values, np.float64) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def to_values(light: Light) -> npt.NDArray[np.uint8]:
    """8-bit sRGB values of linear light."""
    light = np.clip(light, 0, 1)
    values = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(values * 255), np.uint8)


def scene(width: int = 300, height: int = 200) -> Light:
    """Linear light up to about 6 times white, in which no two places are alike."""
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    sun = 5.0 * np.exp(-(((x - 0.78) / 0.12) ** 2 + ((y - 0.25) / 0.16) ** 2))
    lamp = 2.0 * np.exp(-(((x - 0.2) / 0.08) ** 2 + ((y - 0.7) / 0.1) ** 2))
    ground = 0.08 + 0.4 * x + 0.25 * y
    red, green, blue = ground + sun, ground * 0.9 + 0.8 * sun + lamp, ground * 0.7 + lamp
    return np.stack([red, green, blue + 0.3 * sun], -1)


@dataclass(frozen=True, slots=True)
class Sdr:
    """A scene as a camera stores it: the picture in light, and stops of gain of each pixel."""

    base: Light
    stops: Light


def split(light: Light, *, coloured: bool = False) -> Sdr:
    """Bring a scene to the range of a screen, each channel by itself if ``coloured``."""
    brightness = light if coloured else light.max(axis=-1, keepdims=True)
    base = light / (1 + np.maximum(brightness - 0.5, 0))
    stops = np.log2((light + OFFSET) / (base + OFFSET))
    return Sdr(base, stops if coloured else stops[..., :1] * 0 + _common(light, base))


def _common(light: Light, base: Light) -> Light:
    """One gain for all channels: that of the brightest."""
    most = light.max(axis=-1, keepdims=True)
    return np.asarray(np.log2((most + OFFSET) / (base.max(axis=-1, keepdims=True) + OFFSET)))


def ultra_hdr(
    light: Light, *, scale: int = 2, coloured: bool = False, top: float = 3.0, **options: Any
) -> bytes:
    """A file of a scene: the picture in sRGB values, and its map so many times smaller."""
    sdr = split(light, coloured=coloured)
    base_options = {name: options.pop(name) for name in ("exif", "icc_profile") if name in options}
    height, width = light.shape[0] // scale, light.shape[1] // scale
    small = resized(sdr.stops, width, height)
    stored = np.rint(np.clip(small / top, 0, 1) * 255).astype(np.uint8)
    gain_map = jpeg(stored if coloured else stored[..., 0])
    if "xmp" not in options and "iso" not in options:
        options["iso"] = iso_metadata(high=(top,), headroom=top)
    return with_gain_map(jpeg(to_values(sdr.base), **base_options), gain_map, **options)


def resized(
    light: Light, width: int, height: int, box: tuple[float, float, float, float] | None = None
) -> Light:
    """Each channel resampled with a Lanczos kernel, in floating point."""
    return np.stack(
        [
            np.asarray(
                Image.fromarray(light[..., channel].astype(np.float32)).resize(
                    (width, height), Image.Resampling.LANCZOS, box=box
                ),
                np.float64,
            )
            for channel in range(light.shape[-1])
        ],
        -1,
    )


def read_light(data: bytes) -> Light:
    """HDR in linear light, in the primaries of the picture, as a viewer with a bright screen
    makes it: ISO 21496-1, 6.3, with the whole gain."""
    found = ultrahdr.find(data)
    assert found is not None
    assert found.metadata is not None
    base = to_light(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    return base_times_gain(base, found)


def base_times_gain(base: Light, found: ultrahdr.EmbeddedGainMap) -> Light:
    """The same of a picture whose light is known."""
    metadata = found.metadata
    assert metadata is not None
    height, width, _ = base.shape
    stored = np.asarray(Image.open(io.BytesIO(found.data)), np.float64) / 255
    stored = stored if stored.ndim == 3 else stored[..., None]
    value = np.clip(resized(stored, width, height), 0, 1)
    low, high = np.array(metadata.minimum), np.array(metadata.maximum)
    stops = low + (high - low) * value ** (1 / np.array(metadata.gamma))
    before, behind = np.array(metadata.base_offset), np.array(metadata.alternate_offset)
    return np.asarray((base + before) * 2**stops - behind)


def stops_apart(one: Light, other: Light) -> Light:
    """How far two lights are from each other, in stops, at each place."""
    dark = 0.02
    return np.asarray(np.abs(np.log2((one + dark) / (np.maximum(other, 0) + dark))))
