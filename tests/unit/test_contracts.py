"""What others rely on, exactly as it is: plans, manifests, results of jobs, playlists, exit codes.

Everything is made through a public entry point and compared with a file in ``golden/``. What
depends on an encoder, a clock or a machine is replaced by its type before that. What is stored and
sent on AWS is in ``tests/contract/test_wire.py``, the shape of ``--json`` in ``test_cli_json.py``.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from batch.catalogue import KINDS
from batch.runner import exit_code as job_code
from batch.runner import main as run_job
from tests.golden import Golden, png, shape
from tests.unit.operations.test_operations import examples, stored
from tests.unit.test_errors import every_class, example
from tests.unit.video.samples import AAC, AUDIO, H264, PICTURES, make
from worker import recipes
from worker.domain.errors import Reason, Rejected
from worker.entrypoints.cli import run
from worker.entrypoints.cli.output import exit_code
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe

RECIPES = ("archive", "avatar", "default", "modern", "product")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="16"><path d="M0 0h9v9z"/></svg>'


def picture(kind: str, width: int, height: int, *, mode: str = "RGB", **options: Any) -> bytes:
    """A file of one colour."""
    out = io.BytesIO()
    Image.new(mode, (width, height), 3 if len(mode) == 1 else None).save(out, kind, **options)
    return out.getvalue()


def turned() -> bytes:
    """A JPEG that is to be shown turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", 4000, 3000, mode="L", exif=exif)


def frames(kind: str) -> bytes:
    """Three of them: of an animation, or pages."""
    more = [Image.new("RGB", (600, 400), colour) for colour in ("red", "blue")]
    return picture(kind, 600, 400, save_all=True, append_images=more)


SAMPLES: Mapping[str, Callable[[], bytes]] = {
    "photo.jpg": lambda: picture("JPEG", 4000, 3000, mode="L"),
    "large.jpg": lambda: picture("JPEG", 8165, 6124, mode="L"),
    "portrait.jpg": turned,
    "cmyk.jpg": lambda: picture("JPEG", 1200, 800, mode="CMYK"),
    "small.png": lambda: picture("PNG", 300, 200),
    "alpha.png": lambda: picture("PNG", 1000, 1000, mode="RGBA"),
    "wide.png": lambda: picture("PNG", 5000, 300),
    "moving.gif": lambda: frames("GIF"),
    "moving.webp": lambda: frames("WEBP"),
    "pages.tif": lambda: frames("TIFF"),
    "icon.bmp": lambda: picture("BMP", 24, 24),
    "drawing.svg": lambda: SVG,
}


