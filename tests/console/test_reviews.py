"""The page of reviews on an API in memory: deciding by keyboard, and whatever comes between."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import TIMEOUT
from tests.console.chromium import until
from tests.console.conftest import Open
from tests.console.fake_api import FakeApi
from tests.console.test_console import assert_accessible

expect.set_options(timeout=TIMEOUT)
LIST = "#/reviews"


def one_of(review: dict[str, object]) -> str:
    """The view of one review."""
    return f"#/reviews/{review['id']}"


def token(scope: str) -> str:
    """A token that says so; nothing checks it."""
    part = base64.urlsafe_b64encode(json.dumps({"sub": "me", "scope": scope}).encode())
    return f"e30.{part.decode().rstrip('=')}."


def title(page: Page) -> Locator:
    """The heading of the review that is shown."""
    return page.locator("#review-title")


def pictures(page: Page) -> list[str]:
    """Addresses of pictures that the page asks for, from now on."""
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if "/pictures/" in sent.url else None)
    return asked


def test_open_reviews_are_listed_by_deadline(api: FakeApi, open_page: Open) -> None:
    """Reviews are sorted by deadline, holds without a deadline come last, and the marks are
    shown."""
    api.ask(3)
    api.ask(1, escalated=True)
    api.ask(2, needed=2)
    api.ask(4, deadline=None)
    api.decided(next(one for one in api.reviews if "0002." in one), "approve", "mia")
    page = open_page(LIST)
    rows = page.locator(".queue-item")
    expect(rows).to_have_count(4)
    for index, words in enumerate(["Escalated", "1 of 2", "1 h 2 min left", "No deadline"]):
        expect(rows.nth(index)).to_contain_text(words)
    expect(rows.first).to_contain_text("Rekognition saw violence 91 of 60")
    expect(page.get_by_role("link", name="Reviews 4 open, 1 escalated")).to_be_visible()


def test_a_person_decides_by_keyboard(api: FakeApi, open_page: Open) -> None:
    """Show, approve, and the next one is there: blurred again, and no picture of it was loaded."""
    first, second = api.ask(1), api.ask(2)
    page = open_page(LIST)
    asked = pictures(page)
    page.get_by_role("button", name="Start").press("Enter")
    expect(title(page)).to_have_text("picture-00001.jpg")
    expect(title(page)).to_be_focused()
    expect(page.get_by_text("Blurred until you ask for it")).to_be_visible()
    expect(page.get_by_text("After that it stays held.")).to_be_visible()
    assert asked == []
    page.keyboard.press("u")
    expect(page.get_by_role("img", name="Under review: picture-00001.jpg")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_role("radio", name="Nothing wrong with it")).to_be_focused()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("picture-00002.jpg")
    expect(page.locator("#toast")).to_contain_text("picture-00001.jpg is approved")
    expect(page.get_by_text("Blurred until you ask for it")).to_be_visible()
    assert [one["reason"] for one in first["decisions"]] == ["Wrongly flagged"]
    assert first["state"] == "approved"
    assert not [one for one in asked if "/pictures/2/" in one]
    page.keyboard.press("r")
    page.keyboard.press("r")
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    assert second["decisions"][0]["reason"] == "Graphic Violence"
    expect(page.get_by_role("link", name="Reviews", exact=True)).to_be_visible()


def test_a_reason_is_written_in_words(api: FakeApi, open_page: Open) -> None:
    """Keys of the page are letters while a person types; the words follow the quick reason."""
    review = api.ask(1)
    page = open_page(one_of(review))
    page.get_by_role("button", name="Reject").click()
    page.get_by_role("radio", name="Personal data").check()
    words = page.get_by_label("In your own words")
    words.press_sequentially("a number plate, 2 of 3")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("picture-00001.jpg is rejected")
    assert review["decisions"][0]["reason"] == "Personal data: a number plate, 2 of 3"


def test_what_nobody_looked_at_is_approved_knowingly(api: FakeApi, open_page: Open) -> None:
    """The form says that the picture was not shown; Escape takes the decision back."""
    review = api.ask(1)
    page = open_page(one_of(review))
    expect(title(page)).to_be_focused()
    page.keyboard.press("a")
    expect(page.get_by_text("You have not looked at it.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve unseen")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.keyboard.press("u")
    page.keyboard.press("a")
    expect(page.get_by_role("radio", name="Nothing wrong with it")).to_be_focused()
    expect(page.get_by_text("You have not looked at it.")).to_have_count(0)
    assert review["decisions"] == []


def test_the_next_one_is_reached_without_deciding(api: FakeApi, open_page: Open) -> None:
    """J and K, or arrows, walk through the list and end at its ends; Escape leads back to it."""
    reviews = [api.ask(number) for number in range(1, 4)]
    page = open_page(one_of(reviews[0]))
    expect(title(page)).to_be_focused()
    page.keyboard.press("j")
    expect(title(page)).to_have_text("picture-00002.jpg")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("picture-00003.jpg")
    expect(page.get_by_text("3 of 3", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Next review")).to_be_disabled()
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(title(page)).to_have_text("picture-00002.jpg")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name=re.compile("picture-00002"))).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("picture-00003.jpg")


def test_somebody_else_decides_while_a_person_looks(api: FakeApi, open_page: Open) -> None:
    """The page says who, and leads on; what was typed was not recorded, and that is said."""
    review, after = api.ask(1), api.ask(2)
    page = open_page(one_of(review))
    expect(title(page)).to_be_focused()
    page.keyboard.press("r")
    page.get_by_label("In your own words").fill("blood")
    api.decided(review["id"], "approve", "mia", "it is ketchup")
    told = page.get_by_role("region", name="Decision")
    expect(told).to_contain_text("mia approved it")
    expect(told).to_contain_text("it is ketchup")
    expect(told).to_contain_text("Your decision, reject, was not recorded")
    page.get_by_role("button", name="Next review").last.click()
    expect(title(page)).to_have_text("picture-00002.jpg")
    assert after["decisions"] == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("approved", "Somebody else was faster."),
        ("expired", "Nobody decided before the deadline."),
        ("withdrawn", "The question is void"),
    ],
)
def test_a_decision_that_comes_too_late_is_told(
    api: FakeApi, open_page: Open, state: str, words: str
) -> None:
    """The answer of the API, and not an old list, says what counts."""
    review, _ = api.ask(1), api.ask(2)
    page = open_page(one_of(review))
    expect(title(page)).to_be_focused()
    page.keyboard.press("u")
    page.keyboard.press("a")
    review["state"] = state
    if state == "approved":
        decision = {"reviewer": "mia", "decision": "approve", "reason": "", "time": ""}
        review["decisions"].append(decision | {"time": review["asked_at"]})
    page.keyboard.press("Enter")
    told = page.get_by_role("region", name="Decision")
    expect(told).to_contain_text(words)
    expect(told).to_contain_text("Your decision, approve, was not recorded")
    page.get_by_role("button", name="Next review").last.click()
    expect(title(page)).to_have_text("picture-00002.jpg")


def test_a_review_whose_asset_was_deleted_is_void(api: FakeApi, open_page: Open) -> None:
    """The page says so and leads on."""
    review, _ = api.ask(1), api.ask(2)
    page = open_page(one_of(review))
    expect(title(page)).to_be_focused()
    page.keyboard.press("r")
    del api.reviews[review["id"]]
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="There is no such review")).to_be_visible()
    page.get_by_role("button", name="Next review").last.click()
    expect(title(page)).to_have_text("picture-00002.jpg")


def test_a_decision_survives_a_broken_line(api: FakeApi, open_page: Open) -> None:
    """The reason is kept, over a reload too, and the same decision is sent again."""
    review = api.ask(1)
    page = open_page(one_of(review))
    expect(title(page)).to_be_focused()
    page.keyboard.press("r")
    page.get_by_label("In your own words").fill("a number plate")
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("The server cannot be reached. Your decision is not recorded yet")
    page.context.set_offline(False)
    api.refused_decisions = 503
    page.get_by_role("button", name="Try again").click()
    expect(told).to_contain_text("something does not answer")
    page.reload()
    expect(title(page)).to_be_focused()
    page.keyboard.press("r")
    expect(page.get_by_label("In your own words")).to_have_value("a number plate")
    api.refused_decisions = 0
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("picture-00001.jpg is rejected")
    assert review["decisions"][0]["reason"] == "Graphic Violence: a number plate"


def test_two_people_approve(api: FakeApi, open_page: Open) -> None:
    """The first approval counts and leads on; the same person cannot give the second one."""
    review, _ = api.ask(1, needed=2), api.ask(2)
    page = open_page(one_of(review))
    expect(page.get_by_text("Two people have to approve. One is enough to reject.")).to_be_visible()
    page.keyboard.press("u")
    page.keyboard.press("a")
    page.keyboard.press("a")
    expect(title(page)).to_have_text("picture-00002.jpg")
    page.keyboard.press("k")
    expect(title(page)).to_have_text("picture-00001.jpg")
    expect(page.get_by_text("Your approval counts. A second person")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_be_disabled()
    assert review["state"] == "open"
    api.decided(review["id"], "approve", "mia")
    expect(page.get_by_text("It is approved. Its files are served.")).to_be_visible()


@pytest.mark.parametrize("scope", ["safelight:read safelight:write", ""])
def test_a_person_without_the_right_is_told(api: FakeApi, open_page: Open, scope: str) -> None:
    """There is no such tab, the page says why, and nothing was asked for."""
    api.ask(1)
    api.configuration["token"] = token(scope)
    page = open_page(LIST)
    expect(page.get_by_role("heading", name="Reviews are for reviewers")).to_be_visible()
    expect(page.get_by_role("link", name="Reviews")).to_have_count(0)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    assert page.evaluate(
        "performance.getEntriesByType('resource').filter(one => one.name.includes('/reviews?'))"
    ) == []  # fmt: skip


@pytest.mark.parametrize("right", ["review", "review-own"])
def test_a_reviewer_is_no_administrator(api: FakeApi, open_page: Open, right: str) -> None:
    """The right shows reviews, no operations, and no page of somebody else's asset."""
    review = api.ask(1, owner="ann")
    api.configuration["token"] = token(f"safelight:read safelight:{right}")
    page = open_page(LIST)
    expect(page.locator(".queue-item")).to_have_count(1)
    expect(page.get_by_role("link", name="Operations")).to_have_count(0)
    page.get_by_role("button", name="Start").click()
    expect(title(page)).to_be_focused()
    expect(page.get_by_role("link", name="Open the asset")).to_have_count(0)
    review["owner"] = "me"
    page.reload()
    expect(page.get_by_role("link", name="Open the asset")).to_be_visible()


