"""The gallery page ``index.html``: one file that needs no network.

File names, captions and messages come from hostile input: the template escapes all of them,
addresses are percent-encoded, and the page's policy allows only its own style, its own script and
pictures beside it.
"""

from __future__ import annotations

import base64
import hashlib
import math
import posixpath
import re
import struct
import zlib
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

import worker
from worker.domain.image import ALPHA_FORMATS, Format, Probe, StoredRendition
from worker.services.process_files.output_folder import Entry, FileStatus
from worker.services.process_files.wording import (
    camera_text,
    change_text,
    exposure_text,
    is_same_size,
    seconds_text,
    size_text,
)

if TYPE_CHECKING:
    from jinja2 import Environment

_SIZES = "(max-width: 40rem) 100vw, 30rem"
"""Width of a picture on the page, for the browser's choice from the srcset."""

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_SMALL = 200
"""Pixels: a picture whose sides are all at most this long is not enlarged to fill its card."""
_NEAR = (1.3, 1.8)
"""Aspect ratios close enough to the card's 3:2 to fill it: at most a sixth is cropped."""


def page(entries: Iterable[Entry]) -> str:
    """Return the whole page for these records, in the order of sources."""
    ordered = sorted(entries, key=lambda entry: (entry.source, entry.name))
    accepted = [e for e in ordered if e.status is FileStatus.ACCEPTED and e.renditions]
    rejected = [e for e in ordered if e.status is FileStatus.REJECTED]
    shared = _shared_folder(ordered)
    style = _source("gallery.css") + "".join(
        f"#p{number}{{background-image:url({address})}}"
        for number, entry in enumerate(accepted, start=1)
        if (address := _placeholder(entry))
    )
    script = _source("gallery.js")
    policy = (
        "default-src 'none'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_integrity(style)}'; script-src '{_integrity(script)}'"
    )
    return (
        _environment()
        .get_template("gallery.html")
        .render(
            version=worker.__version__,
            policy=policy,
            style=_markup(style),
            script=_markup(script),
            sizes=_SIZES,
            totals=_totals(accepted, rejected),
            pictures=[_picture(entry, shared) for entry in accepted],
            rejected=[_rejected(entry, shared) for entry in rejected],
        )
    )


# --- one picture --------------------------------------------------------------------------------


def _picture(entry: Entry, shared: PurePosixPath) -> dict[str, object]:
    largest, phone = _largest(entry), loaded_by_phone(entry)
    offered = _offered(entry)
    alpha = entry.probe is not None and entry.probe.alpha
    title, folder = _title(entry, shared)
    facts = _facts(entry)
    return {
        "title": title,
        "folder": folder,
        "source": entry.source,
        "find": _findable(entry, facts),
        "alt": _alt(entry, title),
        "alpha": alpha,
        "frame": _frame(largest, alpha=alpha),
        "palette": _palette(entry),
        "sources": offered[:-1],
        "fallback": offered[-1],
        "largest_url": quote(largest.key),
        "original_url": quote(entry.input.path),
        "facts": facts,
        "original": size_text(entry.input.bytes),
        "phone": size_text(phone.bytes),
        "change": change_text(phone.bytes, entry.input.bytes),
        "tone": _tone(phone.bytes, entry.input.bytes),
        "files": [_file(rendition, entry.input.bytes) for rendition in entry.renditions],
        "dropped": [
            {
                "name": f"{dropped.name}.{dropped.format.extension}",
                "bytes": size_text(dropped.bytes),
                "why": f"{dropped.kept.value} has {size_text(dropped.kept_bytes)}",
            }
            for dropped in entry.dropped
        ],
        "known": _known(entry),
    }


def _rejected(entry: Entry, shared: PurePosixPath) -> dict[str, object]:
    title, folder = _title(entry, shared)
    facts = _facts(entry)
    code = entry.reason.code if entry.reason else ""
    return {
        "title": title,
        "folder": folder,
        "find": f"{_findable(entry, facts)} {code}".lower(),
        "code": code,
        "message": entry.reason.message if entry.reason else "",
        "facts": facts,
    }


def _title(entry: Entry, shared: PurePosixPath) -> tuple[str, str]:
    """File name, and folder below the one that all sources share."""
    path = PurePosixPath(entry.source)
    # Some sources may be absolute and some not: then nothing is shared.
    folder = path.parent.relative_to(shared) if shared.parts else path.parent
    return path.name, "" if folder == PurePosixPath() else f"{folder}/"


def _shared_folder(entries: list[Entry]) -> PurePosixPath:
    folders = [PurePosixPath(entry.source).parent for entry in entries]
    if len({folder.is_absolute() for folder in folders}) != 1:
        return PurePosixPath()
    return PurePosixPath(posixpath.commonpath(folders))


def _frame(shown: StoredRendition, *, alpha: bool) -> str:
    """How a picture is placed on its card: in its own size, filling it, or whole."""
    if max(shown.width, shown.height) <= _SMALL:
        return "small"
    near = _NEAR[0] <= shown.width / shown.height <= _NEAR[1]
    return "near" if near and not alpha else ""


