"""The files that ``safelight bench`` writes: each written aside, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from worker.atomic import atomic_write, disk_full
from worker.bench.report import Report
from worker.errors import InputError, StorageFull

_CHARTS = (".svg", ".png")


def check(chart: Path | None, page: Path | None) -> None:
    """Refuse what could not be written later.

    Raises:
        InputError: the chart's name ends in neither ``.svg`` nor ``.png``, or a file's folder
            is not there (``output_unwritable``).
    """
    if chart is not None and chart.suffix.lower() not in _CHARTS:
        raise InputError(f"--chart {chart}: the name must end in .svg or .png")
    for option, path in (("--chart", chart), ("--markdown", page)):
        if path is not None and not path.parent.is_dir():
            message = f"{option} {path}: there is no folder {path.parent}"
            raise InputError(message, code="output_unwritable")


def read_page(path: Path | None) -> str | None:
    """What a page says now; None if there is none yet.

    Raises:
        InputError: it is there and cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"--markdown {path}: {error.strerror}", code="input_unreadable") from error
    except UnicodeDecodeError as error:
        raise InputError(f"--markdown {path}: is not text", code="input_unreadable") from error


def write_chart(path: Path, report: Report) -> None:
    """Draw a report, as the name's ending says. Raises what :func:`write` raises."""
    from worker.bench import chart  # here, because it loads libvips

    data = chart.png(report) if path.suffix.lower() == ".png" else chart.svg(report).encode()
    write(path, data)


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


def link(page: Path, chart: Path | None) -> str | None:
    """How a page refers to the chart."""
    if chart is None:
        return None
    return Path(os.path.relpath(chart.resolve(), page.resolve().parent)).as_posix()
