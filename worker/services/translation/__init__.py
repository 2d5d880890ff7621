"""Translates URLs of other image services: the URL here, and the recipe that it needs.

A URL that only asks for a width becomes ``w/{width}``. Anything else (a box, a cut, a quality) is a
named rendition, whose TOML is given too. An option without a counterpart is named with the reason.
docs/migrate.md shows the rules.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from worker.domain.asset import AssetRecord, asset_id_of
from worker.domain.delivery import COMMON, WIDTHS
from worker.domain.errors import InputError
from worker.domain.image import Fit, Format, Gravity
from worker.services.translation import image_handler, imgproxy, thumbor
from worker.services.translation.request import (
    LONGEST,
    MOST_PIXELS,
    ForeignRequest,
    LostOption,
    invalid,
)

SERVICES = (imgproxy.SERVICE, thumbor.SERVICE, image_handler.SERVICE)
FORMATS = (COMMON, Format.WEBP)
"""Of a rendition whose format the edge chooses."""
SHARPEN = 0.5
"""Strength of the unsharp mask for any request to sharpen: units differ between services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A URL of another service, here."""

    given: str
    service: str
    source: str
    """The original, as the service names it."""
    object: str
    """The same as ``s3://bucket/key``; empty if no mapping says so."""
    asset: str
    """Its id; empty if the object is not known."""
    url: str
    """With ``{asset}`` and ``{version}`` in place of what is not known."""
    recipe: str
    """TOML of the rendition that the URL names; empty for a width."""
    notes: tuple[str, ...]
    lost: tuple[LostOption, ...]


def read(
    url: str, *, service: str | None = None, presets: Mapping[str, str] | None = None
) -> ForeignRequest:
    """Parse a URL into a request.

    Args:
        service: one of ``SERVICES``, if it is known.
        presets: of imgproxy, by name.

    Raises:
        InputError: ``input_url_too_long``: it has more than ``LONGEST`` characters;
            ``input_url_unknown``: it is of no service; ``input_url_invalid``: it is of a service,
            but not as documented.
    """
    if len(url) > LONGEST:
        message = f"a URL of {len(url)} characters is longer than {LONGEST}"
        raise InputError(message, code="input_url_too_long")
    if not url.isascii() or not url.isprintable():
        raise invalid("a URL has ASCII characters only: others are percent-encoded")
    path, query = _parts(url)
    try:
        chosen = service or _service(path, query)
        if chosen == imgproxy.SERVICE:
            return imgproxy.parse(path, presets or {})
        if chosen == thumbor.SERVICE:
            return thumbor.parse(path)
        return image_handler.parse(path, query)
    except UnicodeDecodeError as error:
        raise invalid("the percent-encoded text is not UTF-8") from error


def _parts(url: str) -> tuple[str, dict[str, str]]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise invalid(f"{error}") from error
    if parts.scheme not in ("", "http", "https"):
        raise invalid(f"{parts.scheme} is no scheme of images on the web")
    try:
        query = dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise invalid("the query has more than 100 parameters") from error
    return parts.path, query


def _service(path: str, query: Mapping[str, str]) -> str:
    """The service of a URL, by its form."""
    first, *rest = path.strip("/").split("/")
    if image_handler.document(path) is not None:
        return image_handler.SERVICE
    if rest and imgproxy.looks_like(rest) and not _thumbors(rest):
        return imgproxy.SERVICE
    if rest and thumbor.SIGNED.fullmatch(first):
        return thumbor.SERVICE
    names = {*image_handler.QUERY, "grayscale", "quality"}
    if _thumbors([first, *rest]) or any(one in names or one.startswith("resize.") for one in query):
        return image_handler.SERVICE
    message = f"this is no URL of {', '.join(SERVICES)}; --from says which"
    raise InputError(message, code="input_url_unknown")


def _thumbors(parts: Sequence[str]) -> bool:
    """Whether segments are thumbor's. ``trim:10`` is of both services."""
    wanted = ForeignRequest(service=thumbor.SERVICE)
    try:
        rest = thumbor.options(wanted, "/".join(parts))
    except InputError:
        return any(one.startswith("filters:") for one in parts)
    trimmed = parts[0].startswith("trim") and rest.count("/") == len(parts) - 2
    return rest != "/".join(parts) and not trimmed


