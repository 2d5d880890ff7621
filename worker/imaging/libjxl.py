"""libjxl through its C interface: JPEG XL files to pixels and back, and JPEG files packed without
loss.

The library is the one that the wheels of imagecodecs bring, called directly. No Python binding says
what colours mean, how long frames last or how deep samples are, none repacks from memory and reads
metadata too (docs/decisions/0011). Structures and numbers are those of libjxl's headers
``codestream_header.h``, ``color_encoding.h``, ``decode.h``, ``encode.h`` and ``types.h``, which
are the same in 0.11 and 0.12.

Everything runs in the calling thread: bytes do not depend on the machine. ``formats.jxl`` checks
size and frames of a file first; nothing here has a limit of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, Structure, byref, c_char, c_double, c_float, c_int, c_size_t, c_void_p
from ctypes import c_int32 as i32
from ctypes import c_int64 as i64
from ctypes import c_uint8 as u8
from ctypes import c_uint32 as u32
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.domain.colour import Colour, Primaries, Transfer
from worker.domain.errors import DamagedInput, EngineError, Reason, UnsupportedInput
from worker.domain.image import Limits
from worker.imaging.formats import jxl
from worker.imaging.icc import profile_colour
from worker.imaging.rejections import UNLIMITED

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

# --- structures -----------------------------------------------------------------------------------


class _PixelFormat(Structure):
    _fields_ = (
        ("num_channels", u32),
        ("data_type", c_int),
        ("endianness", c_int),
        ("align", c_size_t),
    )


class _BasicInfo(Structure):
    _fields_ = (
        ("have_container", c_int),
        ("xsize", u32),
        ("ysize", u32),
        ("bits_per_sample", u32),
        ("exponent_bits_per_sample", u32),
        ("intensity_target", c_float),
        ("min_nits", c_float),
        ("relative_to_max_display", c_int),
        ("linear_below", c_float),
        ("uses_original_profile", c_int),
        ("have_preview", c_int),
        ("have_animation", c_int),
        ("orientation", c_int),
        ("num_color_channels", u32),
        ("num_extra_channels", u32),
        ("alpha_bits", u32),
        ("alpha_exponent_bits", u32),
        ("alpha_premultiplied", c_int),
        ("preview_xsize", u32),
        ("preview_ysize", u32),
        ("tps_numerator", u32),
        ("tps_denominator", u32),
        ("num_loops", u32),
        ("have_timecodes", c_int),
        ("intrinsic_xsize", u32),
        ("intrinsic_ysize", u32),
        ("padding", u8 * 100),
    )


class _ColorEncoding(Structure):
    _fields_ = (
        ("color_space", c_int),
        ("white_point", c_int),
        ("white_point_xy", c_double * 2),
        ("primaries", c_int),
        ("red_xy", c_double * 2),
        ("green_xy", c_double * 2),
        ("blue_xy", c_double * 2),
        ("transfer_function", c_int),
        ("gamma", c_double),
        ("rendering_intent", c_int),
    )


class _BlendInfo(Structure):
    _fields_ = (("blendmode", c_int), ("source", u32), ("alpha", u32), ("clamp", c_int))


class _FrameHeader(Structure):
    _fields_ = (
        ("duration", u32),
        ("timecode", u32),
        ("name_length", u32),
        ("is_last", c_int),
        ("have_crop", c_int),
        ("crop_x0", i32),
        ("crop_y0", i32),
        ("xsize", u32),
        ("ysize", u32),
        ("blend_info", _BlendInfo),
        ("save_as_reference", u32),
    )


_TYPE_UINT8, _TYPE_UINT16 = 2, 3
_NATIVE_ENDIAN = 0

_ENC_SUCCESS, _ENC_NEED_MORE_OUTPUT = 0, 2
_ENC_OUT_OF_MEMORY, _ENC_JBRD, _ENC_BAD_INPUT = 2, 3, 4
_EFFORT, _RESPONSIVE, _PROGRESSIVE_DC = 0, 16, 19

_DEC_SUCCESS, _DEC_ERROR, _DEC_NEED_MORE_INPUT = 0, 1, 2
_DEC_NEED_IMAGE_OUT_BUFFER = 5
_DEC_JPEG_NEED_MORE_OUTPUT, _DEC_BOX_NEED_MORE_OUTPUT = 6, 7
_DEC_BASIC_INFO, _DEC_COLOR_ENCODING, _DEC_FRAME = 0x40, 0x100, 0x400
_DEC_FULL_IMAGE, _DEC_JPEG_RECONSTRUCTION, _DEC_BOX = 0x1000, 0x2000, 0x4000

_TARGET_ORIGINAL = 0
"""JxlColorProfileTarget: what the file says, in place of what the decoder gives."""

_TICKS = 1000
"""Of a second, in the animations that are written: a frame's duration is in milliseconds."""

