"""URLs of renditions and keys of the bucket: two names of one thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.delivery import (
    COMMON,
    NEGOTIATED,
    NEGOTIATION_HEADERS,
    PictureKey,
    edge_source,
    made_formats,
    read_picture_key,
    url_path,
)
from worker.domain.image import Format
from worker.domain.keys import cache_metadata, prefix_of

ASSET, VERSION = "01890f6e-0000-7000-8000-000000000001", "0123456789abcdef"
PREFIX = prefix_of(ASSET, VERSION)


@given(st.uuids(), st.sampled_from(["large.jpg", "hls/1080p/seg-1.m4s", "w/640.webp"]))
def test_a_url_has_the_parts_of_a_key_but_the_first(asset: object, file: str) -> None:
    """The two hex digits at the beginning of a key are not part of the URL."""
    key = prefix_of(str(asset), VERSION) + file

    assert url_path(key) == f"/{asset}/{VERSION}/{file}"
    assert cache_metadata(key) == {"cache-tag": f"a:{asset}"}
    assert cache_metadata(key, "00-1") == {"cache-tag": f"a:{asset}", "traceparent": "00-1"}


@pytest.mark.parametrize("key", ["", "recipes/0.json", f"ab/{ASSET}/", f"{ASSET}/{VERSION}/a.jpg"])
def test_what_is_of_no_asset_has_no_url(key: str) -> None:
    """A recipe, a folder, a URL."""
    with pytest.raises(ValueError, match="no key"):
        url_path(key)
    assert read_picture_key(key) is None


def test_a_key_of_a_picture_is_read_back() -> None:
    """By a name or by a width, with the format that was chosen."""
    by_name = read_picture_key(PREFIX + "large.jpg")
    by_width = read_picture_key(PREFIX + "w/640.avif")

    assert by_name == PictureKey(asset=ASSET, version=VERSION, format=COMMON, name="large")
    assert by_width == PictureKey(asset=ASSET, version=VERSION, format=Format.AVIF, width=640)
    for file in ("film.mp4", "hls/a.jpg", "w/x.jpg", "large.exe", "large", "w/123456.jpg"):
        assert read_picture_key(PREFIX + file) is None


@pytest.mark.parametrize("width", ["777", "0640", "00640", "0", "99999"])
@pytest.mark.parametrize("kind", ["w/", "w/auto-"])
def test_only_widths_that_the_edge_chooses_are_keys(kind: str, width: str) -> None:
    """A client can name ``w/auto-777.webp`` as a file: each number would be one more copy."""
    assert read_picture_key(f"{PREFIX}{kind}{width}.webp") is None
    assert read_picture_key(f"{PREFIX}{kind}640.webp") is not None


def test_a_function_offers_what_the_recipe_makes() -> None:
    """In order of preference; the common format needs no mention."""
    source = "a\nconst FORMATS = ['jxl', 'avif', 'webp'];\nb"

    assert made_formats([Format.WEBP, Format.JPEG, Format.JXL]) == (Format.JXL, Format.WEBP)
    assert edge_source(source, [Format.WEBP, Format.JPEG]) == 'a\nconst FORMATS = ["webp"];\nb'
    assert edge_source(source, NEGOTIATED) == 'a\nconst FORMATS = ["jxl", "avif", "webp"];\nb'
    for wrong in ("", source * 2):
        with pytest.raises(ValueError, match="lines of the function"):
            edge_source(wrong, [Format.WEBP])


def test_every_answer_says_what_it_depends_on() -> None:
    """And asks for all hints that the function reads, those of the network too."""
    vary = NEGOTIATION_HEADERS["Vary"].split(", ")
    asked = NEGOTIATION_HEADERS["Accept-CH"].split(", ")

    assert vary == ["Accept", "Save-Data", "Sec-CH-DPR", "Sec-CH-Viewport-Width", "Sec-CH-Width"]
    assert set(asked) == {*vary[2:], "ECT", "Downlink"}
    assert NEGOTIATION_HEADERS["Permissions-Policy"] == (
        "ch-dpr=*, ch-viewport-width=*, ch-width=*, ch-ect=*, ch-downlink=*"
    )
