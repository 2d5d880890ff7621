"""Run a function in a child process that may crash, hang or run out of memory instead of us.

Any function that can be imported by name can be run, with any arguments that pickle. The child's
own half is in ``sandbox_child``, the form of its answer in ``sandbox_wire``.

A decoder in C meets hostile files, so each call gets:

- A fresh interpreter, over pipes alone: no shared memory or semaphores (Lambda has no
  ``/dev/shm``), no root, no files but those that a decoder spills to its temporary folder (a
  read-only root is enough for all others).
- Limits of CPU time, wall time, address space, size of files, open files; no core dumps.
- A bare environment: no credentials, one thread in libvips and OpenBLAS.
- Its own session. Its process group is killed when the call ends, however it ends (a Ctrl-C too);
  when the parent dies the child dies (Linux: ``PR_SET_PDEATHSIG``).
- Bounded output: what it prints is drained, and the end of it is a note on the error.
- An answer that is read as data, never as a pickle.
- A jail (``jail``): from the moment the function and its arguments are loaded it can open no file
  but code, fonts and a temporary folder of its own, start no program, open no connection and reach
  no other process.

Where the kernel refuses a wall of the jail the call goes on without it. Code that has taken the
child over then has the rights of this user: it can read what this user can read and open
connections, and a grandchild that makes itself a session of its own outlives the call. What
surrounds the process must deny it there (no route out, a role that may do little).

How a child ends, and what that means:

=====================================================  ===============================
returned                                               the value
raised a ``SafelightError``                            the same error
raised anything else, or returned what is not data     ``EngineError``
SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGTRAP      ``PoisonInput`` CRASHED
ended without an answer, or with one not ours          ``PoisonInput`` CRASHED
``MemoryError``, an abort that says memory ran out,    ``PoisonInput`` OUT_OF_MEMORY
SIGKILL from the kernel, a result too large, damage
or a defect seen with nearly all memory in use
SIGXCPU, SIGKILL after the CPU limit, the wall clock   ``PoisonInput`` TIMED_OUT
could not be started; SIGTERM and the like             ``TransientError``
=====================================================  ===============================

On macOS the address space is not limited (the kernel ignores it) and an orphan is ended by its
own timer two seconds after the wall limit; all else is the same.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple

from worker.domain.errors import EngineError, PoisonInput, Reason, SafelightError, TransientError
from worker.subprocesses import sandbox_wire as wire
from worker.subprocesses.child import Child, StderrText, bare_environment, reading, tell_missing
from worker.subprocesses.sandbox_child import OUT_OF_MEMORY_EXIT, speaks_of_memory

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_PIPE_BYTES = 1 << 20
"""What a user may ask for without a privilege (/proc/sys/fs/pipe-max-size)."""
_CHILD = "worker.subprocesses.sandbox_child"
# No site packages but those named, no user site, nothing from the working folder.
INTERPRETER = (sys.executable, "-S", "-s", "-P", "-X", "faulthandler")
_CRASHES = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,  # how GLib ends a program
        signal.SIGSYS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one call may use."""

    cpu_seconds: float
    """Processor time of the call, imports not counted; rounded up to whole seconds."""
    wall_seconds: float
    """Time from start to answer, start-up of the interpreter included."""
    memory_bytes: int
    """Address space on top of what the child holds once the function and its arguments are
    loaded. Address space is more than memory in use: leave 256 MB for threads and libraries."""
    file_bytes: int = 1 << 30
    """Size of any file it writes; libvips spills large pictures to the temporary folder."""
    reply_bytes: int = 1 << 28
    """Size of the answer, bytes of pictures included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended."""

    reply: tuple[bytearray, memoryview] | None
    """Header and body of a whole frame."""
    refused: Reason | None
    """Why a frame was not read to its end."""
    late: bool
    status: int
    """As ``Popen.returncode``: negative for a signal."""
    cpu_seconds: float
    stderr: str
    """The end of what it printed."""


class ChildTraceback(Exception):
    """Where the child failed: the cause of an ``EngineError``, as text of the child's traceback."""


def run(
    function: Callable[[*Arguments], Result], *args: *Arguments, limits: SandboxLimits
) -> Result:
    """Call ``function(*args)`` in a fresh child process.

    Args:
        function: importable by name (top level of a module that is not ``__main__``).
        args: anything that pickles.
        limits: what the call may use.

    Returns:
        What the function returned: scalars, bytes, containers, paths, and the dataclasses and
        enums of ``domain.image`` and ``worker.imaging``. Shapes are checked, values are not: the
        child that made them saw hostile input.

    Raises:
        PoisonInput: the child crashed, ran out of memory or of time.
        SafelightError: what the function raised.
        EngineError: the function raised anything else, or cannot be sent or answered.
        TransientError: the child could not be started, or was stopped from outside.
    """
    name = getattr(function, "__qualname__", repr(function))
    request = _request(function, args, limits)
    ending = _exchange(request, limits)
    del request
    result: Result = _result(name, ending, limits)
    return result


