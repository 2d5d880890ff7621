"""Where a film is cut: HLS segments of one length, and parts of several segments each.

What lives here: pure arithmetic on a :class:`~worker.video.timeline.Timeline`. What may
not: encoding, files.

A *segment* is what a player fetches; it begins with a key frame, and all have the same length but
the last. A *part* is what is encoded in one go and kept when a job is interrupted: whole segments.
Reading for a part begins at a key frame of the source, and cuts are chosen where one is near, so
that little is decoded twice.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

from worker.video.timeline import Timeline

KEY_SECONDS = 2
"""Between key frames, about: "HLS authoring specification for Apple devices", 1.10."""
PART_SECONDS = 12
"""Length of a part, about: what each processor of a reclaimed machine has done in vain at most. In
shorter ones the start of the encoder shows; longer ones are no cheaper (``safelight bench video``).
"""
_FARTHEST = 4
"""Parts that may be decoded in vain before a cut; without a nearer key frame there is no cut."""

_LEAST_FRAMES = 8
"""In a part that others come before. Of one or two frames an encoder makes no B-frames and sets
decoding times without a delay (x264's and x265's ``bframe_delay``): they cannot be joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A run of frames that is encoded in one go."""

    number: int
    first: int
    """Frame of the grid it begins with."""
    frames: int
    seek: int | None
    """Time stamp in the source's ticks of the key frame where reading begins; None is its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a film is divided."""

    key_frames: int
    """Frames from one key frame to the next."""
    segment_frames: int
    """Frames of a segment, a whole number of key frame intervals."""
    parts: tuple[Chunk, ...]


def cut(timeline: Timeline, *, segment_seconds: float, part_seconds: float = PART_SECONDS) -> Cut:
    """Divide a film.

    Args:
        timeline: of the source.
        segment_seconds: wanted; the real length is the nearest whole number of frames.
        part_seconds: wanted; rounded to whole segments, then moved by one at most.
    """
    intervals = max(1, round(segment_seconds / KEY_SECONDS))
    key_frames = max(1, round(Fraction(segment_seconds) * timeline.rate / intervals))
    segment_frames = key_frames * intervals
    wanted = max(1, round(Fraction(part_seconds) * timeline.rate / segment_frames))
    entries = timeline.keys if timeline.entries is None else timeline.entries
    places = [place for place, _ in entries]
    parts: list[Chunk] = []
    first = 0
    while first < timeline.frames:
        left = -(-(timeline.frames - first) // segment_frames)
        count = left
        if left > wanted + wanted // 2:
            choices = range(max(1, wanted - 1), wanted + 2) if wanted > 1 else range(1, 2)
            count = min(
                choices,
                key=lambda many: (
                    _run_in(places, first + many * segment_frames) / many,
                    abs(many - wanted),
                ),
            )
        far = _FARTHEST * wanted * segment_frames
        while count < left and _run_in(places, first + count * segment_frames) > far:
            count += 1
        if timeline.frames - first - count * segment_frames < _LEAST_FRAMES:
            count = left
        frames = min(count * segment_frames, timeline.frames - first)
        before = bisect_right(places, first) - 1
        seek = entries[before][1] if first > 0 and before > 0 else None
        parts.append(Chunk(number=len(parts), first=first, frames=frames, seek=seek))
        first += frames
    return Cut(key_frames=key_frames, segment_frames=segment_frames, parts=tuple(parts))


def _run_in(places: list[int], first: int) -> int:
    """Frames that are decoded before the first that is wanted."""
    before = bisect_right(places, first) - 1
    return first - (places[before] if before >= 0 else 0)


def group(parts: tuple[Chunk, ...], groups: int) -> tuple[tuple[int, ...], ...]:
    """Numbers of the parts of each of ``groups`` children, in order, about equally long.

    Some are empty if there are more groups than parts.
    """
    total = sum(part.frames for part in parts)
    result: list[list[int]] = [[] for _ in range(groups)]
    for part in parts:
        middle = part.first + part.frames / 2
        result[min(groups - 1, int(middle * groups / total))].append(part.number)
    return tuple(tuple(numbers) for numbers in result)
