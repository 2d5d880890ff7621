"""The console as deployed: its API is on another origin, and a provider signs people in.

The API is the real one, which checks signatures by the provider's published keys. What the page may
ask is in its own policy, as on AWS; a request that the policy refuses fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Response
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.chromium import TIMEOUT, browser
from tests.console.chromium import until
from tests.console.provider import AUDIENCE, CLIENT, Provider, provided
from tests.servers import serving_app
from tests.unit.api.rig import Api
from worker import console

__all__ = ["browser"]
expect.set_options(timeout=TIMEOUT)


@dataclass
class Site:
    """The console, its API and who signs people in, each on an origin of its own."""

    url: str
    api: Api
    provider: Provider
    broken: list[str]
    context: BrowserContext
    settings: dict[str, Any]

    def open(self, behind: str = "#/") -> Page:
        """The console in a new tab."""
        page = self.context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.on("pageerror", lambda error: self.broken.append(str(error)))
        page.on(
            "console",
            lambda said: self.broken.append(said.text) if "Security Policy" in said.text else None,
        )
        page.goto(f"{self.url}/console/{behind}")
        return page

    def sign_in(self) -> Page:
        """A tab of somebody who has signed in."""
        page = self.open()
        page.get_by_role("button", name="Sign in").click()
        expect(signed_in(page)).to_be_visible()
        return page


def signed_in(page: Page) -> Any:
    """What says that somebody is signed in."""
    return page.get_by_role("button", name="Signed in as")


def told(page: Page) -> Any:
    """What the dialog for signing in says."""
    return page.get_by_role("dialog", name="Sign in").get_by_role("status")


def deployed(settings: dict[str, Any]) -> FastAPI:
    """What lies in the bucket, answered with the headers of the distribution."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/console/{key:path}")
    def file(key: str) -> Response:
        api, provider = settings["api"], settings["sign_in"]["issuer"]
        headers = {**console.headers(api="http://127.0.0.1:*", sign_in=[provider])}
        if key == console.CONFIGURATION:
            from fastapi.responses import JSONResponse

            return JSONResponse(settings, headers=headers)
        policy = console.in_page(console.policy(api=api, sign_in=[provider]))
        found = console.deployed().get(key)
        if found is None:
            return Response("there is no such file", 404)
        content = found.content
        body = console.versioned_page(policy) if content is None else content.read_bytes()
        headers["Cache-Control"] = found.cache_control
        return Response(body, headers=headers, media_type=found.media_type)

    return app


@pytest.fixture
def site(browser: Browser) -> Iterator[Site]:
    """All three, and a browser that has been nowhere."""
    provider, broken = Provider(), list[str]()
    settings: dict[str, Any] = {"live": False, "operations": False}
    with ExitStack() as opened:
        opened.enter_context(provided(provider))
        url = opened.enter_context(serving_app(deployed(settings)))
        api = Api(
            {
                "SAFELIGHT_API_SECRET": "",
                "SAFELIGHT_API_JWKS_URL": f"{provider.url}/keys",
                "SAFELIGHT_API_ISSUER": provider.url,
                "SAFELIGHT_API_AUDIENCE": AUDIENCE,
                "SAFELIGHT_API_ORIGINS": url,
            }
        )
        settings["api"] = opened.enter_context(serving_app(api.app))
        settings["sign_in"] = {
            "issuer": provider.url,
            "client_id": CLIENT,
            "scope": "openid safelight:read safelight:write",
            "audience": AUDIENCE,
        }
        context = browser.new_context(reduced_motion="reduce")
        yield Site(url, api, provider, broken, context, settings)
        context.close()
    assert broken == []


def test_a_person_signs_in_and_sees_the_library(site: Site) -> None:
    """Out to the provider and back, without a code or a token left in the address or the tab."""
    page = site.open("#/?tag=holiday")
    expect(told(page)).to_contain_text("You go to the page of your organisation")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("button", name="Signed in as ann@example.com")).to_be_visible()
    expect(page.locator("#live-text")).to_have_text("Twice a minute")
    assert page.url == f"{site.url}/console/#/?tag=holiday"
    (asked,) = site.provider.asked
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{site.url}/console/"
    assert asked["audience"] == AUDIENCE
    kept = page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    assert "ey" not in kept


