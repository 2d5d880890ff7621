"""One whole run: compare all implementations, judge their files, sum up, check the goals.

Means are over photos, ratios are of means (so a large photo counts for more, as it does on a
bill). Bytes and SSIM are taken over the files that every implementation wrote: one that the
engine's minimum-saving rule dropped is not counted.
"""

from __future__ import annotations

import datetime
import io
import math
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image, ImageOps

from worker.bench import config, formats
from worker.bench.compare import Measured, Measurements, SharpMissing, commands, compare
from worker.bench.config import EXCLUDED, LABELS, OTHER_FILES, OURS, Corpus, Key, Workload
from worker.bench.formats import Formats
from worker.bench.goals import Check, FileName, FileScore, least, most
from worker.bench.implementations import TOTAL
from worker.domain.errors import EngineError
from worker.domain.image import Format
from worker.imaging.formats.sniff import sniff
from worker.imaging.quality import as_image, decoded
from worker.imaging.ssim import Reference
from worker.imaging.ssimulacra2 import ScoreReference
from worker.job_context import processors

_STARTS = 7
"""How often ``--help`` is started; the least counts."""

LARGER = 1.03
"""An encoder whose files are larger than the smallest of its step by more than this does
something else: it is listed, and cannot win the step."""

_BT601 = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601 luma, as in ``worker.imaging.ssim``."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One implementation: means over all photos. None is what nothing is known of."""

    key: Key
    label: str
    cpu_ms: float
    """CPU milliseconds a photo, user and system, all threads."""
    bytes: float | None
    """Of all files of a photo together."""
    ssim: float | None
    peak_memory: int | None
    """Most bytes resident at once."""
    idle_memory: int | None
    """The same before the first photo."""
    ssimulacra2: float | None = None
    worst: float | None = None
    """The lowest SSIMULACRA2 of all files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The engine (renditions only) against another. Below 1 is in the engine's favour."""

    key: Key
    cpu: float
    bytes: float | None
    ssim_difference: float | None
    """Engine minus the other: above 0 is in the engine's favour."""
    peak_memory: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One library at one step of the floor."""

    name: str
    cpu_ms: float
    bytes: float | None
    """Mean size of what it wrote; None for decoders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorStep:
    """One step of the floor and every library that can do it, fastest first."""

    name: str
    candidates: tuple[Candidate, ...]
    winner: str
    winner_shipped: str
    """The fastest among the libraries that Safelight ships with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The least that any tool must spend."""

    steps: tuple[FloorStep, ...]
    cpu_ms: float
    cpu_ms_shipped: float
    """With the libraries that Safelight ships with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """The software and machine of the measurement."""

    count: int
    synthetic: bool
    mean_bytes: float
    left_out: dict[str, str]
    """Files that were not measured, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one run found out."""

    date: str
    """UTC, ISO 8601."""
    command: str
    rounds: int
    webp_effort: int
    """Of the recipe, and so of every implementation at the same settings."""
    machine: Mapping[str, str | int]
    """``cpu``, ``cores``, ``system``, ``python``."""
    photos: Photos
    figures: tuple[Figures, ...]
    ratios: tuple[Ratio, ...]
    floor: Floor | None
    formats: Formats
    metadata_share: float
    """CPU of metadata and hashes over CPU of the renditions."""
    help_seconds: float
    """Wall time of ``safelight --help``, the least of several."""
    checks: tuple[Check, ...]
    absent: tuple[str, ...]
    """Implementations that are not measured, and why."""
    notes: tuple[str, ...]
    versions: dict[str, dict[str, str]]
    """By implementation."""


def run(
    corpus: Corpus,
    scratch: Path,
    *,
    rounds: int,
    command: str,
    notice: Callable[[str], None],
    find_sharp: Callable[[], Sequence[str]],
) -> Report:
    """Measure everything.

    Args:
        corpus: the photos.
        scratch: an empty folder.
        rounds: how often each photo is done by each implementation.
        command: what the user typed, for the report.
        notice: gets a line about each stage.
        find_sharp: how sharp is started, or raises ``SharpMissing``.

    Raises:
        InputError: no photo could be measured.
        EngineError: an implementation that had started died on the way.
    """
    work = config.work_of(config.recipe())
    absent: list[str] = []
    sharp: Sequence[str] | None = None
    try:
        sharp = find_sharp()
    except SharpMissing as error:
        absent.append(str(error))
        notice(str(error))
    found = compare(commands(work, sharp), corpus.photos, scratch, rounds=rounds, progress=notice)
    notice("comparing with the originals")
    photos = {name: path for name, path in corpus.photos.items() if name not in found.refused}
    scores = similarity(found, photos, work)
    modern = scores.pop(Key.MODERN)
    counted = frozenset.intersection(*(frozenset(files) for files in scores.values()))
    figures = {key: summary(key, found.measured[key], scores[key], counted) for key in scores}
    engine = figures[Key.ENGINE]
    ratios = tuple(ratio(engine, one) for key, one in figures.items() if key not in OURS)
    floor = floor_of(found.measured[Key.FLOOR]) if Key.FLOOR in found.measured else None
    share = figures[Key.ENGINE_FULL].cpu_ms / engine.cpu_ms - 1
    help_seconds = start_seconds()
    every = frozenset[FileName]().union(*scores.values())
    notice("comparing formats and targets")
    drawn = scratch / "curves"
    drawn.mkdir()
    fixed, aimed = found.measured[Key.ENGINE], found.measured[Key.TARGET]
    of_formats = Formats(
        curves=formats.curves(photos, drawn, sharp if Key.SHARP_USUAL in scores else None),
        pairs=formats.pairs(modern, scores.get(Key.SHARP_USUAL, {}), len(photos)),
        modern_cpu=found.measured[Key.MODERN].least([TOTAL]) / fixed.least([TOTAL]),
        modern_memory=_over(found.measured[Key.MODERN].peak_memory, fixed.peak_memory),
        target=formats.target(aimed, fixed, photos),
        repacked=formats.repacked(found.measured[Key.REPACK], photos),
    )
    notes = {
        "Measured on generated pictures, not on photos: ratios hold roughly, SSIM and bytes "
        "do not. Give a folder of photos with --corpus.": corpus.synthetic,
        f"{len(every) - len(counted)} of {len(every)} files are left out of bytes and SSIM: "
        "the minimum-saving rule dropped them.": every != counted,
        f"{EXCLUDED} is not installed here: the floor is without it.": floor is not None
        and EXCLUDED not in found.measured[Key.FLOOR].versions,
    }
    return Report(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=command,
        rounds=rounds,
        webp_effort=work.webp_effort,
        machine=_machine(),
        photos=Photos(
            count=len(photos),
            synthetic=corpus.synthetic,
            mean_bytes=fmean(path.stat().st_size for path in photos.values()),
            left_out=corpus.left_out | found.refused,
        ),
        figures=tuple(figures.values()),
        ratios=ratios,
        floor=floor,
        formats=of_formats,
        metadata_share=share,
        help_seconds=help_seconds,
        checks=(
            *checks(ratios, engine.cpu_ms, floor, share, help_seconds),
            *formats.checks(of_formats),
        ),
        absent=(*absent, *found.absent),
        notes=tuple(note for note, holds in notes.items() if holds),
        versions={key: dict(one.versions) for key, one in found.measured.items()},
    )


# --- arithmetic --------------------------------------------------------------------------------


def summary(
    key: Key,
    measured: Measured,
    files: Mapping[FileName, FileScore],
    counted: frozenset[FileName],
) -> Figures:
    """The means of one implementation; ``counted`` are the files that all wrote."""
    scores = [files[name] for name in counted]
    return Figures(
        key=key,
        label=LABELS[key],
        cpu_ms=1000 * measured.least([TOTAL]),
        bytes=sum(one.bytes for one in scores) / len(measured.runs) if scores else None,
        ssim=fmean(one.ssim for one in scores) if scores else None,
        ssimulacra2=fmean(one.ssimulacra2 for one in scores) if scores else None,
        worst=min((one.ssimulacra2 for one in scores), default=None),
        peak_memory=measured.peak_memory,
        idle_memory=measured.idle_memory,
    )


def ratio(engine: Figures, other: Figures) -> Ratio:
    """The engine against another."""
    both = engine.ssim is not None and other.ssim is not None
    return Ratio(
        key=other.key,
        cpu=engine.cpu_ms / other.cpu_ms,
        bytes=_over(engine.bytes, other.bytes),
        ssim_difference=(engine.ssim or 0) - (other.ssim or 0) if both else None,
        peak_memory=_over(engine.peak_memory, other.peak_memory),
    )


def _over(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None


def floor_of(measured: Measured, excluded: str = EXCLUDED) -> Floor:
    """Add up the fastest library of every step, within each run as for every implementation.

    Args:
        measured: of the floor, whose parts are named ``STEP/LIBRARY``, its files ``SIZE LIBRARY``.
        excluded: the library that does not ship.
    """
    sizes: dict[str, list[int]] = {}
    for file in (one for files in measured.files.values() for one in files):
        size, _, library = file.name.partition(" ")
        sizes.setdefault(f"{size} {file.format}/{library}", []).append(file.path.stat().st_size)
    # A library may do some photos only (a decoder without shrinking): it cannot win.
    first, *others = (runs[0] for runs in measured.runs.values())
    candidates: dict[str, list[Candidate]] = {}
    for part in (one for one in first if all(one in parts for parts in others)):
        step, _, name = part.partition("/")
        mean = fmean(sizes[part]) if part in sizes else None
        one = Candidate(name=name, cpu_ms=1000 * measured.least([part]), bytes=mean)
        candidates.setdefault(step, []).append(one)
    steps = tuple(_step(name, found, excluded) for name, found in candidates.items())
    return Floor(
        steps=steps,
        cpu_ms=1000 * measured.least([f"{one.name}/{one.winner}" for one in steps]),
        cpu_ms_shipped=1000 * measured.least([f"{one.name}/{one.winner_shipped}" for one in steps]),
    )


def _step(name: str, candidates: list[Candidate], excluded: str) -> FloorStep:
    smallest = min((one.bytes for one in candidates if one.bytes is not None), default=0.0)
    ranked = sorted(candidates, key=lambda one: one.cpu_ms)
    fit = [one.name for one in ranked if one.bytes is None or one.bytes <= LARGER * smallest]
    return FloorStep(
        name=name,
        candidates=tuple(ranked),
        winner=fit[0],
        winner_shipped=next(one for one in fit if one != excluded),
    )


def checks(
    ratios: Sequence[Ratio],
    engine_ms: float,
    floor: Floor | None,
    metadata_share: float,
    help_seconds: float,
) -> tuple[Check, ...]:
    """Every goal that the run can say something about, decided before rounding.

    Args:
        ratios: the engine against each implementation.
        engine_ms: CPU milliseconds a photo of the engine, renditions only.
        floor: None if it was not measured.
        metadata_share: CPU of metadata and hashes over CPU of the renditions.
        help_seconds: wall time of ``safelight --help``.
    """
    made: list[Check] = []
    for one in ratios:
        if one.key in config.CPU_GOALS:
            made.append(most(f"CPU ÷ {LABELS[one.key]}", one.cpu, config.CPU_GOALS[one.key]))
    if floor is not None:
        made.append(most("CPU ÷ floor", engine_ms / floor.cpu_ms, config.FLOOR_GOAL))
        if floor.cpu_ms_shipped != floor.cpu_ms:
            name, share = "CPU ÷ floor of shipped libraries", engine_ms / floor.cpu_ms_shipped
            made.append(most(name, share, config.FLOOR_GOAL))
    for one in ratios:
        if one.bytes is not None:
            made.append(most(f"bytes ÷ {LABELS[one.key]}", one.bytes, config.BYTES_GOAL))
        if one.ssim_difference is not None:
            name = f"SSIM - {LABELS[one.key]}"
            made.append(
                least(name, one.ssim_difference, config.SSIM_GOAL, goal="+.3f", found="+.4f")
            )
        if one.key is Key.SHARP_USUAL and one.peak_memory is not None:
            name = f"peak memory ÷ {LABELS[one.key]}"
            made.append(most(name, one.peak_memory, config.MEMORY_GOAL))
    name = "metadata and hashes ÷ renditions"
    made.append(most(name, metadata_share, config.METADATA_GOAL, goal=".0%", found=".1%"))
    start = config.HELP_SECONDS_GOAL
    made.append(
        Check(
            name="start of safelight --help (wall time)",
            goal=f"< {start} s",
            found=f"{help_seconds:.2f} s",
            met=help_seconds < start,
        )
    )
    return tuple(made)


# --- similarity --------------------------------------------------------------------------------


def similarity(
    found: Measurements, photos: Mapping[str, Path], work: Workload
) -> dict[Key, dict[FileName, FileScore]]:
    """Weigh the files of the default recipe and of ``modern``; compare each with its original."""
    covers = {size.name for size in work.sizes if size.cover}
    scores: dict[Key, dict[FileName, FileScore]] = {
        key: {} for key in found.measured if key not in OTHER_FILES or key is Key.MODERN
    }
    for name, path in photos.items():
        original = Original(path.read_bytes())
        known: dict[tuple[str, str], tuple[float, float]] = {}
        for key, files in scores.items():
            for file in found.measured[key].files[name]:
                data = file.path.read_bytes()
                # The engine's modes write the same bytes where no rights are copied.
                same = (file.name, sha256(data).hexdigest())
                if same not in known:
                    known[same] = original.score(data, cover=file.name in covers)
                luma, colour = known[same]
                score = FileScore(bytes=len(data), ssim=luma, ssimulacra2=colour)
                files[name, file.name, file.format] = score
    return scores


class Original:
    """The reference of a rendition.

    The original is decoded in full (no shrink-on-load), turned upright, and its luma resized
    in floating point with a Lanczos kernel (a = 3) to exactly the size that the implementation
    chose. All three engines resize with that kernel by default, so it favours none; what differs is
    their shortcuts (shrinking while decoding, cascades, whole-number reductions, rounding to 8 bits
    between steps), and those are what the comparison shall show, with the loss of the encoder.
    Colour profiles are not applied: SSIM looks at structure.
    """

    def __init__(self, data: bytes) -> None:
        """Decode it, or raise ``OSError``."""
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        luma = np.asarray(image, dtype=np.float32) @ _BT601
        self._image = image
        self._luma = Image.fromarray(luma)
        self._reference = cache(self._resized)
        self._colour = cache(self._coloured)

    def score(self, data: bytes, *, cover: bool) -> tuple[float, float]:
        """Luma SSIM of a file made from the original, the mean over 8x8 windows; SSIMULACRA2.

        Args:
            data: a JPEG, WebP or JPEG XL file.
            cover: it is an even cut to the file's size, not the whole picture. Then the best of the
                places counts that rounding can put the cut in: a fraction of a pixel to the side is
                no loss of quality.
        """
        pixels = decoded(data, Format(str(sniff(data))))
        made = as_image(pixels)
        size = (made.width, made.height)
        boxes = placements(self._luma.size, size) if cover else (None,)
        luma, box = max(
            ((self._reference(size, box).compare(made), box) for box in boxes),
            key=lambda one: one[0],
        )
        return luma, self._colour(size, box).score(pixels)

    def _coloured(self, size: tuple[int, int], box: Box | None) -> ScoreReference:
        resized = self._image.resize(size, Image.Resampling.LANCZOS, box=box)
        return ScoreReference(np.asarray(resized))

    def _resized(self, size: tuple[int, int], box: Box | None) -> Reference:
        resized = self._luma.resize(size, Image.Resampling.LANCZOS, box=box)
        return Reference(np.asarray(resized, dtype=np.float32))


def placements(source: tuple[int, int], cut: tuple[int, int]) -> tuple[Box, ...]:
    """Parts of ``source`` that an even cut to ``cut`` pixels may show, the exact middle first.

    Tools resize the whole picture first, to a size rounded down, up or not at all, and then cut
    the middle out of it, from an offset rounded down, up or not at all.
    """
    ratio = max(cut[0] / source[0], cut[1] / source[1])
    roundings: tuple[Callable[[float], float], ...] = (float, math.floor, math.ceil)
    found: dict[Box, None] = {}
    for round_size in roundings:
        # At least the cut: a rounded size never leaves a gap, nor does a float's last digit.
        scaled = [max(round_size(source[i] * ratio), cut[i]) for i in (0, 1)]
        back = [source[i] / scaled[i] for i in (0, 1)]
        for round_offset in roundings:
            offsets = [round_offset((scaled[i] - cut[i]) / 2) for i in (0, 1)]
            left, top = offsets[0] * back[0], offsets[1] * back[1]
            right = min((offsets[0] + cut[0]) * back[0], source[0])
            bottom = min((offsets[1] + cut[1]) * back[1], source[1])
            found[left, top, right, bottom] = None
    return tuple(found)


# --- the machine -------------------------------------------------------------------------------


def start_seconds() -> float:
    """Wall time of ``safelight --help``, the least of several starts.

    Raises:
        EngineError: it does not start.
    """
    least = math.inf
    for _ in range(_STARTS):
        before = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "worker", "--help"], capture_output=True, check=False
        )
        least = min(least, time.perf_counter() - before)
        if done.returncode != 0:
            raise EngineError(f"safelight --help ended with exit code {done.returncode}")
    return least


def _machine() -> dict[str, str | int]:
    cpu = platform.processor() or "unknown"
    with suppress(OSError):  # not Linux
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        cpu = next(iter(re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)), cpu)
    return {
        "cpu": cpu,
        "cores": processors(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
