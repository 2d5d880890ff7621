"""S3 buckets and everything that is set on them. Setting a thing twice is setting it once."""

from __future__ import annotations

import contextlib
from typing import Any

from worker.local.deploy import adapted
from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind, camel_to_pascal


def _bucket(aws: Aws, declared: Declared) -> Created:
    name = str(declared.inputs.get("bucket") or declared.name)
    with contextlib.suppress(aws.s3.exceptions.BucketAlreadyOwnedByYou):  # from an earlier run
        aws.s3.create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": aws.region},  # type: ignore[typeddict-item]
        )
    aws.s3.put_bucket_tagging(
        Bucket=name,
        Tagging={"TagSet": declared.tag_list},
    )
    return name, {"bucket": name, "arn": f"arn:aws:s3:::{name}"}


def _versioning(aws: Aws, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_versioning(
        Bucket=bucket,
        VersioningConfiguration=camel_to_pascal(inputs["versioningConfiguration"]),
    )


def _public_access(aws: Aws, bucket: str, inputs: Any) -> None:
    switches = {key: value for key, value in inputs.items() if key != "bucket"}
    aws.s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=camel_to_pascal(switches)
    )


def _ownership(aws: Aws, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [camel_to_pascal(inputs["rule"])]}
    )


def _encryption(aws: Aws, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {
                        "SSEAlgorithm": rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"]
                    }
                }
                for rule in inputs["rules"]
            ]
        },
    )


def _policy(aws: Aws, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=adapted.bucket(inputs["policy"]))


def _lifecycle(aws: Aws, bucket: str, inputs: Any) -> None:
    rules = camel_to_pascal(inputs["rules"])
    for rule in rules:
        rule["ID"] = rule.pop("Id")  # the two of S3's names that are no Pascal case
    aws.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": rules}
    )


def _notification(aws: Aws, bucket: str, inputs: Any) -> None:
    wanted: Any = {
        "QueueConfigurations": [
            {"Id": one["id"], "QueueArn": one["queueArn"], "Events": one["events"]}
            for one in inputs["queues"]
        ]
    }
    if inputs["eventbridge"]:
        wanted["EventBridgeConfiguration"] = {}
    aws.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)


def _cors(aws: Aws, bucket: str, inputs: Any) -> None:
    rules = camel_to_pascal(inputs["corsRules"])
    for rule in rules:
        if "Id" in rule:
            rule["ID"] = rule.pop("Id")
    aws.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})


def _acceleration(aws: Aws, bucket: str, inputs: Any) -> None:
    aws.s3.put_bucket_accelerate_configuration(
        Bucket=bucket, AccelerateConfiguration={"Status": inputs["status"]}
    )


def _logging(aws: Aws, bucket: str, inputs: Any) -> None:
    target = {name: inputs[name] for name in ("targetBucket", "targetPrefix") if name in inputs}
    aws.s3.put_bucket_logging(
        Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": camel_to_pascal(target)}
    )


def _replication(aws: Aws, bucket: str, inputs: Any) -> None:
    rules = camel_to_pascal(inputs["rules"])
    for rule in rules:
        rule["ID"] = rule.pop("Id")
    aws.s3.put_bucket_replication(
        Bucket=bucket, ReplicationConfiguration={"Role": inputs["role"], "Rules": rules}
    )


def _on_bucket(change: Any, *inputs: str) -> Kind:
    def create(aws: Aws, declared: Declared) -> Created:
        bucket = declared.inputs["bucket"]
        change(aws, bucket, declared.inputs)
        return bucket, {}

    return Kind(create, frozenset({"bucket", *inputs}))


KINDS = {
    # forceDestroy tells Pulumi, not S3.
    "aws:s3/bucket:Bucket": Kind(_bucket, frozenset({"bucket", "forceDestroy", "tags"})),
    "aws:s3/bucketVersioning:BucketVersioning": _on_bucket(_versioning, "versioningConfiguration"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _on_bucket(
        _public_access,
        "blockPublicAcls",
        "blockPublicPolicy",
        "ignorePublicAcls",
        "restrictPublicBuckets",
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _on_bucket(_ownership, "rule"),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        _on_bucket(_encryption, "rules")
    ),
    "aws:s3/bucketPolicy:BucketPolicy": _on_bucket(_policy, "policy"),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": _on_bucket(
        _lifecycle, "rules"
    ),
    "aws:s3/bucketNotification:BucketNotification": _on_bucket(
        _notification, "eventbridge", "queues"
    ),
    "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": _on_bucket(_cors, "corsRules"),
    "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration": _on_bucket(
        _acceleration, "status"
    ),
    "aws:s3/bucketLogging:BucketLogging": _on_bucket(_logging, "targetBucket", "targetPrefix"),
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": _on_bucket(
        _replication, "role", "rules"
    ),
}
