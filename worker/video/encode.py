"""One chunk of a video, encoded to every rung of the ladder in one run of ffmpeg.

The source is decoded once for all rungs; smaller sizes are made from the largest. The bytes of a
chunk depend on the plan and the source only: one thread for each encoder, exact scalers, no clock
and no names of programs in the files. The output is checked: it must contain exactly the requested
frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from worker.domain.errors import DamagedInput, Reason
from worker.job_context import Stop
from worker.video import colours, commands, ffmpeg, fmp4, timing
from worker.video.commands import (
    DEINTERLACE,
    Filter,
    Options,
    Output,
    Stream,
    require_tone_mapping,
)
from worker.video.ffmpeg import GIBIBYTE, Decoded, MostlyDamaged, ProgramLimits
from worker.video.plan import Chunk, Rung, TranscodePlan, VideoCodec

LIMITS = ProgramLimits(
    wall_seconds=6 * 3600.0,
    # Pictures are decoded before the first that is wanted.
    stall_seconds=900.0,
    memory_bytes=24 * GIBIBYTE,
    # An interrupted output is discarded, so ffmpeg need not finish its file.
    grace_seconds=0.0,
)
"""Of one chunk."""

_SCALER = "bicubic+accurate_rnd+full_chroma_int+bitexact"
"""``bitexact``: the same bytes on every processor, whatever its vector units."""
_SQUARE: Filter = ("setsar", {"sar": 1})
_LAST_COUNTS: tuple[Filter, ...] = (
    ("tpad", {"stop": 1, "stop_mode": "clone"}),
    ("tpad", {"stop_duration": 0.25, "stop_mode": "clone"}),
)
"""A quarter of a second more of the last picture, or one more where the source has fewer than four
a second: ``fps`` drops a last picture that is not known to last for half a frame."""
_FRAGMENTS: Options = {"f": "mp4", "movflags": "+frag_keyframe+delay_moov+default_base_moof"}
_AV1_PRESETS = {"ultrafast": 12, "veryfast": 10, "faster": 9, "fast": 8, "medium": 6, "slow": 4}
_SAVED_AT_START = 0.5
"""Share of the bits that may be saved up which a chunk begins with. The encoders' own 0.9 is for a
video's beginning; at every chunk it would be a present (measured: 2.6 % more bytes, with 0.5 none).
"""
_DAMAGED = 0.5
"""Share of the frames read for a chunk that fail to decode where it counts as damaged."""
_RUN_IN_SECONDS = 30
"""How much earlier reading begins after a seek that came out too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedChunk:
    """A chunk that is done."""

    files: Mapping[str, Path]
    """A fragmented MP4 for each rung, by its name, with exactly the chunk's frames."""
    damaged: bool
    """Most of its source cannot be decoded; what could be stands in for it."""
    faults: bool
    """Some of its source cannot."""


