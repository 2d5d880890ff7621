"""The two stacks that ship, from their own files: exactly which resources, and why."""

from __future__ import annotations

import re

import pytest

from stack.config import SECTIONS, read
from tests.golden import Golden
from tests.infra import presets, rules
from tests.infra.declared import IMAGES, STACK, Declaration
from worker.services import tuning_curve


@pytest.fixture(scope="module", params=presets.NAMES)
def preset(request: pytest.FixtureRequest) -> tuple[str, Declaration]:
    """Each of them, by name."""
    return request.param, presets.declared(request.param)


def test_the_presets_are_exactly_these_resources(golden: Golden) -> None:
    """Every input of every resource, parameters of jobs and the state machine included."""
    for name, shown in presets.files().items():
        golden.check(name, shown)


def test_a_preset_keeps_every_rule(preset: tuple[str, Declaration]) -> None:
    """As any accepted configuration does."""
    name, declared = preset

    rules.check(declared, read({**IMAGES, **presets.values(name)}, stack=STACK))


def test_a_stack_to_try_things_in_can_be_destroyed_whole() -> None:
    """Resources with data can be deleted in dev, but not in prod."""
    kinds = {"s3/Bucket": "forceDestroy", "ecr/Repository": "forceDelete"}
    for name, free in (("dev", True), ("prod", False)):
        declared = presets.declared(name)
        for kind, key in kinds.items():
            assert {one.inputs[key] for one in declared.of(kind)} == {free}
        table = declared.one("dynamodb/Table", "catalog").inputs
        assert table["deletionProtectionEnabled"] is not free


def test_a_stack_to_try_things_in_has_nothing_that_is_paid_by_the_hour() -> None:
    """No machine that always runs, no endpoint with an address, no provisioned capacity."""
    declared = presets.declared("dev")

    assert {
        one.inputs["computeResources"]["minVcpus"]
        for one in declared.of("batch/ComputeEnvironment")
    } == {0}
    assert {one.inputs["vpcEndpointType"] for one in declared.of("ec2/VpcEndpoint")} == {"Gateway"}
    assert declared.one("dynamodb/Table", "catalog").inputs["billingMode"] == "PAY_PER_REQUEST"
    assert not declared.of("cloudwatch/MetricAlarm")


def test_production_has_room_for_ten_times_ten_million_uploads_a_day() -> None:
    """1,157 a second in a spike, as long as docs/durations.json says: docs/scale.md."""
    declared = presets.declared("prod")
    mapping = declared.one("lambda/EventSourceMapping", "ingest")
    memory = int(declared.one("lambda/Function", "ingest").inputs["memorySize"])
    seconds = (
        tuning_curve.read(presets.PROGRAM.parent / "docs" / "durations.json").at(memory).seconds
    )
    needed = 10 * 10_000_000 / 86_400 * seconds

    assert needed * 1.2 <= mapping.inputs["scalingConfig"]["maximumConcurrency"] <= needed * 1.5


def test_the_readme_explains_every_value_of_both() -> None:
    """A row for each key that one of them sets, with what they say, and why."""
    text = (presets.PROGRAM / "README.md").read_text("utf-8")
    section = text.partition("### The presets")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) ?\| (.*?) ?\| .{10,} \|$", section, re.MULTILINE)
    said = {
        name: {
            f"{part}.{key}": str(value).lower() if isinstance(value, bool) else str(value)
            for part in SECTIONS
            for key, value in presets.values(name).get(part, {}).items()
        }
        for name in presets.NAMES
    }
    wanted = {
        (key, said["dev"].get(key, ""), said["prod"].get(key, ""))
        for key in {*said["dev"], *said["prod"]}
    }

    assert {*rows} == wanted
    assert len(rows) == len(wanted)
