"""How wide text is, without a font: the widths of Helvetica, which the usual fonts are close to."""

from __future__ import annotations

from collections.abc import Sequence

# Thousandths of the size, from Adobe's font metrics of Helvetica, for the characters from space to
# tilde.
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_OTHER = 600
_ROOM = 1.16
"""Other fonts are wider, DejaVu most of all."""
_BOLD = 1.07


def width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is, in the unit of its size, rather too much than too little."""
    found = sum(_WIDTHS[ord(letter) - 32] if 32 <= ord(letter) < 127 else _OTHER for letter in text)
    return found / 1000 * size * _ROOM * (_BOLD if bold else 1.0)


def wrapped(words: Sequence[str], size: float, room: float, *, first: float = 0.0) -> list[str]:
    """Words in lines of at most this width; a longer word has a line of its own.

    Args:
        first: what the first line has lost already to something before it.
    """
    lines: list[str] = []
    line, left = "", room - first
    for word in words:
        longer = f"{line} {word}" if line else word
        if line and width(longer, size) > left:
            lines.append(line)
            line, left = word, room
        else:
            line = longer
            if not lines and first and width(line, size) > left:
                # Not even its first word fits behind what is there.
                lines.append("")
                left = room
    return [*lines, line] if line else lines
