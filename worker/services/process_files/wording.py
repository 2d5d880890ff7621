"""Sizes, times and camera data in words, for the gallery and the command line."""

from __future__ import annotations

from datetime import datetime

from worker.domain.colour import Colour, Primaries, Transfer
from worker.domain.image import Tags

_PRIMARIES = {
    Primaries.BT709: "BT.709 (sRGB)",
    Primaries.BT470M: "BT.470 M (NTSC 1953)",
    Primaries.BT470BG: "BT.470 BG (PAL)",
    Primaries.SMPTE170M: "SMPTE 170M (NTSC)",
    Primaries.FILM: "film",
    Primaries.BT2020: "BT.2020",
    Primaries.XYZ: "CIE XYZ",
    Primaries.DCI_P3: "DCI-P3",
    Primaries.DISPLAY_P3: "Display P3",
    Primaries.EBU3213: "EBU Tech. 3213",
    Primaries.ADOBE_RGB: "Adobe RGB",
    Primaries.PROPHOTO_RGB: "ProPhoto RGB",
}

_TRANSFERS = {
    Transfer.SRGB: "sRGB",
    Transfer.BT709: "BT.709",
    Transfer.LINEAR: "linear",
    Transfer.SMPTE240M: "SMPTE 240M",
    Transfer.SMPTE428: "SMPTE 428",
    Transfer.PQ: "PQ",
    Transfer.HLG: "HLG",
}


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


def is_same_size(now: int, before: int) -> bool:
    """Return whether two sizes differ by less than half a per cent: for a person they are one."""
    return abs(now - before) * 200 < before


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
    if is_same_size(now, before):
        return "the same size"
    if now > before:
        return f"{now / before - 1:.0%} larger"
    # Rounded down: nothing becomes 100 % smaller.
    tenths = (before - now) * 1000 // before
    return f"{tenths / 10:.1f}% smaller" if tenths > 990 else f"{1 - now / before:.0%} smaller"


def primaries_text(colour: Colour) -> str | None:
    """Return what red, green and blue are, ``Display P3``; None where only a profile knows."""
    if colour.chromaticities is not None:
        names = ("white", "red", "green", "blue")
        pairs = zip(colour.chromaticities[::2], colour.chromaticities[1::2], strict=True)
        return ", ".join(f"{name} {x:g} {y:g}" for name, (x, y) in zip(names, pairs, strict=True))
    return None if colour.primaries is None else _PRIMARIES[colour.primaries]


def transfer_text(colour: Colour) -> str | None:
    """Return how values and light relate, ``gamma 2.2``; None where only a profile knows."""
    if colour.transfer is Transfer.GAMMA:
        return f"gamma {colour.gamma:g}"
    return None if colour.transfer is None else _TRANSFERS[colour.transfer]


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
