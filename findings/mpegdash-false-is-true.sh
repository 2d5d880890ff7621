#!/usr/bin/env bash
# One would guess: a library that reads an MPD tells true from false. Its own attributes are bools, and it writes
# xs:boolean in the right case.
# What is: mpegdash 0.4.1 takes bool() of the text, and bool("false") is True. So every "false" is read as True
# and written as "true": segmentAlignment, indexRangeExact, bitstreamSwitching, availabilityTimeComplete.
# "0" becomes true, too. ServiceDescription, Label and Switching are not written again at all.
# Why it matters: availabilityTimeComplete="false" makes a manifest a low-latency one (DASH-IF CR-Low-Latency-Live,
# 9.X.4.5.5: it must be there and be false): players then ask for segments that are still growing. Whoever adds a
# language to such a manifest turns low latency off, and promises aligned segments where there are none.
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check mpegdash==0.4.1
"$work/venv/bin/python" - <<'PY'
import re, sys
from importlib.metadata import version
from mpegdash.parser import MPEGDASHParser

print("mpegdash", version("mpegdash"))
mpd = """<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="dynamic"
 minBufferTime="PT2S" availabilityStartTime="2026-01-01T00:00:00Z">
<ServiceDescription id="0"><Latency target="3500"/></ServiceDescription>
<Period id="0" start="PT0S" bitstreamSwitching="false">
<AdaptationSet mimeType="video/mp4" segmentAlignment="false" subsegmentAlignment="0"><Label>Main</Label>
<SegmentTemplate timescale="1000" duration="2000" availabilityTimeOffset="1.5" availabilityTimeComplete="false"
 initialization="i.mp4" media="$Number$.m4s"/>
<Representation id="v" bandwidth="1000000" codecs="avc1.640028"/>
</AdaptationSet></Period></MPD>"""
read = MPEGDASHParser.parse(mpd)
template = read.periods[0].adaptation_sets[0].segment_templates[0]
print("availability_time_complete is", template.availability_time_complete)
written = MPEGDASHParser.get_as_doc(read).toxml()
names = "bitstreamSwitching", "segmentAlignment", "subsegmentAlignment", "availabilityTimeComplete"
found = {name: re.search(f'{name}="([^"]*)"', written)[1] for name in names}
print("written again:", found)
lost = [name for name in ("ServiceDescription", "Label") if name in mpd and name not in written]
print("not written again:", lost)
sys.exit(set(found.values()) != {"true"} or lost != ["ServiceDescription", "Label"])
PY
