"""What comes out: pixels, formats, animation, transparency, bytes."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pyvips.enums import ForeignKeep

from tests.unit.pictures import (
    QUADRANTS,
    encoded,
    everything,
    one,
    oriented,
    photo,
    pixels_of,
    quadrants,
    vips_of,
)
from worker.domain.image import (
    Encoding,
    Fit,
    Format,
    Gravity,
    KeepTag,
    Recipe,
    RenditionSpec,
    Watermark,
)
from worker.imaging.encode import attach
from worker.imaging.engine import process
from worker.imaging.plan import make_plan
from worker.imaging.probe import probe
from worker.imaging.render import render
from worker.imaging.ssim import ssim

JPEG = Encoding(format=Format.JPEG)
WEBP = Encoding(format=Format.WEBP)
PNG = Encoding(format=Format.PNG, effort=6)
AVIF = Encoding(format=Format.AVIF, quality=65, effort=0)
GIF = Encoding(format=Format.GIF)
RECIPE = Recipe(name="test", version=1, renditions=())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    """All eight EXIF orientations give the same upright thumbnail, in every container."""
    made = one(oriented(quadrants(), orientation, kind), PNG)
    assert (made.width, made.height) == (64, 40)
    pixels = pixels_of(made).astype(int)
    corners = (pixels[8, 8], pixels[8, 55], pixels[31, 8], pixels[31, 55])
    for corner, colour in zip(corners, QUADRANTS, strict=True):
        assert np.abs(corner[:3] - colour).max() <= 12


def test_orientations_agree_to_the_last_level_but_one() -> None:
    """Rotating before or after resizing differs by rounding only: at most one level."""
    upright = pixels_of(one(oriented(photo(), 1), PNG)).astype(int)
    for orientation in range(2, 9):
        rotated = pixels_of(one(oriented(photo(), orientation), PNG)).astype(int)
        assert np.abs(upright - rotated).max() <= 2


@pytest.mark.parametrize("encoding", [JPEG, WEBP, PNG, AVIF, GIF], ids=lambda e: e.format.value)
def test_every_output_format_shows_the_picture(encoding: Encoding) -> None:
    """Each format is really that format, at the planned size, and looks like the original."""
    made = one(encoded(photo()), encoding, width=300, height=300)
    with Image.open(io.BytesIO(made.data)) as image:
        assert image.format == encoding.format.value.upper()
        assert image.size == (made.width, made.height) == (300, 200)
        shown = np.asarray(image.convert("RGB")).astype(int)
    wanted = np.asarray(Image.fromarray(photo()).resize((300, 200))).astype(int)
    # GIF has 256 colours and dithers the rest.
    assert np.abs(shown - wanted).mean() < (10 if encoding is GIF else 6)


def test_renditions_are_the_same_bytes_every_time() -> None:
    """Same input, recipe and libraries: same bytes, for every format."""
    data = encoded(photo(), "JPEG", quality=90)
    first = everything(data, JPEG, WEBP, PNG, AVIF, width=300)
    second = everything(data, JPEG, WEBP, PNG, AVIF, width=300)
    assert first == second


def test_jpeg_is_progressive_when_asked() -> None:
    """A progressive file has an SOF2 marker, a baseline one SOF0."""
    progressive = one(encoded(photo()), JPEG).data
    baseline = one(encoded(photo()), replace(JPEG, progressive=False)).data
    assert b"\xff\xc2" in progressive
    assert b"\xff\xc2" not in baseline
    assert b"\xff\xc0" in baseline


def transparent_disc(size: int = 200) -> Image.Image:
    """A red disc on invisible green: green must never be seen."""
    rows, columns = np.mgrid[:size, :size]
    inside = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 3) ** 2
    pixels = np.zeros((size, size, 4), dtype=np.uint8)
    pixels[...] = (0, 255, 0, 0)
    pixels[inside] = (220, 20, 20, 255)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    """The picture as PNG."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_invisible_colour_does_not_bleed() -> None:
    """Edges mix with transparency, not with the colour of invisible pixels."""
    shown = pixels_of(one(png(transparent_disc()), PNG)).astype(int)
    visible = shown[shown[..., 3] > 8]
    assert visible[:, 1].max() <= 40
    assert shown[0, 0, 3] == 0


