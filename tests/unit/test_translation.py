"""URLs of imgproxy, thumbor and Dynamic Image Transformation: what they become here.

The URLs are those of the services' own documents: docs.imgproxy.net ("Processing an image"),
thumbor.readthedocs.io ("Usage", "Filters"), docs.aws.amazon.com/solutions ("Create and use image
requests", "Use filters", "Use supported Query Parameter edits").
"""

from __future__ import annotations

import base64
import io
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli_pipeline import pipeline
from tests.unit.test_deliver import World
from tests.unit.test_markup import recorded
from worker import recipes
from worker.domain.asset import LogEntry, asset_id_of
from worker.domain.errors import InputError
from worker.domain.image import Fit, Format, Gravity, RenditionSpec
from worker.entrypoints.cli import run
from worker.services.translation import Translation, read, translate
from worker.services.translation.request import LONGEST

SIGNATURE = "AfrOrF3gWeDA6VOlDG4TzxMv39O7MXnF4CXpKUwGqRM"
CURIOSITY = "http://example.com/images/curiosity.jpg"
PLAIN = f"plain/{CURIOSITY}"
BASE64 = "aHR0cDovL2V4YW1w/bGUuY29tL2ltYWdl/cy9jdXJpb3NpdHku/anBn"
THUMBOR = "http://localhost:8888/unsafe"
EXAMPLE = "https%3A%2F%2Fgithub.com%2Fthumbor%2Fthumbor%2Fraw%2Fmaster%2Fexample.jpg"
ENDPOINT = "https://d111111abcdef8.cloudfront.net"


def told(url: str, **options: Any) -> Translation:
    """A URL here, on a host of the tests."""
    return translate(url, read(url, **options), host="https://m")


def file_of(url: str, **options: Any) -> str:
    """The part of the URL behind the version."""
    return told(url, **options).url.removeprefix("https://m/{asset}/{version}/")


def rendition(found: Translation) -> RenditionSpec:
    """The rendition of a translation, as a recipe has it; the URL names it."""
    recipe = recipes.parse(f'name = "new"\nversion = 1\n\n{found.recipe}')
    (spec,) = recipe.renditions
    assert found.url.rpartition("/")[2].partition(".")[0] == spec.name
    return spec


def imgproxy(*options: str, source: str = PLAIN) -> str:
    """A URL of imgproxy."""
    return "/".join(["http://imgproxy.example.com", SIGNATURE, *options, source])


def handler(**request: Any) -> str:
    """A URL of Dynamic Image Transformation with a document, as its own example makes it."""
    text = json.dumps(request)
    return f"{ENDPOINT}/{base64.b64encode(text.encode()).decode()}"


# --- sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "service", "source", "format_"),
    [
        (imgproxy("w:1"), "imgproxy", CURIOSITY, None),
        (imgproxy("w:1", source=f"{PLAIN}@png"), "imgproxy", CURIOSITY, "png"),
        (imgproxy("w:1", source=BASE64), "imgproxy", CURIOSITY, None),
        (imgproxy("w:1", source=f"{BASE64}.png"), "imgproxy", CURIOSITY, "png"),
        (
            imgproxy("w:1", source="plain/http%3A%2F%2Fexample.com%2Fa%20b%3Fc%40d@avif"),
            "imgproxy",
            "http://example.com/a b?c@d",
            "avif",
        ),
        ("/insecure/w:1/plain/s3://bucket/a/b.jpg@best", "imgproxy", "s3://bucket/a/b.jpg", None),
        ("/_/w:1/plain/local:///a.jpg", "imgproxy", "local:///a.jpg", None),
        (
            f"{THUMBOR}/300x300/smart/path/to/image.jpg",
            "thumbor",
            "path/to/image.jpg",
            None,
        ),
        (
            f"{THUMBOR}/filters:format(webp)/{EXAMPLE}",
            "thumbor",
            "https://github.com/thumbor/thumbor/raw/master/example.jpg",
            "webp",
        ),
        ("/1_6x25QaeExcQVmtuNyrr_lOs-0=/500x500/a.jpg", "thumbor", "a.jpg", None),
        (
            handler(bucket="my-bucket", key="photos/face 1.png"),
            "image-handler",
            "s3://my-bucket/photos/face 1.png",
            None,
        ),
        (handler(key="a%20b.jpg", outputFormat="webp"), "image-handler", "a%20b.jpg", "webp"),
        (f"{ENDPOINT}/fit-in/800x1000/a/b%20c.jpeg", "image-handler", "a/b c.jpeg", None),
        (
            f"{ENDPOINT}/fit-in/8x9/s3:other-bucket/a.jpg",
            "image-handler",
            "s3://other-bucket/a.jpg",
            None,
        ),
        (f"{ENDPOINT}/image.jpeg?format=avif&signature=0", "image-handler", "image.jpeg", "avif"),
    ],
)
def test_a_url_is_of_a_service_and_of_a_source(
    url: str, service: str, source: str, format_: str | None
) -> None:
    """Plain, escaped or in base64, signed or not; the format is the ending of the URL here."""
    found = told(url)

    assert (found.service, found.source) == (service, source)
    ending = found.url.rpartition("/")[2].partition(".")[2]
    assert ending == (format_ or "")
    assert read(url, service=service).source == source


