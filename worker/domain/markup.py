"""HTML that shows a picture: ``<img srcset>``, or ``<picture>`` with fixed formats.

``<img>`` lists URLs by width, and the edge chooses the format. Firefox and Safari send no client
hints, so the list is how they get the width that they need. ``<picture>`` names formats: for hosts
that do not negotiate, and for pages whose readers send no ``Accept`` of their own. The API makes a
:class:`PictureMarkup` of a record, and programs that call the API make tags of it. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Self

from worker.domain.asset import SERVED, AssetRecord, MediaType, medium_of
from worker.domain.delivery import NEGOTIATED, WIDTHS, whole_cut
from worker.domain.image import FirstViewRendition, Format, StoredRendition
from worker.domain.keys import version_prefix

SIZES = "auto, 100vw"
"""Browsers that know ``auto`` (HTML, "sizes attributes") measure a lazy picture's own width; the
others take the width of the window."""
PLAIN_WIDTH = 1024
"""Pixels across of ``src``, which programs without ``srcset`` read: bots, mail, old browsers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where files of the delivery bucket are read."""

    of: Callable[[str], str]
    """The URL of a key."""
    negotiated: bool
    """Whether there is a distribution. Without one each URL is of one file, and signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSource:
    """One format of a picture."""

    type: str
    """Media type."""
    src: str
    srcset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureMarkup:
    """The values that a page needs to show a picture. Texts are not escaped yet."""

    src: str
    srcset: str
    sizes: str
    width: int
    """Pixels, as ``height``: the page reserves this shape before the file arrives."""
    height: int
    alt: str
    """The title that the file has; empty if it has none."""
    background: str | None
    """Colour until the file is there, ``#rrggbb``; None for pictures with transparency."""
    sources: tuple[PictureSource, ...]
    """Fixed formats, best first. Every client can show the last one."""

    @classmethod
    def read(cls, shown: Mapping[str, Any]) -> Self:
        """``picture`` of an asset, as the API gives it.

        Raises:
            ValueError: it is none.
        """
        try:
            sources = tuple(PictureSource(**one) for one in shown["sources"])
            return cls(**{**shown, "sources": sources})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no picture of the API: {error}") from error


def picture_of(record: AssetRecord, addresses: Addresses) -> PictureMarkup | None:
    """How to show a record's picture in its whole cut; None if there is nothing to show.

    With a distribution the URLs are ``w/{width}``. They name each width that delivery has below
    that of the widest rendition, which ends the list under its name: no more pixels are given.
    Files that are made at first view count like stored files.
    """
    stored = record.renditions
    files: list[StoredRendition | FirstViewRendition] = [*stored]
    if addresses.negotiated:
        files += record.first_view
    whole = whole_cut(files)
    if record.status not in SERVED or medium_of(record) is MediaType.VIDEO or not whole:
        return None
    formats = list(dict.fromkeys(one.format for one in whole))
    common = next((one for one in formats if one not in NEGOTIATED), formats[-1])
    better = [one for one in NEGOTIATED if one in formats and one is not common]
    largest = max(whole, key=lambda one: one.width)
    metadata, probe = record.metadata, record.probe

    def listed(format_: Format | None) -> list[tuple[str, int]]:
        if addresses.negotiated:
            return list(_by_width(record, largest, addresses, format_))
        return list(_stored(whole_cut(stored), format_ or common, addresses))

    plain = listed(None)
    return PictureMarkup(
        src=_nearest(plain),
        srcset=_srcset(plain),
        sizes=SIZES,
        width=largest.width,
        height=largest.height,
        alt=(metadata.tags.title or "") if metadata else "",
        background=None
        if metadata is None or (probe is not None and probe.alpha)
        else metadata.measures.dominant,
        sources=tuple(
            PictureSource(type=one.media_type, src=_nearest(found), srcset=_srcset(found))
            for one in (*better, common)
            if (found := listed(one))
        ),
    )


def _by_width(
    record: AssetRecord,
    largest: StoredRendition | FirstViewRendition,
    addresses: Addresses,
    format_: Format | None,
) -> Iterator[tuple[str, int]]:
    """URLs of the distribution, with the width of each."""
    prefix = version_prefix(record)
    ending = f".{format_.extension}" if format_ is not None else ""
    for width in WIDTHS:
        if width < largest.width:
            yield addresses.of(f"{prefix}w/{width}{ending}"), width
    # By name, also if its width is one of the list: this is the key of a file, kept for a year.
    yield addresses.of(f"{prefix}{largest.name}{ending}"), largest.width


def _stored(
    whole: Sequence[StoredRendition], format_: Format, addresses: Addresses
) -> Iterator[tuple[str, int]]:
    """URLs of files, with the width of each."""
    widths: set[int] = set()
    for one in sorted(whole, key=lambda one: one.width):
        if one.format is format_ and one.width not in widths:
            widths.add(one.width)
            yield addresses.of(one.key), one.width


def _nearest(listed: Sequence[tuple[str, int]]) -> str:
    return min(listed, key=lambda one: abs(one[1] - PLAIN_WIDTH))[0]


def _srcset(listed: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{url} {width}w" for url, width in listed)


# --- tags ---------------------------------------------------------------------------------------


def image_html(
    picture: PictureMarkup, *, alt: str | None = None, sizes: str | None = None, lazy: bool = True
) -> str:
    """``<img>``: the browser chooses the width and the edge the format.

    Args:
        alt: what the picture shows, for who cannot see it; the title of the file if not given.
        sizes: how wide the page shows it, as HTML's ``sizes``.
        lazy: false for the picture that a visitor sees first: it is loaded at once and before
            others.
    """
    return _tag("img", _image(picture, picture.src, picture.srcset, alt, sizes, lazy=lazy))


def picture_html(
    picture: PictureMarkup, *, alt: str | None = None, sizes: str | None = None, lazy: bool = True
) -> str:
    """``<picture>``: the browser chooses the format of the page's list, too.

    Args:
        alt: see ``image_html``; the others too.
    """
    *better, common = picture.sources
    shown = _image(picture, common.src, common.srcset, alt, sizes, lazy=lazy)
    sources = "".join(
        f"  {_tag('source', {'type': one.type, 'srcset': one.srcset, 'sizes': shown['sizes']})}\n"
        for one in better
    )
    return f"<picture>\n{sources}  {_tag('img', shown)}\n</picture>"


def _image(
    picture: PictureMarkup, src: str, srcset: str, alt: str | None, sizes: str | None, *, lazy: bool
) -> dict[str, str]:
    chosen = picture.sizes if sizes is None else sizes
    if not lazy:  # a browser measures only what it loads late
        chosen = chosen.removeprefix("auto,").strip()
    attributes = {
        "src": src,
        "srcset": srcset,
        "sizes": chosen,
        "width": str(picture.width),
        "height": str(picture.height),
        "alt": picture.alt if alt is None else alt,
        **({"loading": "lazy"} if lazy else {"fetchpriority": "high"}),
        "decoding": "async",
    }
    if picture.background is not None:
        attributes["style"] = f"background:{picture.background}"
    return attributes


def _tag(name: str, attributes: Mapping[str, str]) -> str:
    written = "".join(f' {one}="{escape(text)}"' for one, text in attributes.items())
    return f"<{name}{written}>"
