#!/usr/bin/env bash
# One would guess: a browser with HLS of its own chooses one codec of a master playlist and stays with it, as
# hls.js and shaka-player do. RFC 8216 has CODECS in every variant so that clients can choose, and ladders
# with H.264 for all and AV1 for some are common.
# What is: Chromium begins with one variant and goes on with one in another codec, here after the first segment,
# at equal sizes and on a fast line. Its own demuxer refuses the change, and the video ends with error 3
# (MEDIA_ERR_DECODE). Each codec alone plays to its end.
# Why it matters: Chromium now says that it can play HLS, so pages that ask the browser first, as Safari needs it,
# fail there with such ladders. Use a library, or one codec in the playlist.
# Exits non-zero if that changes.
set -euo pipefail
chromium=$(command -v chromium || command -v chromium-browser) || { echo 'needs chromium' >&2; exit 2; }
command -v ffmpeg >/dev/null || { echo 'needs ffmpeg' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --ignore-scripts --loglevel error \
    hls.js@1.7.4 playwright-core@1.65.1 >/dev/null 2>&1
for codec in libx264 libsvtav1; do
    mkdir $codec
    (
        cd $codec
        ffmpeg -v error -f lavfi -i testsrc2=s=320x180:r=25:d=12 -c:v $codec -g 50 -pix_fmt yuv420p \
            -f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 index.m3u8 2>/dev/null
    )
done
variants=(
    '#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.64000d",RESOLUTION=320x180' libx264/index.m3u8
    '#EXT-X-STREAM-INF:BANDWIDTH=800000,CODECS="av01.0.00M.08",RESOLUTION=320x180' libsvtav1/index.m3u8
)
printf '%s\n' '#EXTM3U' "${variants[@]}" > both.m3u8
printf '%s\n' '#EXTM3U' "${variants[@]:0:2}" > h264.m3u8
printf '%s\n' '#EXTM3U' "${variants[@]:2:2}" > av1.m3u8
cat > play.mjs <<'JS'
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const types = { m3u8: "application/vnd.apple.mpegurl", m4s: "video/mp4", mp4: "video/mp4", js: "text/javascript" };
let html = "";
const server = createServer((request, response) => {
  const path = request.url.slice(1);
  response.setHeader("content-type", types[path.split(".").pop()] ?? "text/html");
  try { response.end(path && path !== "favicon.ico" ? readFileSync(path) : html); } catch { response.writeHead(404).end(); }
}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.on("listening", resolve));
const browser = await chromium.launch({
  executablePath: process.argv[2], args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
console.log("chromium", browser.version());
let failed = 0;
for (const [name, file, wanted] of [
  ["Chromium", "h264.m3u8", "to its end"], ["Chromium", "av1.m3u8", "to its end"],
  ["hls.js", "both.m3u8", "to its end"], ["Chromium", "both.m3u8", "until error 3"],
]) {
  const load = name === "Chromium" ? "video.src = url;" : "const engine = new Hls(); engine.loadSource(url); engine.attachMedia(video);";
  html = `<!doctype html><video muted></video><script src="node_modules/hls.js/dist/hls.js"></script><script>
    const video = document.querySelector("video"), url = "/${file}"; ${load} video.play().catch(() => {});</script>`;
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction("video.ended || video.error", null, { timeout: 60000 });
  const [code, message, time] = await page.evaluate("[video.error?.code ?? 0, video.error?.message ?? '', video.currentTime]");
  const seen = code ? `until error ${code}` : "to its end";
  console.log(`${name} plays ${file} ${seen} (expected: ${wanted}), ${time.toFixed(1)} s ${message}`);
  if (seen !== wanted) failed = 1;
  await page.close();
}
await browser.close();
server.close();
process.exit(failed);
JS
ffmpeg -version | head -1 | cut -d' ' -f1-3
node -p "'hls.js ' + require('./node_modules/hls.js/package.json').version"
node play.mjs "$chromium"
