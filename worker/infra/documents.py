"""The page that is made from the program: ``docs/infrastructure.md``."""

from __future__ import annotations

from pathlib import Path

from worker.infra import checkout, components, page, preview, stack_file
from worker.infra.components import Components

STACK = "prod"
"""Whose configuration they show, with ``page.EVERYTHING`` added."""


def everything() -> Components:
    """The components of a stack like prod with every part switched on.

    Raises:
        CheckoutMissing: there is no program here.
        ConfigurationError: its configuration is mistaken.
    """
    file = stack_file.read(stack_file.path_of(STACK, checkout.folder()))
    config = dict(file.config)
    for key, section in page.EVERYTHING.items():
        config[key] = {**config.get(key, {}), **section}
    return components.find(preview.declare(STACK, config, region=file.region))


def make(folder: Path | None = None) -> dict[Path, str]:
    """The texts, by the file that each belongs in.

    Args:
        folder: where they are to be; None means ``docs`` of the checkout.
    """
    home = folder or checkout.folder().parent / "docs"
    found = everything()
    return {home / "infrastructure.md": page.write(found)}
