"""URLs of what was made of an asset, and the keys in the delivery bucket that they stand for.

``pulumi/functions/negotiate.js`` chooses the key at the edge, by the same rules; what it and the
servers behind it must agree on is here. Pure functions. docs/delivery.md explains the rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.domain.image import Format, StoredRendition

WIDTHS = (320, 480, 640, 960, 1280, 1920, 2560, 3840)
"""Pixels across of ``w/{width}``; other widths are served the next larger one."""
NEGOTIATED = (Format.JXL, Format.AVIF, Format.WEBP)
"""Formats that a client may get without naming one, best first. Every client gets the common one:
what the recipe writes first, a JPEG if not said otherwise."""
COMMON = Format.JPEG
"""The format in keys that the edge chooses for clients that know no newer one."""
FALLBACK = Format.WEBP
"""Whoever is sent JPEG XL or AVIF takes this one, too: the edge looks for it. So it may stand in
for a file that does not exist."""

HINTS = ("Sec-CH-DPR", "Sec-CH-Viewport-Width", "Sec-CH-Width")
NETWORK_HINTS = ("ECT", "Downlink")
RENDITION_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"
"""Content-Security-Policy of renditions: a file that somebody has uploaded is no page of ours, even
if somebody opens it on its own."""
READABLE_HEADERS = ("content-length", "content-range", "etag")
"""That scripts of other origins may read of an answer: players need them."""
NEGOTIATION_HEADERS: Mapping[str, str] = {
    # Not the network hints: a browser would throw away what it has whenever its line changes, and
    # a larger or smaller file than now is wanted is right all the same.
    "Vary": ", ".join(("Accept", "Save-Data", *HINTS)),
    # For pages that are served from here. Others ask for hints themselves, and delegate them.
    "Accept-CH": ", ".join((*HINTS, *NETWORK_HINTS)),
    "Permissions-Policy": ", ".join(
        f"ch-{name.lower().removeprefix('sec-ch-')}=*" for name in (*HINTS, *NETWORK_HINTS)
    ),
}
"""Of every answer, 304 and errors too. The distribution adds them by a response headers policy: a
function that sees responses does not run where the origin answers 400 or more."""

_SAME_SHAPE = 0.02
"""Shares by which aspect ratios may differ that are of the same cut."""
_KEY = re.compile(
    r"[0-9a-f]{2}/(?P<asset>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/(?P<version>[0-9a-f]{16})/(?P<file>.+)"
)
_PICTURE = re.compile(
    r"(?:w/(?P<width>[0-9]{1,5})|(?P<name>[A-Za-z0-9_-]{1,100}))\.(?P<ending>\w+)"
)
_FORMATS_LINE = re.compile(r"^const FORMATS = \[.*\];$", re.MULTILINE)
_ENDINGS = {one.extension: one for one in Format}


def url_path(key: str) -> str:
    """The path of a URL that stands for exactly one key: ``/{asset}/{version}/{file}``.

    The digits in front are the bucket's matter; the edge puts them back.

    Raises:
        ValueError: it is no key of something that was made of an asset.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is no key of an asset")
    return f"/{found['asset']}/{found['version']}/{found['file']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureKey:
    """What the edge asks the bucket for, read back from the key."""

    asset: str
    version: str
    format: Format
    name: str = ""
    """Of the rendition; empty where the key says a width."""
    width: int = 0
    """Pixels across; 0 where the key says a name."""


def read_picture_key(key: str) -> PictureKey | None:
    """What a key stands for; None if that is no picture, or nothing of an asset."""
    found = _KEY.fullmatch(key)
    picture = _PICTURE.fullmatch(found["file"]) if found is not None else None
    if found is None or picture is None or picture["ending"] not in _ENDINGS:
        return None
    return PictureKey(
        asset=found["asset"],
        version=found["version"],
        format=_ENDINGS[picture["ending"]],
        name=picture["name"] or "",
        width=int(picture["width"] or 0),
    )


def whole_cut(renditions: Sequence[StoredRendition]) -> list[StoredRendition]:
    """Those of the cut that the largest one has: small ones may be squares."""
    if not renditions:
        return []
    largest = max(renditions, key=lambda one: one.width * one.height)
    return [one for one in renditions if _same_shape(one, largest)]


def _same_shape(one: StoredRendition, other: StoredRendition) -> bool:
    ratio = (one.width * other.height) / (one.height * other.width)
    # A side of a small picture is rounded to a whole pixel.
    return abs(ratio - 1) <= _SAME_SHAPE + 1 / min(one.width, one.height)


def made_formats(formats: Iterable[Format]) -> tuple[Format, ...]:
    """Those of a recipe's formats that are negotiated, best first."""
    made = frozenset(formats)
    return tuple(one for one in NEGOTIATED if one in made)


def edge_source(source: str, formats: Iterable[Format]) -> str:
    """The function of the edge for a deployment: it offers only what its recipe makes.

    Args:
        source: ``negotiate.js``.
        formats: all that the recipe makes.

    Raises:
        ValueError: the source lacks the line that says so, or has it twice.
    """
    names = json.dumps([one.extension for one in made_formats(formats)])
    made, count = _FORMATS_LINE.subn(f"const FORMATS = {names};", source)
    if count != 1:
        raise ValueError(f"{count} lines of the function say which formats there are, not one")
    return made
