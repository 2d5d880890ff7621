"""Recognises formats by content: the table of signatures.

The name and the declared type are ignored. Only the beginning of a file matters: data appended to a
picture (an archive, a script) is never read or copied, because renditions are newly encoded.
"""

from __future__ import annotations

import re
import struct
from enum import StrEnum

from worker.domain.image import Format

_XML_HEAD = 65_536
"""Bytes searched for the root element of an XML document: prolog, comments and DOCTYPE."""

_TS_PACKET, _TS_STAMPED = 188, 192
"""Bytes of a transport stream packet (ISO/IEC 13818-1, 2.4.3.2); with the time stamp that
Blu-ray and camcorders put before each."""
_TS_SYNC = 0x47
_TS_PACKETS = 5
"""Consecutive sync bytes that identify a transport stream; random data has as many once in 10^12
files."""
_EBML_HEAD = 256
"""Bytes of a Matroska file in which its DocType stands (RFC 8794, 11.2)."""

PLAYLIST = "a playlist of other files"
_PLAYLIST_HEAD = 4096
_PLAYLIST = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:#extm3u|#extinf|ffconcat version|\[playlist\]|\[reference\]|rtsptext|rtsp://"
    rb"|v=0\r?\no=|(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*)*<(?:mpd|smil|asx)\b)",
    re.IGNORECASE | re.DOTALL,
)
"""Signatures of playlists: HLS and M3U (RFC 8216, 4.3.1.1), ffmpeg's concat script, PLS, Windows
Media, QuickTime, SDP (RFC 8866), DASH (ISO/IEC 23009-1), SMIL, ASX. ffmpeg 5.1 recognises HLS by
content, 7.1 and later only by the file name."""


class VideoContainer(StrEnum):
    """The containers of videos that are accepted; other kinds of video are named, not accepted."""

    MP4 = "mp4"
    """ISO base media, QuickTime included."""
    MATROSKA = "matroska"
    """WebM included."""
    MPEGTS = "mpegts"
    AVI = "avi"


_VIDEOS = {
    "video (MP4)": VideoContainer.MP4,
    "video (QuickTime MOV)": VideoContainer.MP4,
    "video (QuickTime)": VideoContainer.MP4,
    "video (Matroska)": VideoContainer.MATROSKA,
    "video (WebM)": VideoContainer.MATROSKA,
    "video (MPEG-TS)": VideoContainer.MPEGTS,
    "video (AVI)": VideoContainer.AVI,
}