# --- widths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "file"),
    [
        (imgproxy("rs:fit:640"), "w/640"),
        (imgproxy("resize:fit:640:0:0"), "w/640"),
        (imgproxy("s:300"), "w/320"),
        (imgproxy("width:641"), "w/960"),
        (imgproxy("w:320", "dpr:2"), "w/640"),
        (imgproxy("w:5000"), "w/3840"),
        (imgproxy("w:640", "sm:1", "ar:1", "cb:7", "kcr:1", "scp:0"), "w/640"),
        (imgproxy("w:640", "g:no"), "w/640"),
        (imgproxy("w:640", "f:webp"), "w/640.webp"),
        (imgproxy("w:640", "ext:best"), "w/640"),
        (f"{THUMBOR}/640x0/{EXAMPLE}", "w/640"),
        (f"{THUMBOR}/300x/{EXAMPLE}", "w/320"),
        (f"{THUMBOR}/fit-in/960x0/filters:format(avif):strip_exif()/{EXAMPLE}", "w/960.avif"),
        (f"{ENDPOINT}/image.jpeg?width=640&height=0", "w/640"),
        (handler(key="a.jpg", edits={"resize": {"width": 640, "fit": "inside"}}), "w/640"),
        (f"{ENDPOINT}/a.jpg?resize.width=640&format=jpg", "w/640.jpg"),
    ],
)
def test_a_width_alone_needs_no_recipe(url: str, file: str) -> None:
    """The next width that is served, in the format of the URL."""
    assert file_of(url) == file
    assert told(url).recipe == ""


def test_a_width_that_is_not_served_is_said() -> None:
    """And so is that nothing is enlarged, where the other service would."""
    found = told(f"{THUMBOR}/300x0/{EXAMPLE}")

    assert found.notes == ("300 pixels: w/320 is the nearest width that is served",)
    assert told(imgproxy("w:320", "el:1")).notes == ("a smaller original is not enlarged",)
    assert told(imgproxy("w:320")).notes == ()


# --- renditions -----------------------------------------------------------------------------------


def spec_of(url: str) -> dict[str, Any]:
    """Values of a rendition that are not those of every rendition, and its qualities."""
    spec = rendition(told(url))
    usual = RenditionSpec(name=spec.name, encodings=spec.encodings)
    names = ("width", "height", "fit", "gravity", "focal_point", "enlarge", "background")
    found = {
        name: getattr(spec, name)
        for name in (*names, "sharpen", "frames")
        if getattr(spec, name) != getattr(usual, name)
    }
    return {**found, "formats": [one.format.value for one in spec.encodings]}


