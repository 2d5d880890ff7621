"""The health of an image, checked while it is built: ``python3 check.py lambda|batch``.

What lives here: everything an image must be able to do, done once. Ends with 1 and every reason,
which stops the build.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HOME = Path("/opt/safelight")
MODULES = {
    "lambda": (
        *("awslambdaric.bootstrap", "redis"),
        *("worker.entrypoints.lambda_api", "worker.entrypoints.lambda_ingest"),
    ),
    "batch": ("batch.__main__", "cv2", "boto3", "redis"),
}
DEVELOPMENT = (
    *("pip", "pulumi", "simpy"),
    *("worker.bench", "worker.infra", "worker.local", "worker.samples", "worker.simulation"),
)
ABSENT = {"lambda": ("cv2", *DEVELOPMENT), "batch": ("awslambdaric", *DEVELOPMENT)}
TOOLS = ("pip", "pip3", "cc", "gcc", "c++", "make", "git", "curl", "wget")
"""An intruder must bring their own."""
SIDE = 64


def main(kind: str) -> int:
    """Check an image of a kind and return the exit code."""
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: modules(kind),
        encoders,
        engine,
        services,
        spans,
        files,
        lambda: programs(kind),
    )
    problems = [problem for check in checks for problem in check()]
    for problem in problems:
        print(f"check: {problem}", file=sys.stderr)  # noqa: T201
    return 1 if problems else 0


def modules(kind: str) -> Iterator[str]:
    """What must be importable, and what must not be there."""
    for name in MODULES[kind]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            yield f"{name} cannot be imported: {error}"
    for name in ABSENT[kind]:
        if importlib.util.find_spec(name) is not None:
            yield f"{name} is here and should not be"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        yield f"the jail of decoders has one wall only: {error}"


def encoders() -> Iterator[str]:
    """Every format that a recipe can ask for can be written and read again."""
    import pyvips
    from PIL import Image

    if not pyvips.API_mode:
        yield "pyvips does not use the libvips that pyvips-binary brings"
    picture = pyvips.Image.black(SIDE, SIDE, bands=3).copy(interpretation="srgb")
    for suffix in (".jpg", ".png", ".webp", ".avif", ".gif", ".tif"):
        try:
            again = pyvips.Image.new_from_buffer(picture.write_to_buffer(suffix), "")
            again.avg()
        except pyvips.Error as error:
            yield f"libvips does not do {suffix}: {error}"
    for name in ("JPEG", "WEBP"):
        target = io.BytesIO()
        try:
            Image.new("RGB", (SIDE, SIDE)).save(target, name)
        except (OSError, KeyError) as error:
            yield f"Pillow does not write {name}: {error}"


def engine() -> Iterator[str]:
    """The engine makes the renditions of two recipes and packs JPEGs; HEIC can be read."""
    import pi_heif  # type: ignore[import-untyped]
    from PIL import Image

    from worker import recipes
    from worker.imaging import libjxl
    from worker.imaging.engine import process

    if "libde265" not in pi_heif.libheif_info()["decoders"]:
        yield "pi-heif has no decoder"
    upload = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((600, 400)).save(upload, "JPEG")
    for recipe in ("default", "modern"):
        done = process(upload.getvalue(), recipes.load(recipe))
        if not done.renditions:
            yield f"the engine made nothing by {recipe}"
    jpeg = upload.getvalue()
    if libjxl.unpack(libjxl.repack(jpeg, effort=3)) != jpeg:
        yield "a packed JPEG does not come back"


def services() -> Iterator[str]:
    """The trimmed descriptions of AWS services still make clients that know where to call."""
    import boto3

    session = boto3.Session("key", "secret", region_name="eu-central-1")
    for name in session.get_available_services():
        at: str = session.client(name).meta.endpoint_url  # type: ignore[call-overload]
        if not re.fullmatch(r"https://[a-z0-9.-]+\.amazonaws\.com", at):
            yield f"a client for {name} would call {at}"
        if name == "s3" and session.get_available_regions(name) == []:
            yield "botocore has lost its regions"


def spans() -> Iterator[str]:
    """What is left of OpenTelemetry makes spans."""
    from worker.adapters.tracing import SpanBuffer
    from worker.domain import trace

    written: list[bytes] = []
    trace.install(SpanBuffer(written.append, percent=100))
    with trace.flushing("check"), trace.span("ingest", bytes=1):
        pass
    trace.install(None)
    if not written:
        yield "no spans are written"


def files() -> Iterator[str]:
    """Everything can be read by any user and written by none but root; nothing was left behind."""
    if os.geteuid() == 0:
        yield "the image runs as root"
    for path in HOME.rglob("*"):
        mode = path.lstat().st_mode
        if not path.is_symlink() and (not mode & 0o004 or mode & 0o022):
            yield f"{path} has mode {mode & 0o777:o}"
    for path in [*HOME.rglob("*.py"), *Path("/usr/lib").glob("python3*/**/*.py")]:
        compiled = Path(importlib.util.cache_from_source(str(path)))
        # PEP 552: the second word of 1 says that no date and no content of the source matters.
        if not compiled.exists() or compiled.read_bytes()[4:8] != b"\x01\0\0\0":
            yield f"{path} would be compiled at every start"


def programs(kind: str) -> Iterator[str]:
    """No tools for building or fetching; ffmpeg where it belongs, and working."""
    yield from (f"{name} is here and should not be" for name in TOOLS if shutil.which(name))
    if kind != "batch":
        return
    encode = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1:s=64x64:r=5"]
    encode += ["-c:v", "libx264", "-f", "matroska", "-"]
    done = subprocess.run(encode, capture_output=True, check=False)  # noqa: S603
    if done.returncode or not done.stdout:
        yield f"ffmpeg does not encode: {done.stderr.decode()}"
    ask = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", "-"]
    asked = subprocess.run(ask, input=done.stdout, capture_output=True, check=False)  # noqa: S603
    if asked.stdout.strip() != b"h264":
        yield f"ffprobe does not read: {asked.stderr.decode()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
