"""The kinds of jobs, in the order of the documentation: data only, see ``batch.kind``."""

from __future__ import annotations

from batch.kind import Kind
from batch.kinds import library, pictures, transcode, video

KINDS: tuple[Kind, ...] = (*transcode.KINDS, *video.KINDS, *pictures.KINDS, *library.KINDS)
