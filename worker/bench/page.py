"""Pages with figures: tables in Markdown, and files that are written whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.atomic import atomic_write, disk_full
from worker.domain.errors import InputError, StorageFull


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A heading and a table; columns are aligned for those who read it in a terminal."""
    cells = [[escaped(cell) for cell in row] for row in (header, *rows)]
    widths = [max(4, *map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in (cells[0], rule, *cells[1:]):
        first, *others = zip(row, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        lines.append(f"| {' | '.join(padded)} |")
    return f"### {title}\n\n" + "\n".join(lines)


def escaped(text: str) -> str:
    """A text in which nothing is markup."""
    # File names and error messages of others: nothing in them may be markup.
    for special in "\\|<*`[":
        text = text.replace(special, f"\\{special}")
    return " ".join(text.split())


def read_page(path: Path, marks: tuple[str, str]) -> str:
    """The text of a page, or of a new one if there is none yet.

    Args:
        path: of the page.
        marks: the lines between which the figures stand.

    Raises:
        InputError: it cannot be read (``input_unreadable``), or has no marks, and so no place for
            figures (``output_unwritable``).
    """
    begin, end = marks
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return f"# Benchmarks\n\n{begin}\n{end}\n"
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "is not text"
        raise InputError(f"--markdown {path}: {said}", code="input_unreadable") from error
    if end not in page.partition(begin)[2]:
        raise InputError(
            f"--markdown: the page has no lines {begin!r} and {end!r} to put the figures between",
            code="output_unwritable",
        )
    return page


def check_picture(option: str, path: Path) -> None:
    """Reject the path of a picture that could not be written later.

    Raises:
        InputError: the name ends in neither ``.svg`` nor ``.png``, or there is no such folder
            (``output_unwritable``).
    """
    check_ending(option, path)
    check_folder(option, path)


def check_ending(option: str, path: Path) -> None:
    """Raise ``InputError`` if a name ends in neither ``.svg`` nor ``.png``."""
    if path.suffix.lower() not in {".svg", ".png"}:
        raise InputError(f"{option} {path}: the name must end in .svg or .png")


def check_folder(option: str, path: Path) -> None:
    """Raise ``InputError`` (``output_unwritable``) if the folder of a file does not exist."""
    if not path.parent.is_dir():
        message = f"{option} {path}: there is no folder {path.parent}"
        raise InputError(message, code="output_unwritable")


def write(path: Path, data: bytes) -> None:
    """Write a whole file under its final name, in place of what had it.

    Raises:
        InputError: ``output_unwritable``.
        StorageFull: no space left.
    """
    try:
        atomic_write(path, data)
    except OSError as error:
        if disk_full(error):
            raise StorageFull(f"no space left to write {path}") from error
        message = f"cannot write {path}: {error.strerror}"
        raise InputError(message, code="output_unwritable") from error
