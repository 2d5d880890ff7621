"""A digest of the files that a deploy depends on. It changes when a deploy is needed.

This module does not import Pulumi: loading it is most of what a deploy costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from worker.infra.checkout import folder

KINDS = frozenset({".py", ".json", ".toml", ".txt", ".yaml"})


def fingerprint(endpoint: str, home: Path | None = None) -> str:
    """The same as long as a deploy to an endpoint would find nothing to do.

    Covers the program, everything of ours that it or the deploy imports, and Pulumi's package.

    Args:
        endpoint: URL, which is part of the names of queues, and what else was chosen.
        home: folder of the program; None finds it.
    """
    found = hashlib.sha256(f"{endpoint} {version('pulumi_aws')}".encode())
    for path in _files(home or folder()):
        found.update(f"\0{path}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def _files(home: Path) -> Iterator[Path]:
    for name in (home.name, "worker", "batch"):
        top = home.parent / name
        yield from sorted(path for path in top.rglob("*") if path.suffix in KINDS)
