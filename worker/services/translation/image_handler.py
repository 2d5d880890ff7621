"""URLs of Dynamic Image Transformation for Amazon CloudFront, formerly Serverless Image Handler
(docs.aws.amazon.com/solutions, "Create and use image requests", "Use filters", "Use supported Query
Parameter edits").

Three forms: a JSON document in base64 (``{"bucket", "key", "edits"}``, edits of sharp), thumbor's
segments before a key, and a key with edits in the query, which may also follow the other two.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from worker.domain.image import Fit, Format, Gravity
from worker.services.translation import thumbor
from worker.services.translation.request import (
    ForeignRequest,
    colour,
    invalid,
    number,
    pixels,
    readable,
)

SERVICE = "image-handler"
QUERY = frozenset({"format", "fit", "width", "height", "rotate", "flip", "flop", "greyscale"})
"""Edits of the query; ``grayscale`` is the same as ``greyscale``."""
_IGNORED = frozenset({"signature", "expires"})
_FITS = {
    "cover": Fit.COVER,
    "contain": Fit.CONTAIN,
    "fill": Fit.EXACT,
    "inside": Fit.INSIDE,
}
_POSITIONS = {
    **{one.value.replace("-", ""): one for one in Gravity},
    **{"center": Gravity.CENTRE, "centre": Gravity.CENTRE},
    **{"top": Gravity.NORTH, "right": Gravity.EAST, "bottom": Gravity.SOUTH, "left": Gravity.WEST},
    **{"righttop": Gravity.NORTH_EAST, "rightbottom": Gravity.SOUTH_EAST},
    **{"leftbottom": Gravity.SOUTH_WEST, "lefttop": Gravity.NORTH_WEST},
    "entropy": Gravity.ATTENTION,
}
del _POSITIONS["focal"]


def document(path: str) -> dict[str, Any] | None:
    """The JSON document of a path; None if it is none."""
    encoded = path.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", encoded):
        return None
    bare = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        found = json.loads(data)
    except (binascii.Error, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "key" in found else None


def parse(path: str, query: Mapping[str, str]) -> ForeignRequest:
    """Read path and query of a URL. Raises InputError."""
    wanted = ForeignRequest(service=SERVICE)
    found = document(path)
    if found is not None:
        wanted.source = _named(found.get("bucket"), found["key"])
        edits = found.get("edits", {})
        if not isinstance(edits, dict):
            raise invalid("edits is no object")
        if isinstance(found.get("outputFormat"), str):
            wanted.choose_format(found["outputFormat"])
    else:
        edits = {}
        _path(wanted, path)
    _edits(wanted, edits)
    _edits(wanted, _of_query(query))
    return wanted


def _named(bucket: object, key: object) -> str:
    if not isinstance(key, str) or not isinstance(bucket, (str, type(None))):
        raise invalid("bucket and key must be text")
    return readable(key.replace("%", "%25")) if not bucket else f"s3://{bucket}/{readable(key)}"


def _path(wanted: ForeignRequest, path: str) -> None:
    rest = path.strip("/").removeprefix("unsafe/")
    source = thumbor.options(wanted, rest)
    bucket, _, key = source.partition("/")
    if bucket.startswith("s3:") and key:
        source = f"s3://{bucket[3:]}/{key}"
    wanted.source = readable(source)


def _of_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Parameters as edits. Version 8 writes ``resize.width`` for ``width``."""
    edits: dict[str, Any] = {}
    for name, text in query.items():
        short = name.removeprefix("resize.")
        if short in ("width", "height", "fit", "position", "background", "withoutEnlargement"):
            edits.setdefault("resize", {})[short] = text
        elif name == "format":
            edits["toFormat"] = text
        elif name not in _IGNORED:
            edits[name] = text
    return edits


def _edits(wanted: ForeignRequest, edits: Mapping[str, Any]) -> None:
    for name, value in edits.items():
        if value in (None, False, "false", "0", ""):
            continue
        if name in _READERS:
            _READERS[name](wanted, value)
        elif name in _QUALITIES:
            _quality(wanted, _QUALITIES[name], value)
        elif name not in _NOTHING:
            shown = json.dumps(value)[:80]
            why = _LOST.get(name, "has no counterpart: edit the original")
            wanted.lose(f"{name} {shown}", why)


