"""The schema of CycloneDX, by its own library: in an environment of its own, made once in build/.

The library brings two dozen others, some in versions that nothing else here can live with.
"""

from __future__ import annotations

import hashlib
import subprocess
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "sbom"
PINNED = Path(__file__).with_name("sbom.txt")
PROGRAM = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) or "")
"""


def validator() -> Path:
    """Make the environment if it is not there, and return its interpreter."""
    wanted = hashlib.sha256(PINNED.read_bytes()).hexdigest()[:16]
    python = FOLDER / wanted / "bin" / "python"
    done = FOLDER / wanted / "done"
    if not done.exists():
        venv.create(FOLDER / wanted, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        command += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(PINNED)]
        subprocess.run(command, check=True)
        done.touch()
    return python


def complaints(python: Path, bill: str) -> str:
    """What the schema has against a bill of materials; empty if nothing."""
    done = subprocess.run(
        [str(python), "-I", "-c", PROGRAM], input=bill, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
