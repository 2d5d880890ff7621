"""Who may do what: every route of the OpenAPI document, with every kind of caller."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from tests.unit.api.rig import SECRET, Api
from worker.domain.asset import Verdict
from worker.domain.review import Review, review_id
from worker.entrypoints.api.tokens import Tokens
from worker.settings import Settings

OPEN = {("get", "/healthz")}
BODIES: Mapping[tuple[str, str], Any] = {
    ("post", "/uploads"): {"name": "a.jpg", "size": 10, "type": "image/jpeg"},
    ("post", "/uploads/{asset}/parts"): {"numbers": [1]},
    ("post", "/uploads/sign"): {"method": "GET"},
    ("patch", "/assets/{asset}"): {"add_tags": ["seen"]},
    ("post", "/reviews/{review}/approve"): {"reason": "fine"},
    ("post", "/reviews/{review}/reject"): {"reason": "not fine"},
    ("post", "/jobs"): {"kind": "denoise", "assets": ["{asset}"]},
}
"""Of the routes that take one."""


@dataclass(frozen=True)
class Route:
    """One operation of the document."""

    method: str
    path: str
    scopes: tuple[str, ...]

    @property
    def id(self) -> str:
        """For messages of tests."""
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    """All that need a token, from the document."""
    found = []
    for path, operations in Api().app.openapi()["paths"].items():
        for method, operation in operations.items():
            if (method, path) not in OPEN:
                scopes = tuple(operation["security"][0]["token"])
                found.append(Route(method, path, scopes))
    return found


ROUTES = routes()
IN_BODY = {"/jobs": "assets", "/uploads/sign": "uploadId"}
"""Routes that name an asset there, and the field."""
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda one: one.id)
of_an_asset = pytest.mark.parametrize(
    "route",
    [one for one in ROUTES if "{" in one.path or one.path in IN_BODY],
    ids=lambda one: one.id,
)


def body_of(route: Route, asset: str) -> Any:
    """A body that is right, about an asset."""
    body: Any = BODIES.get((route.method, route.path))
    field = IN_BODY.get(route.path)
    return {**body, field: [asset] if field == "assets" else asset} if field else body


def asked(api: Api, route: Route, asset: str, token: str | None) -> Any:
    """The answer to a route about an asset."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    path = route.path.replace("{asset}", asset).replace("{job}", f"{asset}.job-1")
    path = path.replace("{review}", review_id(asset, VERSION, 1))
    return api.client.request(route.method, path, json=body_of(route, asset), headers=headers)


VERSION = "0" * 16
RIGHTS = ("read", "write", "review-own")
"""All over one's own assets."""


def asked_about(api: Api, **more: Any) -> str:
    """An asset that people are asked about."""
    asset: str = api.begin(**more)["asset"]
    wanted = Review(
        asset=asset,
        version=VERSION,
        owner=more.get("owner", "ann"),
        reason=Verdict(code="held", message="why"),
        asked_at="2026-01-01T00:00:00Z",
    )
    api.catalog.open_review(wanted)
    return asset


def test_only_what_says_nothing_is_open() -> None:
    """Every other operation names the scope that it needs."""
    for path, operations in Api().app.openapi()["paths"].items():
        for method, operation in operations.items():
            assert bool(operation.get("security")) is ((method, path) not in OPEN)


@each_route
def test_nobody_gets_in_without_a_token(route: Route) -> None:
    """And is told so before anything else about the request."""
    api = Api()
    asset = api.begin()["asset"]

    answered = asked(api, route, asset, None)

    assert (answered.status_code, answered.json()["code"]) == (401, "token_missing")
    assert answered.headers["www-authenticate"] == "Bearer"


def signed(claims: Mapping[str, Any], secret: str = SECRET, **more: Any) -> str:
    """A token with these claims."""
    usual = {
        "iss": "safelight",
        "aud": "safelight-api",
        "sub": "ann",
        "exp": 4_000_000_000,
        "scope": "safelight:read safelight:write",
    }
    kept = {name: text for name, text in {**usual, **claims}.items() if text is not None}
    return jwt.encode(kept, secret, **{"algorithm": "HS256", **more})


