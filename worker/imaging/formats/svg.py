"""Whether an SVG is a plain drawing, and how large it says it is.

The XML is scanned without building a tree. The rasteriser (librsvg, given bytes and no base
address) loads nothing from outside either; the scan rejects such files with a clear reason instead
of drawing them with holes. It rejects entities, scripts, event handlers, HTML, animation of
references, and every reference that is not to a part of the same file or to an embedded PNG or JPEG
(whose sizes count as limits say). A plain DOCTYPE without declarations is harmless and common
(Inkscape, Graphviz), so it passes.

No scan can bound the work of drawing: a few hundred bytes of filters, dashes or overlapping shapes
can keep the rasteriser busy for minutes and take gigabytes. A service that takes SVG from strangers
rasterises it in the sandbox.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException, EntitiesForbidden
from defusedxml.ElementTree import DefusedXMLParser

from worker.domain.errors import Reason, UnsupportedInput
from worker.domain.image import Format
from worker.imaging import rejections
from worker.imaging.formats import structure
from worker.imaging.formats.sniff import sniff

if TYPE_CHECKING:
    from worker.domain.image import Limits

_MOST_ELEMENTS = 50_000
"""Real drawings have fewer; each may cover all pixels."""

_DEEPEST = 200
"""Elements inside each other. Rasterisers recurse; drawings are rarely deeper than twenty."""

_FORBIDDEN = frozenset(
    {
        *("script", "handler", "listener", "foreignobject", "iframe", "frame", "object", "embed"),
        *("applet", "audio", "video", "source", "track", "canvas", "img", "link", "meta", "base"),
        *("form", "input", "button", "html", "body", "include"),
    }
)
"""Local names of elements, in lower case, that run, load or contain something else."""

_ANIMATIONS = frozenset({"animate", "set", "animatecolor", "animatetransform", "animatemotion"})

_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CSS_URL = re.compile(r"url\s*\(\s*(['\"]?)\s*(.*?)\s*\1\s*\)", re.IGNORECASE | re.DOTALL)
_CSS_LOADING = re.compile(
    r"@import|@font-face|@namespace|\b(?:image|image-set|src|element|cross-fade)\s*\("
    r"|expression\s*\(|-moz-binding|\bbehavior\s*:|javascript:",
    re.IGNORECASE,
)
_DATA_URL = re.compile(r"data:image/(?:png|jpe?g)\s*(;[^,]*)?,(.*)", re.IGNORECASE | re.DOTALL)

_LENGTH = re.compile(r"\s*\+?(\d*\.?\d+(?:e[+-]?\d+)?)\.?\s*([a-z]*)\s*", re.IGNORECASE)
_INCH = 72.0
"""Pixels, as libvips' loader has it at scale 1 (CSS has 96)."""

_PIXELS = {
    **{"": 1.0, "px": 1.0, "in": _INCH, "cm": _INCH / 2.54, "mm": _INCH / 25.4},
    **{"pt": _INCH / 72, "pc": _INCH / 6},
}
"""Absolute units of CSS Values and Units 4, section 6.2. Relative ones are left to librsvg."""


def examine(data: bytes, limits: Limits) -> tuple[float, float] | None:
    """Reject all but a plain drawing; return its intrinsic (width, height) in pixels.

    None where the file gives no absolute size: the rasteriser then measures what is drawn.

    Raises:
        UnsupportedInput: UNSAFE_CONTENT.
        DamagedInput: CORRUPT, the XML is not well formed.
        LimitExceeded: the intrinsic size, or the pixels of embedded pictures, are over a limit.
    """
    scan = _Scan(limits)
    parser = _SvgParser(target=scan, forbid_dtd=True)
    try:
        parser.feed(data)
        parser.close()
    except EntitiesForbidden as error:
        raise _unsafe("it declares entities") from error
    except DefusedXmlException as error:
        raise _unsafe("its DOCTYPE declares or loads something") from error
    except (ParseError, ValueError, LookupError) as error:
        if "no element found" in str(error) or "unclosed token" in str(error):
            raise rejections.truncated(Format.SVG) from error
        raise rejections.corrupt(Format.SVG, "its XML is not well formed") from error
    if scan.size is not None:
        width, height = scan.size
        rejections.check_size(math.ceil(width), math.ceil(height), limits)
    return scan.size


def _unsafe(what: str) -> UnsupportedInput:
    return UnsupportedInput(Reason.UNSAFE_CONTENT, f"the SVG is not a plain drawing: {what}")


class _SvgParser(DefusedXMLParser):
    """Lets a DOCTYPE pass that declares nothing; its external part is never fetched."""

    def defused_start_doctype_decl(
        self,
        name: str,
        sysid: str | None,
        pubid: str | None,
        has_internal_subset: bool,  # noqa: FBT001  # expat decides
    ) -> None:
        if has_internal_subset:
            super().defused_start_doctype_decl(name, sysid, pubid, has_internal_subset)


