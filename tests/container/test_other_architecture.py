"""The Lambda image of the architecture that this machine does not have, by emulation.

``make build ARCH=arm64`` (or ``amd64``) needs Docker's buildx and QEMU's handler of the kernel
(binfmt_misc); so does running what it built. Left out, with the reason, where one is missing.
"""

from __future__ import annotations

import platform
from pathlib import Path

import docker.errors
import pytest
from PIL import Image

import worker
from tests.container.engine import Ended, Engine, mount
from tests.unit.pictures import encoded, photo

OWN = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
OTHER, MACHINE = {"amd64": ("arm64", "aarch64"), "arm64": ("amd64", "x86_64")}[OWN]
IMAGE = f"safelight:{worker.__version__}-{OTHER}"
PLATFORM = {"platform": f"linux/{OTHER}"}


@pytest.fixture
def other(engine: Engine) -> str:
    """The image, if there is one and this machine can run it."""
    try:
        engine.client.images.get(IMAGE)
    except docker.errors.ImageNotFound:
        pytest.skip(f"there is no {IMAGE}: make build ARCH={OTHER}")
    try:
        tried = engine.python(IMAGE, "import platform; print(platform.machine())", **PLATFORM)
    except docker.errors.APIError as error:
        tried = Ended(code=1, output="", errors=str(error))
    if "exec format error" in tried.output + tried.errors:
        pytest.skip(f"this machine does not emulate {OTHER} (qemu-user-static and binfmt_misc do)")
    assert tried.code == 0, tried.errors
    assert tried.output.strip() == MACHINE
    return IMAGE


@pytest.mark.timeout(600)
def test_it_starts_and_makes_a_picture(engine: Engine, other: str, shared: Path) -> None:
    """The command line, confined as ever: every library is loaded, and renditions are written."""
    (shared / "in").mkdir()
    (shared / "in" / "one.jpg").write_bytes(encoded(photo(640, 480), "JPEG"))

    done = engine.run(
        other,
        *("process", "/data/in", "--out", "/data/out"),
        volumes=mount(shared),
        **PLATFORM,
    )

    assert done.code == 0, done.errors
    made = [one for one in (shared / "out").glob("*/*") if one.suffix in (".jpg", ".webp")]
    assert len(made) >= 4
    for one in made:
        with Image.open(one) as picture:
            picture.load()
