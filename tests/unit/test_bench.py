"""The benchmark's arithmetic, goals, work, corpus and similarity, on small made-up results."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.bench_results import figures, floor_measured, formats, measured, report
from tests.unit.pictures import encoded, photo
from worker.bench import config, measure
from worker.bench.compare import MadeFile, commands
from worker.bench.config import LABELS, SAME, SAMPLE_BYTES, USUAL, Key, collect, generate
from worker.bench.formats import checks as format_checks
from worker.bench.formats import pairs
from worker.bench.goals import FileScore
from worker.bench.measure import Original, placements
from worker.domain.errors import InputError
from worker.domain.image import Encoding, Fit, Format, Recipe, RenditionSpec

# --- arithmetic -------------------------------------------------------------------------------


def test_figures_are_means_over_photos() -> None:
    """CPU is a mean a photo, bytes a sum a photo, SSIM a mean a file; other files do not count."""
    files_made = {
        ("a", "big", "jpeg"): FileScore(bytes=10, ssim=0.9),
        ("a", "big", "webp"): FileScore(bytes=6, ssim=0.8),
        ("b", "big", "jpeg"): FileScore(bytes=20, ssim=1.0),
        ("b", "big", "webp"): FileScore(bytes=999, ssim=0.0),
    }
    counted = frozenset(files_made) - {("b", "big", "webp")}
    spent = measured(a={"total": 0.1}, b={"total": 0.3})
    found = measure.summary(Key.ENGINE, spent, files_made, counted)
    assert found.cpu_ms == pytest.approx(200)
    assert found.bytes == 18
    assert found.ssim == pytest.approx(0.9)
    assert (found.peak_memory, found.idle_memory) == (80, 20)


def test_no_common_files_have_no_similarity() -> None:
    """Where the implementations have no file in common, only the CPU time is known."""
    found = measure.summary(Key.ENGINE, measured(a={"total": 1}), {}, frozenset())
    assert (found.cpu_ms, found.bytes, found.ssim) == (1000, None, None)


def test_ratios_are_engine_over_the_other() -> None:
    """CPU, bytes and memory are quotients, SSIM is a difference; what is unknown stays unknown."""
    engine = figures(Key.ENGINE, 100)
    other = figures(Key.SHARP_USUAL, 400, bytes=80_000.0, ssim=0.95, peak_memory=None)
    ratio = measure.ratio(engine, other)
    assert (ratio.cpu, ratio.bytes, ratio.peak_memory) == (0.25, 1.25, None)
    assert ratio.ssim_difference == pytest.approx(0.01)


def test_floor_takes_the_fastest_of_each_step() -> None:
    """The sum is over winners on the whole corpus, once with and once without the excluded one."""
    floor = measure.floor_of(floor_measured(), "excluded")
    decode, webp = floor.steps
    assert (decode.winner, decode.winner_shipped) == ("two", "two")
    assert (webp.winner, webp.winner_shipped) == ("excluded", "x")
    assert floor.cpu_ms == pytest.approx(20 + 70)
    assert floor.cpu_ms_shipped == pytest.approx(20 + 100)


def test_least_is_a_whole_run_of_each_photo() -> None:
    """The quiet moments of different runs are not put together into one that never was."""
    spent = measured(a={"decode/one": 0.02, "webp/x": 0.09})
    spent.runs["a"].append({"decode/one": 0.03, "webp/x": 0.07})
    floor = measure.floor_of(spent, "excluded")
    assert [step.candidates[0].cpu_ms for step in floor.steps] == pytest.approx([20, 70])
    assert floor.cpu_ms == pytest.approx(30 + 70)


def test_floor_ignores_encoders_that_do_something_else(tmp_path: Path) -> None:
    """A library that is fast because its files are larger is listed and does not win."""
    spent = floor_measured()
    for library, size in (("x", 1000), ("excluded", 1031)):
        path = tmp_path / library
        path.write_bytes(bytes(size))
        file = MadeFile(name=f"big {library}", format="webp", path=path)
        spent.files["a"] = (*spent.files.get("a", ()), file)
    webp = measure.floor_of(spent, "nobody").steps[1]
    assert [(one.name, one.bytes) for one in webp.candidates] == [("excluded", 1031), ("x", 1000)]
    assert webp.winner == "x"


def test_floor_ignores_who_cannot_do_every_photo() -> None:
    """A decoder that some photos have no use for has no mean to compare."""
    spent = measured(a={"decode/one": 0.02, "decode/some": 0.01}, b={"decode/one": 0.02})
    (decode,) = measure.floor_of(spent).steps
    assert [one.name for one in decode.candidates] == ["one"]


# --- goals ------------------------------------------------------------------------------------


def test_goals_are_decided_before_rounding() -> None:
    """A figure a hair over its limit misses it, even where both print alike; at the limit it is
    met."""
    for cpu_ms, met in ((340.0, True), (340.1, False)):
        ratio = measure.ratio(figures(Key.ENGINE, cpu_ms), figures(Key.SHARP_USUAL, 1000))
        check = measure.checks((ratio,), cpu_ms, None, 0.08, 0.1)[0]
        assert (check.goal, check.found, check.met) == ("≤ 0.34", "0.340", met)


def test_every_goal_is_checked() -> None:
    """CPU, bytes and SSIM against each implementation, both floors, metadata and the start."""
    found = {check.name: check.met for check in report().checks}
    sharp, once = LABELS[Key.SHARP_USUAL], LABELS[Key.SHARP_ONCE]
    assert found == {
        f"CPU ÷ {sharp}": False,
        f"CPU ÷ {once}": True,
        "CPU ÷ floor": False,
        "CPU ÷ floor of shipped libraries": False,
        f"bytes ÷ {sharp}": False,
        f"SSIM - {sharp}": False,
        f"peak memory ÷ {sharp}": False,
        f"bytes ÷ {once}": True,
        f"SSIM - {once}": True,
        "metadata and hashes ÷ renditions": True,
        "start of safelight --help (wall time)": True,
    }


def test_slow_extras_miss_their_goals() -> None:
    """Metadata above its share and a slow start are said to be missed."""
    checks = measure.checks((), 100.0, None, 0.0801, 0.3)
    assert [(check.found, check.met) for check in checks] == [("8.0%", False), ("0.30 s", False)]


# --- the work ---------------------------------------------------------------------------------


def test_work_is_that_of_the_shipped_recipe() -> None:
    """Sizes and settings come from the default recipe and survive the way to a process."""
    work = config.work_of(config.recipe())
    sizes = [(size.name, size.width, size.cover) for size in work.sizes]
    assert sizes == [("thumbnail", 256, True), ("medium", 1024, False), ("large", 2048, False)]
    assert (work.jpeg_quality, work.webp_quality, work.webp_effort) == (80, 80, 2)
    assert config.loads(work.dumps()) == work


_BASELINE = Encoding(format=Format.JPEG, progressive=False)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"encodings": (Encoding(format=Format.JPEG),)}, "as JPEG and as WebP"),
        ({"encodings": (_BASELINE, Encoding(format=Format.WEBP))}, "progressive"),
        ({"height": None}, "full box"),
        ({"fit": Fit.CONTAIN}, "full box"),
    ],
)
def test_work_refuses_what_not_every_tool_does(spec: dict[str, Any], message: str) -> None:
    """A recipe that the other tools would not follow is no basis for a comparison."""
    both = (Encoding(format=Format.JPEG), Encoding(format=Format.WEBP))
    rendition = RenditionSpec(name="big", width=9, height=9, encodings=both)
    recipe = Recipe(name="odd", version=1, renditions=(replace(rendition, **spec),))
    with pytest.raises(ValueError, match=message):
        config.work_of(recipe)


def test_each_tool_is_measured_at_both_settings() -> None:
    """Usual settings are effort 4, the same settings effort 2; without sharp the rest runs."""
    work = config.work_of(config.recipe())
    found = commands(work, ("node", "sharp.cjs", "folder"))
    assert list(found) == list(Key)
    assert all('"webp_effort":4' in found[key][-1] for key in USUAL)
    assert all('"webp_effort":2' in found[key][-1] for key in SAME)
    assert set(commands(work, None)) == {key for key in Key if not key.startswith("sharp")}


# --- formats and targets ----------------------------------------------------------------------


def test_curves_are_read_between_their_points() -> None:
    """Bytes at a score lie between those of the points around it; beyond them nothing is said."""
    curve = formats().curves[0]
    assert [curve.bytes_at(score) for score in (59, 81)] == [None, None]
    found = [curve.bytes_at(score) for score in (60, 70, 80)]
    assert found == pytest.approx([10_000, 20_000, 40_000])


def test_files_stand_against_their_rivals() -> None:
    """JPEG beside JPEG, JPEG XL beside WebP; what only one of the two wrote counts for neither."""
    ours = {
        ("a", "big", "jpeg"): FileScore(bytes=80, ssim=1, ssimulacra2=70),
        ("b", "big", "jpeg"): FileScore(bytes=40, ssim=1, ssimulacra2=80),
        ("a", "big", "jxl"): FileScore(bytes=50, ssim=1, ssimulacra2=75),
        ("b", "big", "jxl"): FileScore(bytes=999, ssim=1, ssimulacra2=0),
    }
    theirs = {
        ("a", "big", "jpeg"): FileScore(bytes=100, ssim=1, ssimulacra2=71),
        ("b", "big", "jpeg"): FileScore(bytes=60, ssim=1, ssimulacra2=72),
        ("a", "big", "webp"): FileScore(bytes=60, ssim=1, ssimulacra2=74),
    }
    jpeg, jxl = pairs(ours, theirs, photos=2)
    assert (jpeg.bytes, jpeg.rival_bytes, jpeg.worst, jpeg.rival_worst) == (60, 80, 70, 71)
    assert (jpeg.ssimulacra2, jpeg.rival_ssimulacra2) == (75, 71.5)
    assert (jxl.format, jxl.rival, jxl.bytes, jxl.rival_bytes) == ("jxl", "webp", 25, 30)
    assert pairs(ours, {}, photos=2) == ()


def test_goals_of_formats() -> None:
    """Each figure of formats has its goal; without sharp those against it are absent."""
    found = {one.name: (one.goal, one.found, one.met) for one in format_checks(formats())}
    assert found == {
        "CPU with a target ÷ fixed quality": ("≤ 1.50", "1.600", False),
        "files within 1.5 points of their target": ("≥ 95%", "95.0%", True),
        "points below its target, worst file": ("≥ -4.0", "-4.10", False),
        "CPU of modern ÷ default": ("≤ 0.95", "0.900", True),
        "bytes ÷, modern's JPEG, sharp's JPEG": ("≤ 0.86", "0.800", True),
        "mean SSIMULACRA2 -, modern's JPEG, sharp's JPEG": ("≥ +0.0", "+1.00", True),
        "worst SSIMULACRA2 -, modern's JPEG, sharp's JPEG": ("≥ +0.0", "-1.00", False),
        "bytes ÷, modern and sharp, both formats": ("≤ 0.82", "0.800", True),
        "bytes of a repacked JPEG ÷ its own": ("≤ 0.86", "0.850", True),
        "CPU of repacking ÷ decoding": ("≤ 2.50", "6.000", False),
    }
    alone = format_checks(replace(formats(), pairs=()))
    assert [one.name for one in alone] == [name for name in found if "sharp" not in name]


# --- the corpus -------------------------------------------------------------------------------


def test_corpus_takes_jpegs_by_content(tmp_path: Path) -> None:
    """JPEGs of every folder are found whatever they are called; the rest is named with reasons."""
    tiny = encoded(photo(40, 30), "JPEG")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "no-ending").write_bytes(tiny)
    (tmp_path / "b.jpg").write_bytes(tiny)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "c.jpg").write_bytes(encoded(photo(40, 30), "PNG"))
    Image.new("CMYK", (40, 30)).save(tmp_path / "print.jpg")
    found = collect(tmp_path)
    assert list(found.photos) == ["b.jpg", "below/no-ending"]
    assert {name: reason[:13] for name, reason in found.left_out.items()} == {
        "empty.jpg": "is empty",
        "c.jpg": "is not a JPEG",
        "print.jpg": "is CMYK, whic",
    }
    assert not found.synthetic


def test_unusable_corpus_is_said_clearly(tmp_path: Path) -> None:
    """A folder that is missing, a file, or without a JPEG is one error that names it."""
    (tmp_path / "text").write_text("no picture")
    for name, code, words in (
        ("missing", "input_missing", "no such folder"),
        ("text", "input_missing", "not a folder"),
        ("", "input_invalid", "no JPEG picture to measure"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            collect(tmp_path / name)
        assert caught.value.code == code


def test_generated_corpus_takes_large_pictures_only(tmp_path: Path) -> None:
    """Of the samples only good JPEGs of half a megabyte count; if there is none, that is said."""

    def write(folder: Path) -> None:
        (folder / "broken").mkdir()
        tiny = encoded(photo(40, 30), "JPEG")
        for name in ("large.jpg", "broken/large.jpg"):
            (folder / name).write_bytes(tiny + bytes(SAMPLE_BYTES))
        (folder / "small.jpg").write_bytes(tiny)

    found = generate(tmp_path, write=write)
    assert (list(found.photos), found.left_out, found.synthetic) == (["large.jpg"], {}, True)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="generated samples: no JPEG picture of 500 kB"):
        generate(tmp_path / "none", write=lambda _: None)


# --- similarity -------------------------------------------------------------------------------


def test_similarity_knows_better_from_worse() -> None:
    """A careful resize scores near one and above a coarse one; the orientation is applied."""
    picture = Image.fromarray(photo(320, 200))
    original = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side, turned a quarter clockwise to be seen
    picture.save(original, "JPEG", quality=95, exif=exif)
    upright = picture.rotate(-90, expand=True)
    scores = []
    for kernel in (Image.Resampling.LANCZOS, Image.Resampling.NEAREST):
        made = encoded(np.asarray(upright.resize((100, 160), kernel)), "JPEG", quality=95)
        scores.append(Original(original.getvalue()).score(made, cover=False)[0])
    assert 0.98 < scores[0] <= 1
    assert scores[1] < scores[0] - 0.01


def test_similarity_forgives_rounding_of_a_cut() -> None:
    """However a tool rounds an even cut, its score is as good as that of the exact middle."""
    picture = Image.fromarray(photo(333, 200))
    original = Original(encoded(np.asarray(picture), "JPEG", quality=98))
    scores = []
    for box in placements((333, 200), (64, 64)):
        cut = picture.resize((64, 64), Image.Resampling.LANCZOS, box=box)
        made = encoded(np.asarray(cut), "WEBP", quality=95)
        scores.append(original.score(made, cover=True)[0])
    assert len(scores) > 1
    assert min(scores) > 0.98
    whole = original.score(made, cover=False)[0]
    assert whole < min(scores)


def test_placements_have_the_exact_middle_and_stay_inside() -> None:
    """The first place is unrounded; none leaves the picture."""
    first, *others = placements((2560, 1600), (256, 256))
    assert first == pytest.approx((480, 0, 2080, 1600))
    for left, top, right, bottom in others:
        assert 0 <= left < right <= 2560
        assert 0 <= top < bottom <= 1600
        assert (left, right) == pytest.approx((480, 2080), abs=10)
