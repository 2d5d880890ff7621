"""Tiles: the picture put together again, every layout, and what must not get in or out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pyvips
from PIL import Image

from batch.operations.images import run_deepzoom
from tests.unit.pictures import encoded, oriented, photo, quadrants
from tests.unit.video.jobs import work
from worker.domain.errors import DamagedInput, LimitExceeded, ParameterError, Reason, StorageFull
from worker.imaging.colour import p3_profile
from worker.imaging.encode import attach
from worker.imaging.memory_map import mapped
from worker.imaging.operations import deepzoom
from worker.imaging.operations.deepzoom import TileOptions, Tiles, cut

ADDRESS = "https://tiles.example.org/a"


def tiles(data: bytes, folder: Path, **options: object) -> Tiles:
    """Cut a file of these bytes."""
    path = folder / "input"
    path.write_bytes(data)
    settings = TileOptions(**options)  # type: ignore[arg-type]
    return cut(path, folder / "out", settings, max_pixels=100_000_000)


def opened(path: Path) -> Image.Image:
    """One tile, its file closed."""
    with Image.open(path) as image:
        image.load()
        return image


def together(
    folder: Path, *, size: int, overlap: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Put the tiles of one level of Deep Zoom next to each other again."""
    places = {}
    for path in folder.iterdir():
        column, row = map(int, path.stem.split("_"))
        places[column, row] = np.asarray(opened(path).convert("RGB"))
    columns, rows = (1 + max(place[axis] for place in places) for axis in (0, 1))
    lines = []
    for row in range(rows):
        parts = []
        for column in range(columns):
            left, top = overlap * (column > 0), overlap * (row > 0)
            parts.append(places[column, row][top : top + size, left : left + size])
        lines.append(np.concatenate(parts, axis=1))
    return np.concatenate(lines, axis=0)


def test_deep_zoom_tiles_are_the_picture(tmp_path: Path) -> None:
    """The tiles of the lowest level without their overlap are the original, pixel for pixel."""
    pixels = photo(700, 450)
    made = tiles(encoded(pixels), tmp_path, format="png", size=128, overlap=2)
    level = made.folder / "image_files" / str(made.levels - 1)
    assert np.array_equal(together(level, size=128, overlap=2), pixels)
    top = opened(made.folder / "image_files" / "0" / "0_0.png")
    assert top.size == (1, 1)
    assert made.levels == 11
    said = (made.folder / "image.dzi").read_text()
    assert re.search(r'Overlap="2"\s+TileSize="128"', said)
    assert re.search(r'Height="450"\s+Width="700"', said)


