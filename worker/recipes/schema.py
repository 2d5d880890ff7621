"""The table of every key a recipe may have: name, kind, and the field of the model it sets.

What lives here: data. Defaults are those of the dataclasses in ``domain.image``, except what a
format alone decides (:data:`TRAITS`). docs/recipes.md is tested against these tables.
What may not: reading (``kinds``) and rules between keys (``building``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from worker.domain.image import (
    OUTPUT_FORMATS,
    Encoding,
    Fit,
    Format,
    Gamut,
    Gravity,
    KeepTag,
    Limits,
    QualityTarget,
    Recipe,
    RenditionSpec,
    Watermark,
)
from worker.recipes.kinds import (
    BAD,
    ChoiceSet,
    Flag,
    Nested,
    Number,
    OneOf,
    Point,
    Problems,
    Text,
    ValueType,
    Whole,
    join,
    suggestion,
)

MAXIMUM_RENDITIONS = 32
"""Every file is a PUT to pay for and a wait for whoever uploads; more is a mistake."""
MAXIMUM_SIDE = 16_384
"""Pixels; what AVIF and the browsers' canvases end at."""
WEBP_SIDE = 16_383
"""Pixels; VP8 and VP8L headers have 14 bits for a side (RFC 9649, section 2.5)."""

_NAME = Text(
    pattern=r"[a-z0-9][a-z0-9_-]*",
    words="1 to 64 lower-case letters, digits, - and _, starting with a letter or digit",
    longest=64,
)
_SIDE = Whole(1, MAXIMUM_SIDE)
_COLOUR = Text(pattern=r"#[0-9A-Fa-f]{6}", words="a colour as #rrggbb", longest=7, lower=True)
# C0 and C1 control characters, line and paragraph separators, halves of surrogate pairs
_NO_CONTROLS = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeKey:
    """One key of a table."""

    kind: ValueType
    field: str = ""
    """Name of the dataclass field if it is not the key's own; ``-`` if there is none."""
    required: bool = False


@dataclass(frozen=True, slots=True)
class RecipeTable:
    """The keys of one table and the dataclass they fill."""

    title: str
    """How messages and the docs call it; the top of the file is an empty text."""
    fills: type
    keys: Mapping[str, RecipeKey]

    def read(self, raw: Mapping[str, object], path: str, problems: Problems) -> Values:
        """The values that are right, by field name; everything else is reported."""
        values: dict[str, Any] = {}
        bad: set[str] = set()
        for name, value in raw.items():
            key = self.keys.get(name)
            if key is None:
                problems.add(join(path, name), "" if problems.full else self._unknown(name))
                continue
            read = key.kind.read(value, join(path, name), problems)
            field = key.field or name
            if read is BAD:
                bad.add(field)
            else:
                values[field] = read
        for name, key in self.keys.items():
            if key.required and name not in raw:
                problems.add(join(path, name), "is missing")
                bad.add(key.field or name)
        return Values(values, frozenset(bad))

    def _unknown(self, name: str) -> str:
        near = suggestion(name, self.keys)
        homes = [table.title for table in TABLES if name in table.keys]
        # TOML puts what follows a [table] header into that table, so keys get lost easily.
        if not near and "" in homes:
            return "unknown key here; it belongs to the top of the file, before the first [table]"
        if not near and homes:
            return f"unknown key here; it belongs to {homes[0]}"
        return f"unknown key{near}"


@dataclass(frozen=True, slots=True)
class Values:
    """What a table says: the fields that are right, and the names of those that are not."""

    good: dict[str, Any]
    bad: frozenset[str]

    def wrong(self, *fields: str) -> bool:
        """Whether one of ``fields`` was reported already: rules about it would only add noise."""
        return not self.bad.isdisjoint(fields)


# --- formats ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a format lets a recipe choose."""

    default: Encoding
    """Used where the recipe is silent. Fields the format has no choice in stay as they are
    here, so that they never tell two recipes apart."""
    lossy: bool
    """Has a quality, and so may have a target."""
    effort: Whole | None
    progressive: bool
    lossless: bool
    """May be asked for lossless output."""
    side: int = MAXIMUM_SIDE


# Measured (docs/recipes.md): WebP effort 2 is 1.2 % larger than effort 4 in 40 % of the time;
# AVIF at quality 65 and effort 0 looks like JPEG at 80, in 1.5 times the time of WebP.
TRAITS: Final[Mapping[Format, Traits]] = MappingProxyType(
    {
        Format.JPEG: Traits(
            default=Encoding(format=Format.JPEG, quality=80, effort=0, progressive=True),
            lossy=True,
            effort=None,
            progressive=True,
            lossless=False,
        ),
        Format.WEBP: Traits(
            default=Encoding(format=Format.WEBP, quality=80, effort=2, progressive=False),
            lossy=True,
            effort=Whole(0, 6),
            progressive=False,
            lossless=True,
            side=WEBP_SIDE,
        ),
        Format.AVIF: Traits(
            default=Encoding(format=Format.AVIF, quality=65, effort=0, progressive=False),
            lossy=True,
            effort=Whole(0, 9),
            progressive=False,
            lossless=True,
        ),
        Format.PNG: Traits(
            # Interlaced PNG is larger and slower; off unless asked for.
            default=Encoding(format=Format.PNG, quality=100, effort=6, progressive=False),
            lossy=False,
            effort=Whole(1, 9),
            progressive=True,
            lossless=False,
        ),
        Format.GIF: Traits(
            # 7 is libvips' own default effort for GIF; not a choice.
            default=Encoding(format=Format.GIF, quality=100, effort=7, progressive=False),
            lossy=False,
            effort=None,
            progressive=False,
            lossless=False,
        ),
    }
)