BOX = {"width": 300, "height": 400, "formats": ["jpeg", "webp"]}
FILLED = {**BOX, "fit": Fit.COVER}


@pytest.mark.parametrize(
    ("url", "values"),
    [
        (imgproxy("rs:fit:300:400"), BOX),
        (imgproxy("rs:fill:300:400:0", "g:sm"), {**FILLED, "gravity": Gravity.ATTENTION}),
        (imgproxy("rt:fill-down", "s:300:400"), FILLED),
        (imgproxy("rs:force:300:400"), {**BOX, "fit": Fit.EXACT}),
        (imgproxy("w:300", "h:400", "ex:1"), {**BOX, "fit": Fit.CONTAIN}),
        (imgproxy("rs:fill:300:400:1", "g:nowe"), {
            **FILLED, "gravity": Gravity.NORTH_WEST, "enlarge": True,
        }),
        (imgproxy("rs:fill:150:200", "dpr:2", "g:fp:0.3:0.4"), {
            **FILLED, "gravity": Gravity.FOCAL, "focal_point": (0.3, 0.4),
        }),
        (imgproxy("h:400"), {"height": 400, "formats": ["jpeg", "webp"]}),
        (imgproxy("rs:fit:300:400", "bg:255:0:16"), {**BOX, "background": "#ff0010"}),
        (imgproxy("rs:fit:300:400", "bg:f00"), {**BOX, "background": "#ff0000"}),
        (imgproxy("rs:fit:300:400", "sh:0.7", "da:1"), {**BOX, "sharpen": 0.5, "frames": 1}),
        (imgproxy("rs:fit:300:400", source=f"{PLAIN}@png"), {**BOX, "formats": ["png"]}),
        (imgproxy("rs:fit:300:400", "f:jxl"), {**BOX, "formats": ["jpeg", "jxl"]}),
        (f"{THUMBOR}/300x400/left/top/{EXAMPLE}", {
            **FILLED, "gravity": Gravity.NORTH_WEST, "enlarge": True,
        }),
        (f"{THUMBOR}/300x400/center/bottom/filters:no_upscale()/{EXAMPLE}", {
            **FILLED, "gravity": Gravity.SOUTH,
        }),
        (f"{THUMBOR}/300x400/smart/filters:no_upscale()/{EXAMPLE}", {
            **FILLED, "gravity": Gravity.ATTENTION,
        }),
        (f"{THUMBOR}/fit-in/300x400/{EXAMPLE}", BOX),
        (f"{THUMBOR}/fit-in/300x400/filters:fill(add8e6)/{EXAMPLE}", {
            **BOX, "fit": Fit.CONTAIN, "background": "#add8e6",
        }),
        (f"{THUMBOR}/fit-in/300x400/filters:fill(blue,1)/{EXAMPLE}", {
            **BOX, "fit": Fit.CONTAIN, "background": "#0000ff",
        }),
        (f"{THUMBOR}/300x400/filters:stretch():no_upscale()/{EXAMPLE}", {
            **BOX, "fit": Fit.EXACT,
        }),
        (f"{THUMBOR}/fit-in/300x400/filters:upscale()/{EXAMPLE}", {**BOX, "enlarge": True}),
        (f"{THUMBOR}/filters:sharpen(2,1.0,true)/{EXAMPLE}", {
            "width": 16383, "height": 16383, "sharpen": 0.5, "formats": ["jpeg", "webp"],
        }),
        (f"{THUMBOR}/400x100/filters:focal(146x206:279x360):no_upscale()/{EXAMPLE}", {
            "width": 400, "height": 100, "fit": Fit.COVER, "gravity": Gravity.FOCAL,
            "focal_point": (0.5, 0.5), "formats": ["jpeg", "webp"],
        }),
        (f"{ENDPOINT}/fit-in/300x400/image.jpeg", BOX),
        (f"{ENDPOINT}/300x400/filters:smart_crop(0,10):no_upscale()/image.jpeg", {
            **FILLED, "gravity": Gravity.ATTENTION,
        }),
        (f"{ENDPOINT}/image.jpeg?width=300&height=400&fit=contain", {
            **BOX, "fit": Fit.CONTAIN, "background": "#000000", "enlarge": True,
        }),
        (handler(key="a.jpg", edits={"resize": {
            "width": 300, "height": 400, "position": "right top", "withoutEnlargement": True,
        }}), {**FILLED, "gravity": Gravity.NORTH_EAST}),
        (handler(key="a.jpg", edits={"toFormat": "png", "resize": {
            "width": 300, "height": 400, "fit": "fill", "withoutEnlargement": True,
            "background": {"r": 1, "g": 2, "b": 3, "alpha": 1},
        }}), {**BOX, "fit": Fit.EXACT, "background": "#010203", "formats": ["png"]}),
        (handler(key="a.jpg", edits={"smartCrop": {"faceIndex": 0}, "resize": {
            "width": 300, "height": 400, "fit": "cover", "withoutEnlargement": True,
        }}), {**FILLED, "gravity": Gravity.ATTENTION}),
    ],
)  # fmt: skip
def test_a_box_is_a_rendition_of_a_recipe(url: str, values: dict[str, Any]) -> None:
    """With fit, gravity, colour and format; the TOML is read by the recipes' own reader."""
    assert spec_of(url) == values


