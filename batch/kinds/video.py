"""Kinds that make something small of a video: pictures, a curve, text, facts."""

from __future__ import annotations

from batch.kind import JobKind, Parameter

MAX_SECONDS = Parameter(
    name="max_seconds",
    type="float",
    default=14400.0,
    minimum=1,
    maximum=172800,
    help="Longest video accepted, seconds.",
)

SMALL = 0.1
"""What is made of a film here, as a share of it. Never much: 64 MB are asked for in any case."""

KINDS: tuple[JobKind, ...] = (
    JobKind(
        name="poster",
        summary="The best frame of a video: sharp, well exposed, not a title or a fade",
        parameters=(
            Parameter(
                name="width",
                type="int",
                default=1280,
                minimum=16,
                maximum=8192,
                help="Of the picture, pixels; never above the video's own.",
            ),
            Parameter(
                name="candidates",
                type="int",
                default=24,
                minimum=1,
                maximum=500,
                help="How many frames are looked at.",
            ),
            Parameter(
                name="formats",
                type="list",
                choices=("jpeg", "webp", "avif"),
                default=("jpeg", "webp"),
                minimum=1,
                help="File formats.",
            ),
            Parameter(
                name="quality", type="int", default=82, minimum=1, maximum=100, help="1 to 100."
            ),
            MAX_SECONDS,
        ),
        media="video",
        scratch_factor=SMALL,
    ),
    JobKind(
        name="storyboard",
        summary="Sprite sheets of frames and the WebVTT track that points into them",
        parameters=(
            Parameter(
                name="interval",
                type="float",
                default=5.0,
                minimum=0.1,
                maximum=600,
                help="Between two frames, seconds; longer if there would be more than frames.",
            ),
            Parameter(
                name="width",
                type="int",
                default=160,
                minimum=16,
                maximum=1024,
                help="Of one frame, pixels.",
            ),
            Parameter(
                name="columns", type="int", default=10, minimum=1, maximum=50, help="Of a sheet."
            ),
            Parameter(
                name="rows", type="int", default=10, minimum=1, maximum=50, help="Of a sheet."
            ),
            Parameter(
                name="frames",
                type="int",
                default=1000,
                minimum=1,
                maximum=10000,
                help="Most frames of all sheets together.",
            ),
            Parameter(
                name="format",
                type="choice",
                choices=("jpeg", "webp"),
                default="jpeg",
                help="File format of the sheets.",
            ),
            Parameter(
                name="quality", type="int", default=75, minimum=1, maximum=100, help="1 to 100."
            ),
            MAX_SECONDS,
        ),
        media="video",
        scratch_factor=SMALL,
    ),
    JobKind(
        name="preview",
        summary="A short moving preview of a video: animated WebP, MP4 or both",
        parameters=(
            Parameter(
                name="width",
                type="int",
                default=320,
                minimum=16,
                maximum=1280,
                help="Of the preview, pixels.",
            ),
            Parameter(
                name="seconds",
                type="float",
                default=3.0,
                minimum=0.2,
                maximum=30,
                help="Length of the preview, seconds.",
            ),
            Parameter(
                name="clips",
                type="int",
                default=3,
                minimum=1,
                maximum=10,
                help="Places of the video that it shows, one after the other.",
            ),
            Parameter(
                name="frame_rate",
                type="float",
                default=12.0,
                minimum=1,
                maximum=30,
                help="Frames a second.",
            ),
            Parameter(
                name="formats",
                type="list",
                choices=("webp", "mp4"),
                default=("webp", "mp4"),
                minimum=1,
                help="File formats.",
            ),
            Parameter(
                name="quality", type="int", default=70, minimum=1, maximum=100, help="1 to 100."
            ),
            Parameter(
                name="max_bytes",
                type="int",
                default=3_000_000,
                minimum=50_000,
                maximum=100_000_000,
                help="Of each file; quality gives way first, then frames, then size.",
            ),
            MAX_SECONDS,
        ),
        media="video",
        scratch_factor=SMALL,
    ),
    JobKind(
        name="audio-waveform",
        summary="Loudest and quietest samples over time, as JSON and as a picture",
        parameters=(
            Parameter(
                name="points",
                type="int",
                default=1800,
                minimum=10,
                maximum=100000,
                help="Columns of the curve.",
            ),
            Parameter(
                name="height",
                type="int",
                default=140,
                minimum=16,
                maximum=2000,
                help="Of the picture, pixels.",
            ),
            Parameter(
                name="colour",
                type="text",
                default="#3b82f6",
                pattern="#[0-9a-fA-F]{6}",
                shape="#rrggbb",
                help="Of the curve, #rrggbb.",
            ),
            MAX_SECONDS,
        ),
        media="tracks",
        scratch_factor=SMALL,
        vcpus=1,
        memory_mib=1792,
    ),
    JobKind(
        name="subtitles",
        summary="Every text subtitle track of a video as WebVTT",
        parameters=(
            Parameter(
                name="languages",
                type="list",
                help="Only these, as ISO 639 codes; all unless given.",
            ),
            MAX_SECONDS,
        ),
        media="tracks",
        scratch_factor=SMALL,
        vcpus=1,
        memory_mib=1792,
    ),
    JobKind(
        name="video-metadata",
        summary="What a video says about itself: container, tracks, times, tags, chapters",
        parameters=(
            Parameter(
                name="deep",
                type="bool",
                default=False,
                help="Read every packet: exact frame count and key frames.",
            ),
            Parameter(
                name="location",
                type="bool",
                default=False,
                help="Tell where it was taken too, if the file says.",
            ),
            MAX_SECONDS,
        ),
        media="tracks",
        scratch_factor=SMALL,
        vcpus=1,
        memory_mib=1792,
    ),
)
