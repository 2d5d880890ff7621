"""Opening a picture with the decoder of exactly its format, and nothing else.

Importing this module blocks every libvips loader except the seven buffer loaders below, for the
whole process: no file name, PDF, ImageMagick, raw, CSV or native loader can be reached, whatever
calls libvips. Savers and operations are not touched. It also turns the operation cache off:
pictures do not repeat, and a cache keeps them alive. libvips chooses its threads by
``VIPS_CONCURRENCY``; HEIC decoding takes the same number.

Truncated files are rejected (``fail_on``). Defects that browsers tolerate, such as stray bytes
between JPEG segments, are accepted. A JPEG without its end marker passes if nothing else is
missing (``worker.imaging.formats.jpeg``).
"""

from __future__ import annotations

import io
import logging
import re
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyvips
from PIL import BmpImagePlugin

from worker.domain.colour import Transfer
from worker.domain.errors import DamagedInput, EngineError, Reason, UnsupportedInput
from worker.domain.image import ColourSpace, Format, Probe
from worker.imaging import libjxl, memory_map, rejections
from worker.imaging.colour_tags import SampleLayout, storage
from worker.imaging.formats import jpeg, jxl, tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOGGER = logging.getLogger(__name__)

_LOADERS = {
    # Format: operation, its class (for the block list), how bad a decoder's complaint must be.
    Format.JPEG: ("jpegload_buffer", "VipsForeignLoadJpegBuffer", "truncated"),
    Format.PNG: ("pngload_buffer", "VipsForeignLoadPngBuffer", "truncated"),
    Format.WEBP: ("webpload_buffer", "VipsForeignLoadWebpBuffer", "truncated"),
    Format.GIF: ("gifload_buffer", "VipsForeignLoadNsgifBuffer", "truncated"),
    Format.AVIF: ("heifload_buffer", "VipsForeignLoadHeifBuffer", "truncated"),
    # libtiff fills broken strips with zeros unless it is told that errors matter.
    Format.TIFF: ("tiffload_buffer", "VipsForeignLoadTiffBuffer", "error"),
    Format.SVG: ("svgload_buffer", "VipsForeignLoadSvgBuffer", "truncated"),
}

FAST_JPEG_PIXELS = 40_000_000
"""Up to here a JPEG is decoded whole by simplejpeg (a fifth faster); above, libvips streams it
line by line so that memory stays bounded, and its end is judged only if the marker is missing."""

_MODES = {"1": "L", "L": "L", "P": "P", "RGB": "RGB", "RGBA": "RGBA"}
"""The mode that Pillow reads a BMP as, and the mode it is converted to for libvips."""


def _lock_down() -> None:
    pyvips.block_untrusted_set(state=True)
    pyvips.operation_block_set("VipsForeignLoad", state=True)
    for _, loader, _ in _LOADERS.values():
        pyvips.operation_block_set(loader, state=False)
    pyvips.cache_set_max(0)
    if pyvips.API_mode:
        # pyvips' own function fails on messages that quote bytes of a file which are not UTF-8.
        pyvips.ffi.def_extern(name="_log_handler_callback")(_log)


def _log(_domain: Any, _level: int, message: Any, _user_data: Any) -> None:
    """Log a warning of libvips at debug level: what matters arrives as an error."""
    _LOGGER.debug("libvips: %s", _text(message))


def _text(pointer: Any) -> str:
    """A C string that may quote any bytes of a file."""
    return bytes(pyvips.ffi.string(pointer)).decode(errors="replace")


_lock_down()


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Metadata blocks as they stand in the file. None where there is none."""

    exif: bytes | None = None
    """With or without a leading ``Exif\\0\\0``, as the container had it."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None


_BLOCKS = {"exif": "exif-data", "xmp": "xmp-data", "iptc": "iptc-data", "icc": "icc-profile-data"}


@contextmanager
def decoding() -> Iterator[None]:
    """Wrap whatever makes libvips read a picture: opening it, and pulling pixels later.

    libvips decodes when pixels are asked for: the caller of ``write_to_memory`` or a saver gets
    the decoder's errors. Errors that no decoder made are defects here.

    Raises:
        DamagedInput: TRUNCATED or CORRUPT.
        UnsupportedInput: UNSUPPORTED_VARIANT.
        EngineError: libvips refused an operation that has nothing to do with decoding.
        MemoryError: Python or libvips ran out of memory; the caller decides what that means.
    """
    # A message that an earlier picture left would be taken for this one's.
    pyvips.vips_lib.vips_error_clear()
    try:
        yield
    except pyvips.Error as error:
        raise _mapped(str(error)) from error
    except UnicodeDecodeError as error:
        # pyvips could not read its own message, which is still there.
        raise _mapped("\n" + _text(pyvips.vips_lib.vips_error_buffer())) from error


