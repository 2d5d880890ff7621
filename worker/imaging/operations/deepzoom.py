"""Tiles of a picture of any size, for viewers that zoom: Deep Zoom, IIIF, Zoomify, Google.

One pass of libvips' ``dzsave`` reads a file and writes a folder of tiles with their descriptor.
Memory stays bounded whatever the size: the file is mapped, pixels are decoded from top to bottom
once, and every level of the pyramid holds two rows of tiles. Pictures that lie on their side are
written to disk first; formats that cannot be streamed have a limit of their own
(:data:`WHOLE_PIXELS`).
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import pyvips
from pyvips.enums import ForeignKeep

from worker.domain.errors import (
    LimitExceeded,
    MemoryPressure,
    ParameterError,
    Problem,
    Reason,
    StorageFull,
)
from worker.domain.image import ColourSpace, Encoding, Format, Limits, Probe, Recipe, RenditionSpec
from worker.imaging.colour import icc_converted, split_alpha, to_working
from worker.imaging.encode import attach, flattened
from worker.imaging.loaders import decoding, open_image
from worker.imaging.memory_map import mapped
from worker.imaging.plan import Conversion, make_plan
from worker.imaging.probe import probe

Layout: TypeAlias = Literal["dz", "iiif", "iiif3", "zoomify", "google"]
TileFormat: TypeAlias = Literal["jpeg", "png", "webp"]
Step: TypeAlias = Callable[[float, str], None]
"""Told the share done (0 to 1) and of what. It may raise to stop the work."""

LARGEST_SIDE = 1_000_000
"""Pixels; a tenth of what libvips can count."""
LARGEST_FILE = 64 * 2**30
"""Bytes."""
WHOLE_PIXELS = 300_000_000
"""Of pictures whose decoder must hold all pixels at once: about 2 GB there."""
MOST_TILES = 2_500_000
"""100 gigapixels in tiles of 254 pixels, and all levels above."""

_STREAMED = frozenset({Format.JPEG, Format.PNG, Format.TIFF})
_TILE_SIZES: dict[Layout, int] = {"dz": 254, "iiif": 512, "iiif3": 512}
_SUFFIXES: dict[TileFormat, str] = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_READ = Recipe(
    name="deepzoom",
    version=1,
    renditions=(RenditionSpec(name="whole", encodings=(Encoding(format=Format.PNG),), width=16),),
)
"""Its plan tells how colours are converted and how the picture is rotated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileOptions:
    """How a picture is cut."""

    layout: Layout = "dz"
    size: int | None = None
    """Pixels across a tile, without overlap. None takes what viewers of the layout expect."""
    overlap: int = 1
    """Pixels that two tiles share. Deep Zoom only."""
    format: TileFormat = "jpeg"
    quality: int = 82
    """1 to 100; PNG has none."""
    id: str | None = None
    """Address that IIIF tiles will be served at, without a slash at its end."""

    @property
    def tile_size(self) -> int:
        """Pixels across a tile."""
        return self.size or _TILE_SIZES.get(self.layout, 256)

    @property
    def iiif(self) -> bool:
        """Either version of the IIIF Image API."""
        return self.layout in ("iiif", "iiif3")

    def check(self) -> None:
        """Raises ParameterError for what does not go together, all of it at once."""
        problems = []
        if self.iiif and not self.id:
            problems.append(Problem("id", f"{self.layout} names its own address in info.json"))
        square = self.layout in ("zoomify", "google")
        if square and self.tile_size & (self.tile_size - 1):
            problems.append(Problem("tile_size", f"{self.layout} takes powers of two only"))
        if problems:
            raise ParameterError("parameters of deepzoom", tuple(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """The resulting tiles."""

    folder: Path
    """Everything, ready to be stored."""
    descriptor: Path | None
    """The descriptor for viewers, below ``folder``; Google's layout has none."""
    width: int
    """Of the picture, upright."""
    height: int
    files: int
    bytes: int
    levels: int
    """Sizes of the pyramid, the whole picture included."""
    source: Probe


def cut(
    path: Path,
    folder: Path,
    options: TileOptions,
    *,
    max_pixels: int,
    threads: int = 1,
    step: Step | None = None,
) -> Tiles:
    """Cut a picture into tiles.

    Deep Zoom gives ``image.dzi`` and ``image_files/``, the others a tree below ``folder`` itself.
    Tiles are 8-bit sRGB without metadata, upright; transparency is laid on white where the format
    has none.

    Args:
        path: the picture; nothing else writes to it.
        folder: made here; must not exist, and is incomplete after an error.
        options: how to cut.
        max_pixels: of one frame.
        threads: how many libvips may use, from now on.
        step: called with the progress.

    Raises:
        Rejected: as :func:`worker.imaging.probe.probe`; TOO_MANY_PIXELS also above
            :data:`WHOLE_PIXELS` where the decoder needs them all; TOO_LARGE_OUTPUT above
            :data:`MOST_TILES`.
        ParameterError: options that contradict each other.
        StorageFull: no space below ``folder``.
        MemoryPressure: not enough memory.
    """
    options.check()
    pyvips.vips_lib.vips_concurrency_set(threads)
    limits = Limits(
        bytes=LARGEST_FILE,
        pixels=max_pixels,
        dimension=LARGEST_SIDE,
        # Pages are only counted; of an animation the first frame is taken.
        frames=100_000,
        animation_pixels=2**62,
        duration=1e9,
    )
    content = cast("bytes", mapped(path))  # all that is asked of it
    found = probe(content, limits, formats=_READ.formats)
    _check(found, options)
    folder.mkdir(parents=True)
    lying = folder.with_name(f"{folder.name}.upright")
    watch = _TileWatch(step)
    try:
        with _writing(watch), decoding():
            image = _working(open_image(content, found), found)
            if found.orientation != 1:
                _check_space(folder, image.width * image.height * image.bands)
                image = _upright(image, found, lying, watch)
            if options.format == "jpeg":
                image = flattened(image, "#ffffff")
            _save(image, folder, options, watch)
            width, height = image.width, image.height
    finally:
        lying.unlink(missing_ok=True)
    descriptor = _descriptor(folder, options, width, height)
    sizes = [entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()]
    return Tiles(
        folder=folder,
        descriptor=descriptor,
        width=width,
        height=height,
        files=len(sizes),
        bytes=sum(sizes),
        levels=_levels(width, height, options),
        source=found,
    )


def _check(found: Probe, options: TileOptions) -> None:
    whole = found.format not in _STREAMED or found.progressive
    if whole and found.pixels > WHOLE_PIXELS:
        how = "progressive or interlaced " if found.progressive else ""
        raise LimitExceeded(
            Reason.TOO_MANY_PIXELS,
            f"{found.pixels:,} pixels are more than the limit of {WHOLE_PIXELS:,} for "
            f"{how}{found.format.value.upper()}, which cannot be read in pieces",
        )
    size = options.tile_size
    tiles = -(-found.width // size) * -(-found.height // size) * 4 // 3
    if tiles > MOST_TILES:
        raise LimitExceeded(
            Reason.TOO_LARGE_OUTPUT,
            f"about {tiles:,} tiles are more than the limit of {MOST_TILES:,}: choose larger ones",
        )


# --- pixels ---------------------------------------------------------------------------------------


def _working(image: pyvips.Image, found: Probe) -> pyvips.Image:
    """8-bit sRGB or grey, as :func:`worker.imaging.colour.to_working` gives, line by line."""
    decode = make_plan(found, _READ).decode
    if decode.colour is not None:
        image = to_working(image, decode.conversion, decode.colour)
    elif decode.conversion is not Conversion.NONE and found.colour_space is not ColourSpace.LAB:
        image = _through_profile(image)
    image = to_working(image, Conversion.NONE)
    return image[0:3] if image.bands == 4 and not image.hasalpha() else image


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    """Follow the embedded profile, or do without one that is broken."""
    image, alpha = split_alpha(image)
    # A profile fails on every pixel or on none: one is enough to know, before all are streamed.
    one = pyvips.Image.black(1, 1, bands=image.bands).cast(image.format)
    one = one.copy(interpretation=image.interpretation)
    if image.get_typeof("icc-profile-data"):
        profile: Any = image.get("icc-profile-data")
        attach(one, "icc-profile-data", bytes(profile))
    try:
        icc_converted(one, "srgb").copy_memory()
    except pyvips.Error:
        image = image.colourspace("srgb")
    else:
        image = icc_converted(image, "srgb")
    return image if alpha is None else image.bandjoin(alpha)


def _upright(image: pyvips.Image, found: Probe, path: Path, watch: _TileWatch) -> pyvips.Image:
    """Rotate a picture by way of disk: rows of the result are columns of the stream."""
    watch.over(image, "turning", 0.0, 0.3)
    image.rawsave(str(path))
    with path.open("rb") as file:
        stored = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    lying = pyvips.Image.new_from_memory(stored, image.width, image.height, image.bands, "uchar")
    lying = lying.copy(interpretation=image.interpretation)
    lying.set_type(pyvips.GValue.gint_type, "orientation", found.orientation)
    return lying.autorot()


def _save(image: pyvips.Image, folder: Path, options: TileOptions, watch: _TileWatch) -> None:
    lossy = "" if options.format == "png" else f"[Q={options.quality}]"
    # libvips writes it between quotes as it is; the real one is put in afterwards.
    extra: dict[str, Any] = {"id": "id"} if options.iiif else {}
    image = image.copy()
    watch.over(image, "cutting tiles", watch.share, 1.0)
    image.dzsave(
        # IIIF, Zoomify and Google fill a folder of that name; it is emptied into ours.
        str(folder / "image"),
        layout=options.layout,
        tile_size=options.tile_size,
        overlap=options.overlap if options.layout == "dz" else 0,
        suffix=f".{_SUFFIXES[options.format]}{lossy}",
        keep=ForeignKeep.NONE,
        # Google's layout leaves blank tiles out, for servers that know; a bucket does not.
        skip_blanks=-1,
        **extra,
    )
    # libvips' own file repeats every tag of the original, the place it was taken at among them.
    for place in (folder, folder / "image", folder / "image_files"):
        (place / "vips-properties.xml").unlink(missing_ok=True)
    if options.layout == "dz":
        return
    inner = (folder / "image").rename(folder / "image.inner")
    for entry in inner.iterdir():
        entry.rename(folder / entry.name)
    inner.rmdir()


class _TileWatch:
    """Progress of libvips, and the way to stop it."""

    def __init__(self, step: Step | None) -> None:
        self._step = step
        self.share = 0.0
        self.raised: BaseException | None = None

    def over(self, image: pyvips.Image, what: str, start: float, end: float) -> None:
        """Report pulling all pixels of ``image`` as the part from ``start`` to ``end``."""
        if self._step is None:
            return
        step = self._step

        def tell(pulled: pyvips.Image, progress: Any) -> None:
            if self.raised is not None:
                return
            self.share = start + (end - start) * progress.percent / 100
            try:
                step(self.share, what)
            except BaseException as error:  # noqa: BLE001  (raised again outside of C)
                self.raised = error
                pulled.set_kill(True)

        image.set_progress(True)
        image.signal_connect("eval", tell)


@contextmanager
def _writing(watch: _TileWatch) -> Iterator[None]:
    """Tell a stop, a full disk and a lack of memory apart from bad input."""
    try:
        yield
    except MemoryError as error:
        raise MemoryPressure("the picture needs more memory than there is") from error
    except Exception as error:
        if watch.raised is not None:
            raise watch.raised from None
        if "No space left" in str(error) or "No space left" in str(error.__cause__):
            raise StorageFull("no space is left where the tiles are written") from error
        raise


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageFull(
            f"turning the picture needs {needed:,} bytes of disk and {free:,} are free"
        )


# --- descriptors ----------------------------------------------------------------------------------


def _levels(width: int, height: int, options: TileOptions) -> int:
    """Deep Zoom goes down to one pixel, the others to one tile."""
    left = max(width, height)
    smallest = 1 if options.layout == "dz" else options.tile_size
    count = 1
    while left > smallest:
        left = -(-left // 2)
        count += 1
    return count


def _descriptor(folder: Path, options: TileOptions, width: int, height: int) -> Path | None:
    match options.layout:
        case "dz":
            return folder / "image.dzi"
        case "zoomify":
            return folder / "ImageProperties.xml"
        case "google":
            return None
        case _:
            return _info(folder / "info.json", options, width, height)


def _info(path: Path, options: TileOptions, width: int, height: int) -> Path:
    """Complete what libvips wrote: the address as given, and the sizes that are there whole.

    Image API 3.0 and 2.1, section 5: a service of level 0 lists its sizes.
    """
    info: dict[str, object] = json.loads(path.read_text())
    info["id" if options.layout == "iiif3" else "@id"] = (options.id or "").rstrip("/")
    sizes = []
    for entry in path.parent.glob("full/*"):
        across, _, down = entry.name.partition(",")
        # Version 2 names the width alone; sides of a level are rounded up.
        high = int(down) if down else -(-height * int(across) // width)
        sizes.append({"width": int(across), "height": high})
    info["sizes"] = sorted(sizes, key=lambda size: size["width"])
    if options.layout == "iiif3" and options.format != "jpeg":
        suffix = _SUFFIXES[options.format]
        info |= {"extraFormats": [suffix], "preferredFormats": [suffix]}
    path.write_text(json.dumps(info, indent=2) + "\n")
    return path
