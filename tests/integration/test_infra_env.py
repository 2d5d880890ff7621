"""The environment that ``safelight infra env`` prints leads the other commands to a stack."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.integration.running import Running
from worker.local.address import OUTPUTS

SAFELIGHT = Path(sys.executable).with_name("safelight")


def test_commands_find_a_deployed_stack(running: Running, tmp_path: Path) -> None:
    """The exported variables suffice, and variables of another stack are unset."""
    outputs = shlex.quote(str(running.data / OUTPUTS))
    (tmp_path / "picture.jpg").write_bytes(b"not really")
    me = shlex.quote(str(SAFELIGHT))
    script = f"""set -eu
        eval "$({me} infra env --outputs {outputs})"
        {me} put picture.jpg --json
        {me} assets list --json
        {me} dlq list --json
        echo "$SAFELIGHT_WORKFLOWS"
        echo "${{SAFELIGHT_REDIS_URL:-gone}}"
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env={
            **kept,
            **running.root,
            "SAFELIGHT_TABLE": "of-another-stack",
            "SAFELIGHT_REDIS_URL": "redis://of-another-stack",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    first, *_, workflow, last = done.stdout.splitlines()
    assert json.loads(first)["bucket"] == "safelight-local-intake"
    assert ":stateMachine:safelight-local-video,approve=" in workflow
    assert last == "gone"
