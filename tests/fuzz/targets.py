"""What is fuzzed: a function on bytes for each parser, with inputs to begin from.

A target returns, or raises an error that it may raise. Everything else is a failure: an exception
of another class, an error without a stable code, a message that no log can hold, and whatever the
fuzzer itself watches (time, memory, a signal).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import EngineError, SafelightError

LONGEST_MESSAGE = 8_000
"""Characters: a message goes to a log, a catalog item and an event, each with its own limit."""
_CODE = re.compile(r"[a-z][a-z0-9_]*")


class WrongAnswer(AssertionError):
    """A target did not fail, but what it returned is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One parser under attack."""

    name: str
    about: str
    call: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    refuses: tuple[type[Exception], ...] = ()
    """Errors by which it may refuse an input."""
    words: tuple[bytes, ...] = ()
    """Words of the format, for the dictionary of the fuzzer."""
    longest: int = 4096
    """Bytes of an input."""
    weight: int = 1
    """Share of the time, beside the other targets."""

    def attack(self, data: bytes) -> None:
        """Call it once. Raises what must not be raised."""
        try:
            self.call(data)
        except self.refuses as error:
            if isinstance(error, SafelightError):
                check_refusal(error)


def check_refusal(error: SafelightError) -> None:
    """An error of ours must be of use to who reads it.

    Raises:
        WrongAnswer: a defect here, no stable code, or a message that cannot be written.
    """
    if isinstance(error, EngineError):
        raise WrongAnswer(f"{error.code}: a defect here is no answer to an input") from error
    if not _CODE.fullmatch(str(error.code)):
        raise WrongAnswer(f"{error.code!r} is no stable code") from error
    if len(error.message) > LONGEST_MESSAGE:
        raise WrongAnswer(f"a message of {len(error.message)} characters") from error
    try:
        error.message.encode()
    except UnicodeEncodeError as cause:
        raise WrongAnswer("a message that is no UTF-8") from cause


def text_of(data: bytes) -> str:
    """Text from bytes: files, queues and headers give no other."""
    return data.decode("utf-8", "replace")


SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where targets put files: nothing has to reach a disk."""


def split(data: bytes, count: int) -> list[bytes]:
    """Parts of an input, by lines of one zero byte; always so many."""
    parts = data.split(b"\0\n", count - 1)
    return [*parts, *[b""] * (count - len(parts))]


def joined(*parts: bytes) -> bytes:
    """The reverse of ``split``."""
    return b"\0\n".join(parts)


def targets() -> dict[str, Target]:
    """All of them, by name."""
    return {one.name: one for one in _all()}


def _all() -> Iterator[Target]:
    from tests.fuzz import documents, handlers, media, requests

    for module in (media, documents, requests, handlers):
        yield from module.TARGETS
