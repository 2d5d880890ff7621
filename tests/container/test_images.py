"""What is in the images: sizes, labels, bill of materials, dates, and what must not be there."""

from __future__ import annotations

import json
from typing import Any

import pytest

import worker
from tests import aws_services
from tests.container.bill_schema import complaints, validator
from tests.container.engine import BATCH, LAMBDA, Engine

IMAGES = pytest.mark.parametrize("image", [LAMBDA, BATCH])


@pytest.mark.parametrize(("image", "megabytes"), [(LAMBDA, 196), (BATCH, 620)])
def test_an_image_is_no_larger_than_agreed(
    engine: Engine, figures: list[str], image: str, megabytes: int
) -> None:
    """All layers together, as `docker images` counts."""
    found = engine.client.images.get(image)
    size = found.attrs["Size"]
    layers = [one["Size"] / 1e6 for one in reversed(found.history()) if one["Size"] > 1e5]

    figures.append(f"{image}: {size / 1e6:.1f} MB, at most {megabytes}")
    figures.append(f"  layers of {', '.join(f'{one:.1f}' for one in layers)} MB")
    assert size <= megabytes * 1e6


@IMAGES
def test_labels_say_what_it_is(engine: Engine, image: str) -> None:
    """Version and revision are those of the build; nobody is root."""
    config = engine.client.images.get(image).attrs["Config"]

    assert config["Labels"]["org.opencontainers.image.version"] == worker.__version__
    assert len(config["Labels"]["org.opencontainers.image.revision"]) >= 40
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][:2] == ["python3", "-m"]


def bill(engine: Engine, image: str) -> dict[str, Any]:
    """The bill of materials that an image carries."""
    path = "/usr/share/safelight/sbom.cdx.json"
    found: dict[str, Any] = json.loads(engine.run(image, path, entrypoint=["cat"]).output)
    return found


@IMAGES
@pytest.mark.timeout(300)  # the library is installed the first time
def test_the_bill_of_materials_keeps_to_its_schema(engine: Engine, image: str) -> None:
    """The strict one of CycloneDX 1.6, which a bill with one word too many does not pass."""
    found = bill(engine, image)
    python = validator()

    assert complaints(python, json.dumps(found)) == ""
    found["components"][0]["colour"] = "blue"
    assert "colour" in complaints(python, json.dumps(found))


@IMAGES
def test_the_bill_of_materials_names_everything(engine: Engine, image: str) -> None:
    """CycloneDX, with what pip and dpkg installed, each by a package URL and only once."""
    found = bill(engine, image)

    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    urls = [one["purl"] for one in found["components"]]
    assert len(urls) == len(set(urls))
    names = {one["name"] for one in found["components"]}
    assert {"pyvips-binary", "numpy", "boto3", "libc6", "python3.13-minimal"} <= names
    assert ("opencv-python-headless" in names, "ffmpeg" in names) == ((image == BATCH),) * 2
    assert {"apt", "perl-base", "passwd"} & names == set()


LOOK = """
import json, os, shutil
made = {"/proc", "/sys", "/dev", "/.dockerenv", "/etc"}  # by the engine, in every container
made |= {"/etc/" + name for name in ("hosts", "hostname", "resolv.conf", "mtab")}
dates = {}
for at, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if name not in ("proc", "sys", "dev") or at != "/"]
    for path in (os.path.join(at, name) for name in folders + files):
        if path not in made:
            dates.setdefault(int(os.lstat(path).st_mtime), path)
special = [os.path.join(at, name) for at, folders, files in os.walk("/usr") for name in files
           if os.lstat(os.path.join(at, name)).st_mode & 0o6000]
forbidden = ("pip", "cc", "gcc", "perl", "apt-get", "curl", "su", "mount")
tools = [name for name in forbidden if shutil.which(name)]
data = "/opt/safelight/lib/botocore/data"
services = [name for name in os.listdir(data) if os.path.isdir(f"{data}/{name}")]
print(json.dumps([dates, special, tools, services]))
"""


@IMAGES
def test_it_holds_nothing_to_build_fetch_or_rise_with(engine: Engine, image: str) -> None:
    """No pip, compiler, package manager or setuid program; all dates are one, folders' too."""
    dates, special, tools, services = json.loads(engine.python(image, LOOK).output)

    assert list(dates) == ["946684800"], dates
    assert (special, tools) == ([], [])
    assert aws_services.asked() <= {*services}


UNWANTED = ("asyncio", "click", "cv2", "jinja2", "pulumi", "rich")


def test_the_handler_imports_nothing_heavy(engine: Engine) -> None:
    """Modules that the ingest function does not need are not imported at its start."""
    program = (
        "import json, sys, worker.entrypoints.lambda_ingest; print(json.dumps(list(sys.modules)))"
    )
    imported = set(json.loads(engine.python(LAMBDA, program).output))

    assert imported & set(UNWANTED) == set()
    assert "botocore.session" not in imported  # made with the first client
