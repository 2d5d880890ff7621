"""How the resources that the emulator holds are made, changed and deleted there.

Making is the local stack's own code (``worker.local.deploy.resource_types``), which never deletes
and seldom changes. What it only registers is registered here too, but for the repositories of
images: ``make deploy`` asks ECR for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from worker.local.deploy.resource_types import (
    RESOURCE_TYPES,
    DeclaredResource,
    EmulatorClients,
)

Outputs = Mapping[str, Any]
Create = Callable[[EmulatorClients, DeclaredResource], tuple[str, Mapping[str, Any]]]
Delete = Callable[[EmulatorClients, str, Outputs], object]
"""Given the clients, the id and the properties in the state."""
Update = Callable[[EmulatorClients, str, Outputs], object]
"""Given the clients, the id and the new inputs."""


class RefusedError(Exception):
    """AWS, or its provider, would not do it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A type that the emulator holds."""

    create: Create
    delete: Delete
    update: Update | None = None
    """None where making it again changes it."""


def client(aws: EmulatorClients, service: str) -> Any:
    """A client of a service that the product itself does not speak to as the root user."""
    return aws._client(service)


# --- buckets ----------------------------------------------------------------------------------


def _delete_bucket(aws: EmulatorClients, bucket: str, outputs: Outputs) -> None:
    if outputs.get("forceDestroy"):
        pages = aws.s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
        for page in pages:
            for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                aws.s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    aws.s3.delete_bucket(Bucket=bucket)


def _tag_bucket(aws: EmulatorClients, bucket: str, inputs: Outputs) -> None:
    tags = [{"Key": key, "Value": text} for key, text in inputs.get("tags", {}).items()]
    aws.s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})  # type: ignore[typeddict-item]


def _suspend_versions(aws: EmulatorClients, bucket: str, _outputs: Outputs) -> None:
    aws.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def _stop_notifications(aws: EmulatorClients, bucket: str, _outputs: Outputs) -> None:
    aws.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})


# --- queues -----------------------------------------------------------------------------------


def _without_attribute(attribute: Any) -> Delete:
    def delete(aws: EmulatorClients, url: str, _outputs: Outputs) -> None:
        values: Mapping[Any, str] = {attribute: ""}
        aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=values)

    return delete


# --- the table --------------------------------------------------------------------------------


def _update_table(aws: EmulatorClients, name: str, inputs: Outputs) -> None:
    aws.dynamodb.update_table(
        TableName=name, DeletionProtectionEnabled=inputs["deletionProtectionEnabled"]
    )
    aws.dynamodb.update_continuous_backups(
        TableName=name,
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": inputs["pointInTimeRecovery"]["enabled"]
        },
    )


def _delete_table(aws: EmulatorClients, name: str, _outputs: Outputs) -> None:
    table = aws.dynamodb.describe_table(TableName=name)["Table"]
    if table.get("DeletionProtectionEnabled"):
        raise RefusedError(
            f"ValidationException: Table {name} cannot be deleted: deletion protection is on"
        )
    aws.dynamodb.delete_table(TableName=name)


# --- roles, events, state machines ------------------------------------------------------------


def _update_role(aws: EmulatorClients, name: str, inputs: Outputs) -> None:
    RESOURCE_TYPES["aws:iam/role:Role"].create(aws, DeclaredResource(name=name, inputs=inputs))
    aws.iam.update_role(RoleName=name, Description=inputs["description"])


def _delete_role_policy(aws: EmulatorClients, _id: str, outputs: Outputs) -> None:
    aws.iam.delete_role_policy(RoleName=outputs["role"], PolicyName=outputs["name"])


# --- repositories of images -------------------------------------------------------------------


def _make_repository(
    aws: EmulatorClients, declared: DeclaredResource
) -> tuple[str, Mapping[str, Any]]:
    name, inputs = declared.physical_name, declared.inputs
    made = client(aws, "ecr").create_repository(
        repositoryName=name,
        imageTagMutability=inputs["imageTagMutability"],
        imageScanningConfiguration=inputs["imageScanningConfiguration"],
        encryptionConfiguration=inputs["encryptionConfigurations"][0],
        tags=declared.tag_list,
    )["repository"]
    host = f"{aws.account}.dkr.ecr.{aws.region}.amazonaws.com"
    return name, {
        "name": name,
        "arn": made["repositoryArn"],
        "registryId": aws.account,
        "repositoryUrl": f"{host}/{name}",
    }


def _keep_repository(_aws: EmulatorClients, _name: str, _inputs: Outputs) -> None:
    """``forceDelete`` tells the provider, not ECR; nothing else of it changes here."""


def _delete_repository(aws: EmulatorClients, name: str, outputs: Outputs) -> None:
    client(aws, "ecr").delete_repository(
        repositoryName=name, force=bool(outputs.get("forceDelete"))
    )


def _put_lifecycle(
    aws: EmulatorClients, declared: DeclaredResource
) -> tuple[str, Mapping[str, Any]]:
    repository = declared.inputs["repository"]
    client(aws, "ecr").put_lifecycle_policy(
        repositoryName=repository, lifecyclePolicyText=declared.inputs["policy"]
    )
    return repository, {"registryId": aws.account}


def _delete_lifecycle(aws: EmulatorClients, repository: str, _outputs: Outputs) -> None:
    client(aws, "ecr").delete_lifecycle_policy(repositoryName=repository)


def _local(token: str, delete: Delete, update: Update | None = None) -> tuple[str, Held]:
    return token, Held(RESOURCE_TYPES[token].create, delete, update)


HELD: Mapping[str, Held] = dict(
    [
        _local("aws:s3/bucket:Bucket", _delete_bucket, _tag_bucket),
        _local("aws:s3/bucketVersioning:BucketVersioning", _suspend_versions),
        _local(
            "aws:s3/bucketPolicy:BucketPolicy",
            lambda aws, bucket, _: aws.s3.delete_bucket_policy(Bucket=bucket),
        ),
        _local(
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            lambda aws, bucket, _: aws.s3.delete_bucket_lifecycle(Bucket=bucket),
        ),
        _local("aws:s3/bucketNotification:BucketNotification", _stop_notifications),
        _local(
            "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration",
            lambda aws, bucket, _: aws.s3.delete_bucket_cors(Bucket=bucket),
        ),
        _local("aws:sqs/queue:Queue", lambda aws, url, _: aws.sqs.delete_queue(QueueUrl=url)),
        _local("aws:sqs/queuePolicy:QueuePolicy", _without_attribute("Policy")),
        _local(
            "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy",
            _without_attribute("RedriveAllowPolicy"),
        ),
        _local("aws:dynamodb/table:Table", _delete_table, _update_table),
        _local(
            "aws:iam/role:Role",
            lambda aws, name, _: aws.iam.delete_role(RoleName=name),
            _update_role,
        ),
        _local("aws:iam/rolePolicy:RolePolicy", _delete_role_policy),
        _local(
            "aws:cloudwatch/eventBus:EventBus",
            lambda aws, name, _: aws.events.delete_event_bus(Name=name),
        ),
        _local(
            "aws:cloudwatch/eventRule:EventRule",
            lambda aws, name, outputs: aws.events.delete_rule(
                Name=name, EventBusName=outputs.get("eventBusName") or "default"
            ),
        ),
        _local(
            "aws:sfn/stateMachine:StateMachine",
            lambda aws, arn, _: aws.stepfunctions.delete_state_machine(stateMachineArn=arn),
        ),
        (
            "aws:ecr/repository:Repository",
            Held(_make_repository, _delete_repository, _keep_repository),
        ),
        ("aws:ecr/lifecyclePolicy:LifecyclePolicy", Held(_put_lifecycle, _delete_lifecycle)),
    ]
)
"""Every type that the emulator holds."""

GONE = frozenset(
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "LifecyclePolicyNotFoundException",
        "NoSuchBucket",
        "NoSuchEntity",
        "QueueDoesNotExist",
        "RepositoryNotFoundException",
        "ResourceNotFoundException",
        "StateMachineDoesNotExist",
    }
)
"""Errors that mean that a deletion has nothing left to do."""


def is_gone(error: ClientError) -> bool:
    """Whether what should be deleted is not there."""
    return error.response["Error"]["Code"] in GONE
