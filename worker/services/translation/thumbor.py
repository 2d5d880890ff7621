"""URLs of thumbor (thumbor.readthedocs.io, "Usage" and "Filters").

``/{unsafe or HMAC}/trim/AxB:CxD/fit-in/-ExF/HALIGN/VALIGN/smart/filters:NAME(ARGUMENTS)/{source}``
Dynamic Image Transformation takes the same without the first segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from worker.domain.image import Fit, Gravity
from worker.services.translation.request import (
    ForeignRequest,
    colour,
    invalid,
    number,
    pixels,
    readable,
)

SERVICE = "thumbor"
SIGNED = re.compile(r"unsafe|[A-Za-z0-9_-]{27}=")
"""The first segment: SHA-1 as URL-safe base64."""
_CROP = re.compile(r"(\d{1,9})x(\d{1,9}):(\d{1,9})x(\d{1,9})")
_SIZE = re.compile(r"(?=[^/]*[0-9g])(-?)(\d{0,9}|orig)x(-?)(\d{0,9}|orig)")
_FILTERS = re.compile(r"filters:(.+?\))/")
_FILTER = re.compile(r"([a-z_]+)\(([^)]*)\)")
_HORIZONTAL = {"left": Gravity.WEST, "center": Gravity.CENTRE, "right": Gravity.EAST}
_VERTICAL = {"top": Gravity.NORTH, "middle": Gravity.CENTRE, "bottom": Gravity.SOUTH}
_CORNERS = {
    ("left", "top"): Gravity.NORTH_WEST,
    ("right", "top"): Gravity.NORTH_EAST,
    ("left", "bottom"): Gravity.SOUTH_WEST,
    ("right", "bottom"): Gravity.SOUTH_EAST,
}
_AROUND = "cuts at pixels of one picture: a recipe cuts around the asset's focal point"


def parse(path: str) -> ForeignRequest:
    """Read the path of a URL. Raises InputError."""
    first, _, rest = path.strip("/").partition("/")
    if not SIGNED.fullmatch(first):
        raise invalid("the first segment is neither unsafe nor a signature")
    wanted = ForeignRequest(service=SERVICE)
    wanted.source = readable(options(wanted, rest))
    return wanted


def options(wanted: ForeignRequest, rest: str) -> str:
    """Read the segments of options, in their fixed order; what follows them: the source."""
    parts = rest.split("/")

    def taken(pattern: str) -> str:
        return parts.pop(0) if parts and re.fullmatch(pattern, parts[0]) else ""

    taken("debug")
    if taken("meta"):
        raise invalid("this is the endpoint of metadata: GET /assets/{asset} of the API")
    if trim := taken(r"trim(?::(?:top-left|bottom-right))?(?::\d+)?"):
        wanted.lose(trim)
    if crop := taken(_CROP.pattern):
        left, top, right, bottom = map(float, crop.replace(":", "x").split("x"))
        wanted.region = (left, top, right, bottom)
        wanted.lose(crop, _AROUND)
    fit_in = taken("(?:adaptive-)?(?:full-)?fit-in")
    if len(fit_in) > len("fit-in"):
        wanted.lose(fit_in, "is fit-in here")
    _read_size(wanted, taken(_SIZE.pattern))
    if wanted.width and wanted.height and not fit_in:
        wanted.fit, wanted.enlarge = Fit.COVER, True
    _align(wanted, taken("left|center|right"), taken("top|middle|bottom"))
    if taken("smart"):
        wanted.gravity = Gravity.ATTENTION
    source = "/".join(parts)
    if found := _FILTERS.match(source):
        for name, given in _FILTER.findall(found[1]):
            _filter(wanted, name, given)
        source = source[found.end() :]
    return source


def _read_size(wanted: ForeignRequest, text: str) -> None:
    if not text:
        return
    found = _SIZE.fullmatch(text)
    assert found is not None
    flipped, width, turned, height = found.groups()
    if flipped or turned:
        wanted.lose(text, "is not flipped: edit the original")
    if "orig" in (width, height):
        wanted.lose(text, "has no counterpart: orig is 0 here, in proportion")
    wanted.width = 0 if width == "orig" else pixels(width)
    wanted.height = 0 if height == "orig" else pixels(height)


def _align(wanted: ForeignRequest, across: str, down: str) -> None:
    one, other = _HORIZONTAL.get(across), _VERTICAL.get(down)
    if (across, down) in _CORNERS:
        wanted.gravity = _CORNERS[across, down]
    else:
        wanted.gravity = next(
            (found for found in (one, other) if found not in (None, Gravity.CENTRE)),
            Gravity.CENTRE,
        )


def _filter(wanted: ForeignRequest, name: str, given: str) -> None:
    if name in _READERS:
        _READERS[name](wanted, given)
    elif name not in _NOTHING:
        wanted.lose(f"{name}({given})", _LOST.get(name, "has no counterpart: edit the original"))


def _quality(wanted: ForeignRequest, given: str) -> None:
    wanted.quality = int(number(given or "0", 0, 100))


def _format(wanted: ForeignRequest, given: str) -> None:
    wanted.choose_format(given)


def _jpeg(wanted: ForeignRequest, _given: str) -> None:
    wanted.choose_format("jpeg")


def _fill(wanted: ForeignRequest, given: str) -> None:
    shade = given.partition(",")[0].strip()
    wanted.fit = Fit.CONTAIN
    if shade in ("auto", "blur", "transparent"):
        wanted.lose(f"fill({given})", "is one colour: white unless the recipe says another")
    else:
        wanted.background = colour(shade)


def _background(wanted: ForeignRequest, given: str) -> None:
    if given == "auto":
        wanted.lose("background_color(auto)", "is one colour")
    else:
        wanted.background = colour(given)


def _focal(wanted: ForeignRequest, given: str) -> None:
    found = _CROP.fullmatch(given)
    if found is None:
        raise invalid(f"{given[:40]!r} is no focal area")
    left, top, right, bottom = map(float, found.groups())
    wanted.region, wanted.gravity = (left, top, right, bottom), Gravity.FOCAL
    wanted.notes.append(
        "the focal area is in pixels of this picture: give the asset its own focal point"
    )


def _stretch(wanted: ForeignRequest, _given: str) -> None:
    if wanted.width and wanted.height:
        wanted.fit = Fit.EXACT


def _no_upscale(wanted: ForeignRequest, _given: str) -> None:
    wanted.enlarge = False


def _upscale(wanted: ForeignRequest, _given: str) -> None:
    wanted.enlarge = True


def _sharpen(wanted: ForeignRequest, given: str) -> None:
    wanted.sharpen = number(given.partition(",")[0] or "0", 0, 100) > 0


def _still(wanted: ForeignRequest, _given: str) -> None:
    wanted.still = True


def _proportion(wanted: ForeignRequest, given: str) -> None:
    wanted.scale *= number(given, 0.01, 1)


def _smart_crop(wanted: ForeignRequest, _given: str) -> None:
    wanted.gravity = Gravity.ATTENTION
    wanted.notes.append("no faces are detected: attention finds what draws the eye")


def _animated(wanted: ForeignRequest, given: str) -> None:
    wanted.still = given.strip().lower() == "false"


def _rotate(wanted: ForeignRequest, given: str) -> None:
    if number(given or "0", -3600, 3600) % 360:
        wanted.lose(f"rotate({given})")


_READERS: Mapping[str, Callable[[ForeignRequest, str], None]] = {
    "quality": _quality,
    "format": _format,
    "autojpg": _jpeg,
    "fill": _fill,
    "background_color": _background,
    "focal": _focal,
    "stretch": _stretch,
    "no_upscale": _no_upscale,
    "upscale": _upscale,
    "sharpen": _sharpen,
    "cover": _still,
    "proportion": _proportion,
    "smart_crop": _smart_crop,
    "animated": _animated,
    "rotate": _rotate,
}
_NOTHING = frozenset({"strip_exif", "strip_icc"})
"""Safelight does it always."""
_LOST: Mapping[str, str] = {
    "max_bytes": "is a `target` of a recipe: a look instead of a size",
    "watermark": "is [renditions.watermark] of a recipe, which needs the picture beside it",
    "extract_focal_points": "has no counterpart: give the asset a focal point",
}
