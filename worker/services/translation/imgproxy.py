"""URLs of imgproxy (docs.imgproxy.net, "Processing an image").

``/{signature}/{option}:{argument}:.../.../plain/{source}@{extension}``, or the source in URL-safe
base64 with ``.{extension}``. The format of imgproxy 1 (``/fit/300/400/sm/0/...``) is gone since
version 3 and is not read.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence

from worker.domain.image import Fit, Gravity
from worker.services.translation.request import (
    ForeignRequest,
    colour,
    invalid,
    number,
    pixels,
    readable,
)

Arguments = Sequence[str]
SERVICE = "imgproxy"
_DEEPEST = 5
"""Presets in presets."""
GRAVITIES = {
    "ce": Gravity.CENTRE,
    "no": Gravity.NORTH,
    "so": Gravity.SOUTH,
    "ea": Gravity.EAST,
    "we": Gravity.WEST,
    "noea": Gravity.NORTH_EAST,
    "nowe": Gravity.NORTH_WEST,
    "soea": Gravity.SOUTH_EAST,
    "sowe": Gravity.SOUTH_WEST,
}
_TRUE = ("1", "t", "true")


def parse(path: str, presets: Mapping[str, str]) -> ForeignRequest:
    """Read the path of a URL.

    Args:
        presets: options by name, as ``IMGPROXY_PRESETS`` has them.

    Raises:
        InputError: it is not as documented.
    """
    wanted = ForeignRequest(service=SERVICE)
    _, *parts = path.strip("/").split("/")
    while parts and ":" in parts[0] and parts[0] != "plain":
        _option(wanted, parts.pop(0), presets, depth=0)
    if not parts:
        raise invalid("there is no source after the options")
    extension = _source(wanted, parts)
    if extension and extension != "best":
        wanted.choose_format(extension)
    return wanted


def looks_like(parts: Sequence[str]) -> bool:
    """Whether the segments after a signature may be of imgproxy."""
    first = parts[0] if parts else ""
    return first in ("plain", "enc") or first.partition(":")[0] in {*_OPTIONS, *_LOST, *_NOTHING}


def _source(wanted: ForeignRequest, parts: list[str]) -> str:
    """Set the source; the extension behind it."""
    if parts[0] == "enc":
        raise invalid("the source is encrypted: only imgproxy's key can tell what it is")
    if parts[0] == "plain":
        text, at, extension = "/".join(parts[1:]).rpartition("@")
        wanted.source = readable(text if at else extension)
        return extension if at else ""
    encoded, _, extension = "".join(parts).partition(".")
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", encoded):
            raise ValueError(encoded)
        data = base64.urlsafe_b64decode(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4))
        wanted.source = readable(data.decode())
    except ValueError as error:  # of base64 and of UTF-8
        raise invalid("the source is neither after /plain/ nor base64") from error
    return extension


def _option(wanted: ForeignRequest, text: str, presets: Mapping[str, str], *, depth: int) -> None:
    name, *given = text.split(":")
    if name in ("preset", "pr"):
        for preset in given:
            if preset not in presets or depth == _DEEPEST:
                wanted.lose(f"preset:{preset}", f"is not known here: --preset {preset}=OPTIONS")
                continue
            for one in presets[preset].split("/"):
                _option(wanted, one, presets, depth=depth + 1)
    elif name in _OPTIONS:
        _OPTIONS[name](wanted, given)
    elif name in _NOTHING:
        pass
    else:
        wanted.lose(text, _LOST.get(name, "has no counterpart"))


def _at(given: Arguments, index: int) -> str:
    return given[index] if index < len(given) else ""


def _size(wanted: ForeignRequest, given: Arguments) -> None:
    for name, index in (("width", 0), ("height", 1)):
        if _at(given, index):
            setattr(wanted, name, pixels(_at(given, index)))
    if _at(given, 2):
        _enlarge(wanted, given[2:])
    if _at(given, 3):
        _extend(wanted, given[3:])


def _resize(wanted: ForeignRequest, given: Arguments) -> None:
    if _at(given, 0):
        _resizing_type(wanted, given)
    _size(wanted, given[1:])


def _resizing_type(wanted: ForeignRequest, given: Arguments) -> None:
    fits = {"fit": Fit.INSIDE, "fill": Fit.COVER, "fill-down": Fit.COVER, "force": Fit.EXACT}
    if given[0] == "auto":
        wanted.fit = Fit.COVER
        wanted.notes.append("auto cuts only pictures of the box's orientation; this cuts all")
    elif given[0] in fits:
        wanted.fit = fits[given[0]]
    else:
        raise invalid(f"{given[0][:40]!r} is no resizing type")


def _width(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.width = pixels(_at(given, 0))


def _height(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.height = pixels(_at(given, 0))


def _enlarge(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.enlarge = _at(given, 0) in _TRUE


def _extend(wanted: ForeignRequest, given: Arguments) -> None:
    if _at(given, 0) not in _TRUE:
        return
    wanted.fit = Fit.CONTAIN
    if _at(given, 1) not in ("", "ce"):
        wanted.lose("extend gravity", "is always the centre")


def _gravity(wanted: ForeignRequest, given: Arguments) -> None:
    kind, offsets = _at(given, 0), [one for one in given[1:3] if one not in ("", "0")]
    if kind == "fp":
        wanted.gravity = Gravity.FOCAL
        wanted.focal_point = (number(_at(given, 1), 0, 1), number(_at(given, 2), 0, 1))
        return
    if kind in ("sm", "obj", "objw"):
        wanted.gravity = Gravity.ATTENTION
        if kind != "sm":
            wanted.notes.append("no objects are detected: attention finds what draws the eye")
        return
    if kind not in GRAVITIES:
        raise invalid(f"{kind[:40]!r} is no gravity")
    wanted.gravity = GRAVITIES[kind]
    if offsets:
        wanted.lose("gravity offset", "is always none: use a focal point")


def _scale(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.scale *= number(_at(given, 0), 0.01, 100)
    if len(given) > 1 and given[1] != given[0]:
        wanted.lose("zoom", "is the same across and down")


def _background(wanted: ForeignRequest, given: Arguments) -> None:
    if len(given) == 3:
        red, green, blue = (int(number(one, 0, 255)) for one in given)
        wanted.background = f"#{red:02x}{green:02x}{blue:02x}"
    elif _at(given, 0):
        wanted.background = colour(given[0])


def _quality(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.quality = int(number(_at(given, 0) or "0", 0, 100))


def _format_quality(wanted: ForeignRequest, given: Arguments) -> None:
    for name, text in zip(given[::2], given[1::2], strict=False):
        one = ForeignRequest(service=SERVICE)
        one.choose_format(name)
        if one.format is None:
            wanted.lost += one.lost
        else:
            wanted.qualities[one.format] = int(number(text, 1, 100))


def _format(wanted: ForeignRequest, given: Arguments) -> None:
    if _at(given, 0) not in ("", "best"):
        wanted.choose_format(given[0])


def _sharpen(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.sharpen = number(_at(given, 0) or "0", 0, 100) > 0


def _still(wanted: ForeignRequest, given: Arguments) -> None:
    wanted.still = _at(given, 0) in _TRUE


def _rotate(wanted: ForeignRequest, given: Arguments) -> None:
    if number(_at(given, 0) or "0", -3600, 3600) % 360:
        wanted.lose(f"rotate:{given[0]}")


def _flip(wanted: ForeignRequest, given: Arguments) -> None:
    if any(one in _TRUE for one in given):
        wanted.lose(f"flip:{':'.join(given)}")


def _named(
    reader: Callable[[ForeignRequest, Arguments], None], *names: str
) -> dict[str, Callable[[ForeignRequest, Arguments], None]]:
    return dict.fromkeys(names, reader)


_OPTIONS: Mapping[str, Callable[[ForeignRequest, Arguments], None]] = {
    **_named(_resize, "resize", "rs"),
    **_named(_size, "size", "s"),
    **_named(_resizing_type, "resizing_type", "rt"),
    **_named(_width, "width", "w"),
    **_named(_height, "height", "h"),
    **_named(_enlarge, "enlarge", "el"),
    **_named(_extend, "extend", "ex", "extend_aspect_ratio", "extend_ar", "exar"),
    **_named(_gravity, "gravity", "g"),
    **_named(_scale, "dpr", "zoom", "z"),
    **_named(_background, "background", "bg"),
    **_named(_quality, "quality", "q"),
    **_named(_format_quality, "format_quality", "fq"),
    **_named(_format, "format", "f", "ext"),
    **_named(_sharpen, "sharpen", "sh"),
    **_named(_still, "disable_animation", "da"),
    **_named(_rotate, "rotate", "rot"),
    **_named(_flip, "flip", "fl"),
}
_NOTHING = frozenset(
    {
        # Safelight always does this.
        *("auto_rotate", "ar", "strip_metadata", "sm", "keep_copyright", "kcr"),
        *("strip_color_profile", "scp"),
        # The version in the URL does it.
        *("cachebuster", "cb"),
        # Cache tags are written from the asset.
        *("cache_tags", "ct"),
        "preset",
        "pr",
    }
)
"""Options whose effect is there without them."""
_MARK = "is [renditions.watermark] of a recipe, which needs the picture beside it"
_LIMIT = "is in [limits] of the recipe, for all uploads"
_LOST: Mapping[str, str] = {
    **dict.fromkeys(("crop", "c", "crop_aspect_ratio", "crop_ar", "car"), (
        "cuts before resizing: a recipe cuts to a shape, around the asset's focal point"
    )),
    **dict.fromkeys(("trim", "t", "padding", "pd", "blur", "bl", "pixelate", "pix"), (
        "has no counterpart: edit the original"
    )),
    **dict.fromkeys(("min-width", "mw", "min-height", "mh"), "has no counterpart"),
    **dict.fromkeys(("watermark", "wm", "watermark_url", "wmu", "watermark_text", "wmt"), _MARK),
    **dict.fromkeys(("max_bytes", "mb", "autoquality", "aq"), (
        "is a `target` of a recipe: a look instead of a size"
    )),
    **dict.fromkeys(("raw", "skip_processing", "skp"), (
        "gives the original: GET /assets/{asset}/original signs a URL of it"
    )),
    **dict.fromkeys(("expires", "exp"), "has no counterpart: URLs of renditions do not expire"),
    **dict.fromkeys(("filename", "fn", "return_attachment", "att"), (
        "has no counterpart: use the attribute `download` of a link"
    )),
    **dict.fromkeys(
        ("max_src_resolution", "msr", "max_src_file_size", "msfs", "max_animation_frames", "maf"),
        _LIMIT,
    ),
    **dict.fromkeys(("preserve_hdr", "ph"), "is `keep = [\"gainmap\"]` for JPEG with a gain map"),
    **dict.fromkeys(("page", "pg", "pages", "pgs"), "has no counterpart: the first one is taken"),
}  # fmt: skip
"""Reasons, by option; all others have no counterpart."""
