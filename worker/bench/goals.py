"""What the figures should be, and whether they are. Printed beside every figure, met or missed.

CPU goals are about the same work: renditions only. Metadata and hashes, which no other tool
makes, have a goal of their own.
"""

from __future__ import annotations

from worker.bench.lineup import LABELS, Key
from worker.bench.report import Check, Floor, Ratio

CPU = {
    Key.SHARP_USUAL: 0.38,
    Key.PILLOW_USUAL: 0.45,
    # Two ways of sharing pixels; the goal was set with the first in mind, the second is harder.
    Key.SHARP_SIZES: 0.68,
    Key.SHARP_ONCE: 0.68,
}
"""Most CPU, as a share of what the other takes."""

BYTES = 1.03
"""Most bytes, as a share of what the other writes."""

SSIM = 0.005
"""Most that SSIM may lie below the other's."""

FLOOR = 1.10
METADATA = 0.08
HELP_SECONDS = 0.3


def checks(
    ratios: tuple[Ratio, ...],
    engine_ms: float,
    floor: Floor | None,
    metadata_share: float,
    help_seconds: float | None,
) -> tuple[Check, ...]:
    """Every goal that the run can say something about.

    Args:
        ratios: the engine against each contender.
        engine_ms: CPU milliseconds a photo of the engine, renditions only.
        floor: None if it was not measured.
        metadata_share: CPU of metadata and hashes over CPU of the renditions.
        help_seconds: None if it was not measured.
    """
    made = [
        _most(f"CPU ÷ {LABELS[ratio.key]}", ratio.cpu, CPU[ratio.key])
        for ratio in ratios
        if ratio.key in CPU
    ]
    if floor is not None:
        made.append(_most("CPU ÷ floor", engine_ms / floor.cpu_ms, FLOOR))
        if floor.cpu_ms_shipped != floor.cpu_ms:
            name = "CPU ÷ floor of shipped libraries"
            made.append(_most(name, engine_ms / floor.cpu_ms_shipped, FLOOR))
    for ratio in ratios:
        if ratio.bytes is not None:
            made.append(_most(f"bytes ÷ {LABELS[ratio.key]}", ratio.bytes, BYTES))
        if ratio.ssim_difference is not None:
            made.append(
                Check(
                    name=f"SSIM - {LABELS[ratio.key]}",
                    goal=f"≥ {-SSIM:+.3f}",
                    found=f"{ratio.ssim_difference:+.4f}",
                    met=ratio.ssim_difference >= -SSIM,
                )
            )
    made.append(
        Check(
            name="metadata and hashes ÷ renditions",
            goal=f"≤ {METADATA:.0%}",
            found=f"{metadata_share:.1%}",
            met=metadata_share <= METADATA,
        )
    )
    if help_seconds is not None:
        made.append(
            Check(
                name="start of safelight --help (wall time)",
                goal=f"< {HELP_SECONDS} s",
                found=f"{help_seconds:.2f} s",
                met=help_seconds < HELP_SECONDS,
            )
        )
    return tuple(made)


def _most(name: str, value: float, limit: float) -> Check:
    # Decided before rounding: 1.1004 is not 1.10.
    return Check(name=name, goal=f"≤ {limit:.2f}", found=f"{value:.3f}", met=value <= limit)
