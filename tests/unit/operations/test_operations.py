"""Picture operations as jobs: from files and parameters to what lies in the output store."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from batch.arguments import check_parameters
from batch.catalogue import EXIT_BAD_INPUT, EXIT_DONE, KINDS
from batch.operations import find
from batch.work import Work
from tests.unit.batch.attempts import attempt
from tests.unit.hostile import png_claiming
from tests.unit.operations.scenes import calm, noisy, photographed, scenery, sheet, turned_camera
from tests.unit.operations.test_background import scene as subject_scene
from worker.domain.errors import Stopped
from worker.job_context import Stop

OURS = ("denoise", "stitch", "hdr-merge", "document", "restore", "background")
"""The kinds whose operations these are."""


def stored(folder: Path, *images: np.ndarray) -> list[Path]:
    """PNG files of blue-green-red pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index}.png" for index in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image[..., ::-1]).save(path)
    return paths


def examples() -> Mapping[str, tuple[np.ndarray, ...]]:
    """Inputs on which each kind finds what it is for."""
    wall = scenery(1100, 560, seed=4)
    ground = noisy(calm(200, 150), 8)
    scratched = calm(200, 150)
    cv2.line(scratched, (20, 30), (180, 120), (250, 250, 250), 2)
    dark, light = (np.clip(calm(200, 150) * gain, 0, 255).astype(np.uint8) for gain in (0.4, 1.3))
    return {
        "denoise": (ground,),
        "stitch": (turned_camera(wall, -8), turned_camera(wall, 6)),
        "hdr-merge": (dark, light),
        "document": (photographed(sheet())[0],),
        "restore": (scratched,),
        "background": (subject_scene(),),
    }


DETAILS: Mapping[str, Mapping[str, Any]] = {
    "denoise": {},
    "stitch": {"filled": pytest.approx(1, abs=0.1)},
    "hdr-merge": {},
    "document": {"page_found": True},
    "restore": {"damage": "found"},
    "background": {"seed": "salience"},
}


def run(tmp_path: Path, kind: str, *images: np.ndarray, **parameters: str) -> tuple[int, Path]:
    """One attempt at a job on files; its exit code and its output folder."""
    arguments = [kind]
    for path in stored(tmp_path / "in", *images):
        arguments += ["--input", str(path)]
    for name, value in parameters.items():
        arguments += ["--param", f"{name}={value}"]
    places = ["--output", str(tmp_path / "out"), "--scratch", str(tmp_path)]
    return attempt(*arguments, *places).code, tmp_path / "out"


def details(folder: Path) -> Mapping[str, Any]:
    """What the job says about what it made."""
    found = json.loads((folder / "result.json").read_text("utf-8"))["details"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("kind", OURS)
def test_every_kind_makes_its_file(kind: str, tmp_path: Path) -> None:
    """Without parameters a job stores one picture of the size in its details, and a second attempt
    in another place stores the same bytes."""
    images = examples()[kind]
    code, folder = run(tmp_path / "a", kind, *images)
    _, again = run(tmp_path / "b", kind, *images)

    assert code == EXIT_DONE
    said = details(folder)
    data = (folder / said["name"]).read_bytes()
    assert Image.open(io.BytesIO(data)).size == (said["width"], said["height"])
    assert {path.name for path in folder.iterdir()} == {said["name"], "result.json"}
    assert {name: said[name] for name in DETAILS[kind]} == DETAILS[kind]
    assert (again / said["name"]).read_bytes() == data


@pytest.mark.parametrize("kind", OURS)
def test_hostile_inputs_are_a_verdict(kind: str, tmp_path: Path) -> None:
    """A picture that claims a billion pixels ends with the code for bad input, and its reason."""
    (tmp_path / "in").mkdir()
    bomb = tmp_path / "in" / "bomb.png"
    bomb.write_bytes(png_claiming(29_000, 29_000))
    fewest = KINDS[kind].inputs[0]
    arguments = [part for _ in range(fewest) for part in ("--input", str(bomb))]

    ended = attempt(kind, *arguments, "--output", str(tmp_path / "out"), "--scratch", str(tmp_path))

    assert ended.code == EXIT_BAD_INPUT
    said = json.loads((tmp_path / "out" / "rejected.json").read_text("utf-8"))
    assert said["code"] == "too_many_pixels"


@pytest.mark.parametrize(
    ("kind", "images", "parameters", "reason"),
    [
        ("stitch", (scenery(160, 120, 1), scenery(160, 120, 2)), {}, "no_overlap"),
        ("hdr-merge", (calm(60, 40), calm(60, 41)), {}, "sizes_differ"),
        ("document", (scenery(160, 120),), {"missing": "reject"}, "no_page"),
        ("background", (np.full((80, 80, 3), 99, np.uint8),), {}, "no_subject"),
        ("restore", (calm(60, 40), np.zeros((40, 60, 3), np.uint8)), {}, "mask_unusable"),
    ],
)
def test_pictures_that_do_not_suit_are_a_verdict(
    kind: str,
    images: tuple[np.ndarray, ...],
    parameters: Mapping[str, str],
    reason: str,
    tmp_path: Path,
) -> None:
    """Each with its own code, and no picture is stored."""
    code, folder = run(tmp_path, kind, *images, **parameters)

    assert code == EXIT_BAD_INPUT
    assert json.loads((folder / "rejected.json").read_text("utf-8"))["code"] == reason
    assert [path.name for path in folder.iterdir()] == ["rejected.json"]


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "avif"])
def test_the_result_can_be_of_any_output_format(form: str, tmp_path: Path) -> None:
    """The file's content and its ending are those that were asked for."""
    code, folder = run(tmp_path, "restore", calm(60, 40), format=form)

    assert code == EXIT_DONE
    path = folder / details(folder)["name"]
    assert path.suffix == {"jpeg": ".jpg"}.get(form, f".{form}")
    assert Image.open(io.BytesIO(path.read_bytes())).format == form.upper()


def test_a_mask_is_the_second_input(tmp_path: Path) -> None:
    """Marked pixels are filled, without a search for damage."""
    mask = np.zeros((150, 200, 3), np.uint8)
    mask[40:50, 60:90] = 255
    spoiled = calm(200, 150)
    spoiled[40:50, 60:90] = (0, 0, 255)

    _, folder = run(tmp_path, "restore", spoiled, mask, format="png")

    made = np.asarray(Image.open(io.BytesIO((folder / "restore.png").read_bytes())))[..., ::-1]
    assert details(folder)["damage"] == "mask"
    before, after = (np.abs(item.astype(int) - calm(200, 150)).sum() for item in (spoiled, made))
    assert after < before / 5


def test_a_job_that_is_stopped_can_be_tried_again(tmp_path: Path) -> None:
    """Stopped between two steps, it raises what the runner turns into the code for that."""
    stop = Stop()

    def progress(share: float, what: str) -> None:
        if what.startswith("tile"):
            stop.request("reclaimed")

    paths = stored(tmp_path / "in", noisy(calm(700, 40), 9))
    work = Work(
        inputs=tuple(paths),
        sources=tuple(str(path) for path in paths),
        digests=("0" * 64,),
        parameters=check_parameters(KINDS["denoise"], {})[0],
        scratch=tmp_path,
        outputs=None,  # type: ignore[arg-type]
        checkpoint=None,  # type: ignore[arg-type]
        stop=stop,
        progress=progress,
        threads=1,
    )

    with pytest.raises(Stopped) as caught:
        find("denoise")(work)

    assert caught.value.retryable
