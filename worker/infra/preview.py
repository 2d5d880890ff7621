"""Runs the Pulumi program for a stack's configuration, with symbols for what only AWS knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pulumi

from worker.domain.errors import ConfigurationError, ProblemsError
from worker.infra.declaration import Declaration
from worker.infra.placeholders import Symbols
from worker.infra.recorder import record
from worker.infra.stack_file import StackFile

IMAGES: Mapping[str, str] = {
    "image": f"placeholder/safelight@sha256:{0:064x}",
    "batchImage": f"placeholder/safelight-batch@sha256:{0:064x}",
}
"""Stand for images that nobody has built yet. No registry has them: what is deployed with one by
mistake is refused by AWS."""


def missing_images(file: StackFile) -> dict[str, str]:
    """Placeholders for the images that a configuration does not name."""
    return _missing_images(file.config)


def _missing_images(config: Mapping[str, Any]) -> dict[str, str]:
    registry = config.get("registry")
    if isinstance(registry, Mapping) and registry.get("only") in (True, "true"):
        return {}  # the program refuses images beside it
    return {key: text for key, text in IMAGES.items() if key not in config}


def declare(stack: str, config: Mapping[str, Any], *, region: str | None) -> Declaration:
    """What the program declares. Images that are not named are placeholders.

    Args:
        stack: the stack's name.
        config: without ``safelight:``.
        region: where the stack is; None if nothing says it.

    Raises:
        CheckoutMissing: the program is not here.
        ProblemsError: the configuration is mistaken; every mistake by its key.
        ConfigurationError: the program refuses it for another reason.
    """
    with _quiet():
        try:
            return record(
                Symbols(stack=stack, region=region),
                stack=stack,
                config={**_missing_images(config), **config},
            )
        except pulumi.RunError as error:
            if isinstance(error.__cause__, ProblemsError):
                raise error.__cause__ from None
            raise ConfigurationError(str(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Pulumi logs each failure with a traceback; what a person needs is in the error."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
