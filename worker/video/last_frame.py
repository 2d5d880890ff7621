"""How long the last picture of a film stays: sound may go on for longer than the pictures.

A header that says so is only a reason to look: how long the sound is, its packets tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from worker.job_context import Stop
from worker.video.limits import ProgramLimits
from worker.video.timing import measure
from worker.video.tracks import AudioTrack, VideoProbe

_MOST_SOUND_TRACKS = 8
_LONGER = 0.1
"""Seconds by which sound may outlast the pictures before the last picture is held for it: coders
of sound fill their last frame up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastFrame:
    """Says until when the last picture of a film is shown."""

    path: Path
    probe: VideoProbe
    limits: ProgramLimits
    stop: Stop | None = None

    def until(self, end: float) -> float:
        """Where the last picture ends, as a time stamp in seconds.

        Args:
            end: where it ends by itself.
        """
        probe = self.probe
        least = end + _LONGER
        whole = probe.start + (probe.claimed_duration or 0.0)
        ends = [
            measure(self.path, track.index, self.limits, stop=self.stop).end
            for track in heard(probe)
            # Matroska gives no length of a track, only that of all together.
            if (whole if track.duration is None else track.start + track.duration) > least
        ]
        longest = max(ends, default=end)
        return longest if longest > least else end


def heard(probe: VideoProbe) -> list[AudioTrack]:
    """The tracks of sound that are taken, the one marked as default first.

    Those of a coding that is not known here are left out: phones write spatial sound beside an
    ordinary track. A film that has no other is silent.
    """
    known = [track for track in probe.audio if track.playable]
    return sorted(known, key=lambda track: (not track.default, track.index))[:_MOST_SOUND_TRACKS]