def test_keys_can_be_switched_off(api: FakeApi, open_page: Open) -> None:
    """For people who speak to their computer: a word is not taken for keys."""
    page = open_page(one_of(api.ask(1)))
    expect(title(page)).to_be_focused()
    page.keyboard.press("?")
    page.get_by_label("Use these keys on this page").uncheck()
    page.get_by_role("button", name="Close").click()
    page.keyboard.press("a")
    page.keyboard.press("u")
    expect(page.get_by_text("Blurred until you ask for it")).to_be_visible()
    assert page.locator(".decide-form").count() == 0
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".decide-form")).to_be_visible()


def test_a_signed_address_that_has_ended_is_renewed(api: FakeApi, open_page: Open) -> None:
    """Once by itself; then a person is told, and may try again."""
    review = api.ask(1)
    page = open_page(one_of(review))
    page.route(re.compile("/pictures/1/"), lambda route: route.abort())
    with page.expect_request(re.compile("/reviews/")):
        page.get_by_role("button", name="Show the picture").click()
    expect(page.get_by_text("The picture cannot be loaded.")).to_be_visible()
    page.unroute(re.compile("/pictures/1/"))
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("img", name="Under review: picture-00001.jpg")).to_be_visible()


def test_a_video_is_loaded_when_somebody_asks(api: FakeApi, open_page: Open) -> None:
    """It starts muted; before that not even its poster is there."""
    whole: dict[str, Any] = {"name": "video", "format": "mp4", "media_type": "video/mp4"}
    whole |= {"width": 640, "height": 360, "bytes": 9_000_000, "url": "/store/video.mp4"}
    video = {"duration_ms": 65_000, "width": 640, "height": 360}
    review = api.ask(1, media="video", placeholder=None, picture=None, video=video)
    poster = api.assets[review["asset"]]["renditions"][1]
    api.assets[review["asset"]]["renditions"] = [poster, whole]
    page = open_page(one_of(review))
    asked = pictures(page)
    expect(title(page)).to_be_focused()
    expect(page.locator(".review-head")).to_contain_text("1:05")
    assert (page.locator("video").count(), asked) == (0, [])
    page.get_by_role("button", name="Show the video").click()
    shown = page.locator("video")
    expect(shown).to_have_js_property("muted", True)
    assert "/store/video.mp4" in str(shown.get_attribute("src"))
    assert "/pictures/1/1024" in str(shown.get_attribute("poster"))


