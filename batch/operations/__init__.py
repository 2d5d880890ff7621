"""The operations: each reads its parameters, calls the media code, reports progress and stores
what was made.

A module is named like its kind with ``_`` for ``-``; the four kinds of transcode share one.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from batch.catalogue import kind
from batch.work import Operation
from worker.domain.errors import EngineError

_IN_TRANSCODE = {
    "transcode-plan": "run_plan",
    "transcode-part": "run_part",
    "transcode-assemble": "run_assemble",
}


def module_of(name: str) -> str:
    """The module that a kind's operation lives in, ``batch.operations.deepzoom``."""
    return f"{__name__}.{'transcode' if name in _IN_TRANSCODE else name.replace('-', '_')}"


def find(name: str) -> Operation:
    """The operation of a kind; only its own libraries are imported.

    Raises:
        ProblemsError: there is no such kind.
        EngineError: this installation lacks it.
    """
    name = kind(name).name
    module = module_of(name)
    if find_spec(module) is None:
        raise EngineError(f"the operation for {name} is missing from this installation")
    operation: Operation = getattr(import_module(module), _IN_TRANSCODE.get(name, "run"))
    return operation