def test_transparency_is_laid_on_the_background() -> None:
    """Formats without alpha show the recipe's background, WebP keeps the alpha."""
    jpeg = pixels_of(one(png(transparent_disc()), JPEG, background="#3060c0")).astype(int)
    assert np.abs(jpeg[1, 1] - (0x30, 0x60, 0xC0)).max() <= 6
    webp = pixels_of(one(png(transparent_disc()), WEBP))
    assert webp.shape[2] == 4
    assert webp[1, 1, 3] == 0


def test_an_alpha_channel_that_says_nothing_is_dropped() -> None:
    """A screenshot with opaque alpha is written without."""
    pixels = np.dstack([photo(80, 60), np.full((60, 80), 255, np.uint8)])
    assert pixels_of(one(encoded(pixels), PNG)).shape[2] == 3


def animation(delays: tuple[int, ...] = (40, 200, 90), loop: int = 3) -> bytes:
    """A GIF of flat frames: red, green, blue."""
    colours = ((220, 0, 0), (0, 200, 0), (0, 0, 220))
    frames = [Image.new("RGB", (120, 80), colour) for colour in colours[: len(delays)]]
    out = io.BytesIO()
    frames[0].save(
        out, "GIF", save_all=True, append_images=frames[1:], duration=list(delays), loop=loop
    )
    return out.getvalue()


@pytest.mark.parametrize("encoding", [WEBP, GIF], ids=lambda e: e.format.value)
def test_animations_stay_animated(encoding: Encoding) -> None:
    """Frames, their order, delays and the loop count survive resizing."""
    made = one(animation(), encoding, width=60)
    assert made.frames == 3
    with Image.open(io.BytesIO(made.data)) as image:
        assert getattr(image, "n_frames", 1) == 3
        durations = []
        for index, channel in enumerate((0, 1, 2)):
            image.seek(index)
            image.load()
            durations.append(image.info["duration"])
            colour = np.asarray(image.convert("RGB"))[20, 30]
            assert colour.argmax() == channel
        assert durations == [40, 200, 90]
        # GIF's loop counts repeats after the first run; WebP's counts runs.
        assert image.info["loop"] in {3, 4}


def test_a_poster_stands_beside_the_animation() -> None:
    """JPEG shows the first frame and never drops the animation for being smaller."""
    made = everything(animation(), JPEG, WEBP, width=60)
    assert [(r.format, r.frames) for r in made.renditions] == [(Format.JPEG, 1), (Format.WEBP, 3)]
    assert pixels_of(made.renditions[0])[20, 30].argmax() == 0
    assert made.dropped == ()


def test_a_still_of_the_same_look_does_not_stop_the_animation() -> None:
    """A small original is of one size in all renditions: one may be a still, and the next moves."""
    recipe = Recipe(
        name="test",
        version=1,
        renditions=(
            RenditionSpec(name="poster", width=600, encodings=(JPEG,)),
            RenditionSpec(name="moving", width=500, encodings=(WEBP,)),
        ),
    )
    made = process(animation(), recipe)
    assert [(r.name, r.frames) for r in made.renditions] == [("poster", 1), ("moving", 3)]


def test_the_frame_limit_cuts_an_animation_short() -> None:
    """``frames`` keeps the first frames with their delays."""
    made = one(animation(), WEBP, frames=2)
    with Image.open(io.BytesIO(made.data)) as image:
        assert getattr(image, "n_frames", 1) == made.frames == 2


def test_a_format_that_does_not_save_is_dropped_and_said_so() -> None:
    """Lossless WebP of grainy pixels is larger than JPEG: it is not kept, but recorded."""
    data = encoded(photo())
    lossless = replace(WEBP, lossless=True)
    made = everything(data, JPEG, lossless, width=300)
    assert [r.format for r in made.renditions] == [Format.JPEG]
    assert made.dropped[0].format is Format.WEBP
    assert made.dropped[0].bytes > made.dropped[0].kept_bytes == len(made.renditions[0].data)
    kept = everything(data, JPEG, lossless, width=300, minimum_saving=-1.0)
    assert len(kept.renditions) == 2


