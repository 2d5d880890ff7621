"""Targets that read pictures and videos: headers, containers, metadata, answers of the sandbox."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz.targets import SCRATCH, Target, WrongAnswer, joined, split
from tests.unit import gain_maps, heic, specimens
from worker.domain.errors import DamagedInput, Reason, Rejected, UnsupportedInput
from worker.domain.image import Format, KeepTag, Limits
from worker.imaging import colour_tags, icc
from worker.imaging.formats import isobmff, jpeg, jxl, sniff, structure, svg, ultrahdr
from worker.imaging.metadata import read_credentials, read_tags, written_exif, xmp
from worker.imaging.probe import probe
from worker.samples import camera
from worker.subprocesses import sandbox_wire
from worker.video import container, subtitles

LIMITS = Limits()
LARGEST = 64_000
"""Bytes of a picture: small ones are read fast, and hold every structure that large ones have."""


def pictures() -> Iterator[bytes]:
    """A specimen of each flavour of each format."""
    for name in specimens.SPECIMENS:
        data = specimens.specimen(name)
        if len(data) <= LARGEST:
            yield data
    yield heic.make_heic()


def _of(*kinds: Format) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        for data in pictures():
            if sniff.sniff(data) in kinds:
                yield data

    return seeds


def _probe(data: bytes) -> None:
    probe(data, LIMITS, formats=frozenset(Format))


def _containers(data: bytes) -> None:
    """Our own readers of containers, whatever the file begins with: callers may be wrong."""
    kind = sniff.sniff(data)
    sniff.is_playlist(data)
    sniff.video_container(data)
    if kind is None:
        return
    read_credentials(data, kind)
    colour_tags.storage(data)
    if kind is Format.JPEG:
        jpeg.complete(data)
        jpeg.warnings(data)
    with contextlib.suppress(IndexError, *isobmff.UNREADABLE):
        isobmff.primary(data)
    ultrahdr.examine(data, kind, LIMITS, (64, 48))
    if kind not in (Format.SVG, Format.JXL):
        structure.examine(data, kind, LIMITS)


def _jxl(data: bytes) -> None:
    jxl.read(data, LIMITS)


def _svg(data: bytes) -> None:
    svg.examine(data, LIMITS)


def _metadata(data: bytes) -> None:
    """EXIF, XMP and IPTC, and what is written of them again."""
    exif, packet, iptc = split(data, 3)
    tags = read_tags(exif, packet, iptc)
    written = written_exif(tags, frozenset(KeepTag))
    xmp.properties(packet)
    if written is None:
        return
    again = written_exif(read_tags(written, None, None), frozenset(KeepTag))
    if again != written:
        raise WrongAnswer("EXIF that was written is read as something else")


def _metadata_seeds() -> Iterator[bytes]:
    shot = camera.Shot(
        taken="2025:09:21 06:48:12",
        exposure=(1, 250),
        gps=(46.5405, 12.1357, 1840.0),
        title="Harbour",
        caption="A caption",
        keywords=("sea", "Fjørd"),
        orientation=3,
    )
    yield joined(camera.exif(shot), camera.xmp(shot), camera.iptc(shot))
    yield joined(camera.exif(shot))
    yield joined(b"", camera.xmp(shot))
    yield joined(b"", b"", camera.iptc(shot))


def _icc(data: bytes) -> None:
    name = icc.profile_name(data)
    if len(name) > 200:
        raise WrongAnswer(f"a profile's name of {len(name)} characters")
    icc.profile_colour(data)


def _gain_map(data: bytes) -> None:
    with contextlib.suppress(ultrahdr.DamagedGainMap, struct.error):
        ultrahdr.write_iso(ultrahdr.read_iso(data))


def _gain_map_seeds() -> Iterator[bytes]:
    yield gain_maps.iso_metadata()


def _video(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(prefix="safelight-fuzz-", dir=SCRATCH) as file:
        file.write(data)
        file.flush()
        container.examine(Path(file.name))


def _video_seeds() -> Iterator[bytes]:
    def box(name: bytes, body: bytes = b"") -> bytes:
        return (8 + len(body)).to_bytes(4) + name + body

    yield box(b"ftyp", b"isom\0\0\2\0isomiso2") + box(b"moov", box(b"mvex")) + box(b"mdat", b"x")
    yield box(b"ftyp", b"isom\0\0\2\0") + box(b"moov", box(b"mvex")) + box(b"moof") + box(b"mdat")
    yield b"\x1aE\xdf\xa3\x84webm\x18\x53\x80\x67\x84body"
    index = b"idx1" + (32).to_bytes(4, "little") + b"00dc\x10\0\0\0\0\0\0\0\x09\0\0\0" * 2
    yield b"RIFF" + (4 + len(index)).to_bytes(4, "little") + b"AVI " + index
    yield (b"G" + bytes(187)) * 4
    yield b"FLV\x01\x05\0\0\0\x09\0\0\0\0" + b"\x09\0\0\x01\0\0\0\0\0\0\0x" + (12).to_bytes(4)
    yield b"#EXTM3U\n#EXT-X-VERSION:7\n#EXTINF:6.0,\nhttp://other.example/1.ts\n"
    yield b"ffconcat version 1.0\nfile 'one.mp4'\n"
    yield b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=video 5004 RTP/AVP 96\r\n"


def _subtitles(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="safelight-fuzz-", dir=SCRATCH) as folder:
        path = Path(folder) / "texts.vtt"
        path.write_bytes(data[1:])
        since = data[0] / 8 if data else 0.0
        count = subtitles.tidy(path, since=since)
        first = path.read_bytes()
        if subtitles.tidy(path) != count or path.read_bytes() != first:
            raise WrongAnswer("texts that were tidied are tidied otherwise a second time")


def _subtitle_seeds() -> Iterator[bytes]:
    yield (
        b"\0WEBVTT\n\nname\n00:01.000 --> 00:02.500 align:start\n<b>one</b> & <i>two\n\n"
        b"01:00:00.000 --> 01:00:01.000\n<00:59:59.000>three --> &lt;four&#38;\n"
    )


def _wire(data: bytes) -> None:
    header, body = split(data, 2)
    with contextlib.suppress(sandbox_wire.BadReply):
        sandbox_wire.decode(header, memoryview(body))


def _wire_seeds() -> Iterator[bytes]:
    found = probe(specimens.specimen("png"), LIMITS, formats=frozenset(Format))
    damaged = DamagedInput(Reason.TRUNCATED, "it ends")
    for kind, value in (("returned", found), ("raised", damaged), ("returned", [{1: (b"x", 2.5)}])):
        _, header, *body = sandbox_wire.encode(kind, value)
        yield joined(header, b"".join(body))


_REJECTED = (Rejected,)
TARGETS = (
    Target(
        name="probe",
        about="the whole probe of a picture, outside libraries included",
        call=_probe,
        seeds=pictures,
        refuses=_REJECTED,
        longest=LARGEST,
        weight=3,
    ),
    Target(
        name="containers",
        about="our readers of JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF, HEIC, gain maps, C2PA",
        call=_containers,
        seeds=pictures,
        refuses=_REJECTED,
        longest=LARGEST,
        weight=3,
    ),
    Target(
        name="jxl",
        about="the codestream header of JPEG XL",
        call=_jxl,
        seeds=_of(Format.JXL),
        refuses=_REJECTED,
        longest=LARGEST,
        weight=2,
    ),
    Target(
        name="svg",
        about="the examination of a drawing",
        call=_svg,
        seeds=_of(Format.SVG),
        refuses=_REJECTED,
        words=(b"<use", b"href=", b"url(", b"<!ENTITY", b"<style>", b"data:", b"viewBox=", b"&#"),
    ),
    Target(
        name="metadata",
        about="EXIF, XMP, IPTC",
        call=_metadata,
        seeds=_metadata_seeds,
        longest=8192,
        weight=2,
    ),
    Target(
        name="icc",
        about="colour profiles",
        call=_icc,
        seeds=lambda: (specimens.srgb_profile(), specimens.p3_profile()),
        words=(b"desc", b"mluc", b"curv", b"para", b"rXYZ", b"rTRC", b"acsp"),
    ),
    Target(
        name="gainmap",
        about="ISO 21496-1 metadata of a gain map",
        call=_gain_map,
        seeds=_gain_map_seeds,
        longest=256,
    ),
    Target(
        name="video",
        about="the first look at a video: MP4, Matroska, AVI, TS, FLV, playlists",
        call=_video,
        seeds=_video_seeds,
        refuses=(DamagedInput, UnsupportedInput),
        words=(b"ftyp", b"moov", b"moof", b"mdat", b"mvex", b"idx1", b"#EXTM3U", b"ffconcat"),
    ),
    Target(
        name="subtitles",
        about="WebVTT texts",
        call=_subtitles,
        seeds=_subtitle_seeds,
        words=(b"-->", b"00:00:00.000", b"&amp;", b"</c>", b"WEBVTT\n\n", b"NOTE "),
    ),
    Target(
        name="answers",
        about="answers of a sandboxed child that was taken over",
        call=_wire,
        seeds=_wire_seeds,
        words=(b'"data"', b'"enum"', b'"error"', b'"$bytes"', b"worker.domain.image:Probe"),
    ),
)
