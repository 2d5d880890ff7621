"""The console on AWS: its files, what it is told, and who signs people in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import FileAsset

from tests.infra.configs import SIGNED_IN
from tests.infra.declared import ACCOUNT, Declaration, declare
from worker import console

OF_POOL = {"api": {"enabled": True}, "console": {"enabled": True, "userPool": True}}
OF_OTHERS = {
    "api": {"enabled": True, **SIGNED_IN},
    "console": {"enabled": True, "clientId": "console"},
}
ADDRESS = "https://safelight-test-delivery.cloudfront.net/console/"


@pytest.fixture(scope="module")
def pool() -> Declaration:
    """A console with accounts of the stack's own."""
    return declare(OF_POOL)


def settings_of(found: Declaration) -> Any:
    """What the console is told."""
    return found.one("s3/BucketObject", "console-config.json").document("content")


def policies_of(found: Declaration) -> tuple[dict[str, str], dict[str, str]]:
    """The directives of the page's own policy, and of its headers."""
    page = found.one("s3/BucketObject", "console-page").inputs["content"]
    own = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert own is not None
    headers = found.one("cloudfront/ResponseHeadersPolicy", "console").inputs
    said = headers["securityHeadersConfig"]["contentSecurityPolicy"]["contentSecurityPolicy"]
    texts = (own[1].replace("&#x27;", "'"), said)
    return tuple(  # type: ignore[return-value]
        dict(one.split(" ", 1) for one in text.split("; ")) for text in texts
    )


def test_every_file_lies_below_its_version(pool: Declaration) -> None:
    """Those are cached for a year; page and configuration are asked for each time."""
    objects = {one.inputs["key"]: one.inputs for one in pool.of("s3/BucketObject")}
    below = f"console/{console.version()}/"
    wanted = {below + name for name in console.files() if name != console.PAGE}

    assert {*objects} == wanted | {"console/", "console/index.html", "console/config.json"}
    for key, one in objects.items():
        lasting = key.startswith(below)
        assert ("immutable" in one["cacheControl"]) is lasting
        assert (one["cacheControl"] == "no-cache") is not lasting
        if lasting:
            assert isinstance(one["source"], FileAsset)
            assert Path(one["source"].path).read_bytes()
    types = {key.rpartition(".")[2]: one["contentType"] for key, one in objects.items()}
    assert (types["js"], types["mjs"], types["css"]) == (*["text/javascript"] * 2, "text/css")
    assert objects["console/"]["contentType"] == "text/html; charset=utf-8"


def test_the_page_names_no_file_without_its_version(pool: Declaration) -> None:
    """A page of today with scripts of yesterday would be neither."""
    page = pool.one("s3/BucketObject", "console-page").inputs["content"]
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)

    assert named
    for name in named:
        assert (console.FOLDER / name.removeprefix(f"{console.version()}/")).is_file()
        assert name.startswith(console.version())
    assert page.index("http-equiv") < page.index("<link")


def test_the_console_is_served_by_the_distribution(pool: Declaration) -> None:
    """From its own bucket, which lets in this distribution alone, with the headers of the page."""
    distribution = pool.one("cloudfront/Distribution", "delivery").inputs
    (behaviour,) = distribution["orderedCacheBehaviors"]
    *_, statement = pool.one("s3/BucketPolicy", "console").statements()

    assert behaviour["pathPattern"] == "/console/*"
    assert behaviour["allowedMethods"] == ["GET", "HEAD"]
    assert behaviour["responseHeadersPolicyId"] == "id-safelight-test-console"
    origins = {one["originId"] for one in distribution["origins"]}
    assert origins == {"renditions", "console", "missing"}
    assert statement["Condition"]["StringEquals"] == {
        "aws:SourceArn": "arn:aws:cloudfront:safelight-test-delivery"
    }
    assert pool.exports["console"] == ADDRESS


def test_the_page_may_ask_the_api_the_provider_and_the_bucket_alone(pool: Declaration) -> None:
    """Its own policy is exact; that of the headers leaves one label open, which is made later."""
    own, said = policies_of(pool)
    bucket = "https://safelight-test-intake"
    others = [
        f"{bucket}.s3.eu-central-1.amazonaws.com",
        f"{bucket}.s3-accelerate.amazonaws.com",
        "https://cognito-idp.eu-central-1.amazonaws.com",
        f"https://safelight-test-{ACCOUNT}.auth.eu-central-1.amazoncognito.com",
    ]

    assert own["connect-src"].split() == ["'self'", "https://safelight-test-api", *others]
    assert said["connect-src"].split() == [
        "'self'",
        "https://*.execute-api.eu-central-1.amazonaws.com",
        *others,
    ]
    closed = "https://safelight-test-delivery.s3.eu-central-1.amazonaws.com"
    for directives in (own, said):
        # Reviewers see closed files by signed addresses of the bucket, and send it nothing.
        assert closed in directives["img-src"].split()
        assert closed in directives["media-src"].split()
        assert closed not in directives["connect-src"].split()
        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == directives["style-src"] == "'self'"
        assert directives["require-trusted-types-for"] == "'script'"
    assert said["frame-ancestors"] == "'none'"
    assert "frame-ancestors" not in own  # a page cannot say it: browsers would complain


def test_the_console_is_told_what_this_stack_has(pool: Declaration) -> None:
    """And what it has not: changes are asked for, operations are in CloudWatch."""
    told = settings_of(pool)
    dashboard = pool.one("cloudwatch/Dashboard", "overview").inputs["dashboardName"]

    assert told["api"] == pool.exports["api"]
    assert (told["live"], told["operations"], told["originals"]) == (False, False, True)
    assert told["dashboard"].endswith(f"#dashboards/dashboard/{dashboard}")
    assert "token" not in told