_CHUNK = 1 << 16
_LONGEST_METADATA = 1 << 24
"""Bytes of a metadata box once it is unpacked: boxes may be packed a thousandfold."""

_MOST_UNPACKED = 100
"""Times that a JPEG may be longer than the file it is packed in; real ones are 1.1 to 1.5 times."""

_LEAST_DISTANCE = 0.05
"""Of lossy files. Distance 0 is another mode, in which colours stay as they are."""

_CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "JxlEncoderVersion": (u32, ()),
    "JxlEncoderCreate": (c_void_p, (c_void_p,)),
    "JxlEncoderDestroy": (None, (c_void_p,)),
    "JxlEncoderGetError": (c_int, (c_void_p,)),
    "JxlEncoderProcessOutput": (c_int, (c_void_p, c_void_p, c_void_p)),
    "JxlEncoderSetFrameHeader": (c_int, (c_void_p, POINTER(_FrameHeader))),
    "JxlEncoderInitFrameHeader": (None, (POINTER(_FrameHeader),)),
    "JxlEncoderAddJPEGFrame": (c_int, (c_void_p, c_void_p, c_size_t)),
    "JxlEncoderAddImageFrame": (c_int, (c_void_p, POINTER(_PixelFormat), c_void_p, c_size_t)),
    "JxlEncoderUseBoxes": (c_int, (c_void_p,)),
    "JxlEncoderAddBox": (c_int, (c_void_p, c_char * 4, c_void_p, c_size_t, c_int)),
    "JxlEncoderCloseInput": (None, (c_void_p,)),
    "JxlEncoderSetColorEncoding": (c_int, (c_void_p, POINTER(_ColorEncoding))),
    "JxlEncoderSetICCProfile": (c_int, (c_void_p, c_void_p, c_size_t)),
    "JxlEncoderInitBasicInfo": (None, (POINTER(_BasicInfo),)),
    "JxlEncoderSetBasicInfo": (c_int, (c_void_p, POINTER(_BasicInfo))),
    "JxlEncoderFrameSettingsSetOption": (c_int, (c_void_p, c_int, i64)),
    "JxlEncoderSetCodestreamLevel": (c_int, (c_void_p, c_int)),
    "JxlEncoderGetRequiredCodestreamLevel": (c_int, (c_void_p,)),
    "JxlEncoderStoreJPEGMetadata": (c_int, (c_void_p, c_int)),
    "JxlEncoderSetFrameLossless": (c_int, (c_void_p, c_int)),
    "JxlEncoderSetFrameDistance": (c_int, (c_void_p, c_float)),
    "JxlEncoderDistanceFromQuality": (c_float, (c_float,)),
    "JxlEncoderFrameSettingsCreate": (c_void_p, (c_void_p, c_void_p)),
    "JxlDecoderCreate": (c_void_p, (c_void_p,)),
    "JxlDecoderDestroy": (None, (c_void_p,)),
    "JxlDecoderSubscribeEvents": (c_int, (c_void_p, c_int)),
    "JxlDecoderSetKeepOrientation": (c_int, (c_void_p, c_int)),
    "JxlDecoderSetUnpremultiplyAlpha": (c_int, (c_void_p, c_int)),
    "JxlDecoderSetDecompressBoxes": (c_int, (c_void_p, c_int)),
    "JxlDecoderProcessInput": (c_int, (c_void_p,)),
    "JxlDecoderSetInput": (c_int, (c_void_p, c_void_p, c_size_t)),
    "JxlDecoderCloseInput": (None, (c_void_p,)),
    "JxlDecoderGetBasicInfo": (c_int, (c_void_p, POINTER(_BasicInfo))),
    "JxlDecoderGetICCProfileSize": (c_int, (c_void_p, c_int, POINTER(c_size_t))),
    "JxlDecoderGetColorAsICCProfile": (c_int, (c_void_p, c_int, c_void_p, c_size_t)),
    "JxlDecoderSetPreferredColorProfile": (c_int, (c_void_p, POINTER(_ColorEncoding))),
    "JxlDecoderGetFrameHeader": (c_int, (c_void_p, POINTER(_FrameHeader))),
    "JxlDecoderSetImageOutBuffer": (c_int, (c_void_p, POINTER(_PixelFormat), c_void_p, c_size_t)),
    "JxlDecoderSetJPEGBuffer": (c_int, (c_void_p, c_void_p, c_size_t)),
    "JxlDecoderReleaseJPEGBuffer": (c_size_t, (c_void_p,)),
    "JxlDecoderSetBoxBuffer": (c_int, (c_void_p, c_void_p, c_size_t)),
    "JxlDecoderReleaseBoxBuffer": (c_size_t, (c_void_p,)),
    "JxlDecoderGetBoxType": (c_int, (c_void_p, c_char * 4, c_int)),
}
"""Result and arguments of each function that is called."""


