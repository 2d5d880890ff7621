"""The environment in which the command line works on a deployed stack, from the stack's outputs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError
from worker.settings import ELSEWHERE, PREFIX, Settings

REGION = "AWS_REGION"
_SECONDS = 120.0
"""Longest wait for `pulumi stack output`, which asks a server for the state."""
_ARN = re.compile(r"arn:[^:]+:[^:]+:([a-z0-9-]+):\d{12}:")
_QUEUE = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What to set, and what must not be left from another stack."""

    values: Mapping[str, str]
    others: tuple[str, ...]
    """Variables of Safelight's settings that this stack leaves at their defaults."""


def of_outputs(outputs: Mapping[str, Any]) -> Environment:
    """Read what the program exports.

    Raises:
        ConfigurationError: these are no outputs of a whole deployment.
        SettingsError: the environment would not be one that Safelight accepts.
    """
    given = outputs.get("environment")
    if not isinstance(given, Mapping) or not given:
        raise ConfigurationError(
            "there is no output environment: this stack is not, or not wholly, deployed"
        )
    values = {str(name): str(text) for name, text in given.items() if str(name).startswith(PREFIX)}
    Settings.from_environment(values)
    region = _region(outputs)
    if region:
        values[REGION] = region
    known = {f"{PREFIX}{item.name.upper()}" for item in fields(Settings)} - ELSEWHERE
    return Environment(values=values, others=tuple(sorted(known - {*values})))


def from_pulumi(stack: str, folder: Path) -> Mapping[str, Any]:
    """Ask the pulumi program for a stack's outputs.

    Args:
        folder: of the Pulumi program.

    Raises:
        ConfigurationError: pulumi is not installed (``program_missing``), knows no such stack, or
            cannot reach its state.
    """
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise ConfigurationError(
            "the program pulumi is not installed; elsewhere `pulumi stack output --json` writes a"
            " file that --outputs reads",
            code="program_missing",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"pulumi did not answer within {_SECONDS:.0f} s") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"it ended with code {done.returncode}"
        raise ConfigurationError(f"pulumi has no outputs of stack {stack}: {said}")
    return parse(done.stdout)


def parse(text: str) -> Mapping[str, Any]:
    """Outputs from their JSON text. Raises ``ConfigurationError``."""
    try:
        outputs = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"these outputs are no JSON: {error}") from error
    if not isinstance(outputs, dict):
        raise ConfigurationError("these outputs are no JSON object")
    return outputs


def _region(outputs: Mapping[str, Any]) -> str | None:
    texts = [outputs.get("heavyWorkflow"), outputs.get("workQueue"), outputs.get("uploadsQueue")]
    for text in texts:
        found = _ARN.match(str(text)) or _QUEUE.match(str(text))
        if found:
            return found[1]
    return None
