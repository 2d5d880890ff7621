"""Tests of storyboards: the grid, the sheets against the video, the track against the sheets."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch.operations.video import run_storyboard as run
from tests.unit.video.jobs import context, work
from tests.unit.video.samples import needs_ffmpeg
from tests.unit.video.scenes import counted, number, opened
from worker.imaging.geometry import Size
from worker.video import frames
from worker.video.frames import FrameSource, Take, Way
from worker.video.storyboard import LARGEST_SIDE, Sheet, SheetLayout, draw, plan, track

pytestmark = needs_ffmpeg


def of_size(footage: FrameSource, width: int, height: int) -> FrameSource:
    """The same video, as if it had this size."""
    return replace(footage, track=replace(footage.track, width=width, height=height))


def test_intervals_are_equal_and_bounded(tmp_path: Path) -> None:
    """Three seconds at one are three frames; never more than allowed, nor than there are."""
    footage = opened(counted(), tmp_path)
    settings = {"width": 32, "columns": 2, "rows": 2}
    assert plan(footage, interval=1, most=100, **settings).frames == 3
    assert plan(footage, interval=1, most=2, **settings).interval == pytest.approx(1.5)
    assert plan(footage, interval=0.01, most=1000, **settings).frames == 30
    assert plan(footage, interval=600, most=100, **settings).frames == 1
    assert plan(footage, interval=0.5, most=100, **settings).sheets == 2


@pytest.mark.parametrize(("width", "height"), [(16, 16_000), (16_000, 16), (4000, 3000)])
def test_sheets_fit_their_formats(width: int, height: int, tmp_path: Path) -> None:
    """For any aspect ratio the sides of a sheet are within the limits of JPEG, WebP and screens."""
    footage = of_size(opened(counted(3), tmp_path), width, height)
    grid = plan(footage, interval=1, width=1024, columns=50, rows=50, most=10_000)
    assert 1 <= grid.tile.width * grid.columns <= LARGEST_SIDE
    assert 1 <= grid.tile.height * grid.rows <= LARGEST_SIDE


def test_track_points_at_every_frame(tmp_path: Path) -> None:
    """Cues follow each other without a gap to the end of the video."""
    grid = SheetLayout(tile=Size(32, 24), columns=2, rows=2, frames=6, interval=1801.5)
    text = track(grid, lambda sheet: f"s-{sheet}.jpg", 10_809.0)
    assert text.startswith("WEBVTT\n\n00:00:00.000 --> 00:30:01.500\ns-1.jpg#xywh=0,0,32,24\n")
    cues = re.findall(r"(\S+) --> (\S+)\n(\S+)#xywh=(\d+),(\d+),32,24", text)
    assert [cue[2:] for cue in cues] == [
        ("s-1.jpg", "0", "0"),
        ("s-1.jpg", "32", "0"),
        ("s-1.jpg", "0", "24"),
        ("s-1.jpg", "32", "24"),
        ("s-2.jpg", "0", "0"),
        ("s-2.jpg", "32", "0"),
    ]
    assert [cue[1] for cue in cues[:-1]] == [cue[0] for cue in cues[1:]]
    assert cues[-1][1] == "03:00:09.000"


def test_operation(tmp_path: Path) -> None:
    """Each cue's part of its sheet is the frame in the middle of the cue's time."""
    source = tmp_path / "video.mp4"
    source.write_bytes(counted())
    job, outputs = work(
        "storyboard", source, tmp_path, interval=0.6, width=48, columns=2, rows=2, format="webp"
    )
    details = run(job)
    assert details["frames"] == 5
    text = (outputs.root / "storyboard.vtt").read_text()
    cues = re.findall(r"00:00:(\S+) --> 00:00:(\S+)\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)", text)
    assert len(cues) == 5
    for start, end, name, *box in cues:
        left, top, width, height = map(int, box)
        with Image.open(outputs.root / name) as sheet:
            part = np.asarray(sheet.convert("RGB"))[top : top + height, left : left + width]
        assert part.shape == (36, 48, 3)
        middle = (float(start) + float(end)) / 2 * 10
        assert abs(number(part) - int(middle - 1e-6)) <= 1
    with Image.open(outputs.root / "storyboard-002.webp") as last:
        assert last.size == (48, 36)
    assert outputs.types["storyboard-001.webp"] == "image/webp"


def test_one_frame(tmp_path: Path) -> None:
    """A video of one picture has one sheet with one tile, for as long as it lasts."""
    source = tmp_path / "video.mp4"
    source.write_bytes(counted(1))
    job, outputs = work("storyboard", source, tmp_path)
    assert run(job)["frames"] == 1
    text = (outputs.root / "storyboard.vtt").read_text()
    assert "00:00:00.000 --> 00:00:00.100\nstoryboard-001.jpg#xywh=0,0,64,48" in text


def test_what_cannot_be_decoded_shows_what_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing frames at the beginning, in between and at the end leave no hole in a sheet."""
    footage = opened(counted(4), tmp_path)
    grid = SheetLayout(tile=Size(2, 2), columns=3, rows=2, frames=6, interval=0.1)

    def some(footage: FrameSource, count: int, size: Size, take: Take) -> Way:
        for index in (1, 3):
            take(index, 0.0, np.full((2, 2, 3), 10 * index, np.uint8))
        return Way.SEEK

    monkeypatch.setattr("worker.video.storyboard.spread", some)
    sheets: list[Sheet] = []
    assert draw(footage, grid, sheets.append, context=context(tmp_path)) is Way.SEEK
    (sheet,) = sheets
    assert sheet.frame[::2, ::2, 0].tolist() == [[10, 10, 10], [30, 30, 30]]
    assert frames.spread is not some
