"""The operations: what a job of each kind does with its inputs.

An operation reads its parameters, calls ``worker.imaging`` or ``worker.video``, reports progress
and stores what it made.
"""

from __future__ import annotations

from pkgutil import resolve_name

from batch.catalogue import kind
from batch.work import Operation

OPERATIONS = {
    "transcode": "transcode:run",
    "transcode-plan": "transcode:run_plan",
    "transcode-part": "transcode:run_part",
    "transcode-assemble": "transcode:run_assemble",
    "poster": "video:run_poster",
    "storyboard": "video:run_storyboard",
    "preview": "video:run_preview",
    "audio-waveform": "video:run_audio_waveform",
    "subtitles": "video:run_subtitles",
    "video-metadata": "video:run_video_metadata",
    "deepzoom": "images:run_deepzoom",
    "denoise": "images:run_denoise",
    "stitch": "images:run_stitch",
    "hdr-merge": "images:run_hdr_merge",
    "document": "images:run_document",
    "restore": "images:run_restore",
    "background": "images:run_background",
    "batch-process": "library:run",
}
"""For each kind the module of this package and the function in it."""


def find(name: str) -> Operation:
    """The operation of a kind; only its own module is imported.

    Raises:
        ProblemsError: there is no such kind.
    """
    operation: Operation = resolve_name(f"{__name__}.{OPERATIONS[kind(name).name]}")
    return operation
