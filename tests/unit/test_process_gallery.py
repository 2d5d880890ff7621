"""The gallery page: safe with any name, whole without a network."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.unit.process_engines import MEASURES, PROBE
from worker.domain.image import Dropped, Format, Metadata, StoredRendition, Tags
from worker.services.process_files import gallery, output_folder, wording
from worker.services.process_files.gallery import loaded_by_phone
from worker.services.process_files.output_folder import (
    Cause,
    Entry,
    FileStatus,
    InputFile,
    RecipeUsed,
)

HOSTILE = "in/\"><script>alert(1)</script>'\n日本 %2e?#.jpg"


def made(name: str, format_: Format, width: int, height: int, size: int) -> StoredRendition:
    """A rendition as a manifest lists it."""
    return StoredRendition(
        name=name,
        format=format_,
        width=width,
        height=height,
        frames=1,
        bytes=size,
        key=f"photo/{name}.{format_.extension}",
        sha256="0" * 64,
    )


ACCEPTED = Entry(
    source="in/photo.jpg",
    status=FileStatus.ACCEPTED,
    reason=None,
    name="photo",
    input=InputFile(path="../in/photo.jpg", bytes=10_000, modified_ns=1, sha256="0" * 64),
    recipe=RecipeUsed(name="default", version=1, digest="d"),
    engine="1",
    plan="0123456789abcdef",
    probe=PROBE,
    metadata=Metadata(sha256="0" * 64, icc=None, tags=Tags(caption="A hill"), measures=MEASURES),
    renditions=(
        made("thumbnail", Format.JPEG, 10, 10, 200),
        made("medium", Format.JPEG, 20, 15, 900),
        made("medium", Format.WEBP, 20, 15, 700),
        made("large", Format.JPEG, 40, 30, 3000),
        made("large", Format.WEBP, 40, 30, 2500),
    ),
    dropped=(
        Dropped(name="large", format=Format.AVIF, bytes=2600, kept=Format.WEBP, kept_bytes=2500),
    ),
    seconds=0.25,
)

REJECTED = replace(
    ACCEPTED,
    source="in/bad.jpg",
    name="bad",
    status=FileStatus.REJECTED,
    reason=Cause(code="truncated", message="it ends early"),
    renditions=(),
    dropped=(),
    metadata=None,
)


class Page(HTMLParser):
    """Every tag of a page with its attributes, and its text."""

    def __init__(self, text: str) -> None:
        """Read the page."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        """Remember text."""
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every tag of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def hostile(entry: Entry) -> Entry:
    """The same record with hostile text wherever text comes from outside."""
    metadata = entry.metadata and replace(
        entry.metadata, tags=Tags(caption=HOSTILE, camera_make=HOSTILE, keywords=(HOSTILE,))
    )
    return replace(
        entry,
        source=HOSTILE,
        input=replace(entry.input, path=f"../{HOSTILE}"),
        metadata=metadata,
        reason=entry.reason and replace(entry.reason, message=HOSTILE),
    )


def test_hostile_text_stays_text() -> None:
    """Markup in names, captions and messages makes no tags, attributes or addresses."""
    calm = Page(gallery.page([ACCEPTED, REJECTED]))
    page = Page(gallery.page([hostile(ACCEPTED), hostile(REJECTED)]))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in calm.tags}
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    addresses = {attributes.get("href", "") for attributes in page.all("a")}
    assert "../in/%22%3E%3Cscript%3Ealert%281%29%3C/script%3E%27%0A" in "".join(addresses)
    assert HOSTILE.rpartition("/")[2] in page.text


def test_page_needs_nothing_but_its_pictures() -> None:
    """Every address is relative, a fragment or data: no network, and it works as a file."""
    page = Page(gallery.page([ACCEPTED, REJECTED]))
    for _, attributes in page.tags:
        for name in ("href", "src", "srcset"):
            assert "//" not in attributes.get(name, "")
    assert not page.all("iframe")


def test_policy_allows_exactly_what_is_there() -> None:
    """The content security policy names the page's own style and script by their digests."""
    text = gallery.page([ACCEPTED])
    (policy,) = [m["content"] for m in Page(text).all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        found = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in Page(text).tags)


