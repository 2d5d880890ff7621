"""CreateInvalidation: the exact request, what CloudFront refuses, and the embedded one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.cloudfront import CloudFrontCaches
from worker.domain.errors import AccessDenied, ConfigurationError, EngineError, Throttled
from worker.local.emulator import Emulator, running

ASSET = "11111111-1111-4111-8111-111111111111"


def test_an_invalidation_names_each_tag_as_an_item() -> None:
    """With a ``#`` in front, and one reference for the request."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.cloudfront) as stub:
        stub.add_response(
            "create_invalidation",
            {},
            {
                "DistributionId": "E1",
                "InvalidationBatch": {
                    "Paths": {"Quantity": 2, "Items": ["#a:1", "#a:2"]},
                    "CallerReference": "once",
                },
            },
        )

        CloudFrontCaches(clients, "E1").forget(["a:1", "a:2"], once="once")

        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("TooManyInvalidationsInProgress", 400, Throttled),
        ("Throttling", 400, Throttled),
        ("NoSuchDistribution", 404, ConfigurationError),
        ("AccessDenied", 403, AccessDenied),
        ("BatchTooLarge", 413, EngineError),
        ("InvalidArgument", 400, EngineError),
    ],
)
def test_what_cloudfront_refuses_says_whether_waiting_helps(
    code: str, status: int, kind: type[Exception]
) -> None:
    """Too many in progress pass by themselves; the others need a person."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.cloudfront) as stub:
        stub.add_client_error("create_invalidation", code, http_status_code=status)

        with pytest.raises(kind):
            CloudFrontCaches(clients, "E1").forget(["a:1"], once="once")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An embedded AWS of its own."""
    folder: Path = tmp_path_factory.mktemp("cloudfront")
    with running(folder) as found:
        yield found


def test_the_same_reference_is_the_same_invalidation(emulator: Emulator) -> None:
    """In the embedded CloudFront too, which keeps what it was sent."""
    with clients_for(emulator.endpoint) as clients:
        cloudfront: Any = clients.cloudfront
        made = cloudfront.create_distribution(DistributionConfig=_config())["Distribution"]
        caches = CloudFrontCaches(clients, made["Id"])

        for once in ("first", "first", "second"):
            caches.forget([f"a:{ASSET}"], once=once)

        listed = cloudfront.list_invalidations(DistributionId=made["Id"])["InvalidationList"]
        assert len(listed["Items"]) == 2
        with pytest.raises(ConfigurationError):
            CloudFrontCaches(clients, "E0NONE").forget([f"a:{ASSET}"], once="first")


def _config() -> Any:
    origin = {
        "Id": "o",
        "DomainName": "bucket.s3.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    return {
        "CallerReference": "test",
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "https-only",
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
        },
    }


def test_clients_have_no_stubs_of_cloudfront() -> None:
    """Its endpoint is the one of the environment, as of every service."""
    environment = {"AWS_ENDPOINT_URL_CLOUDFRONT": "http://127.0.0.1:9", "AWS_REGION": "eu-north-1"}

    assert AwsClients(environment).cloudfront.meta.endpoint_url == "http://127.0.0.1:9"
