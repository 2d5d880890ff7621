"""The distribution: how renditions are cached and headed, and who may read the bucket behind it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tests.infra.configs import CERTIFICATE, OWN_DOMAIN, SIGNED_IN
from tests.infra.declared import ACCOUNT, Declaration, declare
from worker.domain.delivery import NEGOTIATION_HEADERS
from worker.domain.image import Format
from worker.infra.edge import LARGEST, source
from worker.services.first_view import CLAIM_SECONDS


def test_the_bucket_is_read_by_this_distribution_alone(ordered: Declaration) -> None:
    """By its ARN: another one of the account, or of anybody, is not let in."""
    distribution = ordered.one("cloudfront/Distribution", "delivery")
    signer = ordered.one("cloudfront/OriginAccessControl", "delivery").inputs
    origin, _ = distribution.inputs["origins"]
    *_, statement, closed = ordered.one("s3/BucketPolicy", "delivery").statements()

    assert origin["domainName"] == "safelight-test-delivery.s3.eu-central-1.amazonaws.com"
    assert origin["originAccessControlId"] == "id-safelight-test-delivery"
    assert (signer["signingBehavior"], signer["signingProtocol"]) == ("always", "sigv4")
    assert statement == {
        "Sid": "Distribution",
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:safelight-test-delivery/*",
        "Condition": {
            "StringEquals": {"aws:SourceArn": "arn:aws:cloudfront:safelight-test-delivery"}
        },
    }
    # A refusal counts whatever allows. Files without the tag are not in question.
    assert closed == {
        **statement,
        "Sid": "Closed",
        "Effect": "Deny",
        "Condition": {
            "StringEquals": {
                "aws:SourceArn": "arn:aws:cloudfront:safelight-test-delivery",
                "s3:ExistingObjectTag/closed": "true",
            }
        },
    }


def test_nothing_but_the_path_makes_another_copy(ordered: Declaration) -> None:
    """Query strings, headers and cookies reach neither the cache's key nor the bucket."""
    policy = ordered.one("cloudfront/CachePolicy", "delivery").inputs

    assert (policy["minTtl"], policy["defaultTtl"], policy["maxTtl"]) == (0, 86_400, 31_536_000)
    assert policy["parametersInCacheKeyAndForwardedToOrigin"] == {
        "enableAcceptEncodingBrotli": True,
        "enableAcceptEncodingGzip": True,
        "cookiesConfig": {"cookieBehavior": "none"},
        "headersConfig": {"headerBehavior": "none"},
        "queryStringsConfig": {"queryStringBehavior": "none"},
    }


def test_an_asset_can_be_taken_from_every_edge_by_its_tag(ordered: Declaration) -> None:
    """The header is the one that S3 gives an object's metadata."""
    distribution = ordered.one("cloudfront/Distribution", "delivery").inputs

    assert distribution["cacheTagConfig"] == {"headerName": "x-amz-meta-cache-tag"}
    assert distribution["httpVersion"] == "http2and3"


def test_a_rendition_is_a_file_and_never_a_page(ordered: Declaration) -> None:
    """An uploaded file cannot run scripts, even if it is opened in a tab on the console's host."""
    headers = ordered.one("cloudfront/ResponseHeadersPolicy", "delivery").inputs
    security = headers["securityHeadersConfig"]
    content = security["contentSecurityPolicy"]

    assert content["override"] is True
    assert content["contentSecurityPolicy"].startswith("default-src 'none'; ")
    assert content["contentSecurityPolicy"].endswith("; sandbox")
    assert security["contentTypeOptions"] == {"override": True}
    assert security["strictTransportSecurity"]["accessControlMaxAgeSec"] == 31_536_000
    assert headers["corsConfig"]["accessControlAllowOrigins"] == {"items": ["*"]}
    assert headers["corsConfig"]["accessControlAllowCredentials"] is False


