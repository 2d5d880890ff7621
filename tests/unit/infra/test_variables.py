"""From the outputs of a stack to the environment in which the command line works on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worker.domain.errors import ConfigurationError, SettingsError
from worker.infra.deployed import environment_of, parse_outputs, pulumi_outputs

GIVEN = {
    "SAFELIGHT_TABLE": "safelight-dev-catalog-1a2b3c4",
    "SAFELIGHT_INTAKE_BUCKET": "intake",
    "SAFELIGHT_DELIVERY_BUCKET": "delivery",
    "SAFELIGHT_QUARANTINE_BUCKET": "quarantine",
    "SAFELIGHT_EVENT_BUS": "bus",
    "SAFELIGHT_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/work",
    "SAFELIGHT_DLQ_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/dead",
    "SAFELIGHT_ORDERING": "fifo",
}
MACHINE = "arn:aws:states:eu-west-1:123456789012:stateMachine:safelight-dev-heavy"


def outputs(**more: Any) -> dict[str, Any]:
    """Of a stack without heavy work."""
    return {"environment": GIVEN, "workQueue": GIVEN["SAFELIGHT_QUEUE_URL"], **more}


def test_what_the_stack_tells_is_the_command_lines_environment() -> None:
    """With the region, without which clients would look elsewhere."""
    found = environment_of(outputs())

    assert found.values == {**GIVEN, "AWS_REGION": "eu-central-1"}


def test_the_region_is_that_of_the_state_machine() -> None:
    """Its ARN says so for certain; an address of a queue may be that of an endpoint."""
    found = environment_of(
        outputs(workflows={"video": MACHINE}, workQueue="http://127.0.0.1:4566/queue")
    )

    assert found.values == {**GIVEN, "AWS_REGION": "eu-west-1"}


def test_what_another_stack_has_set_is_taken_away() -> None:
    """A variable that this stack does not set must not stay from the one before."""
    found = environment_of(outputs())

    assert "SAFELIGHT_WORKFLOWS" in found.others
    assert "SAFELIGHT_REDIS_URL" in found.others
    assert not {*found.others} & {*found.values}


def test_other_variables_of_the_function_are_left_out() -> None:
    """The function may have some that are no settings; a shell here must not get them."""
    given = {**GIVEN, "PATH": "/opt", "POWERTOOLS_LOG_LEVEL": "INFO"}

    assert environment_of({"environment": given}).values == GIVEN


@pytest.mark.parametrize("given", [{}, {"environment": {}}, {"environment": "[secret]"}])
def test_a_stack_that_is_not_deployed_is_told(given: dict[str, Any]) -> None:
    """Standard output has no variables that a shell would evaluate."""
    with pytest.raises(ConfigurationError, match="not, or not wholly, deployed"):
        environment_of(given)


def test_an_environment_of_another_version_is_refused() -> None:
    """Every variable that this Safelight does not know is named."""
    with pytest.raises(SettingsError, match="SAFELIGHT_NEWS"):
        environment_of({"environment": {**GIVEN, "SAFELIGHT_NEWS": "x"}})


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_what_is_no_output_is_told(text: str) -> None:
    """A pipe from a command that failed is empty."""
    with pytest.raises(ConfigurationError):
        parse_outputs(text)


def program(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pulumi that answers."""
    path = folder / "pulumi"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_pulumi_is_asked_in_the_programs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the stack's name, so that nobody has to have selected it."""
    program(tmp_path, 'printf \'{"where": "%s", "said": "%s"}\' "$PWD" "$*"', monkeypatch)

    found = pulumi_outputs("dev", tmp_path)

    assert found == {"where": str(tmp_path), "said": "stack output --json --stack dev"}


def test_what_pulumi_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows best why there is nothing."""
    program(tmp_path, "echo 'error: no stack named dev found' >&2; exit 255", monkeypatch)

    with pytest.raises(ConfigurationError, match="no stack named dev found"):
        pulumi_outputs("dev", tmp_path)


def test_without_pulumi_the_other_way_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs can come from a machine that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match="--outputs") as caught:
        pulumi_outputs("dev", tmp_path)
    assert caught.value.code == "program_missing"


def test_outputs_are_json_objects() -> None:
    """As `pulumi stack output --json` prints them."""
    assert parse_outputs(json.dumps(outputs())) == outputs()
