"""HTML that shows a picture: the widths that are listed, every attribute, and escaping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api.rig import Api
from tests.unit.test_deliver import ASSET, MADE, PREFIX, VERSION, World, made
from worker.domain.asset import AssetRecord, LogEntry, Status, VideoInfo
from worker.domain.delivery import WIDTHS, url_path
from worker.domain.image import (
    FirstViewRendition,
    Format,
    Measures,
    Metadata,
    Probe,
    StoredRendition,
    Tags,
)
from worker.domain.markup import (
    Addresses,
    PictureMarkup,
    PictureSource,
    image_html,
    picture_html,
    picture_of,
)

BASE = "https://media.example"
EDGE = Addresses(of=lambda key: BASE + url_path(key), negotiated=True)
SIGNED = Addresses(of=lambda key: f"https://s3.example/{key}?X=1&Y=2", negotiated=False)
URL = f"{BASE}/{ASSET}/{VERSION}/"
WIDE = (made("large", Format.JPEG, 2048), made("large", Format.WEBP, 2048))
MEASURES = Measures(
    dominant="#336699",
    palette=("#336699",),
    thumbhash="AA==",
    phash="0" * 16,
    sharpness=1,
    brightness=1,
    contrast=1,
    clipped_dark=0,
    clipped_light=0,
)


def recorded(
    width: int = 3000,
    height: int = 2000,
    *,
    renditions: Iterable[StoredRendition] = (*MADE, made("large", Format.WEBP, 2048)),
    title: str | None = "Harbour",
    alpha: bool = False,
    orientation: int = 1,
) -> AssetRecord:
    """A record of a picture of 3:2, with what the default recipe makes."""
    return replace(
        World(renditions=renditions).record,
        probe=Probe(
            format=Format.JPEG,
            bytes=1,
            width=width,
            height=height,
            alpha=alpha,
            orientation=orientation,
        ),
        metadata=Metadata(sha256="0" * 64, icc=None, tags=Tags(title=title), measures=MEASURES),
    )


def shown(record: AssetRecord, addresses: Addresses = EDGE) -> PictureMarkup:
    """The picture of a record, which has one."""
    found = picture_of(record, addresses)
    assert found is not None
    return found


def listed(srcset: str) -> dict[str, str]:
    """URL by descriptor."""
    pairs = [one.split(" ") for one in srcset.split(", ")]
    return {width: url for url, width in pairs}


class PageTags(HTMLParser):
    """The tags of a text, as a browser reads them."""

    def __init__(self, text: str) -> None:
        """Read all of it."""
        super().__init__()
        self.found: list[tuple[str, Mapping[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one."""
        assert len(dict(attrs)) == len(attrs), "an attribute is there twice"
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep what is between tags."""
        self.text += data.strip()


def test_each_width_up_to_the_widest_rendition_is_listed() -> None:
    """2048 of 3000 pixels: no width that the recipe does not give, and no format, which the edge
    chooses."""
    found = shown(recorded())

    assert listed(found.srcset) == {
        **{f"{width}w": f"{URL}w/{width}" for width in (320, 480, 640, 960, 1280, 1920)},
        "2048w": f"{URL}large",
    }
    assert found.src == f"{URL}w/960"
    assert (found.width, found.height) == (2048, 1365)
    assert (found.sizes, found.alt, found.background) == ("auto, 100vw", "Harbour", "#336699")


@pytest.mark.parametrize(
    ("width", "last"),
    [
        (1600, {"960w": "w/960", "1280w": "w/1280", "1600w": "large"}),
        (1280, {"960w": "w/960", "1280w": "large"}),
        (1281, {"960w": "w/960", "1280w": "w/1280", "1281w": "large"}),
        (320, {"320w": "large"}),
        (319, {"319w": "large"}),
    ],
)
def test_the_widest_rendition_ends_the_list(width: int, last: dict[str, str]) -> None:
    """Under its name, which is the key of a file that is stored."""
    small = made("large", Format.JPEG, width)
    found = listed(shown(recorded(width, width * 2 // 3, renditions=[small])).srcset)

    assert {name: found[name].removeprefix(URL) for name in [*found][-len(last) :]} == last
    assert all(int(name[:-1]) <= width for name in found)


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.integers(1, 16_384))
def test_nothing_wider_than_the_original_is_listed(width: int, height: int, box: int) -> None:
    """For any shape and any size of the recipe, each URL is listed once, with rising widths."""
    share = min(1, box / max(width, height))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    found = shown(recorded(width, height, renditions=[made("page", Format.JPEG, *size)]))

    widths = [int(name[:-1]) for name in listed(found.srcset)]
    assert widths == sorted(set(widths))
    assert 1 <= widths[-1] <= width
    assert {*widths} <= {*WIDTHS, size[0]}


def test_a_turned_original_has_the_width_that_people_see() -> None:
    """2000 by 3000 pixels in the file, turned by a quarter."""
    found = shown(recorded(2000, 3000, orientation=6))

    assert [*listed(found.srcset)][-1] == "2048w"


def test_what_is_made_at_first_view_is_listed_like_what_is_stored() -> None:
    """By the edge, which makes it; a signed URL leads to a file that is there."""
    later = [
        FirstViewRendition(name="huge", format=one, width=2560, height=1707)
        for one in (Format.JPEG, Format.AVIF)
    ]
    record = replace(recorded(), first_view=tuple(later))

    found, signed = picture_of(record, EDGE), picture_of(record, SIGNED)

    assert found is not None
    assert signed is not None
    assert [*listed(found.srcset)][-1] == "2560w"
    assert found.width == 2560
    types = ["image/avif", "image/webp", "image/jpeg"]
    assert [one.type for one in found.sources] == types
    assert [one.type for one in signed.sources] == types[1:]
    assert "huge" not in signed.srcset


def test_a_recipe_that_only_cuts_lists_up_to_its_largest_cut() -> None:
    """Squares of 512 of a picture of 3:2: the original's width is that of another picture."""
    squares = [made("s", Format.JPEG, 256, 256), made("l", Format.JPEG, 512, 512)]
    found = shown(recorded(renditions=squares))

    assert [*listed(found.srcset)] == ["320w", "480w", "512w"]
    assert (found.width, found.height) == (512, 512)


