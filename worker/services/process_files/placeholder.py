"""The blurred picture behind a picture that is still loading, as part of the page."""

from __future__ import annotations

import base64
import struct
import zlib

from worker.services.process_files.manifest import Entry


def placeholder(entry: Entry) -> str | None:
    """The ThumbHash as the address of a tiny PNG; None if there is none or it is transparent."""
    if entry.metadata is None or (entry.probe is not None and entry.probe.alpha):
        return None
    # Numpy, which only this needs, takes a tenth of a second to load.
    from worker.imaging.metadata import thumbhash

    try:
        width, height, pixels = thumbhash.to_rgba(entry.metadata.measures.thumbhash)
    except ValueError:
        return None
    # A ThumbHash has at most seven waves across: every second of its 32 pixels says the same.
    rows = [pixels[4 * width * y : 4 * width * (y + 1)] for y in range(0, height, 2)]
    thin = [b"".join(row[4 * x : 4 * x + 3] for x in range(0, width, 2)) for row in rows]
    data = base64.b64encode(png(thin, width=(width + 1) // 2)).decode()
    return f"data:image/png;base64,{data}"


def png(rows: list[bytes], *, width: int) -> bytes:
    """Return 8-bit RGB rows as a PNG file (W3C PNG, third edition)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    lines = b"".join(b"\0" + row for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines, 9))
        + chunk(b"IEND", b"")
    )
