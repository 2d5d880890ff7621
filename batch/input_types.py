"""Whether an input is of a kind that a job can take, told from its first bytes.

Only what can never succeed is refused. What no table knows is left to the job: ffmpeg reads more
containers than ``worker.imaging.formats.sniff`` names.
"""

from __future__ import annotations

from batch.kind import JobKind
from worker.domain.errors import Reason
from worker.domain.image import Format
from worker.imaging.formats.sniff import identify

HEAD_BYTES = 65_536
"""Of an input, from its beginning: the most that ``sniff`` looks at."""

_TAKES = {
    "video": "videos",
    "tracks": "videos, sound and subtitle files",
    "image": "pictures",
}
_TRACKS = ("video", "media", "audio", "EBML")
"""What the names of containers that may hold a video begin with. Matroska that does not name its
dialect is the prober's to judge."""
_TEXT_TRACKS = ("WEBVTT", "[Script Info]")


def refusal(kind: JobKind, head: bytes) -> tuple[Reason, str] | None:
    """Why a kind of job can never take a file that begins so, or None.

    Args:
        head: the first ``HEAD_BYTES`` of the file, or all of it.

    Returns:
        The code the job would end with, and the rest of a sentence about the input.
    """
    takes = f"{kind.name} takes {_TAKES[kind.media]}"
    if not head:
        return Reason.EMPTY, "has no bytes"
    found = identify(head)
    if kind.media == "image":
        if found is None:
            return Reason.UNKNOWN_FORMAT, f"is of no known format; {takes}"
        # SVG is one by a recipe that allows it; whether HEIC is depends on the installation.
        if not isinstance(found, Format):
            return Reason.FORMAT_NOT_ALLOWED, f"is {found}; {takes}"
        return None
    if isinstance(found, Format):
        return Reason.FORMAT_NOT_ALLOWED, f"is a picture ({found.value}); {takes}"
    if found is None:
        text = _text(head)
        if text is None or (kind.media == "tracks" and _is_subtitles(text)):
            return None
        return Reason.UNKNOWN_FORMAT, f"is text; {takes}"
    # An MP4 that calls itself audio may have a track of pictures all the same.
    if found.startswith("audio") and found != "audio (MP4)":
        return None if kind.media == "tracks" else (Reason.NO_VIDEO, f"is {found}; {takes}")
    if found.startswith(_TRACKS):
        return None
    return Reason.FORMAT_NOT_ALLOWED, f"is {found}; {takes}"


def _text(head: bytes) -> str | None:
    """The bytes as text if every character of them is one that text has; otherwise None."""
    coding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    # The head may end within a character: UTF-8 has four bytes at most.
    for end in range(len(head), max(0, len(head) - 4), -1):
        try:
            text = head[:end].decode(coding)
        except UnicodeDecodeError:
            continue
        return text if all(c.isprintable() or c in "\t\n\r\f" for c in text) else None
    return None


def _is_subtitles(text: str) -> bool:
    """SubRip has no signature: its cues have an arrow between two times."""
    return text.startswith(_TEXT_TRACKS) or "-->" in text