OUTPUTS: Final = tuple(member for member in Format if member in OUTPUT_FORMATS)


# --- tables -----------------------------------------------------------------------------------

TARGET: Final = RecipeTable(
    "the target of a format",
    QualityTarget,
    {
        "ssim": RecipeKey(kind=Number(0.5, 0.999), required=True),
        "minimum": RecipeKey(kind=Whole(1, 100)),
        "maximum": RecipeKey(kind=Whole(1, 100)),
    },
)

ENCODING: Final = RecipeTable(
    "an entry of formats, or [defaults.<format>]",
    Encoding,
    {
        "format": RecipeKey(kind=OneOf(OUTPUTS), required=True),
        "quality": RecipeKey(kind=Whole(1, 100)),
        "effort": RecipeKey(kind=Whole(0, 9)),
        "progressive": RecipeKey(kind=Flag()),
        "lossless": RecipeKey(kind=Flag()),
        "target": RecipeKey(kind=Nested("table", dict)),
    },
)
"""The keys of all formats together; :func:`encoding_keys` has those of one."""

WATERMARK: Final = RecipeTable(
    "the watermark of a rendition",
    Watermark,
    {
        "image": RecipeKey(
            kind=Text(pattern=r"(?s).*", words="a path of 1 to 500 characters", longest=500)
        ),
        "text": RecipeKey(
            kind=Text(pattern=_NO_CONTROLS, words="one line of 1 to 200 characters", longest=200)
        ),
        "position": RecipeKey(
            kind=OneOf(tuple(g for g in Gravity if g not in (Gravity.ATTENTION, Gravity.FOCAL)))
        ),
        "opacity": RecipeKey(kind=Number(0, 1)),
        "scale": RecipeKey(kind=Number(0.01, 1)),
        "margin": RecipeKey(kind=Number(0, 0.5)),
        "colour": RecipeKey(kind=_COLOUR),
    },
)

RENDITION: Final = RecipeTable(
    "[[renditions]]",
    RenditionSpec,
    {
        "name": RecipeKey(kind=_NAME, required=True),
        "formats": RecipeKey(kind=Nested("array", list), field="encodings", required=True),
        "width": RecipeKey(kind=_SIDE),
        "height": RecipeKey(kind=_SIDE),
        "fit": RecipeKey(kind=OneOf(tuple(Fit))),
        "gravity": RecipeKey(kind=OneOf(tuple(Gravity))),
        "focal_point": RecipeKey(kind=Point()),
        "enlarge": RecipeKey(kind=Flag()),
        "background": RecipeKey(kind=_COLOUR),
        "sharpen": RecipeKey(kind=Number(0, 5)),
        "watermark": RecipeKey(kind=Nested("table", dict)),
        "frames": RecipeKey(kind=Whole(1, 100_000)),
        "minimum_saving": RecipeKey(kind=Number(-1, 0.9)),
    },
)

LIMITS: Final = RecipeTable(
    "[limits]",
    Limits,
    {
        "bytes": RecipeKey(kind=Whole(1, 2_000_000_000)),
        "pixels": RecipeKey(kind=Whole(1, 2_000_000_000)),
        "dimension": RecipeKey(kind=Whole(1, 1_000_000)),
        "frames": RecipeKey(kind=Whole(1, 100_000)),
        "animation_pixels": RecipeKey(kind=Whole(1, 10_000_000_000)),
        "duration": RecipeKey(kind=Number(0.1, 86_400)),
    },
)

RECIPE: Final = RecipeTable(
    "",
    Recipe,
    {
        "name": RecipeKey(kind=_NAME, required=True),
        "version": RecipeKey(kind=Whole(1, 1_000_000), required=True),
        "description": RecipeKey(
            kind=Text(
                pattern=_NO_CONTROLS.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"),
                words="at most 1000 characters",
                longest=1000,
                shortest=0,
            )
        ),
        "accept": RecipeKey(kind=ChoiceSet(tuple(Format), shortest=1), field="formats"),
        "gamut": RecipeKey(kind=OneOf(tuple(Gamut))),
        "linear": RecipeKey(kind=Flag()),
        "keep": RecipeKey(kind=ChoiceSet(tuple(KeepTag))),
        "approval": RecipeKey(kind=Flag()),
        "limits": RecipeKey(kind=Nested("table", dict)),
        "defaults": RecipeKey(kind=Nested("table", dict), field="-"),
        "renditions": RecipeKey(kind=Nested("array of tables", list), required=True),
    },
)

TABLES: Final = (RECIPE, LIMITS, RENDITION, ENCODING, TARGET, WATERMARK)
"""All of them, in the order of the docs."""

DERIVED_FIELDS: Final = frozenset({"digest", "assets"})
"""Fields of the model that a recipe file does not set: they are computed from it."""


def encoding_keys(format_: Format) -> dict[str, RecipeKey]:
    """The keys of ``ENCODING`` that ``format_`` has, with its own ranges, without ``format``."""
    traits = TRAITS[format_]
    keys: dict[str, RecipeKey] = {}
    if traits.lossy:
        keys |= {name: ENCODING.keys[name] for name in ("quality", "target")}
    if traits.effort is not None:
        keys["effort"] = RecipeKey(kind=traits.effort)
    if traits.progressive:
        keys["progressive"] = ENCODING.keys["progressive"]
    if traits.lossless:
        keys["lossless"] = ENCODING.keys["lossless"]
    return keys
