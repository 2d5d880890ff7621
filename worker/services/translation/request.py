"""The request of a URL of another image service, in the terms of recipes, with its limits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from worker.domain.errors import InputError
from worker.domain.image import Fit, Format, Gravity

LONGEST = 8192
"""Characters of a URL. A source or a JSON document inside is base64, and so is shorter."""
MOST_PIXELS = 16_383
"""Width and height: the most that a WebP has, and a recipe takes."""
NO_COUNTERPART = "has no counterpart: edit the original"
_FORMATS = {
    **{one.value: one for one in Format if one not in (Format.HEIC, Format.SVG)},
    "jpg": Format.JPEG,
}
_NOT_MADE = frozenset({Format.TIFF, Format.BMP})


def invalid(message: str) -> InputError:
    """The error of a URL that is not as its service documents it."""
    return InputError(message, code="input_url_invalid")


@dataclass(frozen=True, slots=True)
class LostOption:
    """An option that Safelight does not have."""

    option: str
    """As the URL has it."""
    reason: str


@dataclass(slots=True, kw_only=True)
class ForeignRequest:
    """The result that a URL asks for; parsers fill it in."""

    service: str
    source: str = ""
    """URL, path or key of the original, as the service names it."""
    width: int = 0
    """Pixels; 0 if the height alone says the size."""
    height: int = 0
    fit: Fit = Fit.INSIDE
    gravity: Gravity = Gravity.CENTRE
    focal_point: tuple[float, float] | None = None
    """Shares of width and height."""
    region: tuple[float, float, float, float] | None = None
    """Pixels of the original (left, top, right, bottom) around what must stay."""
    enlarge: bool = False
    background: str = ""
    """``#rrggbb``."""
    sharpen: bool = False
    still: bool = False
    format: Format | None = None
    quality: int = 0
    """1 to 100 of each format; 0 if the recipe says it."""
    qualities: dict[Format, int] = field(default_factory=dict)
    scale: float = 1.0
    """Multiplies width and height."""
    notes: list[str] = field(default_factory=list)
    """Differences from the original service."""
    lost: list[LostOption] = field(default_factory=list)

    def lose(self, option: str, reason: str = NO_COUNTERPART) -> None:
        """Note an option that is lost."""
        self.lost.append(LostOption(option[:200], reason))

    def choose_format(self, name: str) -> None:
        """Fix the format, if Safelight makes it."""
        found = _FORMATS.get(name.lower())
        if found is None or found in _NOT_MADE:
            self.lose(f"format {name}", "is no format of renditions: the edge chooses one")
        else:
            self.format = found


def pixels(text: str) -> int:
    """A width or height; empty and ``0`` are 0.

    Raises:
        InputError: it is no whole number, or too large.
    """
    if not re.fullmatch(r"[0-9]{0,9}", text):
        raise invalid(f"{text[:40]!r} is no number of pixels")
    value = int(text or "0")
    if value > MOST_PIXELS:
        raise invalid(f"{value} pixels are more than {MOST_PIXELS}")
    return value


def number(text: str, lowest: float, highest: float) -> float:
    """A number in a range. Raises InputError."""
    try:
        value = float(text) if len(text) <= 40 else math.nan
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise invalid(f"{text[:40]!r} is no number from {lowest:g} to {highest:g}")
    return value


def colour(text: str) -> str:
    """``#rrggbb`` of a CSS name or of hexadecimal digits without ``#``. Raises InputError."""
    from PIL import ImageColor  # only this command needs its list of names

    hexadecimal = re.fullmatch(r"(?:[0-9a-fA-F]{3}){1,2}", text)
    try:
        if not hexadecimal and not re.fullmatch(r"[A-Za-z]{1,30}", text):
            raise ValueError(text)
        red, green, blue = ImageColor.getrgb(f"#{text}" if hexadecimal else text)[:3]
    except ValueError as error:
        raise invalid(f"{text[:40]!r} is no colour") from error
    return f"#{red:02x}{green:02x}{blue:02x}"


def readable(source: str) -> str:
    """The name of an original, percent-decoded once. Raises InputError if it is no text."""
    text = unquote(source, errors="strict") if "%" in source else source
    if not text or not text.isprintable():
        raise invalid("the source is empty or has control characters")
    return text
