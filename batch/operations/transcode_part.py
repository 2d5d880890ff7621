"""``transcode-part``: one child's share of a planned film; the last child does the sound too."""

from __future__ import annotations

from collections.abc import Mapping

from batch.operations._transcode import OutputChunkStore, fetch_plan
from batch.work import Work
from worker.domain.errors import ConfigurationError
from worker.video import segments, transcode


def run(work: Work) -> Mapping[str, object]:
    """See ``work.Operation``. Details: ``parts`` (their numbers), ``sounds`` (how many).

    The film is shared out among as many children as the array really has, whatever was planned.
    """
    index = 0 if work.index is None else work.index
    if not 0 <= index < work.size:
        raise ConfigurationError(f"child {index} of an array of {work.size}")
    plan = fetch_plan(work)
    source = work.inputs[0]
    pieces = OutputChunkStore(work.outputs, work.scratch)
    numbers = segments.group(plan.parts, work.size)[index]
    sounds = plan.sounds if index == work.size - 1 else ()
    if sounds:
        transcode.encode_sounds(plan, source, scratch=work.scratch, pieces=pieces, stop=work.stop)
    transcode.encode_parts(
        plan,
        source,
        numbers,
        scratch=work.scratch,
        pieces=pieces,
        threads=work.threads,
        stop=work.stop,
        progress=work.progress,
    )
    return {"plan": plan.digest, "parts": list(numbers), "sounds": len(sounds)}