def test_the_function_chooses_among_what_the_recipe_makes(ordered: Declaration) -> None:
    """The file that the tests run, for every request, with the recipe's formats in it."""
    modern = declare({"recipe": "modern"})
    unknown = declare({"recipe": "/var/task/ours.toml"})
    several = declare({"settings": {"recipes": "modern, product"}})
    distribution = ordered.one("cloudfront/Distribution", "delivery").inputs

    def function(found: Declaration) -> Mapping[str, Any]:
        return found.one("cloudfront/Function", "delivery").inputs

    (used,) = distribution["defaultCacheBehavior"]["functionAssociations"]
    assert used == {
        "eventType": "viewer-request",
        "functionArn": "arn:aws:cloudfront:safelight-test-delivery",
    }
    assert function(ordered)["runtime"] == "cloudfront-js-2.0"
    assert function(ordered)["publish"] is True
    assert function(ordered)["code"] == source([Format.JPEG, Format.WEBP])
    assert function(modern)["code"] == source([Format.JPEG, Format.JXL])
    assert function(unknown)["code"] == source([Format.JXL, Format.AVIF, Format.WEBP])
    assert function(several)["code"] == function(unknown)["code"]
    assert all(len(function(one)["code"].encode()) <= LARGEST for one in (modern, unknown))


