"""Tests of the best frame: what counts as bad, what wins, what is written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from batch.operations.video import run_poster as run
from tests.unit.video.jobs import context, work
from tests.unit.video.samples import H264, clip, make, needs_ffmpeg
from tests.unit.video.scenes import opened, picture, title
from worker.domain.errors import Rejected
from worker.imaging.geometry import Size
from worker.video.frames import Frame
from worker.video.poster import Fault, choose, judge

BAD = {
    Fault.BLACK: np.full((180, 320, 3), 3, np.uint8),
    Fault.WHITE: np.full((180, 320, 3), 252, np.uint8),
    Fault.FLAT: np.full((180, 320, 3), 120, np.uint8),
    Fault.TITLE: title(),
    Fault.BLURRED: np.asarray(cv2.GaussianBlur(picture(), (0, 0), 12), np.uint8),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_frames_are_called_by_name(fault: Fault) -> None:
    """Each kind of bad frame is found out, and scores less than a good one."""
    found = judge(BAD[fault])
    assert found.fault is fault
    assert found.score < judge(picture()).score


@pytest.mark.parametrize("seed", range(5))
def test_good_frames_have_no_fault(seed: int) -> None:
    """A scene with something in it is taken, by day and at half its light."""
    assert judge(picture(seed)).fault is None
    assert judge(np.asarray(picture(seed) * 0.5, np.uint8)).fault is None


@pytest.mark.parametrize("strength", [1.0, 2.0, 4.0])
def test_blur_costs(strength: float) -> None:
    """The more a frame is blurred, the less it scores."""
    less = np.asarray(cv2.GaussianBlur(picture(), (0, 0), strength / 2), np.uint8)
    more = np.asarray(cv2.GaussianBlur(picture(), (0, 0), strength), np.uint8)
    assert judge(more).score < judge(less).score < judge(picture()).score


def test_exposure_costs() -> None:
    """Under- and overexposed copies score less."""
    good = judge(picture()).score
    dark = np.asarray(picture() * 0.3, np.uint8)
    light = np.asarray(np.clip(picture().astype(int) + 110, 0, 255), np.uint8)
    assert judge(dark).score < good
    assert judge(light).score < good


def test_score_does_not_depend_on_the_size() -> None:
    """The same picture twice as large scores about the same."""
    large = picture().repeat(4, axis=0).repeat(4, axis=1)
    assert judge(large).score == pytest.approx(judge(picture()).score, rel=0.01)


def test_one_pixel_is_judged() -> None:
    """The smallest frame has a score as well."""
    assert judge(np.zeros((1, 1, 3), np.uint8)).fault is Fault.BLACK


def footage(*scenes: str) -> bytes:
    """Scenes of half a second each."""
    sources = [word for scene in scenes for word in ("-f", "lavfi", "-t", "0.5", "-i", scene)]
    joined = "".join(f"[{index}:v]" for index in range(len(scenes)))
    graph = f"{joined}concat=n={len(scenes)}:v=1:a=0"
    return make("mp4", *sources, "-filter_complex", graph, *H264)


BLACK = "color=black:size=160x90:rate=10"
WHITE = "color=white:size=160x90:rate=10"
SCENE = "testsrc2=size=160x90:rate=10"
BLURRED = "testsrc2=size=160x90:rate=10,gblur=sigma=12"


@needs_ffmpeg
def test_the_good_scene_is_chosen(tmp_path: Path) -> None:
    """Between black, blur and white there is one scene worth showing."""
    chosen = choose(
        opened(footage(BLACK, BLURRED, SCENE, WHITE), tmp_path),
        candidates=8,
        size=Size(160, 90),
        context=context(tmp_path),
    )
    assert 1.0 <= chosen.seconds < 1.5
    assert chosen.judgement.fault is None
    assert chosen.candidates == 8
    assert chosen.faults["black"] == chosen.faults["white"] == 2


@needs_ffmpeg
def test_a_video_of_nothing_has_a_poster(tmp_path: Path) -> None:
    """Where every frame is bad the first is taken, and its fault is said."""
    chosen = choose(
        opened(footage(BLACK), tmp_path),
        candidates=4,
        size=Size(160, 90),
        context=context(tmp_path),
    )
    assert chosen.judgement.fault is Fault.BLACK
    assert chosen.faults == {"black": 4}


@needs_ffmpeg
def test_operation_writes_every_format(tmp_path: Path) -> None:
    """The same frame as JPEG, WebP and AVIF, of the size asked for, with its score and time."""
    source = tmp_path / "video.mp4"
    source.write_bytes(clip())
    job, outputs = work(
        "poster", source, tmp_path, width=100, formats=("jpeg", "webp", "avif"), candidates=5
    )
    details = run(job)
    sizes = set()
    for ending in ("jpg", "webp"):
        with Image.open(outputs.root / f"poster.{ending}") as image:
            sizes.add(image.size)
    assert sizes == {(100, 56)}
    assert b"ftypavif" in (outputs.root / "poster.avif").read_bytes()[:32]
    assert (details["width"], details["height"]) == (100, 56)
    assert details["candidates"] == 5
    assert details["fault"] is None


@needs_ffmpeg
def test_operation_never_enlarges(tmp_path: Path) -> None:
    """A small video has a small poster."""
    source = tmp_path / "video.mp4"
    source.write_bytes(clip())
    job, _ = work("poster", source, tmp_path, candidates=1, formats=("jpeg",))
    assert run(job)["width"] == 160


@needs_ffmpeg
def test_operation_refuses_what_is_no_video(tmp_path: Path) -> None:
    """A verdict, and nothing stored."""
    source = tmp_path / "video.mp4"
    source.write_bytes(b"not a video")
    job, outputs = work("poster", source, tmp_path)
    with pytest.raises(Rejected):
        run(job)
    assert not outputs.content("")


def test_frames_are_not_written_to() -> None:
    """Judging leaves the frame as it was."""
    frame: Frame = picture()
    before = frame.copy()
    judge(frame)
    assert np.array_equal(frame, before)