def test_a_flat_picture_never_drops_a_transparent_one() -> None:
    """JPEG may be smaller, but it cannot show what lies behind: WebP is kept."""
    pixels = np.dstack([photo(64, 48), np.tile(np.linspace(0, 255, 64), (48, 1)).astype(np.uint8)])
    made = everything(encoded(pixels), replace(JPEG, quality=5), replace(WEBP, lossless=True))
    assert [r.format for r in made.renditions] == [Format.JPEG, Format.WEBP]
    assert len(made.renditions[1].data) > len(made.renditions[0].data)


def test_contain_fills_its_box_with_background() -> None:
    """The picture lies in the middle of exactly the box."""
    pixels = pixels_of(
        one(encoded(quadrants(200, 100)), PNG, fit=Fit.CONTAIN, background="#102030")
    )
    assert pixels.shape[:2] == (64, 64)
    assert tuple(pixels[2, 30]) == (0x10, 0x20, 0x30)
    assert np.abs(pixels[20, 5].astype(int) - QUADRANTS[0]).max() <= 4


def test_attention_finds_what_stands_out() -> None:
    """The crop moves to the one detailed, colourful place, wherever it is."""
    pixels = np.full((200, 600, 3), 128, np.uint8)
    pixels[60:140, 480:560] = photo(80, 80, seed=3) // 2 + np.array([120, 0, 0], np.uint8)
    made = pixels_of(one(encoded(pixels), PNG, fit=Fit.COVER, gravity=Gravity.ATTENTION))
    assert (made[..., 0].astype(int) - made[..., 1] > 40).mean() > 0.05
    centre = pixels_of(one(encoded(pixels), PNG, fit=Fit.COVER))
    assert (centre[..., 0].astype(int) - centre[..., 1] > 40).mean() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_sharpening_makes_edges_steeper(kind: str) -> None:
    """The unsharp mask raises contrast across an edge and leaves flat areas alone."""
    data = encoded(
        np.asarray(Image.fromarray(quadrants()).resize((300, 200), Image.Resampling.BOX)), kind
    )
    plain = pixels_of(one(data, PNG)).astype(int)
    sharp = pixels_of(one(data, PNG, sharpen=2.0)).astype(int)
    assert np.abs(np.diff(sharp, axis=1)).max() > np.abs(np.diff(plain, axis=1)).max()
    assert np.abs(sharp[10, 10] - plain[10, 10]).max() <= 1


def test_grey_stays_grey_and_small() -> None:
    """A grey JPEG becomes a one-channel JPEG and a grey WebP."""
    data = encoded(photo()[..., 0], "JPEG")
    made = everything(data, JPEG, WEBP, width=200, minimum_saving=-1.0)
    with Image.open(io.BytesIO(made.renditions[0].data)) as image:
        assert image.mode == "L"
    shown = pixels_of(made.renditions[1]).astype(int)
    assert np.abs(shown[..., 0] - shown[..., 2]).max() <= 3


def test_sixteen_bits_are_rounded_not_wrapped() -> None:
    """A 16-bit gradient stays a gradient from black to white."""
    gradient = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    out = io.BytesIO()
    Image.fromarray(gradient).save(out, "PNG")
    shown = pixels_of(one(out.getvalue(), PNG, width=256, height=64)).astype(int)[32, :, 0]
    assert (np.diff(shown) >= 0).all()
    assert shown[0] <= 1
    assert shown[-1] >= 254


