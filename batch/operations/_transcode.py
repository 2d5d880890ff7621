"""What the four transcode operations share: parameters, the plan, pieces kept with the results.

What lives here: translation between a job and ``worker.video``. What may not: an operation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from batch.work import Outputs, Work
from worker.domain.errors import ConfigurationError, ObjectMissing
from worker.video import package, segments, transcode, transcode_plan
from worker.video.ladder import Codec
from worker.video.limits import VideoLimits
from worker.video.probe import probe
from worker.video.transcode import ChunkStore
from worker.video.transcode_plan import Options, TranscodePlan

PLAN = "plan.json"
"""Name among the outputs."""
PART_SECONDS = float(segments.PART_SECONDS)
"""About the longest work that a reclaimed machine takes with it."""
_PARTS = "parts/"
_MOST_HOURS = 100 * 3600.0


def options(work: Work) -> Options:
    """The parameters of a job as the planner takes them."""
    given = work.parameters
    return Options(
        codecs=tuple(dict.fromkeys(Codec(name) for name in _texts(given["codecs"]))),
        heights=tuple(int(text) for text in _texts(given["heights"])),
        segment_seconds=_number(given["segment_seconds"]),
        part_seconds=PART_SECONDS,
        frame_rate=_number(given["frame_rate"]),
        loudness=_number(given["loudness"]) if given["normalise"] else None,
        preset=str(given["preset"]),
        hls=bool(given["hls"]),
        mp4=bool(given["mp4"]),
        max_seconds=_number(given["max_seconds"]),
    )


def _texts(value: object) -> tuple[str, ...]:
    return cast("tuple[str, ...]", value)


def _number(value: object) -> float:
    return float(cast("float", value))


def plan_of(work: Work, wanted: Options) -> TranscodePlan:
    """Look at the input and decide everything."""
    source = work.inputs[0]
    limits = VideoLimits(seconds=min(wanted.max_seconds, _MOST_HOURS))
    work.progress(0.0, "looking at the video")
    found = probe(source, limits, stop=work.stop)
    # Reading the packets of a large file takes as long as its disk does.
    reading = replace(limits.probe, wall_seconds=3600.0)
    return transcode_plan.make(
        source, found, wanted, source=work.digests[0], limits=reading, stop=work.stop
    )


def fetch_plan(work: Work) -> TranscodePlan:
    """The plan that ``transcode-plan`` has left in the output place.

    Raises:
        ObjectMissing: there is none.
        ConfigurationError: it is not one for this input.
    """
    path = work.outputs.fetch(PLAN)
    if path is None:
        raise ObjectMissing("there is no plan.json in the output place: run transcode-plan first")
    plan = transcode_plan.loads(path.read_bytes())
    if plan.source != work.digests[0]:
        raise ConfigurationError(
            "plan.json in the output place was made for another input", code="plan_unusable"
        )
    return plan


class OutputChunkStore:
    """Finished pieces among the outputs, where the machines of a divided job find them.

    A piece counts when its digest lies beside it; that is written after it.
    """

    def __init__(self, outputs: Outputs, scratch: Path) -> None:
        self._outputs = outputs
        self._scratch = scratch

    def get(self, name: str) -> Path | None:
        """See ``transcode.Pieces``."""
        note = self._outputs.fetch(f"{_PARTS}{name}.sha256")
        if note is None:
            return None
        path = self._outputs.fetch(f"{_PARTS}{name}")
        if path is None or _digest(path) != note.read_text().strip():
            return None
        return path

    def put(self, name: str, path: Path) -> None:
        """See ``transcode.Pieces``."""
        self._outputs.file(path, f"{_PARTS}{name}")
        note = self._scratch / f"{name}.sha256"
        note.write_text(f"{_digest(path)}\n")
        self._outputs.file(note, f"{_PARTS}{name}.sha256", content_type="text/plain")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store(
    work: Work,
    plan: TranscodePlan,
    parts: Sequence[Mapping[str, Path]],
    sounds: Sequence[Path],
    *,
    pieces: ChunkStore,
) -> Mapping[str, object]:
    """Package everything and store it; the master playlist last, because it names the rest."""
    folder = work.scratch / "served"
    folder.mkdir()
    streams = package.package(plan, parts, sounds, folder, scratch=work.scratch, stop=work.stop)
    found = transcode.details(plan, streams, pieces, folder)
    master = folder / package.MASTER
    aside = work.scratch / "master.m3u8"
    if master.exists():
        master.rename(aside)
    work.stop.check()
    work.outputs.tree(folder)
    if aside.exists():
        work.outputs.file(aside, package.MASTER)
    return found
