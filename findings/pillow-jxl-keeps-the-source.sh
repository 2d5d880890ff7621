#!/usr/bin/env bash
# One would guess: a picture that was opened, shrunk or painted on is saved as it is now.
# What is: pillow-jxl-plugin, told nothing, saves a picture that was opened from a JPEG file by packing
# that file again, whole: `thumbnail` and drawing work in place and keep the picture's format "JPEG", so a
# 1024 px file is written for a picture of 256 px, and what was drawn on it is not in it. It says so
# in a warning that does not mention edits. `lossless_jpeg=False`, or a copy of the picture, saves what
# is in memory.
# Why it matters: thumbnails of full size, and edits that are lost without an error.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pillow-jxl-plugin==1.3.8 pillow==13.0.0
cat > "$work/try.py" <<'PY'
import io, os, sys, warnings, importlib.metadata as found
import pillow_jxl
from PIL import Image, ImageDraw

print("pillow-jxl-plugin", found.version("pillow-jxl-plugin"), "pillow", found.version("pillow"))
warnings.simplefilter("ignore")
os.chdir(sys.argv[1])
Image.new("RGB", (1024, 700), "white").save("photo.jpg")

def saved(picture, **how):
    data = io.BytesIO()
    picture.save(data, "JXL", **how)
    return Image.open(io.BytesIO(data.getvalue())).convert("RGB")

small = Image.open("photo.jpg")
small.thumbnail((256, 256))
painted = Image.open("photo.jpg")
ImageDraw.Draw(painted).rectangle((0, 0, 1023, 699), fill="black")
results = {
    "thumbnail": (small.size, saved(small).size, (1024, 700)),
    "thumbnail, lossless_jpeg=False": (small.size, saved(small, lossless_jpeg=False).size, (256, 175)),
    "painted black": (painted.getpixel((9, 9)), saved(painted).getpixel((9, 9)), (255, 255, 255)),
    "a copy of it": (painted.getpixel((9, 9)), saved(painted.copy()).getpixel((9, 9)), (0, 0, 0)),
}
for name, (memory, file, wanted) in results.items():
    print(f"{name}: {memory} in memory, {file} in the file (expected {wanted})")
sys.exit(any(file != wanted for _, file, wanted in results.values()))
PY
"$work/venv/bin/python" "$work/try.py" "$work"
