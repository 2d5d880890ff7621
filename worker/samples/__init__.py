"""Sample inputs that the project makes itself: what a newcomer processes first.

``catalogue`` lists them, ``scenes`` paints them by formulas on a ``canvas``, ``camera`` makes them
files. No picture of anybody else's is in the project.
"""

from __future__ import annotations

from pathlib import Path

from worker.atomic import atomic_write, disk_full
from worker.domain.errors import InputError, StorageFull


def write(folder: Path, *, scale: float = 1.0) -> tuple[Path, ...]:
    """Write all samples.

    The bytes depend on nothing but the versions of libvips, Pillow and numpy (and, in the last
    digit of some pixels, on the processor's vector instructions). Each file is written
    to a temporary name and renamed, in place of what was there: none is ever half there.

    Args:
        folder: is made if missing.
        scale: sides of the pictures as a share of the usual; small ones are there at once.

    Returns:
        The pictures, good ones first, then those in ``folder/broken``: 25 files, 18 MB.

    Raises:
        InputError: ``folder`` cannot be written (``output_unwritable``).
        StorageFull: no room is left there.
    """
    from worker.samples.catalogue import SAMPLES  # numpy and libvips load when needed

    for sample in SAMPLES:
        _place(folder / sample.name, sample.make(scale))
    return tuple(folder / sample.name for sample in SAMPLES)


def _place(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)
    except OSError as error:
        if disk_full(error):
            raise StorageFull(f"no room left to write {path.name}") from error
        raise InputError(
            f"{path} cannot be written: {error.strerror}", code="output_unwritable"
        ) from error
