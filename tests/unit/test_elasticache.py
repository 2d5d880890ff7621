"""Signing in to ElastiCache by IAM."""

from __future__ import annotations

import threading
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import Session

from tests.contract.redis_server import answering
from worker.adapters.aws.elasticache import CacheCredentials
from worker.adapters.cache import RedisCache
from worker.bootstrap import Application
from worker.domain.errors import ConfigurationError
from worker.settings import Settings


def session() -> Session:
    """Of a role."""
    made = Session()
    made.set_config_variable("region", "eu-central-1")
    made.set_credentials("AKIDEXAMPLE", "secret", "of-a-session")
    return made


def test_the_token_is_a_signed_request_without_its_scheme() -> None:
    """Host, action, user, kind of cache, 15 minutes, credentials of a session, signature."""
    user, token = CacheCredentials(
        cache="safelight-prod-cache", user="safelight-prod-cache", session=session()
    ).get_credentials()
    found = urlsplit(f"//{token}")
    query = {name: value for name, (value,) in parse_qs(found.query).items()}

    assert user == "safelight-prod-cache"
    assert (found.netloc, found.path) == ("safelight-prod-cache", "/")
    scope = query["X-Amz-Credential"].split("/")
    assert [scope[0], *scope[2:]] == ["AKIDEXAMPLE", "eu-central-1", "elasticache", "aws4_request"]
    assert {
        name: query[name]
        for name in (
            *("Action", "User", "ResourceType", "X-Amz-Expires", "X-Amz-SignedHeaders"),
            "X-Amz-Security-Token",
        )
    } == {
        "Action": "connect",
        "User": "safelight-prod-cache",
        "ResourceType": "ServerlessCache",
        "X-Amz-Expires": "900",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Security-Token": "of-a-session",
    }

    # The signature is that of the request as a server reads it from the token.
    signed = {name: value for name, value in query.items() if name != "X-Amz-Signature"}
    request = AWSRequest("GET", "https://safelight-prod-cache/", params=signed)
    request.context["timestamp"] = query["X-Amz-Date"]
    signer = SigV4QueryAuth(
        Credentials("AKIDEXAMPLE", "secret"), "elasticache", "eu-central-1", expires=900
    )
    request.url = f"https://{token.rpartition('&X-Amz-Signature=')[0]}"
    request.params = {}
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    assert query["X-Amz-Signature"] == signature


def test_each_connection_signs_in(settings: Settings) -> None:
    """AUTH with the URL's user and a token comes before anything else."""
    sent: list[bytes] = []
    enough = threading.Event()

    def listen(connection: object) -> None:
        sent.append(connection.recv(4000))  # type: ignore[attr-defined]
        enough.set()

    with answering(listen) as url:
        named = url.replace("redis://", "redis://somebody@")
        credentials = CacheCredentials(cache="cache", user="somebody", session=session())
        cache = RedisCache(named, timeout=5, credentials=credentials)
        assert cache.get("key") is None
        assert enough.wait(30)
        cache.close()
    assert sent[0].startswith(b"*3\r\n$4\r\nAUTH\r\n$8\r\nsomebody\r\n")
    assert b"X-Amz-Signature=" in sent[0]


@pytest.fixture
def settings() -> Settings:
    """Of a function with a cache."""
    names = ("table", "intake_bucket", "delivery_bucket", "quarantine_bucket", "event_bus")
    given = {f"SAFELIGHT_{name.upper()}": "x" for name in (*names, "queue_url", "dlq_url")}
    return Settings.from_environment(
        {
            **given,
            "SAFELIGHT_REDIS_URL": "rediss://safelight-prod-cache@host:6379/0",
            "SAFELIGHT_REDIS_IAM": "safelight-prod-cache",
        }
    )


def test_the_settings_choose_it(settings: Settings) -> None:
    """The user is the URL's; a URL without one is a mistake that is named."""
    ports = dict.fromkeys(("store", "catalog", "queue"))
    app = Application(settings=settings, **ports)  # type: ignore[arg-type]
    assert isinstance(app.cache, RedisCache)

    nobody = replace(settings, redis_url="rediss://host:6379/0")
    with pytest.raises(ConfigurationError, match="no user"):
        _ = Application(settings=nobody, **ports).cache  # type: ignore[arg-type]
