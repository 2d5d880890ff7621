#!/usr/bin/env bash
# One would guess: what ffmpeg's HLS muxer writes from a file in sync is in sync in players.
# What is: AAC begins with 1024 samples that are not meant to be heard, at a time below 0. With fMP4 segments
# and audio in a rendition of its own ffmpeg shifts all times so that the first packet is at 0, hides nothing
# of the audio, and says with an empty edit of 21 ms in the init segment that the pictures begin later. Media
# Source Extensions ask of browsers one edit with a media time, and Chromium ignores an empty one: so pictures
# begin at 0, and the audio comes 21 ms late in hls.js, shaka-player and Chromium's own HLS.
# `-avoid_negative_ts disabled` writes an edit list for the audio instead; then hls.js and shaka-player play in
# time, and Chromium's own HLS 21 ms late (see audio-edit-list-players.sh).
# Why it matters: it is the muxer's default, ffprobe and ffplay show nothing wrong, and the error is constant.
# Exits non-zero if that changes.
set -euo pipefail
chromium=$(command -v chromium || command -v chromium-browser) || { echo 'needs chromium' >&2; exit 2; }
command -v ffmpeg >/dev/null || { echo 'needs ffmpeg' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --ignore-scripts --loglevel error \
    hls.js@1.7.4 shaka-player@5.2.12 playwright-core@1.65.1 >/dev/null 2>&1
package() { # a folder, then further options of ffmpeg
    local folder=$1
    shift
    mkdir "$folder"
    (
        cd "$folder"
        ffmpeg -v error -f lavfi \
            -i "color=black:s=160x90:r=25:d=8,drawbox=c=white:t=fill:enable='gte(mod(t+0.02,2),1)*lt(mod(t+0.02,2),1.2)'" \
            -f lavfi -i "aevalsrc='0.05*sin(2*PI*200*t)+0.8*sin(2*PI*1000*t)*gte(mod(t,2),1)*lt(mod(t,2),1.2)':s=48000:d=8" \
            -map 0 -map 1 -c:v libx264 -bf 0 -g 50 -sc_threshold 0 -c:a aac "$@" \
            -f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -hls_fmp4_init_filename '%v-init.mp4' \
            -hls_segment_filename '%v-%d.m4s' -master_pl_name master.m3u8 \
            -var_stream_map 'v:0,agroup:a,name:video a:0,agroup:a,name:audio' '%v.m3u8'
    )
}
package default
package disabled -avoid_negative_ts disabled
cat > edits.py <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
at = data.find(b"elst")
count = struct.unpack_from(">I", data, at + 8)[0] if at > 0 else 0
print([struct.unpack_from(">Ii", data, at + 12 + 12 * n) for n in range(count)])
PY
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
const origin = `http://127.0.0.1:${server.address().port}`;
const players = {
  "hls.js": ["node_modules/hls.js/dist/hls.js", "const engine = new Hls(); engine.loadSource(url); engine.attachMedia(video);"],
  "shaka-player": ["node_modules/shaka-player/dist/shaka-player.compiled.js", "const engine = new shaka.Player(); engine.attach(video).then(() => engine.load(url));"],
  "Chromium": ["", "video.src = url;"],
};
const sought = `(seconds) => new Promise((resolve) => {
  video.addEventListener("seeked", resolve, { once: true });
  video.currentTime = seconds;
})`;
// Samples from the place that was sought, where a low tone begins, to the beep at `beep` seconds.
const measure = async ([from, beep]) => {
  const context = new AudioContext({ sampleRate: 48000 });
  const code = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process([[samples]]) { this.port.postMessage(samples?.slice() ?? new Float32Array(128)); return true; } });`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const node = new AudioWorkletNode(context, "tap");
  context.createMediaElementSource(video).connect(node).connect(context.destination);
  for (let attempt = 0; attempt < 5; attempt++) {
    video.pause();
    await sought(from);
    const parts = [];
    node.port.onmessage = ({ data }) => parts.push(...data);
    await video.play();
    while (video.currentTime < beep + 0.2) await new Promise((resolve) => setTimeout(resolve, 20));
    const first = (level) => parts.findIndex((value) => Math.abs(value) > level);
    const [begin, loud] = [first(0.0125), first(0.2)];
    let silent = 0, most = 0;
    for (const value of parts.slice(begin, loud)) most = Math.max(most, silent = value ? 0 : silent + 1);
    if (begin >= 0 && loud > begin && most < 8) return (from + (loud - begin) / 48000 - beep) * 1000;
  }
  return NaN;
};
// The time stamp of the first white picture near a time, seconds.
const flash = async (near) => {
  for (let seconds = near - 0.1; seconds < near + 0.1; seconds += 0.01) {
    await sought(seconds);
    const frame = new VideoFrame(video), context = new OffscreenCanvas(1, 1).getContext("2d");
    context.drawImage(frame, 0, 0, 1, 1);
    const time = frame.timestamp / 1e6;
    frame.close();
    if (context.getImageData(0, 0, 1, 1).data[0] > 128) return time;
  }
  return NaN;
};
const browser = await chromium.launch({
  executablePath: process.argv[2], args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
console.log("chromium", browser.version());
let failed = 0;
for (const [folder, wanted] of [["default", [21, 21, 21]], ["disabled", [0, 0, 21]]]) {
  for (const [index, [name, [library, code]]] of Object.entries(players).entries()) {
    html = `<!doctype html><video></video><script src="${library}"></script><script>
      const video = document.querySelector("video"), url = "/${folder}/master.m3u8", sought = ${sought}; ${code}</script>`;
    const page = await browser.newPage();
    await page.goto(`${origin}/`);
    await page.waitForFunction("video.readyState >= 3");
    const seen = await page.evaluate(flash, 5);
    const late = await page.evaluate(measure, [4.5, 5]);
    console.log(`${folder}: ${name} shows the flash at ${seen.toFixed(3)} s (expected 5.000), and plays the beep ` +
      `${late.toFixed(1)} ms late (expected ${wanted[index]} +- 6)`);
    if (!(Math.abs(late - wanted[index]) < 6 && Math.abs(seen - 5) < 0.002)) failed = 1;
    await page.close();
  }
}
await browser.close();
server.close();
process.exit(failed);
JS
ffmpeg -version | head -1 | cut -d' ' -f1-3
for name in hls.js shaka-player; do
    node -p "'$name ' + require('./node_modules/$name/package.json').version"
done
failed=0
expect() { # file, wanted edits: (duration in ms, media time; -1 is nothing)
    local found
    found=$(python3 edits.py "$1")
    echo "$1: edits $found (expected $2)"
    [[ $found == "$2" ]] || failed=1
}
expect default/audio-init.mp4 '[(0, 0)]'
expect default/video-init.mp4 '[(21, -1), (0, 0)]'
expect disabled/audio-init.mp4 '[(0, 1024)]'
node play.mjs "$chromium" || failed=1
exit "$failed"
