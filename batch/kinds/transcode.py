"""Kinds that encode a whole video: on one machine, or divided over several."""

from __future__ import annotations

from batch.kind import JobKind, Parameter
from batch.kinds.checks import something_to_make

LADDER = (
    Parameter(
        name="codecs",
        type="list",
        choices=("h264", "hevc", "av1"),
        default=("h264",),
        minimum=1,
        maximum=3,
        help="Video codecs of the ladder; the progressive MP4 has the first.",
    ),
    Parameter(
        name="heights",
        type="list",
        default=("1080", "720", "480", "240"),
        minimum=1,
        maximum=8,
        part="int",
        part_minimum=16,
        part_maximum=8192,
        help="Shorter sides of the ladder's steps, pixels; those above the source are left out.",
    ),
    Parameter(
        name="segment_seconds",
        type="float",
        default=6.0,
        minimum=1,
        maximum=20,
        help="Length of a segment, seconds; every one begins with a key frame.",
    ),
    Parameter(
        name="frame_rate",
        type="float",
        default=60.0,
        minimum=1,
        maximum=120,
        help="Highest frame rate of the result, frames a second.",
    ),
    Parameter(
        name="loudness",
        type="float",
        default=-16.0,
        minimum=-40,
        maximum=-5,
        help="Integrated loudness of the sound, LUFS.",
    ),
    Parameter(
        name="normalise",
        type="bool",
        default=True,
        help="Bring the sound to that loudness.",
    ),
    Parameter(name="hls", type="bool", default=True, help="Write the HLS ladder."),
    Parameter(name="mp4", type="bool", default=True, help="Write the progressive MP4."),
    Parameter(
        name="preset",
        type="choice",
        choices=("ultrafast", "veryfast", "faster", "fast", "medium", "slow"),
        default="medium",
        help="How hard the encoders try: slower is smaller.",
    ),
    Parameter(
        name="max_seconds",
        type="float",
        default=14400.0,
        minimum=1,
        maximum=172800,
        help="Longest video accepted, seconds.",
    ),
)
"""What the ladder looks like. The same for every part of a divided job."""

GROUPS = Parameter(
    name="groups",
    type="int",
    default=4,
    minimum=1,
    maximum=1000,
    help="How many parts the video is divided into: the children of the array job.",
)

_SCRATCH = 100

KINDS: tuple[JobKind, ...] = (
    JobKind(
        name="transcode",
        summary="HLS ladder and progressive MP4 of a video, on one machine",
        parameters=LADDER,
        media="video",
        agreement=something_to_make,
        vcpus=8,
        memory_mib=14336,
        scratch_gib=_SCRATCH,
        timeout_seconds=6 * 3600,
        attempts=10,
    ),
    JobKind(
        name="transcode-plan",
        step=True,
        summary="Decide the ladder and the cuts of a video that several machines will encode",
        parameters=(*LADDER, GROUPS),
        media="video",
        agreement=something_to_make,
        scratch_gib=_SCRATCH,
        scratch_factor=0.1,
        result="plan.result.json",
    ),
    JobKind(
        name="transcode-part",
        step=True,
        summary="Encode one group of segments of a planned video",
        parameters=(*LADDER, GROUPS),
        media="video",
        agreement=something_to_make,
        vcpus=4,
        memory_mib=7168,
        scratch_gib=_SCRATCH,
        timeout_seconds=3 * 3600,
        attempts=10,
        array=True,
        result="part.result.json",
    ),
    JobKind(
        name="transcode-assemble",
        step=True,
        summary="Join the encoded parts of a planned video",
        parameters=(*LADDER, GROUPS),
        media="video",
        agreement=something_to_make,
        scratch_gib=_SCRATCH,
    ),
)
