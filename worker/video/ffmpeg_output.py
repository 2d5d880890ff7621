"""What ffmpeg prints while it runs, kept bounded: errors, progress, and what it has decoded."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

_HEAD_BYTES = 8_000
_TAIL_BYTES = 16_000
_AHEAD = 64
"""Packets that may have been read and not yet decoded when ffmpeg has what it needs: its queue of
8, pictures that wait for their order (16) and those of each thread."""
_DECODED = re.compile(
    rb"Input stream #(\d+:\d+) .*: (\d+) packets read .*; "
    rb"(\d+) frames decoded(?: \(\d+ samples\))?; (?:(\d+) decode errors)?"
)


_FAULT = re.compile(
    rb"Error while decoding stream|Error submitting (?:a )?packet to decoder"
    rb"|corrupt decoded frame|concealing \d+ DC"
)
"""Of 5.1, of 7.0 and later, and of all; the last is of MPEG decoders, which fill in what they
cannot read. A seek into the middle of a film with open groups of pictures causes none of these."""


class Errors:
    """Standard error: the beginning says the cause, the end says what came of it."""

    def __init__(self, log: Callable[[str], None] | None) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._line = bytearray()
        self._log = log

    def take(self, data: bytes) -> None:
        """More of it; pieces may break anywhere. No bytes: it has ended."""
        room = _HEAD_BYTES - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[:-_TAIL_BYTES]
        if self._log is None:
            return
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_TAIL_BYTES]
        if not data and rest:
            lines.append(rest)
        for line in lines:
            self._log(line[:_TAIL_BYTES].decode(errors="replace"))

    @property
    def text(self) -> str:
        """Its beginning and its end."""
        between = b"\n[...]\n" if len(self._tail) == _TAIL_BYTES else b""
        return bytes(self._head + between + self._tail).decode(errors="replace")


class Meter:
    """What ``-progress`` and the output tell of the work done."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.bytes = 0
        self._rest = b""
        self._values: dict[bytes, bytes] = {}
        self._seen: tuple[object, ...] = ()

    def read(self, data: bytes) -> bool:
        """Take lines of ``key=value``; True when a whole report has come."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        whole = False
        for line in lines:
            key, _, value = line.partition(b"=")
            self._values[key] = value.strip()
            whole = whole or key == b"progress"
        with contextlib.suppress(ValueError):  # N/A before the first packet
            self.seconds = max(0.0, int(self._values.get(b"out_time_us", b"N/A")) / 1e6)
        return whole

    def moved(self) -> bool:
        """Whether anything has advanced since last asked."""
        watched = (b"out_time_us", b"frame", b"total_size")
        now = (self.bytes, *(self._values.get(name) for name in watched))
        before, self._seen = self._seen, now
        return now != before


class Decoded:
    """How much of its inputs ffmpeg could decode, read from its report.

    ffmpeg 5.1 counts no errors there, and ends with status 69 where they are too many; 7.0, 7.1 and
    8.0 count them and end with 0; 8.1 does both. A file can put lines of its own into the report:
    ffmpeg's own come after them, at the end.
    """

    def __init__(self) -> None:
        self._line = b""
        self._counts: dict[bytes, tuple[int, int, int]] = {}
        self.faults = 0
        """Packets and frames that came out wrong or not at all, about."""

    def take(self, data: bytes) -> None:
        """More of the report; pieces may break anywhere."""
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_TAIL_BYTES]
        for line in lines:
            self.faults += _FAULT.search(line) is not None
            if found := _DECODED.search(line):
                self._counts[found[1]] = int(found[2]), int(found[3]), int(found[4] or 0)

    def failed(self, pictures: int | None = None) -> float:
        """Share of the frames that failed to decode, of the track where it is largest.

        Args:
            pictures: how many are wanted; if fewer come, packets that became neither a frame nor an
                error count as well. Decoders leave out silently what they cannot make sense of:
                dav1d zeroed data, HEVC of ffmpeg 8 all up to the next that needs no other.
                Where enough come, packets without one say nothing: an edit list leaves some out.
        """
        shares = [0.0]
        for packets, frames, errors in self._counts.values():
            if errors:
                shares.append(errors / (frames + errors))
            if pictures is not None and frames < pictures and packets > _AHEAD:
                shares.append(1 - frames / (packets - _AHEAD))
        return max(shares)
