"""``transcode-plan``: decide the ladder and the cuts, and how the parts are shared out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from batch.operations._transcode import PLAN, options, plan_of
from batch.work import Work
from worker.video import segments, transcode_plan


def run(work: Work) -> Mapping[str, object]:
    """See ``work.Operation``. Details: ``groups`` (children that have something to do), ``parts``,
    ``frames``, ``seconds``, ``plan`` (its digest)."""
    plan = plan_of(work, options(work))
    shared = segments.group(plan.parts, int(cast("int", work.parameters["groups"])))
    path = work.scratch / PLAN
    path.write_bytes(transcode_plan.dumps(plan))
    work.outputs.file(path, PLAN)
    return {
        "plan": plan.digest,
        "parts": len(plan.parts),
        "groups": sum(bool(numbers) for numbers in shared),
        "frames": plan.frames,
        "seconds": round(float(plan.seconds), 6),
    }
