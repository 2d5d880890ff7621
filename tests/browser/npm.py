"""JavaScript libraries of other people that pages of tests use: pinned packages of npm."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def installed(name: str, *packages: str) -> Path:
    """The ``node_modules`` with some packages; skips the test if npm cannot install them.

    Args:
        name: of a folder that is kept for the next run.
        packages: each as ``NAME@VERSION``.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    folder = Path(tempfile.gettempdir()) / f"safelight-{name}-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    done = folder / "installed.txt"
    wanted = "\n".join(packages)
    if not done.exists() or done.read_text() != wanted:
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        made = subprocess.run(
            [npm, "install", *options, *packages], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"npm installs nothing: {made.stderr[-300:]}")
        done.write_text(wanted)
    return folder / "node_modules"