def test_what_the_bucket_does_not_have_is_asked_of_a_function(ordered: Declaration) -> None:
    """On 403 and 404 alone, by a URL that takes signed requests of this distribution alone."""
    distribution = ordered.one("cloudfront/Distribution", "delivery").inputs
    _, missing = distribution["origins"]
    (group,) = distribution["originGroups"]
    url = ordered.one("lambda/FunctionUrl", "deliver").inputs
    signer = ordered.one("cloudfront/OriginAccessControl", "deliver").inputs
    permissions = [
        ordered.one("lambda/Permission", f"deliver-{one}").inputs for one in ("url", "call")
    ]

    assert distribution["defaultCacheBehavior"]["targetOriginId"] == group["originId"] == "stored"
    assert group["failoverCriteria"] == {"statusCodes": [403, 404]}
    assert [one["originId"] for one in group["members"]] == ["renditions", "missing"]
    assert missing["domainName"] == "safelight-test-deliver.lambda-url.eu-central-1.on.aws"
    assert missing["customOriginConfig"]["originProtocolPolicy"] == "https-only"
    assert signer["originAccessControlOriginType"] == "lambda"
    assert url["authorizationType"] == "AWS_IAM"
    assert [one["action"] for one in permissions] == [
        "lambda:InvokeFunctionUrl",
        "lambda:InvokeFunction",
    ]
    for one in permissions:
        assert one["principal"] == "cloudfront.amazonaws.com"
        assert one["sourceArn"] == "arn:aws:cloudfront:safelight-test-delivery"
    assert permissions[0]["functionUrlAuthType"] == "AWS_IAM"
    assert permissions[1]["invokedViaFunctionUrl"] is True
    function = ordered.one("lambda/Function", "deliver").inputs
    assert function["imageConfig"] == {"commands": ["worker.entrypoints.lambda_deliver.handler"]}
    actions = [
        action
        for statement in ordered.one("iam/RolePolicy", "deliver").statements()
        for action in statement["Action"]
        if not action.startswith(("logs:", "xray:"))
    ]
    assert actions == [
        *("s3:ListBucket", "s3:GetObject", "s3:GetObjectVersion"),
        *("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
        *("dynamodb:GetItem", "dynamodb:UpdateItem"),
    ]
    assert function["timeout"] < min(30, CLAIM_SECONDS), "CloudFront waits 30 s"
    ingest = ordered.one("lambda/Function", "ingest").inputs["memorySize"]
    assert function["memorySize"] == max(1769, ingest), "one vCPU, or what ingest has"


def test_the_function_may_start_from_a_snapshot() -> None:
    """Of a published version, which an alias names; the distribution calls that alias alone."""
    declared = declare({"delivery": {"snapStart": True}})
    function = declared.one("lambda/Function", "deliver").inputs
    alias = declared.one("lambda/Alias", "deliver").inputs

    assert function["snapStart"] == {"applyOn": "PublishedVersions"}
    assert function["publish"] is True
    assert (alias["name"], alias["functionName"]) == ("live", "safelight-test-deliver")
    assert declared.one("lambda/FunctionUrl", "deliver").inputs["qualifier"] == "live"
    for one in ("url", "call"):
        permission = declared.one("lambda/Permission", f"deliver-{one}").inputs
        assert permission["qualifier"] == "live"
    image = (Path(__file__).parents[2] / "images" / "lambda" / "Dockerfile").read_text()
    assert 'LABEL com.amazonaws.lambda.feature.snapstart="Allow"' in image


def test_every_answer_says_what_it_depends_on(ordered: Declaration) -> None:
    """By the policy, which errors and 304 pass through too, and not by the bucket."""
    several = declare({"delivery": {"origins": ["https://a.example", "https://b.example"]}})

    def headers(found: Declaration) -> dict[str, str]:
        policy = found.one("cloudfront/ResponseHeadersPolicy", "delivery").inputs
        items = policy["customHeadersConfig"]["items"]
        assert all(one["override"] is True for one in items)
        return {one["header"]: one["value"] for one in items}

    assert headers(ordered).items() >= NEGOTIATION_HEADERS.items()
    assert headers(several)["Vary"] == NEGOTIATION_HEADERS["Vary"] + ", Origin"


def test_no_script_reads_renditions_where_no_origin_is_named(bare: Declaration) -> None:
    """Without the distribution there are no headers; without origins there is no CORS."""
    without = declare({"delivery": {"origins": []}})

    assert not bare.of("cloudfront/ResponseHeadersPolicy")
    assert "corsConfig" not in without.one("cloudfront/ResponseHeadersPolicy", "delivery").inputs


def test_the_api_names_addresses_of_the_distribution(
    ordered: Declaration, chosen: Declaration
) -> None:
    """Of its own name, or of the first of the team's."""
    plain = declare({"api": {"enabled": True, **SIGNED_IN}})

    def address(found: Declaration) -> str:
        return str(found.exports["apiEnvironment"]["SAFELIGHT_DELIVERY_URL"])

    assert address(plain) == "https://safelight-test-delivery.cloudfront.net"
    assert plain.exports["delivery"] == ordered.exports["delivery"] == address(plain)
    assert address(chosen) == "https://img.example.com"


def test_a_name_of_its_own_comes_with_a_certificate(
    ordered: Declaration, chosen: Declaration
) -> None:
    """And with TLS 1.2, which CloudFront's own name does not insist on."""
    own = chosen.one("cloudfront/Distribution", "delivery").inputs
    given = ordered.one("cloudfront/Distribution", "delivery").inputs

    assert own["aliases"] == OWN_DOMAIN["domains"]
    assert own["viewerCertificate"] == {
        "acmCertificateArn": CERTIFICATE,
        "sslSupportMethod": "sni-only",
        "minimumProtocolVersion": "TLSv1.2_2021",
    }
    assert given["viewerCertificate"] == {"cloudfrontDefaultCertificate": True}
    assert (own["priceClass"], given["priceClass"]) == ("PriceClass_200", "PriceClass_100")


@pytest.mark.parametrize(
    ("audience", "price_class"),
    [
        (["north-america"], "PriceClass_100"),
        (["israel", "europe"], "PriceClass_100"),
        (["africa", "europe"], "PriceClass_200"),
        (["asia", "oceania", "middle-east"], "PriceClass_All"),
        (["south-america"], "PriceClass_All"),
    ],
)
def test_edges_are_those_that_the_audience_needs(audience: list[str], price_class: str) -> None:
    """The smallest price class with edges in every region that is named."""
    found = declare({"delivery": {"audience": audience}})

    assert found.one("cloudfront/Distribution", "delivery").inputs["priceClass"] == price_class


def test_an_address_with_too_many_requests_is_refused(
    ordered: Declaration, chosen: Declaration
) -> None:
    """By a web ACL of CloudFront's scope, in the one region that has them; nothing else is."""
    acl = chosen.one("wafv2/WebAcl", "delivery").inputs
    (rule,) = acl["rules"]

    assert (acl["scope"], acl["region"]) == ("CLOUDFRONT", "us-east-1")
    assert acl["defaultAction"] == {"allow": {}}
    assert rule["statement"] == {
        "rateBasedStatement": {
            "aggregateKeyType": "IP",
            "limit": 2000,
            "evaluationWindowSec": 300,
        }
    }
    assert rule["action"] == {"block": {"customResponse": {"responseCode": 429}}}
    limited = chosen.one("cloudfront/Distribution", "delivery").inputs
    assert limited["webAclId"] == "arn:aws:wafv2:safelight-test-delivery"
    assert not ordered.of("wafv2/WebAcl")
    assert "webAclId" not in ordered.one("cloudfront/Distribution", "delivery").inputs


@pytest.mark.parametrize(
    ("settings", "ignored"),
    [
        ({}, None),
        ({"rateLimit": 10}, None),
        ({"flatRatePlan": True}, ["webAclId"]),
        ({"flatRatePlan": True, "rateLimit": 10}, None),
    ],
)
def test_the_web_acl_of_a_plan_stays(
    settings: dict[str, object], ignored: list[str] | None
) -> None:
    """If it is not the one of the rate limit. Without a plan a limit can be taken away again."""
    found = declare({"delivery": settings}).one("cloudfront/Distribution", "delivery")

    assert (found.options.get("ignoreChanges") or None) == ignored


def test_requests_are_logged_into_a_bucket_of_their_own(chosen: Declaration) -> None:
    """From us-east-1, whatever the stack's region; by deliveries of this account alone."""
    source = chosen.one("cloudwatch/LogDeliverySource", "delivery-logs").inputs
    destination = chosen.one("cloudwatch/LogDeliveryDestination", "delivery-logs").inputs
    delivery = chosen.one("cloudwatch/LogDelivery", "delivery-logs").inputs
    *_, statement = chosen.one("s3/BucketPolicy", "delivery-logs").statements()
    rules = chosen.one("s3/BucketLifecycleConfiguration", "delivery-logs").inputs["rules"]

    assert {one["region"] for one in (source, destination, delivery)} == {"us-east-1"}
    assert source["logType"] == "ACCESS_LOGS"
    assert source["resourceArn"] == "arn:aws:cloudfront:safelight-test-delivery"
    assert statement["Resource"] == (f"arn:aws:s3:safelight-test-delivery-logs/AWSLogs/{ACCOUNT}/*")
    assert statement["Condition"]["StringEquals"]["aws:SourceAccount"] == ACCOUNT
    assert [rule["expiration"] for rule in rules if "expiration" in rule] == [{"days": 12}]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"delivery": {"domains": ["img.example.com"]}}, "delivery.certificate: is not set"),
        ({"delivery": {"certificate": CERTIFICATE}}, "delivery.domains: is not set"),
        (
            {
                "delivery": {
                    **OWN_DOMAIN,
                    "certificate": CERTIFICATE.replace("us-east-1", "eu-west-1"),
                }
            },
            "in us-east-1",
        ),
        ({"delivery": {**OWN_DOMAIN, "domains": ["*.example.com"]}}, "without a \\*"),
        ({"delivery": {**OWN_DOMAIN, "domains": ["https://a.example"]}}, "domain names like"),
        ({"delivery": {**OWN_DOMAIN, "domains": "img.example.com"}}, "a list of domain names"),
        ({"delivery": {"priceClass": "PriceClass_100"}}, "delivery.priceClass"),
        ({"delivery": {"audience": []}}, "a list of some of europe"),
        ({"delivery": {"audience": "europe"}}, "a list of some of europe"),
        ({"delivery": {"audience": ["mars"]}}, "a list of some of europe"),
        ({"delivery": {"rateLimit": 9}}, "0 for none, or from 10"),
        ({"delivery": {"rateLimit": -1}}, "from 0 to 2000000000"),
        ({"settings": {"delivery_url": "https://a.example"}}, "that of the distribution"),
    ],
)
def test_a_distribution_that_could_not_work_is_refused(
    config: dict[str, dict[str, object]], said: str
) -> None:
    """Before anything is deployed."""
    with pytest.raises(pulumi.RunError, match=said):
        declare(config)


