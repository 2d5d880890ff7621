"""Colour of a picture: primaries, transfer function, and the source that declares them.

Domain types and the tables of ITU-T H.273 (07/2024), "coding-independent code points", which the
nclx box of AVIF and HEIC, the cICP chunk of PNG and the AV1 bitstream share. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ColourSource(StrEnum):
    """The part of a file that declares its colours: the first of these that the file has."""

    CICP = "cicp"
    """The cICP chunk of a PNG, the header of a JPEG XL."""
    ICC = "icc"
    """An embedded profile."""
    SRGB = "srgb"
    """The sRGB chunk of a PNG."""
    GAMA = "gama"
    """The gAMA chunk of a PNG, with cHRM if there is one."""
    NCLX = "nclx"
    """The nclx colour information of AVIF and HEIC."""
    BITSTREAM = "bitstream"
    """The AV1 sequence header, for an AVIF without any colour information."""
    EXIF = "exif"
    """ColorSpace 1 of EXIF: sRGB."""
    DEFAULT = "default"
    """No declaration: the picture is read as sRGB, as browsers do."""


class Primaries(StrEnum):
    """A set of red, green, blue and white."""

    BT709 = "bt709"
    """Also the primaries of sRGB."""
    BT470M = "bt470m"
    BT470BG = "bt470bg"
    SMPTE170M = "smpte170m"
    FILM = "film"
    BT2020 = "bt2020"
    XYZ = "xyz"
    DCI_P3 = "dci-p3"
    DISPLAY_P3 = "display-p3"
    EBU3213 = "ebu3213"
    ADOBE_RGB = "adobe-rgb"
    PROPHOTO_RGB = "prophoto-rgb"
    CUSTOM = "custom"
    """Given by ``Colour.chromaticities``."""


class Transfer(StrEnum):
    """The relation of stored values to light."""

    SRGB = "srgb"
    BT709 = "bt709"
    """BT.709, BT.601 and SDR BT.2020. Chromium (156) shows it as sRGB in AVIF, HEIC and videos, and
    as BT.1886 has it in PNG."""
    GAMMA = "gamma"
    """A power, ``Colour.gamma``."""
    LINEAR = "linear"
    SMPTE240M = "smpte240m"
    SMPTE428 = "smpte428"
    PQ = "pq"
    """SMPTE ST 2084, ITU-R BT.2100: HDR."""
    HLG = "hlg"
    """ARIB STD-B67, ITU-R BT.2100: HDR."""


_D65 = (0.3127, 0.3290)
_C = (0.310, 0.316)

CHROMATICITIES: dict[Primaries, tuple[float, ...]] = {
    Primaries.BT709: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    Primaries.BT470M: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    Primaries.BT470BG: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    Primaries.SMPTE170M: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    Primaries.FILM: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    Primaries.BT2020: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    Primaries.XYZ: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    Primaries.DCI_P3: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    Primaries.DISPLAY_P3: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    Primaries.EBU3213: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
    # The two primaries without a code point. Adobe RGB (1998), 4.3.1; ISO 22028-2 (ROMM RGB), D50.
    Primaries.ADOBE_RGB: (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
    Primaries.PROPHOTO_RGB: (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001),
}
"""CIE 1931 x and y of white, red, green, blue. H.273 table 2."""

PRIMARIES: dict[int, Primaries] = {
    1: Primaries.BT709,
    4: Primaries.BT470M,
    5: Primaries.BT470BG,
    6: Primaries.SMPTE170M,
    7: Primaries.SMPTE170M,
    8: Primaries.FILM,
    9: Primaries.BT2020,
    10: Primaries.XYZ,
    11: Primaries.DCI_P3,
    12: Primaries.DISPLAY_P3,
    22: Primaries.EBU3213,
}
"""Primaries by code point; 2 means unspecified, others are reserved. H.273 table 2."""

TRANSFERS: dict[int, tuple[Transfer, float | None]] = {
    1: (Transfer.BT709, None),
    4: (Transfer.GAMMA, 2.2),
    5: (Transfer.GAMMA, 2.8),
    6: (Transfer.BT709, None),
    7: (Transfer.SMPTE240M, None),
    8: (Transfer.LINEAR, None),
    11: (Transfer.BT709, None),  # including values that no still picture has
    13: (Transfer.SRGB, None),
    14: (Transfer.BT709, None),
    15: (Transfer.BT709, None),
    16: (Transfer.PQ, None),
    17: (Transfer.SMPTE428, None),
    18: (Transfer.HLG, None),
}
"""Transfer functions by code point, with the exponent; 2 means unspecified. H.273 table 3. The
logarithmic 9 and 10, and 12 of analogue television, are read as sRGB: Chromium shows none of
them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """The meaning of a picture's red, green and blue."""

    source: ColourSource = ColourSource.DEFAULT
    primaries: Primaries | None = Primaries.BT709
    """None if only the profile defines them, and for CMYK and Lab."""
    transfer: Transfer | None = Transfer.SRGB
    """None likewise."""
    gamma: float | None = None
    """Light is the stored value, 0 to 1, to this power. Set with ``Transfer.GAMMA``, and with
    ``Transfer.BT709`` if the picture is shown as on a television."""
    chromaticities: tuple[float, ...] | None = None
    """CIE x and y of white, red, green, blue; set with ``Primaries.CUSTOM``."""

    @property
    def hdr(self) -> bool:
        """Whether the picture is HDR and must be tone-mapped for ordinary screens."""
        return self.transfer in (Transfer.PQ, Transfer.HLG)

    @property
    def srgb_curve(self) -> bool:
        """Whether values are read as sRGB."""
        return self.transfer in (Transfer.SRGB, Transfer.BT709) and self.gamma is None

    @property
    def xy(self) -> tuple[float, ...]:
        """CIE x and y of white, red, green, blue; those of BT.709 if unknown."""
        if self.chromaticities is not None:
            return self.chromaticities
        return CHROMATICITIES[self.primaries or Primaries.BT709]


def from_code_points(
    primaries: int, transfer: int, source: ColourSource, *, strict: bool = False
) -> Colour | None:
    """The meaning of two code points.

    Args:
        primaries: H.273 table 2.
        transfer: H.273 table 3.
        source: what holds them.
        strict: both must be specified and supported. Otherwise one is enough, and the other
            defaults to sRGB.

    Returns:
        None if they are unspecified.
    """
    known = (primaries in PRIMARIES, transfer in TRANSFERS)
    if not (all(known) if strict else any(known)):
        return None
    curve, gamma = TRANSFERS.get(transfer, (Transfer.SRGB, None))
    return Colour(
        source=source,
        primaries=PRIMARIES.get(primaries, Primaries.BT709),
        transfer=curve,
        gamma=gamma,
    )
