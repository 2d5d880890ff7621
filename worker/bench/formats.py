"""Compares formats and quality targets: bytes against SSIMULACRA2, and the goals for them.

Curves compare encoders on the same pixels, at a page's size. The recipe ``modern`` is compared with
files that sharp makes its usual way, one by one. A target is scored over the whole file
against the pixels that the encoder was given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from worker.bench import config
from worker.bench.compare import ImplementationProcess, Measured
from worker.bench.goals import Check, FileName, FileScore, least, most
from worker.bench.implementations import TOTAL
from worker.domain.image import Format, Recipe, Rendition
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe
from worker.imaging.quality import TOLERANCE, as_image, decoded
from worker.imaging.render import render
from worker.imaging.ssimulacra2 import ScoreReference
from worker.recipes.schema import TRAITS

QUALITIES = (40, 50, 60, 70, 80, 90, 95)
"""Of each curve."""
SIZE = "medium"
"""The rendition of the recipe that curves are taken at."""
LOOKS = (65, 70, 75, 80, 85)
"""Scores at which the bytes of the curves are compared."""

LABELS = {Format.JPEG: "JPEG", Format.WEBP: "WebP", Format.AVIF: "AVIF", Format.JXL: "JPEG XL"}
"""Of the curves."""
RIVALS = {"jpeg": "jpeg", "jxl": "webp"}
"""Formats of ``modern``, each with the format of sharp's file that it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One quality, means over photos."""

    quality: int
    bytes: float
    ssimulacra2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Results of one encoder for the same pixels at rising quality."""

    label: str
    points: tuple[CurvePoint, ...]

    def bytes_at(self, score: float) -> float | None:
        """Mean bytes at a mean score, between the points; None beyond them."""
        size = self._at(score, [math.log(one.bytes) for one in self.points])
        return None if size is None else math.exp(size)

    def quality_at(self, score: float) -> float | None:
        """The quality that gives a mean score; None beyond the points."""
        return self._at(score, [one.quality for one in self.points])

    def _at(self, score: float, values: Sequence[float]) -> float | None:
        scores = [one.ssimulacra2 for one in self.points]
        if not scores[0] <= score <= scores[-1]:
            return None
        return float(np.interp(score, scores, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Files of ``modern`` in one format beside sharp's in another; means."""

    format: str
    rival: str
    bytes: float
    rival_bytes: float
    ssimulacra2: float
    rival_ssimulacra2: float
    worst: float
    rival_worst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFigures:
    """How well a target is met, by the whole measure."""

    cpu: float
    """CPU as a share of that with fixed quality."""
    files: int
    share: float
    """Share of the files that are within the tolerance."""
    worst: float
    """Least score minus target, in points; above 0 if all files are above their target."""
    off: dict[str, float]
    """Points that the other files are off, by photo, rendition and format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repacked:
    """Originals packed as JPEG XL, shares of their bytes and of the CPU of their decode."""

    bytes: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Everything about formats that a run found."""

    curves: tuple[Curve, ...]
    pairs: tuple[Pair, ...]
    """() without sharp."""
    modern_cpu: float
    """As a share of ``default``."""
    modern_memory: float | None
    """Most bytes resident, as a share of ``default``."""
    target: TargetFigures
    repacked: Repacked


def rendered(data: bytes, recipe: Recipe) -> tuple[Rendition, ...]:
    """The engine's renditions of a photo."""
    found = probe(data, recipe.limits, formats=recipe.formats)
    return render(data, found, make_plan(found, recipe)).renditions


def curves(
    photos: Mapping[str, Path],
    scratch: Path,
    sharp: Sequence[str] | None,
    *,
    qualities: Sequence[int] = QUALITIES,
) -> tuple[Curve, ...]:
    """A curve for each format by the engine's encoders, and for JPEG and WebP by sharp's.

    Args:
        photos: by name.
        scratch: an empty folder, for pixels and files.
        sharp: how sharp is started; None to leave it out.
        qualities: rising.

    Raises:
        Broken, Refused: sharp gave up on the way.
    """
    recipe = config.without_loss(config.recipe())
    recipe = replace(recipe, renditions=tuple(r for r in recipe.renditions if r.name == SIZE))
    found: dict[str, dict[int, list[tuple[int, float]]]] = {}
    with ExitStack() as stack:
        others = None
        if sharp is not None:
            work = json.dumps({"qualities": qualities, "webp_effort": config.USUAL_EFFORT})
            command = (*sharp, "qualities", work)
            others = stack.enter_context(ImplementationProcess(command, scratch / "sharp.log"))
        for number, path in enumerate(photos.values()):
            png = scratch / f"{number}.png"
            png.write_bytes(rendered(path.read_bytes(), recipe)[0].data)
            pixels = decoded(png.read_bytes(), Format.PNG)
            reference = ScoreReference(pixels)
            for label, kind, quality, data in (
                *_ours(pixels, qualities),
                *(() if others is None else _by_sharp(others, png, scratch / str(number))),
            ):
                made = found.setdefault(label, {}).setdefault(quality, [])
                made.append((len(data), reference.score(decoded(data, kind))))
    return tuple(
        Curve(
            label=label,
            points=tuple(
                CurvePoint(
                    quality=quality,
                    bytes=fmean(size for size, _ in made),
                    ssimulacra2=fmean(score for _, score in made),
                )
                for quality, made in sorted(by_quality.items())
            ),
        )
        for label, by_quality in found.items()
    )


