"""Run a function in a child process that may crash, hang or run out of memory instead of us.

What lives here: :func:`run` and what the ends of a child mean. Its life is in
``sandbox_process``, its own half in ``sandbox_child``, the form of its answer in
``sandbox_wire``. What may not: anything about pictures; any function that can be imported by
name can be run, with any arguments that pickle.

What it is for: a decoder in C meets hostile files. What it does:

- A fresh interpreter for each call, over pipes alone: no shared memory or semaphores (Lambda has
  no ``/dev/shm``), no files (a read-only root is enough), no root.
- Limits of CPU time, wall time, address space, size of files, open files; no core dumps.
- A bare environment: no credentials, one thread in libvips and OpenBLAS.
- The child leads its own session. Its process group is killed when the call ends, however it
  ends (a Ctrl-C too); when the parent dies the child dies (Linux: ``PR_SET_PDEATHSIG``).
- What it prints is drained, and the end of it is kept as a note on the error.
- Its answer is read as data, never as a pickle.

What it is not: a jail. Code that has taken the child over still has the rights of this user: it
can read what this user can read and open connections. Where that matters, what surrounds the
process must deny it (no route out, a role that may do little). A grandchild that makes itself a
session of its own outlives the call.

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

import pickle
import signal
from collections.abc import Callable
from typing import NoReturn, TypeVar, TypeVarTuple

from worker.domain.errors import EngineError, PoisonInput, Reason, SafelightError, TransientError
from worker.subprocesses import sandbox_wire as wire
from worker.subprocesses.sandbox_child import OUT_OF_MEMORY_EXIT, speaks_of_memory
from worker.subprocesses.sandbox_process import Ending, SandboxLimits, exchange

__all__ = ["ChildTraceback", "SandboxLimits", "run"]

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

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
    ending = exchange(request, limits)
    del request
    if ending.reply is None:
        raise _without_answer(name, ending, limits)
    try:
        kind, value = wire.decode(*ending.reply)
    except wire.BadReply as error:
        raise _poison(
            Reason.CRASHED, f"{name} gave an answer that is not one: {error}", ending
        ) from None
    if kind == "returned":
        # The function's own annotation is what the type checker reads; see Returns above.
        return value  # type: ignore[return-value]
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
    confinement = {
        "cpu_seconds": limits.cpu_seconds,
        "wall_seconds": limits.wall_seconds,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "reply_bytes": limits.reply_bytes,
    }
    try:
        return pickle.dumps((function, args, confinement), protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EngineError(f"this call cannot be sent to a child: {error}") from error


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
        if ending.status == OUT_OF_MEMORY_EXIT or speaks_of_memory(ending.noise):
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
    if number in (signal.SIGABRT, signal.SIGTRAP) and speaks_of_memory(ending.noise):
        return _poison(Reason.OUT_OF_MEMORY, full, ending)
    return _poison(Reason.CRASHED, f"{name} was ended by {_signal_name(number)}", ending)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _poison(reason: Reason, message: str, ending: Ending) -> PoisonInput:
    error = PoisonInput(reason, message)
    if ending.noise.strip():
        error.add_note(f"the end of what the child printed:\n{ending.noise}")
    return error