@pytest.mark.parametrize(
    ("url", "qualities"),
    [
        (imgproxy("w:640", "q:40"), {Format.JPEG: 40, Format.WEBP: 40}),
        (imgproxy("w:640", "fq:avif:50:webp:60", "f:avif"), {Format.AVIF: 50}),
        (f"{THUMBOR}/filters:quality(40)/{EXAMPLE}", {Format.JPEG: 40, Format.WEBP: 40}),
        (f"{ENDPOINT}/filters:quality(50)/image.jpeg", {Format.JPEG: 50, Format.WEBP: 50}),
        (
            handler(key="a.jpg", edits={"jpeg": {"quality": 60}, "webp": {"quality": 70}}),
            {Format.JPEG: 60, Format.WEBP: 70},
        ),
    ],
)
def test_a_quality_is_that_of_a_rendition(url: str, qualities: dict[Format, int]) -> None:
    """A width has the quality of the recipe, so another one is a rendition of its own."""
    found = {one.format: one.quality for one in rendition(told(url)).encodings}

    assert qualities.items() <= found.items()


def test_equal_requests_share_a_rendition() -> None:
    """Equal requests of any service share a name, and different requests have different names."""
    first, again = (told(imgproxy(*one)) for one in (("rs:fill:9:9",), ("rt:fill", "s:9:9")))
    other = told(imgproxy("rs:fill:9:9", "q:50"))

    assert first.recipe == again.recipe
    assert first.url == again.url != other.url


def test_presets_are_expanded() -> None:
    """As they are configured, one in another; one that is not known is lost."""
    presets = {"sharp": "sharpen:0.7", "card": "preset:sharp/rs:fill:300:400", "loop": "pr:loop"}
    found = told(imgproxy("pr:card"), presets=presets)
    missing = told(imgproxy("preset:other:loop", "w:320"), presets=presets)

    assert (rendition(found).sharpen, rendition(found).width) == (0.5, 300)
    assert [one.option for one in missing.lost] == ["preset:other", "preset:loop"]


