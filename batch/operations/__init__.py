"""The operations, one file for each kind of job, named like it with ``_`` for ``-``.

An operation reads its parameters, calls ``worker.imaging``, reports progress and stores what was
made. What may not be here: pixels and child programs (``worker.imaging``), AWS, settings.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from batch.catalogue import kind
from batch.work import Operation
from worker.domain.errors import EngineError


def module_of(name: str) -> str:
    """The module that a kind's operation lives in, ``batch.operations.deepzoom``."""
    return f"{__name__}.{name.replace('-', '_')}"


def find(name: str) -> Operation:
    """The operation of a kind; only its own libraries are imported.

    Raises:
        ProblemsError: there is no such kind.
        EngineError: this installation lacks it.
    """
    module = module_of(kind(name).name)
    if find_spec(module) is None:
        raise EngineError(f"the operation for {name} is missing from this installation")
    operation: Operation = import_module(module).run
    return operation
