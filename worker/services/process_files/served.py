"""Which of a picture's files a browser is offered, and which one a phone loads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote

from worker.domain.image import ALPHA_FORMATS, Format
from worker.services.process_files.manifest import Entry, WrittenRendition

_PREFERENCE = (Format.AVIF, Format.WEBP, Format.JPEG, Format.PNG, Format.GIF)
"""Order in which a browser is offered formats: the smallest first."""

_PHONE = 1080
"""Pixels across the screen of a usual phone: 360 CSS pixels at a density of 3, 412 at 2.625. On the
page a picture is as wide as the screen there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFiles:
    """The files of one format at the sizes of the whole picture."""

    type: str
    srcset: str
    url: str
    width: int
    height: int


def choices_of(entry: Entry) -> list[ServedFiles]:
    """What a browser is offered, the format it should take first at the beginning."""
    choices = []
    for format_, sizes in _formats(entry):
        middle = sizes[min(sizes, key=lambda width: (abs(width - 1024), width))]
        choices.append(
            ServedFiles(
                type=format_.media_type,
                srcset=", ".join(f"{quote(sizes[w].path)} {w}w" for w in sorted(sizes)),
                url=quote(middle.path),
                width=middle.width,
                height=middle.height,
            )
        )
    return choices


def loaded_by_phone(entry: Entry) -> WrittenRendition:
    """The file that the browser of a phone takes out of :func:`choices_of`.

    Of two neighbouring sizes Chromium takes the larger one if the screen has at least their
    geometric mean (``ImageCandidate`` selection in Blink's ``html_srcset_parser.cc``).
    """
    _, sizes = next(iter(_formats(entry)))
    chosen = min(sizes)
    for smaller, larger in pairwise(sorted(sizes)):
        if math.sqrt(smaller * larger) <= _PHONE:
            chosen = larger
    return sizes[chosen]


def largest_of(entry: Entry) -> WrittenRendition:
    """The smallest file of the largest size: what a visitor gets who looks closest.

    A still is no answer to an animation, nor a filled background to transparency, where there is
    a file that has it.
    """
    ladder = _ladder(entry)
    largest = max(item.width * item.height for item in ladder)
    alpha = entry.probe is not None and entry.probe.alpha

    def cost(item: WrittenRendition) -> tuple[bool, bool, int]:
        return (item.frames == 1, alpha and item.format not in ALPHA_FORMATS, item.bytes)

    return min((item for item in ladder if item.width * item.height == largest), key=cost)


def _formats(entry: Entry) -> list[tuple[Format, dict[int, WrittenRendition]]]:
    """The files of each format by width, without formats that lack the largest size or stand still
    where others move."""
    ladder = _ladder(entry)
    moving = [item for item in ladder if item.frames > 1]
    ladder = moving or ladder
    widest = max(item.width for item in ladder)
    found = []
    for format_ in _PREFERENCE:
        sizes = {item.width: item for item in ladder if item.format is format_}
        if widest in sizes:
            found.append((format_, sizes))
    return found


def _ladder(entry: Entry) -> list[WrittenRendition]:
    """The renditions that show the whole picture: those of its aspect ratio, else of the largest
    rendition's."""
    largest = max(entry.renditions, key=lambda item: item.width * item.height)
    width, height = largest.width, largest.height
    if entry.probe is not None and entry.probe.height:
        width, height = entry.probe.upright_width, entry.probe.upright_height
    whole = [item for item in entry.renditions if _same_shape(item, width, height)]
    return whole or [
        item for item in entry.renditions if _same_shape(item, largest.width, largest.height)
    ]


def _same_shape(item: WrittenRendition, width: int, height: int) -> bool:
    # Sides are rounded to whole pixels: half a pixel each way.
    scale = item.width / width
    return abs(height * scale - item.height) <= max(1.0, 0.5 + 0.5 * height / width)
