"""The texts of a WebVTT file as the specification allows them.

ffmpeg copies what a subtitle says into WebVTT as it is. There ``-->`` in a text is a mistake, a
loose ``<`` or ``&`` can swallow what follows, and an empty line ends the text. What lives here:
putting that right. What may not: making such files out of videos (``subtitles``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_TIME = r"(?:\d{2,}:)?\d\d:\d\d\.\d{3}"
_TIMES = re.compile(rf"{_TIME} --> {_TIME}(?: .*)?")
_TAG = r"/?(?:b|i|u|c|v|lang|ruby|rt)(?:[.\s][^<>]*)?>"
_LOOSE_LESS = re.compile(rf"<(?!(?:{_TAG}|{_TIME}>))")
_LOOSE_AND = re.compile(r"&(?!(?:amp|lt|gt|lrm|rlm|nbsp|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});)")


def tidy(path: Path) -> int:
    """Put the texts of a file right, in place, and return how many there are.

    Tags and escapes that WebVTT knows stay. Bytes that are no UTF-8 become U+FFFD.
    """
    count = 0
    aside = path.with_name(f"{path.name}.tidy")
    with (
        path.open(encoding="utf-8", errors="replace") as source,
        aside.open("w", encoding="utf-8", newline="\n") as target,
    ):
        blocks = _blocks(source)
        target.writelines(f"{line}\n" for line in next(blocks, ()))
        for block in blocks:
            # A block may have a name before its times. One without times is the rest of a text
            # that had an empty line in it.
            start = next((i + 1 for i, line in enumerate(block[:2]) if _TIMES.fullmatch(line)), 0)
            if start:
                count += 1
                target.writelines(["\n", *(f"{line}\n" for line in block[:start])])
            if count:
                target.writelines(f"{escaped(line)}\n" for line in block[start:])
    aside.replace(path)
    return count


def escaped(text: str) -> str:
    """One line of a text with everything escaped that WebVTT would take for something else."""
    return _LOOSE_LESS.sub("&lt;", _LOOSE_AND.sub("&amp;", text)).replace("-->", "--&gt;")


def _blocks(lines: Iterable[str]) -> Iterator[Sequence[str]]:
    """What stands between empty lines."""
    block: list[str] = []
    for line in lines:
        text = line.rstrip("\n")
        if text:
            block.append(text)
        elif block:
            yield block
            block = []
    if block:
        yield block