def test_after_a_reload_the_provider_is_asked_at_once(site: Site) -> None:
    """Tokens are in memory alone: a reload costs a round trip and no click."""
    page = site.sign_in()
    page.reload()

    expect(signed_in(page)).to_be_visible()
    assert len(site.provider.asked) == 2


def test_another_tab_asks_for_itself(site: Site) -> None:
    """Tabs do not share tokens."""
    site.sign_in()
    other = site.open()

    expect(told(other)).to_be_visible()
    assert len(site.provider.asked) == 1


def test_tokens_are_renewed_before_they_end(site: Site) -> None:
    """A token of four seconds does for a minute of work, with one renewal at a time."""
    site.provider.seconds = 4
    page = site.sign_in()
    until(lambda: site.provider.tokens.count("refresh_token") >= 2 or _look(page))

    expect(signed_in(page)).to_be_visible()
    expect(page.get_by_role("dialog", name="Sign in")).to_have_count(0)


def test_without_renewal_the_page_asks_to_sign_in_again(site: Site) -> None:
    """When the token has ended; what is shown stays until then."""
    site.provider.seconds, site.provider.renews = 2, False
    page = site.sign_in()
    until(lambda: told(page).count() == 1 or _look(page))

    expect(told(page)).to_contain_text("Sign in again")
    site.provider.seconds = 3600
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(signed_in(page)).to_be_visible()


def test_a_session_that_the_provider_has_ended_is_over(site: Site) -> None:
    """A refused renewal is an end; a provider that fails for a moment is none."""
    site.provider.seconds = 4
    page = site.sign_in()
    site.provider.broken = True
    until(lambda: site.provider.tokens.count("refresh_token") >= 1 or _look(page))
    expect(page.get_by_role("dialog", name="Sign in")).to_have_count(0)
    site.provider.broken, site.provider.forgets = False, True
    until(lambda: told(page).count() == 1 or _look(page))

    expect(told(page)).to_contain_text("Sign in again")


def test_an_upload_waits_for_somebody_to_sign_in(site: Site) -> None:
    """However often it has tried: only the API's answer ends it."""
    page = site.context.new_page()
    page.clock.install()
    page.goto(f"{site.url}/console/")
    start = """async ({ module, api }) => {
      const { Uploader } = await import(module);
      let asked = 0;
      const token = () => {
        asked += 1;
        if (asked < 12) throw Object.assign(new Error('nobody'), { code: 'signed_out' });
        return 'of-nobody';
      };
      const uploader = new Uploader({ api, token, keep: false });
      const upload = uploader.add(new File(['x'], 'a.jpg', { type: 'image/jpeg' }));
      window.look = () => ({ asked, state: upload.state, code: upload.error?.code });
    }"""
    module = f"{site.url}/console/{console.version()}/upload.js"
    page.evaluate(start, {"module": module, "api": site.settings["api"]})

    def ended() -> bool:
        page.clock.run_for(30_000)
        return bool(page.evaluate("look().state === 'failed'"))

    until(ended)
    assert page.evaluate("look()") == {"asked": 12, "state": "failed", "code": "token_invalid"}


def _look(page: Page) -> bool:
    """Make the page ask the API for something."""
    page.evaluate("location.hash = location.hash === '#/' ? '#/?tag=x' : '#/'")
    return False


