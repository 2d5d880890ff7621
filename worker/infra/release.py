"""What ``make deploy`` has to know of a stack's configuration, and that of its first step.

The repositories have to be there before an image is pushed, and all the rest wants images. So the
first run for a new stack gets a configuration of its own, beside the real one: ``registry.only``.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.infra import checkout, preview, stack_file
from worker.infra.stack_file import StackFile

PLATFORMS: Mapping[str, str] = {"arm64": "arm64", "x86_64": "amd64"}
"""What container engines call what AWS calls an architecture."""
REGISTRY = "safelight:registry:Registry"
"""The component that is made first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a deployment goes by."""

    own_registry: bool
    """Whether the repositories are the stack's own."""
    images_named: bool
    """Whether the configuration names every image already."""
    function: str
    """Platform of the functions' image."""
    batch: str
    """Platform of the Batch image."""
    profile: str
    """Whose credentials the stack is made with (``aws:profile``); empty for the usual ones."""


def facts(file: StackFile) -> Facts:
    """Read them. Raises ``ConfigurationError`` where a value is none that the program knows."""
    defaults = _defaults()
    return Facts(
        own_registry=_one(file, "registry", "enabled", defaults) in (True, "true"),
        images_named=not preview.missing_images(file),
        function=_platform(file, "intake", defaults),
        batch=_platform(file, "heavy", defaults),
        profile=str((file.everything.get("config") or {}).get("aws:profile") or ""),
    )


def check(stack: str, file: StackFile) -> None:
    """Run the program on this configuration, with placeholders for missing images.

    Raises:
        ProblemsError: every mistake by its key.
    """
    preview.declare(stack, file.config, region=file.region)


def for_repositories(file: StackFile) -> str:
    """The text of the configuration that makes the repositories of a new stack."""
    return stack_file.like(file, {"registry": {"only": True}}, without=preview.IMAGES)


def _defaults() -> Any:
    """The module that holds the program's configuration."""
    home = str(checkout.folder())
    if home not in sys.path:
        sys.path.insert(0, home)
    return importlib.import_module("stack.config")


def _platform(file: StackFile, section: str, defaults: Any) -> str:
    said = _one(file, section, "architecture", defaults)
    try:
        return PLATFORMS[str(said)]
    except KeyError:
        text = f"{section}.architecture: {said!r} is none of {', '.join(PLATFORMS)}"
        raise ConfigurationError(f"{file.path}: {text}") from None


def _one(file: StackFile, section: str, key: str, defaults: Any) -> Any:
    given = file.config.get(section)
    if isinstance(given, Mapping) and key in given:
        return given[key]
    return getattr(defaults.SECTIONS[section](), key)


def repositories(outputs: Any) -> tuple[str, str]:
    """Addresses of the repositories for the functions' and the Batch image.

    Args:
        outputs: the stack's outputs.

    Raises:
        ConfigurationError: there are none.
    """
    found = outputs.get("repositories") if isinstance(outputs, Mapping) else None
    try:
        lambdas, batch = str(found["lambda"]), str(found["batch"])  # type: ignore[index]
    except (KeyError, TypeError):
        raise ConfigurationError("the stack has no output repositories") from None
    return lambdas, batch


def own_file(stack: str) -> Path:
    """Where a stack's configuration is. Raises what ``stack_file.path_of`` does."""
    return stack_file.path_of(stack, checkout.folder())
