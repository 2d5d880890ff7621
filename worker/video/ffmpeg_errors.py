"""What an ending of ffmpeg or ffprobe means.

What lives here: exit statuses, signals and the words of libav, mapped once to the project's
errors. What may not: starting or stopping anything.

The words are matched in order; libav says the cause before it says what came of it. They are those
of 5.1 to 8.1. Where words differ from version to version the file decides: that it is cut off, a
picture or a playlist is told by ``structure``, never by a message.
"""

from __future__ import annotations

import re
import signal

from worker.domain.errors import (
    DamagedInput,
    EngineError,
    LimitExceeded,
    PoisonInput,
    Reason,
    Rejected,
    SafelightError,
    StorageFull,
    TransientError,
    UnsupportedInput,
)

_TOO_MANY_ERRORS = 69  # ffmpeg: more than -max_error_rate of the frames do not decode
_KILLED_BY_US = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})

_WORDS: tuple[tuple[str, type[Rejected], Reason, str], ...] = (
    (
        r"not on whitelist '[^']*file,pipe",
        UnsupportedInput,
        Reason.UNSAFE_CONTENT,
        "it points at another file or a network address",
    ),
    (
        r"Format not on whitelist",
        UnsupportedInput,
        Reason.FORMAT_NOT_ALLOWED,
        "it is no video or sound file: pictures, playlists and scripts are not accepted here",
    ),
    (
        r"Codec \(.*\) not on whitelist|Decoder \(.*\) not found|Decoding requested, but no decoder"
        r"|not currently supported in container|Unsupported codec|Decoder not found"
        r"|No decoder could be found|Impossible to convert between the formats"
        r"|not implemented\. Update your FFmpeg|Unsupported (?:bit depth|pixel format|profile)"
        r"|(?:depth|profile|format|version|layout|sampling|compression).{0,40} not supported",
        UnsupportedInput,
        Reason.UNSUPPORTED_VARIANT,
        "it uses a coding that is not accepted",
    ),
    (
        r"moov atom not found|partial file|End of file|Invalid data found|Error while decoding"
        r"|Error submitting (?:a )?packet to decoder"
        r"|could not find codec parameters|Could not find codec parameters|error reading header"
        r"|Too many channels|Invalid (?:channel|sample|frame|pixel|codec|chunk|dimension)"
        r"|Invalid argument.*file:|Nothing was written into output",
        DamagedInput,
        Reason.CORRUPT,
        "it cannot be decoded",
    ),
)

_OUR_MISTAKES = r"Unrecognized option|Option .* not found|Failed to set value|Error setting option"


class MostlyDamaged(DamagedInput):
    """Too many frames could not be decoded. What was made of the others is written to its end."""


def judge(program: str, status: int, said: str) -> SafelightError:
    """The error for a program that did not end well.

    Args:
        program: ``ffmpeg`` or ``ffprobe``, for the message.
        status: as ``Popen.returncode``: negative for a signal. 0 where too many frames failed to
            decode, which 7.0, 7.1 and 8.0 do not tell by their status.
        said: the beginning and end of its standard error.

    Returns:
        ``Rejected`` where the input is to blame, ``TransientError`` where the machine is,
        ``EngineError`` where we are; the end of what it said is a note on it.
    """
    error = _by_signal(program, -status) if status < 0 else _by_words(program, status, said)
    if said.strip():
        error.add_note(f"the end of what {program} said:\n{said[-4000:]}")
    return error


def _by_signal(program: str, number: int) -> SafelightError:
    if number == signal.SIGXFSZ:
        return too_large(program)
    if number == signal.SIGKILL:  # not ours: the kernel's, when memory is short
        return _out_of_memory(program)
    if number in _KILLED_BY_US:
        return TransientError(f"{program} was stopped from outside")
    try:
        name = signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        name = f"signal {number}"
    return PoisonInput(Reason.CRASHED, f"{program} was ended by {name} on this input")


def _by_words(program: str, status: int, said: str) -> SafelightError:
    if "received signal" in said:
        return TransientError(f"{program} was stopped from outside")
    if "Broken pipe" in said:
        return TransientError(f"nobody reads what {program} writes", code="reader_gone")
    if "No space left on device" in said:
        return StorageFull(f"no space is left where {program} writes")
    if re.search(r"Cannot allocate memory|[Oo]ut of memory|bad_alloc|malloc.* failed", said):
        return _out_of_memory(program)
    if "File too large" in said:
        return too_large(program)
    if match := re.search(
        r"Permission denied|No such file or directory|Read-only file system", said
    ):
        return EngineError(f"{program} was given a path it cannot use: {match[0]}")
    if status in (0, _TOO_MANY_ERRORS):
        return MostlyDamaged(Reason.CORRUPT, "too much of it cannot be decoded")
    for pattern, kind, reason, message in _WORDS:
        if re.search(pattern, said):
            named = re.search(r"Codec \(([\w.-]{1,40})\) not on whitelist", said)
            return kind(reason, f"{message}: {named[1]}" if named else message)
    if program == "ffprobe" and status == 1 and not re.search(_OUR_MISTAKES, said):
        # Nothing but the file differs from one run to the next.
        return DamagedInput(Reason.CORRUPT, "it cannot be read")
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "without a word")
    return EngineError(f"{program} ended with status {status}: {last[:300]}")


def too_large(program: str) -> Rejected:
    """The input makes more output than any honest one would."""
    return LimitExceeded(Reason.TOO_LARGE_OUTPUT, f"{program} would write more than is allowed")


def too_late(program: str, seconds: float) -> Rejected:
    """The wall clock has run out."""
    return PoisonInput(Reason.TIMED_OUT, f"{program} was stopped after {seconds:.0f} s")


def stalled(program: str, seconds: float) -> Rejected:
    """It runs and does nothing."""
    return PoisonInput(Reason.TIMED_OUT, f"{program} made no progress for {seconds:.0f} s")


def _out_of_memory(program: str) -> Rejected:
    return PoisonInput(Reason.OUT_OF_MEMORY, f"{program} ran out of memory on this input")
