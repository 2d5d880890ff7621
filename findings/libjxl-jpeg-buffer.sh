#!/usr/bin/env bash
# One would guess: libjxl gives back a packed JPEG in pieces. Its header says so: after
# JXL_DEC_JPEG_NEED_MORE_OUTPUT "bytes that the decoder has already output should not be included, only
# the remaining bytes output must be set" (decode.h, JxlDecoderSetJPEGBuffer).
# What is: a buffer that is too small for the whole JPEG gets nothing. JxlDecoderReleaseJPEGBuffer says
# that all of it is unused, and the next buffer starts at the first byte again. A caller that hands over
# buffers of one size, as for boxes and for the encoder, asks for more output for ever.
# Why it matters: a loop that is right for every other part of the interface never ends here, for
# every JPEG that is longer than its buffer, and does no harm in a test with a small one.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q imagecodecs==2026.3.6 numpy==2.4.6
cat > "$work/buffer.py" <<'PY'
import ctypes, sys
from ctypes import byref, c_int, c_size_t, c_void_p
from pathlib import Path
import imagecodecs, numpy as np

folder = Path(imagecodecs.__file__).parent.with_suffix(".libs")
for name in ("brotlicommon", "brotlidec", "brotlienc", "jxl_cms", "jxl"):
    jxl = ctypes.CDLL(str(next(folder.glob(f"lib{name}-*.so*"))))
print(f"imagecodecs {imagecodecs.__version__}, libjxl {imagecodecs.jpegxl_version()}")
jxl.JxlDecoderCreate.restype = c_void_p
jxl.JxlDecoderReleaseJPEGBuffer.restype = c_size_t
for call in (jxl.JxlDecoderSubscribeEvents, jxl.JxlDecoderProcessInput, jxl.JxlDecoderReleaseJPEGBuffer):
    call.argtypes = (c_void_p, c_int)[: 2 if call is jxl.JxlDecoderSubscribeEvents else 1]
for call in (jxl.JxlDecoderSetInput, jxl.JxlDecoderSetJPEGBuffer):
    call.argtypes = (c_void_p, c_void_p, c_size_t)
jxl.JxlDecoderCloseInput.argtypes = jxl.JxlDecoderDestroy.argtypes = (c_void_p,)

pixels = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)
jpeg = imagecodecs.jpeg8_encode(pixels, level=80)
packed = imagecodecs.jpegxl_encode_jpeg(jpeg)
NEED_MORE, FULL_IMAGE, RECONSTRUCTION = 6, 0x1000, 0x2000


def rounds(size: int, most: int = 100) -> tuple[int, int]:
    """How many buffers of a size were asked for, and how many bytes were written into them."""
    decoder = jxl.JxlDecoderCreate(None)
    jxl.JxlDecoderSubscribeEvents(decoder, RECONSTRUCTION | FULL_IMAGE)
    jxl.JxlDecoderSetInput(decoder, packed, len(packed))
    jxl.JxlDecoderCloseInput(decoder)
    buffer = ctypes.create_string_buffer(size)
    asked = written = 0
    while asked < most:
        status = jxl.JxlDecoderProcessInput(decoder)
        if status in (NEED_MORE, FULL_IMAGE):
            written += size - jxl.JxlDecoderReleaseJPEGBuffer(decoder)
        if status == FULL_IMAGE:
            break
        assert status in (NEED_MORE, RECONSTRUCTION), status
        jxl.JxlDecoderSetJPEGBuffer(decoder, ctypes.addressof(buffer), size)
        asked += 1
    jxl.JxlDecoderDestroy(decoder)
    return asked, written


half, whole = rounds(len(jpeg) // 2 + 1), rounds(len(jpeg))
print(f"a JPEG of {len(jpeg)} bytes")
print(f"buffers of half of it: {half[0]} asked for (two would do), {half[1]} bytes written, then given up")
print(f"a buffer of all of it: {whole[0]} asked for, {whole[1]} bytes written")
sys.exit((half, whole) != ((100, 0), (1, len(jpeg))))
PY
"$work/venv/bin/python" "$work/buffer.py"
