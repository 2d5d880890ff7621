"""The kinds of jobs, in the order of the documentation: data only, see ``batch.kind``."""

from __future__ import annotations

from batch.kind import JobKind
from batch.kinds import library, pictures, transcode, video

KINDS: tuple[JobKind, ...] = (*transcode.KINDS, *video.KINDS, *pictures.KINDS, *library.KINDS)