def test_browser_gets_a_choice() -> None:
    """The picture is offered as WebP and JPEG at the sizes that show all of it, with its size."""
    page = Page(gallery.page([ACCEPTED]))
    (source,) = page.all("source")
    assert source["type"] == "image/webp"
    assert source["srcset"] == "photo/medium.webp 20w, photo/large.webp 40w"
    (image,) = page.all("img")
    assert image["srcset"] == "photo/medium.jpg 20w, photo/large.jpg 40w"
    assert (image["width"], image["height"]) == ("40", "30")
    assert image["alt"] == "A hill"
    assert "loading" in image


def test_page_says_what_was_saved() -> None:
    """The saving is told from the file that a phone loads."""
    text = Page(gallery.page([ACCEPTED])).text
    assert "10 kB of originals; a phone loads 2.5 kB to show them all." in text
    assert "10 kB → 2.5 kB on a phone, 75% smaller" in text
    assert "not kept: webp has 2.5 kB" in text


def test_still_is_no_saving_on_an_animation() -> None:
    """An animation is compared with the file that moves, not with its smaller poster."""
    moving = replace(made("large", Format.WEBP, 40, 30, 8000), frames=9)
    entry = replace(ACCEPTED, renditions=(made("large", Format.JPEG, 40, 30, 500), moving))
    assert "10 kB → 8.0 kB on a phone, 20% smaller" in Page(gallery.page([entry])).text


def test_the_largest_file_of_transparency_is_transparent() -> None:
    """A transparent picture leads to the file that keeps it transparent, large as it is."""
    renditions = (
        made("large", Format.JPEG, 40, 30, 500),
        made("large", Format.WEBP, 40, 30, 5000),
    )
    entry = replace(ACCEPTED, probe=replace(PROBE, alpha=True), renditions=renditions)
    (view,) = [a for a in Page(gallery.page([entry])).all("a") if "view" in a.get("class", "")]
    assert view["href"] == "photo/large.webp"


