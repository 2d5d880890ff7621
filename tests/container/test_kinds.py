"""Every kind of the catalogue, done for real in the Batch image as Batch's job definitions run it.

Read-only root, no rights, no network, the image's own user, a small /tmp, and an empty volume at
/scratch as the only place to work in.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docker.types import Mount
from PIL import Image

from batch.catalogue import KINDS
from batch.result import result_name
from tests.container.conftest import writable
from tests.container.engine import BATCH, STRANGER, Ended, Engine, mount
from tests.unit.operations.scenes import Pixels, calm, psnr
from tests.unit.operations.test_operations import examples, stored
from tests.unit.pictures import encoded, photo

pytestmark = pytest.mark.timeout(120)

DIVIDED = ("transcode", "transcode-plan", "transcode-part", "transcode-assemble")
"""Kinds that only make sense together."""
USER = 10001
SRT = "1\n00:00:00,500 --> 00:00:02,000\nGuten Tag\n"
QUICK = ("preset=ultrafast", "heights=90", "segment_seconds=6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a job has stored."""

    folder: Path
    details: Mapping[str, Any]

    def picture(self, name: str) -> Pixels:
        """A picture of it, blue-green-red as the scenes are; with alpha if it has any."""
        with Image.open(self.folder / name) as file:
            pixels = np.asarray(file)
        return np.concatenate([pixels[..., 2::-1], pixels[..., 3:]], axis=2)


