"""Plans are values: exact, hashable, pure and total."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import InputError
from worker.domain.image import (
    ColourSpace,
    Encoding,
    Fit,
    Format,
    Gamut,
    Gravity,
    Probe,
    Recipe,
    Rendition,
    RenditionSpec,
    Watermark,
)
from worker.imaging.geometry import Size
from worker.imaging.plan import CASCADE_MARGIN, SHRINK_MARGIN, Conversion, Plan, make_plan

JPEG = Encoding(format=Format.JPEG)
WEBP = Encoding(format=Format.WEBP)
GIF = Encoding(format=Format.GIF)
RECIPE = Recipe(
    name="ladder",
    version=1,
    digest="d" * 64,
    renditions=(
        RenditionSpec(
            name="thumbnail", width=256, height=256, fit=Fit.COVER, encodings=(JPEG, WEBP)
        ),
        RenditionSpec(name="medium", width=1024, height=1024, encodings=(JPEG, WEBP)),
        RenditionSpec(name="large", width=2048, height=2048, encodings=(JPEG, WEBP)),
    ),
)


def photo(width: int = 4000, height: int = 3000, **changes: Any) -> Probe:
    """A JPEG as a camera makes it."""
    base = Probe(format=Format.JPEG, bytes=1_000_000, width=width, height=height)
    return replace(base, **changes)


def chain(plan: Plan) -> list[tuple[int, int, int | None]]:
    """The cascade as (width, height, source)."""
    return [(scale.size.width, scale.size.height, scale.source) for scale in plan.scales]


def test_the_cascade_goes_from_the_next_larger() -> None:
    """One decode; every size from the next larger that leaves something to resample."""
    plan = make_plan(photo(), RECIPE)
    assert chain(plan) == [(2048, 1536, None), (1024, 768, 0), (512, 384, 1), (341, 256, 2)]
    assert [step.scale for step in plan.steps] == [3, 1, 0]
    assert plan.preview == 2
    assert plan.decode.shrink == 1


def test_a_portrait_is_planned_upright() -> None:
    """Orientation 6 turns the box the recipe sees; the decoder still gives stored pixels."""
    plan = make_plan(photo(orientation=6), RECIPE)
    assert plan.scales[0].size == Size(1536, 2048)
    assert (plan.decode.width, plan.decode.height) == (4000, 3000)


def test_large_photos_are_shrunk_while_decoding() -> None:
    """A 50-megapixel photo is halved by the decoder, with margin left for the kernel."""
    plan = make_plan(photo(8165, 6124), RECIPE)
    assert plan.decode.shrink == 2
    assert (plan.decode.width, plan.decode.height) == (4083, 3062)
    assert chain(plan)[0][:2] == (2048, 1536)


def test_small_pictures_are_not_enlarged_and_share_a_scale() -> None:
    """A picture smaller than two sizes is written twice from one scale."""
    plan = make_plan(photo(600, 400), RECIPE)
    assert chain(plan)[0] == (600, 400, None)
    assert [step.scale for step in plan.steps] == [2, 0, 0]


def test_nothing_is_made_of_an_enlarged_picture() -> None:
    """An enlarged rendition has nothing that the original lacks: smaller ones come from that."""
    enlarged = replace(RECIPE.renditions[2], enlarge=True)
    plan = make_plan(
        photo(600, 400), replace(RECIPE, renditions=(*RECIPE.renditions[:2], enlarged))
    )
    assert chain(plan) == [
        (2048, 1365, None),
        (600, 400, None),
        (512, 341, None),
        (384, 256, 2),
    ]


def test_animations_move_where_the_format_can() -> None:
    """WebP keeps all frames, JPEG is the poster, a frame limit is honoured."""
    recipe = replace(
        RECIPE, renditions=(*RECIPE.renditions[:2], replace(RECIPE.renditions[2], frames=5))
    )
    probe = photo(format=Format.GIF, frames=30, animated=True, loop=0, duration_ms=900)
    plan = make_plan(probe, recipe)
    assert [[output.frames for output in step.outputs] for step in plan.steps] == [
        [1, 30],
        [1, 30],
        [1, 5],
    ]
    assert plan.decode.frames == 30


@pytest.mark.parametrize(
    ("formats", "made"),
    [
        (["jpeg", "webp", "jxl"], ["jpeg", "webp"]),
        (["jxl", "gif"], ["gif"]),
        (["jpeg", "jxl"], ["jpeg", "jxl"]),
        (["jpeg", "avif", "jxl"], ["jpeg", "avif", "jxl"]),
    ],
)
def test_an_animation_moves_for_everybody(formats: list[str], made: list[str]) -> None:
    """Safari accepts JPEG XL and does not animate it: it is not made beside a format that moves."""
    encodings = tuple(Encoding(format=Format(one)) for one in formats)
    spec = replace(RECIPE.renditions[0], encodings=encodings)
    recipe = replace(RECIPE, renditions=(spec,))
    moving = photo(format=Format.GIF, frames=30, animated=True, loop=0, duration_ms=900)

    def planned(probe: Probe, recipe: Recipe) -> list[str]:
        (step,) = make_plan(probe, recipe).steps
        return [one.encoding.format.value for one in step.outputs]

    assert planned(moving, recipe) == made
    assert planned(photo(), recipe) == formats
    still = replace(recipe, renditions=(replace(spec, frames=1),))
    assert planned(moving, still) == formats


def test_pages_of_a_document_do_not_move() -> None:
    """A multi-page TIFF is shown by its first page."""
    plan = make_plan(photo(format=Format.TIFF, frames=12), RECIPE)
    assert plan.decode.frames == 1


def test_colours_are_converted_only_where_needed() -> None:
    """sRGB passes, P3 is kept only when asked for, CMYK and unknown profiles become sRGB."""
    wide = replace(RECIPE, gamut=Gamut.P3)

    def conversion(recipe: Recipe, **changes: Any) -> Conversion:
        return make_plan(photo(**changes), recipe).decode.conversion

    assert conversion(RECIPE) is Conversion.NONE
    assert conversion(RECIPE, icc="sRGB IEC61966-2.1") is Conversion.NONE
    assert conversion(RECIPE, icc="Display P3") is Conversion.SRGB
    assert conversion(wide, icc="Display P3") is Conversion.P3
    assert conversion(wide, icc="Some scanner") is Conversion.SRGB
    assert conversion(wide, colour_space=ColourSpace.CMYK) is Conversion.SRGB


def test_a_drawing_is_drawn_as_large_as_needed() -> None:
    """A 24-pixel SVG icon gives sharp large renditions, within the pixel limit."""
    plan = make_plan(photo(24, 24, format=Format.SVG), RECIPE)
    assert plan.decode.scale == 2048 / 24
    assert plan.scales[0].size == Size(2048, 2048)
    tight = replace(RECIPE, limits=replace(RECIPE.limits, pixels=10_000))
    assert make_plan(photo(24, 24, format=Format.SVG), tight).decode.width <= 100


def test_the_hash_is_golden() -> None:
    """Output keys contain this hash: it changes only when the engine's version does too."""
    assert make_plan(photo(), RECIPE).hash == "560400d035fd1be2"