# libheif calls it a memory error, too, when it refuses to try a size. libjpeg says "insufficient".
_OUT_OF_MEMORY = re.compile(
    r"(?:out of|insufficient) memory|memory allocation(?! error: (?:security|invalid))"
    r"|cannot allocate",
    re.IGNORECASE,
)
_TRUNCATED = re.compile(
    r"premature end of (?:jpeg|input)|truncated|unexpected end|end of (?:file|data|source)"
    r"|not enough data|short read",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported(?! marker)|not supported|not implemented|unimplemented|no support"
    r"|not configured|security limit|bad labq format",
    re.IGNORECASE,
)
_DECODER = re.compile(
    r"\b(?:\w*load(?:_buffer)?|vipsjpeg|vipspng|spng|libpng|webp\w*|heif|tiff\w*|svg\w*|rsvg"
    r"|source|vipsforeignload\w*|gif\w*|nsgif)\b",
    re.IGNORECASE,
)


def _mapped(text: str) -> Exception:
    """The error of the tree for what libvips said; its first line says most."""
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    lines = [line for line in lines if not line.startswith("source: bad seek")] or [""]
    said = lines[0][:200]
    if _OUT_OF_MEMORY.search(text):
        return MemoryError(said)
    if any(lines) and not _DECODER.search(text):
        return EngineError(f"libvips: {text.strip()[:400]}")
    return _refusal(" ".join(lines), said or "its data cannot be decoded")


def _refusal(text: str, said: str) -> DamagedInput | UnsupportedInput:
    if _TRUNCATED.search(text):
        return DamagedInput(Reason.TRUNCATED, f"the picture ends early: {said}")
    if _UNSUPPORTED.search(text):
        return UnsupportedInput(Reason.UNSUPPORTED_VARIANT, f"not a readable flavour: {said}")
    return DamagedInput(Reason.CORRUPT, f"the picture is damaged: {said}")


def open_image(
    data: bytes, probe: Probe, *, frames: int = 1, shrink: int = 1, scale: float = 1.0
) -> pyvips.Image:
    """Open a probed picture with the decoder of its format, as it is stored.

    It is neither rotated nor colour converted. AVIF and HEIC are upright already: decoding rotates
    them. Pixels are decoded when pulled (wrap that in :func:`decoding`), top to bottom and once.
    BMP, HEIC and JPEG XL are decoded here, the latter two to 8 bits a channel with their profile,
    or to 16 where 8 would leave steps: HDR and linear light.

    Args:
        data: the file.
        probe: what :func:`worker.imaging.probe.probe` found in the same bytes.
        frames: most frames of an animation; more than one gives a strip, frame under frame,
            with ``page-height``. Only the first page of a document is ever opened.
        shrink: 1, 2, 4 or 8: JPEG and WebP are decoded at that fraction, others ignore it.
        scale: SVG only: drawn so many times its probed size. The caller keeps the result within
            its limits.

    Raises:
        Rejected: as :func:`decoding` says.
    """
    count = min(frames, probe.frames) if probe.animated else 1
    if probe.format is Format.BMP:
        return _open_bmp(data)
    if probe.format is Format.HEIC:
        curve = probe.colour.transfer
        return _open_heic(data, deep=probe.bit_depth > 8 and curve in _NEEDS_DEPTH)
    if probe.format is Format.JXL:
        return _open_jxl(data, probe, count)
    if probe.format is Format.JPEG:
        colours = "CMYK" if probe.colour_space is ColourSpace.CMYK else "GRAY"
        large = probe.pixels > FAST_JPEG_PIXELS or isinstance(data, memory_map.MemoryMap)
        data = jpeg.whole(data, colours=colours, look=not large)
    options: dict[str, Any] = {}
    if count > 1:
        options["n"] = count
    if shrink > 1 and probe.format is Format.JPEG:
        options["shrink"] = shrink
    if shrink > 1 and probe.format is Format.WEBP:
        options["scale"] = 1 / shrink
    if scale != 1.0 and probe.format is Format.SVG:
        options["scale"] = scale
    image = open_stored(data, probe.format, **options)
    return _finished(image, storage(data)) if probe.format is Format.AVIF else image


def _finished(image: pyvips.Image, stored: SampleLayout) -> pyvips.Image:
    """Bring grey of an AVIF to full range and divide its colours by alpha: libheif does neither."""
    if not stored.limited_grey and not stored.premultiplied:
        return image
    kind, space, alpha = image.format, image.interpretation, bool(image.hasalpha())
    most = 65535 if kind == "ushort" else 255
    if stored.limited_grey:
        # 16 to 235 of 8 bits (ITU-R BT.709, 4.6); libvips brings 10 and 12 bits to 16.
        black, white = 16 * (most + 1) / 256, 235 * (most + 1) / 256
        scale = most / (white - black)
        colours = image.bands - alpha
        image = image.linear(
            [scale] * colours + [1] * alpha, [-black * scale] * colours + [0] * alpha
        )
    if stored.premultiplied and alpha:
        image = image.unpremultiply(max_alpha=most)
    return image.rint().cast(kind).copy(interpretation=space)


