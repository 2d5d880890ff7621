#!/usr/bin/env bash
# One would guess that libvips, which reads CIELAB TIFFs as the "lab" colour space, converts them to
# sRGB as Photoshop and littlecms do.
# Its Lab has the white of D65, as its own sRGB has; CIELAB in files has D50 (TIFF technical notes of
# Adobe; ICC.1). colourspace("srgb"), and so thumbnail() of such a file, gives right greys, which is
# what one tests with, and saturated colours up to 58 of 255 off: a blue of (60, 120, 200) becomes
# (2, 121, 199). icc_export(), which takes the same image for the connection space of profiles, is
# right. It matters for every print workflow that delivers Lab.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check install \
    pyvips==3.2.0 pyvips-binary==8.18.7 pillow==12.0.0 numpy
"$work/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import PIL
import pyvips
from PIL import Image, ImageCms

print("libvips", ".".join(str(pyvips.version(part)) for part in range(3)), "Pillow", PIL.__version__)
srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
seen = True
for colour in ((128, 128, 128), (60, 120, 200), (30, 200, 30)):
    stored = ImageCms.applyTransform(Image.new("RGB", (8, 8), colour), transform).tobytes()[:3]
    lightness, a, b = stored[0] / 2.55, *np.frombuffer(stored[1:], np.int8).astype(float)
    image = pyvips.Image.new_from_array(np.full((8, 8, 3), (lightness, a, b), np.float32))
    file = image.copy(interpretation="lab").tiffsave_buffer()
    opened = pyvips.Image.new_from_buffer(file, "")
    by_space = [round(v) for v in opened.colourspace("srgb").cast("uchar")(4, 4)]
    by_profile = [round(v) for v in opened.icc_export(output_profile="srgb", intent="relative", depth=8)(4, 4)]
    print(f"  {colour}: {opened.interpretation}, colourspace {by_space}, icc_export {by_profile}")
    off = max(abs(x - y) for x, y in zip(by_space, colour))
    seen = seen and max(abs(x - y) for x, y in zip(by_profile, colour)) <= 4
    seen = seen and (off <= 4 if len(set(colour)) == 1 else off > 25)
if not seen:
    sys.exit("libvips converts CIELAB of files otherwise now")
PYTHON