def test_formats_are_fixed_by_endings() -> None:
    """Best first, the one that all clients can show last."""
    formats = (Format.WEBP, Format.JPEG, Format.AVIF, Format.JXL)
    found = shown(recorded(renditions=[made("large", one, 2048) for one in formats]))

    assert [one.type for one in found.sources] == [
        *("image/jxl", "image/avif", "image/webp", "image/jpeg")
    ]
    for one, ending in zip(found.sources, ("jxl", "avif", "webp", "jpg"), strict=True):
        assert one.src == f"{URL}w/960.{ending}"
        assert listed(one.srcset)["640w"] == f"{URL}w/640.{ending}"


def test_without_a_distribution_each_url_is_of_one_file() -> None:
    """Signed URLs: the page chooses among the files that there are."""
    found = shown(recorded(), SIGNED)

    assert [one.type for one in found.sources] == ["image/webp", "image/jpeg"]
    webp, jpeg = (listed(one.srcset) for one in found.sources)
    assert webp["1024w"] == f"https://s3.example/{PREFIX}medium.webp?X=1&Y=2"
    assert [*jpeg] == ["1024w", "2048w"], "the square thumbnail is another picture"
    assert found.srcset == found.sources[-1].srcset
    assert found.src == f"https://s3.example/{PREFIX}medium.jpg?X=1&Y=2"


def test_transparent_pictures_have_no_background() -> None:
    """It would show through."""
    assert shown(recorded(alpha=True)).background is None
    assert shown(replace(recorded(), metadata=None)).background is None


def test_nothing_to_show() -> None:
    """Before something is made, after the end, and of videos, which are no pictures."""
    record = recorded()
    video = VideoInfo(
        container="mp4", duration_ms=1, width=1, height=1, frame_rate="25", codec="h264"
    )
    for one in (
        *(replace(record, status=status) for status in (Status.DELETED, Status.REJECTED)),
        replace(record, renditions=()),
        replace(record, film=video),
    ):
        assert picture_of(one, EDGE) is None


def test_every_attribute_of_an_image() -> None:
    """By default it is loaded late, and the browser measures it."""
    found = shown(recorded())
    ((tag, attributes),) = PageTags(image_html(found)).found

    assert tag == "img"
    assert attributes == {
        "src": found.src,
        "srcset": found.srcset,
        "sizes": "auto, 100vw",
        "width": "2048",
        "height": "1365",
        "alt": "Harbour",
        "loading": "lazy",
        "decoding": "async",
        "style": "background:#336699",
    }


