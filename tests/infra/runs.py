"""Runs of the Pulumi program: each configuration once for all processes of a test run.

A run takes a second of CPU time, and tests only read what it has declared.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi.runtime import Mocks

from worker.infra.program import Declaration
from worker.infra.program import record as run_and_record

_known: dict[str, Declaration] = {}
_folder: Path | None = None


def share(folder: Path) -> None:
    """Keep what is declared in a folder that all processes of the run have."""
    global _folder  # noqa: PLW0603 - one test run, one folder
    folder.mkdir(exist_ok=True)
    _folder = folder


def record(mocks: Mocks, *, stack: str, config: Mapping[str, Any]) -> Declaration:
    """``program.record``, or what it has said before to the same question."""
    asked = [type(mocks).__name__, vars(mocks), stack, config]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    if key not in _known:
        _known[key] = _shared(key, mocks, stack, config)
    return _known[key]


def _shared(key: str, mocks: Mocks, stack: str, config: Mapping[str, Any]) -> Declaration:
    if _folder is None:
        return run_and_record(mocks, stack=stack, config=config)
    with (_folder / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever asks second waits for the first
        kept = _folder / key
        if kept.exists():
            found: Declaration = pickle.loads(kept.read_bytes())
            return found
        made = run_and_record(mocks, stack=stack, config=config)
        kept.write_bytes(pickle.dumps(made))
        return made
