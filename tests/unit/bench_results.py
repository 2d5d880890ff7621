"""Made-up results of a benchmark run, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.bench import measure
from worker.bench.compare import Measured
from worker.bench.config import LABELS, Key
from worker.bench.formats import Curve, CurvePoint, Formats, Pair, Repacked, TargetFigures
from worker.bench.measure import Figures, Photos, Report


def measured(**photos: dict[str, float]) -> Measured:
    """What an implementation spent, by photo and part, in one run."""
    made = Measured(versions={"tool": "1.2"}, idle_memory=20, peak_memory=80)
    made.runs.update({photo: [seconds] for photo, seconds in photos.items()})
    return made


def figures(key: Key, cpu_ms: float, **changes: Any) -> Figures:
    """One implementation's figures, alike but for the CPU time."""
    made = Figures(
        key=key,
        label=LABELS[key],
        cpu_ms=cpu_ms,
        bytes=100_000.0,
        ssim=0.96,
        peak_memory=100 * 2**20,
        idle_memory=50 * 2**20,
    )
    return replace(made, **changes)


def floor_measured() -> Measured:
    """Two photos, two steps: the excluded library wins one, the fat one wins nothing."""
    return measured(
        a={"decode/one": 0.02, "decode/two": 0.03, "big webp/x": 0.1, "big webp/excluded": 0.08},
        b={"decode/one": 0.04, "decode/two": 0.01, "big webp/x": 0.1, "big webp/excluded": 0.06},
    )


def formats() -> Formats:
    """Two curves, JPEG beside sharp's, a target that two files miss."""
    points = ((60, 10_000.0, 60.0), (80, 40_000.0, 80.0))
    return Formats(
        curves=tuple(
            Curve(
                label=label,
                points=tuple(
                    CurvePoint(quality=quality, bytes=size * share, ssimulacra2=score)
                    for quality, size, score in points
                ),
            )
            for label, share in (("JPEG", 1.0), ("sharp's JPEG", 1.2))
        ),
        pairs=(
            Pair(
                format="jpeg",
                rival="jpeg",
                bytes=80.0,
                rival_bytes=100.0,
                ssimulacra2=76.0,
                rival_ssimulacra2=75.0,
                worst=69.0,
                rival_worst=70.0,
            ),
        ),
        modern_cpu=0.9,
        modern_memory=2.0,
        target=TargetFigures(
            cpu=1.6, files=40, share=0.95, worst=-4.1, off={"a big webp": -4.1, "b|c big jpeg": 2.0}
        ),
        repacked=Repacked(bytes=0.85, cpu=6.0),
    )


def report(**changes: Any) -> Report:
    """A whole run's result: sharp twice as slow at usual settings, and no Pillow."""
    found = (
        figures(Key.ENGINE, 200.0),
        figures(Key.ENGINE_FULL, 210.0),
        figures(Key.SHARP_USUAL, 400.0, bytes=90_000.0, ssim=0.97),
        figures(Key.SHARP_ONCE, 320.0),
    )
    ratios = tuple(measure.ratio(found[0], one) for one in found[2:])
    floor = measure.floor_of(floor_measured(), "excluded")
    made = Report(
        date="2026-05-04T03:02:01+00:00",
        command="safelight bench --rounds 3",
        rounds=3,
        webp_effort=2,
        machine={"cpu": "A & B <fast>", "cores": 2, "system": "Linux x86_64", "python": "3.13.1"},
        photos=Photos(
            count=2, synthetic=True, mean_bytes=1_234_567, left_out={"a|b.jpg": "is *empty*"}
        ),
        figures=found,
        ratios=ratios,
        floor=floor,
        formats=formats(),
        metadata_share=0.05,
        help_seconds=0.1,
        checks=measure.checks(ratios, 200.0, floor, 0.05, 0.1),
        absent=("pillow is not measured: it ended early",),
        notes=("Measured on generated pictures.",),
        versions={Key.ENGINE: {"libvips": "8"}, Key.SHARP_USUAL: {"libvips": "9"}},
    )
    return replace(made, **changes)
