"""``Pulumi.<stack>.yaml``: the configuration of a stack, as Pulumi writes and reads it.

Secrets are not decrypted. Pulumi reads YAML 1.2, where ``on`` and ``yes`` are text and a key cannot
appear twice. ruamel.yaml does the same and keeps comments; PyYAML reads YAML 1.1.
"""

from __future__ import annotations

import copy
import importlib
import io
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from worker.domain.errors import (
    ConfigurationError,
    InputError,
    ParameterError,
    Problem,
    ProblemsError,
)
from worker.infra import checkout
from worker.settings import Settings

PROJECT = "safelight"
REGION = "aws:region"
_KEY = re.compile(r"[^:\s]+:[^:\s]+")
LONGEST_LINE = 4096
"""Characters; nothing is folded."""
IMAGES: Mapping[str, str] = {
    "image": f"placeholder/safelight@sha256:{0:064x}",
    "batchImage": f"placeholder/safelight-batch@sha256:{0:064x}",
}
"""Placeholders for images that are not built yet. No registry has them, so AWS refuses a
deployment that uses one by mistake."""
SECRETS: Mapping[str, str] = {f"{PROJECT}:delivery.uploadKey": "0" * 64}
"""Placeholders for encrypted values that change nothing in what is declared. Pulumi deploys with
the real ones."""
PLATFORMS: Mapping[str, str] = {"arm64": "arm64", "x86_64": "amd64"}
"""The architectures of AWS and their names in container engines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """One stack's configuration."""

    path: Path
    config: Mapping[str, Any]
    """The values of this project, without ``safelight:``."""
    region: str | None
    encrypted: tuple[str, ...] = ()
    """Keys, and paths in them, whose values only Pulumi can read, without those of ``SECRETS``."""
    everything: Mapping[str, Any] = field(default_factory=dict)
    """The whole file with its comments, to write a changed copy of it."""


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


