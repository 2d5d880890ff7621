"""Command lines of ffmpeg, composed with ffmpeg-python; nothing else imports it.

Inputs, filters and outputs are a graph of streams, so that pads are named and text is escaped by
the library and never by hand. The library's own ``run`` knows no limits; ``ffmpeg.run`` of this
package takes what :func:`arguments` returns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import ffmpeg

from worker.domain.errors import ConfigurationError
from worker.video.ffmpeg import ProgramLimits, input_url, run

Stream: TypeAlias = Any
"""A stream of an input, or the end of a chain of filters; the library has no types."""
Output: TypeAlias = Any
"""A file, with the streams that go into it."""
Options: TypeAlias = Mapping[str, object]
"""By the names ffmpeg gives them, without the hyphen; None for one that takes no value."""
Filter: TypeAlias = tuple[str, Options]
"""One filter of a chain, its options by name."""

DEINTERLACE: Filter = ("bwdif", {"mode": "send_frame", "deint": "interlaced"})
"""Only those frames that say they are interlaced."""
_TONE_MAPPING = frozenset({"zscale", "tonemap"})


def source(path: Path, options: Options | None = None) -> Stream:
    """An input; ``source(path)["0"]`` is its first stream."""
    return ffmpeg.input(input_url(path), **(options or {}))


def piped(form: str) -> Stream:
    """Input from another program, by the name of its container; ``piped(form)["0"]`` of it."""
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


def counted_from(start: float) -> Filter:
    """Audio whose time counts from another moment: what was at ``start``, seconds, is at 0."""
    return ("asetpts", {"expr": f"PTS-({start:.9f})/TB"})


def require_tone_mapping(limits: ProgramLimits) -> None:
    """Make sure that this build of ffmpeg can bring HDR and wide colours to BT.709.

    Raises:
        ConfigurationError: it cannot (``program_feature_missing``).
    """
    listing = run(
        ["-filters"], limits=dataclasses.replace(limits, wall_seconds=60), capture=True
    ).decode(errors="replace")
    names = {line.split()[1] for line in listing.splitlines() if len(line.split()) > 2}
    missing = sorted(_TONE_MAPPING - names)
    if missing:
        raise ConfigurationError(
            f"this ffmpeg has no filter {' and no '.join(missing)}, which HDR and wide colours "
            "need: install a build with libzimg",
            code="program_feature_missing",
        )
