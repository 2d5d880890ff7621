"""Mix files of load tests: strict TOML to :class:`~worker.domain.load.Mix`, and the bytes of the
files.

docs/load.md describes the keys and is tested against :data:`FILE` and :data:`CLIENTS`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.asset import Status, UploadMethod
from worker.domain.errors import MixError, Reason, RecipeError
from worker.domain.load import Mix, MixFile
from worker.recipes import files
from worker.recipes.schema import (
    _TABLE,
    BAD,
    Problems,
    RecipeKey,
    RecipeTable,
    _number,
    _one_of,
    _text,
    _whole,
    _words,
    join,
    suggestion,
)

_WHAT: Final = "mix"
MAXIMUM_FILES = 100
"""Entries of a mix; each may be a pattern that names many files."""
MAXIMUM_MATCHES = 10_000
"""Files of a pattern."""
MAXIMUM_BYTES = 256 * 1024**2
"""Most bytes of a file, which is in memory for the whole run."""
MAXIMUM_HELD = 1024**3
"""Bytes of all files of a mix together."""
TOLERANCE = 0.001
"""Tolerance of the sum of shares: thirds are written as 0.333."""

_SHARE = _number(0, 1)
FILE: Final = RecipeTable(
    "[[files]]",
    MixFile,
    {
        "sample": _text(
            r"[a-z0-9][a-z0-9/._-]*", "the name of a sample (`safelight samples`)", longest=100
        ),
        "path": _text(
            r"[^\x00-\x1f\x7f]*",
            "a path of 1 to 500 characters; `*` stands for any text",
            longest=500,
        ),
        "share": _number(0.000001, 1, required=True),
        "expect": _words(
            *(Status.ACCEPTED, Status.REJECTED, Status.REVIEW),
            *(one.value for one in Reason),
        ),
        "scale": _number(0.05, 8),
        "method": _one_of(UploadMethod),
        "recipe": _text(r"[a-z0-9][a-z0-9_-]*", "the name of a recipe", longest=64),
    },
)
CLIENTS: Final = RecipeTable(
    "[clients]",
    Mix,
    {
        "duplicates": _SHARE,
        "abandoned": _SHARE,
        "cut": _SHARE,
        "slow": _SHARE,
        "slow_bytes_per_second": _whole(1_000, 1_000_000_000),
    },
)
_TOP: Final = RecipeTable(
    "",
    Mix,
    {
        "files": RecipeKey(type="array of tables", holds=(list,), required=True),
        "clients": _TABLE,
    },
)


Makers = Mapping[str, Callable[[float], bytes]]
"""Functions that make the bytes of a sample at a scale, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledMix:
    """A mix with the bytes of its files."""

    mix: Mix
    contents: Mapping[str, bytes]
    """Contents by the names of the files in the mix."""


def read(
    path: Path,
    *,
    folder: Path | None = None,
    makers: Callable[[], Makers],
) -> FilledMix:
    """Read a mix file and the files that it names.

    Args:
        path: path of the mix file.
        folder: folder that the paths in it are relative to and may not leave; None for the folder
            of the mix.
        makers: returns the makers of samples; called only if the mix has samples.

    Raises:
        MixError: with every mistake and its path.
    """
    subject = files.subject_of(path, what=_WHAT)
    try:
        text = files.read_text(path, subject, what=_WHAT)
        raw = files.document(text, subject)
    except RecipeError as error:
        raise MixError(error.subject, error.problems) from error
    problems = Problems()
    filled = _MixReader(folder or path.parent, problems, makers).read(raw)
    if problems:
        raise MixError(subject, problems.all())
    return filled


