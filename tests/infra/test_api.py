"""The API: nobody comes in without a token, and its function may do what its routes do."""

from __future__ import annotations

import json

import pulumi
import pytest

from tests.infra.configs import SIGNED_IN
from tests.infra.declared import Declaration, declare


@pytest.fixture(scope="module")
def api() -> Declaration:
    """A stack with an API, and nothing said that it does not need."""
    return declare({"api": {"enabled": True, **SIGNED_IN, "origins": ["https://a.example"]}})


def test_there_is_none_unless_it_is_asked_for(ordered: Declaration) -> None:
    """It needs somebody who signs people in."""
    assert ordered.of("apigatewayv2/Api") == []
    assert "api" not in ordered.exports


def test_tokens_are_checked_before_the_function_is_called(api: Declaration) -> None:
    """By issuer and audience, on every route but the two that tell nothing of anybody."""
    (authorizer,) = api.of("apigatewayv2/Authorizer")
    routes = {one.inputs["routeKey"]: one.inputs for one in api.of("apigatewayv2/Route")}

    assert authorizer.inputs["jwtConfiguration"] == {
        "issuer": SIGNED_IN["issuer"],
        "audiences": [SIGNED_IN["audience"]],
    }
    assert {*routes} == {"$default", "GET /healthz", "GET /openapi.json"}
    assert routes["$default"]["authorizationType"] == "JWT"
    assert routes["$default"]["authorizerId"]
    assert routes["GET /healthz"]["authorizationType"] == "NONE"
    assert "authorizerId" not in routes["GET /healthz"]


def test_the_function_gets_whole_requests(api: Declaration) -> None:
    """In the format that its adapter reads, and from this API alone."""
    (integration,) = api.of("apigatewayv2/Integration")
    (permission,) = (one for one in api.of("lambda/Permission") if one.name == "api")

    assert integration.inputs["payloadFormatVersion"] == "2.0"
    assert integration.inputs["integrationType"] == "AWS_PROXY"
    assert permission.inputs["principal"] == "apigateway.amazonaws.com"
    assert permission.inputs["sourceArn"].endswith("/*")


def test_the_rate_is_limited_and_requests_are_logged(api: Declaration) -> None:
    """Without a token or a claim in the log."""
    (stage,) = api.of("apigatewayv2/Stage")

    limits = stage.inputs["defaultRouteSettings"]
    assert (limits["throttlingRateLimit"], limits["throttlingBurstLimit"]) == (500, 1_000)
    line = json.loads(stage.inputs["accessLogSettings"]["format"])
    assert "$context.status" in line.values()
    assert not [text for text in line.values() if "claims" in text or "authorization" in text]


def test_the_gateway_answers_preflight_requests(api: Declaration) -> None:
    """They have no token. Methods and headers are those that the app takes."""
    (gateway,) = api.of("apigatewayv2/Api")

    assert gateway.inputs["corsConfiguration"] == {
        "allowOrigins": ["https://a.example"],
        "allowMethods": ["GET", "POST", "PATCH", "DELETE"],
        "allowHeaders": ["authorization", "content-type", "idempotency-key", "traceparent"],
        "exposeHeaders": ["retry-after"],
        "maxAge": 3600,
    }


def test_the_function_checks_by_the_same_names(api: Declaration) -> None:
    """Issuer, audience and origins reach the app; no secret does."""
    environment = api.exports["apiEnvironment"]

    assert environment["SAFELIGHT_API_ISSUER"] == SIGNED_IN["issuer"]
    assert environment["SAFELIGHT_API_AUDIENCE"] == SIGNED_IN["audience"]
    assert environment["SAFELIGHT_API_ORIGINS"] == "https://a.example"
    assert "SAFELIGHT_API_SECRET" not in environment


@pytest.mark.parametrize(
    ("bucket", "first", "routes"),
    [
        (True, True, "accelerated,direct"),
        (True, False, "direct,accelerated"),
        (False, False, "direct"),
    ],
)
def test_the_function_offers_the_ways_that_the_bucket_has(
    bucket: bool,
    first: bool,
    routes: str,
) -> None:
    """The edge is offered only where the bucket lets it in."""
    section = {"enabled": True, **SIGNED_IN, "accelerated": first}
    found = declare({"api": section, "storage": {"acceleration": bucket}})

    assert found.exports["apiEnvironment"]["SAFELIGHT_UPLOAD_ROUTES"] == routes
    assert bool(found.of("s3/BucketAccelerateConfiguration")) is bucket


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"enabled": True}, "api.issuer"),
        ({"enabled": True, **SIGNED_IN, "issuer": "http://plain.example"}, "https address"),
        ({"enabled": True, **SIGNED_IN, "accelerated": True}, "storage.acceleration"),
    ],
)
def test_an_api_that_could_not_work_is_refused(section: dict[str, object], said: str) -> None:
    """Before anything is deployed."""
    config = {"api": section, "storage": {"acceleration": False}}

    with pytest.raises(pulumi.RunError, match=said):
        declare(config)
