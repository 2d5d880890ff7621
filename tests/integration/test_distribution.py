"""The distribution as it is declared, in the embedded AWS: who gets which file, with which headers.

The embedded AWS has neither a cache nor preflight requests. It signs for the distribution and asks
the bucket's policy.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from pulumi import FileAsset

from tests.infra.configs import SIGNED_IN
from tests.infra.declared import Declaration, declare
from worker import console
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.s3 import S3ObjectStore
from worker.domain.asset import CLOSED
from worker.local.deploy import emulator_patches
from worker.local.deploy.resource_types import camel_to_pascal
from worker.local.emulator import Emulator, running

RENDITION = "ab/asset/version/large.jpg"


class Edge:
    """The distribution, its buckets, and what a browser gets from it."""

    def __init__(self, emulator: Emulator, declared: Declaration) -> None:
        self.declared, self.endpoint = declared, emulator.endpoint
        session = boto3.Session("test", "test", region_name="eu-central-1")
        self.client: dict[str, Any] = {
            "endpoint_url": emulator.endpoint,
            "region_name": "eu-central-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }
        self.variables = {
            "AWS_ENDPOINT_URL": emulator.endpoint,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.s3 = session.client("s3", endpoint_url=emulator.endpoint)
        self.cloudfront = session.client("cloudfront", endpoint_url=emulator.endpoint)
        for what in ("delivery", "console"):
            place: Any = {"LocationConstraint": "eu-central-1"}
            self.s3.create_bucket(Bucket=f"safelight-test-{what}", CreateBucketConfiguration=place)
        made = self.cloudfront.create_distribution(DistributionConfig=self._config())
        self.host = made["Distribution"]["DomainName"]
        self.arn = made["Distribution"]["ARN"]
        self.let_in(self.arn)
        self._fill()

    def let_in(self, arn: str) -> None:
        """Give both buckets their policies, for a distribution."""
        for what in ("delivery", "console"):
            text = self.declared.one("s3/BucketPolicy", what).inputs["policy"]
            text = text.replace("arn:aws:s3:safe", "arn:aws:s3:::safe").replace(
                "arn:aws:cloudfront:safelight-test-delivery", arn
            )
            self.s3.put_bucket_policy(
                Bucket=f"safelight-test-{what}", Policy=emulator_patches.bucket(text)
            )

    @contextmanager
    def reading_as_a_user(self, bucket: str) -> Iterator[Any]:
        """S3 as a user who may read all of a bucket, and whom its policy refuses what is closed."""
        iam, user = boto3.client("iam", **self.client), "reader"
        arn = iam.create_user(UserName=user)["User"]["Arn"]
        resource = f"arn:aws:s3:::{bucket}/*"
        may = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
        document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
        iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=document)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        declared = self.declared.one("s3/BucketPolicy", "delivery").statements()
        (closed,) = (one for one in declared if one["Sid"] == "Closed")
        del closed["Condition"]["StringEquals"]["aws:SourceArn"]
        closed = {**closed, "Principal": {"AWS": arn}, "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [closed]})
        before = self.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        self.s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        try:
            yield boto3.client(
                "s3",
                **self.client
                | {
                    "aws_access_key_id": key["AccessKeyId"],
                    "aws_secret_access_key": key["SecretAccessKey"],
                },
            )
        finally:
            self.s3.put_bucket_policy(Bucket=bucket, Policy=before)

    def get(self, path: str, *, host: str | None = None, **headers: str) -> Any:
        """Status, headers and body of a request, as a browser sends it to the distribution."""
        named = {"Host": host or self.host, "X-Forwarded-Proto": "https", **headers}
        request = urllib.request.Request(f"{self.endpoint}{path}", headers=named)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def _config(self) -> Any:
        """What the program declares, in the words of CloudFront's API."""
        inputs = self.declared.one("cloudfront/Distribution", "delivery").inputs
        signer = self.declared.one("cloudfront/OriginAccessControl", "delivery").inputs
        oac = self.cloudfront.create_origin_access_control(
            OriginAccessControlConfig={
                "Name": "delivery",
                "SigningProtocol": signer["signingProtocol"],
                "SigningBehavior": signer["signingBehavior"],
                "OriginAccessControlOriginType": signer["originAccessControlOriginType"],
            }
        )["OriginAccessControl"]["Id"]
        cached = self.cloudfront.create_cache_policy(CachePolicyConfig=self._cache_policy())
        headers = {one: self._headers_policy(one) for one in ("delivery", "console")}
        # Buckets alone: no function runs here that makes what is missing, or chooses a file.
        first = {
            one["originId"]: one["members"][0]["originId"] for one in inputs.get("originGroups", [])
        }
        ids = {"cachePolicyId": cached["CachePolicy"]["Id"]}

        def behaviour(one: Any) -> Any:
            which = one["responseHeadersPolicyId"].rpartition("-")[2]
            methods = one["allowedMethods"]
            found = {
                "TargetOriginId": first.get(one["targetOriginId"], one["targetOriginId"]),
                "ViewerProtocolPolicy": one["viewerProtocolPolicy"],
                "Compress": one["compress"],
                "CachePolicyId": ids["cachePolicyId"],
                "ResponseHeadersPolicyId": headers[which],
                "AllowedMethods": {
                    **_items(methods),
                    "CachedMethods": _items(one["cachedMethods"]),
                },
            }
            return found | ({"PathPattern": one["pathPattern"]} if "pathPattern" in one else {})

        return {
            "CallerReference": "test",
            "Comment": inputs["comment"],
            "Enabled": True,
            "Origins": _items(
                [
                    {
                        "Id": one["originId"],
                        "DomainName": one["domainName"],
                        "OriginAccessControlId": oac,
                        "S3OriginConfig": {"OriginAccessIdentity": ""},
                    }
                    for one in inputs["origins"]
                    if ".s3." in one["domainName"]
                ]
            ),
            "DefaultCacheBehavior": behaviour(inputs["defaultCacheBehavior"]),
            "CacheBehaviors": _items([behaviour(one) for one in inputs["orderedCacheBehaviors"]]),
        }

    def _cache_policy(self) -> Any:
        inputs = self.declared.one("cloudfront/CachePolicy", "delivery").inputs
        key = camel_to_pascal(inputs["parametersInCacheKeyAndForwardedToOrigin"])
        return {
            "Name": "delivery",
            "MinTTL": inputs["minTtl"],
            "DefaultTTL": inputs["defaultTtl"],
            "MaxTTL": inputs["maxTtl"],
            "ParametersInCacheKeyAndForwardedToOrigin": key,
        }

    def _headers_policy(self, which: str) -> str:
        inputs = self.declared.one("cloudfront/ResponseHeadersPolicy", which).inputs
        config = camel_to_pascal(
            {key: inputs[key] for key in ("corsConfig", "securityHeadersConfig") if key in inputs}
        )
        for key, value in config.get("CorsConfig", {}).items():
            if isinstance(value, dict):
                config["CorsConfig"][key] = _items(value["Items"])
        custom = camel_to_pascal(inputs["customHeadersConfig"]["items"])
        made = self.cloudfront.create_response_headers_policy(
            ResponseHeadersPolicyConfig={
                "Name": which,
                "CustomHeadersConfig": _items(custom),
                **config,
            }
        )
        return str(made["ResponseHeadersPolicy"]["Id"])

    def _fill(self) -> None:
        immutable = "public, max-age=31536000, immutable"
        self.s3.put_object(
            Bucket="safelight-test-delivery",
            Key=RENDITION,
            Body=b"a picture",
            ContentType="image/jpeg",
            CacheControl=immutable,
        )
        for one in self.declared.of("s3/BucketObject"):
            source, inputs = one.inputs.get("source"), one.inputs
            body = (
                Path(source.path).read_bytes()
                if isinstance(source, FileAsset)
                else inputs["content"].encode()
            )
            self.s3.put_object(
                Bucket="safelight-test-console",
                Key=inputs["key"],
                Body=body,
                ContentType=inputs["contentType"],
                CacheControl=inputs["cacheControl"],
            )