@cache
def _library() -> Any:
    """libjxl, with its functions declared.

    Raises:
        EngineError: the package that brings it is missing or has another layout.
    """
    found = find_spec("imagecodecs")
    package = None if found is None or found.origin is None else Path(found.origin).parent
    # Wheels for Linux keep libraries beside the package, those for macOS inside it.
    folders = [] if package is None else [package.with_suffix(".libs"), package / ".dylibs"]
    loaded = [
        # libjxl's dependencies are in the same folder, which is not on the search path: load them
        # first.
        ctypes.CDLL(str(file))
        for name in ("brotlicommon", "brotlidec", "brotlienc", "lcms2", "jxl_cms", "jxl")
        for folder in folders
        for pattern in (f"lib{name}-*.so*", f"lib{name}.*.dylib")
        for file in sorted(folder.glob(pattern))
    ]
    if not loaded:
        raise EngineError("libjxl is not installed: imagecodecs brings it")
    library = loaded[-1]
    for name, (result, arguments) in _CALLS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def version() -> str:
    """Of the library: ``0.11.2``."""
    number = int(_library().JxlEncoderVersion())
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


# --- colours --------------------------------------------------------------------------------------

_RGB, _GREY = 0, 1
_D65, _RELATIVE = 1, 1
_PRIMARIES = {Primaries.BT709: 1, Primaries.BT2020: 9, Primaries.DISPLAY_P3: 11}
_TRANSFERS = {
    Transfer.BT709: 1,
    Transfer.LINEAR: 8,
    Transfer.SRGB: 13,
    Transfer.PQ: 16,
    Transfer.HLG: 18,
}


def _encoding(colour: Colour, *, grey: bool) -> _ColorEncoding | None:
    """The code points for a meaning of values; None if it has none."""
    primaries = _PRIMARIES.get(colour.primaries) if colour.primaries else None
    transfer = _TRANSFERS.get(colour.transfer) if colour.transfer else None
    if transfer is None or (primaries is None and not grey):
        return None
    return _ColorEncoding(
        color_space=_GREY if grey else _RGB,
        white_point=_D65,
        primaries=primaries or 1,
        transfer_function=transfer,
        rendering_intent=_RELATIVE,
    )


# --- encoding -------------------------------------------------------------------------------------


def distance_of(quality: int) -> float:
    """Butteraugli distance that cjxl takes for a quality from 1 to 100."""
    return max(_LEAST_DISTANCE, float(_library().JxlEncoderDistanceFromQuality(quality)))


