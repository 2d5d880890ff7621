"""The console on an API in memory: uploads, the grid, and what keeps it usable for everybody."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.chromium import TIMEOUT
from tests.console.chromium import choose, until
from tests.console.conftest import Open
from tests.console.fake_api import PART, TILE, TILED, FakeApi, picture
from worker import prices

expect.set_options(timeout=TIMEOUT)
VIEWS = ("#/", "#/asset/00000000-0000-7000-8000-000000000001", "#/operations")


def photo(folder: Path, name: str = "harbour.jpg") -> Path:
    """A small photo."""
    path = folder / name
    path.write_bytes(picture(3))
    return path


def large(folder: Path, size: int) -> Path:
    """A file that goes in parts."""
    path = folder / "holiday.mp4"
    path.write_bytes(bytes(size))
    return path


def test_a_photo_is_uploaded_and_shown(api: FakeApi, open_page: Open, tmp_path: Path) -> None:
    """A chosen file becomes a tile with its picture, and a row that leads to it."""
    page = open_page()
    choose(page, photo(tmp_path))
    expect(page.locator("#tray")).to_contain_text("Ready")
    shown = page.locator(".tile").filter(has_text="harbour.jpg")
    expect(shown.locator("img.picture[data-shown='true']")).to_be_visible()
    page.get_by_role("link", name="Show harbour.jpg").click()
    expect(page.get_by_role("heading", name="harbour.jpg")).to_be_visible()


def test_a_bad_file_says_why(api: FakeApi, open_page: Open, tmp_path: Path) -> None:
    """A rejected file says so with its reason, in the list of uploads and in the grid."""
    bad = tmp_path / "letter.txt"
    bad.write_text("Dear Sir")
    page = open_page()
    choose(page, bad)
    expect(page.locator("#tray")).to_contain_text("Rejected: the content is of no known format")
    shown = page.locator(".tile").filter(has_text="letter.txt")
    expect(shown).to_contain_text("the content is of no known format")


def test_a_picture_is_pasted(open_page: Open) -> None:
    """A file on the clipboard is uploaded."""
    page = open_page()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(2000)], 'screenshot.png', {type: 'image/png'}));
          document.body.dispatchEvent(
            new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
        }"""
    )
    expect(page.locator(".tile").filter(has_text="screenshot.png")).to_be_visible()


def test_a_photograph_is_taken(open_page: Open, tmp_path: Path) -> None:
    """The button asks for one picture, and a phone for its camera."""
    page = open_page(width=360, height=740)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Photograph").click()
    taken = chooser.value
    asks = "input => [input.accept, input.getAttribute('capture')]"
    assert taken.element.evaluate(asks) == ["image/*", "environment"]
    assert not taken.is_multiple()
    taken.set_files(str(photo(tmp_path, "camera.jpg")))
    expect(page.locator(".tile").filter(has_text="camera.jpg")).to_be_visible()


def test_an_empty_file_is_refused_in_words(open_page: Open, tmp_path: Path) -> None:
    """An empty file is not sent; a sentence says so."""
    empty = tmp_path / "nothing.jpg"
    empty.touch()
    page = open_page()
    choose(page, empty)
    expect(page.locator("#toast")).to_contain_text("nothing.jpg is empty")


