"""Filters that films, sound, posters, storyboards and previews share.

What lives here: deinterlacing, HDR to SDR, and whether this ffmpeg can do it; from when the time of
sound counts. What may not: sizes.
"""

from __future__ import annotations

import dataclasses

from worker.errors import ConfigurationError
from worker.media.video import program
from worker.media.video.commands import Filter
from worker.media.video.limits import ProgramLimits
from worker.media.video.tracks import Hdr

DEINTERLACE: Filter = ("bwdif", {"mode": "send_frame", "deint": "interlaced"})
"""Only those frames that say they are interlaced."""
_NEEDED = frozenset({"zscale", "tonemap"})


def since(origin: float) -> Filter:
    """Sound whose time counts from another moment: what was at ``origin``, seconds, is at 0."""
    return ("asetpts", {"expr": f"PTS-({origin:.9f})/TB"})


def to_sdr(light: Hdr, *, matrix: str, full_range: bool, pixels: str) -> tuple[Filter, ...]:
    """HDR to BT.709: linear light, Hable's curve, back.

    What comes in must have been brought to the range of films, 16 to 235, unless it is RGB.

    100 cd/m2 is the reference white of BT.1886 displays; the curve is the one that keeps
    highlights apart without darkening faces (J. Hable, "Filmic Tonemapping Operators", 2010).

    Args:
        light: how the source is to be read.
        matrix: of the result, by zscale's name (``709``, ``gbr``).
        full_range: whether the result's values go from 0 to 255 or, as in films, 16 to 235.
        pixels: pixel format of the result.
    """
    back = {"t": "bt709", "m": matrix, "p": "bt709", "r": "pc" if full_range else "tv"}
    return (
        (
            "zscale",
            {
                **{"tin": light.transfer, "pin": light.primaries, "min": light.matrix},
                # What goes in must come out by name: frames that do not say have no way to it.
                **{"rin": "pc" if light.matrix == "gbr" else "tv", "p": light.primaries},
                **{"t": "linear", "npl": 100},
            },
        ),
        ("format", {"pix_fmts": "gbrpf32le"}),
        ("zscale", {"p": "bt709"}),
        ("tonemap", {"tonemap": "hable", "desat": 0}),
        ("zscale", back),
        ("format", {"pix_fmts": pixels}),
    )


def require_tone_mapping(limits: ProgramLimits) -> None:
    """Make sure that this build of ffmpeg can bring HDR to SDR.

    Raises:
        ConfigurationError: it cannot (``program_feature_missing``).
    """
    listing = program.run(
        ["-filters"], limits=dataclasses.replace(limits, wall_seconds=60), capture=True
    ).decode(errors="replace")
    names = {line.split()[1] for line in listing.splitlines() if len(line.split()) > 2}
    missing = sorted(_NEEDED - names)
    if missing:
        raise ConfigurationError(
            f"this ffmpeg has no filter {' and no '.join(missing)}, which HDR sources need: "
            "install a build with libzimg",
            code="program_feature_missing",
        )