WRONG_TOKENS = {
    "expired": (signed({"exp": 1_000_000_000}), "token_expired"),
    "an hour ahead": (signed({"nbf": int(time.time()) + 3_600}), "token_invalid"),
    "issued in an hour": (signed({"iat": int(time.time()) + 3_600}), "token_invalid"),
    "another audience": (signed({"aud": "another"}), "token_invalid"),
    "no audience": (signed({"aud": None}), "token_invalid"),
    "another issuer": (signed({"iss": "another"}), "token_invalid"),
    "no end": (signed({"exp": None}), "token_invalid"),
    "no owner": (signed({"sub": None}), "token_invalid"),
    "an empty owner": (signed({"sub": ""}), "token_invalid"),
    "a blank owner": (signed({"sub": " "}), "token_invalid"),
    "an owner of two lines": (signed({"sub": "ann\nbob"}), "token_invalid"),
    "another secret": (signed({}, "another-secret-which-is-long-enough-too"), "token_invalid"),
    "another algorithm": (signed({}, algorithm="HS512"), "token_invalid"),
    "unsigned": (jwt.encode({"sub": "ann"}, "", algorithm="none"), "token_invalid"),
    "no token": ("nonsense", "token_invalid"),
}


@each_route
def test_a_token_that_is_not_valid_here_opens_nothing(route: Route) -> None:
    """Every invalid token is refused; an expired token has a separate code."""
    api = Api()
    asset = api.begin()["asset"]

    for why, (token, code) in WRONG_TOKENS.items():
        answered = asked(api, route, asset, token)
        assert (answered.status_code, answered.json()["code"]) == (401, code), why
        assert "invalid_token" in answered.headers["www-authenticate"]


@each_route
def test_a_scope_that_is_missing_is_named(route: Route) -> None:
    """A token to read cannot write, and one for something else can do nothing."""
    api = Api()
    asset = api.begin()["asset"]
    other = {"read": "write", "write": "read", "review": "write"}

    answered = asked(api, route, asset, api.token("ann", other[route.scopes[0]]))

    assert (answered.status_code, answered.json()["code"]) == (403, "not_allowed")
    assert f"safelight:{route.scopes[0]}" in answered.json()["detail"]


@of_an_asset
def test_an_asset_of_somebody_else_is_as_good_as_missing(route: Route) -> None:
    """The answer is that for an id that was never given; the asset is as it was."""
    api = Api()
    asset = asked_about(api, tags=["mine"])
    before = api.catalog.records[asset], api.catalog.reviews_of(asset)
    nobodys = "01890a5d-ac96-774b-bcce-b302099a8057"

    theirs = asked(api, route, asset, api.token("bob", *RIGHTS))
    missing = asked(api, route, nobodys, api.token("bob", *RIGHTS))

    assert theirs.status_code == missing.status_code
    assert theirs.text.replace(asset, nobodys) == missing.text
    assert theirs.status_code in {404, 204}
    assert (api.catalog.records[asset], api.catalog.reviews_of(asset)) == before


@of_an_asset
def test_an_administrator_may_do_what_the_owner_may(route: Route) -> None:
    """The same answer for both, from the same state."""
    statuses = []
    for owner, scopes in (("ann", RIGHTS), ("root", ("admin",))):
        api = Api()
        asset = asked_about(api, method="multipart", size=20_000_000)
        statuses.append(asked(api, route, asset, api.token(owner, *scopes)).status_code)

    assert statuses[0] == statuses[1]
    assert statuses[0] not in {401, 403}


def test_lists_have_only_what_is_ones_own() -> None:
    """This holds for every filter; another owner in the filter is refused."""
    api = Api()
    mine, theirs = api.begin("ann", tags=["x"])["asset"], api.begin("bob", tags=["x"])["asset"]

    def listed(query: str, owner: str = "ann") -> Any:
        return api.call("GET", f"/assets{query}", owner=owner)

    for query in ("", "?tag=x", "?status=waiting", "?key=*", "?owner=ann", "?from=2020-01-01"):
        assert [one["id"] for one in listed(query).json()["assets"]] == [mine], query
    assert listed("?owner=bob").status_code == 403
    key = api.catalog.records[theirs].source.key
    assert listed(f"?key={key}").json()["assets"] == []
    admin = {"authorization": f"Bearer {api.token('root', 'admin')}"}
    everything = api.client.get("/assets", headers=admin).json()["assets"]
    assert {one["id"] for one in everything} == {mine, theirs}