def _alt(entry: Entry, title: str) -> str:
    tags = entry.metadata.tags if entry.metadata else None
    return (tags and (tags.caption or tags.title)) or title


def _facts(entry: Entry) -> str:
    probe = entry.probe
    if probe is None:
        return size_text(entry.input.bytes) if entry.input.bytes else ""
    parts = [
        probe.format.value.upper(),
        f"{probe.upright_width} × {probe.upright_height}",  # noqa: RUF001 - a times sign is meant
        size_text(entry.input.bytes),
    ]
    if probe.frames > 1:
        parts.append(f"{probe.frames} {'frames' if probe.animated else 'pages'}")
    return " · ".join(parts)


def _tone(now: int, before: int) -> str:
    """Style of a change of size: a gain, a loss, or neither."""
    if is_same_size(now, before):
        return "same"
    return "more" if now > before else "less"


def _file(rendition: StoredRendition, original: int) -> dict[str, object]:
    share = rendition.bytes / original if original else 0.0
    return {
        "name": PurePosixPath(rendition.key).name,
        "url": quote(rendition.key),
        "pixels": f"{rendition.width} × {rendition.height}"  # noqa: RUF001 - a times sign
        + (f", {rendition.frames} frames" if rendition.frames > 1 else "")
        + (f", the same file as {rendition.same_as}" if rendition.same_as else ""),
        "bytes": size_text(rendition.bytes),
        "share": f"{share:.1%}" if share < 0.1 else f"{share:.0%}",
        "bar": f"{min(100.0, max(1.0, share * 100)):.1f}",
        "more": share > 1,
    }


def _known(entry: Entry) -> list[tuple[str, str]]:
    """Label and value of all known facts."""
    rows: list[tuple[str, object]] = []
    tags = entry.metadata.tags if entry.metadata else None
    if tags is not None:
        rows += [
            ("Title", tags.title),
            ("Caption", tags.caption),
            ("Keywords", ", ".join(tags.keywords)),
            ("Taken", tags.taken_at and tags.taken_at.replace("T", " ")),
            ("Camera", camera_text(tags)),
            ("Lens", tags.lens),
            ("Exposure", exposure_text(tags)),
            ("Position", tags.gps and f"{tags.gps.latitude:.5f}, {tags.gps.longitude:.5f}"),
            ("Artist", tags.artist),
            ("Copyright", tags.copyright),
            ("Software", tags.software),
        ]
    if entry.probe is not None:
        rows.append(("Pixels", _pixel_kind(entry.probe)))
        rows.append(("Warnings", ", ".join(entry.probe.warnings)))
    if entry.metadata is not None:
        measures = entry.metadata.measures
        rows += [
            ("Brightness", f"{measures.brightness:.2f}, contrast {measures.contrast:.2f}"),
            ("Sharpness", f"{measures.sharpness:.0f}"),
            ("Perceptual hash", measures.phash),
            ("SHA-256", entry.metadata.sha256),
        ]
    rows.append(("Recipe", f"{entry.recipe.name} {entry.recipe.version}"))
    rows.append(("Time", seconds_text(entry.seconds)))
    return [(label, str(value)) for label, value in rows if value]


def _pixel_kind(probe: Probe) -> str:
    parts = [f"{probe.colour_space.value.upper()}, {probe.bit_depth} bit"]
    if probe.alpha:
        parts.append("alpha")
    if probe.icc:
        parts.append(probe.icc)
    if probe.orientation != 1:
        parts.append(f"orientation {probe.orientation}")
    return ", ".join(parts)


def _findable(entry: Entry, facts: str) -> str:
    tags = entry.metadata.tags if entry.metadata else None
    words = [entry.source, facts, entry.status.value]
    if tags is not None:
        words += [tags.camera_make or "", tags.camera_model or "", tags.title or ""]
        words += [tags.caption or "", *tags.keywords]
    return " ".join(words).lower()


def _palette(entry: Entry) -> list[str]:
    colours = entry.metadata.measures.palette if entry.metadata else ()
    return [colour for colour in colours if _COLOUR.fullmatch(colour)]


# --- sums ---------------------------------------------------------------------------------------


def _totals(accepted: list[Entry], rejected: list[Entry]) -> dict[str, object]:
    original = sum(entry.input.bytes for entry in accepted)
    phone = sum(loaded_by_phone(entry).bytes for entry in accepted)
    files = [rendition for entry in accepted for rendition in entry.renditions]
    return {
        "accepted": len(accepted),
        "rejected": len(rejected),
        "original": size_text(original),
        "phone": size_text(phone),
        "change": change_text(phone, original),
        "files": len(files),
        "same": sum(rendition.same_as is not None for rendition in files),
        "bytes": size_text(sum(rendition.bytes for rendition in files)),
        "seconds": seconds_text(sum(entry.seconds for entry in (*accepted, *rejected))),
    }


