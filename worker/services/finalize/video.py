"""The record of a video, made of what its jobs have left."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from worker.domain.asset import AssetRecord, StoredMedia, StoredRendition, VideoInfo
from worker.domain.errors import EngineError
from worker.domain.image import (
    Encoding,
    Format,
    Limits,
    MediaFormat,
    Metadata,
    Recipe,
    RenditionSpec,
    Tags,
)
from worker.imaging import engine
from worker.imaging.formats.sniff import sniff
from worker.imaging.probe import probe
from worker.ports import ObjectStore
from worker.services.finalize.results import (
    Result,
    StoredOutput,
    mapping,
    number,
    objects,
    whole,
    word,
)

TRANSCODE, METADATA = "transcode", "video-metadata"
POSTER, STORYBOARD, PREVIEW = "poster", "storyboard", "preview"
NEEDED = (TRANSCODE, POSTER, METADATA)
"""Without these a video is not accepted; the others may be missing from its record."""
PARTS = f"{TRANSCODE}/parts/"
"""Where a divided transcode keeps what its machines have encoded, until it is joined."""
ALL = (*NEEDED, STORYBOARD, PREVIEW)

_MOST_WARNINGS = 16
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PICTURE_LIMITS = Limits(bytes=20_000_000)
_LOOK = Recipe(
    name="poster",
    version=1,
    renditions=(
        RenditionSpec(name="look", width=64, frames=1, encodings=(Encoding(format=Format.PNG),)),
    ),
)
"""The least that makes the engine measure."""


def film_record(
    record: AssetRecord, results: Mapping[str, Result], store: ObjectStore, bucket: str
) -> AssetRecord:
    """The record with everything the jobs have made named in it.

    Reads the poster and the preview, which are small: what a picture is, is told from its content.

    Args:
        record: of the upload; its status is left as it is.
        results: by kind; those ``NEEDED`` are there.

    Raises:
        EngineError: a job has left something that cannot be used.
        TransientError: the store does not answer.
    """
    transcoded, facts = results[TRANSCODE], results[METADATA]
    pictures: list[StoredRendition] = []
    metadata: Metadata | None = None
    for kind in (POSTER, PREVIEW):
        for output in results[kind].outputs if kind in results else ():
            if not output.content_type.startswith("image/"):
                continue
            data, _ = store.get(bucket, output.key, first=_PICTURE_LIMITS.bytes)
            pictures.append(_picture(output, kind, data))
            if kind == POSTER and metadata is None:
                measured = engine.process(data, _LOOK).metadata
                metadata = replace(measured, sha256=facts.input_sha256, icc=None, tags=_tags(facts))
    if metadata is None:
        raise EngineError("the poster job has stored no picture")
    film = _film(facts, transcoded)
    return replace(
        record,
        film=film,
        metadata=metadata,
        renditions=tuple(pictures),
        media=(*_played(transcoded, film), *_beside(results, film)),
    )


def _film(facts: Result, transcoded: Result) -> VideoInfo:
    details = facts.details
    track = mapping(details, "video")
    return VideoInfo(
        container=word(details, "container", 100),
        duration_ms=round(number(details, "duration") * 1000),
        width=whole(track, "width"),
        height=whole(track, "height"),
        frame_rate=word(track, "fps_text", 40),
        codec=word(track, "codec", 40),
        bit_depth=whole(track, "bit_depth"),
        hdr=bool(track.get("hdr", False)),
        audio_tracks=len(objects(details, "audio")),
        subtitle_tracks=len(objects(details, "subtitles")),
        # What is read of a file, and what came of decoding all of it.
        warnings=tuple(dict.fromkeys((*_warnings(facts), *_warnings(transcoded)))),
    )


def _warnings(result: Result) -> tuple[str, ...]:
    found = result.details.get("warnings", [])
    if not isinstance(found, list) or len(found) > _MOST_WARNINGS:
        raise EngineError(f"{result.kind}: its warnings are no list of codes")
    if not all(isinstance(one, str) and _CODE.fullmatch(one) for one in found):
        raise EngineError(f"{result.kind}: a warning is no code")
    return tuple(found)


def _tags(facts: Result) -> Tags:
    """What the file says of itself, as far as a picture would say the same."""
    taken = facts.details.get("taken_at")
    return Tags(taken_at=taken[:40] if isinstance(taken, str) and taken else None)


def _picture(output: StoredOutput, name: str, data: bytes) -> StoredRendition:
    kind = sniff(data)
    if kind is None:
        raise EngineError(f"{output.name}: not a picture")
    found = probe(data, _PICTURE_LIMITS, formats=frozenset({kind}))
    return StoredRendition(
        name=name,
        format=kind,
        width=found.upright_width,
        height=found.upright_height,
        frames=found.frames,
        bytes=output.bytes,
        key=output.key,
        sha256=output.sha256,
        duration_ms=found.duration_ms,
    )


def _played(result: Result, film: VideoInfo) -> Iterator[StoredMedia]:
    """The film itself: a master playlist, a progressive file, or both."""
    rungs = objects(result.details, "rungs")
    largest = max(rungs, key=lambda rung: whole(rung, "width"), default={})
    found = False
    for said, name, format_ in (
        ("master", "stream", MediaFormat.HLS),
        ("mp4", "film", MediaFormat.MP4),
    ):
        if result.details.get(said) is None:
            continue
        found = True
        file = result.output(word(result.details, said, 900))
        yield replace(
            _media(file, name, format_, film.duration_ms),
            width=whole(largest, "width"),
            height=whole(largest, "height"),
        )
    if not found:
        raise EngineError("the transcode job has stored nothing that plays")


def _beside(results: Mapping[str, Result], film: VideoInfo) -> Iterator[StoredMedia]:
    """A preview that plays, and which part of a sprite sheet belongs to which moment."""
    for output in _of_type(results.get(STORYBOARD), MediaFormat.VTT):
        yield _media(output, STORYBOARD, MediaFormat.VTT, film.duration_ms)
    for output in _of_type(results.get(PREVIEW), MediaFormat.MP4):
        details = results[PREVIEW].details
        made = {word(one, "name", 900): one for one in objects(details, "files")}.get(output.name)
        if made is None:
            raise EngineError(f"the preview job says nothing of {output.name}")
        yield replace(
            _media(output, PREVIEW, MediaFormat.MP4, round(1000 * number(details, "seconds"))),
            width=whole(made, "width"),
            height=whole(made, "height"),
        )


def _of_type(result: Result | None, format_: MediaFormat) -> Iterator[StoredOutput]:
    for output in result.outputs if result is not None else ():
        if output.content_type.partition(";")[0] == format_.media_type:
            yield output


def _media(file: StoredOutput, name: str, format_: MediaFormat, duration_ms: int) -> StoredMedia:
    return StoredMedia(
        name=name,
        format=format_,
        bytes=file.bytes,
        key=file.key,
        sha256=file.sha256,
        duration_ms=duration_ms,
    )