def test_the_first_picture_of_a_page_is_loaded_at_once() -> None:
    """``auto`` is for lazy pictures only."""
    found = shown(recorded(alpha=True))
    ((_, plain),) = PageTags(image_html(found, lazy=False, alt="")).found
    ((_, sized),) = PageTags(image_html(found, lazy=False, sizes="auto, 50vw")).found
    ((_, late),) = PageTags(image_html(found, sizes="(width >= 60rem) 50vw, 100vw")).found

    assert plain["sizes"] == "100vw"
    assert plain["fetchpriority"] == "high"
    assert plain["alt"] == ""
    assert not {"loading", "style"} & {*plain}
    assert sized["sizes"] == "50vw"
    assert late["sizes"] == "(width >= 60rem) 50vw, 100vw"


def test_every_attribute_of_a_picture() -> None:
    """A source for each better format; the image has the format that all can show."""
    found = shown(recorded())
    read = PageTags(picture_html(found, sizes="50vw", alt="Boats"))

    assert [tag for tag, _ in read.found] == ["picture", "source", "img"]
    assert read.found[1][1] == {
        "type": "image/webp",
        "srcset": found.sources[0].srcset,
        "sizes": "50vw",
    }
    image = read.found[2][1]
    assert (image["src"], image["srcset"]) == (found.sources[1].src, found.sources[1].srcset)
    assert (image["sizes"], image["alt"], image["loading"]) == ("50vw", "Boats", "lazy")


@given(st.text(), st.text())
def test_texts_cannot_end_their_attribute(alt: str, sizes: str) -> None:
    """Any text leaves the tags and attributes of the page unchanged."""
    found = replace(shown(recorded(title=alt), SIGNED), sizes=sizes)
    for html in (image_html(found), picture_html(found), image_html(found, alt=alt, sizes=sizes)):
        read = PageTags(html)
        assert read.text == ""
        assert {tag for tag, _ in read.found} <= {"img", "picture", "source"}
        image = read.found[-1][1]
        assert [*image] == [
            *("src", "srcset", "sizes", "width", "height", "alt", "loading", "decoding", "style")
        ]


@pytest.mark.parametrize(
    "alt", ['"><script>alert(1)</script>', "' onerror='x", "&lt;b&gt;", "é—\n"]
)
def test_a_title_stays_text(alt: str) -> None:
    """And comes back as it was written."""
    ((_, image),) = PageTags(image_html(shown(recorded(title=alt)))).found

    assert image["alt"] == alt
    assert "<script" not in image_html(shown(recorded(title=alt)))


def test_a_picture_of_the_api_is_read_back() -> None:
    """From JSON; what is none of the API is refused."""
    found = shown(recorded())
    document = asdict(found)

    assert PictureMarkup.read(document) == found
    assert isinstance(PictureMarkup.read(document).sources[0], PictureSource)
    wrongs: list[dict[str, object]] = [{}, {"sources": []}, {**document, "more": 1}]
    for wrong in (*wrongs, {**document, "sources": [1]}):
        with pytest.raises(ValueError, match="no picture of the API"):
            PictureMarkup.read(wrong)


def test_the_api_says_how_to_show_a_picture() -> None:
    """In lists and of one asset; a program makes the same tag of it as the API's own HTML."""
    for environment, tag in (({"SAFELIGHT_DELIVERY_URL": BASE + "/"}, "img"), ({}, "picture")):
        api = Api(environment=environment)
        record = replace(recorded(), owner="ann")
        api.catalog.commit(record, LogEntry(time=record.updated_at, kind="test"))

        one = api.call("GET", f"/assets/{ASSET}").json()
        (listed_one,) = api.call("GET", "/assets").json()["assets"]

        assert one["picture"] == listed_one["picture"]
        found = PictureMarkup.read(one["picture"])
        made_here = image_html(found) if tag == "img" else picture_html(found)
        assert one["snippet"] == made_here
        assert made_here.startswith(f"<{tag}")
        assert found.src.startswith(f"{BASE}/{ASSET}/" if tag == "img" else "https://delivery.")
    waiting = Api()
    assert waiting.call("GET", f"/assets/{waiting.begin()['asset']}").json()["picture"] is None
