"""Command lines of ffmpeg, composed with ffmpeg-python; nothing else imports it.

What lives here: inputs, filters and outputs as a graph of streams, so that pads are named and text
is escaped by the library and never by hand. What may not: starting anything. The library's own
``run`` knows no limits; ``program.run`` takes what :func:`arguments` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import ffmpeg

from worker.video.ffmpeg import input_url

Stream: TypeAlias = Any
"""A stream of an input, or the end of a chain of filters; the library has no types."""
Output: TypeAlias = Any
"""A file, with the streams that go into it."""
Options: TypeAlias = Mapping[str, object]
"""By the names ffmpeg gives them, without the hyphen; None for one that takes no value."""
Filter: TypeAlias = tuple[str, Options]
"""One filter of a chain, its options by name."""


def source(path: Path, options: Options | None = None) -> Stream:
    """An input; ``source(path)["0"]`` is its first stream."""
    return ffmpeg.input(input_url(path), **(options or {}))


def piped(form: str) -> Stream:
    """What another program writes, by the name of its container; ``piped(form)["0"]`` of it."""
    return ffmpeg.input("pipe:0", f=form)


def generated(graph: str) -> Stream:
    """An input that a filter of ffmpeg makes of nothing (``testsrc2=...``)."""
    return ffmpeg.input(graph, f="lavfi")


def filtered(stream: Stream, filters: Sequence[Filter]) -> Stream:
    """A stream behind a chain of filters."""
    for name, options in filters:
        stream = stream.filter(name, **options)
    return stream


def split(stream: Stream, count: int) -> list[Stream]:
    """The same frames, so many times."""
    both = stream.filter_multi_output("split")
    return [both.stream(number) for number in range(count)]


def joined(streams: Sequence[Stream]) -> Stream:
    """Pictures one after the other; all of one size."""
    return ffmpeg.concat(*streams)


def output(to: Path | str, streams: Sequence[Stream], options: Options) -> Output:
    """A file of streams.

    Args:
        to: the file, or ``pipe:1`` or ``-``.
        streams: in their order in the file.
        options: of this output.
    """
    return ffmpeg.output(*streams, input_url(to) if isinstance(to, Path) else to, **options)


def arguments(*outputs: Output, everywhere: Options | None = None) -> list[str]:
    """The arguments of one run that makes all these outputs.

    Args:
        outputs: in the order they are written.
        everywhere: options that belong to no input or output, like ``copyts``.
    """
    words: list[str] = []
    for name, value in (everywhere or {}).items():
        words += [f"-{name}"] if value is None else [f"-{name}", str(value)]
    merged = ffmpeg.merge_outputs(*outputs)
    return [*words, *ffmpeg.get_args(merged)]
