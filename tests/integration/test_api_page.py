"""What docs/api.md shows of an upload, run as it is written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.running import ROOT, Running, environment, picture, until


@pytest.mark.skipif(
    shutil.which("jq") is None or shutil.which("curl") is None, reason="needs curl and jq"
)
def test_curl_uploads_a_photo(running: Running, tmp_path: Path) -> None:
    """With the address and the token that the stack has printed."""
    text = (ROOT / "docs" / "api.md").read_text()
    (section,) = re.findall(r"## Upload a file\n.*?\n### ", text, re.DOTALL)
    (script,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    picture(tmp_path, "harbour.jpg", "navy")
    made = running.json("api", "token", "--owner", "ann")

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**environment(), "API": made["api"], "TOKEN": made["token"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["original"]["name"] == "harbour.jpg"

    def accepted() -> bool:
        record = running.app.catalog.get(shown["id"])
        return record is not None and record.status.value == "accepted"

    until(accepted)
