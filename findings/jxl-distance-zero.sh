#!/usr/bin/env bash
# One would guess: JPEG XL's distance 0 and quality 100 mean "without loss", as in the reference
# encoder's command line; and a distance means the same in every binding of the same library.
# What is: in pylibjxl and imagecodecs distance 0 stays lossy unless `lossless=True` is given as well,
# and its file is larger than the lossless one (2.0 and 1.4 times here). pillow-jxl-plugin raises for
# quality 100 unless `lossless=True`. At distance 1 pylibjxl writes 4.6 times the bytes of imagecodecs
# from the same pixels at the same effort.
# Why it matters: an archive that asks for distance 0 pays more than the lossless price and does not get
# the pixels back; settings that were tuned with one binding are wrong in another.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pylibjxl==0.5.0 imagecodecs==2026.3.6 pillow-jxl-plugin==1.3.8 pillow==13.0.0 numpy==2.4.6
cat > "$work/try.py" <<'PY'
import io, sys, importlib.metadata as found
import imagecodecs, numpy as np, pillow_jxl, pylibjxl
from PIL import Image

for name in ("pylibjxl", "imagecodecs", "pillow-jxl-plugin"):
    print(name, found.version(name))
print("libjxl", pylibjxl.encoder_version(), "|", imagecodecs.jpegxl_version())
rows, columns = np.mgrid[:700, :1024]
wave = 128 + 60 * np.sin(columns / 37) + 50 * np.cos(rows / 23)
wave += np.random.default_rng(1).normal(0, 6, (700, 1024))
pixels = np.dstack([wave, wave[::-1], wave[:, ::-1]]).clip(0, 255).astype(np.uint8)
pixels = np.ascontiguousarray(pixels)

def error(data):
    return int(abs(imagecodecs.jpegxl_decode(data).astype(int) - pixels).max())

encode = {
    "pylibjxl": lambda **how: pylibjxl.encode(pixels, effort=3, **how),
    "imagecodecs": lambda **how: imagecodecs.jpegxl_encode(pixels, effort=3, **how),
}
wrong, sizes = [], {}
for name, write in encode.items():
    exact, zero = write(lossless=True), write(distance=0.0, lossless=False)
    sizes[name] = len(write(distance=1.0, lossless=False))
    print(f"{name}: lossless {len(exact)} bytes, error {error(exact)}; "
          f"distance 0 {len(zero)} bytes, error {error(zero)}; distance 1 {sizes[name]} bytes")
    if error(exact) or not error(zero) or len(zero) < 1.2 * len(exact):
        wrong.append(name)
ratio = sizes["pylibjxl"] / sizes["imagecodecs"]
print(f"distance 1, pylibjxl / imagecodecs: {ratio:.1f}")
if ratio < 3:
    wrong.append("distance 1")
try:
    Image.fromarray(pixels).save(io.BytesIO(), "JXL", quality=100)
    wrong.append("quality 100")
except RuntimeError as raised:
    print("pillow-jxl-plugin, quality 100:", raised)
sys.exit(f"changed: {wrong}" if wrong else 0)
PY
"$work/venv/bin/python" "$work/try.py"
