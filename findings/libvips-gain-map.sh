#!/usr/bin/env bash
# One would guess: libvips, which reads and writes Ultra HDR, keeps a gain map on its picture through
# crop, flip and rot90 as it does through thumbnail; and a gain map in three equal channels gives the
# light that the same map in one channel gives.
# What is: crop, flip and rot90 change the picture and leave the map as it was, whole and unturned, so
# that saving stretches it over the new picture: highlights lie beside what they belong to. thumbnail
# resizes both. And uhdr2scRGB puts the values of a map in three channels through the curve of sRGB
# first (a grey one not): a gain of 1.5 of 3 stops becomes 0.64. The standard (ISO 21496-1) has no such
# curve, and nothing warns of either.
# Why it matters: cut or turned HDR photos glow in the wrong places, only on screens with HDR; and
# light that is read back to check maps in colours (Adobe writes those) is wrong by a stop.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import sys
import numpy as np
import pyvips

print("pyvips", pyvips.__version__, "libvips", *(pyvips.version(part) for part in range(3)))
failed = False


def expect(what, wanted, found):
    global failed
    print(f"{what:<46} {found} (expected {wanted})")
    failed = failed or wanted != found


def light(image):
    return np.ndarray(
        (image.height, image.width, image.bands), np.float32, image.uhdr2scRGB().write_to_memory()
    )[..., :3]


def map_size(image):
    """Size of the map in a file that is saved of an image."""
    again = pyvips.Image.uhdrload_buffer(image.uhdrsave_buffer())
    found = pyvips.Image.new_from_buffer(again.get("gainmap-data"), "")
    return found.width, found.height


# A scene that is dark on the left and eight times white on the right.
scene = np.repeat(np.linspace(0.1, 8, 400, dtype=np.float32)[None, :, None], 200, 0).repeat(3, 2)
scene = pyvips.Image.new_from_array(scene).copy(interpretation="scrgb")
photo = pyvips.Image.uhdrload_buffer(scene.uhdrsave_buffer(Q=95, gainmap_scale_factor=2))
expect("picture of 400 x 200, its map", (200, 100), map_size(photo))
expect("crop to the right 100 x 100, its map", (200, 100), map_size(photo.crop(300, 50, 100, 100)))
expect("rot90 to 200 x 400, its map", (200, 100), map_size(photo.rot90()))
expect("thumbnail to 100 x 50, its map", (50, 25), map_size(photo.thumbnail_image(100)))
left, right = (light(photo)[100, at, 0] for at in (40, 360))
expect("the scene is brightest on the right", True, bool(right > 4 * left))
turned = pyvips.Image.uhdrload_buffer(photo.fliphor().uhdrsave_buffer(Q=95))
gain = light(turned)[100, :, 0] / light(photo)[100, ::-1, 0]
expect("flipped, bright places lose light (share)", True, bool(gain[40] < 0.5))

grey = pyvips.Image.new_from_buffer(photo.get("gainmap-data"), "")[0]
found = []
for bands in (grey, grey.bandjoin([grey, grey])):
    copy = photo.copy()
    copy.remove("gainmap-data")
    copy.set_type(pyvips.GValue.image_type, "gainmap", bands.copy_memory())
    found.append(light(copy)[100, 200, 1])
print(f"light in the middle: {found[0]:.3f} by the grey map, {found[1]:.3f} by three of it")
expect("one channel and three equal ones agree", False, bool(abs(found[0] / found[1] - 1) < 0.05))
sys.exit(failed)
PY