def encode(
    plan: TranscodePlan,
    chunk: Chunk,
    source: Path,
    folder: Path,
    *,
    threads: int,
    limits: ProgramLimits = LIMITS,
    stop: Stop | None = None,
    progress: Callable[[float], None] | None = None,
) -> EncodedChunk:
    """Encode one chunk.

    Args:
        plan: of the video.
        chunk: one of its chunks.
        source: the video.
        folder: where the files go; it must exist.
        threads: for decoding and filters; the bytes do not depend on it.
        limits: of one run of ffmpeg.
        stop: ends it early.
        progress: told the seconds of the chunk that are done.

    Raises:
        Rejected: the source cannot be decoded.
        ConfigurationError: ``program_feature_missing``, this ffmpeg lacks a filter of the plan.
    """
    if plan.colours.needs_zscale:
        require_tone_mapping(limits)
    files = {rung.name: folder / f"{rung.name}.mp4" for rung in plan.rungs}
    made = 0
    for attempt in _attempts(plan, chunk):
        arguments = command(plan, chunk, source, files, threads=threads, attempt=attempt)
        damaged = False
        decoded = Decoded()
        try:
            try:
                ffmpeg.run(
                    arguments,
                    limits=limits,
                    stop=stop,
                    progress=progress,
                    pictures=chunk.frames,
                    decoded=decoded,
                )
            except MostlyDamaged:
                damaged = True
            made = min(_frames(plan, chunk, path) for path in files.values())
        except DamagedInput:
            made = 0
        if made == chunk.frames:
            return EncodedChunk(files=files, damaged=damaged, faults=damaged or decoded.faults > 0)
        for path in files.values():
            path.unlink(missing_ok=True)
    if made == 0:
        raise DamagedInput(Reason.CORRUPT, "no picture of the video can be decoded")
    raise DamagedInput(
        Reason.CORRUPT, f"its pictures have no even order: chunk {chunk.number} comes out uneven"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A way of reading a chunk."""

    seek: int | None
    """Where to begin; None is at the beginning."""
    filled: bool = False
    """Repeat the first picture for those missing before it."""
    steady: bool = False
    """Go on with the same filters when the size of the pictures changes on the way. ffmpeg makes
    them anew otherwise, and loses what they hold. Only filters that look at each picture's own
    size can do so."""


def _attempts(plan: TranscodePlan, chunk: Chunk) -> list[Attempt]:
    """The first is right for every whole file.

    A video may change its size on the way, a container without an index may be entered too late,
    and pictures at a damaged key frame may be lost: earlier ones then stand in for them.
    """
    can_be_steady = not (plan.interlaced or plan.rotated)
    attempts = [Attempt(seek=chunk.seek)]
    if can_be_steady:
        attempts.append(Attempt(seek=chunk.seek, steady=True))
    if chunk.seek is not None:
        earlier = chunk.seek - int(_RUN_IN_SECONDS / plan.time_base)
        attempts += [Attempt(seek=earlier), Attempt(seek=None)]
    attempts.append(Attempt(seek=None, filled=True))
    if can_be_steady:
        attempts.append(Attempt(seek=None, filled=True, steady=True))
    return attempts


def _frames(plan: TranscodePlan, chunk: Chunk, path: Path) -> int:
    """Frames in a file of ours, or -1 if its key frames are not where they belong."""
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    track = fmp4.read(path)
    counts = [len(fragment.sizes) for fragment in track.fragments]
    if sum(counts) != chunk.frames:
        return sum(counts)
    whole = all(count == plan.key_frames for count in counts[:-1])
    even = all(
        set(fragment.durations) == {plan.frame_ticks} and fragment.sync
        for fragment in track.fragments
    )
    return chunk.frames if whole and even and track.timescale == plan.timescale else -1


def command(
    plan: TranscodePlan,
    chunk: Chunk,
    source: Path,
    files: Mapping[str, Path],
    *,
    threads: int,
    attempt: Attempt,
) -> list[str]:
    """Arguments of ffmpeg for one chunk."""
    opened = open_source(plan, source, threads=threads, seek=attempt.seek, steady=attempt.steady)
    shown = pictures(plan, chunk, opened, filled=attempt.filled)
    made = outputs(plan, shown, chunk.frames, files, _FRAGMENTS)
    return commands.arguments(*made, everywhere=everywhere(threads))


def everywhere(threads: int) -> Options:
    """Options that belong to no input or output."""
    return {"copyts": None, "max_error_rate": _DAMAGED, "filter_complex_threads": threads}


def open_source(
    plan: TranscodePlan, source: Path, *, threads: int, seek: int | None, steady: bool = False
) -> Stream:
    """The source, read from near a key frame on; ``steady`` as in :class:`Attempt`."""
    options: dict[str, object] = {"threads": threads, "noaccurate_seek": None}
    options["seek_timestamp"] = 1
    if plan.odd_rotation:
        options["noautorotate"] = None
    if steady:
        options["reinit_filter"] = 0
    if seek is not None:
        # A millisecond more: never before the key frame by rounding, never at the next one.
        options["ss"] = f"{float(seek * plan.time_base) + 0.001:.6f}"
    return commands.source(source, options)


def pictures(plan: TranscodePlan, chunk: Chunk, opened: Stream, *, filled: bool) -> list[Stream]:
    """From the decoded source to the pictures of each rung.

    Args:
        plan: of the video.
        chunk: whose pictures.
        opened: the source as :func:`open_source`.
        filled: repeat the first picture for those missing before it.
    """
    rate = plan.rate
    first = {"start_time": f"{float(Fraction(chunk.first) / rate):.9f}"} if filled else {}
    filters: list[Filter] = [
        *_LAST_COUNTS,
        # On the grid: each picture at its nearest place, repeated until the next one.
        ("setpts", {"expr": _places(plan)}),
        *([DEINTERLACE] if plan.interlaced else []),
        ("fps", {"fps": rate, "round": "near", **first}),
        # The last picture stays while audio goes on, or where the end is damaged.
        ("tpad", {"stop": -1, "stop_mode": "clone"}),
        # From the source's frames to those of the chunk. The second fps changes nothing: it says
        # again what the rate is, which setpts makes ffmpeg forget.
        ("setpts", {"expr": f"PTS-{chunk.first}"}),
        ("fps", {"fps": rate}),
        ("trim", {"start_pts": 0, "end_pts": chunk.frames}),
    ]
    largest = max((rung.width, rung.height) for rung in plan.rungs)
    filters += colours.to_bt709(plan.colours, _scale(largest)[1])
    upright = commands.filtered(opened[str(plan.stream)], [*filters, _SQUARE])
    return [
        commands.filtered(
            copy,
            []
            if (rung.width, rung.height) == largest
            else [_scale((rung.width, rung.height)), _SQUARE],
        )
        for rung, copy in zip(plan.rungs, commands.split(upright, len(plan.rungs)), strict=True)
    ]


def _places(plan: TranscodePlan) -> str:
    """When pictures are shown, in ticks of the source from the first one."""
    if plan.slack:
        return timing.own_places(plan.start_pts, plan.time_base, plan.rate, plan.slack)
    return f"PTS-({plan.start_pts})"


def _scale(size: tuple[int, int]) -> Filter:
    return ("scale", {"w": size[0], "h": size[1], "flags": _SCALER})


def outputs(
    plan: TranscodePlan,
    streams: Sequence[Stream],
    frames: int,
    files: Mapping[str, Path],
    muxer: Options,
) -> list[Output]:
    """An encoder and a file for each rung.

    Args:
        plan: of the video.
        streams: the pictures of each rung.
        frames: how many there are.
        files: by the names of the rungs.
        muxer: the files' format and its options.
    """
    return [
        commands.output(
            files[rung.name],
            [stream],
            {
                **{"map_metadata": -1, "map_chapters": -1},
                **{"fps_mode": "passthrough", "frames:v": frames},
                **_encoder(plan, rung),
                **{"flags:v": "+bitexact", "fflags": "+bitexact"},
                **muxer,
                "video_track_timescale": plan.timescale,
            },
        )
        for rung, stream in zip(plan.rungs, streams, strict=True)
    ]


def _encoder(plan: TranscodePlan, rung: Rung) -> dict[str, object]:
    """Options of one rung's encoder: closed groups of pictures, all of one length."""
    key = plan.key_frames
    options: dict[str, object] = {"g": key, "pix_fmt": "yuv420p", **colours.TAGS}
    # Segments of three times the key interval stay below 200 % of the average (the same
    # specification, 1.30): bits may come half as fast again, and be saved up for two seconds.
    highest, saved = rung.kilobits * 3 // 2, rung.kilobits * 2
    if rung.codec is VideoCodec.AV1:
        parameters = f"scd=0:lp={plan.encoder_threads}"
        options |= {"c:v": "libsvtav1", "preset": _AV1_PRESETS[plan.preset]}
        return options | {"crf": rung.quality, "svtav1-params": parameters}
    options |= {"preset": plan.preset, "crf": rung.quality}
    if rung.codec is VideoCodec.H264:
        options |= {"c:v": "libx264", "profile:v": "high", "threads": plan.encoder_threads}
        options |= {"keyint_min": key, "sc_threshold": 0}
        options |= {"maxrate": f"{highest}k", "bufsize": f"{saved}k"}
        return options | {"rc_init_occupancy": f"{round(saved * _SAVED_AT_START)}k"}
    parameters = (
        f"log-level=error:keyint={key}:min-keyint={key}:scenecut=0:open-gop=0:info=0"
        f":frame-threads=1:pools={plan.encoder_threads}:const-vbv=1"
        f":vbv-maxrate={highest}:vbv-bufsize={saved}:vbv-init={_SAVED_AT_START}"
    )
    return options | {"c:v": "libx265", "tag:v": "hvc1", "x265-params": parameters}