def here(
    function: Callable[[*Arguments], Result], *args: *Arguments, limits: SandboxLimits
) -> Result:
    """Call ``function(*args)`` in this process: what has no sandbox to run it in."""
    del limits
    return function(*args)


def _result(name: str, ending: Ending, limits: SandboxLimits) -> Any:
    if ending.reply is None:
        raise _without_answer(name, ending, limits)
    try:
        kind, value = wire.decode(*ending.reply)
    except wire.BadReply as error:
        raise _poison(
            Reason.CRASHED, f"{name} gave an answer that is not one: {error}", ending
        ) from None
    if kind == "returned":
        return value  # the function's own annotation is what the type checker reads
    return _raise(name, kind, value, ending)


def _raise(name: str, kind: str, value: object, ending: Ending) -> NoReturn:
    match kind, value:
        case "raised", SafelightError():
            raise value
        case "failed", [str(message), str(trace)]:
            raise EngineError(f"{name}: {message}") from ChildTraceback(f"in the child:\n{trace}")
        case "memory", str(message):
            raise _poison(Reason.OUT_OF_MEMORY, f"{name}: {message}", ending)
    raise _poison(Reason.CRASHED, f"{name} gave an answer of an unknown kind", ending)


def _request(function: object, args: tuple[object, ...], limits: SandboxLimits) -> bytes:
    if getattr(function, "__module__", None) == "__main__":
        raise EngineError("a function of __main__ cannot be sandboxed: the child has another one")
    limits_of_call = {
        "cpu_seconds": limits.cpu_seconds,
        "wall_seconds": limits.wall_seconds,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "reply_bytes": limits.reply_bytes,
    }
    try:
        return pickle.dumps((function, args, limits_of_call), protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EngineError(f"this call cannot be sent to a child: {error}") from error


# --- children that stay ------------------------------------------------------------------------

_START_SECONDS = 60.0
"""In which a child that stays must be ready."""


class FirstTry(Protocol):
    """Calls a function somewhere: :func:`run`, :func:`here` or :meth:`Warm.run`."""

    def __call__(
        self, function: Callable[[*Arguments], Result], *args: *Arguments, limits: SandboxLimits
    ) -> Result:
        """As :func:`run`."""


class Warm:
    """Sandboxed children that stay, for the first try of every picture where that is asked for.

    Each has loaded its code and is locked in; a call costs a few milliseconds instead of a start
    (``safelight bench jail``). Calls side by side get a child each. A child serves many pictures:
    one that has taken it over could falsify the next ones of it. So an ending that is not a result
    or a rejection ends the child, and the call is made again by :func:`run` in a fresh one, which
    decides. It is safe to use from any thread.

    Args:
        prepare: module and name of a function that each child calls before it is locked in. By
            name, because this process need not load what its children do.
    """

    def __init__(self, prepare: tuple[str, str]) -> None:
        self._prepare = pickle.dumps(prepare, protocol=5)
        self._idle: list[_WarmChild] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    def start(self) -> None:
        """Start a child now if there is none, and do not wait until it is ready."""
        if not self._idle:
            self._give_back(_WarmChild(self._prepare))

    def run(
        self, function: Callable[[*Arguments], Result], *args: *Arguments, limits: SandboxLimits
    ) -> Result:
        """As :func:`run`, and with its errors. A call that is late is not made again."""
        name = getattr(function, "__qualname__", repr(function))
        request = _request(function, args, limits)
        child = self._take()
        try:
            ending = child.ask(request, limits)
            kind, value = ("", None) if ending.reply is None else wire.decode(*ending.reply)
        except wire.BadReply:
            child.end()
            return run(function, *args, limits=limits)
        except BaseException:
            child.end()
            raise
        if kind == "returned" or (kind == "raised" and isinstance(value, SafelightError)):
            self._give_back(child)
            if isinstance(value, SafelightError):
                raise value
            # As in run: the function's own annotation is what the type checker reads.
            return value  # type: ignore[return-value]
        child.end()
        if ending.late:
            raise _without_answer(name, ending, limits)
        return run(function, *args, limits=limits)

    def close(self) -> None:
        """End the children that have nothing to do."""
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> _WarmChild:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is not None and child.alive():
            return child
        return _WarmChild(self._prepare)

    def _give_back(self, child: _WarmChild) -> None:
        with self._lock:
            self._idle.append(child)


class _WarmChild:
    """One child that stays, with its temporary folder."""

    def __init__(self, prepare: bytes) -> None:
        self._stack = contextlib.ExitStack()
        self._prepare: bytes | None = prepare
        folder = self._stack.enter_context(_temporary_folder())
        try:
            self._child, self._replies = _start(folder, "stay")
        except BaseException:
            self._stack.close()
            raise
        _write(self._stdin, memoryview(prepare))  # shorter than a pipe: it never blocks

    @property
    def _stdin(self) -> int:
        assert self._child.stdin is not None
        return self._child.stdin

    def alive(self) -> bool:
        """Whether it can be asked; one that has died meanwhile is cleared away."""
        if self._child.ended():
            self.end()
            return False
        return True

    def ask(self, request: bytes, limits: SandboxLimits) -> Ending:
        """Have it serve one request; without an answer it is ended."""
        if self._prepare is not None:
            self._greet(limits)
        deadline = time.monotonic() + limits.wall_seconds
        return _ask(self._child, self._replies, request, limits, deadline, keep=True)

    def _greet(self, limits: SandboxLimits) -> None:
        deadline = time.monotonic() + _START_SECONDS
        ending = _ask(self._child, self._replies, b"", limits, deadline, keep=True)
        if ending.reply is None:
            raise TransientError(f"the sandbox did not get ready:\n{ending.stderr[-2000:]}")
        _, missing = wire.decode(*ending.reply)
        self._prepare = None
        tell_missing(tuple(missing) if isinstance(missing, list) else ())

    def end(self) -> None:
        """Kill it, and remove its folder."""
        self._child.end()
        self._stack.close()


@cache
def decoders() -> Warm:
    """The children of this process that decode pictures."""
    return Warm(("worker.imaging.engine", "get_ready"))


def run_first(
    function: Callable[[*Arguments], Result], *args: *Arguments, limits: SandboxLimits
) -> Result:
    """Call a function of the engine in a child that stays: see :class:`Warm`."""
    return decoders().run(function, *args, limits=limits)


# --- what an ending means ----------------------------------------------------------------------


def _without_answer(name: str, ending: Ending, limits: SandboxLimits) -> SafelightError:
    """The error for a child that gave no whole answer."""
    late = f"{name} was stopped after {limits.wall_seconds:g} s"
    slow = f"{name} used more than {limits.cpu_seconds:g} s of processor time"
    full = f"{name} ran out of memory ({limits.memory_bytes / 1e6:.0f} MB allowed)"
    if ending.refused is Reason.OUT_OF_MEMORY:
        return _poison(ending.refused, f"the answer of {name} is larger than allowed", ending)
    if ending.refused:
        return _poison(ending.refused, f"{name} gave an answer that is not one", ending)
    if ending.late:
        return _poison(Reason.TIMED_OUT, late, ending)
    if ending.status >= 0:
        if ending.status == OUT_OF_MEMORY_EXIT or speaks_of_memory(ending.stderr):
            return _poison(Reason.OUT_OF_MEMORY, full, ending)
        return _poison(Reason.CRASHED, f"{name} ended without an answer", ending)
    return _of_signal(name, ending, late=late, slow=slow, full=full, cpu=limits.cpu_seconds)


def _of_signal(
    name: str, ending: Ending, *, late: str, slow: str, full: str, cpu: float
) -> SafelightError:
    number = -ending.status
    if number == signal.SIGALRM:  # its own second wall clock
        return _poison(Reason.TIMED_OUT, late, ending)
    if number == signal.SIGXCPU or (number == signal.SIGKILL and ending.cpu_seconds >= cpu):
        return _poison(Reason.TIMED_OUT, slow, ending)
    if number == signal.SIGKILL:  # not ours: the kernel's, when memory is short
        return _poison(Reason.OUT_OF_MEMORY, full, ending)
    if number not in _CRASHES:
        return TransientError(f"{name} was stopped from outside by {_signal_name(number)}")
    if number in (signal.SIGABRT, signal.SIGTRAP) and speaks_of_memory(ending.stderr):
        return _poison(Reason.OUT_OF_MEMORY, full, ending)
    return _poison(Reason.CRASHED, f"{name} was ended by {_signal_name(number)}", ending)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _poison(reason: Reason, message: str, ending: Ending) -> PoisonInput:
    error = PoisonInput(reason, message)
    if ending.stderr.strip():
        error.add_note(f"the end of what the child printed:\n{ending.stderr}")
    return error


# --- the life of the child -------------------------------------------------------------------


def _exchange(request: bytes, limits: SandboxLimits) -> Ending:
    """Start a child, send the request and stay until it has answered, died or is late."""
    deadline = time.monotonic() + limits.wall_seconds
    with _temporary_folder() as folder:
        child, replies = _start(folder)
        try:
            return _ask(child, replies, request, limits, deadline)
        finally:
            child.end()


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path | None]:
    """Where one child may write; None where nobody can. All that is left in it goes with it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="safelight-sandbox-"))
    except OSError:  # also FileNotFoundError, of a machine without any
        yield None
        return
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path | None, *words: str) -> tuple[Child, int]:
    """A child that waits for a request, and where its answers come from."""
    replies, answer = os.pipe()
    child = Child(
        [*INTERPRETER, "-m", _CHILD, str(answer), str(os.getpid()), *words],
        environment=_environment(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pipes=[(replies, answer)],
    )
    assert child.stdin is not None
    os.set_blocking(child.stdin, False)
    for pipe in (child.stdin, replies):
        _widen(pipe)
    return child, replies


def _widen(pipe: int) -> None:
    """Let a pipe hold a picture (Linux), so that it passes in one go instead of in sixteen."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a user may have so many pages in pipes, and no more
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _ask(
    child: Child,
    replies: int,
    request: bytes,
    limits: SandboxLimits,
    deadline: float,
    *,
    keep: bool = False,
) -> Ending:
    """Send a request and stay until it is answered, or until its child has died or is late.

    Args:
        keep: leave a child that has answered as it is; any other is ended.
    """
    outgoing = memoryview(request)
    reply, printed = _Frame(limits.reply_bytes), StderrText()

    def send(descriptor: int) -> bool:
        nonlocal outgoing
        outgoing = outgoing[_write(descriptor, outgoing) :]
        return bool(outgoing)

    def pause() -> float:
        # A child that ends closes the reply, which ends the wait; one that has closed its end of
        # it is about to exit. Only a process that the child has started could hold it open.
        return min(max(0.0, deadline - time.monotonic()), 0.002 if reply.closed else 0.5)

    assert child.stdin is not None
    assert child.stdout is not None
    reads = {replies: reply.read, child.stdout: reading(printed.take)}
    writes = {child.stdin: send} if request else {}
    rounds = child.serve(reads, writes, pause=pause, keep=keep)
    with contextlib.closing(rounds):
        for _ in rounds:
            if reply.complete or reply.refused or time.monotonic() >= deadline:
                break
    late = not reply.complete and not reply.refused and not child.ended()
    if not (keep and reply.complete):
        child.end()
    return Ending(
        reply=reply.parts if reply.complete else None,
        refused=reply.refused,
        late=late,
        status=child.status,
        cpu_seconds=child.cpu_seconds,
        stderr=printed.text,
    )


