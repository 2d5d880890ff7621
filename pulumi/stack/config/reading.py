"""Reads a checked ``Config`` from the engine's values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Any

import pulumi
from pulumi.runtime import config as runtime_config

from stack.config import checks, cross_checks
from stack.config.sections import SECTIONS, Config
from stack.scope import PROJECT
from worker.domain.errors import Problem, ProblemsError

_IMAGE = checks.matching(r"[\w.\-:/]+@sha256:[0-9a-f]{64}", "an image URI with a digest (@sha256:)")
_TEXTS = {
    "image": _IMAGE,
    "batchImage": _IMAGE,
    "recipe": checks.matching(r"[^\s]+", "a recipe's name"),
}
# A hyphen stands between two others: repositories of images know it nowhere else.
_STACK = checks.matching(
    r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,19}",
    "1 to 20 lower-case letters, digits and single hyphens",
)


def read(values: Mapping[str, object], *, stack: str) -> Config:
    """Check everything and say everything that is wrong.

    Args:
        values: the configuration without its ``safelight:`` prefix, objects already decoded.
        stack: the stack's name.

    Raises:
        ProblemsError: with every mistake, each by its key; an unknown key is one.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = {}

    def take(path: str, check: Callable[[object], Any], value: object) -> Any:
        try:
            return check(value)
        except ValueError as error:
            problems.append(Problem(path, f"{error}, not {value!r}"))
            return None

    take("stack", _STACK, stack)
    for key, check in _TEXTS.items():
        if key in values:
            found[_snake(key)] = take(key, check, values[key])
    found["settings"] = take("settings", checks.texts, values.get("settings", {})) or {}
    found["tags"] = take("tags", checks.tags, values.get("tags", {})) or {}
    for key, section in SECTIONS.items():
        given = take(key, _mapping, values.get(key, {}))
        found[key] = _section(section, key, given or {}, take, problems)
    known = {*_TEXTS, *SECTIONS, "settings", "tags"}
    problems += [Problem(key, "is no key of Safelight") for key in sorted({*values} - known)]
    problems += cross_checks.problems(found, frozenset(values))
    if problems:
        raise ProblemsError(f"config of stack {stack}", tuple(problems))
    return Config(stack=stack, **found)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError("must be a map")  # noqa: TRY004 - a finding, not a bug
    return value


def _section(
    section: type[Any],
    path: str,
    given: Mapping[str, object],
    take: Callable[[str, Callable[[object], Any], object], Any],
    problems: list[Problem],
) -> Any:
    keys: dict[str, Field[Any]] = {_camel(item.name): item for item in fields(section)}
    values = {
        keys[key].name: take(f"{path}.{key}", keys[key].metadata["check"], value)
        for key, value in given.items()
        if key in keys
    }
    problems += [
        Problem(f"{path}.{key}", "is no key of Safelight") for key in sorted({*given} - {*keys})
    ]
    # The mistake is already reported; the default allows the rest to be checked.
    return section(**{name: value for name, value in values.items() if value is not None})


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), key)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


# --- from the engine --------------------------------------------------------------------------


def load() -> Config:
    """Read the configuration of the stack that is being deployed.

    Raises:
        pulumi.RunError: with every mistake; Pulumi shows it without a traceback.
    """
    try:
        return read(_gather(), stack=pulumi.get_stack())
    except ProblemsError as error:
        raise pulumi.RunError(error.message) from error


def _gather() -> dict[str, object]:
    """All keys of this project. ``pulumi.Config`` answers for known names only: a misspelt one
    would go unseen, so the two places it reads are read here.
    """
    everything = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    prefix = f"{PROJECT}:"
    return {
        key.removeprefix(prefix): _decoded(key.removeprefix(prefix), value)
        for key, value in everything.items()
        if key.startswith(prefix)
    }


def _decoded(key: str, value: object) -> object:
    """Objects are handed over as JSON."""
    if key in _TEXTS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # reported as no map
