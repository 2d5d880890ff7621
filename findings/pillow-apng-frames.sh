#!/usr/bin/env bash
# One would guess: Pillow gives the frames of an animated PNG as they are shown, as it does for GIF and WebP.
# What is: Pillow 13.0.0 pastes a frame with blend_op OVER with its own alpha as the mask, which is no "over" where
# both are half transparent: an alpha of 128 on 128 stays 128 (191 is right), and colours are wrong. And it pastes
# into the frame that dispose_op PREVIOUS is to bring back, so what should be gone after its delay stays for good,
# opaque or not. OpenCV 5 and ffmpeg 7.0 compose both as the PNG specification (third edition, fcTL) has it.
# Frames with blend_op SOURCE, which Pillow itself writes unless told otherwise, are right.
# Why it matters: stickers and icons that other programs have optimised leave trails and pale edges when they are
# converted frame by frame, and the first frame, which tests look at, is always right.
#
# Needs Linux on x86-64, python3 with venv, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pillow==13.0.0 opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 imageio-ffmpeg==0.6.0
venv/bin/python - <<'PY'
import io, struct, subprocess, sys, zlib
import cv2, imageio_ffmpeg, numpy as np, PIL
from PIL import Image

print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "ffmpeg", imageio_ffmpeg.get_ffmpeg_version())
SIZE, SOURCE, OVER, NONE, PREVIOUS = 8, 0, 1, 0, 2


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def apng(*frames):
    """Of frames of one colour: x and y, side, RGBA, what is done with it later, how it is put there."""
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0))
    out += chunk(b"acTL", struct.pack(">II", len(frames), 1))
    number = 0
    for at, side, colour, dispose, blend in frames:
        out += chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side, side, at, at, 1, 10, dispose, blend))
        data = zlib.compress((b"\0" + bytes(colour) * side) * side)
        out += chunk(b"fdAT", struct.pack(">I", number + 1) + data) if number else chunk(b"IDAT", data)
        number += 2 if number else 1
    return out + chunk(b"IEND", b"")


def pillow(data):
    image = Image.open(io.BytesIO(data))
    for number in range(image.n_frames):
        image.seek(number)
        yield np.array(image.convert("RGBA"))


def opencv(data):
    _, found = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
    return [cv2.cvtColor(one, cv2.COLOR_BGRA2RGBA) for one in found.frames]


def ffmpeg(data):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "apng", "-i", "frames.png"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgba", "-fps_mode", "passthrough", "pipe:1"]
    open("frames.png", "wb").write(data)
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, SIZE, SIZE, 4)


GREEN, RED, OPAQUE, BLUE = (0, 255, 0, 128), (255, 0, 0, 128), (255, 0, 0, 255), (0, 0, 255, 255)
cases = {
    # A pixel of the last frame: where the second one was.
    "half red over half green": (apng((0, 8, GREEN, NONE, SOURCE), (4, 4, RED, NONE, OVER)), (170, 84, 0, 191), (128, 127, 0, 128)),
    "red, gone after its delay": (
        apng((0, 8, GREEN, NONE, SOURCE), (4, 4, OPAQUE, PREVIOUS, OVER), (0, 4, BLUE, NONE, OVER)),
        GREEN,
        OPAQUE,
    ),
    "half red, put as it is": (apng((0, 8, GREEN, NONE, SOURCE), (4, 4, RED, NONE, SOURCE)), RED, RED),
}
failed = 0
for name, (data, right, with_pillow) in cases.items():
    for read, wanted in ((ffmpeg, right), (opencv, right), (pillow, with_pillow)):
        found = [int(one) for one in list(read(data))[-1][6, 6]]
        print(f"{name}: {read.__name__} {found} (expected {list(wanted)} +- 2)")
        failed |= max(abs(a - b) for a, b in zip(found, wanted)) > 2
sys.exit(int(failed))
PY
