"""Owner, tags, attributes and recipe: what they may be, and how an object carries them.

S3 keeps with each object what a client sends as ``x-amz-meta-*``. Four names are read from there
when an upload is recorded (all values are percent-encoded UTF-8, so that they are plain ASCII):

- ``owner``: one text;
- ``tags``: texts with commas between them, ``holiday,north%20sea``;
- ``attributes``: names and values as in a query string, ``camera=X100&roll=12``; a plus is a space;
- ``recipe``: the name of a recipe of the deployment.

Metadata is from outside: what cannot be stored is left out with a reason, and the rest is kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, unquote, unquote_plus

from worker.domain.errors import InputError

OWNER, TAGS, ATTRIBUTES, RECIPE = "owner", "tags", "attributes", "recipe"
"""Names of the metadata, behind ``x-amz-meta-``."""

MAX_TAGS = 40
"""Of one asset. A change of all of them fits one DynamoDB transaction (100 items)."""
MAX_ATTRIBUTES = 40
MAX_NAME = 128
"""Characters of a tag or of an attribute's name."""
MAX_VALUE = 1024
"""Characters of an attribute's value. All attributes and tags stay far below the 400 kB of an
item."""
MAX_ID = 200
"""Characters of an id or an owner: with four bytes each they fit a sort key (1,024 bytes)."""
MAX_METADATA = 2048
"""Bytes of names and values of all metadata of an object (Amazon S3 User Guide, "Working with
object metadata")."""
_MAX_REASON = 200
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
RECIPE_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
"""The form of a recipe's name."""

_Said = TypeVar("_Said")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMetadata:
    """User metadata of an upload."""

    owner: str = ""
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)
    recipe: str = ""
    """Name of the chosen recipe; empty for the deployment's own."""
    ignored: tuple[str, ...] = ()
    """A reason for each thing that was left out."""


def to_metadata(said: UserMetadata) -> dict[str, str]:
    """The values as metadata of the object; empty values are omitted.

    Raises:
        InputError: one of them cannot be stored, or together they are more than an object can
            carry.
    """
    if said.owner:
        check_id(said.owner, "owner")
    check_tags(said.tags, said.attributes)
    if said.recipe:
        _recipe(said.recipe)
    pairs = (f"{_quoted(name)}={_quoted(value)}" for name, value in said.attributes.items())
    found = {
        OWNER: _quoted(said.owner),
        TAGS: ",".join(_quoted(tag) for tag in sorted(said.tags)),
        ATTRIBUTES: "&".join(pairs),
        RECIPE: said.recipe,
    }
    metadata = {name: value for name, value in found.items() if value}
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > MAX_METADATA:
        raise InputError(
            f"owner, tags and attributes take {size} bytes; an object carries {MAX_METADATA}"
        )
    return metadata


def from_metadata(metadata: Mapping[str, str]) -> UserMetadata:
    """Parse the metadata of an object. Never fails: see ``UserMetadata.ignored``.

    Args:
        metadata: lower-case names without ``x-amz-meta-``.
    """
    ignored: list[str] = []
    owners = _kept("owner", [metadata.get(OWNER, "")], _owner, 1, ignored)
    tags = _kept("tags", metadata.get(TAGS, "").split(","), _tag, MAX_TAGS, ignored)
    pairs = metadata.get(ATTRIBUTES, "").split("&")
    attributes = _kept("attributes", pairs, _attribute, MAX_ATTRIBUTES, ignored)
    chosen = _kept("recipe", [metadata.get(RECIPE, "")], _recipe, 1, ignored)
    return UserMetadata(
        owner=next(iter(owners), ""),
        tags=frozenset(tags),
        attributes=dict(attributes),
        recipe=next(iter(chosen), ""),
        ignored=tuple(ignored),
    )


def merged(
    known: tuple[frozenset[str], Mapping[str, str]], new: tuple[frozenset[str], Mapping[str, str]]
) -> tuple[frozenset[str], dict[str, str]]:
    """Tags and attributes of an asset after a newer upload of it: both, the newer value of an
    attribute. If there would be too many, existing values stay.
    """
    free = MAX_TAGS - len(known[0])
    tags = known[0] | frozenset(sorted(new[0] - known[0])[: max(free, 0)])
    attributes = dict(known[1])
    for name, value in new[1].items():
        if name in attributes or len(attributes) < MAX_ATTRIBUTES:
            attributes[name] = value
    return tags, attributes


# --- what may be stored ----------------------------------------------------------------------


def check_tags(tags: frozenset[str], attributes: Mapping[str, str]) -> None:
    """Raise InputError unless the tags and attributes of one asset can be stored."""
    if len(tags) > MAX_TAGS:
        raise InputError(f"{len(tags)} tags: an asset has at most {MAX_TAGS}")
    if len(attributes) > MAX_ATTRIBUTES:
        raise InputError(f"{len(attributes)} attributes: an asset has at most {MAX_ATTRIBUTES}")
    for tag in tags:
        _check_text(tag, "tag", 1, MAX_NAME)
    for name, value in attributes.items():
        _check_attribute(name, value)


def check_id(text: str, what: str) -> None:
    """Raise InputError unless an asset's id, an owner or a tag may be part of a key."""
    _check_text(text, what, 1, MAX_ID)


def _check_attribute(name: str, value: str) -> None:
    _check_text(name, "attribute name", 1, MAX_NAME)
    _check_text(value, f"value of attribute {name}", 0, MAX_VALUE)


def _check_text(text: str, what: str, least: int, most: int) -> None:
    if not least <= len(text) <= most:
        raise InputError(f"the {what} has {least} to {most} characters, not {len(text)}")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"the {what} is not valid Unicode: {text!r}")
    if least:  # a text that people search for
        _check_printable(text, what)
        if not text.strip():
            raise InputError(f"the {what} is blank")


def _check_printable(text: str, what: str) -> None:
    # Marks of direction make a text look like another one (Unicode Standard Annex 9).
    if any(unicodedata.category(one) == "Cc" or one in _DIRECTIONS for one in text):
        raise InputError(f"the {what} has a control character: {ascii(text)[:60]}")


# --- reading metadata -------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _kept(
    what: str,
    texts: Iterable[str],
    read: Callable[[str], _Said],
    most: int,
    ignored: list[str],
) -> list[_Said]:
    """Read each text; say in ``ignored`` what cannot be read, and how many are too many."""
    found: dict[_Said, None] = {}
    for text in texts:
        if not text.strip():
            continue
        try:
            found[read(text.strip())] = None
        except UnicodeDecodeError:
            ignored.append(f"{what}: {ascii(text)[:60]} is not percent-encoded UTF-8")
        except InputError as error:
            ignored.append(f"{what}: {error.message[:_MAX_REASON]}")
    if len(found) > most:
        ignored.append(f"{what}: {len(found) - most} more than {most}")
    return list(found)[:most]


def _owner(text: str) -> str:
    owner = unquote(text, errors="strict")
    check_id(owner, "owner")
    return owner


def _recipe(text: str) -> str:
    if re.fullmatch(RECIPE_NAME, text) is None:
        raise InputError(f"{ascii(text)[:80]} is not a recipe name")
    return text


def _tag(text: str) -> str:
    tag = unquote(text, errors="strict")
    check_tags(frozenset({tag}), {})
    return tag


def _attribute(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{ascii(text)[:60]} has no value: write name=value")
    name = unquote_plus(name, errors="strict")
    value = unquote_plus(value, errors="strict")
    _check_attribute(name, value)
    _check_printable(value, "value")
    return name, value
