"""The program's resources on plain mocks: what it declares, without creating anything."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

from tests.infra import runs
from worker.infra.program import Declaration, Resource

__all__ = [
    "ANSWERS",
    "BATCH_IMAGE",
    "IMAGE",
    "IMAGES",
    "Declaration",
    "Resource",
    "declare",
    "takes",
]

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
IMAGE = f"{ECR}/safelight@sha256:{'ab' * 32}"
BATCH_IMAGE = f"{ECR}/safelight-batch@sha256:{'cd' * 32}"
IMAGES = {"image": IMAGE, "batchImage": BATCH_IMAGE}
STACK = "test"
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {
        "accountId": ACCOUNT,
        "arn": "arn:me",
        "userId": "me",
        "id": "me",
    },
    "aws:index/getRegion:getRegion": {"region": "eu-central-1", "id": "eu-central-1"},
    "aws:index/getAvailabilityZones:getAvailabilityZones": {
        "names": [f"eu-central-1{zone}" for zone in "abcd"],
        "id": "eu-central-1",
    },
    "aws:savingsplans/getOfferings:getOfferings": {
        "offerings": [{"offeringId": "compute-for-a-year"}],
    },
}
"""What the program may look up."""


class _Mocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        service = args.typ.partition("/")[0]
        named = {"name": args.name, "bucket": args.name} | args.inputs
        return f"id-{args.name}", named | {
            "arn": f"arn:{service}:{args.name}",
            "streamArn": f"arn:{service}:{args.name}/stream/1",
            "url": f"https://{service}/{args.name}",
            "repositoryUrl": f"{ECR}/{named['name']}",
            "prefixListId": f"pl-{args.name}",
            "invokeArn": f"invoke:{args.name}",
            "executionArn": f"execute:{args.name}",
            "apiEndpoint": f"https://{args.name}",
            "bucketRegionalDomainName": f"{named['bucket']}.s3.eu-central-1.amazonaws.com",
            "domainName": f"{args.name}.cloudfront.net",
            "endpoints": [{"address": f"{args.name}.serverless", "port": 6379}],
            "outputs": {"StateMachineARN": f"arn:aws:states:{args.name}"},
            "functionUrl": f"https://{args.name}.lambda-url.eu-central-1.on.aws/",
        }

    def call(self, args: MockCallArgs) -> Any:
        return ANSWERS[args.token]


def declare(
    config: Mapping[str, Any] | None = None,
    *,
    stack: str = STACK,
    images: Mapping[str, str] = IMAGES,
) -> Declaration:
    """What the program declares for a configuration; the images are given.

    Raises:
        pulumi.RunError: the configuration is mistaken.
    """
    return runs.record(_Mocks(), stack=stack, config={**images, **(config or {})})


def takes(resource: Resource, argument: str) -> bool:
    """Whether a resource of its kind can be told this at all, as the SDK has it."""
    return argument in _arguments(resource.kind)


@cache
def _arguments(kind: str) -> frozenset[str]:
    """What a kind of resource can be told; nothing for components of ours."""
    module, _, name = kind.partition("/")
    if not name:
        return frozenset()
    service = import_module(f"pulumi_aws.{'lambda_' if module == 'lambda' else module}")
    # The second name is the usual one; the first is there where another type has the second.
    found = getattr(service, f"{name}InitArgs", None) or getattr(service, f"{name}Args")
    return frozenset(inspect.signature(found).parameters)