# --- what is lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (imgproxy("w:1", "crop:100:200:nowe"), ["crop:100:200:nowe"]),
        (imgproxy("w:1", "bl:3", "pix:4", "t:10"), ["bl:3", "pix:4", "t:10"]),
        (imgproxy("w:1", "rot:90", "fl:1:0"), ["rotate:90", "flip:1:0"]),
        (imgproxy("w:1", "wm:0.5:soea:10:10:0.2"), ["wm:0.5:soea:10:10:0.2"]),
        (imgproxy("w:1", "exp:1893456000", "fn:a", "att:1"), ["exp:1893456000", "fn:a", "att:1"]),
        (imgproxy("w:1", "f:tiff"), ["format tiff"]),
        (imgproxy("w:1", "g:no:10:20"), ["gravity offset"]),
        (imgproxy("w:1", "unheard:1"), ["unheard:1"]),
        (f"{THUMBOR}/trim:top-left:10/1x0/{EXAMPLE}", ["trim:top-left:10"]),
        (f"{THUMBOR}/10x20:30x40/1x0/{EXAMPLE}", ["10x20:30x40"]),
        (f"{THUMBOR}/-300x-200/left/top/smart/path/image.jpg", ["-300x-200"]),
        (f"{THUMBOR}/origx100/{EXAMPLE}", ["origx100"]),
        (f"{THUMBOR}/adaptive-full-fit-in/1x1/{EXAMPLE}", ["adaptive-full-fit-in"]),
        (
            f"{THUMBOR}/fit-in/100x100/filters:watermark(http%3A%2F%2Fa.b%2Fc.png,-10,-10,50)"
            f":blur(7):fill(auto):round_corner(20|40,0,0,0)/{EXAMPLE}",
            [
                "watermark(http%3A%2F%2Fa.b%2Fc.png,-10,-10,50)",
                *("blur(7)", "fill(auto)", "round_corner(20|40,0,0,0)"),
            ],
        ),
        (f"{THUMBOR}/filters:rgb(20,-20,40):grayscale()/{EXAMPLE}", ["rgb(20,-20,40)",
                                                                      "grayscale()"]),
        (f"{ENDPOINT}/filters:blur(7)/image.jpeg", ["blur(7)"]),
        (f"{ENDPOINT}/image.jpeg?width=1&flip=true&greyscale=1&rotate=90", [
            "flip \"true\"", 'greyscale "1"', "rotate 90",
        ]),
        (f"{ENDPOINT}/image.jpeg?resize.width=1&policy=card", ['policy "card"']),
        (handler(key="a", edits={"grayscale": True, "roundCrop": {"rx": 1}, "blur": 0.5}), [
            "grayscale true", 'roundCrop {"rx": 1}', "blur 0.5",
        ]),
        (handler(key="a", edits={"crop": {"left": 1, "top": 2, "width": 3, "height": 4}}), [
            "crop 1,2 3x4",
        ]),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_named(url: str, options: list[str]) -> None:
    """Each option with a reason; the rest is translated all the same."""
    found = told(url)

    assert [one.option for one in found.lost] == options
    assert all(one.reason for one in found.lost)
    assert found.url.startswith("https://m/{asset}/{version}/")


# --- assets ---------------------------------------------------------------------------------------


def test_a_mapping_says_which_asset_it_is() -> None:
    """The id follows from bucket and key, as ingest computes it; the first mapping that fits."""
    mappings = [("s3://old/", "s3://intake/legacy/"), ("https://github.com/", "s3://b/")]
    one = translate("", read("/_/w:320/plain/s3://old/a/b.jpg"), mappings=mappings)
    two = translate("", read(f"{THUMBOR}/640x0/{EXAMPLE}"), mappings=mappings)
    none = translate("", read("/_/w:320/plain/s3://elsewhere/a.jpg"), mappings=mappings)

    assert one.object == "s3://intake/legacy/a/b.jpg"
    assert one.asset == asset_id_of("intake", "legacy/a/b.jpg")
    assert one.url == f"https://{{host}}/{one.asset}/{{version}}/w/320"
    assert two.asset == asset_id_of("b", "thumbor/thumbor/raw/master/example.jpg")
    assert (none.object, none.asset) == ("", "")
    assert none.url == "https://{host}/{asset}/{version}/w/320"


def test_a_known_asset_gives_version_and_focal_point() -> None:
    """The size of the picture turns an area in pixels into shares of it."""
    record = recorded(3000, 2000)
    url = f"{THUMBOR}/400x100/filters:focal(600x500:900x1500)/a.jpg"
    found = translate(url, read(url), mappings=[("", "s3://intake/")], record=record)

    assert f"/{record.version}/" in found.url
    assert (
        f'PATCH /assets/{record.asset} {{"focal_point": {{"x": 0.25, "y": 0.5}}}}'
        " keeps the middle of that area"
    ) in found.notes