def test_the_hash_tells_plans_apart() -> None:
    """Equal inputs give equal plans; anything that changes an output changes the hash."""
    plan = make_plan(photo(), RECIPE)
    assert plan == make_plan(photo(), RECIPE)
    others = [
        make_plan(photo(4000, 2999), RECIPE),
        make_plan(photo(orientation=3), RECIPE),
        make_plan(photo(), replace(RECIPE, linear=True)),
        make_plan(photo(), replace(RECIPE, keep=frozenset())),
        make_plan(photo(), replace(RECIPE, digest="e" * 64)),
    ]
    assert len({plan.hash, *(other.hash for other in others)}) == 6


# --- some renditions only -----------------------------------------------------------------------


def test_one_rendition_has_the_steps_of_the_whole_plan() -> None:
    """It keeps the scales that it is made from, and no others; nothing is measured."""
    whole = make_plan(photo(8165, 6124), RECIPE)
    small = make_plan(photo(8165, 6124), RECIPE, only=["thumbnail.webp"])
    large = make_plan(photo(8165, 6124), RECIPE, only={"large"})

    assert (small.decode, small.scales, small.preview) == (whole.decode, whole.scales, None)
    assert [[output.encoding for output in step.outputs] for step in small.steps] == [[WEBP]]
    assert chain(large) == chain(whole)[:1]
    assert large.steps[0].outputs == whole.steps[2].outputs
    assert len({whole.hash, small.hash, large.hash}) == 3


def test_a_still_of_an_animation_decodes_one_frame() -> None:
    """Frames that no chosen file has are not decoded."""
    probe = photo(format=Format.GIF, frames=30, animated=True, loop=0, duration_ms=900)
    assert make_plan(probe, RECIPE, only=["large.jpg"]).decode.frames == 1


def test_a_rendition_that_the_recipe_lacks() -> None:
    """The error lists what there is."""
    with pytest.raises(InputError, match=r"no huge, large\.gif; it makes thumbnail, ") as caught:
        make_plan(photo(), RECIPE, only=["huge", "large.gif", "large"])
    assert caught.value.code == "rendition_unknown"


