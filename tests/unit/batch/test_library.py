"""batch-process: a library as an array, single big pictures, hostile neighbours, going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from batch.operations import library as operation
from batch.operations.library import assign_folders, groups_of, share
from batch.work import ListedFile
from tests.unit.batch.attempts import Ended, MemoryServices, attempt
from worker.job_context import Stop
from worker.services.process_files.pool import Pool

SMALL = """
name = "small"
version = 1
[[renditions]]
name = "tiny"
width = 16
formats = ["webp"]
"""


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = numpy.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), numpy.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe of one small rendition, as a parameter."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return f"recipe={path}"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three pictures, one of them in a folder, and a file that is none."""
    folder = tmp_path / "library"
    picture(folder / "a.jpg", 1)
    picture(folder / "a.png", 2)
    picture(folder / "sub" / "a.jpg", 3)
    (folder / "note.jpg").write_bytes(b"not a picture")
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "link.jpg").symlink_to("/etc/passwd")
    return folder


def manifest(path: Path) -> dict[str, Any]:
    """Entries by folder."""
    content = json.loads(path.read_bytes())
    return {entry["folder"]: entry for entry in content["pictures"]}


def found(name: str, *, alone: bool = False, size: int = 10) -> ListedFile:
    """Something listed."""
    return ListedFile(uri=f"s3://bucket/{name}", name=name, bytes=size, alone=alone)


def on_one_core(*words: str, services: MemoryServices | None = None) -> Ended:
    """An attempt whose pool has one process: to start another takes as long as these pictures."""
    return attempt(*words, "--threads", "1", services=services)


def test_a_library_is_processed_and_listed(library: Path, tmp_path: Path, recipe: str) -> None:
    """Each picture has a folder by its path; what is no picture is an entry with its code."""
    out = tmp_path / "out"
    ended = attempt(
        *("batch-process", "--input", str(library), "--output", str(out), "--param", recipe)
    )

    entries = manifest(out / "manifest.json")
    result = json.loads((out / "result.json").read_bytes())
    assert ended.code == 0
    assert set(entries) == {"a.jpg", "a.png", "note.jpg", "sub/a.jpg"}
    assert entries["note.jpg"]["reason"]["code"] == "unknown_format"
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        (made,) = entries[name]["renditions"]
        assert made["path"] == f"{name}/tiny.webp"
        assert (out / made["path"]).stat().st_size == made["bytes"]
        assert entries[name]["probe"]["width"] == 40
    assert result["details"] | {"bytes_in": 0, "bytes_out": 0} == {
        "manifest": "manifest.json",
        "pictures": 4,
        "accepted": 3,
        "rejected": 1,
        "reasons": {"unknown_format": 1},
        "bytes_in": 0,
        "bytes_out": 0,
    }
    assert not (out / ".checkpoint").exists()


def test_results_inside_the_library_are_no_inputs(library: Path, recipe: str) -> None:
    """A second run with the results beside the originals is the same job."""
    line = ["batch-process", "--input", str(library), "--output", str(library / "out")]
    on_one_core(*line, "--param", recipe)

    assert on_one_core(*line, "--param", recipe).events("unchanged")


def test_children_divide_a_library(library: Path, tmp_path: Path, recipe: str) -> None:
    """Every picture is exactly one child's; each child has its own manifest."""
    out = tmp_path / "out"
    for index in range(2):
        ended = on_one_core(
            *("batch-process", "--input", str(library), "--output", str(out), "--param", recipe),
            *("--index", str(index), "--size", "2"),
        )
        assert ended.code == 0

    parts = [manifest(out / "manifests" / f"0000{index}.json") for index in range(2)]
    assert not set(parts[0]) & set(parts[1])
    assert set(parts[0]) | set(parts[1]) == {"a.jpg", "a.png", "note.jpg", "sub/a.jpg"}


def test_a_listed_picture_stays_with_its_child() -> None:
    """One that comes in between moves no other to another child; given ones go round."""
    before = assign_folders([found(f"{number}.jpg") for number in range(100)])
    after = assign_folders([found("0000.jpg"), *(found(f"{number}.jpg") for number in range(100))])
    given = assign_folders([found(f"{number}.jpg", alone=True) for number in range(7)])

    for index in range(3):
        assert {item.folder for item in share(before, index, 3)} <= {
            item.folder for item in share(after, index, 3)
        }
    assert sum(len(share(before, index, 3)) for index in range(3)) == 100
    assert [item.folder for item in share(given, 1, 3)] == ["1.jpg", "4.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x.jpg",
            "/x.jpg",
            "a//b.jpg",
            "b\\c.jpg",
            "n\n.jpg",
            "é.jpg",
            "x" * 300,
            "\udcff.jpg",
        ),
        *("results/x.jpg", "result.json", "Manifest.json", "rejected.json", "manifests/0.jpg"),
    ],
)
def test_names_no_folder_can_have_become_others(name: str) -> None:
    """An object can be called anything; its folder cannot."""
    (item, _) = assign_folders([found(name), found("b.jpg")])

    assert item.folder.replace("-", "").replace("_", "").isalnum()
    assert item.folder.isascii()


def test_two_pictures_of_one_name_keep_apart() -> None:
    """Given pictures from different folders may share a name."""
    first = ListedFile(uri="/a/x.jpg", name="x.jpg", bytes=1, alone=True)
    second = ListedFile(uri="/b/x.jpg", name="x.jpg", bytes=1, alone=True)

    assert len({item.folder for item in assign_folders([first, second])}) == 2


