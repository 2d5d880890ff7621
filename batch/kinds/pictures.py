"""Kinds that do to pictures what is too slow or too big for the ingest function."""

from __future__ import annotations

from batch.kind import JobKind, Parameter
from batch.kinds.checks import box_inside, tiles_of_layout


def _max_pixels(most: int) -> Parameter:
    """The limit on each input; ``most`` is what the kind's memory is enough for."""
    return Parameter(
        name="max_pixels",
        type="int",
        default=min(most, 100_000_000),
        minimum=1,
        maximum=most,
        help="Largest picture accepted, pixels.",
    )


QUALITY = Parameter(
    name="quality",
    type="int",
    default=90,
    minimum=1,
    maximum=100,
    help="1 to 100; of JPEG, WebP and AVIF.",
)


def _output(*formats: str) -> tuple[Parameter, Parameter]:
    """How the result is written; the first format unless told."""
    return (
        Parameter(
            name="format",
            type="choice",
            choices=formats,
            default=formats[0],
            help="File format of the result.",
        ),
        QUALITY,
    )


OUTPUT = _output("jpeg", "png", "webp", "avif")

KINDS: tuple[JobKind, ...] = (
    JobKind(
        name="deepzoom",
        summary="Tiles of a gigapixel picture for zooming viewers: Deep Zoom, IIIF and others",
        parameters=(
            Parameter(
                name="layout",
                type="choice",
                choices=("dz", "iiif", "iiif3", "zoomify", "google"),
                default="dz",
                help="How tiles are named and described.",
            ),
            Parameter(
                name="tile_size",
                type="int",
                minimum=64,
                maximum=4096,
                help="Pixels across a tile, without overlap; 254 for dz, 512 for IIIF, else 256.",
            ),
            Parameter(
                name="overlap",
                type="int",
                default=1,
                minimum=0,
                maximum=16,
                help="Pixels two tiles share; Deep Zoom only.",
            ),
            Parameter(
                name="format",
                type="choice",
                choices=("jpeg", "png", "webp"),
                default="jpeg",
                help="File format of the tiles.",
            ),
            Parameter(
                name="quality", type="int", default=82, minimum=1, maximum=100, help="1 to 100."
            ),
            Parameter(
                name="id",
                type="text",
                help="Address the IIIF tiles are served at, for info.json.",
            ),
            Parameter(
                name="max_pixels",
                type="int",
                default=10_000_000_000,
                minimum=1,
                maximum=100_000_000_000,
                help="Largest picture accepted, pixels.",
            ),
        ),
        media="image",
        agreement=tiles_of_layout,
        memory_mib=7168,
        scratch_gib=100,
        timeout_seconds=4 * 3600,
    ),
    JobKind(
        name="denoise",
        summary="Remove noise, keep edges (non-local means), as strong as the noise is",
        parameters=(
            Parameter(
                name="strength",
                type="float",
                minimum=0,
                maximum=50,
                help="Brightness noise to remove, levels of 255; measured unless given.",
            ),
            Parameter(
                name="colour_strength",
                type="float",
                minimum=0,
                maximum=50,
                help="Colour noise to remove, levels of 255; measured unless given.",
            ),
            *OUTPUT,
            _max_pixels(200_000_000),
        ),
        media="image",
        vcpus=4,
        memory_mib=7168,
    ),
    JobKind(
        name="stitch",
        summary="One panorama of several overlapping pictures",
        parameters=(
            Parameter(
                name="mode",
                type="choice",
                choices=("panorama", "scans"),
                default="panorama",
                help="panorama: one place, turned camera; scans: flat, moved camera.",
            ),
            Parameter(
                name="crop",
                type="bool",
                default=True,
                help="Cut to the largest rectangle without gaps.",
            ),
            Parameter(
                name="partial",
                type="bool",
                default=False,
                help="Leave out pictures that fit to no other, instead of refusing all.",
            ),
            *OUTPUT,
            _max_pixels(60_000_000),
        ),
        media="image",
        inputs=(2, 64),
        vcpus=2,
        memory_mib=14336,
    ),
    JobKind(
        name="hdr-merge",
        summary="One well exposed picture of a bracket of exposures (exposure fusion)",
        parameters=(
            Parameter(name="align", type="bool", default=True, help="Undo a shift of the camera."),
            Parameter(
                name="contrast",
                type="float",
                default=1.0,
                minimum=0,
                maximum=10,
                help="Weight of contrast (Mertens, Kautz, Van Reeth 2007).",
            ),
            Parameter(
                name="saturation",
                type="float",
                default=1.0,
                minimum=0,
                maximum=10,
                help="Weight of colourfulness.",
            ),
            Parameter(
                name="exposure",
                type="float",
                default=1.0,
                minimum=0,
                maximum=10,
                help="Weight of good exposure.",
            ),
            *OUTPUT,
            _max_pixels(60_000_000),
        ),
        media="image",
        inputs=(2, 16),
        vcpus=2,
        memory_mib=14336,
    ),
    JobKind(
        name="document",
        summary="Find the page in a photo, straighten it, clean it",
        parameters=(
            Parameter(
                name="clean",
                type="choice",
                choices=("none", "colour", "grey", "black-white"),
                default="colour",
                help="How the paper is made white.",
            ),
            Parameter(
                name="missing",
                type="choice",
                choices=("whole", "reject"),
                default="whole",
                help="What to do without a page: take the whole picture, or refuse it.",
            ),
            Parameter(name="deskew", type="bool", default=True, help="Turn lines of text level."),
            *OUTPUT,
            _max_pixels(100_000_000),
        ),
        media="image",
    ),
    JobKind(
        name="restore",
        summary="Fill scratches and spots; the second input is the mask, white where damaged",
        parameters=(
            Parameter(
                name="method",
                type="choice",
                choices=("telea", "navier-stokes"),
                default="telea",
                help="How holes are filled.",
            ),
            Parameter(
                name="radius",
                type="float",
                default=3.0,
                minimum=1,
                maximum=50,
                help="How far around a hole is looked, pixels.",
            ),
            Parameter(
                name="grow",
                type="int",
                default=1,
                minimum=0,
                maximum=50,
                help="How much wider than marked damage is taken to be, pixels.",
            ),
            Parameter(
                name="sensitivity",
                type="float",
                default=0.5,
                minimum=0,
                maximum=1,
                help="Without a mask: 0 finds plain scratches only, 1 the faintest.",
            ),
            *OUTPUT,
            _max_pixels(100_000_000),
        ),
        media="image",
        inputs=(1, 2),
    ),
    JobKind(
        name="background",
        summary="Cut out the subject of a picture (GrabCut)",
        parameters=(
            Parameter(
                name="box",
                type="list",
                minimum=4,
                maximum=4,
                part="float",
                part_minimum=0,
                part_maximum=1,
                help="Around the subject: left,top,width,height as shares of the picture, 0 to 1.",
            ),
            Parameter(
                name="iterations", type="int", default=5, minimum=1, maximum=20, help="Of GrabCut."
            ),
            Parameter(
                name="feather",
                type="float",
                default=1.5,
                minimum=0,
                maximum=50,
                help="Softness of the edge, pixels; 0 is hard.",
            ),
            Parameter(
                name="trim", type="bool", default=False, help="Cut the picture to the subject."
            ),
            *_output("png", "webp"),
            _max_pixels(100_000_000),
        ),
        media="image",
        agreement=box_inside,
    ),
)
