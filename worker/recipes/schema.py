"""The keys of a recipe: what each may hold, how it is read, and the field of the model it sets.

Reading is strict: nothing is coerced (``"12"`` is not 12, ``true`` is not 1), and every mistake is
a problem with its path. Defaults are those of the dataclasses in ``domain.image``, except what a
format alone decides (:data:`TRAITS`). docs/recipes.md is written from these tables.

cattrs with ``forbid_extra_keys`` could replace the 34 lines of :class:`RecipeTable`, not the tables
nor the readers of single values, whose ranges and words the messages and the docs need. Tried: its
``transform_error`` names fields (``encodings``) where the file has keys (``formats``), gives the
unknown keys of a table as one mistake, and leaves no value to check two keys against each other on
once one key of a table is wrong. Its import takes 44 ms of CPU; importing this package and loading
a recipe take 36, at every cold start.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from worker.domain.errors import Problem
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
from worker.domain.label import MAX_LABELS, LabelRules, tag_of
from worker.domain.moderation import ASKED, CategoryRule, ModerationRules, Unavailable

BAD: Final[Any] = object()
"""Stands for a value that was reported as a problem."""

MAXIMUM_PROBLEMS = 100
"""More than a person reads, and a bound on the work a hostile file can cause."""
MAXIMUM_RENDITIONS = 32
"""Every file is a PUT to pay for and a wait for the uploader; more is a mistake."""
MAXIMUM_CATEGORIES = 64
"""More than any moderator reports at its top level."""
MAXIMUM_FOCUS = 20
"""Labels that cuts may go by."""
MAXIMUM_SIDE = 16_384
"""Pixels; what AVIF and the browsers' canvases end at."""
WEBP_SIDE = 16_383
"""Pixels; VP8 and VP8L headers have 14 bits for a side (RFC 9649, section 2.5)."""

_LONGEST_SHOWN = 40
_LONGEST_SUGGESTED = 40
_LONGEST_LIST = 64


class Problems:
    """Every mistake found so far, in the order of finding; the rest is counted only."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._omitted = 0

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def full(self) -> bool:
        """Whether further problems are counted only: no need to word them well."""
        return len(self._found) >= MAXIMUM_PROBLEMS

    def add(self, path: str, message: str) -> Any:
        """Note one mistake at ``path``; returns :data:`BAD`."""
        if self.full:
            self._omitted += 1
        else:
            self._found.append(Problem(path, message))
        return BAD

    def all(self) -> tuple[Problem, ...]:
        """The parsed values, with one line for dropped mistakes."""
        rest = (Problem("", f"and {self._omitted} more"),) if self._omitted else ()
        return (*self._found, *rest)


# --- how values are shown ---------------------------------------------------------------------


def printable(text: str) -> str:
    """``text`` with everything that could move a terminal's cursor written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """A short description of a TOML value: its kind and, where it is short, the value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to print whole numbers of more than 4300 digits.
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, str):
        return f'the text "{_short(value)}"'
    if isinstance(value, list):
        return "an array"
    return "a table" if isinstance(value, Mapping) else f"the date or time {value}"


