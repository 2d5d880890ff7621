"""Playlists of HLS and the manifest of DASH, for the same CMAF files.

Both say the same of a video: its sizes, codecs, rates, and when each segment begins.
Sources: RFC 8216 and its successor draft-pantos-hls-rfc8216bis (playlists), ISO/IEC 23009-1 (MPD),
RFC 6381 (``CODECS``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from worker.video.plan import AudioSettings, Rung, TranscodePlan

INIT = "init.mp4"
"""Name of a stream's init segment in its folder."""
PLAYLIST = "index.m3u8"
"""Name of a stream's playlist in its folder."""
_FIRST_BITS = 2_000_000
"""Bits a second of the variant that is named first, about: a player begins with that one ("HLS
authoring specification for Apple devices", 9.11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of a playlist."""

    bytes: int
    ticks: int
    """How long it is shown or heard, in ticks of its stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStream:
    """One track, written as a folder with a playlist."""

    name: str
    codec: str
    """For ``CODECS`` (RFC 6381)."""
    timescale: int
    """Ticks a second."""
    segments: tuple[Segment, ...]
    """They follow each other from tick 0 on."""

    @property
    def peak(self) -> int:
        """Bits a second of the segment that has most; a short last one is spread as it is."""
        return max(
            round(Fraction(item.bytes * 8 * self.timescale, item.ticks)) for item in self.segments
        )

    @property
    def average(self) -> int:
        """Bits a second of all together."""
        ticks = sum(item.ticks for item in self.segments)
        return round(
            Fraction(sum(item.bytes for item in self.segments) * 8 * self.timescale, ticks)
        )

    @property
    def longest(self) -> Fraction:
        """Seconds of the longest segment."""
        return Fraction(max(item.ticks for item in self.segments), self.timescale)


def segment_file(number: int) -> str:
    """Name of a segment in the folder of its stream, counted from 0."""
    return f"{number:05}.m4s"


def playlist(stream: MediaStream) -> str:
    """The media playlist of a stream.

    Lengths are to the microsecond, and their sum too: it is when the next segment begins, at any
    point of a long video. shaka-player moves a segment whose own time differs from it by 1 ms.
    """
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        # At least every length rounded to the nearest whole number (RFC 8216, 4.3.3.1).
        f"#EXT-X-TARGETDURATION:{max(1, int(stream.longest + Fraction(1, 2)))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{INIT}"',
    ]
    written = 0
    for number, end in enumerate(accumulate(item.ticks for item in stream.segments)):
        length = max(1, round(Fraction(end * 1_000_000, stream.timescale)) - written)
        written += length
        lines += [f"#EXTINF:{length // 1_000_000}.{length % 1_000_000:06},", segment_file(number)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def master(plan: TranscodePlan, streams: Sequence[MediaStream]) -> str:
    """The playlist that names all others; ``streams`` are those of the ladder, then the audio."""
    videos = list(zip(plan.rungs, streams, strict=False))
    audio_streams = streams[len(videos) :]
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    taken: set[str] = set()
    languages: set[str] = set()
    for number, (stream, track) in enumerate(zip(audio_streams, plan.audio, strict=True)):
        name = _label(track, number, taken)
        first = "YES" if number == 0 else "NO"
        # A player chooses by language: of two tracks of one only the first (RFC 8216, 4.3.4.1.1).
        chosen = "NO" if track.language in languages else "YES"
        languages.add(track.language)
        known = track.language != "und"  # the probe lets nothing through but the form of a tag
        language = f',LANGUAGE="{language_tag(track.language)}"' if known else ""
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="{name}"{language},DEFAULT={first},'
            f'AUTOSELECT={chosen},CHANNELS="{track.channels}",URI="{stream.name}/{PLAYLIST}"'
        )
    peak = max((stream.peak for stream in audio_streams), default=0)
    average = max((stream.average for stream in audio_streams), default=0)
    # Every player has the first codec that was asked for; the others are for those that can.
    common = [item for item in videos if item[0].codec is videos[0][0].codec]
    start = min(common, key=lambda item: abs(item[1].peak + peak - _FIRST_BITS))
    for rung, stream in [start, *(item for item in videos if item is not start)]:
        codecs = ",".join([stream.codec, *{one.codec for one in audio_streams}])
        lines.append(
            f"#EXT-X-STREAM-INF:BANDWIDTH={stream.peak + peak},"
            f"AVERAGE-BANDWIDTH={stream.average + average},"
            f'CODECS="{codecs}",RESOLUTION={rung.width}x{rung.height},'
            f"FRAME-RATE={float(plan.rate):.3f},VIDEO-RANGE=SDR,CLOSED-CAPTIONS=NONE"
            + (',AUDIO="audio"' if audio_streams else "")
        )
        lines.append(f"{stream.name}/{PLAYLIST}")
    return "\n".join([*lines, ""])


def dash(plan: TranscodePlan, streams: Sequence[MediaStream]) -> str:
    """The manifest of DASH (``MPD``) for the same files; ``streams`` as for :func:`master`.

    Each codec is a set of its own: players change between the sizes of a set as they go on.
    """
    longest = max(stream.longest for stream in streams)
    mpd = Element(
        "MPD",
        {
            "xmlns": "urn:mpeg:dash:schema:mpd:2011",
            "profiles": "urn:mpeg:dash:profile:isoff-live:2011",
            "type": "static",
            "mediaPresentationDuration": _duration(plan.seconds),
            "maxSegmentDuration": _duration(longest),
            # ``bandwidth`` is the peak of whole segments: who has one in store never runs dry.
            "minBufferTime": _duration(longest),
        },
    )
    period = SubElement(mpd, "Period", {"id": "0", "start": "PT0S"})
    videos = list(zip(plan.rungs, streams, strict=False))
    for _, group in groupby(videos, key=lambda item: item[0].codec):
        _video_set(period, plan, list(group))
    taken: set[str] = set()
    for number, (stream, track) in enumerate(zip(streams[len(videos) :], plan.audio, strict=True)):
        _audio_set(period, stream, track, number, _label(track, number, taken))
    indent(mpd)
    text: str = tostring(mpd, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _video_set(
    period: Element, plan: TranscodePlan, group: Sequence[tuple[Rung, MediaStream]]
) -> None:
    shared = _set(period, "video", {"frameRate": str(plan.rate), "sar": "1:1"})
    _segments(shared, group[0][1])
    for rung, stream in group:
        _representation(shared, stream, {"width": str(rung.width), "height": str(rung.height)})


def _audio_set(
    period: Element, stream: MediaStream, track: AudioSettings, number: int, label: str
) -> None:
    known = track.language != "und"
    shared = _set(period, "audio", {"lang": language_tag(track.language)} if known else {})
    scheme = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
    channels = {"schemeIdUri": scheme, "value": str(track.channels)}
    SubElement(shared, "AudioChannelConfiguration", channels)
    SubElement(shared, "Label").text = label
    role = "main" if number == 0 else "alternate"
    SubElement(shared, "Role", {"schemeIdUri": "urn:mpeg:dash:role:2011", "value": role})
    _segments(shared, stream)
    _representation(shared, stream, {"audioSamplingRate": str(stream.timescale)})


def _set(period: Element, kind: str, attributes: dict[str, str]) -> Element:
    common = {"id": str(len(period)), "contentType": kind, "mimeType": f"{kind}/mp4"}
    # Every segment begins with a picture, or a frame of audio, that needs none before it.
    aligned = {"segmentAlignment": "true", "startWithSAP": "1"}
    return SubElement(period, "AdaptationSet", {**common, **aligned, **attributes})


def _segments(shared: Element, stream: MediaStream) -> None:
    """When each segment begins; the same for all sizes of a set."""
    addresses = {
        "timescale": str(stream.timescale),
        "startNumber": "0",
        "initialization": f"$RepresentationID$/{INIT}",
        "media": "$RepresentationID$/$Number%05d$.m4s",
    }
    timeline = SubElement(SubElement(shared, "SegmentTemplate", addresses), "SegmentTimeline")
    for ticks, run in groupby(item.ticks for item in stream.segments):
        more = sum(1 for _ in run) - 1
        first = {} if len(timeline) else {"t": "0"}
        repeated = {"r": str(more)} if more else {}
        SubElement(timeline, "S", {**first, "d": str(ticks), **repeated})


def _representation(shared: Element, stream: MediaStream, attributes: dict[str, str]) -> None:
    common = {"id": stream.name, "codecs": stream.codec, "bandwidth": str(stream.peak)}
    SubElement(shared, "Representation", {**common, **attributes})


def _duration(seconds: Fraction) -> str:
    """As XML Schema writes it, to the microsecond."""
    return f"PT{float(seconds):.6f}".rstrip("0").rstrip(".") + "S"


def _label(track: AudioSettings, number: int, taken: set[str]) -> str:
    """A name that no other track of the group has."""
    language = "" if track.language == "und" else track.language
    name = quoted(track.title) or quoted(language) or f"Track {number + 1}"
    base, count = name, number + 1
    while name in taken:
        name, count = f"{base} {count}", count + 1
    taken.add(name)
    return name


def quoted(text: str) -> str:
    """Text that may stand between quotes: what would end them or the line is left out."""
    kept = "".join(character for character in text if character.isprintable() and character != '"')
    return kept.strip()[:80]


# --- languages ----------------------------------------------------------------------------------
#
# Files have three letters (ISO 639-2), playlists the shortest tag: RFC 8216, 4.3.4.1 takes tags of
# RFC 5646, which has the two letters of ISO 639-1 wherever there are any (2.2.1).

_LANGUAGES = """
aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak be:bel
bg:bul bi:bis bm:bam bn:ben bo:bod,tib br:bre bs:bos ca:cat ce:che ch:cha co:cos cr:cre cs:ces,cze
cu:chu cv:chv cy:cym,wel da:dan de:deu,ger dv:div dz:dzo ee:ewe el:ell,gre en:eng eo:epo es:spa
et:est eu:eus,baq fa:fas,per ff:ful fi:fin fj:fij fo:fao fr:fra,fre fy:fry ga:gle gd:gla gl:glg
gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat hu:hun hy:hye,arm hz:her ia:ina
id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl,ice it:ita iu:iku ja:jpn jv:jav ka:kat,geo kg:kon
ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir la:lat
lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav mg:mlg mh:mah mi:mri,mao mk:mkd,mac ml:mal
mn:mon mr:mar ms:msa,may mt:mlt my:mya,bur na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld,dut nn:nno
no:nor nr:nbl nv:nav ny:nya oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus pt:por
qu:que rm:roh rn:run ro:ron,rum ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag sh:hbs si:sin
sk:slk,slo sl:slv sm:smo sn:sna so:som sq:sqi,alb sr:srp ss:ssw st:sot su:sun sv:swe sw:swa ta:tam
te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah ug:uig
uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor za:zha zh:zho,chi
zu:zul
"""
"""ISO 639-1 and the codes of ISO 639-2 for each, of terms and, where another, of bibliographies."""

_SHORT = {
    long: short
    for short, _, longs in (row.partition(":") for row in _LANGUAGES.split())
    for long in longs.split(",")
}


def language_tag(language: str) -> str:
    """The tag for a language as files name it; one without a shorter tag stays as it is."""
    first, hyphen, rest = language.partition("-")
    return f"{_SHORT.get(first, first)}{hyphen}{rest}"
