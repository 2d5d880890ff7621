"""The benchmark's arithmetic, goals, job, corpus and yardstick, on small made-up results."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.bench_results import figures, floor_outcome, outcome, report
from tests.unit.pictures import encoded, photo
from worker.bench import goals, job, summary
from worker.bench.corpus import SAMPLE_BYTES, collect, generate
from worker.bench.lineup import LABELS, SAME, USUAL, Key, line_up
from worker.bench.reference import Yardstick, placements
from worker.bench.sharp import Sharp
from worker.bench.summary import Judged
from worker.errors import InputError
from worker.model import Encoding, Fit, Format, Recipe, RenditionSpec

# --- arithmetic -------------------------------------------------------------------------------


def test_least_of_all_rounds_is_kept() -> None:
    """Each part of a photo keeps its own minimum, whichever round it came from."""
    kept = outcome()
    kept.keep("a", {"x": 3.0, "y": 1.0})
    kept.keep("a", {"x": 2.0, "y": 5.0})
    assert kept.seconds == {"a": {"x": 2.0, "y": 1.0}}


def test_figures_are_means_over_photos() -> None:
    """CPU is a mean a photo, bytes a sum a photo, SSIM a mean a file; other files do not count."""
    files_made = {
        ("a", "big", "jpeg"): Judged(bytes=10, ssim=0.9),
        ("a", "big", "webp"): Judged(bytes=6, ssim=0.8),
        ("b", "big", "jpeg"): Judged(bytes=20, ssim=1.0),
        ("b", "big", "webp"): Judged(bytes=999, ssim=0.0),
    }
    counted = frozenset(files_made) - {("b", "big", "webp")}
    spent = outcome(a={"total": 0.1}, b={"total": 0.3})
    found = summary.figures(Key.ENGINE, spent, files_made, counted)
    assert found.cpu_ms == pytest.approx(200)
    assert found.bytes == 18
    assert found.ssim == pytest.approx(0.9)
    assert (found.peak_memory, found.idle_memory) == (80, 20)


def test_only_files_of_everybody_count() -> None:
    """A file that one contender dropped is out of the comparison; no files at all are none."""
    one, other = Judged(bytes=1, ssim=1), Judged(bytes=2, ssim=1)
    both, dropped = ("a", "big", "jpeg"), ("a", "big", "webp")
    assert summary.common([{both: one, dropped: one}, {both: other}]) == {both}
    assert summary.common([]) == frozenset()
    assert summary.figures(Key.ENGINE, outcome(a={"total": 1}), {}, frozenset()).ssim is None


def test_ratios_are_engine_over_contender() -> None:
    """CPU, bytes and memory are quotients, SSIM is a difference; what is unknown stays unknown."""
    engine = figures(Key.ENGINE, 100)
    other = figures(Key.SHARP_USUAL, 400, bytes=80_000.0, ssim=0.95, peak_memory=None)
    ratio = summary.ratio(engine, other)
    assert (ratio.cpu, ratio.bytes, ratio.peak_memory) == (0.25, 1.25, None)
    assert ratio.ssim_difference == pytest.approx(0.01)


def test_floor_takes_the_fastest_of_each_step() -> None:
    """The sum is over winners on the whole corpus, once with and once without the excluded one."""
    floor = summary.floor(floor_outcome(), {}, "excluded")
    decode, webp = floor.steps
    assert (decode.winner, decode.winner_shipped) == ("two", "two")
    assert (webp.winner, webp.winner_shipped) == ("excluded", "x")
    assert floor.cpu_ms == pytest.approx(20 + 70)
    assert floor.cpu_ms_shipped == pytest.approx(20 + 100)


def test_floor_is_a_whole_go_of_each_photo() -> None:
    """The quiet moments of different goes are not put together into one that never was."""
    spent = outcome(a={"decode/one": 0.02, "webp/x": 0.09})
    spent.keep("a", {"decode/one": 0.03, "webp/x": 0.07})
    floor = summary.floor(spent, {}, "excluded")
    assert [step.candidates[0].cpu_ms for step in floor.steps] == pytest.approx([20, 70])
    assert floor.cpu_ms == pytest.approx(30 + 70)


def test_floor_ignores_encoders_that_do_something_else() -> None:
    """A library that is fast because its files are larger is listed and does not win."""
    sizes = {"big webp/x": 1000.0, "big webp/excluded": 1031.0}
    webp = summary.floor(floor_outcome(), sizes, "nobody").steps[1]
    assert [one.name for one in webp.candidates] == ["excluded", "x"]
    assert webp.winner == "x"


def test_floor_ignores_who_cannot_do_every_photo() -> None:
    """A decoder that some photos have no use for has no mean to compare."""
    spent = outcome(a={"decode/one": 0.02, "decode/some": 0.01}, b={"decode/one": 0.02})
    (decode,) = summary.floor(spent, {}, "excluded").steps
    assert [one.name for one in decode.candidates] == ["one"]


# --- goals ------------------------------------------------------------------------------------


def test_goals_are_decided_before_rounding() -> None:
    """A figure a hair over its limit misses it, even where both print alike; at the limit it is
    met."""
    for cpu_ms, met in ((380.0, True), (380.1, False)):
        ratio = summary.ratio(figures(Key.ENGINE, cpu_ms), figures(Key.SHARP_USUAL, 1000))
        check = goals.checks((ratio,), cpu_ms, None, 0.08, None)[0]
        assert (check.goal, check.found, check.met) == ("≤ 0.38", "0.380", met)


def test_every_goal_is_checked() -> None:
    """CPU, bytes and SSIM against each contender, both floors, metadata and the start."""
    found = {check.name: check.met for check in report().checks}
    sharp, once = LABELS[Key.SHARP_USUAL], LABELS[Key.SHARP_ONCE]
    assert found == {
        f"CPU ÷ {sharp}": False,
        f"CPU ÷ {once}": True,
        "CPU ÷ floor": False,
        "CPU ÷ floor of shipped libraries": False,
        f"bytes ÷ {sharp}": False,
        f"SSIM - {sharp}": False,
        f"bytes ÷ {once}": True,
        f"SSIM - {once}": True,
        "metadata and hashes ÷ renditions": True,
        "start of safelight --help (wall time)": True,
    }


def test_slow_extras_miss_their_goals() -> None:
    """Metadata above its share and a slow start are said to be missed."""
    checks = goals.checks((), 100.0, None, 0.0801, 0.3)
    assert [(check.found, check.met) for check in checks] == [("8.0%", False), ("0.30 s", False)]


# --- the job ----------------------------------------------------------------------------------


def test_job_is_the_shipped_ladder() -> None:
    """Sizes and settings come from the default recipe and survive the way to a child."""
    wanted = job.of(job.recipe())
    sizes = [(rung.name, rung.width, rung.cover) for rung in wanted.rungs]
    assert sizes == [("thumbnail", 256, True), ("medium", 1024, False), ("large", 2048, False)]
    assert (wanted.jpeg_quality, wanted.webp_quality, wanted.webp_effort) == (80, 80, 2)
    assert job.read(wanted.dump()) == wanted


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"encodings": (Encoding(format=Format.JPEG),)}, "as JPEG and as WebP"),
        ({"height": None}, "full box"),
        ({"fit": Fit.CONTAIN}, "full box"),
    ],
)
def test_job_refuses_what_not_everybody_does(spec: dict[str, Any], message: str) -> None:
    """A recipe that the other tools would not follow is no basis for a comparison."""
    both = (Encoding(format=Format.JPEG), Encoding(format=Format.WEBP))
    rendition = RenditionSpec(name="big", width=9, height=9, encodings=both)
    recipe = Recipe(name="odd", version=1, renditions=(replace(rendition, **spec),))
    with pytest.raises(ValueError, match=message):
        job.of(recipe)


def test_line_up_has_each_tool_at_both_settings(tmp_path: Path) -> None:
    """Usual settings are effort 4, the same settings effort 2; without sharp the rest runs."""
    wanted = job.of(job.recipe())
    everybody = line_up(wanted, Sharp(node="node", folder=tmp_path))
    assert [one.key for one in everybody] == list(Key)
    commands = {one.key: one.command for one in everybody}
    assert all('"webp_effort":4' in commands[key][-1] for key in USUAL)
    assert all('"webp_effort":2' in commands[key][-1] for key in SAME)
    left = {one.key for one in line_up(wanted, None)}
    assert left == {key for key in Key if not key.startswith("sharp")}


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
    assert found.left_out["empty.jpg"] == "is empty"
    assert found.left_out["c.jpg"] == "is not a JPEG"
    assert found.left_out["print.jpg"].startswith("is CMYK")
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


# --- the yardstick ----------------------------------------------------------------------------


def test_yardstick_knows_better_from_worse(tmp_path: Path) -> None:
    """A careful resize scores near one and above a coarse one; the orientation is applied."""
    picture = Image.fromarray(photo(320, 200))
    original = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side, turned a quarter clockwise to be seen
    picture.save(original, "JPEG", quality=95, exif=exif)
    upright = picture.rotate(-90, expand=True)
    scores = []
    for kernel in (Image.Resampling.LANCZOS, Image.Resampling.NEAREST):
        upright.resize((100, 160), kernel).save(tmp_path / "made.jpg", quality=95)
        scores.append(Yardstick(original.getvalue()).score(tmp_path / "made.jpg", cover=False))
    assert 0.98 < scores[0] <= 1
    assert scores[1] < scores[0] - 0.01


def test_yardstick_forgives_rounding_of_a_cut(tmp_path: Path) -> None:
    """However a tool rounds an even cut, its score is as good as that of the exact middle."""
    picture = Image.fromarray(photo(333, 200))
    yardstick = Yardstick(encoded(np.asarray(picture), "JPEG", quality=98))
    scores = []
    for box in placements((333, 200), (64, 64)):
        cut = picture.resize((64, 64), Image.Resampling.LANCZOS, box=box)
        cut.save(tmp_path / "made.webp", quality=95)
        scores.append(yardstick.score(tmp_path / "made.webp", cover=True))
    assert len(scores) > 1
    assert min(scores) > 0.98
    whole = yardstick.score(tmp_path / "made.webp", cover=False)
    assert whole < min(scores)


def test_placements_have_the_exact_middle_and_stay_inside() -> None:
    """The first place is unrounded; none leaves the picture."""
    first, *others = placements((2560, 1600), (256, 256))
    assert first == pytest.approx((480, 0, 2080, 1600))
    for left, top, right, bottom in others:
        assert 0 <= left < right <= 2560
        assert 0 <= top < bottom <= 1600
        assert (left, right) == pytest.approx((480, 2080), abs=10)
