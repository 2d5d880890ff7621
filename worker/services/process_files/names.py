"""Names of output folders: readable, safe for file systems and URLs, never shared by two sources.

A function of the paths alone: the order of arguments and the time of day change nothing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath

LONGEST = 80
"""Characters of a name before its hash; file systems allow 255 bytes."""

_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)
"""Windows keeps these for devices, whatever their ending."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}")


def slug(stem: str) -> str:
    """Return ``stem`` in ASCII letters, digits, ``-`` and ``_``, at most LONGEST characters.

    Accents are taken off; anything else becomes ``-``. A stem with nothing left is ``image``.
    """
    letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    kept = re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-")[:LONGEST].rstrip("-")
    if not kept:
        return "image"
    return f"{kept}-file" if kept.lower() in _DEVICES else kept


def assign(
    sources: Iterable[tuple[str, str]],
    *,
    known: Mapping[str, str],
    occupied: Callable[[str], bool],
) -> dict[str, str]:
    """Give each source a name of its own.

    A source that has a name keeps it. A new one gets its slug if nobody else in this run wants
    it and nothing has it; otherwise every new one of that slug gets a hash of its path behind
    it. Names that differ only in case count as the same: some file systems cannot hold both.

    Args:
        sources: pairs of identity (unique) and the path to name and hash it by.
        known: names given in earlier runs, by identity.
        occupied: whether the output folder holds something of that name that is not ours.

    Returns: the name of each identity.
    """
    pairs = list(sources)
    names = {identity: known[identity] for identity, _ in pairs if identity in known}
    fresh = sorted({identity: path for identity, path in pairs if identity not in known}.items())
    taken = {name.lower() for name in known.values()}
    wanted = {identity: slug(PurePath(path).stem) for identity, path in fresh}
    wishes = Counter(name.lower() for name in wanted.values())
    for identity, path in fresh:
        plain = wanted[identity]
        clash = wishes[plain.lower()] > 1
        candidates = (
            *(() if clash else (plain,)),
            f"{plain}-{_hash(path, 8)}",
            f"{plain}-{_hash(identity, 16)}",
        )
        for name in candidates:
            if name.lower() not in taken and not occupied(name):
                break
        else:
            name = f"{plain}-{_hash(identity, 40)}"  # somebody made folders of our names by hand
        names[identity] = name
        taken.add(name.lower())
    return names


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:digits]
