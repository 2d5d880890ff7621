"""The function: events of an HTTP API in, answers in its format out; the gateway checks tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.api.rig import ENVIRONMENT, Api
from worker.bench.requests import request_event
from worker.entrypoints import lambda_api
from worker.entrypoints.api.tokens import Tokens
from worker.settings import Settings


@pytest.fixture
def event_loop() -> Iterator[None]:
    """The event loop that Mangum takes. It would make one itself and never close it: right for a
    function, but here a later test would be told of it.
    """
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        yield
    asyncio.set_event_loop(None)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, event_loop: None) -> Iterator[Api]:
    """Behind a gateway: nothing here could check a token."""
    made = Api()
    open_ = {name: text for name, text in ENVIRONMENT.items() if "SECRET" not in name}
    made.services.__dict__["tokens"] = Tokens(Settings.from_environment(open_))
    monkeypatch.setattr(lambda_api, "services", lambda: made.services)
    lambda_api.adapter.cache_clear()
    yield made
    lambda_api.adapter.cache_clear()


def event(claims: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    """What the gateway sends."""
    made = {**request_event(), **more}
    made["requestContext"]["authorizer"] = {} if claims is None else {"jwt": {"claims": claims}}
    return made


CLAIMS = {"sub": "ann", "scope": "[safelight:read safelight:write]"}


def test_a_request_is_answered_in_the_gateways_format(api: Api) -> None:
    """The caller comes from the claims that the gateway has verified."""
    answer = lambda_api.handler(event(CLAIMS), None)  # type: ignore[arg-type]

    assert answer["statusCode"] == 201
    made = json.loads(answer["body"])
    assert api.catalog.records[made["asset"]].owner == "ann"


def test_without_claims_of_the_gateway_nobody_is_let_in(api: Api) -> None:
    """A header alone names nobody: nothing here could check it, which is a mistake of ours."""
    none = lambda_api.handler(event(None), None)  # type: ignore[arg-type]
    header = lambda_api.handler(
        event(None, headers={"authorization": f"Bearer {api.token()}"}),
        None,  # type: ignore[arg-type]
    )

    assert (none["statusCode"], header["statusCode"]) == (401, 500)
    assert api.catalog.records == {}


def test_an_error_of_ours_ends_no_invocation(api: Api) -> None:
    """It is an answer, with an id."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a test wants it")

    api.catalog.commit = fail  # type: ignore[assignment, method-assign]

    answer = lambda_api.handler(event(CLAIMS), None)  # type: ignore[arg-type]

    assert answer["statusCode"] == 500
    assert json.loads(answer["body"])["id"]