# --- the template -------------------------------------------------------------------------------


@cache
def _environment() -> Environment:
    # Jinja takes a tenth of a second to load: only a run needs it, not the command line's help.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("worker.services.process_files", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), name)[0]


def _markup(text: str) -> object:
    """Mark Safelight's own style or script as safe, so that it is not escaped."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - it holds nothing but our files and base64


def _integrity(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256-{digest}"


# --- what a browser loads ---------------------------------------------------------------------

_PREFERENCE = (Format.AVIF, Format.JXL, Format.WEBP, Format.JPEG, Format.PNG, Format.GIF)
"""Order in which a browser is offered formats: the smallest first."""

_PHONE = 1080
"""Pixels across the screen of a usual phone: 360 CSS pixels at a density of 3, 412 at 2.625. On the
page a picture is as wide as the screen there."""


def _offered(entry: Entry) -> list[dict[str, object]]:
    """The files offered to a browser, the preferred format first."""
    offered = []
    for format_, sizes in _formats(entry):
        middle = sizes[min(sizes, key=lambda width: (abs(width - 1024), width))]
        offered.append(
            {
                "type": format_.media_type,
                "srcset": ", ".join(f"{quote(sizes[w].key)} {w}w" for w in sorted(sizes)),
                "url": quote(middle.key),
                "width": middle.width,
                "height": middle.height,
            }
        )
    return offered


def loaded_by_phone(entry: Entry) -> StoredRendition:
    """The file that the browser of a phone chooses from the offered files.

    Of two neighbouring sizes Chromium takes the larger one if the screen has at least their
    geometric mean (``ImageCandidate`` selection in Blink's ``html_srcset_parser.cc``).
    """
    _, sizes = next(iter(_formats(entry)))
    chosen = min(sizes)
    for smaller, larger in pairwise(sorted(sizes)):
        if math.sqrt(smaller * larger) <= _PHONE:
            chosen = larger
    return sizes[chosen]


def _largest(entry: Entry) -> StoredRendition:
    """The smallest file of the largest size, which the full view shows.

    A still never replaces an animation, nor a filled background transparency, if a file with it
    exists.
    """
    uncut = _uncut(entry)
    largest = max(item.width * item.height for item in uncut)
    alpha = entry.probe is not None and entry.probe.alpha

    def cost(item: StoredRendition) -> tuple[bool, bool, int]:
        return (item.frames == 1, alpha and item.format not in ALPHA_FORMATS, item.bytes)

    return min((item for item in uncut if item.width * item.height == largest), key=cost)


def _formats(entry: Entry) -> list[tuple[Format, dict[int, StoredRendition]]]:
    """The files of each format by width, without formats that lack the largest size, or that are
    stills if others are animated."""
    uncut = _uncut(entry)
    offered = [item for item in uncut if item.frames > 1] or uncut
    widest = max(item.width for item in offered)
    found = []
    for format_ in _PREFERENCE:
        sizes = {item.width: item for item in offered if item.format is format_}
        if widest in sizes:
            found.append((format_, sizes))
    return found


def _uncut(entry: Entry) -> list[StoredRendition]:
    """The uncropped renditions: those with the aspect ratio of the picture, else of the largest
    rendition."""
    largest = max(entry.renditions, key=lambda item: item.width * item.height)
    width, height = largest.width, largest.height
    if entry.probe is not None and entry.probe.height:
        width, height = entry.probe.upright_width, entry.probe.upright_height
    whole = [item for item in entry.renditions if _same_shape(item, width, height)]
    return whole or [
        item for item in entry.renditions if _same_shape(item, largest.width, largest.height)
    ]


def _same_shape(item: StoredRendition, width: int, height: int) -> bool:
    # Sides are rounded to whole pixels: half a pixel each way.
    scale = item.width / width
    return abs(height * scale - item.height) <= max(1.0, 0.5 + 0.5 * height / width)


# --- the placeholder --------------------------------------------------------------------------


def _placeholder(entry: Entry) -> str | None:
    """The ThumbHash as the data URL of a tiny PNG; None if there is none or it is transparent."""
    if entry.metadata is None or (entry.probe is not None and entry.probe.alpha):
        return None
    # Numpy, which only this needs, takes a tenth of a second to load.
    from worker.imaging.metadata import thumbhash

    try:
        width, height, pixels = thumbhash.to_rgba(entry.metadata.measures.thumbhash)
    except ValueError:
        return None
    # A ThumbHash has at most seven waves across: every second of its 32 pixels is enough.
    rows = [pixels[4 * width * y : 4 * width * (y + 1)] for y in range(0, height, 2)]
    thin = [b"".join(row[4 * x : 4 * x + 3] for x in range(0, width, 2)) for row in rows]
    data = base64.b64encode(_png(thin, width=(width + 1) // 2)).decode()
    return f"data:image/png;base64,{data}"


def _png(rows: list[bytes], *, width: int) -> bytes:
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