def test_descriptor_and_counts(tmp_path: Path) -> None:
    """The descriptor and the counts match the files of the tree exactly."""
    made = tiles(encoded(photo(300, 200)), tmp_path)
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert made.files == len(files)
    assert made.bytes == sum(path.stat().st_size for path in files)
    assert made.descriptor == made.folder / "image.dzi"
    assert {path.suffix for path in files} == {".dzi", ".jpg"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "out"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(orientation: int, tmp_path: Path) -> None:
    """Lying and mirrored pictures come out as people see them, and no helper file stays."""
    pixels = quadrants(120, 80)
    made = tiles(oriented(pixels, orientation), tmp_path, format="png")
    level = made.folder / "image_files" / str(made.levels - 1)
    assert (made.width, made.height) == (120, 80)
    assert np.array_equal(together(level, size=254, overlap=1), pixels)
    assert not list(tmp_path.glob("out.*"))


@pytest.mark.parametrize(("layout", "form"), [("iiif3", "{},{}"), ("iiif", "{},")])
def test_iiif_service_can_be_followed(layout: str, form: str, tmp_path: Path) -> None:
    """Every tile and size that info.json announces is there, with the size it says."""
    made = tiles(encoded(photo(700, 450)), tmp_path, layout=layout, size=256, id=ADDRESS + "/")
    assert made.descriptor is not None
    info = json.loads(made.descriptor.read_text())
    assert info.get("id", info.get("@id")) == ADDRESS
    (announced,) = info["tiles"]
    side = announced["width"]
    count = 0
    for factor in announced["scaleFactors"]:
        span = side * factor
        if span >= max(made.width, made.height):
            continue
        for left in range(0, made.width, span):
            for top in range(0, made.height, span):
                width, height = min(span, made.width - left), min(span, made.height - top)
                across, down = -(-width // factor), -(-height // factor)
                region = f"{left},{top},{width},{height}"
                tile = made.folder / region / form.format(across, down) / "0" / "default.jpg"
                assert opened(tile).size == (across, down)
                count += 1
    assert count == 6 + 2
    assert info["sizes"] == [{"width": 175, "height": 113}]
    for size in info["sizes"]:
        name = form.format(size["width"], size["height"])
        whole = opened(made.folder / "full" / name / "0" / "default.jpg")
        assert whole.size == (size["width"], size["height"])


@pytest.mark.parametrize("layout", ["iiif", "iiif3"])
def test_iiif_takes_any_address(layout: str, tmp_path: Path) -> None:
    """Quotes in the address are escaped in the JSON file."""
    address = 'https://a.example/"\\},{\u00fc'
    made = tiles(encoded(photo(90, 60)), tmp_path, layout=layout, id=address)
    info = json.loads((made.folder / "info.json").read_text())
    assert info["id" if layout == "iiif3" else "@id"] == address


def test_iiif_says_when_tiles_are_not_jpeg(tmp_path: Path) -> None:
    """Viewers ask for what the service prefers."""
    made = tiles(encoded(photo(90, 60)), tmp_path, layout="iiif3", format="webp", id=ADDRESS)
    info = json.loads((made.folder / "info.json").read_text())
    assert info["preferredFormats"] == info["extraFormats"] == ["webp"]


def test_google_leaves_no_tile_out(tmp_path: Path) -> None:
    """Blank parts have tiles as well: a bucket cannot answer with a substitute."""
    blank = np.full((500, 700, 3), 255, np.uint8)
    made = tiles(encoded(blank), tmp_path, layout="google")
    lowest = max(made.folder.glob("[0-9]*"), key=lambda path: int(path.name))
    assert sum(1 for _ in lowest.rglob("*.jpg")) >= 6
    assert made.descriptor is None


def test_zoomify_counts_its_tiles(tmp_path: Path) -> None:
    """NUMTILES is how many there are."""
    made = tiles(encoded(photo(700, 450)), tmp_path, layout="zoomify")
    assert made.descriptor is not None
    counted = re.search(r'NUMTILES="(\d+)"', made.descriptor.read_text())
    assert counted is not None
    assert int(counted[1]) == sum(1 for _ in made.folder.rglob("*.jpg"))


@pytest.mark.parametrize("layout", ["dz", "iiif3", "zoomify", "google"])
def test_one_pixel(layout: str, tmp_path: Path) -> None:
    """The smallest picture has a tile in every layout."""
    made = tiles(encoded(quadrants(2, 2)[:1, :1]), tmp_path, layout=layout, id=ADDRESS)
    assert any(made.folder.rglob("*.jpg"))


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    """JPEG has no alpha: what is invisible becomes white, not black."""
    clear = np.zeros((40, 40, 4), np.uint8)
    made = tiles(encoded(clear), tmp_path)
    tile = opened(made.folder / "image_files" / str(made.levels - 1) / "0_0.jpg")
    assert tile.getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.parametrize("profile", ["p3", "broken"])
def test_sixteen_bits_and_profiles_become_srgb(profile: str, tmp_path: Path) -> None:
    """Deep colours are followed through their profile, or read plainly where that is damaged."""
    image = pyvips.Image.black(64, 48).linear([0, 0, 0], [40000, 20000, 10000]).cast("ushort")
    image = image.copy(interpretation="rgb16")
    attach(image, "icc-profile-data", b"junk" * 40 if profile == "broken" else p3_profile())
    made = tiles(image.tiffsave_buffer(), tmp_path, format="png")
    tile = opened(made.folder / "image_files" / str(made.levels - 1) / "0_0.png")
    red, green, blue = tile.getpixel((30, 30))  # type: ignore[misc]
    assert tile.mode == "RGB"
    if profile == "broken":
        assert (red, green, blue) == (156, 78, 39)
    else:
        assert red > 160
        assert green < 78


@pytest.mark.parametrize("layout", ["dz", "iiif", "iiif3", "zoomify", "google"])
def test_nothing_of_the_original_is_passed_on(layout: str, tmp_path: Path) -> None:
    """Neither tiles nor files beside them repeat tags of the original, its place above all."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET-MAKER"
    data = encoded(photo(300, 200), "JPEG", exif=exif.tobytes())
    made = tiles(data, tmp_path, layout=layout, id=ADDRESS)
    for path in made.folder.rglob("*"):
        assert path.is_dir() or b"SECRET" not in path.read_bytes()
        assert path.name != "vips-properties.xml"


def test_stopping_ends_in_the_error_of_who_stops(tmp_path: Path) -> None:
    """A step that raises ends the work at once; its error arrives, not libvips'."""

    class Enough(Exception):
        """Raised by the step."""

    def step(share: float, what: str) -> None:
        assert 0 <= share <= 1
        raise Enough(what)

    path = tmp_path / "input.png"
    path.write_bytes(encoded(photo(900, 600)))
    with pytest.raises(Enough, match="cutting"):
        cut(path, tmp_path / "out", TileOptions(), max_pixels=10**6, step=step)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    """Shares go up and end at one, also by way of disk."""
    seen: list[float] = []
    path = tmp_path / "input.png"
    path.write_bytes(oriented(photo(900, 600), 6))
    cut(
        path,
        tmp_path / "out",
        TileOptions(),
        max_pixels=10**6,
        step=lambda share, _: seen.append(share),
    )
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_truncated_pictures_are_refused(kind: str, tmp_path: Path) -> None:
    """Half a picture is damaged input, found before or while tiles are cut."""
    data = encoded(photo(900, 600), kind)
    with pytest.raises(DamagedInput) as caught:
        tiles(data[: len(data) // 2], tmp_path)
    assert caught.value.reason in (Reason.TRUNCATED, Reason.CORRUPT)


def test_a_jpeg_that_lacks_its_end_marker_is_cut(tmp_path: Path) -> None:
    """It gives the tiles of the whole file; one byte of its scan less, and it is truncated."""
    data = encoded(photo(300, 200), "JPEG")
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = tiles(data, tmp_path / "whole", format="png")
    cut_off = tiles(data[:-2], tmp_path / "cut", format="png")
    last = f"image_files/{whole.levels - 1}/0_0.png"
    assert (cut_off.folder / last).read_bytes() == (whole.folder / last).read_bytes()
    (tmp_path / "more").mkdir()
    with pytest.raises(DamagedInput) as caught:
        tiles(data[:-3], tmp_path / "more")
    assert caught.value.reason is Reason.TRUNCATED


def test_empty_file(tmp_path: Path) -> None:
    """An empty file cannot be mapped and is rejected."""
    with pytest.raises(DamagedInput) as caught:
        tiles(b"", tmp_path)
    assert caught.value.reason is Reason.EMPTY


def test_pixels_are_limited_by_the_job(tmp_path: Path) -> None:
    """One pixel more than allowed is refused; as many as allowed are cut."""
    path = tmp_path / "input.png"
    path.write_bytes(encoded(quadrants(100, 50)))
    with pytest.raises(LimitExceeded) as caught:
        cut(path, tmp_path / "out", TileOptions(), max_pixels=4999)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS
    assert cut(path, tmp_path / "out", TileOptions(), max_pixels=5000).width == 100


def test_what_cannot_be_streamed_has_a_limit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A progressive JPEG is held whole by its decoder; a plain one of the same size is not."""
    monkeypatch.setattr(deepzoom, "WHOLE_PIXELS", 10_000)
    with pytest.raises(LimitExceeded, match="progressive"):
        tiles(encoded(photo(150, 100), "JPEG", progressive=True), tmp_path)
    assert tiles(encoded(photo(150, 100), "JPEG"), tmp_path).width == 150


def test_number_of_tiles_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny tiles of a huge picture would be more files than anybody wants."""
    monkeypatch.setattr(deepzoom, "MOST_TILES", 10)
    with pytest.raises(LimitExceeded) as caught:
        tiles(encoded(photo(900, 600)), tmp_path, size=64)
    assert caught.value.reason is Reason.TOO_LARGE_OUTPUT


def test_turning_needs_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little space for the way by disk is known before anything is written."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(StorageFull):
        tiles(oriented(quadrants(), 6), tmp_path)


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    """IIIF needs an address, Zoomify a power of two; both are said before the file is opened."""
    with pytest.raises(ParameterError, match="id"):
        tiles(b"", tmp_path, layout="iiif3")
    with pytest.raises(ParameterError, match="powers of two"):
        tiles(b"", tmp_path, layout="zoomify", size=100)


def test_a_mapped_file_counts_like_bytes(tmp_path: Path) -> None:
    """The methods that the probe uses give what bytes give."""
    path = tmp_path / "file"
    data = b"\xff\xda..\xff\xda.\xff\xd9"
    path.write_bytes(data)
    file = mapped(path)
    for start in range(len(data)):
        assert file.count(b"\xff\xda", start) == data.count(b"\xff\xda", start)
        assert file.startswith(b"\xff\xda", start) == data.startswith(b"\xff\xda", start)


def test_operation_stores_the_descriptor_last(tmp_path: Path) -> None:
    """A viewer that finds the descriptor finds all tiles; nothing stays in the scratch folder."""
    source = tmp_path / "picture.png"
    source.write_bytes(encoded(photo(300, 200)))
    job, outputs = work("deepzoom", source, tmp_path, layout="iiif3", id=ADDRESS)
    details = run_deepzoom(job)
    assert details["descriptor"] == list(outputs.types)[-1] == "info.json"
    assert details["files"] == len(outputs.types)
    assert details["tile_size"] == 512
    assert not list(job.scratch.rglob("*.jpg"))
