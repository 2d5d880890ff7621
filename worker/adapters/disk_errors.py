"""Maps errors of the file system to ``worker.domain.errors``."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.atomic import disk_full
from worker.domain.errors import AccessDenied, ConfigurationError, SafelightError, StorageFull

_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@contextmanager
def disk_call(path: Path) -> Iterator[None]:
    """Map every OSError of the block; ``path`` is what it worked on.

    Raises:
        StorageFull: no space, or a quota is used up.
        AccessDenied: the process may not.
        ConfigurationError: the path cannot be a store at all (a file in a folder's place ...).
    """
    try:
        yield
    except OSError as error:
        raise _translate(error, path) from error


def _translate(error: OSError, path: Path) -> SafelightError:
    text = f"{path}: {error.strerror or error}"
    if disk_full(error):
        return StorageFull(text)
    if error.errno in _DENIED:
        return AccessDenied(text)
    return ConfigurationError(text)
