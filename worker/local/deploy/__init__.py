"""The Pulumi program's resources, created in the emulator: what runs here is what is deployed.

The program itself is run, unchanged. Pulumi's test seam (``pulumi.runtime.set_mocks``) hands every
resource it registers to ``registrar``, which creates it with boto3 and answers with its real
identity. One deploy a process, because Pulumi's runtime is one to a process: :func:`deploy` starts
``python -m worker.local.deploy`` and reads the outputs it leaves.

Resources without an effect in the emulator are not created, only registered: ``resource_types``
lists them with the reasons. Functions, pipe and jobs are run by the local stack, each with the
role that the program gives it: those are the ``localRoleHolders`` of the outputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.domain.errors import ConfigurationError, EmulatorError
from worker.domain.workflow import VIDEO
from worker.recipes import workflow
from worker.subprocesses.child import Child, reading

STACK = "local"
DEPLOY_SECONDS = 300.0
"""Longest deploy. It takes two or three seconds on an idle machine, and was seen to take more than
120 s where twenty programs shared two cores."""
MISTAKEN = 2
"""Exit code of the child when the configuration must be edited."""

ROLE_HOLDERS = "localRoleHolders"
"""Outputs of resources that have a role of their own, see ``worker.local.roles``."""

Outputs = Mapping[str, Any]
"""Outputs of the program, by name, and ``endpoint`` and ``localRoleHolders``."""


def shipped_workflows() -> list[str]:
    """Names of the workflows of every local stack, beside that of heavy uploads."""
    return sorted({*workflow.shipped()} - {VIDEO})


def deploy(
    endpoint: str,
    out: Path,
    *,
    config: Mapping[str, Any] | None = None,
    log: Path | None = None,
    launcher: Callable[[Sequence[str]], list[str]] = list,
    stopped: Callable[[], bool] = lambda: False,
) -> Outputs:
    """Create the resources, or those that are missing, in the emulator.

    Args:
        endpoint: URL of the emulator.
        out: file for the outputs, written whole at the end.
        config: values that differ from those of a local stack, like ``{"intake": {"ordering":
            "standard"}}``; the keys are those of ``pulumi/Pulumi.<stack>.yaml``.
        log: file that what the child says is added to.
        launcher: makes the command that starts the child from the one that is to run.
        stopped: asked all the time; the deploy ends as soon as it says yes, and can be repeated.

    Raises:
        ConfigurationError: the configuration is mistaken, or the program is not there.
        EmulatorError: the emulator refused a resource, or it was stopped.
    """
    command = [sys.executable, "-m", "worker.local.deploy", "--out", str(out)]
    command += ["--endpoint", endpoint, "--config", json.dumps(config or {})]
    # The user's own stack and account must not shine through.
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))
    }
    said, wrong = bytearray(), bytearray()
    deadline = time.monotonic() + DEPLOY_SECONDS
    child = Child(launcher(command), environment=kept, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        reads = {child.stdout: reading(said.extend), child.stderr: reading(wrong.extend)}
        with contextlib.closing(child.serve(reads)) as rounds:
            for _ in rounds:
                if stopped():
                    raise EmulatorError("the deploy was stopped")
                if time.monotonic() >= deadline:
                    raise EmulatorError(f"the deploy did not end within {DEPLOY_SECONDS:.0f} s")
    finally:
        child.end()
    if log is not None:
        with log.open("ab") as output:
            output.write(said + wrong)
    if child.status != 0:
        message = wrong.decode(errors="replace").strip()
        kind = ConfigurationError if child.status == MISTAKEN else EmulatorError
        raise kind(message or f"the deploy ended with code {child.status}")
    return read_outputs(out)


def read_outputs(out: Path) -> Outputs:
    """The outputs of a deploy. Raises ``ConfigurationError`` if there are none."""
    try:
        outputs: dict[str, Any] = json.loads(out.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{out} has no outputs of a deploy: {error}") from error
    return outputs