def stored(plan: Plan, name: str, format_: Format = Format.JPEG, **changes: Any) -> Rendition:
    """A rendition of a plan, as far as a plan needs it."""
    (step,) = (step for step in plan.steps if step.name == name)
    made = Rendition(
        name=name,
        format=format_,
        width=step.geometry.size.width,
        height=step.geometry.size.height,
        frames=1,
        data=b"",
        sha256="",
        quality=80,
    )
    return replace(made, **changes)


def test_a_rendition_of_a_stored_one_has_its_own_size() -> None:
    """The stored file is decoded in place of the original, upright and in its colours."""
    probe = photo(orientation=6, icc="Adobe RGB (1998)")
    whole = make_plan(probe, RECIPE)
    plan = make_plan(probe, RECIPE, only=["thumbnail"], source=stored(whole, "large"))

    assert plan.steps[0].geometry == whole.steps[0].geometry
    assert chain(plan) == [(256, 341, None)]
    assert (plan.decode.width, plan.decode.height, plan.decode.shrink) == (384, 512, 4)
    assert (plan.decode.orientation, plan.decode.conversion) == (1, Conversion.NONE)
    assert (plan.source, plan.preview) == ("large.jpg", None)
    assert plan.as_dict()["source"] == "large.jpg"


COVER = RenditionSpec(name="cover", width=800, height=600, fit=Fit.COVER, encodings=(JPEG,))
SQUARE = replace(COVER, name="square", width=300, height=300)
EYE = replace(SQUARE, name="eye", gravity=Gravity.ATTENTION)
WHOLE = replace(SQUARE, name="whole", fit=Fit.INSIDE)
PADDED = replace(SQUARE, name="padded", fit=Fit.CONTAIN)
GREY = replace(WHOLE, name="grey", background="#808080")
MOVING = replace(WHOLE, name="moving", width=600, height=600, encodings=(WEBP, JPEG))
TRANSPARENT: dict[str, Any] = {"format": Format.PNG, "alpha": True}
ANIMATED: dict[str, Any] = {"format": Format.GIF, "frames": 9, "animated": True}
P3: dict[str, Any] = {"icc": "Display P3"}


@pytest.mark.parametrize(
    ("source", "wanted", "changes", "says"),
    [
        (WHOLE, COVER, {}, "too few for cover of 800 x 600"),
        (SQUARE, WHOLE, {}, "lacks a part of the picture that whole shows"),
        (SQUARE, EYE, {}, "lacks a part"),
        (EYE, SQUARE, {}, "lacks a part"),
        (EYE, replace(EYE, name="wide", width=400), {}, "lacks a part"),
        (COVER, replace(SQUARE, gravity=Gravity.WEST), {}, "lacks a part"),
        (PADDED, WHOLE, {}, "is on a canvas"),
        (replace(MOVING, sharpen=1.0), WHOLE, {}, "is sharpened"),
        (replace(MOVING, watermark=Watermark(text="x")), WHOLE, {}, "has a watermark"),
        (GREY, replace(WHOLE, encodings=(WEBP,)), TRANSPARENT, "lacks the transparency"),
        (GREY, WHOLE, TRANSPARENT, "lies on #808080, whole on #ffffff"),
        (replace(MOVING, encodings=(GIF,)), WHOLE, {}, "lacks colours"),
        (replace(MOVING, encodings=(GIF,)), replace(WHOLE, encodings=(GIF,)), P3, "lacks colours"),
        (replace(MOVING, encodings=(JPEG,)), replace(WHOLE, encodings=(GIF,)), ANIMATED, "frames"),
        (MOVING, replace(WHOLE, encodings=(WEBP,), frames=5), ANIMATED, "lacks some of 5 frames"),
    ],
)
def test_a_stored_rendition_that_cannot_give_another(
    source: RenditionSpec, wanted: RenditionSpec, changes: dict[str, Any], says: str
) -> None:
    """Too small, cut elsewhere, drawn on, or without alpha, colours or frames: a coded error."""
    probe = photo(2000, 1200, **changes)
    recipe = replace(RECIPE, renditions=(source, wanted), gamut=Gamut.P3)
    format_ = source.encodings[0].format
    made = stored(make_plan(probe, recipe), source.name, format_)
    with pytest.raises(InputError, match=says) as caught:
        make_plan(probe, recipe, only=[wanted.name], source=made)
    code = "source_too_small" if "too few" in says else "source_unsuitable"
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("source", "wanted", "changes", "frames"),
    [
        (COVER, replace(COVER, name="half", width=400, height=300), {}, 1),
        (COVER, SQUARE, {}, 1),
        (replace(EYE, width=600, height=600), EYE, {}, 1),
        (WHOLE, replace(EYE, width=120, height=120), {}, 1),
        (WHOLE, replace(WHOLE, name="small", width=299), TRANSPARENT, 1),
        (GREY, replace(PADDED, background="#808080", height=120), TRANSPARENT, 1),
        (MOVING, WHOLE, ANIMATED, 1),
        (MOVING, replace(WHOLE, encodings=(WEBP,)), ANIMATED, 7),
    ],
)
def test_a_stored_rendition_that_gives_another(
    source: RenditionSpec, wanted: RenditionSpec, changes: dict[str, Any], frames: int
) -> None:
    """Sizes are those of the whole plan; of an animation, frames are those in the file."""
    if source.name == wanted.name:
        wanted = replace(wanted, name="other")
    probe = photo(2000, 1200, **changes)
    recipe = replace(RECIPE, renditions=(source, wanted))
    whole = make_plan(probe, recipe)
    made = stored(
        whole, source.name, source.encodings[0].format, frames=7 if changes is ANIMATED else 1
    )
    plan = make_plan(probe, recipe, only=[wanted.name], source=made)
    assert plan.steps[0].geometry.size == whole.steps[1].geometry.size
    assert plan.decode.frames == frames