def test_colours_are_taken_away_and_stay_away(api: FakeApi, open_page: Open) -> None:
    """The grey mode also applies to the next picture."""
    page = open_page(one_of(api.ask(1)))
    expect(title(page)).to_be_focused()
    page.keyboard.press("u")
    page.keyboard.press("g")
    expect(page.get_by_role("button", name="With colours")).to_be_focused()
    grey = "() => getComputedStyle(document.querySelector('.canvas img')).filter"
    assert page.evaluate(grey) == "grayscale(1)"
    page.reload()
    expect(title(page)).to_be_focused()
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="With colours")).to_be_visible()


def test_markup_of_others_is_text(api: FakeApi, open_page: Open) -> None:
    """Names, reasons, labels and reviewers with markup are shown as text."""
    bad = "<img src=x onerror=alert(1)>"
    review = api.ask(
        1, name=bad, reason={"code": "x", "message": bad}, needed=2,
        labels=[{"name": bad, "confidence": 90.0, "source": bad}],
    )  # fmt: skip
    api.decided(review["id"], "approve", bad, bad)
    page = open_page(one_of(review))
    expect(title(page)).to_have_text(bad)
    expect(page.get_by_text(f"{bad} approved it")).to_be_visible()
    assert page.locator("main img[src='x']").count() == 0


