"""The sandboxed child: ``python -m worker.subprocesses.sandbox_child REPLY_FD PARENT_PID [stay]``.

It reads one pickled request from standard input, gives up what it does not need, calls the function
and writes one frame (:mod:`worker.subprocesses.sandbox_wire`) to the descriptor ``REPLY_FD``. It
imports nothing that costs time: the function's own imports are start-up enough.

One that stays first reads a function that gets it ready, answers with the walls that it could not
build, and serves requests until its input ends.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import pickle
import resource
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from worker.subprocesses.jail import SYSTEM, Jail, lock_in
from worker.subprocesses.launch import lower_limit, tie_to

OUT_OF_MEMORY_EXIT = 77
"""Exit status of a child that had no memory left even to say so."""

_GRACE_SECONDS = 2.0
_NEARLY_ALL = 7 / 8
"""A child that held this share of its memory limit and then fails counts as out of memory."""
_OPEN_FILES = 256
# glibc, libvips, libjpeg, GLib, libstdc++ and Rust (librsvg); ld.so, when a library that is loaded
# late finds no room; a thread fails to start when its stack finds none.
_MEMORY_WORDS = (
    "out of memory",
    "insufficient memory",
    "cannot allocate memory",
    "failed to allocate",
    "memory allocation of",
    "failed to map segment",
    "bad_alloc",
    "error creating thread",
    "can't start new thread",
)


def main() -> None:
    """Serve and exit without any clean-up: the process is thrown away."""
    reply, parent, stays = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["stay"]
    # Programs the function starts must not answer for it.
    os.set_inheritable(reply, False)  # noqa: FBT003  (no such keyword)
    if not stays:
        _bind_to(parent)
    _first_to_go()
    try:
        if stays:
            _stay(reply)
        else:
            _serve(reply)
    except MemoryError:
        os._exit(OUT_OF_MEMORY_EXIT)
    except BrokenPipeError:
        pass  # the parent has stopped listening
    os._exit(0)


def _serve(reply: int) -> None:
    # The request comes from the parent, which is trusted: pickle is safe in this direction.
    try:
        function, args, limits = pickle.load(sys.stdin.buffer)  # noqa: S301
    except Exception as error:  # noqa: BLE001  (anything an import can raise)
        _answer(reply, *_described(error))
        return
    lock_in(decoder_jail())
    gc.collect()
    _call(reply, function, args, limits)


def _stay(reply: int) -> None:
    """Serve one request after another. The limit of memory counts from here, not from each call."""
    module, name = pickle.load(sys.stdin.buffer)  # noqa: S301
    getattr(importlib.import_module(module), name)()
    missing = lock_in(decoder_jail())
    threading.Thread(target=_end_with_reader, args=(reply,), daemon=True).start()
    gc.collect()
    gc.freeze()
    held = _address_space("VmSize")
    _answer(reply, "returned", missing)
    while True:
        try:
            function, args, limits = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            return
        _call(reply, function, args, limits, held=held)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end_with_reader(reply: int) -> None:
    """End in the middle of a call when the parent has gone: nobody reads the answer then."""
    watched = select.poll()
    watched.register(reply, 0)  # errors and the other end's closing are always told
    watched.poll()
    os._exit(0)


def _call(
    reply: int,
    function: Callable[..., object],
    args: tuple[object, ...],
    limits: dict[str, Any],
    *,
    held: int | None = None,
) -> None:
    """Call a function and answer.

    Args:
        held: bytes of address space when a child that stays was ready; None for one that does not.
    """
    reply_bytes = limits.pop("reply_bytes")
    before = _address_space("VmSize") if held is None else held
    peak = _address_space("VmPeak") if held is None else 0
    limit_process(**limits, held=before, stays=held is not None)
    kind, value = "returned", None
    try:
        value = function(*args)
    except BaseException as error:  # noqa: BLE001  (SystemExit is a failure like any other)
        most = _address_space("VmPeak")  # of the call, unless loading it took more
        share = (most - before) / limits["memory_bytes"] if most > peak else 0.0
        kind, value = _described(error, scarce=share > _NEARLY_ALL)
    # An answer of a child that stays is not checked here: one that the parent refuses is a reason
    # to ask a fresh child, which tells what is wrong with it.
    _answer(reply, kind, value, limit=reply_bytes, check=held is None)


def _answer(
    reply: int, kind: str, value: object, *, limit: int | None = None, check: bool = True
) -> None:
    from worker.subprocesses import (
        sandbox_wire as wire,  # after the call: it may be our only memory
    )

    try:
        chunks = wire.encode(kind, value, check=check)
    except wire.NotSendable as error:
        chunks = wire.encode("failed", [str(error), ""])
    if len(chunks[1]) > wire.HEADER_LIMIT or (limit and sum(map(len, chunks)) > limit):
        chunks = wire.encode("memory", "the result is larger than the limit for replies")
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(reply, view) :]


def _described(error: BaseException, *, scarce: bool = False) -> tuple[str, object]:
    """The kind of reply an exception makes, and its value.

    Most libraries say so when an allocation fails, in words that are known here. Some take it for
    damage, or for a plugin that is not there, without a word: where memory was ``scarce``, what
    was seen of the input proves nothing, and neither does an error that is no verdict. Limits and
    forbidden content are read from headers and stand.
    """
    if _ran_out_of_memory(error):
        return "memory", "memory ran out"

    from worker.domain.errors import DamagedInput, Reason, Rejected, SafelightError

    if scarce and (
        not isinstance(error, SafelightError)
        or isinstance(error, DamagedInput)
        or (isinstance(error, Rejected) and error.reason is Reason.UNSUPPORTED_VARIANT)
    ):
        return "memory", f"nearly all memory was in use when this went wrong: {error!s:.200}"
    if isinstance(error, SafelightError):
        return "raised", error

    import traceback

    name = type(error).__name__
    text = "".join(traceback.format_exception(error))
    return "failed", [f"{name}: {error}"[:2000], text[-8000:]]


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether an allocation failed anywhere below: a loader maps what libvips says to damage."""
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, MemoryError):
            return True
        if speaks_of_memory(str(error)):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def speaks_of_memory(text: str) -> bool:
    """Whether a library says, in an exception or on standard error, that memory ran out."""
    text = text.lower()
    return any(words in text for words in _MEMORY_WORDS)


