"""Which IAM action on which ARN a recorded call needs.

Sources: Amazon S3 User Guide, "Required permissions for Amazon S3 API operations"; Amazon DynamoDB
Developer Guide, "Using IAM with DynamoDB transactions"; Amazon SQS Developer Guide, "Amazon SQS API
permissions": the batch operations have no actions of their own; for the rest the Service
Authorization Reference, where action and operation have one name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.rights.policy import Grant

ACCOUNT, REGION = "000000000000", "eu-central-1"


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """Who needs what on what."""

    identity: str
    action: str
    resource: str


def recorded(file: Path, identities: Collection[str]) -> set[Need]:
    """Everything that some needed, of a file of recorded calls."""
    needs: set[Need] = set()
    for line in file.read_text("utf-8").splitlines():
        call = json.loads(line)
        if call["identity"] not in identities:
            continue
        for action, resource in needed(call["service"], call["operation"], call["resources"]):
            needs.add(Need(call["identity"], action, resource))
    return needs


def missing(needs: Collection[Need], roles: Mapping[str, Sequence[Grant]]) -> list[Need]:
    """What was called and no grant of the caller's covers."""
    return sorted(
        need
        for need in needs
        if not any(one.covers(need.action, need.resource) for one in roles[need.identity])
    )


def unused(
    needs: Collection[Need], roles: Mapping[str, Sequence[Grant]]
) -> list[tuple[str, Grant]]:
    """What a role allows and nobody with it has called."""
    return sorted(
        (role, grant)
        for role, grants in roles.items()
        for grant in grants
        if not any(
            need.identity == role and grant.covers(need.action, need.resource) for need in needs
        )
    )


def needed(service: str, operation: str, resources: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The actions and ARNs of one call.

    Raises:
        KeyError: nobody has said what an operation needs.
    """
    if (
        "Arn" in resources
    ):  # asked by the local stack in a service's place: see worker.local.iam_simulator
        yield f"{service}:{operation}", resources["Arn"]
    elif service == "s3":
        yield from _s3(operation, resources)
    elif service == "sqs":
        name = resources["QueueUrl"].rpartition("/")[2]
        yield f"sqs:{SQS[operation]}", _arn("sqs", name)
    elif service == "dynamodb":
        yield from _dynamodb(operation, resources)
    elif service == "dynamodbstreams":
        # An iterator does not say of which stream it is: there is one.
        stream = resources.get(
            "StreamArn", _arn("dynamodb", "table/safelight-local-catalog/stream/1")
        )
        yield f"dynamodb:{operation}", stream
    elif service == "events":
        for bus in resources["EventBusNames"]:
            yield f"events:{EVENTS[operation]}", _arn("events", f"event-bus/{bus}")
    elif service == "cloudfront":
        distribution = f"distribution/{resources['DistributionId']}"
        yield f"cloudfront:{operation}", f"arn:aws:cloudfront::{ACCOUNT}:{distribution}"
    elif service == "ssm":
        yield f"ssm:{operation}", _arn("ssm", f"parameter{resources['Name']}")
    elif service == "rekognition":
        yield f"rekognition:{operation}", "*"  # which looks at the bytes of the request
    elif service == "stepfunctions":
        # Who answers a token names no machine: that of the tests is the one that asks people.
        asking = _arn("states", "stateMachine:safelight-local-approve")
        yield f"states:{operation}", resources.get("stateMachineArn", asking)
    else:
        raise KeyError(f"{service}:{operation}")


OBJECTS: Mapping[str, tuple[str, str]] = {
    # Without and with a version.
    "GetObject": ("GetObject", "GetObjectVersion"),
    "HeadObject": ("GetObject", "GetObjectVersion"),
    "PutObject": ("PutObject", "PutObject"),
    "CopyObject": ("PutObject", "PutObject"),
    "DeleteObject": ("DeleteObject", "DeleteObjectVersion"),
    "DeleteObjectTagging": ("DeleteObjectTagging", "DeleteObjectVersionTagging"),
    "PutObjectTagging": ("PutObjectTagging", "PutObjectVersionTagging"),
    "CreateMultipartUpload": ("PutObject", "PutObject"),
    "UploadPart": ("PutObject", "PutObject"),
    "UploadPartCopy": ("PutObject", "PutObject"),
    "CompleteMultipartUpload": ("PutObject", "PutObject"),
    "ListParts": ("ListMultipartUploadParts", "ListMultipartUploadParts"),
    "AbortMultipartUpload": ("AbortMultipartUpload", "AbortMultipartUpload"),
}
BUCKETS: Mapping[str, str] = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
}
SQS: Mapping[str, str] = {
    "ChangeMessageVisibility": "ChangeMessageVisibility",
    "DeleteMessage": "DeleteMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "GetQueueAttributes": "GetQueueAttributes",
    "ReceiveMessage": "ReceiveMessage",
    "SendMessage": "SendMessage",
    "SendMessageBatch": "SendMessage",
}
ITEMS = frozenset(
    {
        *("BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query"),
        "UpdateItem",
    }
)
MEMBERS: Mapping[str, str] = {
    "ConditionCheck": "ConditionCheckItem",
    "Delete": "DeleteItem",
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
}
"""Of a transaction, which has no action of its own."""
EVENTS: Mapping[str, str] = {"PutEvents": "PutEvents"}


def _s3(operation: str, resources: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    bucket = f"arn:aws:s3:::{resources['Bucket']}"
    if operation in BUCKETS:
        yield f"s3:{BUCKETS[operation]}", bucket
        return
    plain, versioned = OBJECTS[operation]
    yield f"s3:{versioned if 'VersionId' in resources else plain}", f"{bucket}/{resources['Key']}"
    if "Tagging" in resources:
        yield "s3:PutObjectTagging", f"{bucket}/{resources['Key']}"
    source = resources.get("CopySource")
    if source is not None:  # which is read
        action = "GetObjectVersion" if "VersionId" in source else "GetObject"
        yield f"s3:{action}", f"arn:aws:s3:::{source['Bucket']}/{source['Key']}"


def _dynamodb(operation: str, resources: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "TransactItems" in resources:
        for member, table in resources["TransactItems"]:
            yield f"dynamodb:{MEMBERS[member]}", _arn("dynamodb", f"table/{table}")
        return
    if operation not in ITEMS:
        raise KeyError(f"dynamodb:{operation}")
    tables = resources.get("RequestItems") or [resources["TableName"]]
    index = f"/index/{resources['IndexName']}" if "IndexName" in resources else ""
    for table in tables:
        yield f"dynamodb:{operation}", _arn("dynamodb", f"table/{table}{index}")


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"
