"""JPEG XL: the boxes of a file, its headers and those of every frame. No pixel is decoded.

A decoder allocates for each frame, and a frame may be larger than the picture, be hidden, or be a
layer. So all frames are walked: their sizes, their number and the time they are shown are known
before libjxl sees the file. A profile may follow the picture header, and a permutation of sections
may precede each frame's data. Both are entropy-coded, and ``jxl_entropy`` skips them.

Sources: ISO/IEC 18181-1 (codestream; annexes D to F), ISO/IEC 18181-2 (file format).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from worker.domain.colour import (
    CHROMATICITIES,
    Colour,
    ColourSource,
    Primaries,
    Transfer,
    from_code_points,
)
from worker.domain.image import Format, Limits
from worker.imaging import rejections
from worker.imaging.formats import isobmff
from worker.imaging.formats.jxl_entropy import BitReader, Symbols

CODESTREAM = b"\xff\x0a"

_KIND = Format.JXL
_MOST_CHANNELS = 8
"""Most extra channels. Each takes as much memory as a colour channel; a photo has one or none."""
_LONGEST_PROFILE = 1 << 19
"""Most bytes of a packed profile, which is read number by number."""
_MOST_PARTS = 65_536
"""Most sections of one frame, as in libjxl."""
_MOST_HIDDEN = 64
"""Most hidden frames in addition to the shown ones: previews, sources of repeated details."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JxlHeader:
    """The headers of a file."""

    width: int
    """As stored, before orientation."""
    height: int
    orientation: int
    """1 to 8. It takes precedence over EXIF."""
    bit_depth: int
    float_samples: bool
    grey: bool
    alpha: bool
    black: bool
    """Whether there is a channel for black: CMYK."""
    xyb: bool
    """Whether the file stores XYB; the decoder then converts to the requested colours."""
    profile: bool
    """Whether a profile declares the colours, instead of code points."""
    colour: Colour
    """Colour by code points; meaningless with a profile."""
    durations: tuple[int, ...]
    """Milliseconds of each frame that is shown; () for a still."""
    loop: int
    """Times an animation is shown, 0 for ever."""
    jpeg: bool
    """Whether the file contains a losslessly packed JPEG."""


def read(data: bytes, limits: Limits) -> JxlHeader:
    """Read all headers of a file and check them against the limits.

    Raises:
        LimitExceeded: of the picture or of any frame; of all frames together.
        DamagedInput: TRUNCATED, CORRUPT.
        UnsupportedInput: channels, or a profile, that are beyond any picture.
    """
    try:
        return _read(data, limits)
    except (struct.error, IndexError) as error:
        # Every read is bounds-checked: a read beyond the end means that the file is truncated.
        raise rejections.truncated(_KIND) from error


def _read(data: bytes, limits: Limits) -> JxlHeader:
    names, codestream = _codestream(data)
    if not CODESTREAM.startswith(codestream[:2]):
        raise rejections.corrupt(_KIND, "its codestream does not begin like one")
    reader = BitReader(codestream, 2)
    width, height = _size(reader)
    rejections.check_size(width, height, limits)
    image = _image(reader, width, height)
    reader.align()
    durations = _frames(reader, image, limits)
    return JxlHeader(
        width=width,
        height=height,
        orientation=image.orientation,
        bit_depth=image.bits,
        float_samples=image.float_samples,
        grey=image.grey,
        alpha=_ALPHA in image.channels,
        black=_BLACK in image.channels,
        xyb=image.xyb,
        profile=image.profile,
        colour=image.colour,
        durations=durations if image.ticks else (),
        loop=image.loop,
        jpeg=b"jbrd" in names,
    )


# --- boxes ----------------------------------------------------------------------------------------