# --- hostile --------------------------------------------------------------------------------------


def encoded(text: str) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(text.encode("latin-1")).decode().rstrip("=")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "input_url_unknown"),
        ("https://example.com/a.jpg", "input_url_unknown"),
        ("https://example.com/", "input_url_unknown"),
        ("ftp://example.com/unsafe/300x300/a.jpg", "input_url_invalid"),
        ("http://[::1/unsafe/300x300/a.jpg", "input_url_invalid"),
        ("/unsafe/300x300/" + "a" * LONGEST, "input_url_too_long"),
        ("/unsafe/99999x99999/a.jpg", "input_url_invalid"),
        ("/unsafe/300x300/\x00.jpg", "input_url_invalid"),
        ("/unsafe/300x300/%00.jpg", "input_url_invalid"),
        ("/unsafe/300x300/%ff%fe.jpg", "input_url_invalid"),
        ("/unsafe/300x300/é.jpg", "input_url_invalid"),
        ("/unsafe/300x300/", "input_url_invalid"),
        ("/unsafe/meta/300x300/a.jpg", "input_url_invalid"),
        ("/unsafe/300x300/filters:focal(1)/a.jpg", "input_url_invalid"),
        ("/unsafe/300x300/filters:fill(nocolour)/a.jpg", "input_url_invalid"),
        ("/unsafe/300x300/filters:quality(900)/a.jpg", "input_url_invalid"),
        ("/unsafe/300x300/filters:quality(nan)/a.jpg", "input_url_invalid"),
        (imgproxy("w:-5"), "input_url_invalid"),
        (imgproxy("w:1e9"), "input_url_invalid"),
        (imgproxy("w:99999999999999999999"), "input_url_invalid"),
        (imgproxy("rs:twist:1:1"), "input_url_invalid"),
        (imgproxy("g:up"), "input_url_invalid"),
        (imgproxy("dpr:inf"), "input_url_invalid"),
        (imgproxy("w:1", source="enc/jwV3wUD9r4VBIzgv/ang3Hbh0vPpcm5cc"), "input_url_invalid"),
        (imgproxy("w:1", source="!!!"), "input_url_invalid"),
        (imgproxy("w:1", source=encoded("\xff\xfe")), "input_url_invalid"),
        (imgproxy("w:1", source=encoded("a\nb")), "input_url_invalid"),
        ("/insecure/w:1", "input_url_invalid"),
        (f"{ENDPOINT}/{encoded('[' * 4000)}", "input_url_unknown"),
        (handler(key=5), "input_url_invalid"),
        (handler(bucket=["a"], key="a"), "input_url_invalid"),
        (handler(key="a", edits=[1]), "input_url_invalid"),
        (handler(key="a", edits={"resize": 5}), "input_url_invalid"),
        (handler(key="a", edits={"resize": {"width": -1}}), "input_url_invalid"),
        (handler(key="a", edits={"resize": {"width": 10**30}}), "input_url_invalid"),
        (handler(key="a", edits={"resize": {"fit": {"a": 1}}}), "input_url_invalid"),
        (handler(key="a", edits={"resize": {"position": 7}}), "input_url_invalid"),
        (handler(key="a", edits={"jpeg": {"quality": "x"}}), "input_url_invalid"),
        (handler(key="a\x07"), "input_url_invalid"),
        (f"{ENDPOINT}/a.jpg?width=1" + "&x=1" * 200, "input_url_invalid"),
    ],
)
def test_a_hostile_url_is_a_clear_error(url: str, code: str) -> None:
    """With a stable code and one line; nothing is guessed."""
    with pytest.raises(InputError) as caught:
        told(url)

    assert caught.value.code == code
    assert len(caught.value.message) < 200


