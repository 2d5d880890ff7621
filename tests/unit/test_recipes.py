"""Recipes that are right: what they become, and what ships."""

from __future__ import annotations

import dataclasses
import json
import pickle
import tomllib

import pytest

from worker import recipes
from worker.domain.image import (
    Encoding,
    Fit,
    Format,
    Gamut,
    Gravity,
    KeepTag,
    Limits,
    QualityTarget,
    Recipe,
    RenditionSpec,
    Watermark,
)

MINIMAL = """
name = "small"
version = 1
[[renditions]]
name = "page"
width = 800
formats = ["jpeg"]
"""

FULL = """
name = "full"
version = 7
description = "All of it"
accept = ["jpeg", "svg"]
gamut = "p3"
linear = true
keep = ["gps"]
approval = true
[limits]
bytes = 1
pixels = 2
dimension = 3
frames = 4
animation_pixels = 5
duration = 6
[[renditions]]
name = "a-1_x"
width = 10
height = 20
fit = "cover"
gravity = "focal"
focal_point = [0, 0.25]
enlarge = true
background = "#ABCDEF"
sharpen = 1
frames = 1
minimum_saving = -0.5
formats = [
  { format = "webp", target = { ssim = 0.9, minimum = 10, maximum = 20 }, effort = 6 },
  { format = "avif", lossless = true },
]
[renditions.watermark]
text = "© me"
position = "north"
opacity = 1
scale = 0.5
margin = 0
colour = "#000000"
"""


def encodings(formats: str, defaults: str = "") -> tuple[Encoding, ...]:
    """What a ``formats`` value becomes."""
    text = MINIMAL.replace('["jpeg"]', formats)
    return recipes.parse(f"{text}\n{defaults}").renditions[0].encodings


def test_minimal_recipe_takes_the_defaults_of_the_model() -> None:
    """Missing keys have the defaults of the dataclasses."""
    recipe = recipes.parse(MINIMAL)
    spec = RenditionSpec(
        name="page",
        width=800,
        encodings=(Encoding(format=Format.JPEG, quality=80, effort=0, progressive=True),),
    )
    expected = Recipe(name="small", version=1, renditions=(spec,), digest=recipe.digest)
    assert recipe == expected
    assert Format.SVG not in recipe.formats
    assert KeepTag.GPS not in recipe.keep


def test_every_key_reaches_its_field() -> None:
    """Each key of a file sets the field it is documented to set."""
    recipe = recipes.parse(FULL)
    spec = RenditionSpec(
        name="a-1_x",
        width=10,
        height=20,
        fit=Fit.COVER,
        gravity=Gravity.FOCAL,
        focal_point=(0.0, 0.25),
        enlarge=True,
        background="#abcdef",
        sharpen=1.0,
        frames=1,
        minimum_saving=-0.5,
        encodings=(
            Encoding(
                format=Format.WEBP,
                quality=85,
                effort=6,
                progressive=False,
                target=QualityTarget(ssim=0.9, minimum=10, maximum=20),
            ),
            Encoding(format=Format.AVIF, quality=66, effort=0, progressive=False, lossless=True),
        ),
        watermark=Watermark(
            text="© me",
            position=Gravity.NORTH,
            opacity=1.0,
            scale=0.5,
            margin=0.0,
            colour="#000000",
        ),
    )
    assert recipe == Recipe(
        name="full",
        version=7,
        description="All of it",
        formats=frozenset({Format.JPEG, Format.SVG}),
        gamut=Gamut.P3,
        linear=True,
        keep=frozenset({KeepTag.GPS}),
        workflow="approve",
        limits=Limits(bytes=1, pixels=2, dimension=3, frames=4, animation_pixels=5, duration=6.0),
        renditions=(spec,),
        digest=recipe.digest,
    )


@pytest.mark.parametrize(
    ("format_", "quality", "effort", "progressive"),
    [
        ("jpeg", 80, 0, True),
        ("webp", 85, 2, False),
        ("avif", 66, 0, False),
        ("jxl", 78, 3, True),
        ("png", 100, 6, False),
        ("gif", 100, 7, False),
    ],
)
def test_defaults_of_each_format(
    format_: str, quality: int, effort: int, progressive: bool
) -> None:
    """A format named without a table has its own quality and effort."""
    assert encodings(f'["{format_}"]') == (
        Encoding(format=Format(format_), quality=quality, effort=effort, progressive=progressive),
    )


def test_defaults_table_is_the_start_of_every_entry() -> None:
    """[defaults.webp] reaches entries of that format only, and an entry's own keys win."""
    webp, jpeg = encodings(
        '[{ format = "webp", effort = 0 }, "jpeg"]', "[defaults.webp]\nquality = 70\neffort = 4"
    )
    assert (webp.quality, webp.effort, jpeg.quality) == (70, 0, 80)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("quality = 60", (60, None, False)),
        ("target = { ssim = 0.9 }", (85, QualityTarget(ssim=0.9), False)),
        ("lossless = true", (85, None, True)),
        ("effort = 3", (85, QualityTarget(ssim=0.8), False)),
        ("lossless = false", (85, QualityTarget(ssim=0.8), False)),
    ],
)
def test_one_way_to_say_how_good(
    entry: str, expected: tuple[int, QualityTarget | None, bool]
) -> None:
    """Quality, target or lossless in an entry replaces whichever the defaults have."""
    (webp,) = encodings(
        f'[{{ format = "webp", {entry} }}]', "[defaults.webp]\ntarget = { ssim = 0.8 }"
    )
    assert (webp.quality, webp.target, webp.lossless) == expected
    (webp,) = encodings('[{ format = "webp", quality = 50 }]', "[defaults.webp]\nlossless = true")
    assert (webp.quality, webp.lossless) == (50, False)


