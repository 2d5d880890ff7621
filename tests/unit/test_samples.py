"""The sample inputs: each file is what is said of it, and is made alike each time."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, ImageOps

from worker.domain.errors import InputError
from worker.samples import camera, write
from worker.samples.catalogue import SAMPLES, describe

SMALL = 0.06


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All samples, small."""
    path = tmp_path_factory.mktemp("samples")
    write(path, scale=SMALL)
    return path


def opened(path: Path) -> Image.Image:
    """A picture with all its pixels read."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.load()
    return image


def profile_name(path: Path) -> str:
    """The description of the embedded colour profile."""
    data = opened(path).info["icc_profile"]
    return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data)))


def test_two_runs_write_the_same_files(folder: Path, tmp_path: Path) -> None:
    """Each file is there with the same bytes, good ones first; of older and half done ones no
    trace is left. Each has a line of description."""
    again = tmp_path / "new" / "folder"
    again.mkdir(parents=True)
    (again / "compass.svg").write_text("old")
    paths = write(again, scale=SMALL)
    names = [path.relative_to(again).as_posix() for path in paths]
    assert names == [sample.name for sample in SAMPLES]
    assert {path for path in again.rglob("*") if path.is_file()} == set(paths)
    broken = [path.parent.name == "broken" for path in paths]
    assert broken == sorted(broken)
    for path, name in zip(paths, names, strict=True):
        assert path.read_bytes() == (folder / name).read_bytes(), name
        assert name in describe()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be is the caller's mistake, said in one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        write(tmp_path / "file", scale=SMALL)
    assert caught.value.code == "output_unwritable"


@pytest.mark.parametrize(
    ("name", "kind", "mode"),
    [
        ("mountains-in-morning-fog.jpg", "JPEG", "RGB"),
        ("harbour-at-dusk.jpg", "JPEG", "RGB"),
        ("mountains-for-print.jpg", "JPEG", "CMYK"),
        ("dune-sketch.webp", "WEBP", "RGB"),
        ("garden-sketch.avif", "AVIF", "RGB"),
        ("visitors-dashboard.png", "PNG", "RGB"),
        ("lighthouse-logo.png", "PNG", "RGBA"),
        ("harbour-poster.png", "PNG", "P"),
        ("balls.bmp", "BMP", "RGB"),
        ("bouncing-balls.gif", "GIF", "P"),
        ("nightfall.webp", "WEBP", "RGB"),
        ("really-a-png.jpg", "PNG", "RGBA"),
    ],
)
def test_formats(folder: Path, name: str, kind: str, mode: str) -> None:
    """Each file is of its format and kind of pixels."""
    image = opened(folder / name)
    assert (image.format, image.mode) == (kind, mode)


def test_sixteen_bits(folder: Path) -> None:
    """The deep pictures use more than 8 bits of their 16; the TIFF has two pages."""
    for name in ("moonrise.png", "lake-and-lights.tif"):
        image = pyvips.Image.new_from_buffer((folder / name).read_bytes(), "")
        assert image.format == "ushort"
        assert len(np.unique(image.numpy() % 256)) > 200
    assert image.get("n-pages") == 2


def test_animations(folder: Path) -> None:
    """Frames last differently long, and the loop counts are as described."""
    for name, frames, loop in (("bouncing-balls.gif", 24, 0), ("nightfall.webp", 20, 3)):
        image = pyvips.Image.new_from_buffer((folder / name).read_bytes(), "", n=-1)
        delays = image.get("delay")
        assert isinstance(delays, list)
        assert (image.get("n-pages"), len(delays), image.get("loop")) == (frames, frames, loop)
        assert len(set(delays)) > 1


def test_colour_profiles(folder: Path) -> None:
    """One picture is in Display P3, the ordinary ones in sRGB, the one for print has its own."""
    assert "P3" in profile_name(folder / "lights-in-a-garden.jpg")
    assert "sRGB" in profile_name(folder / "moon-over-a-lake.jpg")
    assert opened(folder / "mountains-for-print.jpg").info["icc_profile"]


def test_camera_tags(folder: Path) -> None:
    """A photograph says how, when and where it was taken."""
    exif = opened(folder / "mountains-in-morning-fog.jpg").getexif()
    details, gps = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert (exif[0x010F], exif[0x0110]) == ("Lumina", "Lumina M5")
    assert details[0x9003] == "2025:09:21 06:48:12"
    assert details[0x829A] == pytest.approx(1 / 250)
    assert details[0xA434] == "Lumina 24-70mm F2.8"
    degrees, minutes, seconds = (float(part) for part in gps[2])
    assert degrees + minutes / 60 + seconds / 3600 == pytest.approx(46.5405, abs=1e-5)
    assert (gps[1], gps[3]) == ("N", "E")


def test_western_longitude() -> None:
    """A place west of Greenwich is written as degrees west."""
    dunes = next(sample for sample in SAMPLES if sample.name == "dunes-in-low-sun.jpg")
    gps = Image.open(io.BytesIO(dunes.make(SMALL))).getexif().get_ifd(0x8825)
    assert (gps[3], tuple(float(part) for part in gps[4])) == ("W", (3, 58, 44.4))


def test_keywords_in_both_places(folder: Path) -> None:
    """Keywords, beyond ASCII too, are in IPTC and in XMP."""
    data = (folder / "harbour-at-dusk.jpg").read_bytes()
    fields = pyvips.Image.new_from_buffer(data, "").get_fields()
    assert {"exif-data", "iptc-data", "xmp-data", "icc-profile-data"} <= set(fields)
    word = "Fjørd".encode()
    assert b"\x1c\x02\x19\x00\x06" + word in data
    assert b"<rdf:li>" + word + b"</rdf:li>" in data
    assert Image.open(io.BytesIO(data)).info.get("progressive") == 1


def test_orientations_in_the_set(folder: Path) -> None:
    """Turned both ways, upside down and mirrored pictures are among the samples."""
    found = {opened(path).getexif().get(0x0112, 1) for path in folder.glob("*.jpg")}
    assert {1, 3, 5, 6, 8} <= found


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    """Stored pixels, read by a reader that turns them, are upright again."""
    upright = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    image = camera.stored(Image.fromarray(upright), orientation)
    image.getexif()[0x0112] = orientation
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(image)), upright)


def test_broken_ones_are_broken(folder: Path) -> None:
    """Each broken file is broken in the way it says."""
    broken = folder / "broken"
    with pytest.raises(OSError, match="truncated"):
        opened(broken / "cut-off.jpg")
    assert (broken / "empty.jpg").stat().st_size == 0
    assert (broken / "letter.jpg").read_text().startswith("Dear reader")
    header = (broken / "pixel-bomb.png").read_bytes()
    assert len(header) < 2_000
    assert header[16:24] == b"\x00\x00\xff\xff" * 2
    assert "file:///" in (broken / "calls-home.svg").read_text()
    assert 'href="#' in (folder / "compass.svg").read_text()
