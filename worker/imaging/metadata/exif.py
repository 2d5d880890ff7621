"""EXIF: what a camera wrote, and the little of it that renditions may carry.

Pillow reads and writes the blocks. Tag numbers and meanings: CIPA DC-008-2023 (EXIF 3.0), chapter
4.6; the names in ``PIL.ExifTags`` are the same.
"""

from __future__ import annotations

import math
import struct
import warnings
from typing import SupportsFloat

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from worker.domain.image import GpsPosition, KeepTag, Tags
from worker.imaging.metadata import values

# Cameras fill an empty description with their own name.
_CAMERA_CAPTIONS = frozenset(
    {"olympus digital camera", "sony dsc", "minolta digital camera", "samsung", "dcim", "default"}
)

_MAKE, _MODEL, _SOFTWARE = 0x010F, 0x0110, 0x0131
_DESCRIPTION, _ARTIST, _COPYRIGHT = 0x010E, 0x013B, 0x8298
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_EXPOSURE, _F_NUMBER, _FLASH = 0x829A, 0x829D, 0x9209
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 0x920A, 0xA405
# Sensitivity that does not fit 16 bits stands as 65535 in the first and right in the others.
_ISO_TAGS = (0x8827, 0x8832, 0x8833)
_ISO_OVERFLOW = 65535
_EXIF_VERSION, _TAKEN, _TAKEN_OFFSET, _LENS = 0x9000, 0x9003, 0x9011, 0xA434
_GPS_VERSION, _LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 0, 1, 2, 3, 4
_ALTITUDE_REF, _ALTITUDE = 5, 6

# A JPEG holds 64 kB of EXIF; elsewhere maker notes and thumbnails make it larger, but the tags
# read here stand in front. The cut bounds the work that a block of many megabytes could ask for.
_BLOCK_LIMIT = 1_000_000

# Errors of Pillow's reader for invalid data, which it parses without checks.
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    AssertionError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)


def read(block: bytes) -> Tags:
    """Read an EXIF block, with or without its leading ``Exif\\0\\0``. Never raises.

    A field that is missing, malformed or out of the range it can have is None. There is no
    date but the one of taking: digitising and editing have others.
    """
    with warnings.catch_warnings():
        # Pillow warns about damage it steps over; damage is expected here.
        warnings.simplefilter("ignore")
        return _Block(block[:_BLOCK_LIMIT]).tags()


def written_exif(tags: Tags, keep: frozenset[KeepTag]) -> bytes | None:
    """Write an EXIF block with the known tags that are kept, or None if there are none.

    The block starts with ``Exif\\0\\0``, as libvips' ``exif-data`` and Pillow's ``exif=`` take it.
    Text is UTF-8. There is never an orientation in it: the pixels are upright. A date is
    written only if whole to the second, a lens only if its name is ASCII.
    """
    exif = Image.Exif()
    words = {
        _DESCRIPTION: tags.caption if KeepTag.CAPTION in keep else None,
        _ARTIST: tags.artist if KeepTag.ARTIST in keep else None,
        _COPYRIGHT: tags.copyright if KeepTag.COPYRIGHT in keep else None,
        _MAKE: tags.camera_make if KeepTag.CAMERA in keep else None,
        _MODEL: tags.camera_model if KeepTag.CAMERA in keep else None,
    }
    for tag, value in words.items():
        if value:
            exif[tag] = value.encode()  # Pillow would write a str as ASCII with question marks

    details: dict[int, object] = {}
    if KeepTag.CAMERA in keep and tags.lens and tags.lens.isascii():
        details[_LENS] = tags.lens
    moment = values.exif_text(tags.taken_at) if KeepTag.TAKEN_AT in keep and tags.taken_at else None
    if moment is not None:
        details[_TAKEN], offset = moment
        if offset is not None:
            details[_TAKEN_OFFSET] = offset
    if details:
        exif[_EXIF_IFD] = {_EXIF_VERSION: b"0232", **details}

    if KeepTag.GPS in keep and tags.gps is not None:
        exif[_GPS_IFD] = _written_gps(tags.gps)
    return exif.tobytes() if len(exif) else None


def _written_gps(gps: GpsPosition) -> dict[int, object]:
    directory: dict[int, object] = {
        _GPS_VERSION: b"\x02\x03\x00\x00",
        _LATITUDE_REF: "N" if gps.latitude >= 0 else "S",
        _LATITUDE: _sexagesimal(gps.latitude),
        _LONGITUDE_REF: "E" if gps.longitude >= 0 else "W",
        _LONGITUDE: _sexagesimal(gps.longitude),
    }
    if gps.altitude is not None:
        directory[_ALTITUDE_REF] = b"\x00" if gps.altitude >= 0 else b"\x01"
        directory[_ALTITUDE] = IFDRational(round(abs(gps.altitude) * 100), 100)
    return directory