def tried(url: str, **options: Any) -> Translation | str:
    """A translation, or the code of the error."""
    try:
        return told(url, **options)
    except InputError as error:
        return error.code


@given(st.text(max_size=300), st.sampled_from([None, "imgproxy", "thumbor", "image-handler"]))
def test_any_text_is_translated_or_refused(text: str, service: str | None) -> None:
    """Never anything else, whichever service it is said to be of."""
    for url in (text, f"/unsafe/{quote(text)}", f"/unsafe/w:1/{quote(text)}/plain/a"):
        found = tried(url, service=service)
        if isinstance(found, Translation):
            assert found.url.isprintable()
            tomllib.loads(found.recipe)
        else:
            assert found.startswith("input_url_")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)
_EDITS = st.dictionaries(
    st.sampled_from(
        ["resize", "toFormat", "jpeg", "flatten", "crop", "rotate", "smartCrop", "sharpen", "x"]
    ),
    _JSON | st.dictionaries(st.sampled_from(["width", "height", "fit", "background"]), _JSON),
)


@given(_EDITS)
def test_any_edits_are_translated_or_refused(edits: dict[str, Any]) -> None:
    """Documents of any shape."""
    found = tried(handler(key="a.jpg", edits=edits))
    if not isinstance(found, Translation):
        assert found.startswith("input_url_")
    elif found.recipe:
        rendition(found)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_goes_on_after_a_wrong_url(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own result; renditions are printed once, as TOML; the exit code says it."""
    lines = f"{imgproxy('rs:fill:300:400')}\n\n{imgproxy('rt:fill', 's:300:400')}\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))

    assert run(["deliver", "translate", "nothing", "-", imgproxy("w:640", "bl:3")]) == 1

    out = capsys.readouterr().out
    assert out.count("[[renditions]]") == 1
    assert "(input_url_unknown)" in out
    assert "url         https://{host}/{asset}/{version}/w/640" in out
    assert "lost        bl:3: has no counterpart: edit the original" in out
    recipes.parse('name = "n"\nversion = 1\n' + out[out.index("[[renditions]]") :])


def test_the_command_prints_a_line_of_json_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors too; a preset and a mapping are given as options."""
    words = ("--preset", "card=rs:fill:9:9", "--map", "http://example.com/=s3://intake/")

    assert run(["deliver", "translate", "x", imgproxy("pr:card"), "--json", *words]) == 1

    wrong, right = map(json.loads, capsys.readouterr().out.splitlines())
    assert wrong == {
        "given": "x",
        "error": {"code": "input_url_unknown", "message": wrong["error"]["message"]},
    }
    assert right["asset"] == asset_id_of("intake", "images/curiosity.jpg")
    assert right["lost"] == []
    assert "width = 9" in right["recipe"]


@pytest.mark.parametrize(
    "words", [("--map", "a"), ("--map", "a=http://b"), ("--preset", "=b"), ("--from", "imgix")]
)
def test_a_wrong_option_is_wrong_use(words: tuple[str, str]) -> None:
    """Before any URL is read."""
    assert run(["deliver", "translate", "x", *words]) == 2


def test_the_stack_fills_in_the_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its own host; an asset that it does not have stays a template."""
    with pipeline(tmp_path / "data", capsys, monkeypatch) as shown:
        asset = asset_id_of("intake", "a.jpg")
        record = replace(World().record, asset=asset)
        shown.catalog.commit(record, LogEntry(time=record.updated_at, kind="test"))
        words = ("--stored", "--json", "--map", "http://x/=s3://intake/", "--host", "https://m")
        sources = [f"/_/w:320/plain/http://x/{name}.jpg" for name in "ab"]
        code = run(["deliver", "translate", *sources, *words, "--data", str(shown.data)])
    there, missing = map(json.loads, capsys.readouterr().out.splitlines())

    assert code == 0
    assert there["url"] == f"https://m/{asset}/{record.version}/w/320"
    assert missing["url"] == f"https://m/{asset_id_of('intake', 'b.jpg')}/{{version}}/w/320"