def _ours(
    pixels: npt.NDArray[np.uint8], qualities: Sequence[int]
) -> Iterator[tuple[str, Format, int, bytes]]:
    picture = Picture([as_image(pixels)])
    for kind, label in LABELS.items():
        for quality in qualities:
            yield label, kind, quality, encode(picture, TRAITS[kind].default, quality, Extras())


def _by_sharp(
    process: ImplementationProcess, png: Path, out: Path
) -> Iterator[tuple[str, Format, int, bytes]]:
    out.mkdir()
    for file in process.ask(png, out)[1]:
        kind = Format(file.format)
        yield f"sharp's {LABELS[kind]}", kind, int(file.name), file.path.read_bytes()


def pairs(
    modern: Mapping[FileName, FileScore], sharp: Mapping[FileName, FileScore], photos: int
) -> tuple[Pair, ...]:
    """Files of ``modern`` beside sharp's. A pair is left out if one of its files was dropped.

    Args:
        modern: its files.
        sharp: those that sharp wrote the usual way.
        photos: how many.
    """
    made = []
    for kind, rival in RIVALS.items():
        both = [
            (file, sharp[photo, name, rival])
            for (photo, name, form), file in modern.items()
            if form == kind and (photo, name, rival) in sharp
        ]
        if both:
            ours, theirs = zip(*both, strict=True)
            made.append(
                Pair(
                    format=kind,
                    rival=rival,
                    bytes=sum(one.bytes for one in ours) / photos,
                    rival_bytes=sum(one.bytes for one in theirs) / photos,
                    ssimulacra2=fmean(one.ssimulacra2 for one in ours),
                    rival_ssimulacra2=fmean(one.ssimulacra2 for one in theirs),
                    worst=min(one.ssimulacra2 for one in ours),
                    rival_worst=min(one.ssimulacra2 for one in theirs),
                )
            )
    return tuple(made)


def target(aimed: Measured, fixed: Measured, photos: Mapping[str, Path]) -> TargetFigures:
    """Score the files that were made with a target, each as a whole.

    Args:
        aimed: with the target.
        fixed: with the qualities of the recipe.
        photos: by name.
    """
    recipe = config.without_loss(config.recipe())
    off: dict[str, float] = {}
    for name, path in photos.items():
        references = {
            one.name: ScoreReference(decoded(one.data, Format.PNG))
            for one in rendered(path.read_bytes(), recipe)
        }
        for file in aimed.files[name]:
            pixels = decoded(file.path.read_bytes(), Format(file.format))
            score = references[file.name].score(pixels)
            off[f"{name} {file.name} {file.format}"] = score - config.TARGET_SCORE
    missed = {name: points for name, points in off.items() if abs(points) > TOLERANCE}
    return TargetFigures(
        cpu=aimed.least([TOTAL]) / fixed.least([TOTAL]),
        files=len(off),
        share=1 - len(missed) / len(off),
        worst=min(off.values()),
        off=missed,
    )


def repacked(measured: Measured, photos: Mapping[str, Path]) -> Repacked:
    """Savings and time of repacking the originals."""
    files = [file.path.stat().st_size for made in measured.files.values() for file in made]
    originals = sum(photos[name].stat().st_size for name in measured.files)
    cpu = measured.least([TOTAL]) / measured.least(["decode"])
    return Repacked(bytes=sum(files) / originals, cpu=cpu)


def checks(found: Formats) -> tuple[Check, ...]:
    """The goals of formats and targets."""
    aim = found.target
    made = [
        most("CPU with a target ÷ fixed quality", aim.cpu, config.TARGET_CPU_GOAL),
        least(
            f"files within {TOLERANCE} points of their target",
            aim.share,
            config.TARGET_SHARE_GOAL,
            goal=".0%",
            found=".1%",
        ),
        _points("points below its target, worst file", aim.worst, config.TARGET_MISS_GOAL),
        most("CPU of modern ÷ default", found.modern_cpu, config.MODERN_CPU_GOAL),
    ]
    goals = config.MODERN_BYTES_GOALS
    for one in found.pairs:
        ours, theirs = LABELS[Format(one.format)], LABELS[Format(one.rival)]
        name = f"modern's {ours}, sharp's {theirs}"
        made += [
            most(f"bytes ÷, {name}", one.bytes / one.rival_bytes, goals[one.format]),
            _points(f"mean SSIMULACRA2 -, {name}", one.ssimulacra2 - one.rival_ssimulacra2, 0),
            _points(f"worst SSIMULACRA2 -, {name}", one.worst - one.rival_worst, 0),
        ]
    if found.pairs:
        share = sum(one.bytes for one in found.pairs) / sum(one.rival_bytes for one in found.pairs)
        made.append(most("bytes ÷, modern and sharp, both formats", share, goals[""]))
    packed = found.repacked
    return (
        *made,
        most("bytes of a repacked JPEG ÷ its own", packed.bytes, config.REPACK_BYTES_GOAL),
        most("CPU of repacking ÷ decoding", packed.cpu, config.REPACK_CPU_GOAL),
    )


def _points(name: str, value: float, limit: float) -> Check:
    return least(name, value, limit, goal="+.1f", found="+.2f")