class _MixReader:
    """Reads the entries of a mix, and notes every mistake."""

    def __init__(self, folder: Path, problems: Problems, makers: Callable[[], Makers]) -> None:
        self._folder, self._problems, self._makers = folder, problems, makers
        self._contents: dict[str, bytes] = {}
        self._files: list[MixFile] = []

    def read(self, raw: Mapping[str, object]) -> FilledMix:
        top = _TOP.read(raw, "", self._problems)
        clients: dict[str, Any] = {}
        if isinstance(top.get("clients"), dict):
            clients = CLIENTS.read(top["clients"], "clients", self._problems)
        entries = top.get("files")
        if isinstance(entries, list):
            if not 1 <= len(entries) <= MAXIMUM_FILES:
                said = f"must have 1 to {MAXIMUM_FILES} entries, has {len(entries)}"
                self._problems.add("files", said)
            for index, entry in enumerate(entries[:MAXIMUM_FILES]):
                self._entry(entry, f"files[{index}]")
            self._check_sums()
        good = {name: value for name, value in clients.items() if value is not BAD}
        return FilledMix(mix=Mix(files=tuple(self._files), **good), contents=self._contents)

    def _check_sums(self) -> None:
        if self._problems:
            return  # the mistakes of the entries already explain the missing files
        total = math.fsum(one.share for one in self._files)
        if abs(total - 1) > TOLERANCE:
            self._problems.add("files", f"the shares are {total:.6g} together, must be 1")
        held = sum(map(len, self._contents.values()))
        if held > MAXIMUM_HELD:
            self._problems.add("files", f"have {held:,} bytes together, at most {MAXIMUM_HELD:,}")

    def _entry(self, entry: object, here: str) -> None:
        if not isinstance(entry, dict):
            self._problems.add(here, "must be a table")
            return
        values = FILE.read(entry, here, self._problems)
        if BAD in values.values():
            return
        name, pattern = values.pop("sample", None), values.pop("path", None)
        if (name is None) == (pattern is None):
            both = "has neither" if name is None else "not both"
            self._problems.add(here, f"needs exactly one of sample and path, {both}")
        elif name is not None:
            self._sample(name, values, here)
        elif "scale" in values:
            said = "has no effect: only samples are made to measure"
            self._problems.add(join(here, "scale"), said)
        else:
            self._paths(str(pattern), values, join(here, "path"))

    def _sample(self, name: str, values: Mapping[str, Any], here: str) -> None:
        makers = self._makers()
        if name not in makers:
            said = f"no sample has this name{suggestion(name, makers)}"
            self._problems.add(join(here, "sample"), said)
            return
        scale = values.get("scale", 1.0)
        shown = name if scale == 1 else f"{name}@{scale:g}"
        self._add(MixFile(name=shown, **values), here, lambda: makers[name](scale))

    def _paths(self, pattern: str, values: Mapping[str, Any], here: str) -> None:
        paths = self._matches(pattern, here)
        for path in paths:
            name = str(path.relative_to(self._folder))
            found = MixFile(name=name, **{**values, "share": values["share"] / len(paths)})
            self._add(
                found,
                here,
                lambda name=name: files.read_beside(  # type: ignore[misc]
                    self._folder, name, here, self._problems, most=MAXIMUM_BYTES
                ),
            )

    def _matches(self, pattern: str, here: str) -> list[Path]:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            said = "must be relative, to the folder of the mix or --files, and stay in it"
            self._problems.add(here, said)
            return []
        if "*" not in pattern:
            return [self._folder / pattern]
        try:
            found = sorted(path for path in self._folder.glob(pattern) if path.is_file())
        except (OSError, ValueError, NotImplementedError) as error:
            self._problems.add(here, f"is no pattern of paths: {error}")
            return []
        if not 1 <= len(found) <= MAXIMUM_MATCHES:
            said = f"names {len(found)} files, must name 1 to {MAXIMUM_MATCHES:,}"
            self._problems.add(here, said)
            return []
        return found

    def _add(self, found: MixFile, here: str, load: Callable[[], bytes | None]) -> None:
        if found.name in self._contents:
            self._problems.add(here, f"{found.name} is listed twice")
            return
        data = load()
        if data is not None:
            self._contents[found.name] = data
            self._files.append(found)


# --- bytes of its own for each upload ---------------------------------------------------------


def marked(data: bytes, text: str) -> bytes:
    """A file with an inserted text that changes its bytes but not the picture.

    JPEG: a comment (ITU-T T.81, B.2.4.5). PNG: a tEXt chunk behind the header (ISO 15948, 11.3.4).
    GIF: a comment extension (GIF89a, 24). AVIF and HEIC: a free box (ISO 14496-12, 8.1.2). WebP: a
    chunk of an unknown kind, which readers ignore (RFC 9649, 2.7). Other formats get the text at
    their end. An empty file stays empty.
    """
    said = text.encode()
    if not data:
        return data
    if data.startswith(b"\xff\xd8"):
        return data[:2] + b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said + data[2:]
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 33:
        body = b"tEXtComment\0" + said
        size, check = len(body) - 4, zlib.crc32(body)
        chunk = size.to_bytes(4, "big") + body + check.to_bytes(4, "big")
        return data[:33] + chunk + data[33:]
    if data.startswith(b"GIF8") and data.endswith(b"\x3b"):
        said = said[:255]
        return data[:-1] + b"\x21\xfe" + bytes([len(said)]) + said + b"\0\x3b"
    if data[4:8] == b"ftyp":
        return data + (len(said) + 8).to_bytes(4, "big") + b"free" + said
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        padded = said + b"\0" * (len(said) % 2)
        whole = data[8:] + b"MARK" + len(said).to_bytes(4, "little") + padded
        return b"RIFF" + len(whole).to_bytes(4, "little") + whole
    if data.lstrip()[:4] in (b"<svg", b"<?xm"):
        return data + f"<!-- {text} -->".encode()
    return data + b"\n" + said