def _codestream(data: bytes) -> tuple[set[bytes], bytes]:
    """Types of all boxes, and the codestream, put together if it is in parts."""
    if data[:2] == CODESTREAM:
        return set(), bytes(data)
    names: set[bytes] = set()
    parts: list[bytes] = []
    whole = last = False
    try:
        for index, box in enumerate(isobmff.walk(data, most=rejections.most_blocks(data))):
            if index == 1 and (
                box.name != b"ftyp" or data[box.content : box.content + 4] != b"jxl "
            ):
                raise rejections.corrupt(_KIND, "its second box does not name the format")
            if box.end > len(data) and box.name not in (b"jxlc", b"jxlp"):
                raise rejections.truncated(_KIND)
            names.add(box.name)
            if box.name not in (b"jxlc", b"jxlp"):
                continue
            if whole or last or (box.name == b"jxlc" and parts):
                raise rejections.corrupt(_KIND, "it has more than one codestream")
            content = bytes(data[box.content : box.end])
            if box.name == b"jxlp":
                # The highest bit marks the last part. 18181-2, 9.10.
                (number,) = struct.unpack_from(">I", content)
                last = bool(number >> 31)
                if number & 0x7FFFFFFF != len(parts):
                    raise rejections.corrupt(_KIND, "the parts of its codestream are out of order")
                content = content[4:]
            whole = box.name == b"jxlc"
            parts.append(content)
            if box.end > len(data):
                break  # check the picture's size first, so that the error names the limit
    except isobmff.IsoBoxError as error:
        raise rejections.corrupt(_KIND, str(error)) from error
    if not parts:
        raise rejections.truncated(_KIND)
    return names, b"".join(parts)


# --- the picture ----------------------------------------------------------------------------------

_ALPHA, _SPOT, _BLACK, _CFA = 0, 2, 4, 5
_RGB, _GREY, _XYB = 0, 1, 2
_CUSTOM = 2
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(slots=True, kw_only=True)
class _Image:
    """The image header. 18181-1, annex D."""

    width: int
    height: int
    orientation: int = 1
    preview: tuple[int, int] | None = None
    ticks: tuple[int, int] | None = None
    """Of an animation: so many in so many seconds."""
    loop: int = 0
    timecodes: bool = False
    bits: int = 8
    float_samples: bool = False
    channels: tuple[int, ...] = ()
    """Kinds of those beside the colours."""
    shifts: tuple[int, ...] = ()
    xyb: bool = True
    profile: bool = False
    grey: bool = False
    colour: Colour