def test_another_network_may_stand_in_front_of_the_bucket() -> None:
    """Without the distribution the setting names the address, and nobody reads the bucket."""
    url = "https://cdn.example.com"
    found = declare(
        {
            "delivery": {"enabled": False},
            "settings": {"delivery_url": url},
            "api": {"enabled": True, **SIGNED_IN},
        }
    )

    assert found.exports["apiEnvironment"]["SAFELIGHT_DELIVERY_URL"] == url
    assert len(found.one("s3/BucketPolicy", "delivery").statements()) == 2
    assert "delivery" not in found.exports


# --- uploads ----------------------------------------------------------------------------------

SECRET = "0123456789abcdef" * 4


def test_uploads_come_through_the_distribution_where_a_key_is_set(
    ordered: Declaration, chosen: Declaration
) -> None:
    """A path of their own, that no rendition has, behind the function that checks tickets."""
    (behaviour,) = (
        one
        for one in chosen.one("cloudfront/Distribution", "delivery").inputs["orderedCacheBehaviors"]
        if one["targetOriginId"] == "uploads"
    )
    function = chosen.one("cloudfront/Function", "delivery-uploads").inputs
    forwarded = chosen.one("cloudfront/OriginRequestPolicy", "delivery-uploads").inputs
    headers = forwarded["headersConfig"]["headers"]["items"]

    assert behaviour["pathPattern"] == "/??/uploads/*"
    assert behaviour["viewerProtocolPolicy"] == "https-only"
    assert "PUT" in behaviour["allowedMethods"]
    assert len(behaviour["allowedMethods"]) == 7
    assert [one["eventType"] for one in behaviour["functionAssociations"]] == ["viewer-request"]
    assert function["runtime"] == "cloudfront-js-2.0"
    assert len(headers) <= 10
    assert {one for one in headers if one.startswith("x-amz-")} == {
        "x-amz-checksum-sha256",
        *(f"x-amz-meta-{name}" for name in ("owner", "tags", "attributes", "recipe")),
    }
    assert forwarded["queryStringsConfig"]["queryStrings"]["items"] == ["partNumber", "uploadId"]
    assert [one.name for one in ordered.of("cloudfront/Function")] == ["delivery"]
    origins = ordered.one("cloudfront/Distribution", "delivery").inputs["origins"]
    assert [one["originId"] for one in origins] == ["renditions", "missing"]


