"""Functions that a sandboxed child calls in the tests: well-behaved, broken and hostile ones.

They live apart from the tests because a child imports this module: it must be quick to load.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import (
    DamagedInput,
    LimitExceeded,
    Problem,
    Reason,
    RecipeError,
    Rejected,
    StorageFull,
    UnsupportedInput,
)
from worker.domain.image import Dropped, Format, Recipe, Rendition
from worker.subprocesses import sandbox
from worker.subprocesses import sandbox_wire as wire


def add(left: int, right: int) -> int:
    """Return the sum."""
    return left + right


def big_rendition(count: int) -> tuple[Rendition, Dropped]:
    """Return model values, one of them with ``count`` bytes of pixels."""
    rendition = Rendition(
        name="large",
        format=Format.WEBP,
        width=2048,
        height=1365,
        frames=1,
        data=b"\xa5" * count,
        sha256="0" * 64,
        quality=80,
    )
    dropped = Dropped(name="large", format=Format.WEBP, bytes=2, kept=Format.JPEG, kept_bytes=1)
    return rendition, dropped


def length_of(path: Path) -> int:
    """Return how many bytes a file has."""
    return len(path.read_bytes())


def length(data: bytes) -> int:
    """Return how many bytes arrived."""
    return len(data)


@dataclass(frozen=True)
class Private:
    """A value of no module that may answer."""

    number: int


def private() -> Private:
    """Return what is not allowed in a reply."""
    return Private(number=1)


def untrue() -> Rendition:
    """Return a model value whose width is text."""
    return Rendition(
        name="large",
        format=Format.WEBP,
        width="wide",  # type: ignore[arg-type]
        height=1,
        frames=1,
        data=b"",
        sha256="",
        quality=None,
    )


def raise_damaged() -> None:
    """Reject the input."""
    raise DamagedInput(Reason.TRUNCATED, "the file ends early")


def raise_problems() -> None:
    """Fail with an error that carries a list."""
    raise RecipeError("x.toml", (Problem("a.b", "is wrong"), Problem("", "is empty")))


def raise_transient() -> None:
    """Fail for want of room."""
    raise StorageFull("no space left")


def raise_value_error() -> None:
    """Fail with a defect."""
    raise ValueError("seven is not a colour")


def raise_wrapped_out_of_memory() -> None:
    """Fail as a loader does when libvips could not allocate."""
    try:
        raise RuntimeError("vips_tracked: out of memory --- size == 96MB")
    except RuntimeError as error:
        raise DamagedInput(Reason.CORRUPT, "cannot be decoded") from error


def fail_with_memory_in_use(size: int, kind: str) -> None:
    """Fail, after holding ``size`` bytes, with an error that does not speak of memory."""
    held = bytearray(size)
    del held
    match kind:
        case "damaged":
            raise DamagedInput(Reason.CORRUPT, "its data cannot be decoded")
        case "variant":
            raise UnsupportedInput(Reason.UNSUPPORTED_VARIANT, "a plugin is not there")
        case "limit":
            raise LimitExceeded(Reason.TOO_MANY_PIXELS, "more pixels than the limit")
    raise KeyError(kind)


def exit_politely() -> None:
    """Raise SystemExit."""
    sys.exit(3)


def vanish() -> None:
    """End without a word and with the status of success."""
    os._exit(0)


def segfault() -> None:
    """Read address zero."""
    ctypes.string_at(0)


def die_of(number: int) -> None:
    """End by a signal."""
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def abort_saying(text: str) -> None:
    """End as GLib does, with a line on standard error."""
    os.write(2, text.encode())
    os.abort()


def allocate(size: int) -> int:
    """Fill ``size`` bytes."""
    return len(bytearray(size))


def allocate_little_by_little() -> None:
    """Fill memory with small objects until there is none."""
    kept = []
    while True:
        kept.append(object())


def spin(*, ignoring: bool = False) -> None:
    """Use processor time for ever."""
    if ignoring:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    while True:
        pass


def spin_ignoring_the_signal() -> None:
    """Use processor time for ever and pay no heed to the soft limit."""
    spin(ignoring=True)


def wait_for_ever() -> None:
    """Do nothing, for ever."""
    while True:
        signal.pause()


def hold(fifo: str) -> None:
    """Keep a named pipe open for as long as this process lives, having written one byte."""
    descriptor = os.open(fifo, os.O_WRONLY)
    os.write(descriptor, b"x")
    wait_for_ever()


def leave_a_grandchild(fifo: str) -> str:
    """Start a process that never ends and holds every pipe, then return."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        descriptor = os.open(fifo, os.O_WRONLY)
        os.write(descriptor, b"x")
        os.close(write)
        wait_for_ever()
    os.close(write)
    os.read(read, 1)  # until the grandchild has opened the pipe
    return "done"


def leave_a_grandchild_and_crash(fifo: str) -> None:
    """Start a process that holds every pipe open, then crash."""
    leave_a_grandchild(fifo)
    segfault()


