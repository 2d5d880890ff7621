"""A preset of the Pulumi program as a design that can be priced."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker import recipes
from worker.domain.bill import Design
from worker.domain.image import Format
from worker.infra import checkout, stack_file


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetDesign:
    """The choices of a preset."""

    design: Design
    region: str
    """Where it is deployed; empty if the file does not say."""
    notes: tuple[str, ...] = ()
    """Choices that a design cannot express."""


def of_preset(name: str, settings: Sequence[str] = ()) -> PresetDesign:
    """Read ``Pulumi.NAME.yaml``; what it leaves out has the program's defaults.

    Args:
        settings: ``intake.memory=2048``, each in place of what the file says.

    Raises:
        CheckoutMissing: there is no Pulumi program.
        InputError: there is no such preset.
        ConfigurationError: its configuration has mistakes.
        ParameterError: a setting has not the form of one.
    """
    home = str(checkout.folder())
    file = stack_file.of_stack(name)
    if home not in sys.path:
        sys.path.insert(0, home)
    read: Any = importlib.import_module("stack.config").read
    config = stack_file.overridden(file.config, settings)
    config = read({**config, **stack_file.missing_images(config)}, stack=name)
    return PresetDesign(
        design=design_of(config),
        region=file.region or "",
        notes=_notes(config),
    )


def design_of(config: Any) -> Design:
    """The design of a configuration that the program has read (``stack.config.Config``)."""
    recipe = recipes.load(config.recipe) if config.recipe in recipes.shipped() else None
    formats = {one.format for spec in recipe.renditions for one in spec.encodings} if recipe else ()
    moderated = 0.01 if config.rekognition.moderation else 0.0
    storage, heavy, cost = config.storage, config.heavy, config.cost
    return Design(
        architecture=config.intake.architecture,
        memory=config.intake.memory,
        snap_start=config.delivery.snap_start,
        pollers=config.intake.minimum_pollers,
        ordering=str(config.intake.ordering),
        # Lambda takes the messages that are there; a steady load has one upload for each call.
        batch=config.intake.batch_size if config.intake.batch_window else 1,
        second_format="jxl" if Format.JXL in formats else "webp",
        moderated=moderated,
        workflow=moderated,
        glacier_after_days=storage.glacier_after_days,
        rendition_days=storage.rendition_days,
        access_logs=storage.access_logs,
        access_log_days=storage.access_log_days,
        capacity=str(config.catalog.capacity),
        recovery=config.catalog.point_in_time_recovery,
        archive_days=config.events.archive_days,
        delivery=config.delivery.enabled,
        price_class=config.delivery.price_class,
        flat_rate=config.delivery.flat_rate_plan,
        cache_gigabytes=config.cache.gigabytes if config.cache.enabled else 0,
        machines=heavy.architecture,
        baseline_vcpus=heavy.baseline_vcpus if heavy.enabled else 0,
        private_network=heavy.enabled and heavy.private_network,
        zones=heavy.zones,
        log_retention_days=config.intake.log_retention_days,
        observed=config.observability.enabled,
        trace_percent=1.0 if config.tracing else 0.0,
        compute_plan="year" if cost.savings_plan_cents else "",
    )


def _notes(config: Any) -> tuple[str, ...]:
    found = []
    if config.recipe not in ("default", "modern"):
        found.append(
            f"the recipe {config.recipe} is priced as `default`: measure yours with "
            f"`safelight cost recipe`"
        )
    if config.cost.savings_plan_cents:
        found.append("the savings plan is priced as if it covered all that it may cover")
    return tuple(found)
