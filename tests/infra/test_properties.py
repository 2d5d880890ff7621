"""Every rule holds for every configuration that is accepted, whatever is switched on or off."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings

from stack.config import SECTIONS, read
from tests.infra import configs, rules
from tests.infra.declared import IMAGES, STACK, declare

LONGEST_STACK = "x" * 20


def _check(config: dict[str, Any], stack: str = LONGEST_STACK) -> None:
    declared = declare(config, stack=stack)
    rules.check(declared, read({**IMAGES, **config}, stack=stack))


@settings(max_examples=3)
@example(config=configs.switched(on=True))
@given(config=configs.configs)
def test_every_accepted_configuration_keeps_every_rule(config: dict[str, Any]) -> None:
    """For any accepted configuration no resource is public, unbounded or unnamed."""
    _check(config)


@pytest.mark.parametrize(
    "config", [configs.switched(on=False), configs.STANDARD, configs.CHOSEN, {}]
)
def test_what_tests_look_at_keeps_every_rule(config: dict[str, Any]) -> None:
    """The configurations that are declared for other tests anyway."""
    _check(config, STACK)


@pytest.mark.parametrize(
    "part", [section for section, key in configs.switches() if key == "enabled"]
)
def test_a_part_that_is_gone_takes_nothing_else_with_it(part: str) -> None:
    """Repositories, heavy work, API and observability, each missed by all that is left."""
    _check(configs.WITHOUT[part], STACK)


@settings(max_examples=1)
@given(config=configs.configs)
def test_no_key_is_left_out_of_what_is_drawn(config: dict[str, Any]) -> None:
    """A new value of the configuration is tried at random too."""
    drawn = {(section, key) for section in SECTIONS for key in config[section]}

    assert drawn == configs.keys() - {configs.ALONE}


@pytest.mark.parametrize("on", [True, False])
def test_both_ends_have_every_switch(*, on: bool) -> None:
    """The two examples of above say something about each."""
    found = configs.switched(on=on)

    for section, key in configs.switches():
        if (section, key) != configs.ALONE:
            assert found[section][key] is on