def test_a_user_pool_is_whom_the_api_believes(pool: Declaration) -> None:
    """Issuer and client of the authoriser are the pool's; so are claims and scopes."""
    (authorizer,) = pool.of("apigatewayv2/Authorizer")
    told, environment = settings_of(pool), pool.exports["apiEnvironment"]
    issuer = "https://cognito-idp.eu-central-1.amazonaws.com/id-safelight-test-sign-in"

    assert authorizer.inputs["jwtConfiguration"] == {
        "issuer": issuer,
        "audiences": [told["sign_in"]["client_id"]],
    }
    assert told["sign_in"]["issuer"] == environment["SAFELIGHT_API_ISSUER"] == issuer
    assert told["sign_in"]["scope"].split() == [
        "openid",
        "email",
        "safelight/read",
        "safelight/write",
    ]
    assert environment["SAFELIGHT_API_SCOPE_PREFIX"] == told["rights"]["prefix"] == "safelight/"
    assert environment["SAFELIGHT_API_SCOPE_CLAIM"].split(",") == told["rights"]["claims"]
    groups = {one.inputs["name"] for one in pool.of("cognito/UserGroup")}
    assert groups == {"safelight/admin", "safelight/review"}


def test_the_console_is_a_client_without_a_secret(pool: Declaration) -> None:
    """For the code flow alone; its tokens are short, and accounts are made by administrators."""
    client = pool.one("cognito/UserPoolClient", "sign-in").inputs
    users = pool.one("cognito/UserPool", "sign-in").inputs

    assert client["generateSecret"] is False
    assert client["allowedOauthFlows"] == ["code"]
    assert client["callbackUrls"] == client["logoutUrls"] == [ADDRESS]
    assert client["preventUserExistenceErrors"] == "ENABLED"
    assert client["refreshTokenRotation"]["feature"] == "ENABLED"
    assert "ALLOW_REFRESH_TOKEN_AUTH" not in client["explicitAuthFlows"]  # refused beside rotation
    assert (client["accessTokenValidity"], client["refreshTokenValidity"]) == (60, 12)
    assert users["adminCreateUserConfig"] == {"allowAdminCreateUserOnly": True}
    assert users["deletionProtection"] == "ACTIVE"


def test_another_provider_is_named_to_the_console(chosen: Declaration) -> None:
    """With its client, its scope, the audience that it wants, and where its tokens come from."""
    own, _ = policies_of(chosen)

    assert settings_of(chosen)["sign_in"] == {
        "issuer": SIGNED_IN["issuer"],
        "client_id": "console-of-the-tests",
        "scope": "openid offline_access safelight:read",
        "audience": "https://api.example.com",
    }
    assert own["connect-src"].endswith(f" {SIGNED_IN['issuer']} https://tokens.example.com")
    assert not chosen.of("cognito/UserPool")
    assert "SAFELIGHT_API_SCOPE_CLAIM" not in chosen.exports["apiEnvironment"]


def test_the_console_reads_the_claims_that_the_api_reads() -> None:
    """A team's own names of claims reach both."""
    found = declare(
        {
            **OF_OTHERS,
            "settings": {"api_owner_claim": "uid", "api_scope_claim": "roles,scope"},
        }
    )

    rights = settings_of(found)["rights"]
    assert rights == {"owner": "uid", "claims": ["roles", "scope"], "prefix": "safelight:"}
    assert found.exports["apiEnvironment"]["SAFELIGHT_API_OWNER_CLAIM"] == "uid"


def test_api_and_bucket_take_requests_of_the_console() -> None:
    """Beside those of the pages that are named; where all may, it need not be named."""
    pages = ["https://a.example"]
    named = declare(
        {
            **OF_OTHERS,
            "api": {**OF_OTHERS["api"], "origins": pages},
            "storage": {"browserOrigins": pages},
        }
    )
    own = ADDRESS.removesuffix("/console/")
    (rule,) = named.one("s3/BucketCorsConfiguration", "intake").inputs["corsRules"]
    gateway = named.one("apigatewayv2/Api", "api").inputs["corsConfiguration"]

    assert rule["allowedOrigins"] == gateway["allowOrigins"] == [*pages, own]
    assert named.exports["apiEnvironment"]["SAFELIGHT_API_ORIGINS"] == f"{pages[0]},{own}"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"console": {"enabled": True, "clientId": "x"}}, "needs api.enabled"),
        ({**OF_OTHERS, "delivery": {"enabled": False}}, "needs delivery.enabled"),
        ({**OF_OTHERS, "console": {"enabled": True}}, "console.clientId: is not set"),
        ({**OF_POOL, "api": {"enabled": True, **SIGNED_IN}}, "api.issuer: is that of the user"),
        ({**OF_POOL, "api": {"enabled": True, **SIGNED_IN}}, "api.audience: is that of the user"),
        (
            {**OF_POOL, "console": {"enabled": True, "userPool": True, "clientId": "x"}},
            "console.clientId: is that of the user pool",
        ),
        (
            {**OF_POOL, "settings": {"api_scope_prefix": "x:"}},
            "settings.api_scope_prefix: is that of the user pool",
        ),
        (
            {**OF_OTHERS, "console": {**OF_OTHERS["console"], "scope": "profile"}},
            "openid first",
        ),
        (
            {**OF_OTHERS, "console": {**OF_OTHERS["console"], "signInOrigins": ["tokens"]}},
            "must be origins",
        ),
    ],
)
def test_a_console_that_could_not_work_is_refused(config: dict[str, Any], said: str) -> None:
    """Before anything is deployed."""
    with pytest.raises(pulumi.RunError, match=re.escape(said)):
        declare(config)