def test_an_upload_survives_killed_connections(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """Parts whose connection breaks are sent again; the others are not."""
    api.cut = itertools.chain([True, False, True], itertools.repeat(False))
    page = open_page()
    size = 3 * PART + 1000
    choose(page, large(tmp_path, size))
    expect(page.locator("#tray")).to_contain_text("Ready")
    assert sum(sent for _, _, sent in api.requests) == size


def test_an_upload_continues_after_a_reload(api: FakeApi, open_page: Open, tmp_path: Path) -> None:
    """A reload in the middle costs the part that was on its way, and no other."""
    page = open_page()
    # All but the first two parts break off: the page waits to try again.
    api.cut = itertools.chain([False, False], itertools.repeat(True))
    size = 4 * PART
    choose(page, large(tmp_path, size))
    expect(page.locator("#tray")).to_contain_text("Tries again by itself")
    until(lambda: len(api.requests) == 2)
    api.cut = itertools.repeat(False)
    page.reload()
    expect(page.locator("#tray")).to_contain_text("Ready")
    assert sum(sent for _, _, sent in api.requests) == size
    assert len(api.uploads) == 1


def test_an_upload_is_paused_and_resumed(api: FakeApi, open_page: Open, tmp_path: Path) -> None:
    """Pause stops the sending; resume ends it."""
    page = open_page()
    api.cut = itertools.repeat(True)
    choose(page, large(tmp_path, 2 * PART))
    expect(page.locator("#tray")).to_contain_text("Tries again by itself")
    page.get_by_role("button", name="Pause holiday.mp4").click()
    expect(page.locator("#tray")).to_contain_text("Paused")
    api.cut = itertools.repeat(False)
    page.get_by_role("button", name="Resume holiday.mp4").click()
    expect(page.locator("#tray")).to_contain_text("Ready")


def test_markup_in_names_is_shown_as_text(api: FakeApi, open_page: Open) -> None:
    """Names, tags, captions and reasons with markup are text, whatever they hold."""
    name = '<img src=x onerror="document.title=1">.jpg'
    asset = api.add(1, name=name, tags=["<b>bold</b>"])
    page = open_page()
    expect(page.locator(".tile").filter(has_text=name)).to_be_visible()
    page.goto(f"{api.url}/console/#/asset/{asset['id']}")
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_text("<b>no markup</b>", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="<b>bold</b>")).to_be_visible()
    assert page.locator("main b:text-is('bold'), main img[src='x']").count() == 0
    assert name in page.title()


