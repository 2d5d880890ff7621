"""The configuration: defaults, every mistake at once, each by its key."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pulumi
import pytest

from stack.config import (
    SECTIONS,
    Capacity,
    CatalogConfig,
    Config,
    IntakeConfig,
    RegistryConfig,
    StorageConfig,
    read,
)
from tests.infra.configs import camel
from tests.infra.declared import BATCH_IMAGE, IMAGE, IMAGES, declare
from worker.domain.errors import ProblemsError
from worker.settings import Ordering

ROOT = Path(__file__).parents[2]


def _mistakes(values: dict[str, Any], *, stack: str = "dev") -> dict[str, str]:
    with pytest.raises(ProblemsError) as caught:
        read({**IMAGES, **values}, stack=stack)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_the_images_are_enough() -> None:
    """Everything else has a default."""
    assert read(IMAGES, stack="dev") == Config(stack="dev", image=IMAGE, batch_image=BATCH_IMAGE)


def test_values_are_read_as_the_engine_and_the_command_line_write_them() -> None:
    """Numbers come as floats or text, switches as text."""
    config = read(
        {
            **IMAGES,
            "recipe": "archive",
            "tags": {"team": "media"},
            "settings": {"upload_threads": 4.0, "redis_url": "redis://cache"},
            "storage": {
                "quarantineDays": "7",
                "forceDestroy": "true",
                "browserOrigins": ["https://www.example.com", "http://localhost:3000"],
            },
            "catalog": {"capacity": "provisioned"},
            "intake": {"ordering": "standard", "memory": 2048.0, "logRetentionDays": "14"},
        },
        stack="dev",
    )

    assert config == Config(
        stack="dev",
        image=IMAGE,
        batch_image=BATCH_IMAGE,
        recipe="archive",
        tags={"team": "media"},
        settings={"upload_threads": "4", "redis_url": "redis://cache"},
        storage=StorageConfig(
            quarantine_days=7,
            force_destroy=True,
            browser_origins=("https://www.example.com", "http://localhost:3000"),
        ),
        catalog=CatalogConfig(capacity=Capacity.PROVISIONED),
        intake=IntakeConfig(ordering=Ordering.STANDARD, memory=2048, log_retention_days=14),
    )


def test_every_mistake_is_reported_at_once() -> None:
    """One run tells all there is to correct."""
    mistakes = _mistakes(
        {
            "image": "safelight:latest",
            "recipe": "",
            "tags": {"aws:mine": "x"},
            "settings": {
                "heavy_byte": 1,
                "table": "mine",
                "upload_threads": 0,
                "batch_prefix": "mine",
            },
            "storage": {
                "glacierAfterDays": 0.5,
                "forceDestroy": "yes",
                "days": 3,
                "browserOrigins": ["www.example.com"],
                "replicateTo": "a-bucket",
            },
            "catalog": "none",
            "intake": {
                "ordering": "random",
                "architecture": "mips",
                "memory": 64,
                "timeout": True,
                "logRetentionDays": 8,
                "maximumConcurrency": 1,
            },
            "stroage": {},
        },
        stack="Not A Stack",
    )

    assert set(mistakes) == {
        "stack",
        "image",
        "recipe",
        "tags",
        "settings.heavy_byte",
        "settings.table",
        "settings.batch_prefix",
        "settings.upload_threads",
        "storage.glacierAfterDays",
        "storage.forceDestroy",
        "storage.days",
        "storage.browserOrigins",
        "storage.replicateTo",
        "catalog",
        "intake.ordering",
        "intake.architecture",
        "intake.memory",
        "intake.timeout",
        "intake.logRetentionDays",
        "intake.maximumConcurrency",
        "stroage",
    }


def test_a_missing_image_is_named() -> None:
    """The values without a default; the second only where there is heavy work."""
    with pytest.raises(ProblemsError) as caught:
        read({}, stack="dev")

    assert {one.path for one in caught.value.problems} == {"image", "batchImage"}
    assert read({"image": IMAGE, "heavy": {"enabled": False}}, stack="dev").batch_image == ""


def test_repositories_alone_need_no_image() -> None:
    """And take none: a stack that has images has more than repositories to lose."""
    alone = {"registry": {"only": True}}

    assert read(alone, stack="dev") == Config(stack="dev", registry=RegistryConfig(only=True))
    assert set(_mistakes(alone)) == {"registry.only"}
    with pytest.raises(ProblemsError, match="leaves nothing"):
        read({"registry": {"only": True, "enabled": False}}, stack="dev")


@pytest.mark.parametrize("name", ["dev-", "-dev", "a--b", "Dev", "", "x" * 21])
def test_a_stack_has_a_name_that_every_service_takes(name: str) -> None:
    """Repositories know hyphens between other characters only."""
    assert set(_mistakes({}, stack=name)) == {"stack"}


@pytest.mark.parametrize("name", ["d", "dev", "eu-west-1", "x" * 20])
def test_usual_names_of_stacks_are_fine(name: str) -> None:
    """Of letters and digits, with single hyphens."""
    assert read(IMAGES, stack=name).stack == name


@pytest.mark.parametrize("value", ["*", {"a": 1}, ["ftp://a.example"], ["https://a.example/path"]])
def test_origins_are_a_list_of_them(value: object) -> None:
    """An origin has no path, and a text is no list."""
    assert set(_mistakes({"storage": {"browserOrigins": value}})) == {"storage.browserOrigins"}


@pytest.mark.parametrize("cost", [{"monthlyBudget": 100}, {"anomalyDollars": 10}])
def test_who_watches_the_cost_has_an_address(cost: dict[str, Any]) -> None:
    """A warning that reaches nobody is a mistake."""
    somebody = {"email": "who@example.com"}

    assert set(_mistakes({"cost": cost})) == {"cost.email"}
    assert set(_mistakes({"cost": cost, "observability": {**somebody, "enabled": False}})) == {
        "cost.email"
    }
    assert read({**IMAGES, "cost": {**cost, **somebody}}, stack="dev")
    # The topic of the alarms is told as well.
    assert read({**IMAGES, "cost": cost, "observability": somebody}, stack="dev")


@pytest.mark.parametrize(
    ("intake", "path"),
    [
        ({"batchSize": 11}, "intake.batchSize"),
        ({"batchWindow": 1}, "intake.batchWindow"),
        ({"ordering": "standard", "batchSize": 11}, "intake.batchWindow"),
        ({"memory": 1024}, "intake.memory"),
        ({"timeout": 60}, "intake.timeout"),
        ({"maximumConcurrency": 50, "reservedConcurrency": 49}, "intake.reservedConcurrency"),
        ({"minimumPollers": 9, "maximumPollers": 8}, "intake.maximumPollers"),
        (
            {"minimumPollers": 2, "maximumPollers": 8, "reservedConcurrency": 79},
            "intake.reservedConcurrency",
        ),
    ],
)
def test_values_that_do_not_go_together(intake: dict[str, Any], path: str) -> None:
    """Values that AWS would refuse, or that leave the sandbox too little memory or time, are
    refused."""
    assert set(_mistakes({"intake": intake})) == {path}


@pytest.mark.parametrize("what", ["Reads", "Writes"])
def test_capacity_has_its_lower_bound_below(what: str) -> None:
    """Where there is capacity to bound."""
    bounds = {f"minimum{what}": 11, f"maximum{what}": 10}

    assert set(_mistakes({"catalog": {"capacity": "provisioned", **bounds}})) == {
        f"catalog.minimum{what}"
    }
    assert read({**IMAGES, "catalog": bounds}, stack="dev").catalog.capacity is Capacity.ON_DEMAND


@pytest.mark.parametrize("intake", [{"memory": 1024}, {"timeout": 60}])
def test_a_smaller_sandbox_fits_a_smaller_function(intake: dict[str, Any]) -> None:
    """The limit is the sandbox's, which is a setting."""
    settings = {"sandbox_megabytes": 700, "sandbox_seconds": 30}

    assert read({**IMAGES, "settings": settings, "intake": intake}, stack="dev")


def test_the_program_says_mistakes_without_a_traceback() -> None:
    """Pulumi prints the text of a RunError alone."""
    with pytest.raises(pulumi.RunError) as caught:
        declare({"intake": {"memory": 1}, "colour": "red"})

    first, *mistakes = str(caught.value).splitlines()
    assert first == "config of stack test: 2 problems"
    assert set(mistakes) == {
        "  colour: is no key of Safelight",
        "  intake.memory: must be from 512 to 10240, not 1",
    }


def test_a_key_that_is_no_object_is_a_mistake() -> None:
    """A value that cannot be decoded is reported like any other mistake."""
    with pytest.raises(pulumi.RunError, match="intake: must be a map"):
        declare({"intake": "{not json"})


def test_the_readme_explains_every_value() -> None:
    """Each key, with its default, is in the table of pulumi/README.md."""
    text = (ROOT / "pulumi" / "README.md").read_text()

    for section, kind in SECTIONS.items():
        for item in dataclasses.fields(kind):
            default = getattr(kind(), item.name)
            said = ", ".join(default) if isinstance(default, tuple) else str(default)
            said = said.lower() if isinstance(default, bool) else said
            assert f"| `{section}.{camel(item.name)}` | {said} |" in text
