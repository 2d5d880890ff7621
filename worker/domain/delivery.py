"""URLs of an asset's files, and their keys in the delivery bucket.

``pulumi/functions/negotiate.js`` chooses the key at the edge by the same rules. This module has the
rules that the edge shares with the servers behind it. Pure functions. docs/delivery.md explains
the rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from worker.domain.image import Format

WIDTHS = (320, 480, 640, 960, 1280, 1920, 2560, 3840)
"""Widths of ``w/{width}`` in pixels; a request for another width gets the next larger one."""
NEGOTIATED = (Format.JXL, Format.AVIF, Format.WEBP)
"""Formats that the edge may choose, best first. Every client can get the common format: the first
format of the recipe, JPEG by default."""
COMMON = Format.JPEG
"""The format in keys that the edge chooses for clients without support for a newer format."""
FALLBACK = Format.WEBP
"""The edge chooses JPEG XL or AVIF only for clients that also accept this format. So it may replace
a file that does not exist."""

HINTS = ("Sec-CH-DPR", "Sec-CH-Viewport-Width", "Sec-CH-Width")
NETWORK_HINTS = ("ECT", "Downlink")
RENDITION_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"
"""Content-Security-Policy of renditions: an uploaded file must not run scripts on this host, even
if a browser opens it directly."""
READABLE_HEADERS = ("content-length", "content-range", "etag")
"""Response headers that scripts of other origins may read: players need them."""
NEGOTIATION_HEADERS: Mapping[str, str] = {
    # Without the network hints: with them a browser would discard its cached files whenever its
    # network speed changes, although a larger or smaller file than needed still works.
    "Vary": ", ".join(("Accept", "Save-Data", *HINTS)),
    # For pages of this host. Pages of other hosts must ask for hints and delegate them themselves.
    "Accept-CH": ", ".join((*HINTS, *NETWORK_HINTS)),
    "Permissions-Policy": ", ".join(
        f"ch-{name.lower().removeprefix('sec-ch-')}=*" for name in (*HINTS, *NETWORK_HINTS)
    ),
}
"""Headers of every response, 304 and errors included. The distribution adds them by a response
headers policy: a viewer response function does not run if the origin returns 400 or more."""

_SAME_SHAPE = 0.02
"""Relative difference of two aspect ratios that count as the same crop."""
_KEY = re.compile(
    r"[0-9a-f]{2}/(?P<asset>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"/(?P<version>[0-9a-f]{16})/(?P<file>.+)"
)
_WIDTH = "|".join(str(one) for one in WIDTHS)
_PICTURE = re.compile(
    # The edge passes w/auto-77.jpg or w/auto-0640.jpg on as file names: only the fixed widths
    # count.
    rf"(?:w/(?P<auto>auto-)?(?P<width>{_WIDTH})|(?P<name>[A-Za-z0-9_-]{{1,100}}))\.(?P<ending>\w+)"
)
_FORMATS_LINE = re.compile(r"^const FORMATS = \[.*\];$", re.MULTILINE)
_ENDINGS = {one.extension: one for one in Format}


def url_path(key: str) -> str:
    """The URL path of exactly one key: ``/{asset}/{version}/{file}``.

    It lacks the two digits that begin the key; the edge adds them again.

    Raises:
        ValueError: it is not the key of an asset's file.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError(f"{key!r} is no key of an asset")
    return f"/{found['asset']}/{found['version']}/{found['file']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureKey:
    """A parsed key that the edge has chosen."""

    asset: str
    version: str
    format: Format
    name: str = ""
    """Name of the rendition; empty if the key has a width."""
    width: int = 0
    """Width in pixels; 0 if the key has a name."""
    auto: bool = False
    """The edge has chosen the width, not the URL."""

    @property
    def below(self) -> int:
        """Width in pixels above which requests get this key: the next smaller of ``WIDTHS``."""
        return max((one for one in WIDTHS if one < self.width), default=0)


def read_key(key: str) -> tuple[str, str, str] | None:
    """Asset, version and name of the file of a key; None if it is not of an asset."""
    found = _KEY.fullmatch(key)
    return None if found is None else (found["asset"], found["version"], found["file"])


def read_picture_key(key: str) -> PictureKey | None:
    """Parse a key; None if it is not the key of an asset's picture."""
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
        auto=bool(picture["auto"]),
    )


class Sized(Protocol):
    """Anything with a size in pixels, such as a rendition."""

    @property
    def width(self) -> int:
        """Pixels across."""
        ...

    @property
    def height(self) -> int:
        """Pixels down."""
        ...


Picture = TypeVar("Picture", bound=Sized)


def whole_cut(renditions: Sequence[Picture]) -> list[Picture]:
    """Renditions with the aspect ratio of the largest one. Smaller renditions may be squares."""
    if not renditions:
        return []
    largest = max(renditions, key=lambda one: one.width * one.height)
    size = (largest.width, largest.height)
    return [one for one in renditions if same_shape((one.width, one.height), size)]


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have the same aspect ratio. ``one`` may be rounded."""
    ratio = (one[0] * other[1]) / (one[1] * other[0])
    # A side of a small picture is rounded to a whole pixel.
    return abs(ratio - 1) <= _SAME_SHAPE + 1 / min(one)


def formats_for(wanted: Format, *, common: Format) -> Sequence[Format]:
    """The formats that a client accepts if the edge chose the format ``wanted`` for it, best
    first."""
    newer = wanted in (Format.JXL, Format.AVIF)
    return tuple(dict.fromkeys((wanted, *([FALLBACK] if newer else []), common)))


def made_formats(formats: Iterable[Format]) -> tuple[Format, ...]:
    """The formats of a recipe that clients can negotiate, best first."""
    made = frozenset(formats)
    return tuple(one for one in NEGOTIATED if one in made)


def edge_source(source: str, formats: Iterable[Format]) -> str:
    """The source of the edge function for a deployment: it chooses only formats of the deployment's
    recipe.

    Args:
        source: ``negotiate.js``.
        formats: all that the recipe makes.

    Raises:
        ValueError: the source lacks the line of formats, or has it twice.
    """
    names = json.dumps([one.extension for one in made_formats(formats)])
    made, count = _FORMATS_LINE.subn(f"const FORMATS = {names};", source)
    if count != 1:
        raise ValueError(f"{count} lines of the function say which formats there are, not one")
    return made