def _items(found: list[Any]) -> dict[str, Any]:
    return {"Quantity": len(found), "Items": found}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """A distribution with a console, in an emulator that asks policies."""
    declared = declare(
        {
            "api": {"enabled": True, **SIGNED_IN},
            "console": {"enabled": True, "clientId": "console"},
        }
    )
    with running(tmp_path_factory.mktemp("edge"), enforce_iam=True) as emulator:
        yield Edge(emulator, declared)


def test_a_rendition_comes_from_the_bucket_and_runs_nothing(edge: Edge) -> None:
    """With the bucket's own lifetime, and the headers of a file."""
    status, headers, body = edge.get(f"/{RENDITION}", Origin="https://a.example")

    assert (status, body) == (200, b"a picture")
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Security-Policy"].endswith("; sandbox")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_nobody_but_the_distribution_reads_the_buckets(edge: Edge) -> None:
    """The same files, asked for at the buckets themselves."""
    for bucket, key in (("delivery", RENDITION), ("console", "console/config.json")):
        status, _, body = edge.get(f"/safelight-test-{bucket}/{key}", host="127.0.0.1")
        assert status == 403
        assert b"a picture" not in body


def test_the_policy_refuses_who_it_names_a_closed_file(edge: Edge) -> None:
    """The declared statement, with a user in place of the distribution: the file is refused from
    the moment that it carries the tag, whole, in part and by HEAD, and open without it."""
    bucket, key = "safelight-test-delivery", RENDITION.replace("large", "closed")
    store = S3ObjectStore(AwsClients(edge.variables))
    store.put(bucket, key, b"a secret", content_type="image/jpeg", tags=CLOSED)
    with edge.reading_as_a_user(bucket) as s3:
        for more in ({}, {"Range": "bytes=0-3"}):
            with pytest.raises(ClientError, match=r"AccessDenied|403"):
                s3.get_object(Bucket=bucket, Key=key, **more)
        with pytest.raises(ClientError, match="403"):
            s3.head_object(Bucket=bucket, Key=key)
        assert s3.get_object(Bucket=bucket, Key=RENDITION)["Body"].read() == b"a picture"
        assert store.get(bucket, key)[0] == b"a secret"  # who is not named

        store.tag(bucket, key, {})
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"a secret"
        store.tag(bucket, key, CLOSED)
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.get_object(Bucket=bucket, Key=key)
    # What is not tried here: the embedded CloudFront asks the policy without the object's tags.
    assert edge.get(f"/{key}")[0] == 200