def assert_accessible(page: Page) -> None:
    """axe-core finds nothing serious in the page as it is."""
    found = Axe().run(page)
    serious = [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == [], json.dumps(serious, indent=1)


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_everybody_can_use_it(api: FakeApi, open_page: Open, scheme: str, width: int) -> None:
    """axe-core finds nothing serious in any view, tab or dialog, on phone and desk."""
    api.add(1, tags=["sea"], tiles="/tiles/image.dzi")
    api.add(
        2, status="rejected", renditions=[], placeholder=None,
        verdict={"code": "unknown_format", "message": "the content is of no known format"},
    )  # fmt: skip
    for view in VIEWS:
        page = open_page(view, width=width, scheme=scheme)
        expect(page.locator("main h1").first).to_be_visible()
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        if view == VIEWS[0]:
            expect(page.locator(".tile")).to_have_count(2)
        assert_accessible(page)
        if view == VIEWS[1]:
            for tab in page.get_by_role("tab").all():
                tab.click()
                if tab.inner_text() == "Zoom":
                    expect(page.locator(".zoom[data-open]")).to_be_visible()
                assert_accessible(page)
            page.get_by_role("button", name="Delete").click()
            assert_accessible(page)
        if view == VIEWS[2]:
            page.get_by_text("Prices and assumptions").click()
            assert_accessible(page)
            page.get_by_role("button", name="Send back").click()
            assert_accessible(page)


@pytest.mark.parametrize("width", [360, 1440])
def test_a_trace_is_a_waterfall(api: FakeApi, open_page: Open, width: int) -> None:
    """Steps in time below each other, calls if they are asked for, what is missing in words."""
    api.add(1)
    page = open_page(VIEWS[1], width=width, height=900)
    rows = page.locator(".waterfall li")
    expect(rows).to_have_count(10)
    said = page.locator(".missing").inner_text()
    assert said == "Missing: 1 time that no step covers, a part in which 1 step lay, tell."
    names = [one.inner_text() for one in page.locator(".waterfall .step").all()]
    assert names[0] == "upload"
    assert names[7:] == ["Nothing after ingest", "? webhook", "deliver"]
    assert page.locator("[data-kind=bad] .detail").inner_text() == "webhook_refused"
    boxes = [one.bounding_box() for one in page.locator(".waterfall .rod").all()]
    lefts = [round(box["x"]) for box in boxes if box is not None]
    assert lefts == sorted(lefts)
    rails = page.locator(".waterfall .rail").first.bounding_box()
    assert rails is not None
    assert all(
        rails["x"] <= box["x"] + 1 and box["x"] + box["width"] <= rails["x"] + rails["width"] + 1
        for box in boxes
        if box is not None
    )
    page.get_by_label("Show calls").check()
    expect(rows).to_have_count(11)
    assert_accessible(page)


def test_a_console_without_traces_shows_none(api: FakeApi, open_page: Open) -> None:
    """On AWS there is no such route: nobody asks for it."""
    api.add(1)
    api.configuration["operations"] = False
    page = open_page(VIEWS[1])
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    assert page.get_by_role("heading", name="Trace").count() == 0


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_a_phone(api: FakeApi, open_page: Open, view: str) -> None:
    """At 360 pixels no view scrolls sideways."""
    api.add(1, name="a-very-long-name-without-any-place-to-break-it-" * 3 + ".jpg", tags=["x" * 90])
    page = open_page(view, width=360, height=740)
    expect(page.locator("main h1").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_thousands_of_assets_are_few_elements(api: FakeApi, open_page: Open) -> None:
    """Of 5,000 assets the page holds those that can be seen, from the first to the last one."""
    for number in range(5_000):
        api.add(number + 1)
    page = open_page()
    expect(page.locator(".tile").first).to_contain_text("picture-05000.jpg")
    last = page.locator(".tile").filter(has_text="picture-00001.jpg")
    while not last.count():
        assert page.locator(".tile").count() < 150
        page.keyboard.press("End")
        page.mouse.wheel(0, 100_000)
    expect(last).to_be_visible()
    expect(page.locator(".count")).to_have_text("5,000 assets")


def test_the_grid_is_used_by_keyboard(api: FakeApi, open_page: Open) -> None:
    """Arrows move between tiles, Enter opens one, and the way back leads to the same place."""
    for number in range(300):
        api.add(number + 1)
    page = open_page()
    expect(page.locator(".tile").first).to_contain_text("picture-00300.jpg")
    page.locator(".tile a").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile a:focus")).to_contain_text("picture-00299.jpg")
    page.keyboard.press("PageDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("picture-00")
    page.go_back()
    expect(page.locator(".tile").first).to_be_visible()


def test_filters_narrow_the_list(api: FakeApi, open_page: Open) -> None:
    """Status, tag and text narrow the list, and stand in the address."""
    api.add(1, name="sea.jpg", tags=["sea"])
    api.add(2, name="town.jpg")
    page = open_page()
    expect(page.locator(".tile")).to_have_count(2)
    page.get_by_label("Search file names").fill("tow")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator(".tile")).to_contain_text("town.jpg")
    assert page.url.endswith("#/?text=tow")
    page.get_by_label("Search file names").fill("")
    expect(page.locator(".tile")).to_have_count(2)
    page.get_by_label("Tag").fill("sea")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator(".tile")).to_contain_text("sea.jpg")
    page.get_by_role("radio", name="Rejected").check()
    expect(page.get_by_text("Nothing fits")).to_be_visible()


def test_a_change_arrives_by_itself(api: FakeApi, open_page: Open) -> None:
    """Changes made elsewhere appear without a reload: new assets, new states, deletions."""
    api.add(1, name="first.jpg")
    page = open_page()
    expect(page.locator(".tile")).to_have_count(1)
    asset = api.add(2, name="second.jpg", status="processing", renditions=[], placeholder=None)
    api.changed.append(asset["id"])
    expect(page.locator(".tile").first).to_contain_text("Processing")
    api.assets.pop(asset["id"])
    api.changed.append(asset["id"])
    expect(page.locator(".tile")).to_have_count(1)


def test_tags_and_focal_point_are_changed(api: FakeApi, open_page: Open) -> None:
    """A tag is added and removed; the focal point goes to where a person clicks."""
    asset = api.add(1)
    page = open_page(f"#/asset/{asset['id']}")
    page.get_by_label("Add a tag").fill("sea")
    page.get_by_label("Add a tag").press("Enter")
    page.get_by_role("button", name="Remove the tag sea").click()
    expect(page.get_by_text("No tags")).to_be_visible()
    page.get_by_role("tab", name="Focal point").click()
    area = page.locator(".focus-area")
    box = area.bounding_box()
    assert box is not None
    area.click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("27 % across, 50 % down")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toast")).to_contain_text("Saved")
    assert api.assets[asset["id"]]["focal_point"]["y"] == 0.5


def test_two_renditions_are_compared(api: FakeApi, open_page: Open) -> None:
    """The line between two renditions moves by keyboard, and the bytes are compared."""
    page = open_page(f"#/asset/{api.add(1)['id']}")
    page.get_by_role("tab", name="Compare").click()
    line = page.get_by_role("slider")
    expect(line).to_be_visible()
    line.focus()
    page.keyboard.press("End")
    assert page.locator(".compare").evaluate("box => box.style.getPropertyValue('--at')") == "100%"
    expect(page.get_by_text("fewer bytes")).to_be_visible()


def test_tiles_are_made_and_seen(api: FakeApi, open_page: Open) -> None:
    """A button starts the job; once that is done, keys lead to the last level of the tiles."""
    asset = api.add(1)
    page = open_page(f"#/asset/{asset['id']}")
    page.get_by_role("tab", name="Zoom").click()
    page.get_by_role("button", name="Make tiles").click()
    expect(page.get_by_text("Tiles are being made.")).to_be_visible()
    asset["jobs"][0]["state"] = "SUCCEEDED"
    asset["tiles"] = "/tiles/image.dzi"
    viewer = page.get_by_role("application", name="picture-00001.jpg")
    expect(page.get_by_text(re.compile("4,000 . 3,000 pixels, shown at"))).to_be_visible()
    viewer.focus()
    last = max(TILED).bit_length()
    for _ in range(40):
        page.keyboard.press("+")
        if any(level == last for level, *_ in api.tiles):
            break
        page.wait_for_timeout(50)
    until(lambda: any(level == last for level, *_ in api.tiles))
    seen = max(column for level, column, _ in api.tiles if level == last)
    page.keyboard.press("0")
    assert seen < TILED[0] // TILE, "all of the largest level was loaded"
    # Leaving the viewer takes it down without an error, which the fixture would see.
    page.get_by_role("tab", name="Preview").click()
    expect(viewer).to_have_count(0)


def test_what_jobs_made_says_why_it_stays(api: FakeApi, open_page: Open) -> None:
    """An asset that cannot be made again has no button for it, and a sentence gives the reason."""
    asset = api.add(1, settled="it was made by jobs")
    page = open_page(f"#/asset/{asset['id']}")
    expect(page.get_by_text("Not offered: it was made by jobs.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    assert page.get_by_role("button", name="Reprocess").count() == 0
    assert page.get_by_role("tab", name="Focal point").count() == 0
    page.goto(f"{api.url}/console/#/asset/{api.add(2)['id']}")
    expect(page.get_by_role("button", name="Reprocess")).to_be_visible()
    expect(page.get_by_role("tab", name="Focal point")).to_be_visible()


def test_the_cost_so_far_says_what_it_rests_on(open_page: Open) -> None:
    """The sum, its parts, and every price with its source and day; a list that is open stays so."""
    page = open_page("#/operations")
    cost = page.get_by_role("region", name="Cost so far")
    expect(cost).to_contain_text("159 uploads, 6 days")
    expect(cost.locator("li").filter(has_text="Machines for jobs")).to_contain_text("$0.036")
    cost.get_by_text("Prices and assumptions").click()
    lines = cost.locator("tbody tr")
    expect(lines).to_have_count(len(prices.figures()))
    expect(lines.filter(has_text="Lambda on arm64")).to_contain_text("aws.amazon.com")
    expect(cost).to_contain_text("Not counted:")


def test_metrics_are_counted_on_the_page(open_page: Open) -> None:
    """Each with its dimensions, its figure and how many values it is of; text is no markup."""
    page = open_page("#/operations")
    lines = page.get_by_role("region", name="Metrics so far").locator("tbody tr")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_have_text("RetriesSum22")
    expect(lines.nth(1)).to_have_text("Uploadsoutcome: acceptedSum1,2341,234")
    expect(lines.nth(2)).to_contain_text("outcome: <i>other</i>")


def test_dead_letters_are_sent_back(api: FakeApi, open_page: Open) -> None:
    """A person confirms, then the letters go back and their number is told."""
    page = open_page("#/operations")
    page.get_by_role("button", name="Send back").click()
    page.get_by_role("dialog").get_by_role("button", name="Send back").click()
    expect(page.locator("#toast")).to_contain_text("4 messages sent back")


def test_without_push_the_page_looks_more_often_while_something_is_on_its_way(
    api: FakeApi, open_page: Open
) -> None:
    """As on AWS: every five seconds until the last asset is ready, then twice a minute."""
    api.configuration["live"] = False
    asset = api.add(1, status="processing")
    page = open_page()
    expect(page.locator("#live-text")).to_have_text("Every few seconds")

    asset |= {"status": "accepted", "revision": 2}

    expect(page.locator("#live-text")).to_have_text("Twice a minute")
    expect(page.locator(".tile").filter(has_text="picture-00001.jpg")).not_to_contain_text(
        "Processing"
    )