def _resize(wanted: ForeignRequest, value: object) -> None:
    if not isinstance(value, dict):
        raise invalid("resize is no object")
    width, height = (_pixels(value.get(name)) for name in ("width", "height"))
    wanted.width, wanted.height = width or wanted.width, height or wanted.height
    fit = value.get("fit")
    if fit == "outside":
        wanted.fit = Fit.COVER
        wanted.lose("fit outside", "is cover here, which cuts what is over")
    elif fit is not None and str(fit) not in _FITS:
        raise invalid(f"{str(fit)[:40]!r} is no fit")
    elif fit is not None:
        wanted.fit = _FITS[str(fit)]
    elif wanted.fit is Fit.INSIDE and wanted.width and wanted.height:
        wanted.fit = Fit.COVER  # sharp's default
    wanted.enlarge = value.get("withoutEnlargement") not in (True, "true", "1")
    position = value.get("position", value.get("gravity"))
    if position is not None:
        name = re.sub(r"[ _-]", "", str(position))
        if name not in _POSITIONS:
            raise invalid(f"{str(position)[:40]!r} is no position")
        wanted.gravity = _POSITIONS[name]
    if value.get("background") is not None:
        wanted.background = _colour(value["background"])
    elif wanted.fit is Fit.CONTAIN:
        wanted.background = wanted.background or "#000000"  # sharp's default


def _pixels(value: object) -> int:
    if isinstance(value, float) and math.isfinite(value):
        value = round(value)
    if value is None or isinstance(value, bool) or not isinstance(value, (int, str)):
        return 0
    return pixels(str(value))


def _colour(value: object) -> str:
    if isinstance(value, str):
        return colour(value.removeprefix("#"))
    if isinstance(value, dict):
        red, green, blue = (int(number(str(value.get(one, 0)), 0, 255)) for one in "rgb")
        return f"#{red:02x}{green:02x}{blue:02x}"
    raise invalid("a colour is neither a text nor r, g and b")


def _quality(wanted: ForeignRequest, format_: Format, value: object) -> None:
    options = value if isinstance(value, dict) else {"quality": value}
    quality = options.get("quality")
    if quality is not None:
        wanted.qualities[format_] = int(number(str(quality), 1, 100))


def _quality_of_all(wanted: ForeignRequest, value: object) -> None:
    wanted.quality = int(number(str(value), 1, 100))


def _format(wanted: ForeignRequest, value: object) -> None:
    wanted.choose_format(str(value))


def _flatten(wanted: ForeignRequest, value: object) -> None:
    if isinstance(value, dict) and "background" in value:
        wanted.background = _colour(value["background"])


def _smart_crop(wanted: ForeignRequest, _value: object) -> None:
    wanted.gravity = Gravity.ATTENTION
    wanted.notes.append("no faces are detected: attention finds what draws the eye")


def _area(wanted: ForeignRequest, value: object) -> None:
    if not isinstance(value, dict):
        raise invalid("the area to cut is no object")
    left, top, width, height = (
        number(str(value.get(one, 0)), 0, 1_000_000) for one in ("left", "top", "width", "height")
    )
    wanted.region = (left, top, left + width, top + height)
    wanted.lose(
        f"crop {left:g},{top:g} {width:g}x{height:g}",
        "cuts at pixels of one picture: a recipe cuts around the asset's focal point",
    )


def _rotate(wanted: ForeignRequest, value: object) -> None:
    if number(str(value), -3600, 3600) % 360:
        wanted.lose(f"rotate {value}")


def _sharpen(wanted: ForeignRequest, _value: object) -> None:
    wanted.sharpen = True


def _animated(wanted: ForeignRequest, _value: object) -> None:
    wanted.still = False


_READERS: Mapping[str, Callable[[ForeignRequest, Any], None]] = {
    "resize": _resize,
    "toFormat": _format,
    "quality": _quality_of_all,
    "flatten": _flatten,
    "smartCrop": _smart_crop,
    "crop": _area,
    "extract": _area,
    "rotate": _rotate,
    "sharpen": _sharpen,
    "animated": _animated,
}
_QUALITIES = {
    "jpeg": Format.JPEG,
    "webp": Format.WEBP,
    "avif": Format.AVIF,
}
_NOTHING = frozenset({"png", "gif", "stripExif", "stripIcc"})
"""Safelight does it always, or it is no loss: PNG and GIF have no quality here."""
_LOST: Mapping[str, str] = {
    "overlayWith": "is [renditions.watermark] of a recipe, which needs the picture beside it",
    "watermark": "is [renditions.watermark] of a recipe, which needs the picture beside it",
    "contentModeration": "is the moderation of uploads, not of a URL",
    "policy": "is a rendition of a recipe: give its parameters in the URL to translate it",
    "tiff": "is no format of renditions",
    "heif": "is no format of renditions",
}
