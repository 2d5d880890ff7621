"""The four transcode jobs: on one machine, or planned, encoded in chunks by several, assembled.

``transcode`` encodes a whole video on one machine, chunk by chunk, and resumes after a stop.
``transcode-plan`` decides the ladder and the cuts. ``transcode-part`` is one child's share of a
planned video; the last child does the audio too. ``transcode-assemble`` makes of them what is
served: the same bytes as ``transcode``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from batch.work import Outputs, Work
from worker.domain.errors import ConfigurationError, ObjectMissing
from worker.video import package, transcode
from worker.video import plan as plans
from worker.video.plan import TranscodeOptions, TranscodePlan, VideoCodec
from worker.video.probe import VideoLimits, probe
from worker.video.transcode import ChunkStore

PLAN = "plan.json"
"""Name among the outputs."""
CHUNK_SECONDS = float(plans.CHUNK_SECONDS)
"""About the longest work that a reclaimed machine takes with it."""
_CHUNKS = "parts/"
_MOST_HOURS = 100 * 3600.0
_ENCODING = 0.95
"""Share of the time of a transcode that goes into encoding, about."""


def run(work: Work) -> Mapping[str, object]:
    """Transcode on one machine. Details: see ``worker.video.transcode.details``."""
    plan, store = _plan(work), work.checkpoint
    context = work.context.within(0.0, _ENCODING)
    chunks, tracks = transcode.encode_all(plan, work.inputs[0], store=store, context=context)
    work.progress(_ENCODING, "packaging")
    return _store(work, plan, chunks, tracks, store)


def run_plan(work: Work) -> Mapping[str, object]:
    """Plan. Details: ``groups`` (children that have something to do), ``parts``, ``frames``,
    ``seconds``, ``plan`` (its digest)."""
    plan = _plan(work)
    shared = plans.share_out(plan.chunks, work.integer("groups"))
    path = work.scratch / PLAN
    path.write_bytes(plans.dumps(plan))
    work.outputs.file(path, PLAN)
    return {
        "plan": plan.digest,
        "parts": len(plan.chunks),
        "groups": sum(bool(numbers) for numbers in shared),
        "frames": plan.frames,
        "seconds": round(float(plan.seconds), 6),
    }


def run_part(work: Work) -> Mapping[str, object]:
    """Encode one child's chunks. Details: ``parts`` (numbers) and a count of audio tracks.

    The video is shared out among as many children as the array really has, whatever was planned.
    """
    index = 0 if work.index is None else work.index
    if not 0 <= index < work.size:
        raise ConfigurationError(f"child {index} of an array of {work.size}")
    plan, source = _fetch_plan(work), work.inputs[0]
    store = OutputChunkStore(work.outputs, work.scratch)
    numbers = plans.share_out(plan.chunks, work.size)[index]
    tracks = plan.audio if index == work.size - 1 else ()
    if tracks:
        quiet = replace(work.context, progress=lambda _share, _what: None)
        transcode.encode_audio(plan, source, store=store, context=quiet)
    transcode.encode_chunks(plan, source, numbers, store=store, context=work.context)
    return {"plan": plan.digest, "parts": list(numbers), "sounds": len(tracks)}


def run_assemble(work: Work) -> Mapping[str, object]:
    """Assemble. Details are those of ``transcode``: the results are the same bytes.

    Raises:
        DamagedInput: CORRUPT, too much of the video cannot be decoded.
        ObjectMissing: a chunk or an audio track is missing or damaged.
    """
    plan = _fetch_plan(work)
    store = OutputChunkStore(work.outputs, work.scratch)
    chunks, damaged = [], []
    for chunk in plan.chunks:
        work.context.step(0.5 * chunk.number / len(plan.chunks), "fetching the parts")
        found = transcode.finished(plan, chunk.number, store)
        if found is None:
            raise ObjectMissing(f"part {chunk.number} of the video is missing: run its child again")
        chunks.append(found)
        if transcode.is_damaged(plan, chunk.number, store):
            damaged.append(chunk.number)
    transcode.check_damage(plan, damaged)
    tracks = transcode.finished_audio(plan, store)
    if tracks is None:
        raise ObjectMissing("the audio of the video is missing: run the array's last child again")
    work.progress(0.5, "packaging")
    return _store(work, plan, chunks, tracks, store)


def _options(work: Work) -> TranscodeOptions:
    """The parameters of a job as the planner takes them."""
    return TranscodeOptions(
        codecs=tuple(dict.fromkeys(VideoCodec(name) for name in work.texts("codecs"))),
        heights=tuple(int(text) for text in work.texts("heights")),
        segment_seconds=work.number("segment_seconds"),
        chunk_seconds=CHUNK_SECONDS,
        frame_rate=work.number("frame_rate"),
        loudness=work.number("loudness") if work.flag("normalise") else None,
        preset=work.text("preset"),
        hls=work.flag("hls"),
        mp4=work.flag("mp4"),
        max_seconds=work.number("max_seconds"),
    )


def _plan(work: Work) -> TranscodePlan:
    """Look at the input and decide everything."""
    source, wanted = work.inputs[0], _options(work)
    limits = VideoLimits(seconds=min(wanted.max_seconds, _MOST_HOURS))
    work.progress(0.0, "looking at the video")
    found = probe(source, limits, stop=work.stop)
    # Reading the packets of a large file takes as long as its disk does.
    reading = replace(limits.probe, wall_seconds=3600.0)
    return plans.make_plan(
        source, found, wanted, source=work.digests[0], limits=reading, stop=work.stop
    )


def _fetch_plan(work: Work) -> TranscodePlan:
    """The plan that ``transcode-plan`` has left in the output store.

    Raises:
        ObjectMissing: there is none.
        ConfigurationError: it is not one for this input.
    """
    path = work.outputs.fetch(PLAN)
    if path is None:
        raise ObjectMissing("there is no plan.json in the output store: run transcode-plan first")
    plan = plans.loads(path.read_bytes())
    if plan.source != work.digests[0]:
        raise ConfigurationError(
            "plan.json in the output store was made for another input", code="plan_unusable"
        )
    return plan


class OutputChunkStore:
    """Finished chunks among the outputs, where the machines of a divided job find them.

    A file counts when its digest lies beside it; that is written after it.
    """

    def __init__(self, outputs: Outputs, scratch: Path) -> None:
        self._outputs = outputs
        self._scratch = scratch

    def get(self, name: str) -> Path | None:
        """See ``ChunkStore``."""
        note = self._outputs.fetch(f"{_CHUNKS}{name}.sha256")
        if note is None:
            return None
        path = self._outputs.fetch(f"{_CHUNKS}{name}")
        if path is None or _digest(path) != note.read_text().strip():
            return None
        return path

    def put(self, name: str, path: Path) -> None:
        """See ``ChunkStore``."""
        self._outputs.file(path, f"{_CHUNKS}{name}")
        note = self._scratch / f"{name}.sha256"
        note.write_text(f"{_digest(path)}\n")
        self._outputs.file(note, f"{_CHUNKS}{name}.sha256", content_type="text/plain")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _store(
    work: Work,
    plan: TranscodePlan,
    chunks: Sequence[Mapping[str, Path]],
    tracks: Sequence[Path],
    store: ChunkStore,
) -> Mapping[str, object]:
    """Package everything and store it; what names the rest comes last."""
    folder = work.scratch / "served"
    folder.mkdir()
    streams = package.package(plan, chunks, tracks, folder, work.context)
    found = transcode.details(plan, streams, store, folder)
    staged = {}
    for name in (package.DASH, package.MASTER) if plan.hls else ():
        staged[name] = (folder / name).rename(work.scratch / Path(name).name)
    work.stop.check()
    work.outputs.tree(folder)
    for name, path in staged.items():
        work.outputs.file(path, name)
    return found
