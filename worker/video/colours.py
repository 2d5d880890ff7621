"""The colours of a video, and the filters that convert them to BT.709.

All video jobs ask :func:`of` and :func:`to_bt709`. Results are ordinary BT.709: videos from 16 to
235 and tagged so (:data:`TAGS`), pictures as red, green and blue.

Sources: ITU-R BT.601, BT.709, BT.2020, BT.2100; ITU-T H.273 for the names, in ffmpeg's spelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.video.commands import Filter, Options
from worker.video.tracks import HDR_TRANSFERS, VideoTrack

TAGS: Options = {
    **{"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"},
    "color_range": "tv",
}
"""Options of an encoder whose frames come from :func:`to_bt709`."""

_HIGH_DEFINITION = 720
"""Rows from which a file that does not name its matrix means BT.709, and BT.601 below: the rule of
Chromium (media/ffmpeg/ffmpeg_common.cc) and Firefox (gfx DefaultColorSpace)."""
_WIDE = frozenset({"bt2020", "smpte431", "smpte432"})
"""Primaries far from BT.709's. Those of BT.601 are taken for BT.709's: scalers and editors write
such tags without converting, and most players do not convert either."""
_SCALED = {
    **{"bt709": "bt709", "bt470bg": "bt601", "smpte170m": "bt601", "smpte240m": "smpte240m"},
    **{"fcc": "fcc", "bt2020nc": "bt2020"},
}
"""Matrices that the filter ``scale`` knows, by its names for them."""
_MATRIX_OF = {
    **{"bt709": "bt709", "smpte431": "bt709", "smpte432": "bt709", "bt2020": "bt2020nc"},
    **{"bt470bg": "smpte170m", "smpte170m": "smpte170m"},
}
"""The matrix that goes with primaries where only those are named."""
_CURVES = frozenset(
    {
        *("bt709", "bt470m", "bt470bg", "smpte170m", "linear", "iec61966-2-1", "iec61966-2-4"),
        *("bt2020-10", "bt2020-12"),
    }
)
"""Transfer curves that the filter ``zscale`` knows, by its names, which are ffmpeg's."""
_HDR_PRIMARIES = frozenset({"bt2020", "bt709", "bt470bg", "smpte170m", "smpte431", "smpte432"})
_HDR_MATRICES = frozenset({"bt2020nc", "bt709", "bt470bg", "smpte170m", "ictcp"})
"""Of an HDR video, what can be followed; anything else is taken for a slip of the muxer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """The complete colour description of a video, in ffmpeg's terms."""

    matrix: str
    """``gbr`` for red, green and blue themselves."""
    primaries: str
    transfer: str
    full_range: bool
    """Values go from 0 to 255 and not, as in videos, from 16 to 235 (of 8 bits)."""

    @property
    def hdr(self) -> bool:
        """Whether it must be tone-mapped for ordinary screens."""
        return self.transfer in HDR_TRANSFERS

    @property
    def needs_zscale(self) -> bool:
        """Whether a change of matrix and range does not do, which is all that ``scale`` can."""
        plain = self.matrix == "gbr" or self.matrix in _SCALED
        return self.hdr or self.primaries in _WIDE or self.transfer == "linear" or not plain


VIDEOS = Colours(matrix="bt709", primaries="bt709", transfer="bt709", full_range=False)
"""Output colours of :func:`to_bt709`."""
PICTURES = Colours(matrix="gbr", primaries="bt709", transfer="bt709", full_range=True)
"""Output colours with ``rgb``."""


def of(track: VideoTrack) -> Colours:
    """The colours of a video, from its tags and, for missing tags, from the defaults of players.
    Defaults of HDR videos are those of ITU-R BT.2100.
    """
    if track.pix_fmt.startswith("xyz"):
        return PICTURES  # the scaler makes red, green and blue of it by itself
    hdr = track.transfer in HDR_TRANSFERS
    transfer = str(track.transfer) if hdr or track.transfer in _CURVES else "bt709"
    if re.search(r"rgb|bgr|gbr|^pal8", track.pix_fmt):
        matrix = "gbr"
    elif track.space in (_HDR_MATRICES if hdr else _SCALED.keys() | {"ycgco"}):
        matrix = str(track.space)
    elif hdr or track.space == "bt2020c":
        matrix = "bt2020nc"  # constant luminance is hardly ever used, and near enough
    else:
        high = track.stored_height >= _HIGH_DEFINITION
        matrix = _MATRIX_OF.get(track.primaries or "", "bt709" if high else "smpte170m")
    named = track.primaries in (_HDR_PRIMARIES if hdr else _WIDE | _MATRIX_OF.keys())
    if named and matrix != "ictcp":
        primaries = str(track.primaries)
    else:
        primaries = "bt2020" if hdr or matrix.startswith("bt2020") else "bt709"
    # ffmpeg takes plain grey without a tag for full range, and writes it so.
    grey = re.match(r"gray|ya\d|mono", track.pix_fmt) is not None and track.range is None
    full = matrix == "gbr" or track.range == "pc" or track.pix_fmt.startswith("yuvj") or grey
    return Colours(matrix=matrix, primaries=primaries, transfer=transfer, full_range=full)


