"""The last plan of each stack that was printed: ``.plans/<stack>.json`` in the checkout.

Only for comparing the next one with it. Git ignores the folder, and removing it loses nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.domain.errors import ConfigurationError, InputError
from worker.infra import plan as plans
from worker.infra.plan import Plan

FOLDER = ".plans"


def last(root: Path, stack: str) -> Plan | None:
    """The last plan of a stack; None if there is none, or none that can be read any more."""
    try:
        return plans.from_dict(json.loads(_path(root, stack).read_text("utf-8")))
    except (OSError, ValueError, ConfigurationError):
        return None


def read(path: Path) -> Plan:
    """A plan that somebody has kept.

    Raises:
        InputError: the file cannot be read.
        ConfigurationError: it is no plan.
    """
    try:
        return plans.from_dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file", code="input_missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}", code="input_unreadable") from error
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(f"{path} holds no plan: {error}") from error


def keep(root: Path, plan: Plan) -> None:
    """Make this the last one. Whole or not at all.

    Raises:
        StorageFull, AccessDenied, ConfigurationError: it cannot be written.
    """
    write(_path(root, plan.stack), plan)


def write(path: Path, plan: Plan) -> None:
    """Write a plan to a file, as JSON; raises what :func:`keep` does."""
    with disk_call(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, json.dumps(plan.as_dict(), indent=2) + "\n")


def _path(root: Path, stack: str) -> Path:
    return root / FOLDER / f"{stack}.json"
