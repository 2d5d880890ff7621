"""How a job ends: errors as exit codes. Derived from what the error tree says, nowhere else."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from pathlib import Path

from batch.catalogue import EXIT_AGAIN, EXIT_BAD_INPUT, EXIT_FAILED, EXIT_USAGE
from worker.atomic import disk_full
from worker.domain.errors import (
    EngineError,
    PoisonInput,
    ProblemsError,
    Reason,
    Rejected,
    SafelightError,
    ScratchFull,
    Stopped,
)


def exit_code(error: SafelightError) -> int:
    """The exit code of an error, from what the tree says about it."""
    if isinstance(error, Rejected):
        return EXIT_BAD_INPUT
    if error.retryable:
        return EXIT_AGAIN
    return EXIT_USAGE if isinstance(error, ProblemsError) else EXIT_FAILED


def known_as(error: BaseException) -> SafelightError:
    """Whatever it is as an error of the tree."""
    match error:
        case SafelightError():
            return error
        case MemoryError():
            return PoisonInput(Reason.OUT_OF_MEMORY, "the job needs more memory than it has")
        case OSError() if disk_full(error):
            return ScratchFull("the scratch disk is full")
        case KeyboardInterrupt():
            return Stopped("the job was interrupted")
    return EngineError(f"{type(error).__name__}: {error}")


def origin(error: BaseException, known: SafelightError) -> Mapping[str, object]:
    """Where a defect was raised: the innermost place of ours, or everything when asked for."""
    if type(known) is not EngineError:
        return {}
    if os.environ.get("SAFELIGHT_DEBUG"):
        return {"trace": "".join(traceback.format_exception(error))}
    frames = traceback.extract_tb(error.__traceback__)
    return {"at": f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"} if frames else {}
