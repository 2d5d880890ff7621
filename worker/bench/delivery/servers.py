"""The servers that are compared, each bound to the same core, and what their processes take.

thumbor is installed from PyPI into a virtual environment of its own, at its first use. imgproxy is
measured if a program of this name is on the PATH. Each keeps its own settings but for what a
comparison needs: the same formats, qualities and encoder efforts, as far as they can be set.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO

from worker import __version__
from worker.domain.errors import EngineError
from worker.domain.image import Format
from worker.local.emulator import free_port

THUMBOR_VERSION = "7.8.0"
THUMBOR_FOLDER = Path(".safelight/bench/thumbor")
"""Where it is installed, below the folder that the command is run in; nothing else uses it."""
START_SECONDS = 60.0
BOX = 512
"""Pixels: every file is the whole picture inside a box of so many each way."""


class Name(StrEnum):
    """A server."""

    OURS = "safelight"
    THUMBOR = "thumbor"
    IMGPROXY = "imgproxy"


class ServerMissing(Exception):
    """A server cannot be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingSetting:
    """How all servers write a format."""

    quality: int
    effort: int
    """On the scale of our recipes."""


SETTINGS: Mapping[Format, EncodingSetting] = {
    Format.JPEG: EncodingSetting(quality=80, effort=0),
    Format.WEBP: EncodingSetting(quality=80, effort=2),
    Format.AVIF: EncodingSetting(quality=65, effort=0),
    Format.JXL: EncodingSetting(quality=78, effort=3),
}
COMPARED = (Format.JPEG, Format.WEBP, Format.AVIF)
"""Formats that all servers write."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server.

    Args:
        process: its first process.
        address: ``http://127.0.0.1:PORT``.
        version: of the program.
    """

    name: Name
    process: subprocess.Popen[str]
    address: str
    version: str

    def cpu_seconds(self) -> float:
        """User and system time of all its processes, ended ones included."""
        return sum(_cpu_seconds(pid) for pid in process_tree(self.process.pid))

    def memory(self) -> int:
        """Proportional set size of all its processes together, bytes: proc(5), smaps_rollup."""
        return sum(_proportional(pid) for pid in process_tree(self.process.pid))