def test_lossless_jpeg_xl_is_progressive_only_if_asked() -> None:
    """A coarse picture first costs lossless files 10 to 20 %, so they do without."""
    (plain,) = encodings('[{ format = "jxl", lossless = true }]')
    (asked,) = encodings('[{ format = "jxl", lossless = true, progressive = true }]')
    assert (plain.progressive, asked.progressive) == (False, True)


def test_recipe_can_be_pickled() -> None:
    """Recipes cross process borders whole, though assets are left out of comparison."""
    recipe = recipes.parse(FULL)
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_five_recipes_ship() -> None:
    """The shipped names, sorted."""
    assert recipes.shipped() == ("archive", "avatar", "default", "modern", "product")


@pytest.mark.parametrize("name", recipes.shipped())
def test_shipped_recipe_is_good(name: str) -> None:
    """Each has its file's name, no mistake, no warning, no GPS, and a fallback in each size."""
    recipe = recipes.load(name)
    assert recipe.name == name
    assert recipe.description
    assert recipes.lint(name) == ()
    assert KeepTag.GPS not in recipe.keep
    assert all(not spec.enlarge for spec in recipe.renditions)


def test_sizes_of_the_default_recipe() -> None:
    """The default recipe, which the benchmarks use, does not change by accident."""
    recipe = recipes.load("default")
    jpeg = Encoding(format=Format.JPEG, quality=80, effort=0, progressive=True)
    webp = Encoding(format=Format.WEBP, quality=80, effort=2, progressive=False)
    both = (jpeg, webp)
    assert recipe.renditions == (
        RenditionSpec(name="thumbnail", width=256, height=256, fit=Fit.COVER, encodings=both),
        RenditionSpec(name="medium", width=1024, height=1024, encodings=both),
        RenditionSpec(name="large", width=2048, height=2048, encodings=both),
    )
    assert recipe.limits == Limits()


def test_modern_is_default_with_jpeg_xl_in_place_of_webp() -> None:
    """Equal sizes and JPEGs, so that the two can be compared and changed for each other."""
    default, modern = (recipes.load(name).renditions for name in ("default", "modern"))
    jxl = Encoding(format=Format.JXL, quality=78, effort=3, progressive=True)
    assert modern == tuple(
        dataclasses.replace(spec, encodings=(spec.encodings[0], jxl)) for spec in default
    )


def test_other_shipped_recipes_do_what_their_name_says() -> None:
    """Avatars are squares cut by attention, products on white, the archive keeps P3."""
    avatar, product, archive = (recipes.load(name) for name in ("avatar", "product", "archive"))
    assert [(spec.width, spec.height) for spec in avatar.renditions] == [
        (side, side) for side in (64, 128, 256, 512)
    ]
    assert {(spec.fit, spec.gravity) for spec in avatar.renditions} == {
        (Fit.COVER, Gravity.ATTENTION)
    }
    tile = product.renditions[0]
    assert (tile.fit, tile.background) == (Fit.CONTAIN, "#ffffff")
    assert [encoding.format for encoding in tile.encodings] == ["jpeg", "webp", "avif"]
    assert archive.gamut is Gamut.P3
    assert archive.keep == frozenset(KeepTag) - {KeepTag.GPS, KeepTag.GAINMAP}
    assert any(e.lossless for spec in archive.renditions for e in spec.encodings)


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_written_out_recipe_is_the_same(text: str) -> None:
    """The TOML and the values of a recipe agree, and reading them gives it back."""
    recipe = recipes.parse(text)
    assert recipes.parse(recipes.dump(recipe)) == recipe
    assert tomllib.loads(recipes.dump(recipe)) == recipes.as_dict(recipe)
    assert json.loads(json.dumps(recipes.as_dict(recipe))) == recipes.as_dict(recipe)


def test_written_out_text_is_escaped() -> None:
    """Quotes, line ends, backslashes and characters beyond 16 bits survive the way out."""
    hard = 'a "b"\n\\c\t\U0001f600'
    recipe = recipes.parse(f"description = {json.dumps(hard, ensure_ascii=False)}\n{MINIMAL}")
    assert recipe.description == hard
    assert recipes.parse(recipes.dump(recipe)).description == hard


def test_written_out_recipe_has_no_keys_without_effect() -> None:
    """PNG is shown without a quality, lossless WebP too; nulls are left out."""
    text = MINIMAL.replace('["jpeg"]', '["png", { format = "webp", lossless = true }]')
    spec = recipes.as_dict(recipes.parse(text))["renditions"]
    assert isinstance(spec, list)
    assert spec[0]["formats"] == [
        {"format": "png", "effort": 6, "progressive": False},
        {"format": "webp", "effort": 2, "lossless": True},
    ]
    assert "height" not in spec[0]


def test_approval_is_the_older_word_of_a_workflow() -> None:
    """A recipe that says it means the workflow, with the digest that it always had."""
    old = recipes.parse(MINIMAL.replace("version = 1", "version = 1\napproval = true"))
    new = recipes.parse(MINIMAL.replace("version = 1", 'version = 1\nworkflow = "approve"'))
    assert old == new
    assert new.approval
    plain = recipes.parse(MINIMAL)
    assert plain.workflow == "none"
    assert recipes.parse(MINIMAL.replace("version = 1", 'version = 1\nworkflow = "none"')) == plain
    assert len({recipe.digest for recipe in (plain, new)}) == 2
    assert recipes.parse(recipes.dump(new)) == new