def test_many_reviews_come_page_by_page(api: FakeApi, open_page: Open) -> None:
    """The number says that there are more; what others decide leaves the list by itself."""
    reviews = [api.ask(number) for number in range(1, 251)]
    page = open_page(LIST)
    rows = page.locator(".queue-item")
    expect(rows).to_have_count(100)
    expect(page.get_by_role("link", name="Reviews more than 99 open")).to_be_visible()
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(200)
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(250)
    api.decided(reviews[0]["id"], "reject", "mia")
    expect(rows).to_have_count(249)
    expect(rows.first).to_contain_text("picture-00002.jpg")


def test_a_list_that_cannot_be_loaded_says_so(api: FakeApi, open_page: Open) -> None:
    """And comes when a person tries again."""
    api.ask(1)
    page = open_page()
    expect(page.get_by_role("link", name="Reviews 1 open")).to_be_visible()
    page.route("**/reviews?*", lambda route: route.abort())
    page.goto(f"{api.url}/console/{LIST}")
    page.reload()
    expect(page.get_by_text("The list cannot be loaded")).to_be_visible()
    page.unroute("**/reviews?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".queue-item")).to_have_count(1)


def test_what_was_decided_can_be_looked_up(api: FakeApi, open_page: Open) -> None:
    """The page shows who has decided what, and why."""
    review = api.ask(1)
    api.decided(review["id"], "reject", "mia", "a number plate")
    page = open_page(LIST)
    expect(page.get_by_text("Nothing waits")).to_be_visible()
    page.get_by_role("radio", name="Rejected").check()
    row = page.locator(".queue-item")
    expect(row).to_contain_text("mia rejected it")
    row.click()
    told = page.get_by_role("region", name="Decision")
    expect(told).to_contain_text("It is rejected.")
    expect(told).to_contain_text("a number plate")
    assert page.get_by_role("button", name="Approve").count() == 0


def test_the_timeline_tells_who_decided(api: FakeApi, open_page: Open) -> None:
    """When people were asked and why, what each of them said, and a deadline that has passed."""
    review = api.ask(1, needed=2)
    api.decided(review["id"], "approve", "mia", "it is ketchup")
    api.decided(review["id"], "reject", "me", "it is not")
    api.assets[review["asset"]]["reviews"].append(
        review | {"state": "expired", "decisions": [], "closed_at": review["deadline"]}
    )
    page = open_page(f"#/asset/{review['asset']}")
    told = page.get_by_role("region", name="Timeline").get_by_role("listitem")
    for words in (
        ("People are asked: 2 have to approve", "rekognition saw violence"),
        ("mia approved it", "it is ketchup"),
        ("You rejected it", "it is not"),
        ("The deadline of the review has passed",),
    ):
        line = told.filter(has_text=words[0]).first
        for part in words:
            expect(line).to_contain_text(part)


def test_a_held_asset_leads_to_its_review(api: FakeApi, open_page: Open) -> None:
    """The library has it under a filter, and neither page asks for files that are closed."""
    review = api.ask(1)
    api.add(2)
    page = open_page("#/?status=review")
    asked = pictures(page)
    expect(page.locator(".tile")).to_have_count(1)
    page.locator(".tile a").click()
    expect(page.get_by_text("Held until a person decides")).to_be_visible()
    seen = page.get_by_role("region", name="Moderation")
    expect(seen).to_contain_text("By Amazon Rekognition")
    expect(seen).to_contain_text("Graphic Violence")
    expect(seen).to_contain_text("Pictures are held from 60 %")
    label = page.get_by_role("link", name="Street, 98.1 %")
    assert label.get_attribute("href") == "#/?tag=label%3Astreet"
    assert [one for one in asked if "/pictures/1/" in one] == []
    page.get_by_role("link", name="Open the review").click()
    expect(title(page)).to_have_text("picture-00001.jpg")
    assert review["id"] in page.url


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"outcome": "uncertain"}, "Held until moderation decides"),
        ({"outcome": "blur"}, "only a blurred picture of it is served"),
        ({"tier": "unavailable", "error": "throttled"}, "No moderator could be asked"),
        ({"tier": "earlier", "earlier": "00000000-0000-7000-8000-000000000007"}, "Show that one"),
        ({"sampled": True, "outcome": "pass"}, "As a sample, a further moderator is asked."),
    ],
)
def test_an_asset_says_what_moderation_has_decided(
    api: FakeApi, open_page: Open, changed: dict[str, object], words: str
) -> None:
    """Also where no moderator, an earlier verdict, or nobody yet has decided."""
    review = api.ask(1)
    asset = api.assets[review["asset"]]
    asset |= {"moderation": review["moderation"] | changed, "reviews": []}
    page = open_page(f"#/asset/{asset['id']}")
    expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_role("link", name="Open the review")).to_have_count(0)


