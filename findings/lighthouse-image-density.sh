#!/usr/bin/env bash
# One would guess: of a page on an emulated phone with 1.75 pixels a CSS pixel, both checks of Lighthouse
# for picture sizes count the pixels of the screen. A picture of 640 pixels in a place of 366 CSS pixels
# (640.5 of the screen) is then right.
# What is: the audit uses-responsive-images does, and finds nothing. The insight image-delivery-insight
# counts CSS pixels, and reports that two thirds of the same picture are wasted.
# Why it matters: Lighthouse 13 has the insight only. Whoever follows it on a mobile run serves blurred
# pictures to every phone. On a desktop run, with one pixel a CSS pixel, the two agree.
# Exits non-zero if that changes. Needs node 18 or newer, npm, python3 and chromium.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server"; rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --ignore-scripts --loglevel error lighthouse@12.8.2 >/dev/null 2>&1
python3 -m venv venv
venv/bin/pip install --quiet pillow==12.0.0
mkdir site
# Noise, so that the file is large enough for a finding.
venv/bin/python - <<'PY'
from PIL import Image
Image.effect_noise((640, 640), 90).convert("RGB").save("site/a.webp", quality=60)
PY
cat > site/index.html <<'HTML'
<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>one picture</title>
<style>body{margin:0}img{display:block;width:366px;height:366px}</style>
<img src="a.webp" width="640" height="640" alt="noise" fetchpriority="high">
HTML
venv/bin/python -u - > port 2>/dev/null <<'PY' &
import functools, http.server
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="site")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
server=$!
while [[ ! -s port ]]; do sleep 0.1; done
node -p '"lighthouse " + require("./node_modules/lighthouse/package.json").version'
chromium --version 2>/dev/null
failed=0
check() { # density, what is expected of the audit and of the insight
    CHROME_PATH=$(command -v chromium) node node_modules/lighthouse/cli/index.js "http://127.0.0.1:$(cat port)/" \
        --quiet --output=json --output-path=found.json --no-enable-error-reporting \
        --only-audits=uses-responsive-images,image-delivery-insight --chrome-flags='--headless=new --no-sandbox' \
        --form-factor=mobile --screenEmulation.mobile --screenEmulation.width=412 \
        --screenEmulation.height=823 --screenEmulation.deviceScaleFactor="$1" 2>/dev/null
    seen=$(node -p 'const {audits} = require("./found.json");
        ["uses-responsive-images", "image-delivery-insight"].map((name) =>
            `${name} ${audits[name].score === 1 ? "nothing" : "waste"}`).join(", ")')
    echo "density $1: $seen"
    [[ $seen == "$2" ]] || failed=1
    rm found.json
}
check 1.75 'uses-responsive-images nothing, image-delivery-insight waste'
check 1 'uses-responsive-images waste, image-delivery-insight waste'
exit "$failed"