def said(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> Any:
    """The JSON that a command prints."""
    capsys.readouterr()
    found = run([*map(str, words), "--json"])
    text = capsys.readouterr()
    assert found == code, text.err
    return json.loads(text.out or text.err)


def plan(data: bytes, recipe: str) -> dict[str, Any]:
    """The plan as ``safelight plan`` prints it, or the code of what is wrong."""
    loaded = recipes.load(recipe)
    try:
        made = make_plan(probe(data, loaded.limits, formats=loaded.formats), loaded)
    except Rejected as error:
        return {"rejected": error.code}
    return {"hash": made.hash, **made.as_dict()}


@pytest.mark.parametrize("name", SAMPLES)
def test_plans(name: str, golden: Golden) -> None:
    """Every kind of picture by every recipe that ships; the hash is in the names of files."""
    data = SAMPLES[name]()
    plans = {recipe: plan(data, recipe) for recipe in RECIPES}
    hashes = {recipe: one.get("hash", one.get("rejected")) for recipe, one in plans.items()}

    # A hash holds the whole plan; of the others, one in full shows what has changed.
    whole = RECIPES if name == "photo.jpg" else ("default",)
    shown = {recipe: plans[recipe] for recipe in whole}
    golden.check_part("plans", name, {"hashes": hashes, "plans": json.loads(json.dumps(shown))})


def test_a_plan_is_printed(
    golden: Golden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command has the same one, with its source; and no plan is held that nobody makes."""
    assert {*golden.read("plans")} == {*SAMPLES}
    path = tmp_path / "photo.jpg"
    path.write_bytes(SAMPLES["photo.jpg"]())

    printed = said(capsys, "plan", path)

    whole = golden.read("plans")["photo.jpg"]["plans"]["default"]
    assert printed == {"source": str(path), "hash": whole.pop("hash"), "plan": whole}

    steps = said(capsys, "plan", path, "--only", "thumbnail.webp", "--only", "large")["plan"][
        "steps"
    ]
    assert [(step["name"], len(step["outputs"])) for step in steps] == [
        ("thumbnail", 1),
        ("large", 2),
    ]
    error = said(capsys, "plan", path, "--only", "huge", code=2)["error"]
    assert error["code"] == "rendition_unknown"


# --- manifests --------------------------------------------------------------------------------

MACHINE = frozenset({"seconds", "modified_ns", "engine", "job", "measures"})
"""Keys whose values depend on a clock or a library."""


def stable(value: Any, key: str = "") -> Any:
    """The value with types instead of what another machine may find otherwise."""
    if key in MACHINE:
        return shape(value)
    if isinstance(value, Mapping):
        found = {name: stable(item, name) for name, item in value.items()}
        # What an encoder has made. Inputs are exact.
        if {"name", "sha256"} <= value.keys():
            found |= {"bytes": "number", "sha256": "text"}
        return found
    return [stable(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("recipe", ["default", "product"])
def test_manifests(
    recipe: str, golden: Golden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest of ``safelight process``: accepted with tags, small, rejected; and the files of
    the folder."""
    exif = Image.Exif()
    exif[0x010F], exif[0x8298], exif[0x013B] = "Maker", "(c) Owner", "Artist"
    source = tmp_path / "in"
    source.mkdir()
    (source / "photo.png").write_bytes(png(1200, 800, exif.tobytes()[6:]))
    (source / "small.png").write_bytes(png(64, 48))
    (source / "cut.png").write_bytes(png()[:5000])
    (source / "no.jpg").write_bytes(b"not a picture")

    out = tmp_path / "out"
    printed = said(capsys, "process", source, "--out", out, "--jobs", 1, "--recipe", recipe, code=1)
    entries = json.loads((out / "manifest.json").read_text())

    assert printed == entries
    for entry in entries:
        entry["source"] = Path(entry["source"]).relative_to(tmp_path).as_posix()
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    found = {"manifest": stable(entries), "files": [one for one in files if one[0] != "."]}
    golden.check_part("manifests", recipe, found)


# --- jobs -------------------------------------------------------------------------------------


def clip(folder: Path) -> list[Path]:
    """A video of two seconds with audio and subtitles."""
    path = folder / "film.mkv"
    # Versions of ffmpeg differ in what they note by themselves: their name, and the range.
    same = ("-color_range", "tv", "-fflags", "+bitexact", "-metadata", "title=A video")
    path.write_bytes(make("mkv", *PICTURES, *AUDIO, "-i", "SRT", *H264, *AAC, *same))
    return [path]


def library(folder: Path) -> list[Path]:
    """A folder of two pictures."""
    (folder / "library").mkdir()
    (folder / "library" / "a.png").write_bytes(png(64, 48))
    (folder / "library" / "b.png").write_bytes(b"not a picture")
    return [folder / "library"]


def still(kind: str) -> Callable[[Path], list[Path]]:
    """What an operation on pictures finds something in."""
    return lambda folder: stored(folder, *examples()[kind])


def plane(folder: Path) -> list[Path]:
    """Large enough for several tiles."""
    return stored(folder, np.full((300, 500, 3), 99, np.uint8))


STILLS = ("denoise", "stitch", "hdr-merge", "document", "restore", "background")
VIDEO = ("poster", "storyboard", "preview", "audio-waveform", "subtitles", "video-metadata")
RUNGS = ("--param", "heights=90,48", "--param", "segment_seconds=1")
JOBS: Mapping[str, Callable[[Path], list[Path]]] = {
    **{kind: still(kind) for kind in STILLS},
    "deepzoom": plane,
    "batch-process": library,
}


def job(
    tmp_path: Path, kind: str, sources: list[Path], *more: str, name: str = "result.json"
) -> Any:
    """Run a job; what its result says, as far as another machine says the same."""
    inputs = [word for source in sources for word in ("--input", str(source))]
    out = tmp_path / "out"
    places = ["--output", str(out), "--scratch", str(tmp_path), "--threads", "1"]
    with redirect_stdout(io.StringIO()) as log:
        assert run_job([kind, *inputs, *places, *more]) == 0, log.getvalue()
    result = json.loads((out / name).read_text("utf-8").replace(str(tmp_path), "DIR"))
    return {
        **stable(result),
        # Numbers follow from pixels, which another build of a library may make differently.
        "details": details(result["details"]),
        "inputs": [shape(one) | {"uri": one["uri"]} for one in result["inputs"]],
        "parameters": result["parameters"],
        "version": "text",
    }


def details(value: Any) -> Any:
    """Texts as they are; numbers, digests and what depends on decoded pixels as types."""
    if isinstance(value, Mapping):
        return {
            name: shape(item) if name == "image_measures" else details(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [details(item) for item in value]
    digest = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return value if isinstance(value, str) and not digest else shape(value)


@pytest.mark.parametrize("kind", JOBS)
def test_results_of_jobs_on_pictures(kind: str, golden: Golden, tmp_path: Path) -> None:
    """``result.json`` of every kind: keys, parameters, names of files, media types."""
    golden.check_part("jobs", kind, job(tmp_path, kind, JOBS[kind](tmp_path)))


@pytest.mark.ffmpeg
@pytest.mark.parametrize("kind", VIDEO)
def test_results_of_jobs_on_videos(kind: str, golden: Golden, tmp_path: Path) -> None:
    """The same of those that start ffmpeg, whichever version."""
    golden.check_part("jobs", kind, job(tmp_path, kind, clip(tmp_path)))


def test_a_rejected_job(golden: Golden, tmp_path: Path) -> None:
    """``rejected.json`` beside the code for a bad input."""
    source = tmp_path / "empty.png"
    source.write_bytes(b"")
    words = ["denoise", "--input", str(source), "--output", str(tmp_path / "out")]

    with redirect_stdout(io.StringIO()):
        assert run_job([*words, "--scratch", str(tmp_path)]) == 65

    text = (tmp_path / "out" / "rejected.json").read_text("utf-8").replace(str(tmp_path), "DIR")
    golden.check_part("jobs", "rejected", {**json.loads(text), "version": "text"})


def test_lines_of_a_job(golden: Golden, tmp_path: Path) -> None:
    """The log lines of a job: the keys of each event, and the metrics."""
    words = ["denoise", "--input", str(stored(tmp_path, *examples()["denoise"])[0])]
    places = ["--output", str(tmp_path / "out"), "--scratch", str(tmp_path)]

    with redirect_stdout(io.StringIO()) as log:
        assert run_job([*words, *places]) == 0

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    metrics = [line["_aws"]["CloudWatchMetrics"] for line in lines if "_aws" in line]
    events = {line["event"]: sorted(line) for line in lines if "event" in line}
    golden.check("job_log", {"events": events, "metrics": metrics})


def playlists(folder: Path) -> Mapping[str, Any]:
    """Every playlist and manifest line by line, and every other file by name.

    Bit rates follow from the encoder's bytes.
    """
    found: dict[str, Any] = {}
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".m3u8":
            text = re.sub(r"(BANDWIDTH)=\d+", r"\1=N", path.read_text("utf-8"))
            found[name] = text.splitlines()
        elif path.suffix == ".mpd":
            text = re.sub(r'(bandwidth)="\d+"', r'\1="N"', path.read_text("utf-8"))
            found[name] = text.splitlines()
        elif not name.startswith("results/"):
            found[name] = "file"
    return found


@pytest.mark.ffmpeg
def test_a_transcode(golden: Golden, tmp_path: Path) -> None:
    """The result, the tree of segments, and the playlists to the letter."""
    result = job(tmp_path, "transcode", clip(tmp_path), *RUNGS)

    golden.check_part("jobs", "transcode", result)
    golden.check("hls", playlists(tmp_path / "out"))


@pytest.mark.ffmpeg
def test_a_divided_transcode(golden: Golden, tmp_path: Path) -> None:
    """Plan, part and assembly each leave a result of their own; together the same tree."""
    video, groups = clip(tmp_path), ("--param", "groups=2", *RUNGS)
    child = (*groups, "--size", "2", "--index")
    plan = job(tmp_path, "transcode-plan", video, *groups, name="plan.result.json")
    first, _ = (
        job(tmp_path, "transcode-part", video, *child, n, name=f"results/0000{n}.part.result.json")
        for n in ("0", "1")
    )
    joined = job(tmp_path, "transcode-assemble", video, *groups)

    tree = playlists(tmp_path / "out")
    whole = golden.read("hls")
    assert {name: tree[name] for name in whole if name.startswith("hls/")} == {
        name: whole[name] for name in whole if name.startswith("hls/")
    }
    for name, result in (("plan", plan), ("part", first), ("assemble", joined)):
        golden.check_part("jobs", f"transcode-{name}", result)


def test_every_kind_is_held(golden: Golden) -> None:
    """No kind is without a result here, and none is here that is no more."""
    assert {*golden.read("jobs")} - {"rejected"} == {*KINDS}


# --- errors -----------------------------------------------------------------------------------


def test_codes(golden: Golden) -> None:
    """Of each code: whether to try again, and how a command and a job end with it."""
    errors = [example(kind) for kind in every_class() if not issubclass(kind, Rejected)]
    for error in errors:
        error.code = type(error).code  # the example's own says nothing
    errors += [Rejected(reason, "for a reason") for reason in Reason]
    found = {
        error.code: {
            "retryable": error.retryable,
            "command": exit_code(error),
            "job": job_code(error),
        }
        for error in errors
    }

    golden.check("codes", found)
