"""``transcode``: the whole film on one machine, part by part, going on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping

from batch.operations._transcode import options, plan_of, store
from batch.work import Work
from worker.video import transcode

_ENCODING = 0.95
"""Share of the time that goes into encoding, about."""


def run(work: Work) -> Mapping[str, object]:
    """See ``work.Operation``. Details: see ``worker.video.transcode.details``."""
    plan = plan_of(work, options(work))
    parts, sounds = transcode.encode_film(
        plan,
        work.inputs[0],
        scratch=work.scratch,
        pieces=work.checkpoint,
        threads=work.threads,
        stop=work.stop,
        progress=lambda share, what: work.progress(share * _ENCODING, what),
    )
    work.progress(_ENCODING, "packaging")
    return store(work, plan, parts, sounds, pieces=work.checkpoint)