def overridden(config: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A configuration with other values: ``section.key=value``, the value as in YAML.

    Raises:
        ParameterError: with every mistake.
    """
    found: dict[str, Any] = {**config}
    problems = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        section, dot, key = path.partition(".")
        try:
            value = YAML(typ="safe").load(text)
        except YAMLError:
            value = None
        if not (equals and section) or (dot and not key) or value is None:
            problems.append(Problem(setting, "must have the form section.key=value"))
        elif dot:
            found[section] = {**found.get(section, {}), key: value}
        else:
            found[section] = value
    if problems:
        raise ParameterError("--set", tuple(problems))
    return found


def of_stack(stack: str) -> StackFile:
    """The configuration of a stack of this checkout; raises what :func:`path_of` and :func:`read`
    do."""
    return read(path_of(stack, checkout.folder()))


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
        everything = _yaml().load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{path} is no YAML: line {line}: {error.problem}") from error
    except YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if everything is None:
        everything = {}
    config = _plain(everything.get("config")) if isinstance(everything, dict) else None
    if config is None and isinstance(everything, dict):
        config = {}
    if not isinstance(config, dict):
        raise ConfigurationError(f"{path}: config must be a map of keys to values")
    problems = [
        Problem(key, "must have the form namespace:key, like safelight:image")
        for key in config
        if not _KEY.fullmatch(key)
    ]
    region = config.get(REGION)
    if region is not None and not isinstance(region, str):
        problems.append(Problem(REGION, f"must be the name of a region, not {region!r}"))
    if problems:
        raise ProblemsError(str(path), tuple(problems))
    encrypted = _encrypted(config)
    for known in SECRETS.keys() & set(encrypted):
        section, _, name = known.partition(".")
        config[section][name] = SECRETS[known]
    prefix = f"{PROJECT}:"
    return StackFile(
        path=path,
        config={
            key.removeprefix(prefix): value
            for key, value in config.items()
            if key.startswith(prefix)
        },
        region=region or None,
        encrypted=tuple(one for one in encrypted if one not in SECRETS),
        everything=everything,
    )


def require_plain(file: StackFile) -> None:
    """Raises ``ProblemsError`` with every value of this project that is encrypted."""
    ours = [path for path in file.encrypted if path.startswith((f"{PROJECT}:", REGION))]
    if ours:
        text = "is encrypted: only pulumi, with the stack's key, can read it"
        raise ProblemsError(str(file.path), tuple(Problem(path, text) for path in ours))


def changed(file: StackFile, changes: Mapping[str, Any], *, without: Iterable[str] = ()) -> str:
    """The text of this file with some values of this project changed.

    Args:
        changes: keys without ``safelight:``; a map is merged into the one in the file.
        without: keys that are left out.
    """
    document: Any = copy.deepcopy(file.everything)
    config = document["config"] = document.get("config") or {}
    for key in without:
        config.pop(f"{PROJECT}:{key}", None)
    for key, value in changes.items():
        whole = f"{PROJECT}:{key}"
        old = config.get(whole)
        if isinstance(old, dict) and isinstance(value, Mapping):
            old.update(value)
        else:
            config[whole] = dict(value) if isinstance(value, Mapping) else value
    written = io.StringIO()
    _yaml().dump(document, written)
    return written.getvalue()


def missing_images(config: Mapping[str, Any]) -> dict[str, str]:
    """Placeholders for the images that a configuration does not name."""
    registry = config.get("registry")
    if isinstance(registry, Mapping) and registry.get("only") in (True, "true"):
        return {}  # the program refuses images beside it
    return {key: text for key, text in IMAGES.items() if key not in config}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployFacts:
    """The values of a configuration that ``make deploy`` needs."""

    own_registry: bool
    """Whether the repositories are the stack's own."""
    images_named: bool
    """Whether the configuration names every image already."""
    function: str
    """Platform of the functions' image."""
    batch: str
    """Platform of the Batch image."""
    profile: str
    """``aws:profile``: whose credentials make the stack; empty for the default ones."""


def deploy_facts(file: StackFile) -> DeployFacts:
    """Read them. Raises ``ConfigurationError`` for an architecture that AWS does not have."""
    home = str(checkout.folder())
    if home not in sys.path:
        sys.path.insert(0, home)
    sections: Mapping[str, Any] = importlib.import_module("stack.config").SECTIONS

    def value(section: str, key: str) -> Any:
        given = file.config.get(section)
        if isinstance(given, Mapping) and key in given:
            return given[key]
        return getattr(sections[section](), key)

    def platform(section: str) -> str:
        architecture = value(section, "architecture")
        try:
            return PLATFORMS[str(architecture)]
        except KeyError:
            text = f"{section}.architecture: {architecture!r} is none of {', '.join(PLATFORMS)}"
            raise ConfigurationError(f"{file.path}: {text}") from None

    return DeployFacts(
        own_registry=value("registry", "enabled") in (True, "true"),
        images_named=not missing_images(file.config),
        function=platform("intake"),
        batch=platform("heavy"),
        profile=str((file.everything.get("config") or {}).get("aws:profile") or ""),
    )


def least_memory(config: Mapping[str, Any]) -> int:
    """Megabytes that the ingest function must have at least: those of the sandbox, and what the
    program asks for beside it.

    Args:
        config: of a stack, or an empty one for the defaults.
    """
    home = str(checkout.folder())
    if home not in sys.path:
        sys.path.insert(0, home)
    checks: Any = importlib.import_module("stack.config.cross_checks")
    settings = config.get("settings")
    given = settings.get("sandbox_megabytes") if isinstance(settings, Mapping) else None
    default: Any = Settings.__dataclass_fields__["sandbox_megabytes"].default
    sandbox = int(str(given)) if str(given).isdecimal() else int(default)
    beside: int = checks.OUTSIDE_SANDBOX_MEGABYTES
    return sandbox + beside


def for_repositories(file: StackFile) -> str:
    """The text of the configuration that makes only the repositories of a new stack.

    The repositories have to exist before an image is pushed, and everything else wants images. So
    the first run for a new stack has a configuration of its own, with ``registry.only``.
    """
    return changed(file, {"registry": {"only": True}}, without=IMAGES)


class _Constructor(RoundTripConstructor):
    """Dates are text, as in the core schema of YAML 1.2."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_scalar)


def _yaml() -> YAML:
    found = YAML()
    found.Constructor = _Constructor
    found.preserve_quotes = True
    found.width = LONGEST_LINE
    return found


def _plain(value: Any) -> Any:
    """Without what ruamel.yaml adds to remember how a value was written."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind in (str, float):
        if isinstance(value, kind):
            return kind(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


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
