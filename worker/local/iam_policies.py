"""The permissions of the two users of a local stack, as statements of a policy. No requests here.

Roles have what the Pulumi program gives them. A deployment knows no users: on AWS a person works
with the commands by rights that their account gives them, of which ``operator`` is a model, and
what ``service`` does is done inside of AWS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.local.deploy import Outputs
from worker.local.emulator import ACCOUNT, REGION

Statement = Mapping[str, Any]
SECRETS = "SAFELIGHT_WEBHOOK_SECRETS"


def operator(outputs: Outputs) -> Sequence[Statement]:
    """Permissions of the commands: put, read, tag, remove, retry, dead letters, backfill, and
    replaying events."""
    intake, delivery, quarantine = (
        f"arn:aws:s3:::{outputs[name]}"
        for name in ("intakeBucket", "deliveryBucket", "quarantineBucket")
    )
    buckets = [intake, delivery, quarantine]
    objects = [f"{bucket}/*" for bucket in buckets]
    read = ("uploads", "work", "invalidations")
    queues = sorted({queue_arn(outputs[f"{name}Queue"]) for name in read})
    dead = sorted(queue_arn(outputs[f"{name}DeadLetters"]) for name in (*read, "heavy", "outbox"))
    for one in outputs.get("webhooks", {}).values():
        queues.append(queue_arn(one["queue"]))
        dead.append(queue_arn(one["deadLetters"]))
    secrets = str(outputs.get("webhookEnvironment", {}).get(SECRETS, "/none")).lstrip("/")
    table = _arn("dynamodb", f"table/{outputs['table']}")
    return [
        _allow(["s3:ListBucket", "s3:ListBucketVersions"], buckets),
        _allow(["s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"], objects),
        _allow(
            ["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObjectVersion"], [f"{intake}/*"]
        ),
        # Backfill of cache tags: it copies an object onto itself, otherwise unchanged.
        # And holding assets back and publishing them, which tags files.
        _allow(
            [
                "s3:PutObject",
                "s3:GetObjectTagging",
                "s3:PutObjectTagging",
                "s3:DeleteObjectTagging",
            ],
            [f"{delivery}/*"],
        ),
        _allow(["sqs:SendMessage"], queues),
        _allow(["sqs:GetQueueAttributes"], [*queues, *dead]),
        _allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"], dead),
        _allow(
            [
                "dynamodb:BatchGetItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",  # work that the daily limit pauses goes on
            ],
            [table, f"{table}/index/*"],
        ),
        _allow(
            ["states:StartExecution", "states:ListExecutions"], [*outputs["workflows"].values()]
        ),
        _allow(
            ["states:DescribeExecution", "states:GetExecutionHistory"],
            [f"{_execution(arn)}:*" for arn in outputs["workflows"].values()],
        ),
        # Events of the log, sent again.
        _allow(["events:PutEvents"], [_arn("events", f"event-bus/{outputs['eventBus']}")]),
        _allow(["ssm:GetParameter", "ssm:PutParameter"], [_arn("ssm", f"parameter/{secrets}/*")]),
    ]


def _execution(machine: str) -> str:
    return machine.replace(":stateMachine:", ":execution:")


def service(queues: Sequence[str], outputs: Outputs) -> Sequence[Statement]:
    """Permissions to read the local stack's own queues (URLs), to answer state machines, to keep
    the events on which the workflow function fails, and to apply the lifecycle rules of
    buckets."""
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    buckets = [f"arn:aws:s3:::{name}" for name in expiring(outputs)]
    return [
        _allow(actions, [queue_arn(url) for url in queues]),
        _allow(["sqs:SendMessage"], [queue_arn(outputs["heavyDeadLetters"])]),
        # By a token, which names no state machine.
        _allow(["states:SendTaskSuccess", "states:SendTaskFailure"], ["*"]),
        _allow(
            ["s3:GetLifecycleConfiguration", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
            buckets,
        ),
        _allow(
            ["s3:GetObjectTagging", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            [f"{one}/*" for one in buckets],
        ),
    ]


def expiring(outputs: Outputs) -> Sequence[str]:
    """The buckets whose objects expire, or parts of uploads."""
    names = ("intakeBucket", "deliveryBucket", "quarantineBucket")
    return [str(outputs[name]) for name in names]


def queue_arn(url: str) -> str:
    """ARN of a queue of the local stack."""
    return _arn("sqs", url.rstrip("/").rpartition("/")[2])


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _allow(actions: Sequence[str], resources: Sequence[str]) -> Statement:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
