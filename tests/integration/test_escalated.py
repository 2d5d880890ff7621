"""What is escalated, in a local stack: labels that move a cut.

Everything is real but Rekognition, whose stand-in sees what a file declares.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from tests.integration.job_uploads import wait_for
from tests.integration.running import Running, stack
from tests.unit.pictures import encoded, quadrants
from worker.domain.asset import AssetRecord, Status

RENDITIONS = """
[[renditions]]
name = "page"
width = 300
formats = ["jpeg"]
[[renditions]]
name = "square"
width = 80
height = 80
fit = "cover"
formats = ["jpeg"]
"""
LABELLED = f"""
name = "labelled"
version = 1
workflow = "label"
[labels]
focus = ["Dog"]
{RENDITIONS}
"""


def declare(data: Path, picture: Path, said: str) -> None:
    """Say what Rekognition's stand-in sees in a picture."""
    text = f"[[pictures]]\nfile = {json.dumps(str(picture))}\n{said}\n"
    (data / "rekognition.toml").write_text(text)


def questions(running: Running) -> list[str]:
    """Operations that the stand-in was asked for."""
    path = running.data / "logs" / "rekognition.log"
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        name
        for line in lines
        for name in ("DetectModerationLabels", "DetectLabels")
        if name in line
    ]


def served(running: Running, record: AssetRecord, name: str) -> int:
    """Status of the answer of delivery for a file."""
    url = f"{running.ready['delivery']}/{record.asset}/{record.version}/{name}"
    try:
        with urlopen(url) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def recipe(folder: Path, text: str) -> Path:
    """A recipe's file."""
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.timeout(600)
def test_labels_list_a_picture_and_move_its_cuts(tmp_path: Path) -> None:
    """The square is cut around the dog, which Rekognition was asked about once."""
    picture = tmp_path / "dog.png"
    picture.write_bytes(encoded(quadrants(640, 400)))
    said = 'labels = [{ name = "Dog", confidence = 97, boxes = [[0.8, 0.0, 0.2, 0.3]] }]'
    with stack(tmp_path / "data", "--recipe", str(recipe(tmp_path, LABELLED))) as running:
        declare(running.data, picture, said)
        put = running.json("put", picture, "--wait")
        assert put["status"] == "accepted"

        record = wait_for(running, put["asset"], lambda one: one.replaces != "")

        assert record.status is Status.ACCEPTED
        assert [(one.name, one.confidence, one.source) for one in record.labels] == [
            ("Dog", 97.0, "rekognition")
        ]
        square = next(one for one in record.renditions if one.name == "square")
        stored, _ = running.app.store.get(running.app.settings.delivery_bucket, square.key)
        with Image.open(io.BytesIO(stored)) as cut:
            colours = np.asarray(cut.convert("RGB"), dtype=int)
        # The dog is in the top right quadrant, which is green; the middle has all four colours.
        assert abs(colours[5, 75] - (30, 160, 30)).max() < 30
        assert abs(colours[5, 45] - (30, 160, 30)).max() < 30
        assert served(running, record, "square") == 200
        (listed,) = running.json("assets", "list", "--tag", "label:dog", "--confidence", "90")
        assert listed["asset"] == record.asset
        assert questions(running) == ["DetectLabels"]
