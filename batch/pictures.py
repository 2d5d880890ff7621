"""What the picture operations have in common: reading their inputs, storing their result.

What may not be here: pixels (``worker.imaging.operations``), and what only one operation does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from batch.work import Work
from worker.domain.image import Encoding, Format, Limits
from worker.imaging.operations.raster import LIMITS, Raster, write
from worker.imaging.operations.vision import Step

_EFFORT = {Format.PNG: 6, Format.AVIF: 4}


def step(work: Work, start: float = 0.0, end: float = 1.0) -> Step:
    """What an operation calls as it goes on: it stops where that is asked for, and reports.

    Args:
        work: the attempt.
        start: share of the job at which this part begins.
        end: share at which it ends.
    """

    def report(share: float, what: str) -> None:
        work.stop.check()
        work.progress(start + share * (end - start), what)

    return report


def limits(work: Work) -> Limits:
    """What is refused before decoding: the usual, with the job's own number of pixels."""
    return replace(LIMITS, pixels=integer(work, "max_pixels"))


def store(work: Work, raster: Raster, name: str) -> Mapping[str, object]:
    """Write the result as the parameters say and store it as ``name`` with its ending.

    Returns:
        Details of it, for ``result.json``.
    """
    kind = Format(text(work, "format"))
    path = work.scratch / f"{name}.{kind.extension}"
    quality = integer(work, "quality")
    work.stop.check()
    work.progress(0.95, f"write {path.name}")
    write(raster, Encoding(format=kind, quality=quality, effort=_EFFORT.get(kind, 4)), path)
    work.outputs.file(path, path.name, content_type=kind.media_type)
    return {"name": path.name, "width": raster.width, "height": raster.height}


# The catalogue declares every parameter and its type, and the runner has read them by it.


def integer(work: Work, name: str) -> int:
    """A parameter of type ``int``."""
    value = work.parameters[name]
    assert isinstance(value, int), name
    return value


def number(work: Work, name: str) -> float:
    """A parameter of type ``float``."""
    value = work.parameters[name]
    assert isinstance(value, int | float), name
    return float(value)


def optional(work: Work, name: str) -> float | None:
    """A parameter of type ``float`` without a default."""
    return number(work, name) if name in work.parameters else None


def switch(work: Work, name: str) -> bool:
    """A parameter of type ``bool``."""
    value = work.parameters[name]
    assert isinstance(value, bool), name
    return value


def text(work: Work, name: str) -> str:
    """A parameter of type ``text`` or ``choice``."""
    value = work.parameters[name]
    assert isinstance(value, str), name
    return value
