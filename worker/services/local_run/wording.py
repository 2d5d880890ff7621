"""Sizes, times and camera data in words, for the gallery and the command line."""

from __future__ import annotations

from datetime import datetime

from worker.model import Tags


def size_text(count: int) -> str:
    """Return bytes for a person: ``812 B``, ``88 kB``, ``1.4 MB`` (powers of 1000)."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a time for a person: ``240 ms``, ``3.2 s``, ``12 min``, ``2.5 h``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def age_text(time: str, now: datetime) -> str:
    """Return how long ago a time was: ``4 s``, ``12 min``, ``5 h``, ``3 d``; nothing if unknown.

    Args:
        time: ISO 8601 with its zone.
        now: with its zone, too.
    """
    try:
        # Clocks of two machines differ: nothing is younger than now.
        seconds = max(0, int((now - datetime.fromisoformat(time)).total_seconds()))
    except (ValueError, TypeError):
        return ""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400:,} d"


def change_text(now: int, before: int) -> str:
    """Return how much smaller or larger ``now`` is, ``96% smaller``; nothing for no ``before``."""
    if not before:
        return ""
    if now > before:
        return f"{now / before - 1:.0%} larger"
    # Rounded down: nothing becomes 100 % smaller.
    tenths = (before - now) * 1000 // before
    return f"{tenths / 10:.1f}% smaller" if tenths > 990 else f"{1 - now / before:.0%} smaller"


def camera_text(tags: Tags) -> str:
    """Return maker and model, ``Canon EOS 350D``; empty if unknown."""
    make, model = tags.camera_make or "", tags.camera_model or ""
    # Many makers write their name into the model too.
    return model if model.startswith(make) else f"{make} {model}".strip()


def exposure_text(tags: Tags) -> str:
    """Return the camera's settings, ``1/80 s, f/5.6, ISO 400, 107 mm``; empty if unknown."""
    parts = []
    if tags.exposure_seconds:
        slow = tags.exposure_seconds >= 0.3
        time = f"{tags.exposure_seconds:g}" if slow else f"1/{1 / tags.exposure_seconds:.0f}"
        parts.append(f"{time} s")
    if tags.f_number:
        parts.append(f"f/{tags.f_number:g}")
    if tags.iso:
        parts.append(f"ISO {tags.iso}")
    if tags.focal_length_mm:
        parts.append(f"{tags.focal_length_mm:g} mm")
    return ", ".join(parts)
