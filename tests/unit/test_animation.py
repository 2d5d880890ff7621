"""Time in animations: as players show it, kept whatever is joined or rounded, and said truly."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.pictures import everything, one
from worker.domain.errors import LimitExceeded, Reason
from worker.domain.image import Encoding, Format, Limits, Recipe
from worker.imaging.animation import gif_timing, shown_ms, written_delays
from worker.imaging.encode import Extras, Picture, encode
from worker.imaging.probe import probe

WEBP = Encoding(format=Format.WEBP)
GIF = Encoding(format=Format.GIF)
RED, GREEN, BLUE = (220, 0, 0), (0, 200, 0), (0, 0, 220)


def moving(
    kind: str, colours: list[tuple[int, int, int]], delays: list[int], *, loop: int = 0
) -> bytes:
    """A file of flat frames, equal ones included, that says exactly these delays."""
    frames = [np.full((30, 40, 3), colour, np.uint8) for colour in colours]
    strip = pyvips.Image.new_from_array(np.concatenate(frames)).copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", 30)
    strip.set_type(pyvips.GValue.array_int_type, "delay", delays)
    strip.set_type(pyvips.GValue.gint_type, "loop", loop)
    if kind == "GIF":
        return strip.gifsave_buffer(keep_duplicate_frames=True)
    stills = [Image.fromarray(frame) for frame in frames]
    out = io.BytesIO()
    stills[0].save(
        out, kind, save_all=True, append_images=stills[1:], duration=delays, loop=loop,
        lossless=True,
    )  # fmt: skip
    return out.getvalue()


def delays_of(data: bytes) -> list[int]:
    """Delays of the frames as Pillow finds them, milliseconds."""
    found = []
    with Image.open(io.BytesIO(data)) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            found.append(int(image.info.get("duration", 0)))
    return found


def shades(count: int) -> list[tuple[int, int, int]]:
    """Colours of which no two neighbours are alike."""
    return [(10 * index % 250, 40, 200) for index in range(count)]


@pytest.mark.parametrize("encoding", [WEBP, GIF], ids=lambda each: each.format.value)
def test_what_is_said_of_a_rendition_is_what_is_in_the_file(encoding: Encoding) -> None:
    """Encoders join equal neighbours: frames and duration are of the file, no time is lost."""
    source = moving("GIF", [RED, RED, GREEN, GREEN], [100, 200, 300, 400])
    assert delays_of(source) == [100, 200, 300, 400]
    made = everything(source, encoding)
    assert (made.probe.frames, made.probe.duration_ms) == (4, 1000)
    rendition = made.renditions[0]
    assert delays_of(rendition.data) == [300, 700]
    assert (rendition.frames, rendition.duration_ms) == (2, 1000)


@pytest.mark.parametrize("encoding", [WEBP, GIF], ids=lambda each: each.format.value)
def test_an_animation_of_equal_frames_becomes_a_still(encoding: Encoding) -> None:
    """Where nothing moves one frame is left, and the rendition says that it is a still."""
    made = one(moving("GIF", [RED] * 4, [100] * 4), encoding)
    assert len(delays_of(made.data)) == made.frames == 1
    assert made.duration_ms is None


def test_stills_have_one_frame_and_no_duration() -> None:
    """A poster of an animation, in a format that could move, is a still."""
    made = everything(
        moving("GIF", [RED, GREEN], [100, 100]), WEBP, Encoding(format=Format.JPEG), frames=1
    )
    assert {(r.frames, r.duration_ms) for r in made.renditions} == {(1, None)}


def test_gif_keeps_time_that_is_no_multiple_of_its_ticks() -> None:
    """18 frames of 33.3 ms last 600 ms: what rounding takes from one frame the next one gets."""
    made = one(moving("WEBP", shades(18), [33, 33, 34] * 6), GIF)
    written = delays_of(made.data)
    assert len(written) == made.frames == 18
    assert sum(written) == made.duration_ms == 600
    assert set(written) == {30, 40}


def test_frames_too_short_for_gif_give_their_time_to_the_next() -> None:
    """Players show one tick for 100 ms: at 83 frames a second a GIF frame lasts two."""
    written = delays_of(one(moving("WEBP", shades(18), [12] * 18), GIF).data)
    assert min(written) >= 20
    assert abs(sum(written) - 18 * 12) <= 10


def test_a_delay_longer_than_gif_can_say_is_kept() -> None:
    """A frame of 700 s, where GIF ends at 655.35, is shown for 700 s."""
    recipe = Recipe(name="long", version=1, renditions=(), limits=Limits(duration=9000))
    made = one(moving("WEBP", [RED, GREEN], [700_000, 50]), GIF, recipe=recipe)
    assert delays_of(made.data) == [655_350, 44_650, 50]
    assert made.duration_ms == 700_050


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
@pytest.mark.parametrize("encoding", [WEBP, GIF], ids=lambda each: each.format.value)
def test_a_delay_of_ten_milliseconds_is_a_tenth_of_a_second(kind: str, encoding: Encoding) -> None:
    """Delays of at most 10 ms count as 100, as players show them, and are written so."""
    source = moving(kind, [RED, GREEN, BLUE, RED], [0, 10, 20, 30])
    made = everything(source, encoding)
    assert made.probe.duration_ms == made.renditions[0].duration_ms == 250
    assert delays_of(made.renditions[0].data) == [100, 100, 20, 30]


def test_the_limit_counts_what_players_show() -> None:
    """300 frames without a delay take 30 s: too long for a limit of 10."""
    source = moving("GIF", shades(300), [0] * 300)
    with pytest.raises(LimitExceeded, match=r"30.0 s") as caught:
        probe(source, Limits(duration=10), formats=frozenset({Format.GIF}))
    assert caught.value.reason is Reason.TOO_LONG_DURATION


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
@pytest.mark.parametrize("runs", [0, 1, 2, 5])
def test_loop_counts_stay_right(kind: str, runs: int) -> None:
    """An animation is shown as often as its source: GIF counts repeats, WebP counts runs."""
    made = everything(
        moving(kind, [RED, GREEN, GREEN], [50] * 3, loop=runs), WEBP, GIF, minimum_saving=-1.0
    )
    assert made.probe.loop == runs
    for rendition in made.renditions:
        found = probe(rendition.data, Limits(), formats=frozenset(Format))
        assert (found.loop, found.frames, found.duration_ms) == (runs, 2, 150)


def test_lossless_animations_keep_every_visible_pixel() -> None:
    """Frames of a lossless WebP are those of the source, transparency included."""
    random = np.random.default_rng(1)
    frames = [random.integers(0, 255, (30, 40, 4), dtype=np.uint8) for _ in range(3)]
    images = [pyvips.Image.new_from_array(f).copy(interpretation="srgb") for f in frames]
    data = encode(
        Picture(images), replace(WEBP, lossless=True), 80, Extras(delays=(50,) * 3), frames=3
    )
    strip = pyvips.Image.webpload_buffer(data, n=-1).numpy().reshape(3, 30, 40, 4)
    for shown, frame in zip(strip, frames, strict=True):
        visible = frame[..., 3] > 0
        assert (shown[..., 3] == frame[..., 3]).all()
        assert (shown[visible] == frame[visible]).all()


@given(st.lists(st.integers(0, 2000), min_size=2, max_size=60))
def test_any_timing_fits_into_the_ticks_of_gif(raw: list[int]) -> None:
    """Order stays, no frame has less than two ticks, and the sum is right within one tick or two
    for the last frame."""
    delays = [shown_ms(delay) for delay in raw]
    timing = gif_timing(delays)
    indices = [index for index, _ in timing]
    assert indices == sorted(indices)
    assert all(delay >= 20 and delay % 10 == 0 for _, delay in timing)
    assert -5 <= sum(delay for _, delay in timing) - sum(delays) <= 15
    starts = list(itertools.accumulate(delays, initial=0))
    shown = 0
    for index, delay in timing:
        assert abs(shown - starts[index]) <= 25
        shown += delay


def test_only_animations_have_delays() -> None:
    """Stills of every format, and a GIF of one frame, have none."""
    frame = Picture([pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")])
    for kind in (Format.GIF, Format.WEBP, Format.PNG, Format.AVIF, Format.JPEG):
        data = encode(frame, Encoding(format=kind, effort=1), 80, Extras())
        assert written_delays(data, kind) == ()