def print_junk(count: int) -> str:
    """Write to both outputs, from Python and from below it."""
    print("junk" * count)  # noqa: T201
    sys.stderr.write("more junk\n")
    os.write(1, wire.MAGIC * count)
    return "clean"


def junk_then_crash() -> None:
    """Write a lot, then crash."""
    os.write(2, b"early\n" + b"." * 200_000 + b"\nthe last words\n")
    segfault()


def surroundings() -> dict[str, object]:
    """Return what a child finds about itself."""
    return {
        "environment": sorted(os.environ),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "leader": os.getsid(0) == os.getpid(),
        "input": sys.stdin.read(),
    }


def write_file(size: int) -> None:
    """Write a file to the temporary folder."""
    Path(tempfile.gettempdir(), "big").write_bytes(b"0" * size)


def answer_with(data: bytes) -> None:
    """Write to the reply channel behind the sandbox's back, as an exploited child would."""
    os.write(int(sys.argv[1]), data)
    os._exit(0)


def sandbox_hold(fifo: str) -> None:
    """Run :func:`hold` in a sandbox without walls; called in a process that the test ends."""
    sandbox._CHILD = "tests.unit.unjailed_child"
    limits = sandbox.SandboxLimits(cpu_seconds=60, wall_seconds=100, memory_bytes=1 << 28)
    sandbox.run(hold, fifo, limits=limits)


def tries(folder: Path) -> dict[str, str]:
    """Try what a decoder never needs, with harmless arguments, and tell what the kernel says.

    Args:
        folder: outside of the jail, with a file ``secret`` and a socket ``socket`` in it.
    """
    secret, parent = folder / "secret", os.getppid()
    attempts: dict[str, Callable[[], object]] = {
        "read a file": secret.read_bytes,
        "list a folder": lambda: list(folder.iterdir()),
        "write a file": lambda: (folder / "new").write_bytes(b""),
        "change a file": lambda: os.truncate(secret, 0),
        "delete a file": secret.unlink,
        "change a mode": lambda: secret.chmod(0o600),
        "change a date": lambda: os.utime(secret),
        "read the environment of the parent": lambda: os.open(f"/proc/{parent}/environ", 0),
        "read the memory of the parent": lambda: os.open(f"/proc/{parent}/mem", 0),
        "signal the parent": lambda: os.kill(parent, 0),
        "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_CORE),
        "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "open a socket of datagrams": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "open a local socket": lambda: socket.socket(socket.AF_UNIX),
        "start a process": os.fork,
        "start a program": lambda: subprocess.run(["true"], check=False),
        "become a program": lambda: os.execv(sys.executable, ["python"]),
        "become another user": lambda: os.setuid(os.getuid()),
        "look into a process": lambda: _call("ptrace", 16, parent, 0, 0),
        "leave its namespaces": lambda: _call("unshare", 0),
        "use rings": lambda: _call("io_uring_setup", 0, 0),
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            said[name] = errno.errorcode[error.errno or 0]
        else:
            said[name] = "done"
    return said


def _call(name: str, *arguments: int) -> None:
    """A system call, by its name."""
    number = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_name(name.encode())
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), name)


def no_new_privileges() -> str:
    """Return what the kernel says of this process' chance to gain privileges."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("NoNewPrivs"))


def uses_its_own() -> str:
    """Do what a decoder does need."""
    with tempfile.NamedTemporaryFile() as spilled:
        spilled.write(b"pixels")
        spilled.seek(0)
        read = spilled.read()
    thread = threading.Thread(target=read.decode)
    thread.start()
    thread.join()
    import wave  # not loaded before

    return f"{read.decode()} {wave.__name__} {os.getpid() == os.getsid(0)}"


def temporary_folder() -> str:
    """Return where this process may write, having left a file there."""
    folder = tempfile.gettempdir()
    Path(folder, "left").write_bytes(b"behind")
    return folder


def digests(pictures: dict[str, bytes], recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Process pictures; return the SHA-256 of each file made, or the code of the rejection."""
    from worker.imaging.engine import process

    made = {}
    for name, data in pictures.items():
        try:
            made[name] = tuple(one.sha256 for one in process(data, recipe).renditions)
        except Rejected as rejection:
            made[name] = (rejection.code,)
    return made


_broken = False


def get_ready() -> None:
    """Prepare a child that stays."""


def process_id() -> int:
    """Return the number of this process."""
    return os.getpid()


def break_this_process() -> None:
    """Leave something behind that later calls in this process stumble over."""
    global _broken  # noqa: PLW0603
    _broken = True


def works_in_a_whole_process() -> str:
    """Fail where another call has left something behind."""
    if _broken:
        raise ValueError("broken")
    return "whole"


def warm_hold(fifo: str) -> None:
    """Run :func:`hold` in a child that stays; called in a process that the test ends."""
    sandbox._CHILD = "tests.unit.unjailed_child"
    limits = sandbox.SandboxLimits(cpu_seconds=60, wall_seconds=100, memory_bytes=1 << 28)
    sandbox.Warm(("tests.unit.sandbox_targets", "get_ready")).run(hold, fifo, limits=limits)
