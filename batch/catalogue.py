"""The catalogue of jobs: every kind with its parameters and resources, and when a job is retried.

Pure data, read by the submitter, the job runner, the local Batch runner and the Pulumi program,
which has none of our dependencies: standard library and ``worker.domain.errors`` only.

To add a kind: a ``JobKind`` here, its operation in ``batch.operations``, its lines
in docs/jobs.md; ``make docs`` writes the table of its parameters.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from worker.domain.errors import ParameterError, Problem
from worker.job_context import EXIT_STOPPED

__all__ = [
    "ARRAY_CHILDREN",
    "EXIT_AGAIN",
    "EXIT_BAD_INPUT",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_STOPPED",
    "EXIT_USAGE",
    "KINDS",
    "OFFERED",
    "RETRY",
    "JobKind",
    "Parameter",
    "Retry",
    "kind",
]

EXIT_DONE = 0
EXIT_FAILED = 1
"""A defect or a missing right: a person must look."""
EXIT_USAGE = 2
"""A wrong command line or wrong parameters."""
EXIT_BAD_INPUT = 65
"""The input can never succeed (``EX_DATAERR`` of sysexits.h)."""
EXIT_AGAIN = 75
"""The same job may succeed later, or was interrupted (``EX_TEMPFAIL`` of sysexits.h)."""

ARRAY_CHILDREN = 10_000
"""Most children of an array job in Batch."""

ParameterType: TypeAlias = Literal["int", "float", "bool", "text", "choice", "list"]
Media: TypeAlias = Literal["video", "tracks", "image"]
"""The input type of a kind: videos; any tracks, also audio or text alone; images."""
Queue: TypeAlias = Literal["standard", "urgent", "bulk"]
Agreement: TypeAlias = Callable[[Mapping[str, Any]], Sequence[Problem]]
"""Checks valid parameters against each other and returns what is wrong with them together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """One rule: the first that fits decides. Patterns may end in ``*``, as Batch reads them."""

    action: Literal["RETRY", "EXIT"]
    status_reason: str | None = None
    exit_code: str | None = None


RETRY: tuple[Retry, ...] = (
    # A reclaimed machine takes the exit code with it: only the reason is left.
    Retry(action="RETRY", status_reason="Host EC2*"),
    Retry(action="EXIT", exit_code=str(EXIT_BAD_INPUT)),
    Retry(action="RETRY", exit_code=str(EXIT_AGAIN)),
    # Ended before the runner could exit with 75. Batch never retries what a person terminated.
    Retry(action="RETRY", exit_code=str(EXIT_STOPPED)),
    Retry(action="EXIT", exit_code="*"),
)
"""Batch takes at most five rules. A job that no rule fits, because it never ran, is retried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a kind."""

    name: str
    """Lower-case letters, digits and ``_``."""
    type: ParameterType
    """A ``list`` is text parts separated by commas."""
    help: str
    """One sentence, with the unit."""
    default: int | float | bool | str | tuple[str, ...] | None = None
    """None: the parameter is missing unless it is given."""
    minimum: float | None = None
    """Of a number, inclusive; of a list, the fewest parts."""
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    """Of a ``choice``, or of each part of a ``list``; a list without choices takes any text."""
    part: Literal["text", "int", "float"] = "text"
    """The type of each part of a ``list``; the value stays text."""
    part_minimum: float | None = None
    """Of each part of a list of numbers, inclusive."""
    part_maximum: float | None = None
    pattern: str | None = None
    """A regular expression that the whole ``text`` must match."""
    shape: str = ""
    """Description of the pattern, which messages put after "must be"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """One kind of job: what it takes and what it needs to run."""

    name: str
    summary: str
    """One line for lists of commands."""
    parameters: tuple[Parameter, ...]
    media: Media
    inputs: tuple[int, int] = (1, 1)
    """Fewest and most inputs."""
    vcpus: float = 2
    memory_mib: int = 3584
    """Below a power of two: an instance keeps some of its memory for itself, and two such jobs
    should fit where the maker's figures say four gigabytes a processor."""
    scratch_gib: int = 20
    """Disk a machine should have for it."""
    scratch_factor: float = 2.0
    """Most bytes it writes to scratch for each byte of input; checked before it starts."""
    timeout_seconds: int = 3600
    """Of one attempt."""
    attempts: int = 5
    """All together: a Spot reclaim uses one."""
    queue: Queue = "standard"
    array: bool = False
    """May run as an array job: the child's index says which part of the work it does."""
    step: bool = False
    """One step of divided work: the state machine runs it, or a person as docs/jobs.md shows. Lists
    do not offer it."""
    lazy: bool = False
    """Inputs may be folders or prefixes; the operation lists and fetches what it needs."""
    result: str = "result.json"
    """Name of the record of success, for kinds that share their output store with another."""
    agreement: Agreement | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments of the Batch image, before inputs, output and parameters."""
        return ("run", self.name)


# --- parameters -------------------------------------------------------------------------------


def _int(name: str, default: int | None, low: int, high: int, text: str) -> Parameter:
    return Parameter(name=name, type="int", default=default, minimum=low, maximum=high, help=text)


def _float(name: str, default: float | None, low: float, high: float, text: str) -> Parameter:
    return Parameter(name=name, type="float", default=default, minimum=low, maximum=high, help=text)


def _bool(name: str, text: str, *, default: bool) -> Parameter:
    return Parameter(name=name, type="bool", default=default, help=text)


def _choice(name: str, choices: tuple[str, ...], default: str, text: str) -> Parameter:
    return Parameter(name=name, type="choice", choices=choices, default=default, help=text)


def _formats(choices: tuple[str, ...], default: tuple[str, ...]) -> Parameter:
    return Parameter(
        name="formats",
        type="list",
        choices=choices,
        default=default,
        minimum=1,
        help="File formats to write.",
    )


def _quality(default: int, text: str = "Quality of the encoder, 1 to 100.") -> Parameter:
    return _int("quality", default, 1, 100, text)


def _max_pixels(most: int) -> Parameter:
    """The limit on each input; ``most`` is what the kind's memory is enough for."""
    default = min(most, 100_000_000)
    return _int("max_pixels", default, 1, most, "Largest image accepted, pixels.")


