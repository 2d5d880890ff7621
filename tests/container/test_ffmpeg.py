"""The Batch image's own ffmpeg: every test of video and transcodes runs with it, in the image.

pytest is what the image lacks: it is mounted, and so are the tests. The code is the image's.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.container.engine import BATCH, Engine, mount

ROOT = Path(__file__).parents[2]
PYTHON = "3.13"
"""Of the image."""
FOLDERS = ("tests/unit/video", "tests/unit/transcode")
SECONDS = 900

pytestmark = pytest.mark.timeout(SECONDS + 120)


@pytest.fixture(scope="session")
def packages() -> Path:
    """A folder with pytest for the image's Python, made once."""
    pinned = Path(__file__).with_name("pytest.txt")
    folder = ROOT / "build" / "image-pytest"
    ready = folder / "requirements.txt"
    if not ready.exists() or ready.read_bytes() != pinned.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        command += ["--require-hashes", "--only-binary", ":all:", "--python-version", PYTHON]
        for tag in ("manylinux_2_28", "manylinux2014"):
            command += ["--platform", f"{tag}_{platform.machine()}"]
        command += ["--target", str(folder), "--requirement", str(pinned)]
        subprocess.run(command, check=True)
        shutil.copyfile(pinned, ready)
    return folder


def test_all_of_video_with_the_images_ffmpeg(
    engine: Engine, packages: Path, figures: list[str]
) -> None:
    """None fails, and none is left out for what this ffmpeg was built without."""
    command = [
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "-c",
        "/checkout/pyproject.toml",
    ]
    volumes = mount(packages, "/packages", "ro") | mount(ROOT / "tests", "/checkout/tests", "ro")
    volumes |= mount(ROOT / "pyproject.toml", "/checkout/pyproject.toml", "ro")
    container = engine.start(
        BATCH,
        *command,
        *FOLDERS,
        entrypoint=["python3"],
        volumes=volumes,
        working_dir="/checkout",
        environment={"PYTHONPATH": "/checkout:/packages:/opt/safelight/app:/opt/safelight/lib"},
        tmpfs={"/scratch": "mode=1777,size=2g"},
        # The limits of the tests' own programs are far below; two run at a time.
        mem_limit="4g",
        memswap_limit="4g",
        pids_limit=1024,
    )
    code = int(container.wait(timeout=SECONDS)["StatusCode"])
    said = container.logs().decode()
    version = engine.run(BATCH, "-version", entrypoint=["ffmpeg"]).output.split()[2]

    assert code == 0, said[-8000:]
    found = re.search(r"^(\d+) passed(?:, (\d+) skipped)?", said, re.MULTILINE)
    assert found, said[-2000:]
    assert not re.search(r"SKIPPED.*ffmpeg", said), said[-2000:]
    figures.append(f"tests of video with ffmpeg {version} in the image: {found[0]}")
