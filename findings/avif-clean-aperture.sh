#!/usr/bin/env bash
# One would guess: all programs show the same part of a picture. AVIF can say by a "clap" property that a part of
# what is coded is the picture, and readers must heed one that is marked as essential, as it must be (ISO/IEC
# 23008-12 and 23000-22; https://github.com/AOMediaCodec/libavif/issues/2427).
# What is: of the same file libvips shows the part. Pillow, OpenCV and imagecodecs, which all use libavif, show what
# was cut off as well, in the size that the file codes. Chromium shows the part if it lies at the top left, and the
# whole otherwise. image-size, which pages ask before an upload, says 799x600 of a part of 400x300. Nobody warns.
# Why it matters: encoders in hardware code sizes that are multiples of 64 and cut the rim off this way, so a
# thumbnail by Pillow has a rim that viewers never see; a part that was cut out on purpose has another size, another
# middle and other content there than in a viewer.
#
# Needs Linux on x86-64, python3 with venv, node, npm, chromium, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
chromium=$(command -v chromium || command -v chromium-browser) || { echo 'needs chromium' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check pillow==13.0.0 opencv-python-headless==5.0.0.93 \
    numpy==2.4.6 imagecodecs==2026.3.6 pyvips==3.2.0 pyvips-binary==8.18.7
npm install --no-audit --no-fund --ignore-scripts --loglevel error \
    image-size@2.1.0 playwright-core@1.65.1 >/dev/null 2>&1
cat > read.py <<'PY'
import io, json, struct, subprocess, sys
import cv2, imagecodecs, numpy as np, PIL, pyvips
from PIL import Image

print("Pillow", PIL.__version__, "OpenCV", cv2.__version__, "imagecodecs", imagecodecs.__version__,
      "libvips", ".".join(str(pyvips.version(n)) for n in range(3)))


def boxes(data, at, end):
    while at < end:
        size, name = struct.unpack_from(">I4s", data, at)
        yield name, at, at + size
        at += size


def cropped(data, x, y, width, height, of):
    """With a clap property of its one item: two boxes grow, and what lies behind them moves."""
    def fraction(value):
        assert value == int(value)
        return struct.pack(">iI", int(value), 1)

    middle = (x + width / 2 - of[0] / 2, y + height / 2 - of[1] / 2)
    clap = struct.pack(">I4s", 40, b"clap") + b"".join(map(fraction, (width, height, *middle)))
    meta = next((a, e) for n, a, e in boxes(data, 0, len(data)) if n == b"meta")
    inside = {n: (a, e) for n, a, e in boxes(data, meta[0] + 12, meta[1])}
    parts = {n: (a, e) for n, a, e in boxes(data, inside[b"iprp"][0] + 8, inside[b"iprp"][1])}
    count = sum(1 for _ in boxes(data, parts[b"ipco"][0] + 8, parts[b"ipco"][1]))
    out = bytearray(data)
    ipma = parts[b"ipma"][0]
    assert struct.unpack_from(">I", data, ipma + 12)[0] == 1 and not data[ipma + 11] & 1, "one item, short indices"
    associations = ipma + 18
    out[associations] += 1
    out[parts[b"ipma"][1] : parts[b"ipma"][1]] = bytes([0x80 | count + 1])  # essential
    out[parts[b"ipco"][1] : parts[b"ipco"][1]] = clap
    more = len(clap) + 1
    for at, by in ((meta[0], more), (inside[b"iprp"][0], more), (parts[b"ipco"][0], len(clap))):
        struct.pack_into(">I", out, at, struct.unpack_from(">I", out, at)[0] + by)
    struct.pack_into(">I", out, ipma + len(clap), struct.unpack_from(">I", data, ipma)[0] + 1)
    iloc = inside[b"iloc"][0]
    assert data[iloc + 8] == 0 and data[iloc + 12] == 0x44 and data[iloc + 13] == 0, "offsets of four bytes"
    extent = iloc + 22
    assert iloc < parts[b"ipco"][0]
    struct.pack_into(">I", out, extent, struct.unpack_from(">I", data, extent)[0] + more)
    return bytes(out)


rows, columns = np.mgrid[:600, :800]
picture = np.dstack([columns * 255 // 800, rows * 255 // 600, rows * 0]).astype(np.uint8)
whole = io.BytesIO()
Image.fromarray(picture).save(whole, "AVIF", quality=95, speed=9, subsampling="4:4:4")
files = {
    "middle": cropped(whole.getvalue(), 200, 150, 400, 300, (800, 600)),
    "corner": cropped(whole.getvalue(), 0, 0, 400, 300, (800, 600)),
}
for name, data in files.items():
    open(f"{name}.avif", "wb").write(data)
page = json.loads(subprocess.run(["node", "page.mjs", sys.argv[1], *files], capture_output=True, text=True, check=True).stdout)
part, coded = [400, 300], [800, 600]
wanted = {
    "libvips": (part, part), "Pillow": (coded, coded), "OpenCV": (coded, coded), "imagecodecs": (coded, coded),
    "Chromium": (coded, part), "image-size": ([799, 600], [799, 600]),
}
print("Chromium", page.pop("version"))
failed = 0
for number, (name, data) in enumerate(files.items()):
    vips = pyvips.Image.new_from_buffer(data, "")
    found = {
        "libvips": [vips.width, vips.height],
        "Pillow": list(Image.open(io.BytesIO(data)).size),
        "OpenCV": list(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[1::-1]),
        "imagecodecs": list(imagecodecs.avif_decode(data).shape[1::-1]),
        **page[name],
    }
    for program, size in found.items():
        print(f"400x300 at the {name} of 800x600: {program} {size} (expected {wanted[program][number]})")
        failed |= size != wanted[program][number]
    if name == "middle":  # the right part
        print("libvips begins with", vips.numpy()[0, 0].tolist(), "of", picture[150, 200].tolist())
        failed |= np.abs(vips.numpy()[0, 0].astype(int) - picture[150, 200]).max() > 4
sys.exit(int(failed))
PY
cat > page.mjs <<'JS'
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { imageSize } from "image-size";
import { chromium } from "playwright-core";

const [path, ...names] = process.argv.slice(2);
const server = createServer((request, response) => {
  const name = names.find((one) => request.url === `/${one}.avif`);
  response.setHeader("content-type", name ? "image/avif" : "text/html");
  response.end(name ? readFileSync(`${name}.avif`) : "<!doctype html>");
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.on("listening", resolve));
const browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox"] });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
const found = { version: browser.version() };
for (const name of names) {
  const { width, height } = imageSize(readFileSync(`${name}.avif`));
  found[name] = {
    "Chromium": await page.evaluate(async (url) => {
      const image = new Image();
      image.src = url;
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }, `/${name}.avif`),
    "image-size": [width, height],
  };
}
console.log(JSON.stringify(found));
await browser.close();
server.close();
JS
node -p "'image-size ' + require('./node_modules/image-size/package.json').version"
venv/bin/python read.py "$chromium"
