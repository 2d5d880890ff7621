"""Filters that films, sound, posters, storyboards and previews share.

What lives here: deinterlacing; whether this ffmpeg has the filters of HDR; from when the time of
sound counts. What may not: sizes, colours (``colours``).
"""

from __future__ import annotations

import dataclasses

from worker.domain.errors import ConfigurationError
from worker.video import ffmpeg
from worker.video.commands import Filter
from worker.video.limits import ProgramLimits

DEINTERLACE: Filter = ("bwdif", {"mode": "send_frame", "deint": "interlaced"})
"""Only those frames that say they are interlaced."""
_NEEDED = frozenset({"zscale", "tonemap"})


def since(origin: float) -> Filter:
    """Sound whose time counts from another moment: what was at ``origin``, seconds, is at 0."""
    return ("asetpts", {"expr": f"PTS-({origin:.9f})/TB"})


def require_tone_mapping(limits: ProgramLimits) -> None:
    """Make sure that this build of ffmpeg can bring HDR and wide colours to BT.709.

    Raises:
        ConfigurationError: it cannot (``program_feature_missing``).
    """
    listing = ffmpeg.run(
        ["-filters"], limits=dataclasses.replace(limits, wall_seconds=60), capture=True
    ).decode(errors="replace")
    names = {line.split()[1] for line in listing.splitlines() if len(line.split()) > 2}
    missing = sorted(_NEEDED - names)
    if missing:
        raise ConfigurationError(
            f"this ffmpeg has no filter {' and no '.join(missing)}, which HDR and wide colours "
            "need: install a build with libzimg",
            code="program_feature_missing",
        )