def join(path: str, key: str) -> str:
    """Path of ``key`` in the table at ``path``, quoted where TOML would need quotes."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", key):
        key = f'"{_short(key)}"'
    return f"{path}.{key}" if path else key


def _short(text: str) -> str:
    return printable(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for the nearest known word, or nothing."""
    if len(word) > _LONGEST_SUGGESTED:
        return ""
    from difflib import get_close_matches  # here, because only mistakes pay for it

    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def listed(words: Collection[str]) -> str:
    """``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


# --- one key ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeKey:
    """The allowed values of a key, in the words of docs/recipes.md."""

    type: str
    """The TOML type in words."""
    holds: tuple[builtins.type, ...]
    """The same as Python has it. A bool is no int here."""
    range: str = ""
    """Which values of that type are accepted, in words; empty if all."""
    accept: Callable[[Any], Any] = lambda value: value
    """The value as the model has it; BAD if it is out of range."""
    words: tuple[str, ...] = ()
    """Suggestions for a wrong text."""
    read_items: Callable[[list[Any], str, Problems], Any] | None = None
    """Reads an array whose items have problems of their own."""
    field: str = ""
    """Name of the dataclass field if it is not the key's own; it begins with ``-`` if there is
    none."""
    required: bool = False
    meaning: str = ""
    """The meaning, for docs/recipes.md: Markdown; empty if name and range say it."""

    def means(self, meaning: str) -> RecipeKey:
        """The same key with its meaning."""
        return replace(self, meaning=meaning)

    def read(self, value: object, path: str, problems: Problems) -> Any:
        """The value as the model has it, or :data:`BAD` after reporting the mistake."""
        is_bool = isinstance(value, bool)
        if not isinstance(value, self.holds) or is_bool != (bool in self.holds):
            article = "an " if self.type[0] in "aeiou" else "a "
            article = "" if self.type in {"text", "true or false"} else article
            return problems.add(path, f"must be {article}{self.type}, is {shown(value)}")
        if self.read_items is not None:
            return self.read_items(value, path, problems)  # type: ignore[arg-type]  # a list
        found = self.accept(value)
        if found is BAD:
            near = "" if problems.full else suggestion(str(value), self.words) if self.words else ""
            problems.add(path, f"must be {self.range}, is {shown(value)}{near}")
        return found


def _whole(low: int, high: int, *, required: bool = False) -> RecipeKey:
    """``2.0`` is refused as ``"2"`` is."""
    return RecipeKey(
        type="whole number",
        holds=(int,),
        range=f"{low:_} to {high:_}",
        accept=lambda value: value if low <= value <= high else BAD,
        required=required,
    )


def _number(low: float, high: float, *, required: bool = False) -> RecipeKey:
    """Finite; ``1`` and ``1.0`` are the same number and give the same digest."""
    return RecipeKey(
        type="number",
        holds=(int, float),
        range=f"{low:g} to {high:g}",
        # The comparison is false for nan too; -0.0 + 0.0 is 0.0: one number, one digest.
        accept=lambda value: float(value) + 0.0 if low <= value <= high else BAD,
        required=required,
    )


def _text(
    pattern: str, words: str, *, longest: int, shortest: int = 1, required: bool = False
) -> RecipeKey:
    """All of it matches ``pattern``, which ``words`` describe."""
    return RecipeKey(
        type="text",
        holds=(str,),
        range=words,
        accept=lambda value: (
            value if shortest <= len(value) <= longest and re.fullmatch(pattern, value) else BAD
        ),
        required=required,
    )


def _one_of(allowed: Iterable[StrEnum], *, required: bool = False) -> RecipeKey:
    members = {str(member): member for member in allowed}
    return RecipeKey(
        type="text",
        holds=(str,),
        range=listed(members),
        accept=lambda value: members.get(value, BAD),
        words=tuple(members),
        required=required,
    )


def _words(*allowed: str) -> RecipeKey:
    return RecipeKey(
        type="text",
        holds=(str,),
        range=listed(allowed),
        accept=lambda value: value if value in allowed else BAD,
        words=allowed,
    )


def _choices(allowed: Iterable[StrEnum], *, shortest: int = 0, field: str = "") -> RecipeKey:
    """An array of different words; its order means nothing."""
    one = _one_of(allowed)

    def read(value: list[Any], path: str, problems: Problems) -> Any:
        if not shortest <= len(value) <= _LONGEST_LIST:
            return problems.add(path, f"must have {shortest} to {len(one.words)} items")
        members: list[Any] = []
        for index, item in enumerate(value):
            member = one.read(item, f"{path}[{index}]", problems)
            if member is not BAD and member in members:
                member = problems.add(f"{path}[{index}]", f'"{member}" is listed twice')
            members.append(member)
        return BAD if BAD in members else frozenset(members)

    least = "at least one of " if shortest else ""
    return RecipeKey(
        type="array of text",
        holds=(list,),
        range=f"{least}{', '.join(one.words)}",
        read_items=read,
        field=field,
    )


def _pair(names: str, highest: int) -> RecipeKey:
    number = _number(0, highest)

    def read(value: list[Any], path: str, problems: Problems) -> Any:
        if len(value) != 2:
            return problems.add(path, f"must be two numbers, {names}, is {len(value)}")
        pair = tuple(number.read(item, f"{path}[{i}]", problems) for i, item in enumerate(value))
        return BAD if BAD in pair else pair

    return RecipeKey(
        type="array of two numbers", holds=(list,), range=f"0 to {highest} each", read_items=read
    )


# C0 and C1 control characters, line and paragraph separators, halves of surrogate pairs
_NO_CONTROLS = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*"


def _label_names() -> RecipeKey:
    """Names of labels in their order; no two have one tag."""
    one = _text(_NO_CONTROLS, "a name of 1 to 100 characters", longest=100)

    def read(value: list[Any], path: str, problems: Problems) -> Any:
        if len(value) > MAXIMUM_FOCUS:
            return problems.add(path, f"must have at most {MAXIMUM_FOCUS} names, has {len(value)}")
        names: list[Any] = []
        taken: set[str] = set()
        for index, item in enumerate(value):
            name = one.read(item, f"{path}[{index}]", problems)
            if name is not BAD and (not name.strip() or tag_of(name) in taken):
                name = problems.add(f"{path}[{index}]", "is blank, or listed twice")
            taken |= {tag_of(name)} if name is not BAD else set()
            names.append(name)
        return BAD if BAD in names else tuple(names)

    return RecipeKey(
        type="array of text",
        holds=(list,),
        range=f"at most {MAXIMUM_FOCUS} names of labels",
        read_items=read,
    )


_FLAG = RecipeKey(type="true or false", holds=(bool,))
_TABLE = RecipeKey(type="table", holds=(dict,))
_NAME = _text(
    r"[a-z0-9][a-z0-9_-]*",
    "1 to 64 lower-case letters, digits, - and _, starting with a letter or digit",
    longest=64,
    required=True,
)
_SIDE = _whole(1, MAXIMUM_SIDE)
_COLOUR = RecipeKey(
    type="text",
    holds=(str,),
    range="a colour as #rrggbb",
    accept=lambda value: value.lower() if re.fullmatch("#[0-9A-Fa-f]{6}", value) else BAD,
)


# --- tables -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecipeTable:
    """The keys of one table and the dataclass they fill."""

    title: str
    """How messages and the docs call it; the top of the file is an empty text."""
    fills: type
    keys: Mapping[str, RecipeKey]

    def read(self, raw: Mapping[str, object], path: str, problems: Problems) -> dict[str, Any]:
        """The values by field name, :data:`BAD` for each that was reported."""
        values: dict[str, Any] = {}
        for name, value in raw.items():
            here = join(path, name)
            key = self.keys.get(name)
            if key is None:
                problems.add(here, "" if problems.full else self._unknown(name))
            else:
                values[key.field or name] = key.read(value, here, problems)
        for name, key in self.keys.items():
            if key.required and name not in raw:
                values[key.field or name] = problems.add(join(path, name), "is missing")
        return values

    def _unknown(self, name: str) -> str:
        near = suggestion(name, self.keys)
        homes = [table.title for table in TABLES if name in table.keys]
        # TOML puts what follows a [table] header into that table, so keys get lost easily.
        if not near and "" in homes:
            return "unknown key here; it belongs to the top of the file, before the first [table]"
        if not near and homes:
            return f"unknown key here; it belongs to {homes[0]}"
        return f"unknown key{near}"


OUTPUTS: Final = tuple(member for member in Format if member in OUTPUT_FORMATS)

TARGET: Final = RecipeTable(
    "the target of a format",
    QualityTarget,
    {
        "ssim": _number(0.5, 0.999).means(
            "Luma SSIM against the rendition's own pixels before encoding."
        ),
        "ssimulacra2": _number(30, 95).means(
            "SSIMULACRA2 against the same; met within 1.5 points."
        ),
        "minimum": _whole(1, 100).means("Lowest quality tried."),
        "maximum": _whole(1, 100).means("Highest quality tried."),
    },
)

ENCODING: Final = RecipeTable(
    "an entry of formats, or [defaults.<format>]",
    Encoding,
    {
        "format": _one_of(OUTPUTS, required=True).means(
            "Not in `[defaults.FORMAT]`, where the name of the table says it."
        ),
        "quality": _whole(1, 100).means("Not comparable between formats."),
        "effort": _whole(0, 9).means("How hard the encoder tries."),
        "progressive": _FLAG.means("Progressive JPEG and JPEG XL, interlaced PNG."),
        "lossless": _FLAG.means("Keep every pixel, colours below full transparency included."),
        "target": _TABLE.means("A look instead of a quality, see below."),
        "distance": _number(0.05, 25).means(
            "JPEG XL: the Butteraugli distance in place of a quality. 1 is quality 90, 1.9 is 80."
        ),
        "repack": _FLAG.means(
            "JPEG XL: the JPEG of this rendition, packed without loss. See below."
        ),
        "first_view": _FLAG.means(
            "Delivery makes the file when somebody asks for it first; ingest does not. See below."
        ),
    },
)
"""The keys of all formats together; :data:`TRAITS` has those of one."""

WATERMARK: Final = RecipeTable(
    "the watermark of a rendition",
    Watermark,
    {
        "image": _text(r"(?s).*", "a path of 1 to 500 characters", longest=500).means(
            "A PNG, JPEG or WebP of at most 5 MB, relative to the recipe file and, links "
            "followed, in its folder or below."
        ),
        "text": _text(_NO_CONTROLS, "one line of 1 to 200 characters", longest=200),
        "position": _one_of(g for g in Gravity if g not in (Gravity.ATTENTION, Gravity.FOCAL)),
        "opacity": _number(0, 1).means("0 is not there, 1 hides what is under it."),
        "scale": _number(0.01, 1).means("Width of the mark as a share of the rendition's width."),
        "margin": _number(0, 0.5).means(
            "Distance from the edges as a share of the rendition's shorter side."
        ),
        "colour": _COLOUR.means("Of text."),
    },
)

RENDITION: Final = RecipeTable(
    "[[renditions]]",
    RenditionSpec,
    {
        "name": _NAME.means("The file's name without its ending."),
        "formats": RecipeKey(type="array", holds=(list,), field="encodings", required=True).means(
            "Names of formats, or tables as below; each format once. The first is what "
            "clients fall back to."
        ),
        "width": _SIDE.means("Pixels. WebP ends at 16383."),
        "height": _SIDE.means("Pixels. `inside` needs one of the two, all others both."),
        "fit": _one_of(Fit).means(
            "`inside`: the whole picture, as large as fits. `cover`: fills the box, cut at "
            "the gravity. `contain`: the whole picture on a background of exactly the box. "
            "`exact`: exactly the box, stretched."
        ),
        "gravity": _one_of(Gravity).means(
            "Which part a `cover` keeps. `attention` finds what draws the eye (edges, skin "
            "tones, strong colours); `focal` keeps the `focal_point`."
        ),
        "focal_point": _pair("[x, y]", 1).means(
            "Shares of width and height as a person sees them, `[0, 0]` top left."
        ),
        "enlarge": _FLAG.means("Small pictures are scaled up to the box."),
        "background": _COLOUR.means("Under transparency in JPEG, and around a `contain`."),
        "sharpen": _number(0, 5).means(
            "Strength of the unsharp mask after resizing; 0 is off, 0.5 to 1 is usual."
        ),
        "watermark": _TABLE.means("See below."),
        "frames": _whole(1, 100_000).means(
            "Most frames kept of an animation; 1 makes a still; not set keeps all."
        ),
        "minimum_saving": _number(-1, 0.9).means(
            "A format after the first is dropped unless it is this share smaller than the "
            "smallest one kept before it; 0.05 is 5 %. Negative keeps all."
        ),
    },
)

LIMITS: Final = RecipeTable(
    "[limits]",
    Limits,
    {
        "bytes": _whole(1, 2_000_000_000).means("Of the file."),
        "pixels": _whole(1, 2_000_000_000).means("Of one frame."),
        "dimension": _whole(1, 1_000_000).means("Longer side of one frame, pixels."),
        "frames": _whole(1, 100_000).means("Frames of an animation, pages of a document."),
        "animation_pixels": _whole(1, 10_000_000_000).means(
            "Pixels of all frames of an animation together."
        ),
        "duration": _number(0.1, 86_400).means("Seconds of one run of an animation."),
    },
)

CATEGORY: Final = RecipeTable(
    "an entry of categories",
    CategoryRule,
    {
        "name": _NAME.means(
            "`explicit`, `nudity`, `swimwear`, `violence`, `disturbing`, `drugs`, `alcohol`, "
            "`gestures`, `gambling`, `hate`, or a category of your own classifier."
        ),
        "blur": _number(1, 100).means(
            "From this confidence on a person looks at it, and everybody gets a blurred "
            "picture meanwhile."
        ),
        "hold": _number(1, 100).means(
            "From this confidence on a person looks at it, and nobody gets it meanwhile."
        ),
        "reject": _number(1, 100).means("From this confidence on it is rejected."),
    },
)

MODERATION: Final = RecipeTable(
    "[moderation]",
    ModerationRules,
    {
        "categories": RecipeKey(type="array of tables", holds=(list,), required=True).means(
            "What leads to what, 1 to 64 tables as below."
        ),
        "tiers": _choices(ASKED, shortest=1).means(
            "Who is asked, in this order whatever the order here. `classifier` needs one in "
            "the deployment (`SAFELIGHT_CLASSIFIER`)."
        ),
        "near_duplicates": _FLAG.means(
            "`earlier` goes by pictures that look alike, too. Its price grows with the "
            "catalog ([docs/moderation.md](moderation.md#prices))."
        ),
        "uncertain": _pair("[from, below]", 100).means(
            "Confidences of the classifier that decide nothing: from the first one on, below "
            "the second. Rekognition is asked then, or a person where it is no tier."
        ),
        "sample": _number(0, 1).means(
            "Share of what the classifier lets pass that Rekognition is asked about as well. "
            "It stays public meanwhile."
        ),
        "unavailable": _one_of(Unavailable).means(
            "What becomes of a picture about which no moderator can be asked."
        ),
    },
)

LABELS: Final = RecipeTable(
    "[labels]",
    LabelRules,
    {
        "confidence": _number(0, 100).means(
            "Labels of which the model is less certain are left out."
        ),
        "most": _whole(1, MAX_LABELS).means("Labels that are kept, the most certain ones."),
        "tags": _FLAG.means(
            "Each label becomes a tag, `label:dog`, under which assets are listed."
        ),
        "focus": _label_names().means(
            "Cuts keep the boxes of the first of these labels in the middle that the picture "
            "has, unless somebody has set a focal point. The most wanted comes first: "
            '`["Face", "Person", "Dog"]`.'
        ),
    },
)

RECIPE: Final = RecipeTable(
    "",
    Recipe,
    {
        "name": _NAME.means("What manifests and the catalog call the recipe."),
        "version": _whole(1, 1_000_000, required=True).means(
            "Raise it when the recipe changes: files of two versions live side by side."
        ),
        "description": _text(
            _NO_CONTROLS.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"),
            "at most 1000 characters",
            longest=1000,
            shortest=0,
        ).means("For people; not part of the digest."),
        "accept": _choices(Format, shortest=1, field="formats").means(
            "Formats of uploads, found from their content. SVG has to be asked for."
        ),
        "gamut": _one_of(Gamut).means(
            "Colours of the renditions. `p3` keeps pictures wider than sRGB in Display P3, "
            "with its profile."
        ),
        "linear": _FLAG.means(
            "Resize in linear light: right for fine bright detail, about five times as slow."
        ),
        "keep": _choices(KeepTag).means(
            "Metadata that renditions carry. The catalog has all of it either way. `gainmap`: "
            "see [Gain maps](#gain-maps)."
        ),
        "workflow": RecipeKey(
            type="text",
            holds=(str,),
            range="none, a workflow that ships, or the path of a workflow file, ending in .toml",
        ).means(
            "What an upload goes through beyond the ordinary way: see "
            "[docs/workflows.md](workflows.md). A path is relative to the recipe and stays in "
            "its folder. A recipe with `[moderation]` and without this key means `moderate`."
        ),
        "approval": replace(_FLAG, field="-approval").means(
            'The older word: `true` means `workflow = "approve"`.'
        ),
        "limits": _TABLE.means("What is refused before decoding."),
        "moderation": _TABLE.means(
            "Which pictures must wait for a person, or are rejected: see [moderation]. "
            "Without it nothing is moderated."
        ),
        "labels": _TABLE.means(
            "What becomes of what a model sees in a picture: see [labels]. Without it no "
            "model is asked."
        ),
        "defaults": replace(_TABLE, field="-defaults").means(
            "`[defaults.jpeg]`, `[defaults.webp]`...: what entries of `formats` start from."
        ),
        "renditions": RecipeKey(type="array of tables", holds=(list,), required=True).means(
            "The files to make, 1 to 32."
        ),
    },
)

TABLES: Final = (
    RECIPE,
    LIMITS,
    MODERATION,
    CATEGORY,
    LABELS,
    RENDITION,
    ENCODING,
    TARGET,
    WATERMARK,
)
"""All of them, in the order of the docs."""

DERIVED_FIELDS: Final = frozenset({"digest", "assets", "workflow_file", "definition"})
"""Fields of the model that a recipe file does not set: they are computed from it."""


# --- formats ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """The options of a format in a recipe."""

    default: Encoding
    """Used where the recipe is silent. Fields the format has no choice in stay as they are
    here, so that they never tell two recipes apart."""
    keys: Mapping[str, RecipeKey]
    """The keys of :data:`ENCODING` that it has, with its own ranges, without ``format``."""
    side: int = MAXIMUM_SIDE


_LOSSY = {name: ENCODING.keys[name] for name in ("quality", "target")}
_PROGRESSIVE = {"progressive": _FLAG}
_LOSSLESS = {"lossless": _FLAG}
_FIRST_VIEW = {"first_view": _FLAG}

ALIKE: Final[Mapping[Format, int]] = MappingProxyType(
    {Format.JPEG: 80, Format.WEBP: 85, Format.AVIF: 66, Format.JXL: 78}
)
"""Qualities of a recipe that states none: those at which a picture of 1024 pixels looks as JPEG 80.