def process_tree(pid: int) -> list[int]:
    """A process and all below it that run."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += map(int, (thread / "children").read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


class PeakMemory:
    """The largest memory of a server while the block runs.

    Args:
        memory: bytes now.
        seconds: between two looks.
    """

    def __init__(self, memory: Callable[[], int], *, seconds: float = 0.02) -> None:
        self._memory, self._seconds = memory, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.bytes = max(self.bytes, self._memory())
            self._stop.wait(self._seconds)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.bytes = max(self.bytes, self._memory())


# --- starting ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How a server is started."""

    name: Name
    arguments: Sequence[str]
    port: int
    health: str
    """A path that it answers once it is ready."""
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def running(command: Command, *, cores: frozenset[int]) -> Iterator[Server]:
    """Start a server on some cores and stop it afterwards.

    Raises:
        EngineError: it does not start.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603  programs that this module has found
            command.arguments,
            env={**_environment(), **command.environment},
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  no threads yet
        )
        try:
            _await(command, process, log)
            yield Server(
                name=command.name,
                process=process,
                address=f"http://127.0.0.1:{command.port}",
                version=command.version,
            )
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _environment() -> dict[str, str]:
    """Without settings of ours or theirs that this shell may have."""
    ours = ("SAFELIGHT_", "THUMBOR_", "IMGPROXY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _await(command: Command, process: subprocess.Popen[str], log: IO[str]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", command.port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", command.health)
            if connection.getresponse().status < 500:
                connection.close()
                return
        connection.close()
        time.sleep(0.05)
    log.seek(0)
    said = log.read().strip().splitlines()
    raise EngineError(f"{command.name} does not start: {said[-1] if said else 'it says nothing'}")


def ours(folder: Path, *, stored: bool) -> Command:
    """The delivery server of the local stack on photos in a folder (``library``).

    Args:
        folder: with the library.
        stored: assets have stored renditions; else only the original exists.
    """
    port = free_port()
    mode = "stored" if stored else "original"
    return Command(
        name=Name.OURS,
        arguments=(
            sys.executable,
            "-m",
            "worker.bench.delivery.ours",
            str(folder),
            mode,
            str(port),
        ),
        port=port,
        health="/",
        version=__version__,
        # As every worker of the local stack.
        environment={"VIPS_CONCURRENCY": "1"},
    )


def thumbor(photos: Path, scratch: Path, *, storage: bool, python: Path) -> Command:
    """thumbor on the photos of a folder.

    Args:
        photos: it may read.
        scratch: an empty folder.
        storage: it keeps its results in files, and answers from them.
        python: of its virtual environment.
    """
    port = free_port()
    results = "thumbor.result_storages.file_storage" if storage else None
    lines = {
        "LOADER": "thumbor.loaders.file_loader",
        "FILE_LOADER_ROOT_PATH": str(photos),
        # It would keep a second copy of each original.
        "STORAGE": "thumbor.storages.no_storage",
        "RESULT_STORAGE": results,
        "RESULT_STORAGE_FILE_STORAGE_ROOT_PATH": str(scratch / "results"),
        # Otherwise it keeps no result of an address without a signature, as all are here.
        "RESULT_STORAGE_STORES_UNSAFE": True,
        "QUALITY": SETTINGS[Format.JPEG].quality,
        "PROGRESSIVE_JPEG": True,
        # Speed 9 is our effort 0. Its WebP effort, 4, cannot be set.
        "AVIF_SPEED": 9 - SETTINGS[Format.AVIF].effort,
        "ALLOW_UNSAFE_URL": True,
    }
    path = scratch / "thumbor.conf"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in lines.items()), "utf-8")
    return Command(
        name=Name.THUMBOR,
        arguments=(
            str(python.parent / "thumbor"),
            *("--ip", "127.0.0.1", "--port", str(port), "--conf", str(path)),
            *("--processes", "1", "--log-level", "error"),
        ),
        port=port,
        health="/healthcheck",
        version=THUMBOR_VERSION,
    )


def imgproxy(photos: Path, program: str) -> Command:
    """imgproxy on the photos of a folder. It counts the cores that it may use."""
    port = free_port()
    webp, avif, jxl = (SETTINGS[one].effort for one in (Format.WEBP, Format.AVIF, Format.JXL))
    return Command(
        name=Name.IMGPROXY,
        arguments=(program,),
        port=port,
        health="/health",
        version=_imgproxy_version(program),
        environment={
            "IMGPROXY_BIND": f"127.0.0.1:{port}",
            "IMGPROXY_LOCAL_FILESYSTEM_ROOT": str(photos),
            "IMGPROXY_JPEG_PROGRESSIVE": "true",
            "IMGPROXY_WEBP_EFFORT": str(webp),
            "IMGPROXY_AVIF_SPEED": str(9 - avif),
            "IMGPROXY_JXL_EFFORT": str(jxl),
            "IMGPROXY_LOG_LEVEL": "error",
        },
    )


def path_of(name: Name, photo: str, kind: Format) -> str:
    """The URL path of a photo in a format, by a server that reads the photos themselves."""
    quality = SETTINGS[kind].quality
    if name is Name.THUMBOR:
        form = f"filters:format({kind.value}):quality({quality})"
        return f"/unsafe/fit-in/{BOX}x{BOX}/{form}/{photo}"
    return f"/unsafe/rs:fit:{BOX}:{BOX}/q:{quality}/f:{kind.extension}/plain/local:///{photo}"


# --- programs ----------------------------------------------------------------------------------


def find_imgproxy() -> str:
    """Where imgproxy is. Raises ``ServerMissing``."""
    found = shutil.which("imgproxy")
    if found is None:
        raise ServerMissing("imgproxy is not measured: there is no `imgproxy` on the PATH")
    return found


def _imgproxy_version(program: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the program that was found
            [program, "version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return "of unknown version"
    return done.stdout.strip() or "of unknown version"


def find_thumbor(folder: Path, *, notice: Callable[[str], None]) -> Path:
    """The Python of thumbor's virtual environment. pip installs it if it is missing.

    Args:
        folder: where it is or shall be.
        notice: gets a line before anything is downloaded.

    Raises:
        ServerMissing: the installation failed.
    """
    python = folder.absolute() / "bin" / "python"
    if _has_thumbor(python):
        return python
    notice(f"installing thumbor {THUMBOR_VERSION} with pip into {folder}")
    pip = [str(python), "-m", "pip", "install", "--quiet", f"thumbor=={THUMBOR_VERSION}"]
    try:
        for arguments in ([sys.executable, "-m", "venv", "--clear", str(folder)], pip):
            subprocess.run(  # noqa: S603  fixed arguments
                arguments, capture_output=True, text=True, timeout=600, check=True
            )
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise ServerMissing(
            f"thumbor is not measured: its installation failed: {said[-1]}"
        ) from error
    if not _has_thumbor(python):
        raise ServerMissing(f"thumbor is not measured: pip did not install {THUMBOR_VERSION}")
    return python


def _has_thumbor(python: Path) -> bool:
    asked = f"import importlib.metadata as m; assert m.version('thumbor') == {THUMBOR_VERSION!r}"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603  its own Python
            [str(python), "-c", asked], capture_output=True, timeout=60, check=False
        )
        return done.returncode == 0
    return False
