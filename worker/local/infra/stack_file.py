"""Reads ``Pulumi.<stack>.yaml`` as Pulumi writes and reads it. Nothing is decrypted.

Pulumi reads YAML 1.2, where ``on`` and ``yes`` are words and a key cannot stand twice; PyYAML alone
would make truth values of the first and take the last of the second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from worker.errors import ConfigurationError, InputError, Problem, ProblemsError

PROJECT = "safelight"
REGION = "aws:region"
_KEY = re.compile(r"[^:\s]+:[^:\s]+")
_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
"""YAML 1.2, core schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """One stack's configuration."""

    path: Path
    config: Mapping[str, Any]
    """The values of this project, without ``safelight:``."""
    region: str | None
    encrypted: tuple[str, ...] = ()
    """Keys, and paths in them, whose values only Pulumi can read."""
    everything: Mapping[str, Any] = field(default_factory=dict)
    """The whole file, for one that is to be like it."""


def path_of(stack: str, folder: Path) -> Path:
    """Where a stack's file is.

    Args:
        folder: the folder of the Pulumi program.

    Raises:
        InputError: ``input_missing``: there is no such stack; the message names those there are.
    """
    path = folder / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        there = sorted(one.name.split(".")[1] for one in folder.glob("Pulumi.*.yaml"))
        raise InputError(
            f"{path}: no such file; there is configuration for {', '.join(there) or 'no stack'}",
            code="input_missing",
        )
    return path


def read(path: Path) -> StackFile:
    """Read one file. Encrypted values are left as they are; :func:`require_plain` refuses them.

    Raises:
        InputError: it cannot be read.
        ConfigurationError: it is no YAML, or not of the form that Pulumi writes.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is no text"
        raise InputError(f"{path}: {said}", code="input_unreadable") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    problems: list[Problem] = []
    everything = _value(node, "", problems)
    if everything is None:
        everything = {}
    config = everything.get("config") if isinstance(everything, dict) else None
    if config is None and isinstance(everything, dict):
        config = {}
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path}: config must be a map of keys to values")
    problems += [
        Problem(key, "must have the form namespace:key, like safelight:image")
        for key in config
        if not _KEY.fullmatch(key)
    ]
    region = config.get(REGION)
    if region is not None and not isinstance(region, str):
        problems.append(Problem(REGION, f"must be the name of a region, not {region!r}"))
    if problems:
        raise ProblemsError(str(path), tuple(problems))
    prefix = f"{PROJECT}:"
    return StackFile(
        path=path,
        config={
            key.removeprefix(prefix): value
            for key, value in config.items()
            if key.startswith(prefix)
        },
        region=region or None,
        encrypted=tuple(_encrypted(config)),
        everything=everything,
    )


def require_plain(file: StackFile) -> None:
    """Raises ``ProblemsError`` with every value of this project that is encrypted."""
    ours = [path for path in file.encrypted if path.startswith((f"{PROJECT}:", REGION))]
    if ours:
        text = "is encrypted: only pulumi, with the stack's key, can read it"
        raise ProblemsError(str(file.path), tuple(Problem(path, text) for path in ours))


def like(file: StackFile, changes: Mapping[str, Any], *, without: Iterable[str] = ()) -> str:
    """The text of a file like this one but for some values of this project.

    Args:
        changes: keys without ``safelight:``; a map is merged into the one that is there.
        without: keys alike that are left out.
    """
    left_out = {f"{PROJECT}:{key}" for key in without}
    there = file.everything.get("config") or {}
    config = {key: value for key, value in there.items() if key not in left_out}
    for key, value in changes.items():
        whole = f"{PROJECT}:{key}"
        old = config.get(whole)
        merged = isinstance(old, dict) and isinstance(value, Mapping)
        config[whole] = {**(old or {}), **value} if merged else value
    # JSON is YAML.
    return json.dumps({**file.everything, "config": config}, indent=2) + "\n"


def _value(node: Any, path: str, problems: list[Problem]) -> Any:
    if node is None:
        return None
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, item in node.value:
            name = str(key.value)
            inner = f"{path}.{name}" if path else name
            if name in found:
                problems.append(Problem(inner, f"stands twice, again in line {_line(key)}"))
            found[name] = _value(item, inner, problems)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{n}]", problems) for n, item in enumerate(node.value)]
    return _scalar(str(node.value)) if node.style is None else str(node.value)


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return text


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _encrypted(value: Any, path: str = "") -> list[str]:
    """Paths of all values that are ``{secure: ...}``."""
    if isinstance(value, list):
        parts = [(f"{path}[{number}]", item) for number, item in enumerate(value)]
    elif isinstance(value, dict):
        if set(value) == {"secure"} and path:
            return [path]
        parts = [(f"{path}.{key}" if path else key, item) for key, item in value.items()]
    else:
        return []
    return [found for inner, item in parts for found in _encrypted(item, inner)]
