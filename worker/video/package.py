"""Encoded chunks become what is served: HLS with CMAF segments, and one progressive MP4.

Segments are the encoders' own fragments with their numbers and times written anew; nothing is
encoded again. A segment begins at a whole number of ticks, so nothing is rounded or drifts.
Sources: RFC 8216 and its successor draft-pantos-hls-rfc8216bis (playlists), ISO/IEC 23000-19
(CMAF), RFC 6381 (``CODECS``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from worker.domain.errors import EngineError
from worker.job_context import JobContext
from worker.video import audio, commands, ffmpeg, fmp4
from worker.video.ffmpeg import GIBIBYTE, ProgramLimits
from worker.video.fmp4 import Track
from worker.video.plan import AudioSettings, Rung, TranscodePlan

LIMITS = ProgramLimits(wall_seconds=3600.0, stall_seconds=600.0, file_bytes=200 * GIBIBYTE)

MASTER = "hls/master.m3u8"
PROGRESSIVE = "video.mp4"
_FIRST_BITS = 2_000_000
"""Bits a second of the variant that is named first, about: a player begins with that one ("HLS
authoring specification for Apple devices", 9.11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of a playlist."""

    bytes: int
    seconds: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class HlsStream:
    """One track, written as a folder with a playlist."""

    name: str
    codec: str
    """For ``CODECS`` (RFC 6381)."""
    segments: tuple[Segment, ...]

    @property
    def peak(self) -> int:
        """Bits a second of the segment that has most; a short last one is spread as it is."""
        return max(round(item.bytes * 8 / item.seconds) for item in self.segments)

    @property
    def average(self) -> int:
        """Bits a second of all together."""
        seconds = sum((item.seconds for item in self.segments), Fraction(0))
        return round(sum(item.bytes for item in self.segments) * 8 / seconds)


def package(
    plan: TranscodePlan,
    chunks: Sequence[Mapping[str, Path]],
    tracks: Sequence[Path],
    folder: Path,
    context: JobContext,
) -> tuple[HlsStream, ...]:
    """Write everything that is served below ``folder``.

    Args:
        plan: of the video.
        chunks: of each chunk in order, the file of each rung by its name (``encode``).
        tracks: of each audio track in order, its file (``audio.encode``).
        folder: gets ``hls/...`` and ``video.mp4``.
        context: its scratch folder is on the same disk; what is put there is taken away again.

    Returns:
        The streams of the ladder, then those of the audio; empty without HLS.

    Raises:
        EngineError: the chunks do not fit together.
    """
    streams: list[HlsStream] = []
    joined = context.scratch / "joined.mp4"
    for number, rung in enumerate(plan.rungs):
        main = number == 0 and plan.mp4
        if plan.hls or main:
            to = folder / "hls" / rung.name if plan.hls else None
            whole = joined if main else None
            encoded = _joined(rung.name, chunks)
            streams.append(_video(plan, rung, encoded, to=to, joined=whole, context=context))
    if plan.hls:
        for number, path in enumerate(tracks):
            name = f"audio-{number}"
            streams.append(_audio(plan, name, path, folder / "hls" / name, context))
        (folder / MASTER).write_text(_master(plan, streams))
    if plan.mp4:
        try:
            _progressive(plan, joined, tracks, folder / PROGRESSIVE, context)
        finally:
            joined.unlink(missing_ok=True)
    return tuple(streams) if plan.hls else ()


def _joined(name: str, chunks: Sequence[Mapping[str, Path]]) -> Iterator[Track]:
    """The chunks of one rung, one after the other; all must begin with the same header."""
    header = b""
    for files in chunks:
        track = fmp4.read(files[name])
        if header and track.header != header:
            raise EngineError(f"the chunks of {name} were encoded differently and cannot be joined")
        header = track.header
        yield track


def _video(
    plan: TranscodePlan,
    rung: Rung,
    tracks: Iterator[Track],
    *,
    to: Path | None,
    joined: Path | None,
    context: JobContext,
) -> HlsStream:
    """Write one rung's segments, and all of it as one file if ``joined`` is given."""
    each = plan.segment_frames // plan.key_frames
    segments: list[Segment] = []
    codec = ""
    number, time = 1, 0
    whole = joined.open("wb") if joined is not None else None
    try:
        for track in tracks:
            context.stop.check()
            if not codec:
                codec = codec_string(track.header)
                if to is not None:
                    to.mkdir(parents=True)
                    (to / "init.mp4").write_bytes(track.header)
                if whole is not None:
                    whole.write(track.header)
            for at in range(0, len(track.fragments), each):
                taken = track.fragments[at : at + each]
                data = fmp4.moved(track, taken, number=number, time=time)
                if to is not None:
                    (to / _file(len(segments))).write_bytes(data)
                if whole is not None:
                    whole.write(data)
                ticks = sum(fragment.ticks for fragment in taken)
                segments.append(Segment(bytes=len(data), seconds=Fraction(ticks, plan.timescale)))
                number += len(taken)
                time += ticks
    finally:
        if whole is not None:
            whole.close()
    if time != plan.frames * plan.frame_ticks:
        raise EngineError(f"{rung.name} came out {time} ticks long, which is not the whole video")
    if to is not None:
        (to / "index.m3u8").write_text(_playlist(segments))
    return HlsStream(name=rung.name, codec=codec, segments=tuple(segments))


def _audio(plan: TranscodePlan, name: str, path: Path, to: Path, context: JobContext) -> HlsStream:
    """Write one track's segments: AAC frames are shared out where the picture's segments begin."""
    track = fmp4.read(path)
    to.mkdir(parents=True)
    (to / "init.mp4").write_bytes(track.header)
    sizes = [size for fragment in track.fragments for size in fragment.sizes]
    durations = [ticks for fragment in track.fragments for ticks in fragment.durations]
    segments: list[Segment] = []
    frame = time = 0
    with path.open("rb") as file:
        reader = _Samples(file, track)
        while frame < len(sizes):
            context.stop.check()
            first = (len(segments) + 1) * plan.segment_frames
            # The frame that is heard when the next segment's picture begins goes to that segment.
            border = first / plan.rate * audio.SAMPLE_RATE + track.delay
            end = len(sizes) if first >= plan.frames else int(border // audio.FRAME_SAMPLES)
            end = min(len(sizes), max(frame + 1, end))
            data = fmp4.built(
                sizes[frame:end],
                durations[frame:end],
                reader.take(sizes[frame:end]),
                number=len(segments) + 1,
                time=time,
            )
            (to / _file(len(segments))).write_bytes(data)
            ticks = sum(durations[frame:end])
            shown = ticks - (track.delay if frame == 0 else 0)
            segments.append(
                Segment(bytes=len(data), seconds=Fraction(max(1, shown), track.timescale))
            )
            frame, time = end, time + ticks
    (to / "index.m3u8").write_text(_playlist(segments))
    return HlsStream(name=name, codec="mp4a.40.2", segments=tuple(segments))


class _Samples:
    """Reads samples in order across the fragments of a file."""

    def __init__(self, file: object, track: Track) -> None:
        self._file = file
        self._places = iter(
            [(one.position + one.data_at, sum(one.sizes)) for one in track.fragments]
        )
        self._ready = b""

    def take(self, sizes: Sequence[int]) -> bytes:
        wanted = sum(sizes)
        while len(self._ready) < wanted:
            position, size = next(self._places)
            self._file.seek(position)  # type: ignore[attr-defined]
            self._ready += self._file.read(size)  # type: ignore[attr-defined]
        data, self._ready = self._ready[:wanted], self._ready[wanted:]
        return data


def _file(number: int) -> str:
    return f"{number:05}.m4s"


def _playlist(segments: Sequence[Segment]) -> str:
    """A media playlist. Lengths to the microsecond, which is exact or off by less than one."""
    longest = max(item.seconds for item in segments)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        # At least every length rounded to the nearest whole number (RFC 8216, 4.3.3.1).
        f"#EXT-X-TARGETDURATION:{max(1, int(longest + Fraction(1, 2)))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="init.mp4"',
    ]
    for number, item in enumerate(segments):
        lines += [f"#EXTINF:{float(item.seconds):.6f},", _file(number)]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def _master(plan: TranscodePlan, streams: Sequence[HlsStream]) -> str:
    """The playlist that names all others."""
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
        language = (
            ""
            if track.language == "und"
            else f',LANGUAGE="{_quoted(language_tag(track.language))}"'
        )
        lines.append(
            f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="{name}"{language},DEFAULT={first},'
            f'AUTOSELECT={chosen},CHANNELS="{track.channels}",URI="{stream.name}/index.m3u8"'
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
        lines.append(f"{stream.name}/index.m3u8")
    return "\n".join([*lines, ""])


def _label(track: AudioSettings, number: int, taken: set[str]) -> str:
    """A name that no other track of the group has."""
    language = "" if track.language == "und" else track.language
    name = _quoted(track.title) or _quoted(language) or f"Track {number + 1}"
    base, count = name, number + 1
    while name in taken:
        name, count = f"{base} {count}", count + 1
    taken.add(name)
    return name


def _quoted(text: str) -> str:
    """Text that may stand between quotes: what would end them or the line is left out."""
    kept = "".join(character for character in text if character.isprintable() and character != '"')
    return kept.strip()[:80]


def _progressive(
    plan: TranscodePlan,
    joined: Path,
    tracks: Sequence[Path],
    path: Path,
    context: JobContext,
) -> None:
    """The first rung with all audio in one file whose index comes first."""
    # As they are: ffmpeg would otherwise begin each input at its own first packet, which of audio
    # is the encoder's silence before the beginning.
    everywhere = {"copyts": None}
    options: dict[str, object] = {"f": "mp4", "c": "copy", "fflags": "+bitexact"}
    options |= {"movflags": "+faststart", "video_track_timescale": plan.timescale}
    for number, track in enumerate(plan.audio[: len(tracks)]):
        options[f"metadata:s:a:{number}"] = f"language={_quoted(track.language)}"
    if plan.rungs[0].codec == "hevc":
        options["tag:v"] = "hvc1"
    streams = [commands.source(each)["0"] for each in (joined, *tracks)]
    made = commands.output(path, streams, options)
    ffmpeg.run(commands.arguments(made, everywhere=everywhere), limits=LIMITS, stop=context.stop)


# --- codecs, from the decoder configuration records in our own init segments -------------------


def codec_string(header: bytes) -> str:
    """The codec string of an init segment's video track.

    Raises:
        EngineError: it has no record of a codec that we encode to.
    """
    for name, reader in _READERS.items():
        at = header.find(name)
        if at >= 4:
            size = int.from_bytes(header[at - 4 : at])
            record = header[at + 4 : at - 4 + size]
            if len(record) >= 4:
                return reader(record)
    raise EngineError("an init segment of our own says nothing of its codec")


def _avc(record: bytes) -> str:
    """ISO/IEC 14496-15, 5.3.3.1: profile, constraints, level."""
    return f"avc1.{record[1]:02x}{record[2]:02x}{record[3]:02x}"


def _hevc(record: bytes) -> str:
    """ISO/IEC 14496-15, annex E.3."""
    if len(record) < 13:
        raise EngineError("an init segment of our own ends within its codec")
    space = ("", "A", "B", "C")[record[1] >> 6]
    tier = "H" if record[1] & 0x20 else "L"
    compatible = int(f"{int.from_bytes(record[2:6]):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    parts = [f"hvc1.{space}{record[1] & 0x1F}", f"{compatible:X}", f"{tier}{record[12]}"]
    return ".".join([*parts, *(f"{value:X}" for value in constraints)])


def _av1(record: bytes) -> str:
    """AV1 Codec ISO Media File Format Binding, section 5."""
    tier = "H" if record[2] & 0x80 else "M"
    depth = (10 if not record[2] & 0x20 else 12) if record[2] & 0x40 else 8
    return f"av01.{record[1] >> 5}.{record[1] & 0x1F:02}{tier}.{depth:02}"


_READERS = {b"avcC": _avc, b"hvcC": _hevc, b"av1C": _av1}


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