def _encoded(*formats: str) -> tuple[Parameter, Parameter]:
    """How the result is encoded; the first format is the default."""
    return (
        _choice("format", formats, formats[0], "File format of the result."),
        _quality(90, "Quality of JPEG, WebP and AVIF, 1 to 100."),
    )


_ENCODED = _encoded("jpeg", "png", "webp", "avif")
_MAX_SECONDS = _float("max_seconds", 14_400.0, 1, 172_800, "Longest video accepted, seconds.")
_LADDER = (
    Parameter(
        name="codecs",
        type="list",
        choices=("h264", "hevc", "av1"),
        default=("h264",),
        minimum=1,
        maximum=3,
        help="Video codecs of the ladder; the progressive MP4 uses the first.",
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
        help="Shorter sides of the ladder's rungs, pixels; those above the source are left out.",
    ),
    _float(
        "segment_seconds",
        6.0,
        1,
        20,
        "Length of a segment, seconds; each begins with a key frame.",
    ),
    _float("frame_rate", 60.0, 1, 120, "Highest frame rate of the result, frames a second."),
    _float("loudness", -16.0, -40, -5, "Integrated loudness of the audio, LUFS."),
    _bool("normalise", "Bring the audio to that loudness.", default=True),
    _bool("hls", "Write the HLS ladder.", default=True),
    _bool("mp4", "Write the progressive MP4.", default=True),
    _choice(
        "preset",
        ("ultrafast", "veryfast", "faster", "fast", "medium", "slow"),
        "medium",
        "Preset of the encoders: a slower one makes smaller files.",
    ),
    _MAX_SECONDS,
)
"""The options of the ladder. The same for every step of a divided job."""
_GROUPS = _int(
    "groups",
    4,
    1,
    1000,
    "Number of groups the video is divided into: the children of the array job.",
)


# --- what must hold between parameters --------------------------------------------------------


def _something_to_make(values: Mapping[str, Any]) -> Sequence[Problem]:
    """A transcode that writes neither HLS nor MP4 would encode for nothing."""
    if values["hls"] or values["mp4"]:
        return ()
    return (Problem("hls", "or mp4 must be true: otherwise there is nothing to make"),)


