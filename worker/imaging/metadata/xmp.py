"""XMP: what today's editors write, as RDF in XML.

The properties that ``Tags`` has a field for are read, in the forms that RDF allows for them. The
XML comes from strangers: defusedxml parses it and refuses document types, so there are no entities
and nothing is fetched.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from defusedxml import ElementTree

from worker.domain.image import GpsPosition, Tags
from worker.imaging.metadata import values

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_EXIF_EX = "{http://cipa.jp/exif/1.0/}"
_AUX = "{http://ns.adobe.com/exif/1.0/aux/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_CONTAINERS = frozenset({f"{_RDF}Alt", f"{_RDF}Bag", f"{_RDF}Seq"})

# A packet is a few kilobytes; a larger one holds an editor's history or an attack.
_PACKET_LIMIT = 1_000_000

_Properties = dict[str, list[str]]


def read(packet: bytes) -> Tags:
    """Read an XMP packet. Never raises: a packet that is not well-formed says nothing."""
    found = properties(packet)

    def first(*names: str) -> str | None:
        firsts = (value for name in names for value in found.get(name, [])[:1])
        return next(filter(None, map(values.clean, firsts)), None)

    moments = (found.get(name, [""])[0] for name in _DATES)
    return Tags(
        camera_make=first(f"{_TIFF}Make"),
        camera_model=first(f"{_TIFF}Model"),
        lens=first(f"{_EXIF_EX}LensModel", f"{_AUX}Lens"),
        software=first(f"{_XMP}CreatorTool"),
        taken_at=next(filter(None, map(values.xmp_date, moments)), None),
        gps=_position({name: found.get(name, [""])[0] for name in _GPS}),
        title=first(f"{_DC}title"),
        caption=first(f"{_DC}description"),
        keywords=values.clean_keywords(found.get(f"{_DC}subject", [])),
        artist=values.clean_list(found.get(f"{_DC}creator", [])),
        copyright=first(f"{_DC}rights"),
    )


_DATES = (f"{_EXIF}DateTimeOriginal", f"{_PHOTOSHOP}DateCreated")

_LATITUDE, _LONGITUDE = f"{_EXIF}GPSLatitude", f"{_EXIF}GPSLongitude"
_ALTITUDE, _ALTITUDE_REF = f"{_EXIF}GPSAltitude", f"{_EXIF}GPSAltitudeRef"
_GPS = (_LATITUDE, _LONGITUDE, _ALTITUDE, _ALTITUDE_REF)

# Degrees, minutes and whole seconds, or degrees and minutes with a fraction, then the hemisphere:
# XMP specification part 2 (2016), GPSCoordinate. Fractions of seconds are written too.
_COORDINATE = re.compile(
    r"(\d{1,3}),(?:(\d{1,2}),(\d{1,2}(?:\.\d{1,12})?)|(\d{1,2}(?:\.\d{1,12})?))([NSEW])",
    re.ASCII,
)
_RATIONAL = re.compile(r"(-?\d{1,12})/(\d{1,12})", re.ASCII)


def _position(found: dict[str, str]) -> GpsPosition | None:
    """Both coordinates, or none: half a position is no place."""
    latitude = _angle(found[_LATITUDE], "NS", 90.0)
    longitude = _angle(found[_LONGITUDE], "EW", 180.0)
    # As in EXIF: a receiver without a fix writes zeros.
    if latitude is None or longitude is None or latitude == longitude == 0.0:
        return None
    altitude = _metres(found[_ALTITUDE])
    if altitude is not None and found[_ALTITUDE_REF].strip() == "1":  # below the sea
        altitude = 0.0 - altitude
    return GpsPosition(latitude=latitude, longitude=longitude, altitude=altitude)


def _angle(value: str, hemispheres: str, high: float) -> float | None:
    """Degrees, positive to the first of two hemispheres, to seven places: a centimetre."""
    parts = _COORDINATE.fullmatch(value.strip().upper())
    if parts is None or parts[5] not in hemispheres:
        return None
    minutes, seconds = float(parts[2] or parts[4]), float(parts[3] or 0)
    angle = float(parts[1]) + minutes / 60 + seconds / 3600
    if minutes >= 60.0 or seconds >= 60.0 or angle > high:
        return None
    return round(angle if parts[5] == hemispheres[0] else 0.0 - angle, 7)


def _metres(value: str) -> float | None:
    """A height of 0 to 100 km, as EXIF's are bounded."""
    parts = _RATIONAL.fullmatch(value.strip())
    if parts is None or int(parts[2]) == 0:
        return None
    metres = int(parts[1]) / int(parts[2])
    return metres if 0.0 <= metres <= 100_000.0 else None


def properties(packet: bytes) -> _Properties:
    """Values by qualified name, of the picture itself: not of its history or its ingredients.

    Never raises: a packet that is not well-formed has none.
    """
    if len(packet) > _PACKET_LIMIT:
        return {}
    if not packet.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        packet = packet.strip(b"\0 \t\r\n")
    try:
        root = ElementTree.fromstring(packet, forbid_dtd=True)
    except (SyntaxError, ValueError, LookupError):
        # Not XML; a document type or an entity; an unknown encoding.
        return {}
    rdf = root if root.tag == f"{_RDF}RDF" else root.find(f"{_RDF}RDF")
    found: _Properties = {}
    for description in [] if rdf is None else rdf.findall(f"{_RDF}Description"):
        for name, value in description.attrib.items():
            found.setdefault(name, [value])
        for element in description:
            found.setdefault(element.tag, _values(element))
    return found


def _values(element: Element) -> list[str]:
    """Texts of one property: plain, or the items of its container, the default language first."""
    container = next((child for child in element if child.tag in _CONTAINERS), None)
    if container is None:
        return [element.text or ""]
    items = [item for item in container if item.tag == f"{_RDF}li"]
    if container.tag == f"{_RDF}Alt":
        items.sort(key=lambda item: item.get(_LANGUAGE) != "x-default")
    # Some programs write the name of the default language where a text should be.
    return [item.text or "" for item in items if item.text != "x-default"]