def test_names_that_differ_in_case_keep_apart() -> None:
    """Not every disk tells them apart."""
    folders = {item.folder.lower() for item in assign_folders([found("a.jpg"), found("A.JPG")])}

    assert len(folders) == 2


def test_pictures_called_like_our_records_are_pictures(tmp_path: Path, recipe: str) -> None:
    """A library is what people have put into it; a name that is no text is one too."""
    names = ("result.json", "manifest.json", "\udcff.png", "two\nlines.png")
    for number, name in enumerate(names):
        picture(tmp_path / "library" / "x.png", number).rename(tmp_path / "library" / name)
    ended = on_one_core(
        *("batch-process", "--input", str(tmp_path / "library")),
        *("--output", str(tmp_path / "out"), "--param", recipe),
    )

    listed = json.loads((tmp_path / "out" / "manifest.json").read_bytes())["pictures"]
    assert ended.code == 0
    assert {entry["status"] for entry in listed} == {"accepted"}
    assert {entry["uri"] for entry in listed} == {
        str(tmp_path / "library" / each) for each in names
    }


def test_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; a picture larger than a group is one by itself."""
    monkeypatch.setattr(operation, "GROUP_IMAGES", 3)
    monkeypatch.setattr(operation, "GROUP_BYTES", 100)
    sizes = [10, 10, 10, 10, 500, 60, 60]
    items = assign_folders([found(f"{n}", size=size) for n, size in enumerate(sizes)])

    groups = [[item.found.bytes for item in group] for group in groups_of(items)]

    assert groups == [[10, 10, 10], [10], [500], [60], [60]]


def test_one_oversize_picture_needs_raised_limits(tmp_path: Path, recipe: str) -> None:
    """Alone it is the job's verdict; with raised limits its renditions lie at the top."""
    small = tmp_path / "strict.toml"
    small.write_text(SMALL + "\n[limits]\npixels = 500\n")
    services = MemoryServices()
    services.memory.upload("intake", "big.png", picture(tmp_path / "big.png").read_bytes())
    line = ["batch-process", "--input", "s3://intake/big.png", "--output", "s3://delivery/a/"]
    line += ["--param", f"recipe={small}", "--scratch", str(tmp_path / "disk")]

    refused = on_one_core(*line, services=services)
    verdict = json.loads(services.store.get("delivery", "a/rejected.json")[0])
    taken = on_one_core(*line, "--param", "max_pixels=100000", services=services)

    assert (refused.code, verdict["code"]) == (65, "too_many_pixels")
    assert taken.code == 0
    assert services.memory.keys("delivery") == {"a/tiny.webp", "a/manifest.json", "a/result.json"}
    (entry,) = json.loads(services.store.get("delivery", "a/manifest.json")[0])["pictures"]
    assert entry["renditions"][0]["path"] == "tiny.webp"
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_picture_over_the_byte_limit_is_not_even_fetched(
    tmp_path: Path, recipe: str, library: Path
) -> None:
    """The limit is checked against the listing."""
    services = MemoryServices()
    services.memory.upload("intake", "p/huge.jpg", b"x" * 5000)
    services.memory.upload("intake", "p/folder/", b"")
    ended = on_one_core(
        *("batch-process", "--input", "s3://intake/p/", "--output", str(tmp_path / "out")),
        *("--param", recipe, "--param", "max_bytes=4999"),
        services=services,
    )

    entries = manifest(tmp_path / "out" / "manifest.json")
    assert ended.code == 0
    assert entries["huge.jpg"]["reason"]["code"] == "too_many_bytes"
    assert entries["huge.jpg"]["sha256"] is None


def test_a_stopped_library_goes_on(
    library: Path, tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files stored before the stop are not processed again, and the manifest is complete."""
    line = ["batch-process", "--input", str(library), "--output", str(tmp_path / "out")]
    line += ["--param", recipe, "--threads", "1"]
    stop = Stop()
    given: list[int] = []
    run = Pool.run

    def counted(self: Pool, jobs: Any, *, stop: Any) -> Any:
        given.append(len(jobs))
        for outcome in run(self, jobs, stop=stop):
            yield outcome
            flag.request("reclaimed")

    flag = stop
    monkeypatch.setattr(Pool, "run", counted)
    first = attempt(*line, stop=stop)
    flag = Stop()
    second = attempt(*line)

    assert (first.code, second.code) == (75, 0)
    assert given == [4, 3]
    assert len(manifest(tmp_path / "out" / "manifest.json")) == 4
    result = json.loads((tmp_path / "out" / "result.json").read_bytes())
    assert [output["name"] for output in result["outputs"]] == [
        *("a.jpg/tiny.webp", "a.png/tiny.webp", "manifest.json", "sub/a.jpg/tiny.webp")
    ]


def test_an_empty_library_is_done(tmp_path: Path, recipe: str) -> None:
    """An empty input succeeds with an empty result."""
    (tmp_path / "empty").mkdir()
    ended = on_one_core(
        *("batch-process", "--input", str(tmp_path / "empty"), "--output", str(tmp_path / "out")),
        *("--param", recipe),
    )

    assert ended.code == 0
    assert manifest(tmp_path / "out" / "manifest.json") == {}


def test_a_wrong_recipe_is_wrong_use(library: Path, tmp_path: Path) -> None:
    """A recipe that does not exist is nothing to try again."""
    ended = on_one_core(
        *("batch-process", "--input", str(library), "--output", str(tmp_path / "out")),
        *("--param", "recipe=nonesuch"),
    )

    assert ended.code == 2
    assert ended.events("failed")[0]["code"] == "recipe_invalid"
