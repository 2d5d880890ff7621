"""Engines for tests of a run: what a file says decides what happens to it.

Worker processes import these functions by name, so they live in a module of their own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from worker.domain.errors import PoisonInput, Reason, UnsupportedInput
from worker.domain.image import (
    Encoding,
    Format,
    Measures,
    Metadata,
    Probe,
    Recipe,
    Rendition,
    RenditionSpec,
    Tags,
)
from worker.services.process_files.pool import Engine
from worker.subprocesses.sandbox import SandboxLimits

RECIPE = Recipe(
    name="test",
    version=1,
    renditions=(RenditionSpec(name="small", width=8, encodings=(Encoding(format=Format.JPEG),)),),
    digest="d" * 64,
)

PROBE = Probe(format=Format.JPEG, bytes=4, width=40, height=30)

MEASURES = Measures(
    dominant="#aa5500",
    palette=("#aa5500", "#112233"),
    thumbhash="3OcRJYB4d3h/iIeHeEh3eIhw+j2w",  # of the author's own example picture
    phash="0123456789abcdef",
    sharpness=10.0,
    brightness=0.5,
    contrast=0.2,
    clipped_dark=0.0,
    clipped_light=0.0,
)


def rendition(data: bytes) -> Rendition:
    """A rendition whose bytes are given."""
    return Rendition(
        name="small",
        format=Format.JPEG,
        width=8,
        height=6,
        frames=1,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        quality=80,
    )


def process(data: bytes, recipe: Recipe) -> Any:
    """Do what the file says: reject, crash, hang, exhaust, fail; anything else is a picture."""
    word = data.split(b" ", maxsplit=1)[0]
    if word == b"reject":
        raise UnsupportedInput(Reason.UNKNOWN_FORMAT, "not a picture")
    if word == b"spy" and "AWS_SECRET_ACCESS_KEY" in os.environ:
        raise UnsupportedInput(Reason.UNSAFE_CONTENT, "a credential was found")
    if word == b"crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == b"hang":
        threading.Event().wait()
    if word == b"exhaust":
        raise MemoryError
    if word == b"defect":
        raise ZeroDivisionError("a bug")
    if word == b"once":  # dies the first time, works the second
        marker = Path(data.split(b" ", maxsplit=1)[1].decode())
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return SimpleNamespace(  # as a ProcessedImage, whose module starts libvips
        probe=PROBE,
        plan=SimpleNamespace(hash="0123456789abcdef"),
        metadata=Metadata(
            sha256=hashlib.sha256(data).hexdigest(), icc=None, tags=Tags(), measures=MEASURES
        ),
        renditions=(rendition(b"made of " + data),),
        dropped=(),
    )


def describe(data: bytes) -> Probe:
    """The same header for every file."""
    return PROBE


def run_sandboxed(function: Callable[..., Any], *args: object, limits: SandboxLimits) -> Any:
    """A sandbox that finds every crash, hang and exhaustion by the file's first word."""
    data = args[0]
    assert isinstance(data, bytes)
    word = data.split(b" ", maxsplit=1)[0]
    reasons = {
        b"crash": Reason.CRASHED,
        b"hang": Reason.TIMED_OUT,
        b"exhaust": Reason.OUT_OF_MEMORY,
    }
    if word in reasons and function is process:
        raise PoisonInput(reasons[word], "the sandbox says so")
    return function(*args)


def die(function: Callable[..., Any], *args: object, limits: SandboxLimits) -> NoReturn:
    """A sandbox that takes its own process down."""
    os._exit(1)


def write_full(path: Path, data: bytes) -> None:
    """Write half of the bytes, then find the disk full."""
    with path.open("xb") as file:
        file.write(data[: len(data) // 2])
    if b"too much" in data:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    path.write_bytes(data)


def trusts(data: bytes) -> bool:
    """Nothing needs the sandbox from the first try on."""
    return False


ENGINE = Engine(
    process=process,
    describe=describe,
    needs_sandbox=trusts,
    version="fake 1",
    run_sandboxed=run_sandboxed,
)