def test_a_file_of_another_plan_is_no_source() -> None:
    """A stored rendition in another size was made by another recipe or of another picture."""
    made = stored(make_plan(photo(), RECIPE), "large", width=2000)
    with pytest.raises(InputError, match="in 2000 x 1536 pixels is not in this plan"):
        make_plan(photo(), RECIPE, only=["medium"], source=made)


# --- any probe and any recipe -------------------------------------------------------------------

SPECS = st.builds(
    RenditionSpec,
    name=st.just("x"),
    width=st.integers(1, 16_384),
    height=st.integers(1, 16_384),
    fit=st.sampled_from(Fit),
    gravity=st.sampled_from([Gravity.CENTRE, Gravity.ATTENTION, Gravity.SOUTH_WEST]),
    enlarge=st.booleans(),
    frames=st.none() | st.integers(1, 40),
    encodings=st.just((JPEG, WEBP)),
)
PROBES = st.builds(
    Probe,
    format=st.sampled_from(Format),
    bytes=st.just(1000),
    width=st.integers(1, 30_000),
    height=st.integers(1, 30_000),
    frames=st.integers(1, 500),
    animated=st.booleans(),
    orientation=st.integers(1, 8),
    colour_space=st.sampled_from(ColourSpace),
    icc=st.none() | st.text(),
)


@given(PROBES, st.lists(SPECS, min_size=1, max_size=6))
def test_every_probe_and_recipe_give_a_plan(probe: Probe, specs: list[RenditionSpec]) -> None:
    """Total: no combination fails; the cascade only ever looks back, to something larger."""
    recipe = Recipe(name="any", version=1, renditions=tuple(specs))
    plan = make_plan(probe, recipe)
    for index, scale in enumerate(plan.scales):
        if scale.source is not None:
            assert scale.source < index
            assert plan.scales[scale.source].size.covers(scale.size, CASCADE_MARGIN)
    if plan.decode.shrink > 1:
        assert all(plan.decode.upright.covers(s.size, SHRINK_MARGIN) for s in plan.scales)
    assert 1 <= plan.decode.frames <= probe.frames
    assert plan.hash == make_plan(probe, recipe).hash


@given(PROBES, SPECS, SPECS)
def test_stored_renditions_give_the_planned_sizes(
    probe: Probe, first: RenditionSpec, second: RenditionSpec
) -> None:
    """A file made from a stored rendition has the size of the whole plan and is never enlarged."""
    recipe = Recipe(name="any", version=1, renditions=(first, replace(second, name="y")))
    whole = make_plan(probe, recipe)
    made = stored(whole, "x", Format.WEBP, frames=whole.steps[0].outputs[1].frames)
    plan = None
    with suppress(InputError):
        plan = make_plan(probe, recipe, only=["y"], source=made)
    if plan is None:
        return
    geometry = plan.steps[0].geometry
    assert geometry.size == whole.steps[1].geometry.size
    if geometry.crop is not None:
        assert 0 <= geometry.crop.left <= geometry.scale.width - geometry.crop.width
        assert 0 <= geometry.crop.top <= geometry.scale.height - geometry.crop.height