def _bind_to(parent: int) -> None:
    """Die with the parent, and gain no rights.

    The thread that started the child waits in ``sandbox.run`` all the while. Systems other than
    Linux have no such signal: there the wall clock ends an orphan.
    """
    if not tie_to(parent):
        os._exit(0)


def _first_to_go() -> None:
    """Be the first process that the kernel ends when the machine runs out of memory."""
    if sys.platform == "linux":
        try:
            with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123  (no pathlib here)
                score.write("1000")
        except OSError:
            pass  # no /proc: the kernel chooses


def decoder_jail() -> Jail:
    """What a decoder may reach: code, fonts, and the temporary folder that is its own.

    Of a checkout that is only the code that the images ship: what lies beside it may be secret.
    """
    own = os.path.realpath(__file__ + "/../../..")
    code = [os.path.realpath(entry) for entry in sys.path if entry]
    fonts = os.path.dirname(os.environ.get("FONTCONFIG_FILE", ""))  # noqa: PTH120
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    read = [
        *SYSTEM,
        sys.prefix,
        sys.base_prefix,
        *libraries,
        fonts,
        own + "/worker",
        own + "/batch",
    ]
    # Where it is installed and no checkout, other packages lie beside it.
    checkout = os.path.exists(own + "/pyproject.toml")  # noqa: PTH110  (no pathlib here)
    read += [entry for entry in code if entry != own or not checkout]
    return Jail(read=tuple(read), look=(own,), write=(os.environ.get("TMPDIR", ""),))


def limit_process(
    *,
    cpu_seconds: float,
    wall_seconds: float,
    memory_bytes: int,
    file_bytes: int,
    held: int,
    stays: bool = False,
) -> None:
    """Set this process's limits, counted from what it has used so far.

    Args:
        cpu_seconds, wall_seconds, memory_bytes, file_bytes: as ``SandboxLimits``.
        held: bytes of address space that the memory comes on top of.
        stays: it may raise the limit of processor time for the next call.

    The wall clock here is the second one: the parent's runs first, this one ends a child whose
    parent is gone.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = math.ceil(usage.ru_utime + usage.ru_stime + cpu_seconds)
    # At the soft limit SIGXCPU comes; a child that ignores it meets SIGKILL a second later.
    lower_limit(resource.RLIMIT_CPU, cpu, sys.maxsize if stays else cpu + 1)
    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_FSIZE, file_bytes)
    lower_limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds + _GRACE_SECONDS)
    if sys.platform == "linux":  # macOS knows RLIMIT_AS and does not keep it
        lower_limit(resource.RLIMIT_AS, held + memory_bytes)


def _address_space(field: str) -> int:
    """Bytes of address space in use (``VmSize``) or ever in use (``VmPeak``), as proc(5) says."""
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123  (no pathlib here)
            for line in status:
                if line.startswith(field.encode()):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 512_000_000  # about an interpreter with libvips and numpy


if __name__ == "__main__":
    main()
