"""Damaged videos through ffprobe and ffmpeg as jobs run them: a code comes back, or frames."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.corpus import MADE, Batch, kept
from tests.fuzz.mutations import mutant
from tests.fuzz.targets import SCRATCH, check_refusal
from tests.unit.video.samples import AAC, AUDIO, H264, PICTURES, make
from worker.domain.errors import Rejected
from worker.domain.metrics import POISONS
from worker.video.ffmpeg import ProgramLimits, input_url, run
from worker.video.probe import VideoLimits, probe

BATCH = 6
"""Each file takes several programs to look at."""
LIMITS = ProgramLimits(wall_seconds=60, memory_bytes=2 * 10**9)
_SMALL = ("-s", "64x36", "-t", "1")


def originals() -> tuple[bytes, ...]:
    """A second of each container that is taken."""
    both = (*PICTURES, *AUDIO, *H264, *AAC, *_SMALL)
    return (
        make("mp4", *both, "-movflags", "faststart"),
        make("mp4", *both, "-movflags", "frag_keyframe+empty_moov"),
        make("mkv", *both),
        make("ts", *both),
        make("flv", *both),
        make("avi", *PICTURES, *_SMALL),
        make("webm", *PICTURES, "-c:v", "libvpx-vp9", "-deadline", "realtime", *_SMALL),
    )


def attack(seed: int, batches: int, folder: Path) -> Iterator[Batch]:
    """Damage videos, look at them, and decode what is accepted.

    Args:
        seed: the same one gives the same files.
        batches: of ``BATCH`` files.
        folder: files that failed are kept here.
    """
    chance, good = random.Random(seed), originals()
    for _ in range(batches):
        codes: Counter[str] = Counter()
        defects, poison = [], []
        for _ in range(BATCH):
            data = mutant(good, chance)
            try:
                code = _code(data)
            except Exception as error:  # noqa: BLE001 - what is looked for
                kept(data, folder)
                defects.append(f"{type(error).__name__}: {error}")
                continue
            codes[code] += 1
            if code in POISONS:
                poison.append(kept(data, folder))
        yield Batch(codes=codes, defects=tuple(defects), poison=tuple(poison))


def _code(data: bytes) -> str:
    with tempfile.NamedTemporaryFile(prefix="safelight-fuzz-", dir=SCRATCH) as file:
        file.write(data)
        file.flush()
        path = Path(file.name)
        try:
            found = probe(path, VideoLimits(probe=LIMITS, seconds=600.0))
            assert found.video is not None
            track = f"0:{found.video.index}"
            run(["-i", input_url(path), "-map", track, "-f", "null", "-"], limits=LIMITS)
        except Rejected as rejection:
            check_refusal(rejection)
            return rejection.code
    return MADE