@dataclass(frozen=True, slots=True, kw_only=True)
class JxlSettings:
    """How a file is written."""

    distance: float
    """Butteraugli distance, 0.05 to 25; 0 is lossless."""
    effort: int
    """1 to 10."""
    progressive: bool = False
    """A coarse picture comes first. Lossy files become 3 % larger, and take a quarter more CPU."""


def encode(
    frames: Sequence[Pixels],
    settings: JxlSettings,
    *,
    profile: bytes | None = None,
    exif: bytes | None = None,
    delays: Sequence[int] = (),
    loop: int = 0,
) -> bytes:
    """Write pixels as a JPEG XL file.

    A profile with code points is written as these, which takes two bytes. A file without EXIF is a
    bare codestream.

    Args:
        frames: shape (height, width, channels), contiguous, all alike: grey, grey and alpha, RGB or
            RGBA, 8 or 16 bits a channel.
        settings: how.
        profile: what the values mean; None for sRGB.
        exif: block to put in, from its TIFF header on; a leading ``Exif\\0\\0`` is left out.
        delays: milliseconds of each frame, of an animation.
        loop: times that it is shown, 0 for ever.

    Raises:
        MemoryError: libjxl ran out of it.
        EngineError: it refused.
    """
    library = _library()
    height, width, channels = frames[0].shape
    deep = frames[0].dtype == np.uint16
    alpha = channels in (2, 4)
    with _encoder() as encoder:
        info = _BasicInfo()
        library.JxlEncoderInitBasicInfo(byref(info))
        info.xsize, info.ysize = width, height
        info.bits_per_sample = 16 if deep else 8
        info.num_color_channels = channels - alpha
        info.num_extra_channels = int(alpha)
        info.alpha_bits = info.bits_per_sample if alpha else 0
        info.uses_original_profile = int(settings.distance == 0)
        if len(frames) > 1:
            info.have_animation = 1
            info.tps_numerator, info.tps_denominator, info.num_loops = _TICKS, 1, loop
        _do(encoder, "SetBasicInfo", byref(info))
        _set_colours(encoder, profile, grey=channels < 3)
        if library.JxlEncoderGetRequiredCodestreamLevel(encoder) == 10:
            _do(encoder, "SetCodestreamLevel", 10)
        options = _options(encoder, settings)
        if exif is not None:
            _do(encoder, "UseBoxes")
        pixels = _PixelFormat(channels, _TYPE_UINT16 if deep else _TYPE_UINT8, _NATIVE_ENDIAN, 0)
        for index, frame in enumerate(frames):
            if len(frames) > 1:
                header = _FrameHeader()
                library.JxlEncoderInitFrameHeader(byref(header))
                header.duration = delays[index]
                _do(encoder, "SetFrameHeader", byref(header), on=options)
            data = np.ascontiguousarray(frame)
            _do(
                encoder,
                "AddImageFrame",
                byref(pixels),
                c_void_p(data.ctypes.data),
                data.nbytes,
                on=options,
            )
        if exif is not None:
            # Four bytes say where the TIFF header begins (ISO/IEC 18181-2, 9.4).
            block = bytes(4) + exif.removeprefix(b"Exif\0\0")
            _do(encoder, "AddBox", (c_char * 4).from_buffer_copy(b"Exif"), block, len(block), 0)
        return _written(encoder)


def repack(jpeg: bytes, *, effort: int) -> bytes:
    """Pack a JPEG file without loss; :func:`unpack` gives back each of its bytes.

    Args:
        jpeg: the whole file.
        effort: 1 to 10.

    Raises:
        UnsupportedInput: UNSUPPORTED_VARIANT, such as CMYK, arithmetic coding, a missing end
            marker: keep the JPEG.
        MemoryError: libjxl ran out of it.
    """
    with _encoder() as encoder:
        _do(encoder, "StoreJPEGMetadata", 1)
        options = _options(encoder, JxlSettings(distance=0, effort=effort), lossless=False)
        try:
            _do(encoder, "AddJPEGFrame", jpeg, len(jpeg), on=options)
            packed = _written(encoder)
        except EngineError as error:
            raise _not_packable() from error
    try:
        if _unpacked(packed) == jpeg:
            return packed
    except DamagedInput as error:
        raise _not_packable() from error
    raise _not_packable()


