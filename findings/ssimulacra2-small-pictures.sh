#!/bin/sh
# SSIMULACRA2 (PyPI's port; the loop is that of the C++ source) walks its 108 weights with one counter over
# the scales that a picture has. Below 225 pixels on a side there are fewer than six scales, so weights
# go to the wrong scale and colour: cutting an eighth off a picture moves its score by many points.
# Seen with ssimulacra2 0.3.0, numpy 2.3.5, scipy 1.16.3, Pillow 12.0.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ssimulacra2==0.3.0 numpy==2.3.5 scipy==1.16.3 pillow==12.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from PIL import Image
from ssimulacra2 import compute_ssimulacra2

random = np.random.default_rng(1)
coarse = Image.fromarray(random.integers(0, 256, (6, 9, 3), dtype=np.uint8))
smooth = np.asarray(coarse.resize((256, 256), Image.Resampling.BICUBIC), dtype=float)
whole = np.clip(smooth + random.normal(0, 6, (256, 256, 1)), 0, 255).astype(np.uint8)
Image.fromarray(whole).save("whole.jpg", quality=80)
shown = np.asarray(Image.open("whole.jpg"))
scores = []
for height in (256, 224):
    Image.fromarray(whole[:height]).save("a.png")
    Image.fromarray(shown[:height]).save("b.png")
    scores.append(float(compute_ssimulacra2("a.png", "b.png")))
print("256 and 224 rows of the same pair:", [round(one, 1) for one in scores])
assert abs(scores[0] - scores[1]) > 3, "small pictures are scored like others now"
PYTHON