_BT709: Options = {"out_color_matrix": "bt709", "out_range": "tv"}
_EVERY: Filter = ("format", {"pix_fmts": "yuv444p16le|gbrp16le"})
"""A colour for every pixel: half of an odd side is none, and zscale refuses it."""


def to_bt709(colours: Colours, scale: Options, *, rgb: bool = False) -> list[Filter]:
    """Filters from a decoded frame to BT.709, scaled on the way.

    Args:
        colours: of the source.
        scale: size and flags of the filter ``scale``.
        rgb: end with ``rgb24`` instead of ``yuv420p`` from 16 to 235.
    """
    read: dict[str, object] = {**scale}
    if colours.matrix != "gbr":
        read["in_range"] = "pc" if colours.full_range else "tv"
    if colours.hdr:
        filters = _tone_mapped(colours, read, rgb=rgb)
    elif colours.needs_zscale:
        filters = _wide_gamut(colours, read, rgb=rgb)
    else:
        if colours.matrix != "gbr":
            read["in_color_matrix"] = _SCALED[colours.matrix]
        filters = [("scale", read if rgb else {**read, **_BT709})]
    filters.insert(0, _saying(colours))
    if not rgb:
        return [*filters, ("format", {"pix_fmts": "yuv420p"}), _saying(VIDEOS)]
    if colours.needs_zscale:
        filters.append(("format", {"pix_fmts": "gbrp"}))
    return [*filters, ("format", {"pix_fmts": "rgb24"})]


def _saying(colours: Colours) -> Filter:
    """Frames that say what they are: from ffmpeg 7.0 on filters refuse what does not fit, and
    convert by themselves before an encoder that was told otherwise. 7.1's ``scale`` also refuses
    frames of a matrix it does not know: ``zscale`` is told that one by its own option."""
    known = colours.matrix == "gbr" or colours.matrix in _SCALED
    said = {"colorspace": colours.matrix if known else "unknown"}
    said["range"] = "pc" if colours.full_range else "tv"
    said |= {"color_primaries": colours.primaries, "color_trc": colours.transfer}
    return ("setparams", said)


def _wide_gamut(colours: Colours, scale: Options, *, rgb: bool) -> list[Filter]:
    """Wide colours to BT.709, in linear light."""
    # What is neutral keeps its values, so the curve stays unless it is none.
    curve = "bt709" if colours.transfer == "linear" else colours.transfer
    return [
        ("scale", {**scale, "out_range": "tv"}),
        _EVERY,
        ("zscale", {**_given(colours), "t": curve, **_wanted(rgb=rgb)}),
    ]


def _tone_mapped(colours: Colours, scale: Options, *, rgb: bool) -> list[Filter]:
    """HDR to BT.709: linear light, Hable's curve, back.

    100 cd/m2 is the reference white of BT.1886 displays; the curve is the one that keeps
    highlights apart without darkening faces (J. Hable, "Filmic Tonemapping Operators", 2010).
    """
    # The input colours must be named: zscale cannot convert frames with unknown colours.
    linear = {"p": colours.primaries, "t": "linear", "npl": 100}
    return [
        ("scale", {**scale, "out_range": "tv"}),
        *([_EVERY] if rgb else []),
        ("zscale", {**_given(colours), **linear}),
        ("format", {"pix_fmts": "gbrpf32le"}),
        ("zscale", {"p": "bt709"}),
        ("tonemap", {"tonemap": "hable", "desat": 0}),
        ("zscale", {"t": "bt709", **_wanted(rgb=rgb)}),
    ]


def _given(colours: Colours) -> dict[str, object]:
    """Input colours of ``zscale``, after ``scale``."""
    # By its number: the filter's name for it is misspelled (smpte2400m).
    matrix = 7 if colours.matrix == "smpte240m" else colours.matrix
    given = {"tin": colours.transfer, "pin": colours.primaries, "min": matrix}
    return {**given, "rin": "pc" if colours.matrix == "gbr" else "tv"}


def _wanted(*, rgb: bool) -> dict[str, object]:
    """Output colours of ``zscale``."""
    return {"p": "bt709", "m": "gbr" if rgb else "bt709", "r": "pc" if rgb else "tv"}
