"""A recipe written out in full: as JSON-ready values, as TOML, and as its digest.

The three agree by construction: the TOML is written from the values, reading it again gives the
same digest, and the digest is taken from the values too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from worker.domain.image import Encoding, Recipe
from worker.domain.moderation import ModerationRules, ModerationTier
from worker.domain.workflow import APPROVE, NO_WORKFLOW
from worker.recipes.schema import TABLES, TRAITS

_EDITION = "safelight-recipe-1"
"""Goes into every digest. Raise it when a key comes to mean something else."""

_FIRST_ACCEPTED = ["avif", "bmp", "gif", "heic", "jpeg", "png", "tiff", "webp"]
"""Default input formats at the time of the first digests."""


def as_dict(recipe: Recipe) -> dict[str, object]:
    """``recipe`` in the shape of its file with every default spelled out, ready for JSON.

    Keys are those of docs/recipes.md. Unset values (a missing height) and values without effect
    (the quality of lossless output) are omitted, because TOML has no null. The digest and the
    contents of watermark pictures are not in it.
    """
    values = _table(recipe)
    if recipe.workflow_file:
        values["workflow"] = recipe.workflow_file
    return values


def dump(recipe: Recipe) -> str:
    """``recipe`` as TOML with every default spelled out.

    Parsing the text again, in the same folder if it has watermark pictures, gives an equal
    recipe with the same digest.
    """
    return "\n".join(_toml(as_dict(recipe))) + "\n"


def fingerprint(recipe: Recipe) -> str:
    """SHA-256 of what ``recipe`` means, 64 hex digits.

    Not part of it: the description, comments, the order of keys, whether a default was written
    out, the paths of watermark pictures, and what its workflow does. Part of it: their contents,
    name and version, the name of the workflow, and the order of renditions and formats, which
    decides what a client falls back to.
    """
    meaning = as_dict(recipe)
    meaning.pop("description", None)
    if recipe.formats == Recipe.__dataclass_fields__["formats"].default:
        # The digest of a recipe that names no formats stays when a format is added to all of them.
        meaning["accept"] = _FIRST_ACCEPTED
    # Recipes of before there were workflows keep their digest.
    meaning["approval"] = recipe.approval
    meaning["workflow"] = recipe.workflow
    if recipe.workflow in {NO_WORKFLOW, APPROVE}:
        meaning.pop("workflow")
    text = json.dumps([_EDITION, _by_content(meaning, recipe.assets)], sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _by_content(value: object, assets: Mapping[str, bytes]) -> object:
    """``value`` with the path of each watermark picture replaced by its SHA-256."""
    if isinstance(value, list):
        return [_by_content(item, assets) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: _by_content(item, assets) for key, item in value.items()}
    image = copy.get("image")
    if isinstance(image, str) and image in assets:
        copy["image"] = "sha256:" + hashlib.sha256(assets[image]).hexdigest()
    return copy


# --- to values --------------------------------------------------------------------------------

_TABLES = {table.fills: table for table in TABLES}


def _table(value: object) -> dict[str, object]:
    keys = _TABLES[type(value)].keys
    found = {
        name: getattr(value, key.field or name)
        for name, key in keys.items()
        if not key.field.startswith("-")
    }
    if isinstance(value, Encoding):
        effective = _effective(value)
        found = {name: item for name, item in found.items() if name in effective}
    if isinstance(value, ModerationRules):
        found = {name: item for name, item in found.items() if name not in _unused(value)}
    return {name: _value(item) for name, item in found.items() if item is not None}


def _effective(encoding: Encoding) -> set[str]:
    """The keys that make a difference to the file that is written."""
    names = {"format", *TRAITS[encoding.format].keys}
    if not encoding.first_view:
        # The digest of a recipe that makes all at upload stays what it was without the choice.
        names -= {"first_view"}
    if encoding.repack:
        names -= {"quality", "target", "distance", "lossless", "progressive"}
    elif encoding.lossless:
        names -= {"quality", "target", "distance"}
    elif encoding.target is not None or encoding.distance is not None:
        names -= {"quality"}
    return names


def _unused(rules: ModerationRules) -> set[str]:
    """The keys of moderation that its tiers leave without effect."""
    unused: set[str] = set()
    if ModerationTier.EARLIER not in rules.tiers:
        unused = {"near_duplicates"}
    if ModerationTier.CLASSIFIER not in rules.tiers:
        return unused | {"uncertain", "sample"}
    return unused if ModerationTier.REKOGNITION in rules.tiers else unused | {"sample"}


def _value(value: object) -> object:
    if is_dataclass(value):
        return _table(value)
    if isinstance(value, frozenset):
        return sorted(str(item) for item in value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    # Members of a StrEnum are written as plain text.
    return str(value) if isinstance(value, str) else value


# --- to TOML ----------------------------------------------------------------------------------


def _toml(values: Mapping[str, object], header: str = "") -> Iterator[str]:
    """Lines of a table: its own keys first, because a header ends them."""
    nested: dict[str, Any] = {key: item for key, item in values.items() if _has_header(key, item)}
    for key, item in values.items():
        if key not in nested:
            yield f"{key} = {_inline(item)}"
    for key, item in nested.items():
        path = f"{header}{key}"
        tables: list[dict[str, object]] = item if isinstance(item, list) else [item]
        for table in tables:
            yield ""
            yield f"[[{path}]]" if isinstance(item, list) else f"[{path}]"
            yield from _toml(table, f"{path}.")


def _has_header(key: str, value: object) -> bool:
    # Formats read best as one inline table a line.
    return isinstance(value, dict) or (key == "renditions" and isinstance(value, list))


def _inline(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's text is TOML's, except that TOML wants DEL escaped (TOML 1.0, "String").
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + "".join(f"  {_inline(item)},\n" for item in value) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return repr(value)