class _Frame:
    """One frame, read as it comes and never beyond its limits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._prefix = bytearray(wire.PREFIX.size)
        self.parts: tuple[bytearray, memoryview] | None = None
        self._waiting = [memoryview(self._prefix)]
        self.closed = False
        self.refused: Reason | None = None

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.parts is not None and not self._waiting

    def read(self, descriptor: int) -> bool:
        """Take what is there; False when there is no more to take."""
        count = os.readv(descriptor, self._waiting[:1])
        self.closed = count == 0
        self._waiting[0] = self._waiting[0][count:]
        while self._waiting and not self._waiting[0]:
            del self._waiting[0]
            if self.parts is None:
                self._measure()
        return bool(count and self._waiting)

    def _measure(self) -> None:
        magic, header, body = wire.PREFIX.unpack(self._prefix)
        if magic != wire.MAGIC:
            self.refused = Reason.CRASHED
        elif header > wire.HEADER_LIMIT or header + body > self._limit:
            self.refused = Reason.OUT_OF_MEMORY
        else:
            self.parts = bytearray(header), memoryview(bytearray(body))
            self._waiting = [memoryview(self.parts[0]), self.parts[1]]


def _write(descriptor: int, data: memoryview) -> int:
    """Bytes taken; all of them if the reader is gone."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)


def import_path() -> str:
    """PYTHONPATH of a child that imports what this process can import."""
    # Our own folder is named because an editable installation finds it by a hook in site.
    own = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([*(str(Path(entry).absolute()) for entry in sys.path if entry), own])


def _environment(folder: Path | None) -> dict[str, str]:
    kept = bare_environment("LANG", "LC_ALL", "VIPS_BLOCK_UNTRUSTED")
    kept.pop("TMPDIR", None)
    return (
        kept
        | ({} if folder is None else {"TMPDIR": str(folder)})
        | {
            "PYTHONPATH": import_path(),
            "PYTHONDONTWRITEBYTECODE": "1",
            # One call, one thread: the parent decides how many calls run side by side. Fewer malloc
            # arenas, because each reserves 64 MB of the address space that is limited.
            "VIPS_CONCURRENCY": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
    )