def test_another_distribution_is_not_let_in(edge: Edge) -> None:
    """The policy names one by its ARN, and another one of the same account is not it."""
    edge.let_in(edge.arn[:-1] + ("A" if edge.arn[-1] != "A" else "B"))
    try:
        assert edge.get(f"/{RENDITION}")[0] == 403
    finally:
        edge.let_in(edge.arn)
    assert edge.get(f"/{RENDITION}")[0] == 200


def test_the_console_opens_at_its_address(edge: Edge) -> None:
    """The page, its configuration and every file that it names, with the console's headers."""
    status, headers, page = edge.get("/console/")
    told = json.loads(edge.get("/console/config.json")[2])

    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert told["sign_in"]["client_id"] == "console"
    assert f'src="{console.version()}/main.js"'.encode() in page
    for name in console.files():
        if name != console.PAGE:
            status, headers, body = edge.get(f"/console/{console.version()}/{name}")
            assert (status, body) == (200, (console.FOLDER / name).read_bytes())
            assert headers["Cache-Control"].endswith("immutable")


def test_what_is_not_there_is_no_file(edge: Edge) -> None:
    """A bucket that cannot be listed says 403; nothing of the other bucket is reached by a path."""
    for path in ("/ab/none.jpg", f"/console/{RENDITION}", "/console/../" + RENDITION[3:]):
        assert edge.get(path)[0] in {403, 404}