def test_signing_out_ends_the_session_of_the_provider(site: Site) -> None:
    """Its refresh token is worth nothing any more, and nobody is signed in after a reload."""
    page = site.sign_in()
    signed_in(page).click()

    expect(told(page)).to_be_visible()
    page.reload()
    expect(told(page)).to_be_visible()
    (ended,) = site.provider.ended
    assert ended["post_logout_redirect_uri"] == ended["logout_uri"] == f"{site.url}/console/"
    assert ended["client_id"] == CLIENT
    assert ended["id_token_hint"].startswith("ey")
    assert len(site.provider.revoked) == 1
    assert len(site.provider.asked) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state_said": "of-somebody-else"}, 'unexpected "state"'),
        ({"wrong": {"nonce": "of-somebody-else"}}, '"nonce"'),
        ({"wrong": {"iss": "https://else.example.com"}}, '"iss"'),
        ({"wrong": {"aud": "another-client"}}, '"aud"'),
        ({"wrong": {"exp": 1_000_000}}, "expiration"),
        ({"refuses": "access_denied"}, "access_denied"),
        ({"forgets": True}, "expired or was used before"),
        ({"broken": True}, "cannot be reached"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else None,
)
def test_a_wrong_answer_signs_nobody_in(site: Site, change: dict[str, Any], said: str) -> None:
    """Each with a sentence that says why, a clean address, and a way to try again."""
    page = site.open()
    before = {name: getattr(site.provider, name) for name in change}
    for name, value in change.items():
        setattr(site.provider, name, value)
    page.get_by_role("button", name="Sign in").click()

    expect(told(page)).to_contain_text(said)
    expect(signed_in(page)).to_have_count(0)
    assert page.url == f"{site.url}/console/#/"
    assert site.api.catalog.records == {}
    for name, value in before.items():
        setattr(site.provider, name, value)
    page.get_by_role("button", name="Sign in").click()
    expect(signed_in(page)).to_be_visible()


def test_a_provider_of_another_name_is_not_believed(site: Site) -> None:
    """Its own document says who it is: nobody is sent to it."""
    site.provider.issuer_said = "https://else.example.com"
    page = site.open()

    expect(told(page)).to_contain_text('"issuer"')
    assert site.provider.asked == []


def test_an_answer_that_this_tab_did_not_ask_for_is_dropped(site: Site) -> None:
    """A link with somebody's code signs nobody in under their name."""
    page = site.open("?code=stolen&state=guessed")

    expect(told(page)).to_contain_text("was not begun in this tab")
    assert site.provider.tokens == []
    assert "code" not in page.url


def test_the_api_checks_what_the_provider_has_signed(site: Site) -> None:
    """A token for another audience signs nobody in, whatever the page thinks of it."""
    site.settings["sign_in"] |= {"scope": "openid"}
    site.provider.scope = ""
    page = site.sign_in()

    expect(page.locator("#main")).to_contain_text("safelight:read")


def test_operations_say_where_they_are(site: Site) -> None:
    """Of an administrator on AWS: the dashboard and the commands, and no empty figures."""
    site.settings["dashboard"] = "https://eu-central-1.console.aws.amazon.com/cloudwatch/home"
    site.provider.scope = "safelight:admin"
    page = site.sign_in()
    page.get_by_role("link", name="Operations").click()

    expect(page.get_by_role("heading", name="Operations are shown elsewhere")).to_be_visible()
    link = page.get_by_role("link", name="Open the dashboard")
    expect(link).to_have_attribute("href", site.settings["dashboard"])


@pytest.mark.parametrize("groups", [["safelight/admin"], []])
def test_administrators_are_a_group_of_the_pool(site: Site, groups: list[str]) -> None:
    """The console reads the claims that the API reads."""
    site.settings["rights"] = {"claims": ["scope", "cognito:groups"], "prefix": "safelight/"}
    site.provider.scope = " ".join(["safelight/read", *groups])
    page = site.sign_in()

    expect(page.get_by_role("link", name="Operations")).to_have_count(len(groups))


def test_a_page_that_nobody_may_frame_and_nothing_may_be_added_to(site: Site) -> None:
    """The page's own policy is narrower than that of its headers, and both hold."""
    page = site.open()
    refused = """async (url) => {
      try { await fetch(url, { mode: 'no-cors' }); return false; } catch { return true; }
    }"""

    assert page.evaluate(refused, "http://127.0.0.1:9/") is True
    refusals = [one for one in site.broken if "127.0.0.1:9" in one]
    assert refusals
    site.broken[:] = [one for one in site.broken if one not in refusals]
    names: Callable[[str], Any] = page.locator
    assert names('meta[http-equiv="Content-Security-Policy"]').count() == 1
