#!/usr/bin/env bash
# One would guess: the 1024 samples that an AAC encoder puts first are hidden by an edit list, as ISO/IEC
# 14496-12 has it and the byte stream format of Media Source Extensions demands; so players agree.
# What is: of the same fragmented MP4 in HLS, with audio in a playlist of its own whose lengths are those of
# what is heard, hls.js plays the audio in time. shaka-player plays it 20 ms early from the second segment on:
# it moves each segment by the playlist's time less tfdt, and the browser then applies the edit list, too.
# Chromium's own HLS plays it 21 ms late: it lets the first frame begin at 0, hidden or not.
# Without the edit list, and without the frame that it hides, all three play it in time.
# Why it matters: each player alone looks right, and no choice of lengths suits all three (with the hidden frame
# counted in, shaka-player is in time, and Chromium still late).
# Exits non-zero if that changes.
set -euo pipefail
chromium=$(command -v chromium || command -v chromium-browser) || { echo 'needs chromium' >&2; exit 2; }
command -v ffmpeg >/dev/null || { echo 'needs ffmpeg' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --ignore-scripts --loglevel error \
    hls.js@1.7.4 shaka-player@5.2.12 playwright-core@1.65.1 >/dev/null 2>&1
mkdir edits plain
ffmpeg -v error -f lavfi -i color=black:s=160x90:r=25:d=8 \
    -f lavfi -i "aevalsrc='0.05*sin(2*PI*200*t)+0.8*sin(2*PI*1000*t)*gte(mod(t,2),1)*lt(mod(t,2),1.2)':s=48000:d=8" \
    -map 0 -c:v libx264 -bf 0 -g 50 -sc_threshold 0 -f mp4 -movflags +frag_keyframe+delay_moov+default_base_moof video.mp4 \
    -map 1 -c:a aac -f mp4 -movflags +delay_moov+default_base_moof -frag_duration 2000000 audio.mp4
cat > cut.py <<'PY'
"""Cuts the two files into segments with playlists: once as they are, once without edit list and hidden frame."""
import struct
from pathlib import Path


def boxes(data, at=0, end=None):
    end = len(data) if end is None else end
    while at < end:
        size, name = struct.unpack_from(">I4s", data, at)
        yield name, at, at + size
        at += size


def find(data, *names):
    at, end = 0, len(data)
    for name in names:
        at, end = next((a + 8, e) for found, a, e in boxes(data, at, end) if found == name)
    return at


def write(folder, name, header, segments, lengths):
    (folder / f"{name}-init.mp4").write_bytes(header)
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:3", "#EXT-X-PLAYLIST-TYPE:VOD"]
    lines.append(f'#EXT-X-MAP:URI="{name}-init.mp4"')
    for number, (segment, length) in enumerate(zip(segments, lengths)):
        (folder / f"{name}-{number}.m4s").write_bytes(segment)
        lines += [f"#EXTINF:{length:.6f},", f"{name}-{number}.m4s"]
    (folder / f"{name}.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))


def parts(data):
    header, segments = b"", []
    for name, at, end in boxes(data):
        if name in (b"ftyp", b"moov"):
            header += data[at:end]
        elif name == b"moof":
            segments.append(data[at:end])
        elif name == b"mdat":
            segments[-1] += data[at:end]
    return header, segments


def time_of(segment):
    return struct.unpack_from(">Q", segment, find(segment, b"moof", b"traf", b"tfdt") + 4)[0]


def lasting(times, end, scale):
    return [(later - sooner) / scale for sooner, later in zip(times, [*times[1:], end])]


def without_first(segment):
    """Without its first frame."""
    data = bytearray(segment)
    tfhd, trun = find(data, b"moof", b"traf", b"tfhd"), find(data, b"moof", b"traf", b"trun")
    flags, = struct.unpack_from(">I", data, trun)
    count, = struct.unpack_from(">I", data, trun + 4)
    assert flags & 0x201 == 0x201, "sizes and an offset"
    row = 4 * bin(flags & 0xF00).count("1")
    rows = trun + 12 + (4 if flags & 0x4 else 0)
    size_at = rows + (4 if flags & 0x100 else 0)
    size, = struct.unpack_from(">I", data, size_at)
    offset, = struct.unpack_from(">i", data, trun + 8)
    del data[offset : offset + size]
    del data[rows : rows + row]
    struct.pack_into(">I", data, trun + 4, count - 1)
    struct.pack_into(">i", data, trun + 8, offset - row)
    for path, less in (((b"moof",), row), ((b"moof", b"traf"), row), ((b"moof", b"traf", b"trun"), row)):
        at = find(data, *path) - 8
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] - less)
    at = find(data, b"mdat") - 8
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] - size)
    return bytes(data)


def moved(segment, less):
    data = bytearray(segment)
    struct.pack_into(">Q", data, find(data, b"moof", b"traf", b"tfdt") + 4, max(0, time_of(segment) - less))
    return bytes(data)


video, pictures = parts(Path("video.mp4").read_bytes())
audio, frames = parts(Path("audio.mp4").read_bytes())
scale = struct.unpack_from(">I", video, find(video, b"moov", b"trak", b"mdia", b"mdhd") + 12)[0]
elst = find(audio, b"moov", b"trak", b"edts", b"elst")
hidden = struct.unpack_from(">i", audio, elst + 12)[0]
print("samples hidden by the edit list", hidden)
assert hidden == 1024
end = 8 * 48000 + hidden
times = [time_of(one) for one in frames]
heard = lasting([max(0, one - hidden) for one in times], end - hidden, 48000)
plain = bytearray(audio)
at = find(audio, b"moov", b"trak", b"edts") - 8
plain[at + 4 : at + 8] = b"free"
for folder, header, segments in (
    ("edits", audio, frames),
    ("plain", bytes(plain), [moved(one if n else without_first(one), hidden) for n, one in enumerate(frames)]),
):
    write(Path(folder), "video", video, pictures, lasting([time_of(one) for one in pictures], 8 * scale, scale))
    write(Path(folder), "audio", header, segments, heard)
    Path(folder, "master.m3u8").write_text(
        '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="audio.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=300000,CODECS="avc1.64000c,mp4a.40.2",AUDIO="a"\nvideo.m3u8\n'
    )
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
    await new Promise((resolve) => { video.addEventListener("seeked", resolve, { once: true }); video.currentTime = from; });
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
const browser = await chromium.launch({
  executablePath: process.argv[2], args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
});
console.log("chromium", browser.version());
let failed = 0;
for (const [folder, wanted] of [["edits", { "hls.js": 0, "shaka-player": -20, "Chromium": 21 }], ["plain", { "hls.js": 0, "shaka-player": 0, "Chromium": 0 }]]) {
  for (const [name, [library, code]] of Object.entries(players)) {
    html = `<!doctype html><video></video><script src="${library}"></script><script>
      const video = document.querySelector("video"), url = "/${folder}/master.m3u8"; ${code}</script>`;
    const page = await browser.newPage();
    await page.goto(`${origin}/`);
    await page.waitForFunction("video.readyState >= 3");
    const late = await page.evaluate(measure, [4.5, 5]);
    console.log(`${folder}: ${name} plays the beep ${late.toFixed(1)} ms late (expected ${wanted[name]} +- 6)`);
    if (!(Math.abs(late - wanted[name]) < 6)) failed = 1;
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
python3 cut.py
node play.mjs "$chromium"