By mean SSIMULACRA2, as the curves of ``safelight bench`` say: nine photos ask for 85, 67 and 79, 24
others for 86, 66 and 77. With these here each format is within 1.2 points of JPEG on both.
"""


def _default(kind: Format, *, effort: int, progressive: bool = False) -> Encoding:
    return Encoding(format=kind, quality=ALIKE[kind], effort=effort, progressive=progressive)


# Measured (docs/recipes.md): WebP effort 2 is 1.2 % larger than effort 4 in 40 % of the time;
# AVIF at effort 0 takes 1.5 times the time of WebP.
TRAITS: Final[Mapping[Format, Traits]] = MappingProxyType(
    {
        Format.JPEG: Traits(
            default=_default(Format.JPEG, effort=0, progressive=True),
            keys=_LOSSY | _PROGRESSIVE | _FIRST_VIEW,
        ),
        Format.WEBP: Traits(
            default=_default(Format.WEBP, effort=2),
            keys=_LOSSY | {"effort": _whole(0, 6)} | _LOSSLESS | _FIRST_VIEW,
            side=WEBP_SIDE,
        ),
        Format.AVIF: Traits(
            default=_default(Format.AVIF, effort=0),
            keys=_LOSSY | {"effort": _whole(0, 9)} | _LOSSLESS | _FIRST_VIEW,
        ),
        Format.JXL: Traits(
            # Effort 3 takes the CPU of WebP at effort 2 (docs/decisions/0011).
            default=_default(Format.JXL, effort=3, progressive=True),
            keys=_LOSSY
            | {"distance": ENCODING.keys["distance"], "effort": _whole(1, 10)}
            | _PROGRESSIVE
            | _LOSSLESS
            | {"repack": _FLAG}
            | _FIRST_VIEW,
        ),
        Format.PNG: Traits(
            # Interlaced PNG is larger and slower; off unless asked for.
            default=Encoding(format=Format.PNG, quality=100, effort=6, progressive=False),
            keys={"effort": _whole(1, 9)} | _PROGRESSIVE | _FIRST_VIEW,
        ),
        Format.GIF: Traits(
            # 7 is libvips' own default effort for GIF; not a choice.
            default=Encoding(format=Format.GIF, quality=100, effort=7, progressive=False),
            keys=_FIRST_VIEW,
        ),
    }
)
