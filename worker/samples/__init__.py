"""Sample inputs that the project makes itself: what a newcomer processes first.

What lives here: :func:`write`. The pictures are painted by formulas (``landscapes``,
``still_lifes``, ``graphics``, ``animations`` with the brushes of ``canvas``), dressed as camera
files (``tagged``) and listed in ``catalogue``. What may not: anything a service needs. No picture
of anybody else's is in the project.
"""

from __future__ import annotations

from pathlib import Path

from worker.atomic import atomic_write, disk_full
from worker.errors import InputError, StorageFull


def write(folder: Path, *, scale: float = 1.0) -> tuple[Path, ...]:
    """Write all samples into ``folder``, which is made if missing.

    The bytes depend on nothing but the versions of libvips, Pillow and numpy (and, in the last
    digit of some pixels, on the processor's vector instructions). A file that is there already
    is replaced; each is written aside and renamed, so none is ever half there.

    Args:
        folder: where to.
        scale: sides of the pictures as a share of the usual; small ones are there at once.

    Returns:
        The pictures, good ones first, then those in ``folder/broken``. Twenty-five files,
        19 MB; painting them takes some twelve seconds of one core.

    Raises:
        InputError: ``folder`` cannot be written (``output_unwritable``).
        StorageFull: no room is left there.
    """
    from worker.samples.catalogue import SAMPLES  # numpy and libvips load when needed

    paths = []
    for sample in SAMPLES:
        path = folder / sample.name
        _place(path, sample.make(scale))
        paths.append(path)
    return tuple(paths)


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