def open_stored(data: bytes | memory_map.MemoryMap, kind: Format, **options: Any) -> pyvips.Image:
    """Open with the libvips loader of ``kind`` (not BMP, HEIC, JPEG XL); the probe uses it too."""
    operation, _, fail_on = _LOADERS[kind]
    options |= {"access": "sequential", "fail_on": fail_on}
    content = cast("bytes", data)  # a map has the methods of bytes that are called
    lab = kind is Format.TIFF and tiff.is_lab_in_bytes(content)
    if lab:
        data = tiff.named_rgb(content)
    with decoding():
        if isinstance(data, memory_map.MemoryMap):
            return memory_map.load(operation, data, **options)
        image: pyvips.Image = pyvips.Operation.call(operation, data, **options)
        return _lab(image) if lab else image


def _lab(stored: pyvips.Image) -> pyvips.Image:
    """The bytes of CIELAB as libvips' 16-bit Lab, in which 100 is 32767 and a unit of a or b 256.

    Lightness is stored as 0 to 255, the others with a sign. TIFF 6.0, section 23.
    """
    if (stored.bands, stored.format) != (3, "uchar"):
        raise rejections.variant(f"{stored.bands} channels of {stored.format} in CIELAB")
    lightness = (stored[0] * (32767 / 255)).cast("short")
    colours = (stored[1:3].copy(format="char") * 256).cast("short")
    return lightness.bandjoin(colours).copy(interpretation="labs")


def read_embedded(image: pyvips.Image) -> Embedded:
    """Metadata blocks of an image that :func:`open_image` opened. Decodes nothing."""
    found: dict[str, bytes] = {}
    for name, field in _BLOCKS.items():
        if image.get_typeof(field):
            content: Any = image.get(field)
            found[name] = bytes(content)
    return Embedded(**found)


def embedded_in(data: bytes, probe: Probe) -> Embedded:
    """The same straight from a file: header only, also where opening would decode."""
    if probe.format is Format.BMP:
        return Embedded()
    if probe.format is Format.HEIC:
        return heic_embedded(heic_header(data))
    if probe.format is Format.JXL:
        return _jxl_embedded(data, jxl.read(data, rejections.UNLIMITED))
    return read_embedded(open_stored(data, probe.format))


# --- BMP, through Pillow --------------------------------------------------------------------------

_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error)
"""Errors of Pillow's plugins for broken input; its own open() catches most of them."""


def bmp_header(data: bytes) -> BmpImagePlugin.BmpImageFile:
    """Header of a BMP. The plugin is called directly: no other format can be meant by it."""
    try:
        return BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    except _PILLOW_ERRORS as error:
        raise _refusal(str(error), f"{str(error)[:200]} (BMP)") from error


def _open_bmp(data: bytes) -> pyvips.Image:
    picture = bmp_header(data)
    mode = _MODES.get(picture.mode)
    if mode is None:
        raise rejections.variant(f"a BMP of mode {picture.mode}")
    try:
        stored = picture if picture.mode == mode else picture.convert(mode)
        pixels = stored.tobytes()
        colours = stored.getpalette("RGB") if mode == "P" else None
    except _PILLOW_ERRORS as error:
        raise _refusal(str(error), f"{str(error)[:200]} (BMP)") from error
    image = pyvips.Image.new_from_memory(
        pixels,
        picture.width,
        picture.height,
        {"RGB": 3, "RGBA": 4}.get(mode, 1),
        "uchar",
    )
    if colours is not None:
        # A table look-up in libvips: Pillow would need four bytes for every pixel at once.
        table = bytes(colours).ljust(768, b"\0")
        image = image.maplut(pyvips.Image.new_from_memory(table, 256, 1, 3, "uchar"))
    return image.copy(interpretation="b-w" if image.bands == 1 else "srgb")


# --- HEIC, through the optional decoder -----------------------------------------------------------


_NEEDS_DEPTH = (Transfer.PQ, Transfer.HLG, Transfer.LINEAR)