def _not_packable() -> UnsupportedInput:
    return UnsupportedInput(
        Reason.UNSUPPORTED_VARIANT, "this JPEG cannot be packed without loss: keep it as it is"
    )


@contextmanager
def _encoder() -> Iterator[int]:
    library = _library()
    encoder = library.JxlEncoderCreate(None)
    if not encoder:
        raise MemoryError("JxlEncoderCreate")
    try:
        yield encoder
    finally:
        library.JxlEncoderDestroy(encoder)


def _do(encoder: int, name: str, *arguments: Any, on: int | None = None) -> None:
    """Call a function of the encoder, or of ``on``, that says whether it worked."""
    if getattr(_library(), f"JxlEncoder{name}")(on or encoder, *arguments) != _ENC_SUCCESS:
        raise _refused(encoder, name)


def _refused(encoder: int, name: str) -> Exception:
    code = int(_library().JxlEncoderGetError(encoder))
    if code == _ENC_OUT_OF_MEMORY:
        return MemoryError(f"JxlEncoder{name}")
    return EngineError(f"libjxl refused: JxlEncoder{name}, error {code}")


def _set_colours(encoder: int, profile: bytes | None, *, grey: bool) -> None:
    colour = Colour() if profile is None else profile_colour(profile)
    known = None if colour is None else _encoding(colour, grey=grey)
    if known is not None:
        _do(encoder, "SetColorEncoding", byref(known))
    elif profile is not None:
        _do(encoder, "SetICCProfile", profile, len(profile))


def _options(encoder: int, settings: JxlSettings, *, lossless: bool | None = None) -> int:
    options = int(_library().JxlEncoderFrameSettingsCreate(encoder, None))
    lossless = settings.distance == 0 if lossless is None else lossless
    chosen = {_EFFORT: settings.effort}
    if lossless:
        _do(encoder, "SetFrameLossless", 1, on=options)
        chosen[_RESPONSIVE] = int(settings.progressive)
    elif settings.distance > 0:
        _do(encoder, "SetFrameDistance", settings.distance, on=options)
        if settings.progressive:
            # QPROGRESSIVE_AC on top takes 4 % more bytes and half as much CPU again.
            chosen[_PROGRESSIVE_DC] = 1
    for option, value in chosen.items():
        _do(encoder, "FrameSettingsSetOption", option, value, on=options)
    return options


def _written(encoder: int) -> bytes:
    library = _library()
    library.JxlEncoderCloseInput(encoder)
    parts: list[bytes] = []
    buffer = ctypes.create_string_buffer(_CHUNK)
    status = _ENC_NEED_MORE_OUTPUT
    while status == _ENC_NEED_MORE_OUTPUT:
        at, left = c_void_p(ctypes.addressof(buffer)), c_size_t(_CHUNK)
        status = library.JxlEncoderProcessOutput(encoder, byref(at), byref(left))
        parts.append(buffer.raw[: _CHUNK - left.value])
    if status != _ENC_SUCCESS:
        raise _refused(encoder, "ProcessOutput")
    return b"".join(parts)


# --- decoding -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class JxlPixels:
    """The pixels of a file."""

    pixels: Pixels
    """Frame under frame: shape (frames * height, width, channels)."""
    delays: tuple[int, ...]
    """Of each frame, milliseconds; () for a still."""


