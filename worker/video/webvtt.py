"""The texts of a WebVTT file as the specification allows them.

ffmpeg copies what a subtitle says into WebVTT as it is. There ``-->`` in a text is a mistake, a
loose ``<`` or ``&`` can swallow what follows, and an empty line ends the text. What lives here:
putting that right. What may not: making such files out of videos (``subtitles``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from worker.atomic import staging

_TIME = r"(?:\d{2,}:)?\d\d:\d\d\.\d{3}"
_TIMES = re.compile(rf"({_TIME}) --> ({_TIME})(| .*)")
_INNER = re.compile(rf"<({_TIME})>")
_TAG = r"/?(?:b|i|u|c|v|lang|ruby|rt)(?:[.\s][^<>]*)?>"
_LOOSE_LESS = re.compile(rf"<(?!(?:{_TAG}|{_TIME}>))")
_LOOSE_AND = re.compile(r"&(?!(?:amp|lt|gt|lrm|rlm|nbsp|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});)")


def tidy(path: Path, *, since: float = 0.0) -> int:
    """Put the texts of a file right, in place, and return how many there are.

    Tags and escapes that WebVTT knows stay. Bytes that are no UTF-8 become U+FFFD.

    Args:
        path: the file.
        since: seconds that become 0; a text that ends before goes.
    """
    count, shown = 0, False
    with (
        staging(path) as tidied,
        path.open(encoding="utf-8", errors="replace") as source,
        tidied.open("w", encoding="utf-8", newline="\n") as target,
    ):
        blocks = _blocks(source)
        target.writelines(f"{line}\n" for line in next(blocks, ()))
        for block in blocks:
            # A block may have a name before its times. One without times is the rest of a text
            # that had an empty line in it.
            start = next((i + 1 for i, line in enumerate(block[:2]) if _TIMES.fullmatch(line)), 0)
            if start:
                times = _moved(block[start - 1], since)
                shown = times is not None
                if times is not None:
                    count += 1
                    target.writelines(f"{line}\n" for line in ("", *block[: start - 1], times))
            if shown:
                inner = (
                    _INNER.sub(lambda found: f"<{_since(found[1], since)}>", line)
                    for line in block[start:]
                )
                target.writelines(f"{escaped(line)}\n" for line in inner)
    return count


def _moved(line: str, since: float) -> str | None:
    """The times of a text, counted from another moment; None if it has ended by then."""
    found = _TIMES.fullmatch(line)
    assert found is not None
    if since == 0:
        return line
    if _seconds(found[2]) <= since:
        return None
    return f"{_since(found[1], since)} --> {_since(found[2], since)}{found[3]}"


def _since(time: str, since: float) -> str:
    return clock(max(0.0, _seconds(time) - since)).removeprefix("00:")


def _seconds(time: str) -> float:
    whole, _, thousandths = time.partition(".")
    seconds = 0
    for part in whole.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds + int(thousandths) / 1000


def clock(seconds: float) -> str:
    """Hours, minutes, seconds and thousandths (WebVTT, 4.3)."""
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


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