def test_the_focus_moves_in_the_order_of_the_work(api: FakeApi, open_page: Open) -> None:
    """From the name over the picture to the decision, each with a name for screen readers."""
    review, _ = api.ask(1), api.ask(2)
    page = open_page(one_of(review))
    expect(title(page)).to_be_focused()
    expect(page.get_by_text("Details")).to_be_visible()
    for role, name in (
        ("link", "Open the asset"),
        ("button", "Show the picture"),
        ("button", "Approve"),
        ("button", "Reject"),
    ):
        page.keyboard.press("Tab")
        expect(page.get_by_role(role, name=name, exact=True)).to_be_focused()  # type: ignore[arg-type]
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Reject it, because")).to_be_visible()
    expect(page.get_by_role("radio", name="Graphic Violence")).to_be_focused()
    for role, name in (
        ("textbox", "In your own words"),
        ("button", "Cancel"),
        ("button", "Reject"),
    ):
        page.keyboard.press("Tab")
        expect(page.get_by_role(role, name=name, exact=True)).to_be_focused()  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (768, "light"), (1440, "light")])
def test_everybody_can_review(api: FakeApi, open_page: Open, scheme: str, width: int) -> None:
    """axe-core finds nothing serious, and nothing scrolls sideways: list, review, forms, help."""
    name = "a-very-long-name-without-any-place-to-break-it-" * 3
    review = api.ask(1, escalated=True, needed=2, name=name, owner="o" * 100)
    api.decided(review["id"], "approve", "mia", "x" * 300)
    api.ask(2, moderation=None, labels=[])
    page = open_page(LIST, width=width, scheme=scheme)

    def looked_at() -> None:
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    expect(page.locator(".queue-item")).to_have_count(2)
    looked_at()
    page.get_by_role("button", name="Start").click()
    expect(title(page)).to_be_focused()
    looked_at()
    page.keyboard.press("u")
    expect(page.get_by_role("img", name="Under review")).to_be_visible()
    looked_at()
    page.keyboard.press("z")
    expect(page.get_by_role("region", name="The picture at its actual size")).to_be_focused()
    looked_at()
    for key in ("r", "Escape", "a", "Escape", "?"):
        page.keyboard.press(key)
        looked_at()
    page.get_by_role("button", name="Close").click()
    page.goto(f"{api.url}/console/#/asset/{review['asset']}")
    expect(page.get_by_role("region", name="Moderation")).to_be_visible()
    looked_at()
    until(lambda: review["state"] == "open")