class _Scan:
    """Parser target: looks at every element, attribute and style sheet as it goes by."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.size: tuple[float, float] | None = None
        self._depth = 0
        self._elements = 0
        self._embedded_pixels = 0
        self._style: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _local(tag)
        self._elements += 1
        self._depth += 1
        if self._elements == 1:
            self.size = _intrinsic_size(attributes)
        if self._elements > _MOST_ELEMENTS:
            raise _unsafe(f"it has more than {_MOST_ELEMENTS:,} elements")
        if self._depth > _DEEPEST:
            raise _unsafe(f"elements are nested more than {_DEEPEST} deep")
        if name in _FORBIDDEN:
            raise _unsafe(f"element {name}")
        if name == "style":
            self._style = []
        for key, value in attributes.items():
            self._attribute(name, _local(key), value)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._style is not None and _local(tag) == "style":
            self._check_css("".join(self._style))
            self._style = None

    def data(self, text: str) -> None:
        if self._style is not None:
            self._style.append(text)

    def pi(self, target: str, _text: str | None = None) -> None:
        raise _unsafe(f"processing instruction {target[:40]}")

    def close(self) -> None:
        """Part of the parser's protocol; there is nothing to return."""

    def _attribute(self, element: str, name: str, value: str) -> None:
        if name.startswith("on") and len(name) > 2:
            raise _unsafe(f"event handler {name[:40]}")
        if name in ("href", "src", "data", "action", "formaction", "base"):
            self._check_reference(value)
        elif name == "attributename" and element in _ANIMATIONS:
            target = _local(value.rpartition(":")[2].strip())
            if target in ("href", "style") or target.startswith("on"):
                raise _unsafe(f"an animation of {target[:40]}")
        elif "(" in value or "@" in value or "\\" in value or name == "style":
            self._check_css(value)

    def _check_css(self, text: str) -> None:
        css = _CSS_COMMENT.sub("", _CSS_ESCAPE.sub(_unescape, _CSS_COMMENT.sub("", text)))
        if found := _CSS_LOADING.search(css):
            raise _unsafe(f"style {found.group()[:40]!r}")
        matches = list(_CSS_URL.finditer(css))
        if len(matches) != len(re.findall(r"url\s*\(", css, re.IGNORECASE)):
            raise _unsafe("style with an unfinished url()")
        for match in matches:
            self._check_reference(match.group(2))

    def _check_reference(self, value: str) -> None:
        target = value.strip()
        if not target or target.startswith("#"):
            return
        match = _DATA_URL.fullmatch(target)
        if match is None:
            raise _unsafe("a reference to something outside the file")
        self._check_picture(*match.groups())

    def _check_picture(self, parameters: str | None, content: str) -> None:
        try:
            data = unquote_to_bytes(content)
            if (parameters or "").strip().lower().endswith("base64"):
                data = base64.b64decode(b"".join(data.split()))
        except (binascii.Error, ValueError) as error:
            raise rejections.corrupt(Format.SVG, "an embedded picture is not base64") from error
        kind = sniff(data)
        if kind not in (Format.PNG, Format.JPEG):
            raise _unsafe("an embedded picture that is neither PNG nor JPEG")
        width, height = structure.examine(data, kind, self.limits)
        self._embedded_pixels += width * height
        rejections.check_size(self._embedded_pixels, 1, _pixels_only(self.limits))


def _pixels_only(limits: Limits) -> Limits:
    """The same limit on pixels for several pictures together, which have no one longer side."""
    return type(limits)(pixels=limits.pixels, dimension=max(limits.pixels, limits.dimension) * 1000)


def _local(name: str) -> str:
    """Name without its namespace, in lower case."""
    return name.rpartition("}")[2].lower()


def _unescape(match: re.Match[str]) -> str:
    number, character = match.groups()
    if number is None:
        return str(character)
    code = int(number, 16)
    return chr(code) if 0 < code < 0x110000 else "\ufffd"


def _intrinsic_size(attributes: dict[str, str]) -> tuple[float, float] | None:
    """SVG 2, section 8.2: width and height, each falling back to the view box."""
    named = {_local(key): value for key, value in attributes.items()}
    width, height = (_length(named.get(side, "")) for side in ("width", "height"))
    try:
        box = [float(part) for part in re.split(r"[\s,]+", named.get("viewbox", "").strip())]
    except ValueError:
        box = []
    if len(box) == 4 and box[2] > 0 and box[3] > 0 and all(map(math.isfinite, box)):
        across, down = box[2:]
        if width is None and height is None:
            return across, down
        if width is None and height is not None:
            return height * across / down, height
        if height is None and width is not None:
            return width, width * down / across
    return None if width is None or height is None else (width, height)


def _length(text: str) -> float | None:
    match = _LENGTH.fullmatch(text)
    if match is None or match.group(2).lower() not in _PIXELS:
        return None
    value = float(match.group(1)) * _PIXELS[match.group(2).lower()]
    return value if math.isfinite(value) else float(2**62)