def heic_header(data: bytes, *, deep: bool = False) -> Any:
    """Primary picture of a HEIC file, not decoded (a ``pi_heif.HeifImage``).

    Args:
        data: the file.
        deep: to be decoded to 16 bits a channel if it has more than 8.

    Raises:
        UnsupportedInput: FORMAT_NOT_ALLOWED where the extra ``safelight[heif]`` is not installed.
        DamagedInput: the file cannot be read.
    """
    try:
        import pi_heif  # type: ignore[import-untyped]  # optional, and has no types
    except ImportError as error:
        raise UnsupportedInput(
            Reason.FORMAT_NOT_ALLOWED,
            "HEIC needs a decoder that is not installed: install safelight[heif]",
        ) from error
    pi_heif.options.DECODE_THREADS = pyvips.vips_lib.vips_concurrency_get()
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    try:
        pictures = pi_heif.open_heif(data, convert_hdr_to_8bit=not deep)
        return pictures[pictures.primary_index]
    except (*_PILLOW_ERRORS, RuntimeError) as error:
        raise _heic_error(error) from error


def heic_embedded(picture: Any) -> Embedded:
    """Metadata blocks of :func:`heic_header`'s picture."""
    info = picture.info
    return Embedded(
        exif=info.get("exif") or None,
        xmp=info.get("xmp") or None,
        icc=info.get("icc_profile") or None,
    )


def _open_heic(data: bytes, *, deep: bool) -> pyvips.Image:
    picture = heic_header(data, deep=deep)
    try:
        pixels, stride = bytes(picture.data), int(picture.stride)
    except (*_PILLOW_ERRORS, RuntimeError) as error:
        raise _heic_error(error) from error
    mode, _, wide = picture.mode.partition(";")
    bands = {"L": 1, "I": 1, "RGB": 3, "RGBA": 4, "RGBa": 4}.get(mode)
    if bands is None or wide not in ("", "16"):
        raise rejections.variant(f"a HEIC of mode {picture.mode}")
    width, height = picture.size
    kind = "ushort" if wide else "uchar"
    across = stride // (bands * (2 if wide else 1))
    rows = pyvips.Image.new_from_memory(pixels, across, height, bands, kind)
    image = rows.crop(0, 0, width, height) if across != width else rows
    names = ("grey16", "rgb16") if wide else ("b-w", "srgb")
    image = image.copy(interpretation=names[bands > 1])
    if mode == "RGBa":  # premultiplied
        image = image.unpremultiply().cast(kind).copy(interpretation=names[1])
    found = heic_embedded(picture)
    for name, field in _BLOCKS.items():
        content = getattr(found, name)
        if content:
            image.set_type(pyvips.GValue.blob_type, field, content)
    return image


def _heic_error(error: Exception) -> Exception:
    text = str(error)
    if _OUT_OF_MEMORY.search(text):
        return MemoryError(text[:200])
    return _refusal(text, f"{text[:200]} (HEIC)")


# --- JPEG XL, through libjxl ----------------------------------------------------------------------


def jxl_profile(data: bytes, header: jxl.JxlHeader) -> bytes | None:
    """The ICC profile of a JPEG XL, if it has one.

    Raises:
        DamagedInput: the headers cannot be read.
    """
    return libjxl.profile_of(data) if header.profile else None


def _jxl_embedded(data: bytes, header: jxl.JxlHeader) -> Embedded:
    """Its values are never those of the profile where light is stored: see ``of_jxl``."""
    boxes = libjxl.metadata_of(data) if data[:2] != jxl.CODESTREAM else {}
    exif = boxes.get(b"Exif", b"")
    # Four bytes say where the TIFF header begins behind them. ISO/IEC 18181-2, 9.4.
    exif = exif[4 + int.from_bytes(exif[:4], "big") :]
    return Embedded(
        exif=exif or None,
        xmp=boxes.get(b"xml ") or None,
        icc=None if header.xyb else jxl_profile(data, header),
    )


def _open_jxl(data: bytes, probe: Probe, count: int) -> pyvips.Image:
    header = jxl.read(data, rejections.UNLIMITED)
    deep = probe.bit_depth > 8 and probe.colour.transfer in _NEEDS_DEPTH
    bands = (1 if header.grey else 3) + header.alpha
    decoded = libjxl.decode(
        data,
        channels=bands,
        deep=deep,
        frames=count,
        convert_to=probe.colour if header.xyb and header.profile else None,
    )
    rows, width, _ = decoded.pixels.shape
    kind = "ushort" if deep else "uchar"
    image = pyvips.Image.new_from_memory(decoded.pixels.data, width, rows, bands, kind)
    names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = image.copy(interpretation=names[bands > 2])
    if count > 1:
        image.set_type(pyvips.GValue.gint_type, "page-height", rows // count)
        image.set_type(pyvips.GValue.array_int_type, "delay", list(decoded.delays))
    icc = None if header.xyb else jxl_profile(data, header)
    if icc is not None:
        content: Any = icc  # the stubs of pyvips do not know that blobs take bytes
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", content)
    return image
