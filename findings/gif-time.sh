#!/usr/bin/env bash
# One would guess: an animation that is saved as GIF lasts as long as before, or the call fails where
# GIF cannot say a delay (it counts hundredths of a second in 16 bits).
# What is: libvips (gifsave, through cgif) rounds each delay by itself, so 18 frames of 33.3 ms, 600 ms
# in all, become 540; a delay of 12 ms becomes one tick, which browsers show for 100 ms; and a delay of
# 655,360 ms wraps to 0 without a word, while 655,350 is kept. Pillow also makes 540 of the 600.
# WebP keeps all of these times, except that frames which are all equal become a still of no time.
# Why it matters: converted animations run a tenth too fast or eight times too slow, and drift from the audio.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyvips==3.2.0 pyvips-binary==8.18.7 pillow==13.0.0 numpy==2.4.6
cat > "$work/time.py" <<'PY'
import io
import numpy as np, pyvips, PIL
from PIL import Image
print("libvips", *(pyvips.version(n) for n in range(3)), "pyvips", pyvips.__version__, "Pillow", PIL.__version__)
def delays(data):
    with Image.open(io.BytesIO(data)) as image:
        found = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            found.append(int(image.info.get("duration", 0)))
        return found
def shades(count, equal):
    return [np.full((24, 32, 3), 40 if equal else 40 + 9 * n, np.uint8) for n in range(count)]
def vips(kind, given, equal=False):
    strip = pyvips.Image.new_from_array(np.concatenate(shades(len(given), equal)))
    strip = strip.copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", 24)
    strip.set_type(pyvips.GValue.array_int_type, "delay", given)
    return delays(getattr(strip, kind + "save_buffer")())
def pillow(given):
    first, *rest = map(Image.fromarray, shades(len(given), False))
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=rest, duration=given)
    return delays(out.getvalue())
video = [33, 33, 34] * 6
seen = {
    "libvips GIF, 600 ms": (sum(vips("gif", video)), 540),
    "Pillow GIF, 600 ms": (sum(pillow(video)), 540),
    "libvips WebP, 600 ms": (sum(vips("webp", video)), 600),
    "libvips GIF, 12 ms": (vips("gif", [12, 12, 12]), [10, 10, 10]),
    "libvips GIF, 655,350 ms": (vips("gif", [655_350, 50])[0], 655_350),
    "libvips GIF, 655,360 ms": (vips("gif", [655_360, 50])[0], 0),
    "libvips WebP, equal frames": (vips("webp", [100, 100, 100], equal=True), [0]),
}
for name, (found, expected) in seen.items():
    print(f"{name:28} {found} (expected {expected})")
raise SystemExit(any(found != expected for found, expected in seen.values()))
PY
"$work/venv/bin/python" "$work/time.py"
