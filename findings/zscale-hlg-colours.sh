#!/usr/bin/env bash
# One would guess that ffmpeg's zscale (libzimg), asked for linear light of HLG, gives the light of a
# BT.2100 display: its OOTF multiplies each channel by the luminance to the power of 0.2 (BT.2100-3,
# table 5), so that colours keep their saturation.
# It raises each channel to the power of 1.2 by itself. Greys are right, which is what one tests with;
# colours are too saturated: a red of 0.162 comes out as 0.203, and a chart of page colours encoded by
# the standard has channels up to 30 of 255 too low after tone mapping. It matters wherever HLG is
# tone-mapped by the usual chain of zscale and tonemap, and where a still is compared with a video.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check install imageio-ffmpeg==0.8.1
"$work/venv/bin/python" - <<'PYTHON'
import math
import struct
import subprocess
import sys

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
print(subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.splitlines()[0])


def scene(v):
    """Inverse of the HLG OETF (BT.2100-3, table 5)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return v * v / 3 if v <= 0.5 else (math.exp((v - c) / a) + b) / 12


def zscale(red, green, blue):
    planes = b"".join(struct.pack("<4f", *[v] * 4) for v in (green, blue, red))
    chain = (
        "zscale=tin=arib-std-b67:pin=bt2020:min=gbr:rin=pc:t=linear:p=bt2020:m=gbr:r=pc:npl=1000,"
        "format=gbrpf32le"
    )
    command = [FFMPEG, "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-s", "2x2", "-i", "-"]
    out = subprocess.run([*command, "-vf", chain, "-f", "rawvideo", "-"], input=planes,
                         capture_output=True, check=True).stdout
    values = struct.unpack("<12f", out)
    return values[8], values[0], values[4]


seen = True
for rgb in ((0.75, 0.75, 0.75), (0.75, 0.25, 0.25), (0.25, 0.75, 0.25)):
    light = [scene(v) for v in rgb]
    luminance = 0.2627 * light[0] + 0.6780 * light[1] + 0.0593 * light[2]
    standard = [v * luminance**0.2 for v in light]
    apart = [v**1.2 for v in light]
    found = zscale(*rgb)
    for name, values in (("zscale", found), ("BT.2100", standard), ("each channel ^ 1.2", apart)):
        print(f"  {rgb} {name:>18}:", " ".join(f"{v:.4f}" for v in values))
    seen = seen and all(abs(a - b) < 0.001 for a, b in zip(found, apart))
if not seen:
    sys.exit("zscale no longer raises each channel by itself")
PYTHON