def test_the_distribution_adds_to_the_intake_and_overwrites_nothing(
    ordered: Declaration, chosen: Declaration
) -> None:
    """Reading and deleting are not among its rights, and neither is a write without a condition."""
    *_, first, second = chosen.one("s3/BucketPolicy", "intake").statements()
    source = {"StringEquals": {"aws:SourceArn": "arn:aws:cloudfront:safelight-test-delivery"}}

    assert {first["Action"], second["Action"]} == {"s3:PutObject"}
    assert first["Condition"] == {**source, "Null": {"s3:if-none-match": "false"}}
    assert second["Condition"] == {**source, "Bool": {"s3:ObjectCreationOperation": "false"}}
    sids = [one.get("Sid") for one in ordered.one("s3/BucketPolicy", "intake").statements()]
    assert "WholeUploads" not in sids


def test_the_api_has_the_key_and_offers_the_way() -> None:
    """After the usual one."""
    found = declare({"api": {"enabled": True, **SIGNED_IN}, "delivery": {"uploadKey": SECRET}})
    environment = found.exports["apiEnvironment"]

    assert environment["SAFELIGHT_UPLOAD_ROUTES"] == "direct,accelerated,distribution"
    assert environment["SAFELIGHT_UPLOAD_KEY"] == SECRET
    assert environment["SAFELIGHT_DELIVERY_URL"].startswith("https://")
    # The plan, which people print and keep, has it nowhere.
    assert SECRET not in repr([one.inputs for one in found.resources])
    assert found.one("cloudfront/Function", "delivery-uploads").inputs["code"] == "[secret]"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"uploadKey": "short"}, "64 hex digits"),
        ({"uploadKey": SECRET, "enabled": False}, "delivery.uploadKey"),
    ],
)
def test_a_key_that_could_not_be_used_is_refused(section: dict[str, object], said: str) -> None:
    """Before anything is deployed."""
    with pytest.raises(pulumi.RunError, match=said):
        declare({"delivery": section})