def translate(
    given: str,
    wanted: ForeignRequest,
    *,
    host: str = "https://{host}",
    mappings: Sequence[tuple[str, str]] = (),
    record: AssetRecord | None = None,
) -> Translation:
    """The URL here.

    Args:
        host: of the distribution.
        mappings: what a source begins with, and what its ``s3://`` URL begins with instead.
        record: of the asset, if it is known.
    """
    asset = asset_of(wanted.source, mappings)
    target = object_of(wanted.source, mappings)
    version = record.version if record is not None else "{version}"
    width, height = _box(wanted)
    ending = f".{wanted.format.extension}" if wanted.format is not None else ""
    notes = list(wanted.notes)
    if _by_width(wanted, width, height):
        served = next((one for one in WIDTHS if one >= width), WIDTHS[-1])
        file, recipe = f"w/{served}{ending}", ""
        if served != width:
            notes.append(f"{width} pixels: w/{served} is the nearest width that is served")
        if wanted.enlarge:
            notes.append("a smaller original is not enlarged")
    else:
        name, recipe = _rendition(wanted, width, height)
        file = f"{name}{ending}"
    notes += _focal_note(wanted, record)
    return Translation(
        given=given,
        service=wanted.service,
        source=wanted.source,
        object=target,
        asset=asset,
        url=f"{host.rstrip('/')}/{asset or '{asset}'}/{version}/{file}",
        recipe=recipe,
        notes=tuple(notes),
        lost=tuple(wanted.lost),
    )


def object_of(source: str, mappings: Sequence[tuple[str, str]]) -> str:
    """The ``s3://`` URL of a source by the first mapping that fits; empty without one."""
    for begins, target in mappings:
        if source.startswith(begins):
            return target + source[len(begins) :]
    return ""


def asset_of(source: str, mappings: Sequence[tuple[str, str]]) -> str:
    """The id of the asset of a source; empty if no mapping says its object."""
    bucket, _, key = object_of(source, mappings).removeprefix("s3://").partition("/")
    return asset_id_of(bucket, key) if bucket and key else ""


def _box(wanted: ForeignRequest) -> tuple[int, int]:
    """Width and height in pixels, scaled, within what a recipe takes."""
    width, height = (
        min(MOST_PIXELS, max(1, round(one * wanted.scale))) if one else 0
        for one in (wanted.width, wanted.height)
    )
    return width, height


def _by_width(wanted: ForeignRequest, width: int, height: int) -> bool:
    """Whether ``w/{width}`` is the same picture."""
    return (
        width > 0
        and not height
        and not (wanted.background or wanted.sharpen or wanted.still)
        and not (wanted.quality or wanted.qualities)
    )


def _rendition(wanted: ForeignRequest, width: int, height: int) -> tuple[str, str]:
    """Name and TOML of the rendition."""
    fit = wanted.fit if width and height else Fit.INSIDE
    values: dict[str, object] = {}
    if not width and not height:
        width = height = MOST_PIXELS  # the original's size: nothing is enlarged
    values |= {"width": width} if width else {}
    values |= {"height": height} if height else {}
    if fit is not Fit.INSIDE:
        values["fit"] = fit.value
    if fit is Fit.COVER and wanted.gravity is not Gravity.CENTRE:
        values["gravity"] = wanted.gravity.value
        if wanted.gravity is Gravity.FOCAL:
            # That of an asset replaces this one.
            values["focal_point"] = list(wanted.focal_point or (0.5, 0.5))
    if wanted.enlarge and width < MOST_PIXELS:
        values["enlarge"] = True
    if wanted.background:
        values["background"] = wanted.background
    if wanted.sharpen:
        values["sharpen"] = SHARPEN
    if wanted.still:
        values["frames"] = 1
    formats = _formats(wanted)
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    lines.append(f"formats = [{', '.join(formats)}]")
    # The same request has the same name, and another one another.
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:4]
    size = "full" if width == height == MOST_PIXELS else f"{width or ''}x{height or ''}"
    name = f"{fit.value}-{size}-{digest}"
    return name, "\n".join(["[[renditions]]", f'name = "{name}"', *lines, ""])


def _formats(wanted: ForeignRequest) -> list[str]:
    chosen: Sequence[Format] = FORMATS
    if wanted.format in (Format.PNG, Format.GIF):
        chosen = [wanted.format]
    elif wanted.format is not None and wanted.format not in FORMATS:
        chosen = [COMMON, wanted.format]
    found = []
    for one in chosen:
        quality = wanted.qualities.get(one, wanted.quality)
        if quality and one not in (Format.PNG, Format.GIF):
            found.append(f'{{ format = "{one.value}", quality = {quality} }}')
        else:
            found.append(f'"{one.value}"')
    return found


def _focal_note(wanted: ForeignRequest, record: AssetRecord | None) -> list[str]:
    """The focal point of an area, where the picture's size is known."""
    if wanted.region is None or record is None or record.probe is None:
        return []
    left, top, right, bottom = wanted.region
    x = min(1.0, (left + right) / 2 / record.probe.upright_width)
    y = min(1.0, (top + bottom) / 2 / record.probe.upright_height)
    point = json.dumps({"focal_point": {"x": round(x, 3), "y": round(y, 3)}})
    return [f"PATCH /assets/{record.asset} {point} keeps the middle of that area"]