def decode(
    data: bytes,
    *,
    channels: int,
    deep: bool = False,
    frames: int = 1,
    convert_to: Colour | None = None,
) -> JxlPixels:
    """Decode a file as it is stored: not rotated, alpha not multiplied in.

    Args:
        data: the file.
        channels: 1 grey, 2 with alpha, 3 RGB, 4 with alpha.
        deep: to 16 bits a channel.
        frames: how many frames to decode, each as it is shown.
        convert_to: what values shall mean, where the file stores light and not values (XYB) and
            only a profile says how it should be seen.

    Raises:
        DamagedInput: TRUNCATED, CORRUPT.
    """
    library = _library()
    form = _PixelFormat(channels, _TYPE_UINT16 if deep else _TYPE_UINT8, _NATIVE_ENDIAN, 0)
    pixels: Pixels | None = None
    delays: list[int] = []
    info, header = _BasicInfo(), _FrameHeader()
    done = 0
    wanted = _DEC_BASIC_INFO | _DEC_COLOR_ENCODING | _DEC_FRAME | _DEC_FULL_IMAGE
    with _decoder(data, wanted) as decoder:
        library.JxlDecoderSetKeepOrientation(decoder, 1)
        library.JxlDecoderSetUnpremultiplyAlpha(decoder, 1)
        while done < frames:
            status = library.JxlDecoderProcessInput(decoder)
            if status == _DEC_BASIC_INFO:
                library.JxlDecoderGetBasicInfo(decoder, byref(info))
                shape = (frames, int(info.ysize), int(info.xsize), channels)
                pixels = np.empty(shape, np.uint16) if deep else np.empty(shape, np.uint8)
            elif status == _DEC_COLOR_ENCODING:
                encoding = None if convert_to is None else _encoding(convert_to, grey=channels < 3)
                if encoding is not None:
                    library.JxlDecoderSetPreferredColorProfile(decoder, byref(encoding))
            elif status == _DEC_FRAME:
                library.JxlDecoderGetFrameHeader(decoder, byref(header))
                if info.have_animation:
                    delays.append(_milliseconds(header.duration, info))
            elif status == _DEC_NEED_IMAGE_OUT_BUFFER and pixels is not None:
                frame = pixels[done]
                address = c_void_p(frame.ctypes.data)
                if library.JxlDecoderSetImageOutBuffer(decoder, byref(form), address, frame.nbytes):
                    raise _damaged("its pixels are of another form than its header says")
            elif status == _DEC_FULL_IMAGE:
                done += 1
            elif status == _DEC_SUCCESS:
                break
            else:
                raise _failed(status)
    if pixels is None or done < frames:
        raise _damaged("it has fewer frames than its headers say")
    return JxlPixels(
        pixels=pixels.reshape(-1, *pixels.shape[2:]), delays=tuple(delays) if frames > 1 else ()
    )


def _milliseconds(ticks: int, info: _BasicInfo) -> int:
    return round(ticks * 1000 * int(info.tps_denominator) / max(1, int(info.tps_numerator)))


def profile_of(data: bytes) -> bytes | None:
    """The ICC profile of a file that has one in place of code points; its headers are read only.

    Raises:
        DamagedInput: TRUNCATED, CORRUPT.
    """
    library = _library()
    with _decoder(data, _DEC_COLOR_ENCODING) as decoder:
        status = library.JxlDecoderProcessInput(decoder)
        if status != _DEC_COLOR_ENCODING:
            raise _failed(status)
        size = c_size_t()
        if library.JxlDecoderGetICCProfileSize(decoder, _TARGET_ORIGINAL, byref(size)):
            return None
        buffer = ctypes.create_string_buffer(size.value)
        address = ctypes.addressof(buffer)
        if library.JxlDecoderGetColorAsICCProfile(decoder, _TARGET_ORIGINAL, address, size):
            return None
        return buffer.raw


