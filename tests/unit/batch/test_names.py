"""What files are called: no name keeps a job from its work, its record or its log."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from batch.arguments import read_order
from batch.runner import perform
from batch.work import Work
from tests.unit.batch.worlds import World, attempt
from worker.job_context import Stop

NAMES = (
    # As macOS names screen recordings: a narrow no-break space.
    "Recording at 9.41.00\u202fAM.mov",
    "\U0001f469\u200d\U0001f467.mp4",
    "two\nlines.mp4",
    "-o.mp4",
    "%03d 'quoted', [0:v];.mp4",
    # A byte that is no UTF-8.
    "\udcff.mp4",
)


def sized(work: Work) -> Mapping[str, object]:
    """An operation: stores the size of its input."""
    made = work.scratch / "made"
    made.write_text(str(work.inputs[0].stat().st_size))
    work.outputs.file(made, "size.txt")
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_called_anything(name: str, tmp_path: Path) -> None:
    """It is done, its record can be read and names it, and it is known again."""
    film, out = tmp_path / name, tmp_path / "out"
    film.write_bytes(b"film")
    words = ("poster", "--input", str(film), "--output", str(out))
    done = attempt(*words, operation=sized)

    (source,) = json.loads((out / "result.json").read_bytes())["inputs"]
    assert done.code == 0
    assert source["uri"] == str(film)
    assert attempt(*words, operation=sized).events("unchanged")


def test_programs_see_none_of_these_names(tmp_path: Path) -> None:
    """What an operation is given is called by the runner, with the ending alone of the file's."""
    seen: list[str] = []

    def looked(work: Work) -> Mapping[str, object]:
        seen.append(work.inputs[0].name)
        assert work.inputs[0].read_bytes() == b"film"
        return {}

    for number, name in enumerate((*NAMES, "film.mp4")):
        (tmp_path / name).write_bytes(b"film")
        words = ("--input", str(tmp_path / name), "--output", str(tmp_path / f"out-{number}"))
        assert attempt("poster", *words, operation=looked).code == 0
    assert set(seen) == {"input.mov", "input.mp4"}


def test_an_object_can_be_called_anything(tmp_path: Path) -> None:
    """Whoever uploads chooses the key, as far as it is UTF-8."""
    world = World()
    for number, name in enumerate(NAMES[:-1]):
        world.memory.upload("intake", f"uploads/{name}", b"film")
        place = str(tmp_path / str(number))
        words = ("poster", "--input", f"s3://intake/uploads/{name}", "--output", place)
        assert attempt(*words, operation=sized, world=world).code == 0


def test_lines_about_a_name_that_is_no_text_are_written(tmp_path: Path) -> None:
    """A log in UTF-8 refuses lone surrogates; a line must not be lost for that."""
    film, out = tmp_path / "film.mp4", tmp_path / "out\udcff"
    film.write_bytes(b"film")
    written = io.BytesIO()
    order = read_order(["poster", "--input", str(film), "--output", str(out)], {})
    with io.TextIOWrapper(written, "utf-8") as log:
        perform(order, world=World(), stop=Stop(), log=log, operation=sized)
        lines = [json.loads(line) for line in written.getvalue().splitlines()]

    assert [line["output"] for line in lines if line.get("event") == "started"] == [str(out)]