def _sexagesimal(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds; a ten-thousandth of a second is 3 mm on the ground."""
    minutes, fine = divmod(round(abs(degrees) * 36_000_000), 600_000)
    return (
        IFDRational(minutes // 60, 1),
        IFDRational(minutes % 60, 1),
        IFDRational(fine, 10_000),
    )


class _Block:
    """One parsed block; every question is answered with a usable value or None."""

    def __init__(self, block: bytes) -> None:
        self._main = Image.Exif()
        try:
            self._main.load(block)
        except _UNREADABLE:
            self._main = Image.Exif()
        self._details = self._directory(_EXIF_IFD)
        self._gps = self._directory(_GPS_IFD)

    def tags(self) -> Tags:
        caption = self._text(self._main, _DESCRIPTION)
        if caption is not None and caption.casefold() in _CAMERA_CAPTIONS:
            caption = None
        flash = self._whole(_FLASH, high=0xFFFF, low=0)
        return Tags(
            camera_make=self._text(self._main, _MAKE),
            camera_model=self._text(self._main, _MODEL),
            lens=self._text(self._details, _LENS),
            software=self._text(self._main, _SOFTWARE),
            taken_at=self._taken_at(),
            exposure_seconds=self._positive(self._details, _EXPOSURE, high=86_400.0),
            f_number=self._positive(self._details, _F_NUMBER, high=1_000.0),
            iso=self._iso(),
            focal_length_mm=self._positive(self._details, _FOCAL_LENGTH, high=100_000.0),
            focal_length_35mm=self._whole(_FOCAL_LENGTH_35MM, high=0xFFFF),
            flash=None if flash is None else bool(flash & 1),
            gps=self._position(),
            caption=caption,
            artist=self._text(self._main, _ARTIST),
            copyright=self._copyright(),
        )

    def _directory(self, tag: int) -> dict[int, object]:
        try:
            return dict(self._main.get_ifd(tag))
        except _UNREADABLE:
            return {}

    def _value(self, directory: Image.Exif | dict[int, object], tag: int) -> object:
        try:
            return directory.get(tag)  # Pillow decodes a value when it is asked for
        except _UNREADABLE:
            return None

    def _raw_text(self, directory: Image.Exif | dict[int, object], tag: int) -> str | None:
        value = self._value(directory, tag)
        if isinstance(value, str):
            value = value.encode("latin-1", "ignore")  # how Pillow decoded it
        return values.decode(value) if isinstance(value, bytes) else None

    def _text(self, directory: Image.Exif | dict[int, object], tag: int) -> str | None:
        raw = self._raw_text(directory, tag)
        # Text after the closing NUL is the rest of an earlier, longer value.
        return None if raw is None else values.clean(raw.partition("\0")[0])

    def _copyright(self) -> str | None:
        """The tag has two parts, photographer and editor, with a NUL between them."""
        raw = self._raw_text(self._main, _COPYRIGHT)
        parts = [values.clean(part) for part in (raw or "").split("\0", 2)[:2]]
        return values.clean("; ".join(part for part in parts if part))

    def _taken_at(self) -> str | None:
        moment = self._text(self._details, _TAKEN)
        if moment is None:
            return None
        return values.exif_date(moment, self._text(self._details, _TAKEN_OFFSET))

    def _iso(self) -> int | None:
        for tag in _ISO_TAGS:
            found = self._whole(tag, high=100_000_000)
            if found is not None and found != _ISO_OVERFLOW:
                return found
        return None

    def _positive(
        self, directory: Image.Exif | dict[int, object], tag: int, *, high: float
    ) -> float | None:
        found = _number(self._value(directory, tag))
        return found if found is not None and 0.0 < found <= high else None

    def _whole(self, tag: int, *, high: int, low: int = 1) -> int | None:
        value = self._value(self._details, tag)
        if isinstance(value, tuple) and value:
            value = value[0]  # an old tag that may repeat; the first is the one in use
        return value if isinstance(value, int) and low <= value <= high else None

    def _position(self) -> GpsPosition | None:
        latitude = self._angle(_LATITUDE, _LATITUDE_REF, positive="N", negative="S", high=90.0)
        longitude = self._angle(_LONGITUDE, _LONGITUDE_REF, positive="E", negative="W", high=180.0)
        # A receiver without a fix writes zeros; exactly there is only the open sea off Guinea.
        if latitude is None or longitude is None or latitude == longitude == 0.0:
            return None
        return GpsPosition(latitude=latitude, longitude=longitude, altitude=self._altitude())

    def _angle(
        self, tag: int, ref_tag: int, *, positive: str, negative: str, high: float
    ) -> float | None:
        """Without its hemisphere an angle is dropped: no place is better than a wrong one."""
        parts = self._value(self._gps, tag)
        ref = (self._text(self._gps, ref_tag) or "")[:1].upper()
        if not isinstance(parts, tuple) or len(parts) != 3 or ref not in {positive, negative}:
            return None
        degrees, minutes, seconds = (_number(part) for part in parts)
        if degrees is None or minutes is None or seconds is None:
            return None
        if min(degrees, minutes, seconds) < 0.0 or minutes > 60.0 or seconds > 60.0:
            return None
        angle = degrees + minutes / 60.0 + seconds / 3600.0
        if angle > high:
            return None
        # Seven places are a centimetre; more would be the noise of the division.
        return round(angle if ref == positive else 0.0 - angle, 7)

    def _altitude(self) -> float | None:
        metres = _number(self._value(self._gps, _ALTITUDE))
        if metres is None or not 0.0 <= metres <= 100_000.0:
            return None
        ref = self._value(self._gps, _ALTITUDE_REF)
        # 1 and 3 are below sea level and below the ellipsoid; above is the default.
        below = ref in {1, 3} if isinstance(ref, int) else ref in {b"\x01", b"\x03"}
        return 0.0 - metres if below else metres


def _number(value: object) -> float | None:
    """A finite number; a rational with denominator zero is none."""
    if not isinstance(value, SupportsFloat) or isinstance(value, str):
        return None
    try:
        number = float(value)
    except _UNREADABLE:
        return None
    return number if math.isfinite(number) else None
