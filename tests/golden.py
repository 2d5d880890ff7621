"""Golden files: what others rely on, kept as text in ``golden/`` beside the tests that compare it.

``pytest PATH --write-golden`` writes the files that the tests under PATH compare. What changes in
them is a change of a contract: it is reviewed like one.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Any

WIDTH = 100


class Golden:
    """The golden files of one test module.

    Args:
        folder: where they lie.
        write: write instead of compare.
    """

    def __init__(self, folder: Path, *, write: bool) -> None:
        self._folder, self._write = folder, write

    def check(self, name: str, value: Any) -> None:
        """Compare a JSON-ready value with the file ``name``.json."""
        path = self.path(name)
        if self._write:
            path.parent.mkdir(exist_ok=True)
            path.write_text(lines(value) + "\n", "utf-8")
        _compare(value, self.read(name))

    def check_part(self, name: str, part: str, value: Any) -> None:
        """The same for one key of the object in the file."""
        if self._write:
            path = self.path(name)
            known = json.loads(path.read_text("utf-8")) if path.exists() else {}
            self.check(name, {**known, part: value})
        _compare(value, self.read(name)[part])

    def read(self, name: str) -> Any:
        """What a file holds."""
        return json.loads(self.path(name).read_text("utf-8"))

    def path(self, name: str) -> Path:
        """Where a file lies."""
        return self._folder / f"{name}.json"


def _compare(value: Any, known: Any) -> None:
    # As text: 1 and 1.0 and true are three things to whoever reads JSON.
    wanted, found = lines(known).splitlines(), lines(value).splitlines()
    changes = "\n".join(unified_diff(wanted, found, "golden", "now", n=2, lineterm=""))
    assert not changes, changes


def shape(value: Any) -> Any:
    """The keys and types of a JSON value; of a list, the different shapes of its elements."""
    if isinstance(value, Mapping):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        found = {lines(one): one for one in map(shape, value)}
        return [found[text] for text in sorted(found)]
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    # JSON has one kind of number: a size of 2.0 is written as 2 by some.
    return "text" if isinstance(value, str) else "number"


def lines(value: Any, depth: int = 0) -> str:
    """JSON with keys in order; a line for what fits in one."""
    line = json.dumps(value, sort_keys=True)
    if len(line) + depth <= WIDTH or not isinstance(value, (dict, list)):
        return line
    inside = depth + 1
    if isinstance(value, dict):
        ends = "{}"
        parts = [f"{json.dumps(key)}: {lines(value[key], inside)}" for key in sorted(value)]
    else:
        ends = "[]"
        parts = [lines(item, inside) for item in value]
    body = ",\n".join(" " * inside + part for part in parts)
    return f"{ends[0]}\n{body}\n{' ' * depth}{ends[1]}"


def png(width: int = 320, height: int = 200, exif: bytes = b"") -> bytes:
    """A PNG of four flat colours whose bytes depend on no library: nothing in it is compressed."""
    row = (b"\xc8\x1e\x1e" * (width // 2) + b"\x1e\xa0\x1e" * (width - width // 2),)
    low = (b"\x1e\x1e\xc8" * (width // 2) + b"\xe6\xdc\x28" * (width - width // 2),)
    raw = b"".join(b"\0" + one for one in row * (height // 2) + low * (height - height // 2))
    # Stored blocks of deflate (RFC 1951, 3.2.4), at most 65,535 bytes each.
    blocks = [raw[at : at + 65_535] for at in range(0, len(raw), 65_535)]
    stored = b"".join(
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, 1)
    )
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"eXIf": exif,
        b"IDAT": b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(raw)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
        if data or name != b"eXIf"
    )