def _size(reader: BitReader) -> tuple[int, int]:
    """D.2."""
    small = reader.bits(1)

    def side() -> int:
        return 8 * (1 + reader.bits(5)) if small else reader.u32((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = reader.bits(3)
    if not ratio:
        return side(), height
    times, by = _RATIOS[ratio]
    return height * times // by, height


def _preview(reader: BitReader) -> tuple[int, int]:
    """D.3.3."""
    eighths = reader.bits(1)

    def side() -> int:
        if eighths:
            return 8 * reader.u32((16, 0), (32, 0), (1, 5), (33, 9))
        return reader.u32((1, 6), (65, 8), (321, 10), (1345, 12))

    height = side()
    ratio = reader.bits(3)
    if not ratio:
        return side(), height
    times, by = _RATIOS[ratio]
    return height * times // by, height


def _image(reader: BitReader, width: int, height: int) -> _Image:
    """D.3, and the packed profile behind it."""
    image = _Image(width=width, height=height, colour=Colour(source=ColourSource.CICP))
    if not reader.bits(1):
        extra = reader.bits(1)
        if extra:
            image.orientation = 1 + reader.bits(3)
            if reader.bits(1):
                _size(reader)  # how large it wants to be seen
            if reader.bits(1):
                image.preview = _preview(reader)
            if reader.bits(1):
                image.ticks = (
                    reader.u32((100, 0), (1000, 0), (1, 10), (1, 30)),
                    reader.u32((1, 0), (1001, 0), (1, 8), (1, 10)),
                )
                image.loop = reader.u32((0, 0), (0, 3), (0, 16), (0, 32))
                image.timecodes = bool(reader.bits(1))
        image.bits, image.float_samples = _depth(reader)
        reader.bits(1)
        _extra_channels(reader, image)
        image.xyb = bool(reader.bits(1))
        _colours(reader, image)
        if extra and not reader.bits(1):
            reader.skip(16 + 16 + 1 + 16)  # how bright the brightest is
        _extensions(reader)
    if not reader.bits(1):
        if image.xyb and not reader.bits(1):
            reader.skip(16 * (9 + 3 + 4))
        weights = reader.bits(3)
        reader.skip(16 * sum(n for bit, n in enumerate((15, 55, 210)) if weights >> bit & 1))
    if image.profile:
        _skip_profile(reader)
    return image


def _depth(reader: BitReader) -> tuple[int, bool]:
    """Bits of a sample, and whether it is a floating-point number. D.3.5."""
    if not reader.bits(1):
        return reader.u32((8, 0), (10, 0), (12, 0), (1, 6)), False
    bits = reader.u32((32, 0), (16, 0), (24, 0), (1, 6))
    reader.bits(4)
    return bits, True


def _extra_channels(reader: BitReader, image: _Image) -> None:
    """D.3.6."""
    count = reader.u32((0, 0), (1, 0), (2, 4), (1, 12))
    if count > _MOST_CHANNELS:
        raise rejections.variant(f"a JPEG XL of {count} channels beside its colours")
    kinds, shifts = [], []
    for _ in range(count):
        kind = shift = 0
        if not reader.bits(1):
            kind = reader.enum()
            _depth(reader)
            shift = reader.u32((0, 0), (3, 0), (4, 0), (1, 3))
            _skip_name(reader)
            if kind == _ALPHA:
                reader.bits(1)
            elif kind == _SPOT:
                reader.skip(4 * 16)
            elif kind == _CFA:
                reader.u32((1, 0), (0, 2), (3, 4), (19, 8))
        kinds.append(kind)
        shifts.append(shift)
    image.channels, image.shifts = tuple(kinds), tuple(shifts)


def _skip_name(reader: BitReader) -> None:
    reader.skip(8 * reader.u32((0, 0), (0, 4), (16, 5), (48, 10)))


def _extensions(reader: BitReader) -> None:
    """Skip extensions of later editions. B.4."""
    present = reader.u64()
    reader.skip(sum(reader.u64() for bit in range(64) if present >> bit & 1))


_NO_CORNERS: tuple[tuple[float, float], ...] = ()


def _colours(reader: BitReader, image: _Image) -> None:
    """D.3.4 and annex E.2."""
    if reader.bits(1):
        return
    image.profile = bool(reader.bits(1))
    space = reader.enum()
    image.grey = space == _GREY
    if image.profile:
        return
    white = (0.3127, 0.3290)
    if space != _XYB:
        white = _white(reader)
    chosen, corners = 1, _NO_CORNERS
    if space not in (_XYB, _GREY):
        chosen = reader.enum()
        if chosen == _CUSTOM:
            corners = tuple(_xy(reader) for _ in range(3))
    gamma = None
    transfer = 13
    if space != _XYB:
        if reader.bits(1):
            gamma = reader.bits(24) / 10**7
        else:
            transfer = reader.enum()
    reader.enum()  # the rendering intent
    image.colour = _meaning(chosen, white, corners, transfer, gamma)


def _white(reader: BitReader) -> tuple[float, float]:
    kind = reader.enum()
    if kind == _CUSTOM:
        return _xy(reader)
    return {10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}.get(kind, (0.3127, 0.3290))


def _xy(reader: BitReader) -> tuple[float, float]:
    """Chromaticities in millionths, with a sign. E.2."""

    def value() -> float:
        stored = reader.u32((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21))
        return (-(stored + 1) // 2 if stored & 1 else stored // 2) / 10**6

    return value(), value()


def _meaning(
    primaries: int,
    white: tuple[float, float],
    corners: tuple[tuple[float, float], ...],
    transfer: int,
    gamma: float | None,
) -> Colour:
    """Primaries 11 are those of P3 with any white, so that 11 with D65 is Display P3."""
    usual = white == (0.3127, 0.3290)
    code = {1: 1, 9: 9, 11: 12 if usual else 11}.get(primaries, 2)
    found = from_code_points(code, transfer, ColourSource.CICP) or Colour(source=ColourSource.CICP)
    xy: tuple[float, ...] | None = None
    if corners:
        xy = (*white, *(value for corner in corners for value in corner))
    elif not usual and primaries in (1, 9):
        xy = (*white, *CHROMATICITIES[found.primaries or Primaries.BT709][2:])
    curve, power = found.transfer, found.gamma
    if gamma:
        linear = abs(gamma - 1) < 1e-4
        curve = Transfer.LINEAR if linear else Transfer.GAMMA
        power = None if linear else round(1 / gamma, 5)
    return Colour(
        source=ColourSource.CICP,
        primaries=Primaries.CUSTOM if xy else found.primaries,
        transfer=curve,
        gamma=power,
        chromaticities=xy,
    )


def _skip_profile(reader: BitReader) -> None:
    """The packed profile, byte by byte: each one's context is the two before it. E.4."""
    size = reader.u64()
    if size > _LONGEST_PROFILE:
        raise rejections.variant(f"a JPEG XL with a colour profile of {size:,} packed bytes")
    symbols = Symbols(reader, 41)
    before = earlier = 0
    for index in range(size):
        context = 0 if index <= 128 else 1 + _KINDS[before] + 8 * _OLDER_KINDS[earlier]
        earlier, before = before, symbols.read(context)
        if before > 255:
            raise rejections.corrupt(_KIND, "its profile does not consist of bytes")


def _byte_kind(byte: int, above_240: int, others: int) -> int:
    text = chr(byte)
    if byte < 128 and text.isalpha():
        return 0
    if byte < 128 and (text.isdigit() or text in ".,"):
        return 1
    return above_240 if byte > 240 else others


_KINDS = [
    {0: 2, 1: 3, 255: 6}.get(byte, 4 if byte < 16 else _byte_kind(byte, 5, 7))
    for byte in range(256)
]
_OLDER_KINDS = [2 if byte < 16 else _byte_kind(byte, 3, 4) for byte in range(256)]


# --- frames ---------------------------------------------------------------------------------------

_REGULAR, _COARSE, _REFERENCE, _SKIP = 0, 1, 2, 3
_USES_COARSE = 0x20
_BLEND, _MULADD, _MUL = 2, 3, 4


@dataclass(slots=True, kw_only=True)
class _JxlFrame:
    """A frame header. 18181-1, annex F."""

    width: int
    height: int
    kind: int = _REGULAR
    modular: bool = False
    group: int = 1
    """Logarithm of the side of a group, in 128 pixels."""
    upsampling: int = 1
    across: int = 0
    """Logarithm of how much coarser colours may be than lightness, in a packed JPEG."""
    down: int = 0
    passes: int = 1
    ticks: int = 0
    last: bool = True


def _frames(reader: BitReader, image: _Image, limits: Limits) -> tuple[int, ...]:
    """Milliseconds of each frame that is shown. Each is held against the limits."""
    if image.preview is not None:
        _skip_parts(reader, _frame(reader, image, *image.preview))
    durations: list[int] = []
    seen = shown = pixels = time = 0
    while True:
        frame = _frame(reader, image, image.width, image.height)
        seen += 1
        rejections.check_size(frame.width, frame.height, limits)
        pixels += frame.width * frame.height
        if frame.kind in (_REGULAR, _SKIP):
            shown += 1
            rejections.check_frames(shown, limits, counted=False)
        if seen > limits.frames + _MOST_HIDDEN:
            rejections.check_frames(seen, limits, counted=False)
        if seen > 1:
            # A picture of several layers takes as much work as an animation.
            rejections.check_animation(pixels, 1, 0, limits)
        if frame.ticks and image.ticks is not None:
            per, seconds = image.ticks
            time += frame.ticks
            milliseconds = round(time * 1000 * seconds / per)
            rejections.check_animation(1, 1, milliseconds, limits)
            durations.append(milliseconds - sum(durations))
        _skip_parts(reader, frame)
        if frame.last:
            if image.ticks is not None and not frame.ticks:
                durations.append(0)
            return tuple(durations)


def _frame(reader: BitReader, image: _Image, width: int, height: int) -> _JxlFrame:
    """Read the header of a frame of that size, if it does not say another one."""
    frame = _JxlFrame(width=width, height=height)
    if not reader.bits(1):
        _frame_header(reader, image, frame)
    return frame


def _frame_header(reader: BitReader, image: _Image, frame: _JxlFrame) -> None:
    """F.2."""
    frame.kind = reader.bits(2)
    frame.modular = bool(reader.bits(1))
    flags = reader.u64()
    from_jpeg = not image.xyb and bool(reader.bits(1))
    if not flags & _USES_COARSE:
        if from_jpeg:
            modes = [reader.bits(2) for _ in range(3)]
            frame.across = max(mode in (1, 2) for mode in modes)
            frame.down = max(mode in (1, 3) for mode in modes)
        frame.upsampling = 1 << reader.bits(2)
        reader.skip(2 * len(image.channels))
    if frame.modular:
        frame.group = reader.bits(2)
    elif image.xyb:
        reader.skip(6)
    if frame.kind != _REFERENCE:
        frame.passes = _passes(reader)
    partial = False
    if frame.kind == _COARSE:
        level = 1 + reader.bits(2)
        frame.width = -(-frame.width // 8**level)
        frame.height = -(-frame.height // 8**level)
    elif reader.bits(1):
        partial = _crop(reader, image, frame)
    if frame.kind in (_REGULAR, _SKIP):
        blended = _blending(reader, image, frame, partial=partial)
        frame.last = bool(reader.bits(1))
    else:
        blended, frame.last = False, False
    saved = 0
    if frame.kind != _COARSE and not frame.last:
        saved = reader.bits(2)
    referable = not frame.last and frame.kind != _COARSE and (not frame.ticks or saved)
    whole = referable and not blended and not partial and frame.kind in (_REGULAR, _SKIP)
    if whole or frame.kind == _REFERENCE:
        reader.bits(1)
    _skip_name(reader)
    _skip_filters(reader, modular=frame.modular)
    _extensions(reader)


def _passes(reader: BitReader) -> int:
    """F.2, table F.8."""
    count = reader.u32((1, 0), (2, 0), (3, 0), (4, 3))
    if count > 1:
        coarse = reader.u32((0, 0), (1, 0), (2, 0), (3, 1))
        reader.skip(2 * (count - 1) + 2 * coarse)
        for _ in range(coarse):
            reader.u32((0, 0), (1, 0), (2, 0), (0, 3))
    return count


def _crop(reader: BitReader, image: _Image, frame: _JxlFrame) -> bool:
    """A size and a place of its own; whether some of the picture is left out."""
    ways = ((0, 8), (256, 11), (2304, 14), (18_688, 30))

    def signed() -> int:
        stored = reader.u32(*ways)
        return -(stored + 1) // 2 if stored & 1 else stored // 2

    left = top = 0
    placed = frame.kind in (_REGULAR, _SKIP)
    if placed:
        left, top = signed(), signed()
    frame.width, frame.height = reader.u32(*ways), reader.u32(*ways)
    if not frame.width or not frame.height:
        raise rejections.corrupt(_KIND, "a frame has no size")
    return placed and (
        left > 0 or top > 0 or left + frame.width < image.width or top + frame.height < image.height
    )


def _blending(reader: BitReader, image: _Image, frame: _JxlFrame, *, partial: bool) -> bool:
    """How a frame is laid on another, and for how long; whether its colours are mixed."""
    channels = len(image.channels)
    blended = False
    for index in range(1 + channels):
        mode = reader.u32((0, 0), (1, 0), (2, 0), (3, 2))
        mixes = channels > 0 and mode in (_BLEND, _MULADD)
        if mixes:
            reader.u32((0, 0), (1, 0), (2, 0), (3, 3))
        if mixes or mode == _MUL:
            reader.bits(1)
        if mode or partial:
            reader.bits(2)
        blended = blended or (index == 0 and mode != 0)
    if image.ticks is not None:
        frame.ticks = reader.u32((0, 0), (1, 0), (0, 8), (0, 32))
        if image.timecodes:
            reader.skip(32)
    return blended


def _skip_filters(reader: BitReader, *, modular: bool) -> None:
    """J.1."""
    if reader.bits(1):
        return
    if reader.bits(1) and reader.bits(1):
        reader.skip(6 * 16)
    if reader.bits(2):
        if not modular and reader.bits(1):
            reader.skip(8 * 16)
        if reader.bits(1):
            reader.skip(5 * 16)
        if reader.bits(1):
            reader.skip((3 if modular else 4) * 16)
        if modular:
            reader.skip(16)
    _extensions(reader)


def _skip_parts(reader: BitReader, frame: _JxlFrame) -> None:
    """The table of parts, in whichever order, and all of the data. F.3."""
    side = 128 << frame.group
    width, height = (-(-length // frame.upsampling) for length in (frame.width, frame.height))
    groups = -(-width // side) * -(-height // side)
    blocks_across = -(-width // (8 << frame.across)) << frame.across
    blocks_down = -(-height // (8 << frame.down)) << frame.down
    coarse = -(-blocks_across // side) * -(-blocks_down // side)
    parts = 1
    if groups > 1 or frame.passes > 1:
        parts = 2 + coarse + groups * frame.passes
    if parts > _MOST_PARTS:
        raise rejections.corrupt(_KIND, "a frame has too many parts")
    if reader.bits(1):
        symbols = Symbols(reader, 8)
        moved = symbols.read(min(7, parts.bit_length()))
        if moved > parts:
            raise rejections.corrupt(_KIND, "the order of parts makes no sense")
        before = 0
        for _ in range(moved):
            before = symbols.read(min(7, before.bit_length()))
    reader.align()
    size = sum(reader.u32((0, 10), (1024, 14), (17_408, 22), (4_211_712, 30)) for _ in range(parts))
    reader.align()
    reader.skip(8 * size)