def test_renditions_carry_only_the_metadata_that_may_stay() -> None:
    """Copyright stays, GPS only where a recipe keeps it, and no orientation to apply twice."""
    exif = Image.Exif()
    exif[0x8298] = "(c) Somebody"
    exif[0x0110] = "Camera 1"
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    data = encoded(photo(), "JPEG", exif=exif.tobytes())
    made = everything(data, JPEG, WEBP, AVIF, PNG, width=200, minimum_saving=-1.0)
    assert made.metadata.tags.gps is not None
    for rendition in made.renditions:
        with Image.open(io.BytesIO(rendition.data)) as image:
            written = image.getexif()
        assert written.get(0x8298) == "(c) Somebody", rendition.format
        assert 0x0110 not in written
        assert written.get(0x0112, 1) == 1
        assert not written.get_ifd(0x8825)
        assert b"Camera 1" not in rendition.data
    kept = one(data, JPEG, recipe=replace(RECIPE, keep=frozenset({KeepTag.GPS})))
    with Image.open(io.BytesIO(kept.data)) as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"


def test_linear_light_keeps_bright_detail_bright() -> None:
    """Black and white stripes average to the grey that looks the same from afar (188, not 128)."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    plain = pixels_of(one(encoded(stripes), PNG))[32, 32, 0]
    linear = pixels_of(one(encoded(stripes), PNG, recipe=replace(RECIPE, linear=True)))[32, 32, 0]
    assert abs(int(plain) - 128) <= 2
    assert abs(int(linear) - 188) <= 2


_LARGE = """
from tests.unit.peak import peak
import pyvips
from worker.imaging import engine
from worker import recipes
data = pyvips.Image.black(10_000, 10_000, bands=3).pngsave_buffer(compression=1)
made = engine.process(data, recipes.load("default"))
print(len(made.renditions), peak())
"""


def test_a_hundred_megapixels_stay_under_a_gibibyte() -> None:
    """A PNG at the pixel limit is streamed: the whole process stays far below 1 GiB."""
    # In a child: the peak is that of a whole process.
    done = subprocess.run(
        [sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True
    )
    renditions, kibibytes = done.stdout.split()
    assert int(renditions) >= 3
    assert int(kibibytes) < 600 * 1024


def test_scales_shared_between_steps_do_not_leak_into_each_other() -> None:
    """A sharpened, marked rendition leaves its neighbour of the same size untouched."""
    plain = RenditionSpec(name="plain", width=200, height=200, encodings=(PNG,))
    marked = replace(plain, name="marked", sharpen=3.0, watermark=Watermark(text="proof"))
    together = process(encoded(photo()), replace(RECIPE, renditions=(marked, plain)))
    alone = process(encoded(photo()), replace(RECIPE, renditions=(plain,)))
    assert together.renditions[1].data == alone.renditions[0].data
    first, second = (vips_of(pixels_of(made)) for made in together.renditions)
    assert ssim(first, second) < 0.999


def test_sizes_that_are_the_same_picture_are_encoded_once() -> None:
    """Of a small original medium and large are one file under two names, and say so; a size that
    differs, or is watermarked, is a file of its own."""
    formats = (JPEG, WEBP)
    medium = RenditionSpec(name="medium", width=1024, encodings=formats, minimum_saving=-1.0)
    sizes = (
        replace(medium, name="thumbnail", width=64),
        medium,
        replace(medium, name="large", width=2048, encodings=(*formats, PNG)),
        replace(medium, name="marked", width=2048, watermark=Watermark(text="no")),
    )
    made = process(encoded(photo(300, 200)), replace(RECIPE, renditions=sizes)).renditions
    found = {(one.name, one.format): one for one in made}
    for kind in (Format.JPEG, Format.WEBP):
        first, duplicate = found["medium", kind], found["large", kind]
        assert duplicate.data is first.data
        assert duplicate.same_as == "medium"
        assert replace(duplicate, name="medium", same_as=None) == first
    others = [one for one in made if one.name != "large"] + [found["large", Format.PNG]]
    assert {one.same_as for one in others} == {None}
    assert len({one.sha256 for one in others}) == len(others)


def test_what_is_the_same_as_a_dropped_file_stands_for_itself() -> None:
    """A size may keep a format that an equal size before it has dropped."""
    lossless = replace(WEBP, lossless=True)
    first = RenditionSpec(name="first", width=900, encodings=(JPEG, lossless))
    second = replace(first, name="second", minimum_saving=-1.0)
    made = process(encoded(photo(300, 200)), replace(RECIPE, renditions=(first, second)))
    kept = [(one.name, one.format, one.same_as) for one in made.renditions]
    assert kept == [
        ("first", Format.JPEG, None),
        ("second", Format.JPEG, "first"),
        ("second", Format.WEBP, None),
    ]
    assert [(one.name, one.format) for one in made.dropped] == [("first", Format.WEBP)]


def test_avif_is_rotated_by_its_container_alone() -> None:
    """An AVIF is rotated by its irot, once; what its EXIF says of orientation changes nothing."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = vips_of(quadrants(160, 100)).copy()
    attach(stored, "exif-data", exif.tobytes())
    # libheif writes an irot of a quarter turn for an orientation of 6.
    rotated = stored.heifsave_buffer(compression="av1", keep=ForeignKeep.EXIF, lossless=True)
    at = rotated.index(b"irot") + 4
    upright_file = rotated[:at] + b"\0" + rotated[at + 1 :]
    upright = pixels_of(one(rotated, PNG))
    assert upright.shape[:2] == (64, 40)
    corners = (upright[8, 8], upright[8, 31], upright[55, 8], upright[55, 31])
    wanted = (QUADRANTS[2], QUADRANTS[0], QUADRANTS[3], QUADRANTS[1])
    assert np.abs(np.array(corners, int)[:, :3] - wanted).max() <= 12
    assert pixels_of(one(upright_file, PNG)).shape[:2] == (40, 64)