def test_deleted_assets_leave_no_empty_pages() -> None:
    """A page of nothing, in front of pages with something, looks like the end."""
    api = Api()
    kept = api.begin()["asset"]
    for _ in range(5):
        api.call("DELETE", f"/assets/{api.begin()['asset']}")

    page = api.call("GET", "/assets?limit=1").json()

    assert [one["id"] for one in page["assets"]] == [kept]


def test_nobody_uploads_for_somebody_else() -> None:
    """But an administrator may."""
    api = Api()
    wanted = {"name": "a.jpg", "size": 1, "owner": "bob"}

    refused = api.call("POST", "/uploads", wanted, owner="ann")
    admin = {"authorization": f"Bearer {api.token('root', 'admin')}"}
    made = api.client.post("/uploads", json=wanted, headers=admin)

    assert refused.status_code == 403
    assert api.catalog.records[made.json()["asset"]].owner == "bob"


@pytest.mark.parametrize(
    ("claims", "owner", "scopes"),
    [
        ({"sub": "ann", "scope": "safelight:read other"}, "ann", {"read"}),
        ({"sub": "ann", "scope": ["safelight:read", "safelight:write"]}, "ann", {"read", "write"}),
        # As the gateway writes a list.
        ({"sub": "ann", "scope": "[safelight:read safelight:admin]"}, "ann", {"read", "admin"}),
        ({"sub": "ann"}, "ann", set()),
    ],
)
def test_claims_are_read_as_issuers_write_them(
    claims: dict[str, Any], owner: str, scopes: set[str]
) -> None:
    """A text, a list, or the text that a gateway makes of a list."""
    identity = Tokens(Api().settings).identity(claims)

    assert (identity.caller.owner, set(identity.scopes)) == (owner, scopes)


def test_the_names_of_claims_are_settings() -> None:
    """Of an issuer that names them otherwise."""
    api = Api(
        {
            "SAFELIGHT_API_OWNER_CLAIM": "username",
            "SAFELIGHT_API_SCOPE_CLAIM": "scp",
            "SAFELIGHT_API_SCOPE_PREFIX": "",
        }
    )
    identity = Tokens(api.settings).identity({"sub": "x", "username": "ann", "scp": ["admin"]})

    assert identity.caller.owner == "ann"
    assert identity.caller.admin


def test_rights_may_stand_in_several_claims() -> None:
    """Scopes of the client and groups of the person, as Cognito's access tokens have them."""
    api = Api(
        {
            "SAFELIGHT_API_SCOPE_CLAIM": "scope,cognito:groups",
            "SAFELIGHT_API_SCOPE_PREFIX": "safelight/",
        }
    )
    claims = {"sub": "ann", "scope": "openid safelight/read"}
    tokens = Tokens(api.settings)

    assert tokens.identity(claims).scopes == {"read"}
    # The gateway writes a list in brackets.
    for groups in (["safelight/admin", "others"], "[safelight/admin others]"):
        identity = tokens.identity({**claims, "cognito:groups": groups})
        assert identity.scopes == {"read", "admin"}
        assert identity.caller.admin


def test_without_anything_that_checks_tokens_nobody_gets_in() -> None:
    """A deployment without authoriser, secret and keys is a mistake of ours, and closed."""
    api = Api()
    open_ = {name: text for name, text in _variables(api).items() if "SECRET" not in name}
    api.services.__dict__["tokens"] = Tokens(Settings.from_environment(open_))

    answered = api.call("GET", "/assets")

    assert (answered.status_code, answered.json()["code"]) == (500, "internal_error")


def _variables(api: Api) -> dict[str, str]:
    from tests.unit.api.rig import ENVIRONMENT

    return {**ENVIRONMENT, **api.environment}
