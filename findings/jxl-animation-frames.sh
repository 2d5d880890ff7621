#!/usr/bin/env bash
# One would guess: a decoder that cannot play a JPEG XL animation shows its first frame, and says that
# there are more.
# What is: of the same file with three frames pylibjxl gives the first one, pillow-jxl-plugin the last
# one and says that the picture has a single frame, imagecodecs gives all of them (without their
# durations). Only pylibjxl's `probe` says that it is an animation.
# Why it matters: the still of an upload, and what a moderator sees, depend on the binding; a loop
# over `n_frames` loses the rest in silence.
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
frames = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (10, 120, 240)])
data = imagecodecs.jpegxl_encode(frames, lossless=True)
picture = Image.open(io.BytesIO(data))
results = {
    "imagecodecs, levels": (imagecodecs.jpegxl_decode(data)[:, 0, 0, 0].tolist(), [10, 120, 240]),
    "pylibjxl, level": (int(pylibjxl.decode(data)[0, 0, 0]), 10),
    "pylibjxl.probe, have_animation": (bool(pylibjxl.probe(data)["have_animation"]), True),
    "pillow, n_frames": (getattr(picture, "n_frames", 1), 1),
    "pillow, level": (picture.convert("RGB").getpixel((0, 0))[0], 240),
}
for name, (is_, wanted) in results.items():
    print(f"{name}: {is_} (expected {wanted})")
sys.exit(any(is_ != wanted for is_, wanted in results.values()))
PY
"$work/venv/bin/python" "$work/try.py"