# --- some renditions of a plan ------------------------------------------------------------------

SIZES = replace(
    RECIPE,
    renditions=(
        RenditionSpec(
            name="thumbnail", width=64, height=64, fit=Fit.COVER, encodings=(JPEG, WEBP, PNG)
        ),
        RenditionSpec(name="medium", width=200, encodings=(JPEG, WEBP)),
        RenditionSpec(name="large", width=400, encodings=(JPEG, WEBP, PNG)),
    ),
)


@pytest.mark.parametrize(
    "data",
    [
        encoded(photo(), "JPEG", quality=90),
        oriented(photo(), 6, "JPEG"),
        png(transparent_disc(500)),
        animation(),
    ],
    ids=["photo", "portrait", "transparent", "animation"],
)
def test_one_rendition_is_the_one_of_the_whole_plan(data: bytes) -> None:
    """Made alone from the original, a file has the bytes that it has among all others."""
    found = probe(data, SIZES.limits, formats=SIZES.formats)
    for made in process(data, SIZES).renditions:
        name = f"{made.name}.{made.format.extension}"
        (alone,) = render(data, found, make_plan(found, SIZES, only=[name])).renditions
        assert alone == replace(made, same_as=None)


@pytest.mark.parametrize("source", ["large.jpg", "large.webp", "large.png"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_rendition_of_a_stored_one_shows_the_same(source: str, orientation: int) -> None:
    """From a larger file of any format a rendition looks as from the original, in its size."""
    recipe = replace(
        SIZES,
        renditions=tuple(replace(spec, minimum_saving=-1) for spec in SIZES.renditions),
    )
    data = oriented(photo(), orientation, "JPEG")
    found = probe(data, recipe.limits, formats=recipe.formats)
    files = {f"{one.name}.{one.format.extension}": one for one in process(data, recipe).renditions}
    stored = files[source]

    plan = make_plan(found, recipe, only=["thumbnail", "medium.webp"], source=stored)
    again = render(stored.data, probe(stored.data, recipe.limits, formats=recipe.formats), plan)

    assert [f"{one.name}.{one.format.extension}" for one in again.renditions] == [
        "thumbnail.jpg",
        "thumbnail.webp",
        "thumbnail.png",
        "medium.webp",
    ]
    for made in again.renditions:
        first = pixels_of(files[f"{made.name}.{made.format.extension}"])
        assert pixels_of(made).shape == first.shape
        assert ssim(vips_of(pixels_of(made)), vips_of(first)) > 0.97
