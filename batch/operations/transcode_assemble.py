"""``transcode-assemble``: what the children have encoded becomes what is served."""

from __future__ import annotations

from collections.abc import Mapping

from batch.operations._transcode import OutputChunkStore, fetch_plan, store
from batch.work import Work
from worker.domain.errors import ObjectMissing
from worker.video import transcode


def run(work: Work) -> Mapping[str, object]:
    """See ``work.Operation``. Details are those of ``transcode``: the results are the same bytes.

    Raises:
        DamagedInput: CORRUPT, too much of the film cannot be decoded.
        ObjectMissing: a part or a track of sound is missing or damaged.
    """
    plan = fetch_plan(work)
    pieces = OutputChunkStore(work.outputs, work.scratch)
    parts, damaged = [], []
    for part in plan.parts:
        work.stop.check()
        work.progress(0.5 * part.number / len(plan.parts), "fetching the parts")
        found = transcode.finished(plan, part.number, pieces)
        if found is None:
            raise ObjectMissing(f"part {part.number} of the film is missing: run its child again")
        parts.append(found)
        if transcode.is_damaged(plan, part.number, pieces):
            damaged.append(part.number)
    transcode.check_damage(plan, damaged)
    sounds = transcode.finished_sounds(plan, pieces)
    if sounds is None:
        raise ObjectMissing("the sound of the film is missing: run the array's last child again")
    work.progress(0.5, "packaging")
    return store(work, plan, parts, sounds, pieces=pieces)
