"""The console when something is wrong: addresses, lists, two pages, uploads that cannot go on."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console.chromium import choose, until
from tests.console.conftest import Open
from tests.console.fake_api import PART, FakeApi
from tests.console.test_console import large, photo


def waiting(api: FakeApi, page: Page, folder: Path) -> None:
    """A large upload of which two parts have arrived and the others break off."""
    api.cut = itertools.chain([False, False], itertools.repeat(True))
    choose(page, large(folder, 4 * PART))
    expect(page.locator("#tray")).to_contain_text("Tries again by itself")
    until(lambda: len(api.requests) == 2)


def sent(api: FakeApi) -> int:
    """Bytes that the store has taken."""
    return sum(count for _, _, count in api.requests)


@pytest.mark.parametrize(
    "view", ["#/asset/%E0%A4%A", "#/asset/..%2f..%2fhealthz", "#/asset/../../x", "#/asset/<b>"]
)
def test_an_address_that_names_nothing_says_so(open_page: Open, view: str) -> None:
    """And the page goes on: changes are followed, the way back is there."""
    page = open_page(view)
    expect(page.get_by_role("heading", name="There is no such asset")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.get_by_role("link", name="Back to the library").click()
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()


def test_a_list_that_is_refused_is_asked_for_once(api: FakeApi, open_page: Open) -> None:
    """The reason is shown; the next request is made by a person."""
    api.add(1)
    api.refused = 422
    page = open_page()
    expect(page.get_by_text("1 field is wrong")).to_be_visible()
    page.mouse.wheel(0, 500)  # each drawing used to ask again
    page.set_viewport_size({"width": 900, "height": 700})
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert api.lists == 1
    api.refused = 0
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".tile")).to_have_count(1)


def test_a_token_that_has_ended_is_replaced(api: FakeApi, open_page: Open) -> None:
    """By the one that a person pastes, even where the page was given one of its own."""
    api.add(1)
    api.refused = 401
    page = open_page()
    box = page.get_by_label("Token")
    box.fill("another-token")
    api.refused = 0
    with page.expect_request(
        lambda asked: asked.headers.get("authorization") == "Bearer another-token"
    ):
        page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator(".tile")).to_have_count(1)


def test_an_upload_whose_token_has_ended_asks_to_sign_in(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """In the words of every other request, and not by a code."""
    api.ended = True
    page = open_page()
    choose(page, photo(tmp_path))
    asked = page.get_by_role("dialog", name="Sign in")
    expect(asked).to_contain_text("Your sign-in has ended. Sign in again.")


def test_two_pages_do_not_send_the_same_upload(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """The second one leaves it to the first, and goes on with it when that is closed."""
    first = open_page()
    waiting(api, first, tmp_path)
    second = first.context.new_page()
    second.goto(f"{api.url}/console/")
    expect(second.locator("#live")).to_have_attribute("data-state", "on")
    expect(second.locator(".tile")).to_have_count(1)
    expect(second.locator("#tray")).to_be_hidden()
    api.cut = itertools.repeat(False)
    first.close()
    expect(second.locator("#tray")).to_contain_text("Ready")
    assert sent(api) == 4 * PART
    assert len(api.uploads) == 1


def test_an_upload_that_has_expired_is_begun_again(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """Under another asset, once; and it is not remembered twice."""
    page = open_page()
    waiting(api, page, tmp_path)
    api.expired.update(api.uploads)
    api.cut = itertools.repeat(False)
    page.reload()
    expect(page.locator("#tray")).to_contain_text("Ready")
    assert len(api.uploads) == 2
    page.reload()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator("#tray")).to_be_hidden()


def test_an_upload_whose_asset_was_deleted_is_over(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """It does not come back as another one."""
    page = open_page()
    waiting(api, page, tmp_path)
    gone = {"status": 410, "json": {"code": "asset_erased", "detail": "the asset was deleted"}}
    page.route("**/uploads/*", lambda route: route.fulfill(**gone))
    page.reload()
    expect(page.locator("#tray")).to_contain_text("the asset was deleted")
    assert len(api.uploads) == 1


def test_an_upload_that_was_removed_does_not_come_back(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """A reload brings back what is going on, and not what a person has put away."""
    page = open_page()
    page.route("**/uploads", lambda route: route.fulfill(status=422, json={"detail": "too large"}))
    choose(page, photo(tmp_path))
    expect(page.locator("#tray")).to_contain_text("too large")
    page.get_by_role("button", name="Remove harbour.jpg").click()
    expect(page.locator("#tray")).to_be_hidden()
    page.unroute("**/uploads")
    page.reload()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.locator("#tray")).to_be_hidden()
    assert api.uploads == {}


def test_what_is_cancelled_while_it_is_asked_for_leaves_nothing(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """The answer with its id has not come yet; the asset goes all the same."""
    page = open_page()
    api.asking.clear()
    choose(page, photo(tmp_path))
    until(lambda: len(api.uploads) == 1)
    page.get_by_role("button", name="Cancel harbour.jpg").click()
    api.asking.set()
    until(lambda: not api.assets)
    assert api.requests == []


def test_uploads_wait_for_the_network(api: FakeApi, open_page: Open, tmp_path: Path) -> None:
    """All parts go on at once when it is back, and none is sent twice."""
    page = open_page()
    waiting(api, page, tmp_path)
    page.context.set_offline(True)
    api.cut = itertools.repeat(False)
    page.context.set_offline(False)
    expect(page.locator("#tray")).to_contain_text("Ready")
    assert sent(api) == 4 * PART


def test_a_name_is_shown_in_the_order_of_its_letters(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """A mark of direction makes ``exe.jpg`` of ``gpj.exe``."""
    odd = tmp_path / "\u202egpj.exe"
    odd.write_bytes(photo(tmp_path).read_bytes())
    page = open_page()
    choose(page, odd)
    expect(page.locator("#tray b")).to_have_text("_gpj.exe")


def test_arrows_go_on_from_what_is_focused(api: FakeApi, open_page: Open) -> None:
    """New assets come before it and move it; the focus stays with it."""
    for number in range(1, 4):
        api.add(number)
    page = open_page()
    expect(page.locator(".tile")).to_have_count(3)
    page.locator(".tile a").nth(1).focus()
    api.changed.append(api.add(9)["id"])
    expect(page.locator(".tile")).to_have_count(4)
    expect(page.locator(".tile a:focus")).to_contain_text("picture-00002.jpg")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile a:focus")).to_contain_text("picture-00001.jpg")


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders from the desktop."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(one) for one in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_folder_is_dropped_with_its_pictures(
    api: FakeApi, open_page: Open, tmp_path: Path
) -> None:
    """Those in folders below too, but no hidden or other files; empty ones in one sentence."""
    below = tmp_path / "holiday" / "day two"
    below.mkdir(parents=True)
    photo(below.parent, "one.jpg")
    photo(below, "two.jpg")
    photo(below, ".hidden.jpg")
    (below / "notes.txt").write_text("a fine day")
    for name in ("a.jpg", "b.jpg"):
        (below / name).touch()
    page = open_page()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")  # the page listens
    drop(page, below.parent)
    expect(page.locator("#toast")).to_contain_text("2 files are empty")
    expect(page.locator("#tray")).to_contain_text("two.jpg")
    expect(page.locator("#tray")).to_contain_text("one.jpg")
    expect(page.locator("#tray li")).to_have_count(2)
    expect(page.locator("#veil")).to_be_hidden()


def test_a_thousand_files_have_few_rows(api: FakeApi, open_page: Open, tmp_path: Path) -> None:
    """Those that go on and those that need a person; the others are a number."""
    page = open_page()
    api.asking.clear()
    choose(page, *(photo(tmp_path, f"{number}.jpg") for number in range(1_000)))
    expect(page.locator("#tray h2")).to_have_text("Uploading 1,000 files")
    expect(page.locator("#tray li")).to_have_count(60)
    expect(page.locator("#tray .rest")).to_have_text("and 940 more files")
    expect(page.locator("#tray li").first).to_contain_text("Asks for a place")
    page.get_by_role("button", name="Cancel 0.jpg").click()
    expect(page.locator("#tray h2")).to_have_text("Uploading 999 files")
    api.asking.set()
