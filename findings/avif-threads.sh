#!/usr/bin/env bash
# One would guess: an encoder's number of threads changes its speed, not its output; and a save call
# without a thread parameter does not depend on the machine.
# What is: libvips hands its process-wide concurrency (VIPS_CONCURRENCY, otherwise the number of cores)
# to libheif, and libaom's output depends on it. The same pixels and the same parameters give
# different AVIF files on machines of one and of two cores, or of four; setting the concurrency to
# one around the call gives the same bytes everywhere. WebP, GIF and PNG do not depend on it.
# Why it matters: content hashes, caches and "identical renditions" checks that compare machines fail
# for AVIF alone, and only off the machine where they were tried.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6
cat > "$work/save.py" <<'PY'
import hashlib, sys
import numpy as np, pyvips
rows, columns = np.mgrid[:700, :1024]
random = np.random.default_rng(1)
wave = 128 + 60 * np.sin(columns / 37) + 50 * np.cos(rows / 23) + random.normal(0, 6, (700, 1024))
pixels = np.clip(np.dstack([wave, wave[::-1], wave[:, ::-1]]), 0, 255).astype(np.uint8)
image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
if "pin" in sys.argv:
    pyvips.vips_lib.vips_concurrency_set(1)
save = {
    "avif": lambda: image.heifsave_buffer(compression="av1", Q=65, effort=2),
    "webp": lambda: image.webpsave_buffer(Q=80, effort=4),
    "png": lambda: image.pngsave_buffer(),
    "gif": lambda: image.gifsave_buffer(),
}[sys.argv[1]]
print(hashlib.sha256(save()).hexdigest()[:16])
PY
"$work/venv/bin/python" -c 'import pyvips; print("pyvips", pyvips.__version__, "libvips", pyvips.version(0), pyvips.version(1), pyvips.version(2))'
count() { # kinds of output of one, two and four threads
    for threads in 1 2 4; do VIPS_CONCURRENCY=$threads "$work/venv/bin/python" "$work/save.py" "$@"; done | sort -u | wc -l
}
failed=0
expect() { # what, wanted, found
    printf '%-28s %s different files from 1, 2 and 4 threads (expected %s)\n' "$1" "$3" "$2"
    [ "$2" = "$3" ] || failed=1
}
expect avif 3 "$(count avif)"
expect "avif, concurrency set to 1" 1 "$(count avif pin)"
for kind in webp png gif; do expect "$kind" 1 "$(count "$kind")"; done
exit "$failed"