# Offset, bytes, what it is. The first match wins, so longer signatures precede their prefixes.
# Source of each: the format's own specification, or the IANA media type registration.
_SIGNATURES: tuple[tuple[int, bytes, Format | str], ...] = (
    (0, b"\xff\xd8\xff", Format.JPEG),
    (0, b"\x89PNG\r\n\x1a\n", Format.PNG),
    (0, b"GIF87a", Format.GIF),
    (0, b"GIF89a", Format.GIF),
    (0, b"II\x55\x00", "camera raw (Panasonic RW2)"),
    (0, b"IIRO", "camera raw (Olympus ORF)"),
    (0, b"IIRS", "camera raw (Olympus ORF)"),
    (0, b"MMOR", "camera raw (Olympus ORF)"),
    (0, b"FUJIFILMCCD-RAW", "camera raw (Fujifilm RAF)"),
    (0, b"FOVb", "camera raw (Sigma X3F)"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", Format.JXL),
    (0, b"\xff\x0a", Format.JXL),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\xd8", "JPEG without a segment"),
    (0, b"%PDF-", "PDF"),
    (0, b"\xef\xbb\xbf%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"\x00\x00\x01\x00", "icon (ICO)"),
    (0, b"\x00\x00\x02\x00", "cursor (CUR)"),
    (0, b"icns", "icon (ICNS)"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "DirectDraw surface (DDS)"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x08\xf2\xa6\xb6", "VIPS image"),
    (0, b"\xb6\xa6\xf2\x08", "VIPS image"),
    (0, b"FLV\x01", "video (FLV)"),
    (0, b"OggS", "media (Ogg)"),
    (0, b"ID3", "audio (MP3)"),
    (0, b"fLaC", "audio (FLAC)"),
    (0, b"\x00\x00\x01\xba", "video (MPEG)"),
    (0, b"\x00\x00\x01\xb3", "video (MPEG)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video (Windows Media)"),
    (0, b"PK\x03\x04", "archive (ZIP or an office document)"),
    (0, b"PK\x05\x06", "archive (ZIP)"),
    (0, b"Rar!\x1a\x07", "archive (RAR)"),
    (0, b"7z\xbc\xaf\x27\x1c", "archive (7-Zip)"),
    (0, b"\x1f\x8b", "gzip (a compressed SVG is not accepted either)"),
    (0, b"BZh", "archive (bzip2)"),
    (0, b"\xfd7zXZ\x00", "archive (XZ)"),
    (0, b"\x28\xb5\x2f\xfd", "archive (Zstandard)"),
    (0, b"\x7fELF", "program (ELF)"),
    (0, b"MZ", "program (Windows)"),
    (0, b"\xcf\xfa\xed\xfe", "program (Mach-O)"),
    (0, b"\xca\xfe\xba\xbe", "program (Mach-O or Java)"),
    (0, b"\x00asm", "program (WebAssembly)"),
    (0, b"#!", "script"),
    (0, b"<?php", "script (PHP)"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "office document (OLE)"),
    (0, b"SQLite format 3\x00", "database (SQLite)"),
    (0, b"push graphic-context", "ImageMagick drawing (MVG)"),
    (257, b"ustar", "archive (tar)"),
)

_RIFF_KINDS: dict[bytes, Format | str] = {
    b"WEBP": Format.WEBP,
    b"AVI ": "video (AVI)",
    b"WAVE": "audio (WAV)",
}

_STILL_BRANDS: tuple[tuple[frozenset[bytes], Format], ...] = (
    # AVIF first: an AV1 picture lists mif1 too. ISO/IEC 23008-12 annex B; AVIF 1.1 section 6.
    (frozenset({b"avif", b"avis"}), Format.AVIF),
    (
        frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}),
        Format.HEIC,
    ),
)

_RAW_MAKERS = {"NIKON": "Nikon NEF", "SONY": "Sony ARW", "PENTAX": "Pentax PEF"}


def sniff(data: bytes) -> Format | None:
    """The accepted format of this content, or None."""
    found = identify(data)
    return found if isinstance(found, Format) else None


def video_container(data: bytes) -> VideoContainer | None:
    """The accepted container of a video, or None. Only a probe shows whether it contains moving
    pictures."""
    found = identify(data)
    return _VIDEOS.get(found) if isinstance(found, str) else None


def identify(data: bytes) -> Format | str | None:
    """Like :func:`sniff`, but also returns the name of a known format that is never accepted."""
    for offset, signature, kind in _SIGNATURES:
        if data.startswith(signature, offset):
            return kind
    if data[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return _tiff_kind(data)
    if data[:4] == b"RIFF":
        return _RIFF_KINDS.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _iso_kind(data)
    if data[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "video (QuickTime)"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return _ebml_kind(data)
    if data[:2] == b"BM" and _is_bmp(data):
        return Format.BMP
    if _is_transport_stream(data):
        return "video (MPEG-TS)"
    return PLAYLIST if is_playlist(data) else _text_kind(data)


def is_playlist(data: bytes) -> bool:
    """Whether the content is a playlist: of media, of URLs, or of ffmpeg's inputs."""
    return _PLAYLIST.match(data[:_PLAYLIST_HEAD]) is not None


def _ebml_kind(data: bytes) -> str:
    """The DocType of a Matroska file (ID 0x4282, RFC 8794)."""
    _, found, rest = data[:_EBML_HEAD].partition(b"\x42\x82")
    # One byte gives the length, with its highest bit set (RFC 8794, 4).
    text = rest[1 : 1 + (rest[0] & 0x7F)] if found and rest else b""
    kinds = {b"webm": "video (WebM)", b"matroska": "video (Matroska)"}
    return kinds.get(text.rstrip(b"\0"), "EBML document of an unknown type")


def _is_transport_stream(data: bytes) -> bool:
    """Whether this is a transport stream. It has no signature, but sync bytes repeat at the length
    of a packet."""
    return any(
        len(data) > first + (_TS_PACKETS - 1) * step
        and all(data[first + turn * step] == _TS_SYNC for turn in range(_TS_PACKETS))
        for first, step in ((0, _TS_PACKET), (4, _TS_STAMPED))
    )


def _is_bmp(data: bytes) -> bool:
    """Whether this is a BMP. Two letters are a weak signature, so a known header size is also
    required."""
    return len(data) < 18 or data[14:18] in (
        struct.pack("<I", size) for size in (12, 16, 40, 52, 56, 64, 108, 124)
    )


def _iso_kind(data: bytes) -> Format | str:
    """The format of an ISO base media file, by the brands of its first box."""
    size = int.from_bytes(data[:4], "big")
    box = data[8 : min(max(size, 16), 4096)]
    major = box[:4]
    brands = {major} | {box[at : at + 4] for at in range(8, len(box) - 3, 4)}
    for names, kind in _STILL_BRANDS:
        if major in names:
            return kind
    if major in (b"mif1", b"msf1", b"mif2"):
        for names, kind in _STILL_BRANDS:
            if brands & names:
                return kind
        return "HEIF with neither AV1 nor HEVC pictures"
    if major == b"crx ":
        return "camera raw (Canon CR3)"
    if major == b"qt  ":
        return "video (QuickTime MOV)"
    if major in (b"M4A ", b"M4B "):
        return "audio (MP4)"
    if major in (b"jp2 ", b"jpx ", b"jph "):
        return "JPEG 2000"
    return "video (MP4)"


def _tiff_kind(data: bytes) -> Format | str:
    """Distinguish TIFF from camera raw formats that use its container.

    Raw files begin with a small preview (NewSubfileType: reduced) and store the sensor's data in a
    SubIFD: reading them as TIFF would return the preview as the picture.
    """
    if data[8:11] == b"CR\x02":
        return "camera raw (Canon CR2)"
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] in (b"+\x00", b"\x00+"):
        return Format.TIFF
    reduced = sub_pictures = False
    maker = ""
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        for entry in range(min(count, 512)):
            tag, _, length, value = struct.unpack_from(f"{order}HHII", data, at + 2 + 12 * entry)
            if tag == 0xC612:  # DNGVersion
                return "camera raw (DNG)"
            if tag == 0x00FE:  # NewSubfileType
                reduced = bool(value & 1)
            elif tag == 0x014A:  # SubIFDs
                sub_pictures = True
            elif tag == 0x010F and length > 4:  # Make
                maker = data[value : value + min(length, 32)].decode("latin-1").upper()
    except struct.error:
        return Format.TIFF  # truncated; the container check reports it with the right code
    if reduced and sub_pictures and maker:
        known = [name for start, name in _RAW_MAKERS.items() if maker.startswith(start)]
        return f"camera raw ({known[0] if known else 'TIFF-like'})"
    return Format.TIFF


def _text_kind(data: bytes) -> Format | str | None:
    """SVG, HTML or other XML, after the byte order mark, prolog, comments and DOCTYPE."""
    head = data[:_XML_HEAD]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head[: len(head) & ~1].decode("utf-16", "replace").encode()
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head.startswith(b"<"):
        return None
    is_xml = head.startswith(b"<?xml")
    while True:
        if head.startswith(b"<?"):
            _, found, head = head.partition(b"?>")
        elif head.startswith(b"<!--"):
            _, found, head = head.partition(b"-->")
        elif head[:9].upper() == b"<!DOCTYPE":
            if head[9:].lstrip()[:4].lower() == b"html":
                return "HTML"
            # An internal subset ends at the first "]>"; a ">" before any "[" means there is none.
            bare = 0 <= head.find(b">") < (head.find(b"[") if b"[" in head else len(head))
            _, found, head = head.partition(b">" if bare else b"]>")
        else:
            break
        if not found:
            return "XML" if is_xml else None
        head = head.lstrip()
    name = head[1:64].replace(b"/", b" ").replace(b">", b" ").split(b" ")[0].split()
    local = name[0].rpartition(b":")[2].lower() if name else b""
    if local == b"svg":
        return Format.SVG
    if local in (b"html", b"head", b"body", b"script", b"iframe", b"!doctype"):
        return "HTML"
    return "XML" if is_xml else None