def test_a_phone_loads_what_its_browser_chooses() -> None:
    """Of 256, 1024 and 2048 pixels a screen of 1080 takes 1024, of 400 and 1200 it takes 1200."""

    def phone(*widths: int) -> int:
        files = tuple(made(f"w{w}", Format.JPEG, w, w * 3 // 4, w) for w in widths)
        return loaded_by_phone(replace(ACCEPTED, renditions=files)).width

    assert phone(256, 1024, 2048) == 1024
    assert phone(400, 1200) == 1200
    assert phone(256, 512) == 512
    assert phone(2048, 4000) == 2048


def test_a_format_without_the_largest_size_is_not_offered() -> None:
    """A WebP that is kept as a thumbnail alone would be blown up in place of the large JPEG."""
    files = (
        made("small", Format.JPEG, 20, 15, 900),
        made("small", Format.WEBP, 20, 15, 700),
        made("large", Format.JPEG, 40, 30, 3000),
    )
    page = Page(gallery.page([replace(ACCEPTED, renditions=files)]))
    assert not page.all("source")
    assert "10 kB → 3.0 kB on a phone" in page.text


def test_no_gain_is_not_drawn_as_one() -> None:
    """A file as large as its original is neither a gain nor a loss."""
    files = (made("large", Format.JPEG, 40, 30, 9_990),)
    page = Page(gallery.page([replace(ACCEPTED, renditions=files)]))
    assert [tag["class"] for tag in page.all("b")] == ["same"]
    assert "10 kB → 10 kB on a phone, the same size" in page.text
    assert "0% smaller" not in page.text


def test_rejections_are_reached_from_their_count() -> None:
    """The number of rejected files leads to their list; without any it leads nowhere."""
    page = Page(gallery.page([ACCEPTED, REJECTED]))
    assert {"href": "#rejected"} in page.all("a")
    assert "rejected" in [attributes.get("id") for attributes in page.all("h2")]
    assert {"href": "#rejected"} not in Page(gallery.page([ACCEPTED])).all("a")


def test_equal_files_are_said_to_be_the_same() -> None:
    """A file that is the same as another one says of which, and is counted."""
    duplicate = replace(ACCEPTED.renditions[-1], name="huge", same_as="large")
    page = Page(gallery.page([replace(ACCEPTED, renditions=(*ACCEPTED.renditions, duplicate))]))
    assert "40 × 30, the same file as large" in page.text  # noqa: RUF001 - a times sign is meant
    assert "1 the same as another" in page.text


def test_placeholder_and_palette_are_checked() -> None:
    """The blurred picture is a PNG inside the style; nothing else of a manifest gets into it."""
    assert ACCEPTED.metadata is not None
    measures = replace(MEASURES, thumbhash="?", palette=("#aa5500", "url(x)"))
    entry = replace(ACCEPTED, metadata=replace(ACCEPTED.metadata, measures=measures))
    text = gallery.page([entry])
    fills = {attributes.get("fill") for attributes in Page(text).all("rect")}
    assert "#aa5500" in fills
    assert "url(x)" not in fills
    assert "background-image:url" not in text
    assert "#p1{background-image:url(data:image/png;base64,iVBORw0KGgo" in gallery.page([ACCEPTED])


def test_pages_without_pictures() -> None:
    """A rejected file is listed with code and message; a run stopped at once leaves a page too."""
    text = Page(gallery.page([REJECTED])).text
    assert "Nothing was accepted." in text
    assert "truncated it ends early" in text
    assert "Nothing is finished yet." in gallery.page([])


def test_sources_from_here_and_from_the_root_share_no_folder() -> None:
    """A relative and an absolute path in one run: each is shown with its whole folder."""
    page = Page(gallery.page([ACCEPTED, replace(ACCEPTED, source="/mnt/card/good.jpg")]))
    assert "/mnt/card/" in page.text
    assert "in/" in page.text


def test_manifest_round_trip() -> None:
    """A record read back from its JSON is the record."""
    for entry in (ACCEPTED, REJECTED):
        assert output_folder.entry_from(output_folder.plain(entry)) == entry


@pytest.mark.parametrize(
    "broken",
    [None, [], {}, {"source": 3}, {"renditions": [], "input": {}}, {"renditions": [1]}],
)
def test_foreign_record_is_not_believed(broken: Any) -> None:
    """A record of another version is ignored without an error."""
    assert output_folder.entry_from(broken) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (wording.size_text(0), "0 B"),
        (wording.size_text(999), "999 B"),
        (wording.size_text(1000), "1.0 kB"),
        (wording.size_text(9_960), "10 kB"),
        (wording.size_text(999_600), "1.0 MB"),
        (wording.size_text(1_449_999), "1.4 MB"),
        (wording.size_text(3 * 10**15), "3000 TB"),
        (wording.seconds_text(0.2404), "240 ms"),
        (wording.seconds_text(3.24), "3.2 s"),
        (wording.seconds_text(720), "12 min"),
        (wording.seconds_text(9000), "2.5 h"),
        (wording.change_text(50, 100), "50% smaller"),
        (wording.change_text(1, 4000), "99.9% smaller"),
        (wording.change_text(150, 100), "50% larger"),
        (wording.change_text(99_700, 100_000), "the same size"),
        (wording.change_text(100_300, 100_000), "the same size"),
        (wording.change_text(99_400, 100_000), "1% smaller"),
        (wording.change_text(5, 0), ""),
    ],
)
def test_sizes_times_and_changes_in_words(text: str, said: str) -> None:
    """Two digits and the unit that fits; a change is a share, and nothing is 100 % smaller."""
    assert text == said