def _box_inside(values: Mapping[str, Any]) -> Sequence[Problem]:
    """A box has an area and does not leave the image."""
    if "box" not in values:
        return ()
    left, top, width, height = (float(part) for part in values["box"])
    if width > 0 and height > 0 and left + width <= 1 and top + height <= 1:
        return ()
    text = "must have an area and end within the image: left + width and top + height at most 1"
    return (Problem("box", text),)


def _tiles_of_layout(values: Mapping[str, Any]) -> Sequence[Problem]:
    """Viewers of a layout expect certain tiles and an address."""
    layout, size = values["layout"], values.get("tile_size")
    problems = []
    if layout in ("iiif", "iiif3") and "id" not in values:
        problems.append(Problem("id", f"is required: {layout} names its own address in info.json"))
    if layout in ("zoomify", "google") and size is not None and size & (size - 1):
        problems.append(Problem("tile_size", f"must be a power of two for {layout}, not {size}"))
    return problems


# --- kinds ------------------------------------------------------------------------------------

_SMALL = 0.1
"""Scratch factor of kinds that make something small of a video. Never much: 64 MB are needed in
any case."""
_TRANSCODE_SCRATCH_GIB = 100

_KINDS = (
    JobKind(
        name="transcode",
        summary="HLS ladder and progressive MP4 of a video, on one machine",
        parameters=_LADDER,
        media="video",
        agreement=_something_to_make,
        vcpus=8,
        memory_mib=14336,
        scratch_gib=_TRANSCODE_SCRATCH_GIB,
        timeout_seconds=6 * 3600,
        attempts=10,
    ),
    JobKind(
        name="transcode-plan",
        step=True,
        summary="Plan the ladder and the cuts of a video that several machines will encode",
        parameters=(*_LADDER, _GROUPS),
        media="video",
        agreement=_something_to_make,
        scratch_gib=_TRANSCODE_SCRATCH_GIB,
        scratch_factor=0.1,
        result="plan.result.json",
    ),
    JobKind(
        name="transcode-part",
        step=True,
        summary="Encode one group of segments of a planned video",
        parameters=(*_LADDER, _GROUPS),
        media="video",
        agreement=_something_to_make,
        vcpus=4,
        memory_mib=7168,
        scratch_gib=_TRANSCODE_SCRATCH_GIB,
        timeout_seconds=3 * 3600,
        attempts=10,
        array=True,
        result="part.result.json",
    ),
    JobKind(
        name="transcode-assemble",
        step=True,
        summary="Join the encoded parts of a planned video",
        parameters=(*_LADDER, _GROUPS),
        media="video",
        agreement=_something_to_make,
        scratch_gib=_TRANSCODE_SCRATCH_GIB,
    ),
    JobKind(
        name="poster",
        summary="The best frame of a video: sharp, well exposed, not a title or a fade",
        parameters=(
            _int(
                "width",
                1280,
                16,
                8192,
                "Width of the poster, pixels; never above the video's own.",
            ),
            _int("candidates", 24, 1, 500, "How many frames are compared."),
            _formats(("jpeg", "webp", "avif"), ("jpeg", "webp")),
            _quality(82),
            _MAX_SECONDS,
        ),
        media="video",
        scratch_factor=_SMALL,
    ),
    JobKind(
        name="storyboard",
        summary="Sprite sheets of frames and the WebVTT track that points into them",
        parameters=(
            _float(
                "interval",
                5.0,
                0.1,
                600,
                "Time between two frames, seconds; longer if there were more than frames.",
            ),
            _int("width", 160, 16, 1024, "Width of one frame, pixels."),
            _int("columns", 10, 1, 50, "Columns of a sheet."),
            _int("rows", 10, 1, 50, "Rows of a sheet."),
            _int("frames", 1000, 1, 10_000, "Most frames on all sheets together."),
            _choice("format", ("jpeg", "webp"), "jpeg", "File format of the sheets."),
            _quality(75),
            _MAX_SECONDS,
        ),
        media="video",
        scratch_factor=_SMALL,
    ),
    JobKind(
        name="preview",
        summary="A short moving preview of a video: animated WebP, MP4 or both",
        parameters=(
            _int("width", 320, 16, 1280, "Width of the preview, pixels."),
            _float("seconds", 3.0, 0.2, 30, "Length of the preview, seconds."),
            _int("clips", 3, 1, 10, "How many moments of the video it shows, one after another."),
            _float("frame_rate", 12.0, 1, 30, "Frames a second."),
            _formats(("webp", "mp4"), ("webp", "mp4")),
            _quality(70),
            _int(
                "max_bytes",
                3_000_000,
                50_000,
                100_000_000,
                "Most bytes of each file; quality is lowered first, then frames, then size.",
            ),
            _MAX_SECONDS,
        ),
        media="video",
        scratch_factor=_SMALL,
    ),
    JobKind(
        name="audio-waveform",
        summary="Loudest and quietest samples over time, as JSON and as an image",
        parameters=(
            _int("points", 1800, 10, 100_000, "Columns of the waveform."),
            _int("height", 140, 16, 2000, "Height of the image, pixels."),
            Parameter(
                name="colour",
                type="text",
                default="#3b82f6",
                pattern="#[0-9a-fA-F]{6}",
                shape="#rrggbb",
                help="Colour of the waveform, #rrggbb.",
            ),
            _MAX_SECONDS,
        ),
        media="tracks",
        scratch_factor=_SMALL,
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
                help="Only these languages, as ISO 639 codes; all unless given.",
            ),
            _MAX_SECONDS,
        ),
        media="tracks",
        scratch_factor=_SMALL,
        vcpus=1,
        memory_mib=1792,
    ),
    JobKind(
        name="video-metadata",
        summary="What a video says about itself: container, tracks, times, tags, chapters",
        parameters=(
            _bool("deep", "Read every packet: exact frame count and key frames.", default=False),
            _bool(
                "location", "Report where the video was taken, if the file says so.", default=False
            ),
            _MAX_SECONDS,
        ),
        media="tracks",
        scratch_factor=_SMALL,
        vcpus=1,
        memory_mib=1792,
    ),
    JobKind(
        name="deepzoom",
        summary="Tiles of a gigapixel image for zooming viewers: Deep Zoom, IIIF and others",
        parameters=(
            _choice(
                "layout",
                ("dz", "iiif", "iiif3", "zoomify", "google"),
                "dz",
                "How tiles are named and described.",
            ),
            _int(
                "tile_size",
                None,
                64,
                4096,
                "Pixels across a tile, without overlap; 254 for dz, 512 for IIIF, else 256.",
            ),
            _int("overlap", 1, 0, 16, "Pixels that two tiles share; Deep Zoom only."),
            _choice("format", ("jpeg", "png", "webp"), "jpeg", "File format of the tiles."),
            _quality(82),
            Parameter(
                name="id",
                type="text",
                help="Address the IIIF tiles are served at, for info.json.",
            ),
            _int(
                "max_pixels",
                10_000_000_000,
                1,
                100_000_000_000,
                "Largest image accepted, pixels.",
            ),
        ),
        media="image",
        agreement=_tiles_of_layout,
        memory_mib=7168,
        scratch_gib=100,
        timeout_seconds=4 * 3600,
    ),
    JobKind(
        name="denoise",
        summary="Remove noise, keep edges (non-local means), as strong as the noise is",
        parameters=(
            _float(
                "strength",
                None,
                0,
                50,
                "Brightness noise to remove, levels of 255; measured unless given.",
            ),
            _float(
                "colour_strength",
                None,
                0,
                50,
                "Colour noise to remove, levels of 255; measured unless given.",
            ),
            *_ENCODED,
            _max_pixels(200_000_000),
        ),
        media="image",
        vcpus=4,
        memory_mib=7168,
    ),
    JobKind(
        name="stitch",
        summary="One panorama of several overlapping images",
        parameters=(
            _choice(
                "mode",
                ("panorama", "scans"),
                "panorama",
                "panorama: the camera turned in one place; scans: it moved over something flat.",
            ),
            _bool("crop", "Cut to the largest rectangle without gaps.", default=True),
            _bool(
                "partial",
                "Leave out images that match no other; else the job fails.",
                default=False,
            ),
            *_ENCODED,
            _max_pixels(60_000_000),
        ),
        media="image",
        inputs=(2, 64),
        memory_mib=14336,
    ),
    JobKind(
        name="hdr-merge",
        summary="One well exposed image of a bracket of exposures (exposure fusion)",
        parameters=(
            _bool("align", "Undo shifts of the camera between exposures.", default=True),
            _float("contrast", 1.0, 0, 10, "Weight of contrast (Mertens, Kautz, Van Reeth 2007)."),
            _float("saturation", 1.0, 0, 10, "Weight of colourfulness."),
            _float("exposure", 1.0, 0, 10, "Weight of good exposure."),
            *_ENCODED,
            _max_pixels(60_000_000),
        ),
        media="image",
        inputs=(2, 16),
        memory_mib=14336,
    ),
    JobKind(
        name="document",
        summary="Find the page in a photo, straighten it, clean it",
        parameters=(
            _choice(
                "clean",
                ("none", "colour", "grey", "black-white"),
                "colour",
                "How the paper is made white.",
            ),
            _choice(
                "missing",
                ("whole", "reject"),
                "whole",
                "If no page is found: take the whole image, or reject it.",
            ),
            _bool("deskew", "Make lines of text level.", default=True),
            *_ENCODED,
            _max_pixels(100_000_000),
        ),
        media="image",
    ),
    JobKind(
        name="restore",
        summary="Fill scratches and spots; the second input is the mask, white where damaged",
        parameters=(
            _choice(
                "method", ("telea", "navier-stokes"), "telea", "Algorithm that fills the holes."
            ),
            _float("radius", 3.0, 1, 50, "Pixels around a hole that the fill is taken from."),
            _int("grow", 1, 0, 50, "Pixels by which marked damage is widened before it is filled."),
            _float(
                "sensitivity",
                0.5,
                0,
                1,
                "Without a mask: 0 finds plain scratches only, 1 the faintest.",
            ),
            *_ENCODED,
            _max_pixels(100_000_000),
        ),
        media="image",
        inputs=(1, 2),
    ),
    JobKind(
        name="background",
        summary="Cut out the subject of an image (GrabCut)",
        parameters=(
            Parameter(
                name="box",
                type="list",
                minimum=4,
                maximum=4,
                part="float",
                part_minimum=0,
                part_maximum=1,
                help="Box around the subject, left,top,width,height: shares of the image, 0 to 1.",
            ),
            _int("iterations", 5, 1, 20, "Iterations of GrabCut."),
            _float("feather", 1.5, 0, 50, "Softness of the edge, pixels; 0 is hard."),
            _bool("trim", "Cut the image to the subject.", default=False),
            *_encoded("png", "webp"),
            _max_pixels(100_000_000),
        ),
        media="image",
        agreement=_box_inside,
    ),
    JobKind(
        name="batch-process",
        summary="Any recipe over a folder, a prefix or given images; also one image that is too "
        "big for the ingest function",
        parameters=(
            Parameter(
                name="recipe",
                type="text",
                default="default",
                help="A shipped recipe's name, or the path of a recipe file.",
            ),
            _int(
                "max_bytes",
                None,
                1,
                1_000_000_000_000,
                "Instead of the recipe's limit, bytes of a file.",
            ),
            _int(
                "max_pixels",
                None,
                1,
                100_000_000_000,
                "Instead of the recipe's limit, pixels of a frame.",
            ),
            _int(
                "max_dimension",
                None,
                1,
                10_000_000,
                "Instead of the recipe's limit, pixels of the longer side.",
            ),
            _int(
                "max_frames",
                None,
                1,
                1_000_000,
                "Instead of the recipe's limit, frames or pages.",
            ),
            _float("seconds", 600.0, 1, 86_400, "Longest time for one image, seconds."),
            _int(
                "memory_mib",
                6144,
                256,
                1_000_000,
                "Address space of the process that decodes one image, MiB.",
            ),
        ),
        media="image",
        inputs=(1, 10_000),
        memory_mib=7168,
        queue="bulk",
        timeout_seconds=12 * 3600,
        attempts=10,
        array=True,
        lazy=True,
    ),
)
"""In the order of the documentation."""

KINDS: Mapping[str, JobKind] = MappingProxyType({item.name: item for item in _KINDS})
"""Every kind by its name."""
OFFERED = tuple(item.name for item in _KINDS if not item.step)
"""The kinds that lists and suggestions name; the others are steps of one of these."""


def kind(name: str) -> JobKind:
    """The kind of that name.

    Raises:
        ParameterError: there is none; the message names the nearest, or those there are.
    """
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, OFFERED, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(OFFERED))}"
        raise ParameterError("job", (Problem("kind", f"there is no kind {name!r}; {hint}"),))
    return found