def metadata_of(data: bytes) -> dict[bytes, bytes]:
    """The first box of each type ``Exif`` and ``xml ``, unpacked. Nothing is decoded.

    Raises:
        DamagedInput: TRUNCATED, CORRUPT.
    """
    library = _library()
    found: dict[bytes, bytearray] = {}
    current: bytearray | None = None
    buffer = ctypes.create_string_buffer(_CHUNK)
    address = ctypes.addressof(buffer)
    with _decoder(data, _DEC_BOX) as decoder:
        library.JxlDecoderSetDecompressBoxes(decoder, 1)

        def take() -> None:
            nonlocal current
            if current is not None:
                current += buffer.raw[: _CHUNK - library.JxlDecoderReleaseBoxBuffer(decoder)]
                if len(current) > _LONGEST_METADATA:
                    raise _damaged("a metadata box is too long")

        while True:
            status = library.JxlDecoderProcessInput(decoder)
            if status == _DEC_BOX:
                take()
                name = (c_char * 4)()
                library.JxlDecoderGetBoxType(decoder, name, 1)
                current = None
                if name.raw in (b"Exif", b"xml ") and name.raw not in found:
                    current = found[name.raw] = bytearray()
                    library.JxlDecoderSetBoxBuffer(decoder, address, _CHUNK)
            elif status == _DEC_BOX_NEED_MORE_OUTPUT:
                take()
                library.JxlDecoderSetBoxBuffer(decoder, address, _CHUNK)
            elif status == _DEC_SUCCESS:
                take()
                return {name: bytes(content) for name, content in found.items()}
            else:
                raise _failed(status)


def unpack(data: bytes, *, limits: Limits = UNLIMITED, sha256: str = "") -> bytes:
    """The JPEG file that was packed, byte by byte.

    Args:
        data: the JPEG XL.
        limits: of the picture.
        sha256: of the JPEG, where it is known. The reconstruction data has no checksum: combined
            with the data of another JPEG it yields a third JPEG.

    Raises:
        LimitExceeded: as :func:`worker.imaging.formats.jxl.read` says.
        DamagedInput: TRUNCATED; CORRUPT, also if no JPEG is packed in it, or another one than
            ``sha256`` says.
    """
    jxl.read(data, limits)
    jpeg = _unpacked(data)
    if sha256 and hashlib.sha256(jpeg).hexdigest() != sha256:
        raise _damaged("what brings the JPEG back does not fit")
    return jpeg


def _unpacked(data: bytes) -> bytes:
    library = _library()
    # The decoder writes the whole file or nothing: a buffer that is too small is not filled.
    buffer = ctypes.create_string_buffer(2 * len(data) + _CHUNK)
    packed = False
    with _decoder(data, _DEC_JPEG_RECONSTRUCTION | _DEC_FULL_IMAGE) as decoder:
        while True:
            status = library.JxlDecoderProcessInput(decoder)
            if status == _DEC_FULL_IMAGE and packed:
                left = library.JxlDecoderReleaseJPEGBuffer(decoder)
                return buffer.raw[: len(buffer) - left]
            if status == _DEC_JPEG_NEED_MORE_OUTPUT:
                library.JxlDecoderReleaseJPEGBuffer(decoder)
                if len(buffer) > _MOST_UNPACKED * len(data) + _CHUNK:
                    raise _damaged("the JPEG in it is far too long")
                buffer = ctypes.create_string_buffer(2 * len(buffer))
            elif status == _DEC_NEED_IMAGE_OUT_BUFFER:
                raise _damaged("no JPEG can be brought back from it")
            elif status != _DEC_JPEG_RECONSTRUCTION:
                raise _failed(status)
            packed = True
            library.JxlDecoderSetJPEGBuffer(decoder, ctypes.addressof(buffer), len(buffer))


@contextmanager
def _decoder(data: bytes, wanted: int) -> Iterator[int]:
    library = _library()
    content = bytes(data)  # of a file that is mapped, too; bytes themselves are not copied
    decoder = library.JxlDecoderCreate(None)
    if not decoder:
        raise MemoryError("JxlDecoderCreate")
    try:
        library.JxlDecoderSubscribeEvents(decoder, wanted)
        library.JxlDecoderSetInput(decoder, content, len(content))
        library.JxlDecoderCloseInput(decoder)
        yield decoder
    finally:
        library.JxlDecoderDestroy(decoder)


def _failed(status: int) -> DamagedInput:
    if status == _DEC_NEED_MORE_INPUT:
        return DamagedInput(Reason.TRUNCATED, "the JXL file ends before its content does")
    return _damaged("its data cannot be decoded")


def _damaged(what: str) -> DamagedInput:
    return DamagedInput(Reason.CORRUPT, f"the JXL file is damaged: {what}")