@pytest.fixture(scope="module")
def inputs(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video of three seconds with audio and German subtitles, and a longer one."""
    folder = writable(tmp_path_factory.mktemp("kinds"))
    (folder / "text.srt").write_text(SRT)
    sources = ["-f", "lavfi", "-i", "testsrc2=d=3:s=320x180:r=25"]
    sources += ["-f", "lavfi", "-i", "sine=d=3:f=440", "-i", "/data/text.srt"]
    h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
    tracks = ["-c:a", "aac", "-c:s", "srt", "-metadata:s:s:0", "language=deu"]
    long = ["-f", "lavfi", "-i", "testsrc2=d=50:s=160x90:r=10"]
    long += ["-f", "lavfi", "-i", "sine=d=50:f=330", *h264, "-c:a", "aac"]
    for words in ([*sources, *h264, *tracks, "/data/film.mkv"], [*long, "/data/long.mp4"]):
        command = ["-v", "error", *words]
        made = engine.run(BATCH, *command, entrypoint=["ffmpeg"], volumes=mount(folder))
        assert made.code == 0, made.errors
    return folder


def confined(inputs: Path, out: Path) -> dict[str, Any]:
    """What the job definitions of ``pulumi/stack/heavy.py`` say, beside ``engine.HARDENED``."""
    return {
        "user": "",  # the image's own
        "tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,mode=1777,size=64m"},
        "shm_size": "64m",
        "mounts": [Mount("/scratch", None)],
        "volumes": {**mount(inputs, "/data/in", "ro"), **mount(out, "/data/out")},
    }


def command(kind: str, names: list[str], *parameters: str) -> list[str]:
    """A command line on the two folders."""
    words = ["run", kind, "--output", "/data/out"]
    words += [word for name in names for word in ("--input", f"/data/in/{name}")]
    return [*words, *(word for one in parameters for word in ("--param", one))]


def record(out: Path, kind: str, index: int | None = None) -> Mapping[str, Any]:
    """The record of success; all that it names is there, with its content."""
    found: Mapping[str, Any] = json.loads((out / result_name(KINDS[kind], index)).read_text())
    assert found["kind"] == kind
    assert all(len(one["sha256"]) == 64 for one in found["inputs"] if "sha256" in one)
    for one in found["outputs"]:
        data = (out / one["name"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
    return found


def check_done(ended: Ended) -> None:
    """Ended well, having said so as its last event."""
    assert ended.code == 0, ended.output + ended.errors
    events = [json.loads(line).get("event") for line in ended.output.splitlines()]
    assert "done" in events
    assert ended.errors == ""


# --- what must be true of each kind's result ----------------------------------------------------


def _poster(made: Made) -> None:
    for name in ("poster.jpg", "poster.webp"):
        picture = made.picture(name)
        assert picture.shape == (180, 320, 3)
        assert picture.std() > 20  # not a fade


def _storyboard(made: Made) -> None:
    track = (made.folder / "storyboard.vtt").read_text()
    boxes = re.findall(r"^storyboard-\d+\.jpg#xywh=(\d+),(\d+),(\d+),(\d+)$", track, re.MULTILINE)
    sheet = made.picture(made.details["sheets"][0]["name"])
    assert len(boxes) == made.details["frames"] == 3
    for left, top, width, height in (map(int, box) for box in boxes):
        tile = sheet[top : top + height, left : left + width]
        assert tile.shape == (90, 160, 3)
        assert tile.std() > 20


def _preview(made: Made) -> None:
    with Image.open(made.folder / "preview.webp") as moving:
        assert moving.size == (320, 180)
        assert getattr(moving, "n_frames", 1) > 5
    assert (made.folder / "preview.mp4").read_bytes()[4:8] == b"ftyp"


def _waveform(made: Made) -> None:
    curve = json.loads((made.folder / "waveform.json").read_text())
    assert curve["length"] * 2 == len(curve["data"])
    # The source of audio has an eighth of full scale (ffmpeg, "sine").
    assert max(curve["data"]) == pytest.approx(2 ** (curve["bits"] - 1) / 8, rel=0.2)
    assert made.picture("waveform.png").std() > 5


def _subtitles(made: Made) -> None:
    text = (made.folder / "subtitles" / "deu.vtt").read_text()
    assert text.startswith("WEBVTT\n")
    # All of a Matroska is later by what its audio needs to begin: 1024 samples of AAC.
    assert re.search(r"^00:00\.5\d\d --> 00:02\.0\d\d\nGuten Tag$", text, re.MULTILINE)


def _metadata(made: Made) -> None:
    video = made.details["video"]
    assert (video["codec"], video["width"], video["height"]) == ("h264", 320, 180)
    assert made.details["duration"] == pytest.approx(3, abs=0.1)


def _deepzoom(made: Made) -> None:
    descriptor = (made.folder / made.details["descriptor"]).read_text()
    assert re.search(r'Width="200"', descriptor)
    tiles = list(made.folder.glob("*/*/*.jpg")) + list(made.folder.glob("*/*.jpg"))
    assert {path.stem for path in tiles} >= {"0_0", "1_0", "1_1"}


def _denoise(made: Made) -> None:
    assert psnr(made.picture(made.details["name"]), calm(200, 150)) > 33  # 30 with its noise


def _stitch(made: Made) -> None:
    assert made.picture(made.details["name"]).shape[1] > 400  # of two that are 320 wide


def _hdr_merge(made: Made) -> None:
    dark, light = examples()["hdr-merge"]
    assert dark.mean() < made.picture(made.details["name"]).mean() < light.mean()


def _document(made: Made) -> None:
    page = made.picture(made.details["name"])
    assert made.details["page_found"] is True
    assert page.shape[0] / page.shape[1] == pytest.approx(594 / 420, rel=0.03)
    assert np.median(page) > 235


def _restore(made: Made) -> None:
    (scratched,) = examples()["restore"]
    assert psnr(made.picture(made.details["name"]), calm(200, 150)) > psnr(
        scratched, calm(200, 150)
    )


def _background(made: Made) -> None:
    alpha = made.picture("background.png")[..., 3]
    assert (alpha[0, 0], alpha[155, 240]) == (0, 255)
    assert 0.1 < (alpha > 127).mean() < 0.4


def _batch_process(made: Made) -> None:
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert {one["folder"] for one in manifest["pictures"]} == {"a.jpg", "sub/b.jpg"}
    for one in manifest["pictures"]:
        for rendition in one["renditions"]:
            assert (made.folder / rendition["path"]).stat().st_size == rendition["bytes"]
    assert {path.stem for path in (made.folder / "sub" / "b.jpg").iterdir()} >= {
        "thumbnail",
        "medium",
        "large",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How a kind is tried."""

    check: Callable[[Made], None]
    video: bool = False
    parameters: tuple[str, ...] = ()


CASES: Mapping[str, Case] = {
    "poster": Case(check=_poster, video=True),
    "storyboard": Case(check=_storyboard, video=True, parameters=("interval=1",)),
    "preview": Case(check=_preview, video=True, parameters=("seconds=1",)),
    "audio-waveform": Case(check=_waveform, video=True),
    "subtitles": Case(check=_subtitles, video=True),
    "video-metadata": Case(check=_metadata, video=True),
    "deepzoom": Case(check=_deepzoom, parameters=("tile_size=100",)),
    "denoise": Case(check=_denoise, parameters=("format=png",)),
    "stitch": Case(check=_stitch),
    "hdr-merge": Case(check=_hdr_merge),
    "document": Case(check=_document),
    "restore": Case(check=_restore, parameters=("format=png",)),
    "background": Case(check=_background),
    "batch-process": Case(check=_batch_process),
}


def given(kind: str, folder: Path) -> list[str]:
    """The pictures of a kind, written into a folder; their names."""
    if kind == "batch-process":
        (folder / "library" / "sub").mkdir(parents=True)
        for seed, name in enumerate(("a.jpg", "sub/b.jpg")):
            data = encoded(photo(160, 120, seed=seed), "JPEG")
            (folder / "library" / name).write_bytes(data)
        return ["library"]
    pictures = {**examples(), "deepzoom": (calm(200, 150),)}[kind]
    return [path.name for path in stored(folder, *pictures)]


@pytest.mark.parametrize("kind", [name for name in KINDS if name not in DIVIDED])
def test_every_kind_has_run(engine: Engine, inputs: Path, tmp_path: Path, kind: str) -> None:
    """Once for real, with an input on which it finds what it is for."""
    case = CASES[kind]
    out = writable(tmp_path)
    if case.video:
        names = ["film.mkv"]
    else:
        inputs = tmp_path / "in"
        inputs.mkdir()
        names = given(kind, inputs)

    ended = engine.run(BATCH, *command(kind, names, *case.parameters), **confined(inputs, out))

    check_done(ended)
    found = record(out, kind)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == {"result.json", *(one["name"] for one in found["outputs"])}
    case.check(Made(folder=out, details=found["details"]))


def test_a_divided_video_is_the_same_as_a_whole_one(
    engine: Engine, inputs: Path, tmp_path: Path
) -> None:
    """Plan, two children of an array, assembly: what is served has the bytes of `transcode`."""
    whole = writable(tmp_path / "whole")
    parted = writable(tmp_path / "parted")

    def run(kind: str, out: Path, *parameters: str, **environment: str) -> Mapping[str, Any]:
        words = command(kind, ["long.mp4"], *QUICK, *parameters)
        options = confined(inputs, out)
        check_done(engine.run(BATCH, *words, environment=environment, **options))
        index = environment.get("AWS_BATCH_JOB_ARRAY_INDEX")
        return record(out, kind, None if index is None else int(index))

    alone = run("transcode", whole)
    planned = run("transcode-plan", parted, "groups=2")
    children = [
        run(
            "transcode-part",
            parted,
            "groups=2",
            AWS_BATCH_JOB_ARRAY_INDEX=str(index),
            AWS_BATCH_JOB_ARRAY_SIZE="2",
        )
        for index in range(2)
    ]
    joined = run("transcode-assemble", parted, "groups=2")

    assert planned["details"]["groups"] == 2
    shares = [child["details"]["parts"] for child in children]
    assert all(shares)
    assert [number for share in shares for number in share] == list(
        range(planned["details"]["parts"])
    )
    assert joined["outputs"] == alone["outputs"]
    names = {one["name"] for one in alone["outputs"]}
    assert {Path(name).suffix for name in names} >= {".m3u8", ".m4s", ".mp4"}
    assert len(names) > 10


def test_an_empty_volume_is_where_jobs_work(engine: Engine, tmp_path: Path) -> None:
    """The image's own user, and any other, can write to it; nothing is left in it."""
    folder = tmp_path / "in"
    names = given("restore", folder)
    options = confined(folder, writable(tmp_path))
    look = "import os, tempfile; found = os.stat('/scratch'); "
    look += "print(tempfile.gettempdir(), found.st_uid, found.st_gid, oct(found.st_mode & 0o7777))"

    own = engine.python(BATCH, look, **options)
    stranger = engine.python(BATCH, look, **{**options, "user": STRANGER})
    container = engine.start(BATCH, *command("restore", names), **options)
    code = int(container.wait(timeout=60)["StatusCode"])
    left = engine.python(
        BATCH, "import os; print(os.listdir('/scratch'))", volumes_from=[container.id]
    )

    wanted = f"/scratch {USER} {USER} 0o1777\n"
    assert (own.output, stranger.output) == (wanted, wanted)
    assert code == 0, container.logs().decode()
    assert left.output == "[]\n", left.errors
