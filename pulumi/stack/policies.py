"""Policy documents as data: who may do what to which ARN. No resources here.

Every statement names its actions and its ARNs; a ``*`` in a resource stands only behind a name
(``bucket/*``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from worker.domain.asset import CLOSED
from worker.settings import PREFIX

VERSION = "2012-10-17"

Statement = Mapping[str, Any]


def allow(
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    *,
    conditions: Mapping[str, Mapping[str, pulumi.Input[str]]] | None = None,
) -> Statement:
    """One statement of a role."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
    }
    if conditions:
        statement["Condition"] = conditions
    return statement


def document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """Statements as the JSON text that AWS takes; outputs inside are waited for."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)})


def trust(service: str, *, account: str | None = None) -> pulumi.Output[str]:
    """Let a service take a role, on behalf of one account only where the service can say whose
    (the confused deputy, IAM User Guide).
    """
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if account is not None:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return document([statement])


def trace() -> Statement:
    """Send spans to X-Ray's endpoint of OTLP, which are of the account and of no resource."""
    return allow(["xray:PutSpans", "xray:PutSpansForIndexing"], ["*"])


def trace_environment(percent: float) -> dict[str, str]:
    """The variables with which code sends so many percent of its traces there."""
    return {f"{PREFIX}TRACE_TO": "xray", f"{PREFIX}TRACE_PERCENT": f"{percent:g}"}


def private(bucket: pulumi.Input[str], *, also: Sequence[Statement] = ()) -> pulumi.Output[str]:
    """Refuse every request to a bucket that does not come over TLS 1.2 or newer.

    Args:
        bucket: its ARN.
        also: what others may do in it.
    """
    refuse = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket, pulumi.Output.concat(bucket, "/*")],
    }
    return document(
        [
            {
                **refuse,
                "Sid": "TlsOnly",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            {
                **refuse,
                "Sid": "NoOldTls",
                "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
            },
            *also,
        ]
    )


def access_logs(
    objects: pulumi.Input[str], sources: Sequence[pulumi.Input[str]], *, account: str
) -> Statement:
    """Let S3 write the access logs of some buckets of one account into a bucket (ARNs)."""
    return {
        "Sid": "AccessLogs",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": objects,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": list(sources)},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }


def may_read(objects: pulumi.Input[str], *, distribution: pulumi.Input[str]) -> Statement:
    """Let one distribution read the objects of a bucket (ARNs; CloudFront Developer Guide,
    "Restrict access to an Amazon S3 origin").
    """
    return {
        "Sid": "Distribution",
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": objects,
        "Condition": {"StringEquals": {"aws:SourceArn": distribution}},
    }


def closed(objects: pulumi.Input[str], *, distribution: pulumi.Input[str]) -> Statement:
    """Refuse a distribution the objects that carry ``CLOSED``, whatever else allows (ARNs; Amazon
    S3 User Guide, "Tagging and access control policies": the condition applies to reads).
    """
    ((tag, value),) = CLOSED.items()
    return {
        "Sid": "Closed",
        "Effect": "Deny",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": objects,
        "Condition": {
            "StringEquals": {"aws:SourceArn": distribution, f"s3:ExistingObjectTag/{tag}": value}
        },
    }


def may_upload(
    objects: pulumi.Input[str], *, distribution: pulumi.Input[str]
) -> Sequence[Statement]:
    """Let one distribution write objects that are not there yet, and parts of uploads (ARNs; Amazon
    S3 User Guide, "Enforce conditional writes on Amazon S3 buckets").

    S3 refuses a request that has lost its ``If-None-Match``, so that it overwrites nothing.
    """
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": objects,
    }
    source = {"StringEquals": {"aws:SourceArn": distribution}}
    return [
        {
            **allowed,
            "Sid": "WholeUploads",
            "Condition": {**source, "Null": {"s3:if-none-match": "false"}},
        },
        {
            **allowed,
            "Sid": "PartsOfUploads",
            "Condition": {**source, "Bool": {"s3:ObjectCreationOperation": "false"}},
        },
    ]


def may_deliver_logs(bucket: pulumi.Input[str], account: str) -> Statement:
    """Let an account's log deliveries write into a bucket (ARN; CloudWatch Logs User Guide, "Logs
    sent to Amazon S3"). CloudFront's are made in us-east-1, wherever the bucket is.
    """
    return {
        "Sid": "DeliveredLogs",
        "Effect": "Allow",
        "Principal": {"Service": "delivery.logs.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": pulumi.Output.concat(bucket, f"/AWSLogs/{account}/*"),
        "Condition": {
            "StringEquals": {
                "aws:SourceAccount": account,
                "s3:x-amz-acl": "bucket-owner-full-control",
            },
            "ArnLike": {"aws:SourceArn": f"arn:aws:logs:us-east-1:{account}:delivery-source:*"},
        },
    }


def may_send(
    queue: pulumi.Input[str], *, service: str, source: pulumi.Input[str], account: str
) -> pulumi.Output[str]:
    """Let a service send to a queue, for one source of one account only (ARNs)."""
    return document(
        [
            {
                "Sid": "Notifications",
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {
                    "ArnEquals": {"aws:SourceArn": source},
                    "StringEquals": {"aws:SourceAccount": account},
                },
            }
        ]
    )


def may_be_pulled(service: str, *, functions: str) -> pulumi.Output[str]:
    """Let a service pull images from the repository this is the policy of, for some functions
    (ARN pattern; AWS Lambda Developer Guide, "Amazon ECR permissions").
    """
    return document(
        [
            {
                "Sid": "Pull",
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                "Condition": {"StringLike": {"aws:sourceArn": functions}},
            }
        ]
    )


def may_publish(
    topic: pulumi.Input[str],
    sources: Mapping[str, pulumi.Input[str] | None],
    *,
    account: str,
) -> pulumi.Output[str]:
    """Let services publish to a topic, each for its own sources of one account (ARN patterns).

    Without a source it is any of the account's: there are services that name none.
    """
    return document(
        [
            {
                "Sid": service.partition(".")[0].title(),
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account},
                    **({} if source is None else {"ArnLike": {"aws:SourceArn": source}}),
                },
            }
            for service, source in sources.items()
        ]
    )


def may_log(group: pulumi.Input[str], *, source: pulumi.Input[str]) -> pulumi.Output[str]:
    """Let EventBridge write the events of one rule into a log group (ARNs; EventBridge User Guide,
    "CloudWatch Logs permissions"). It names the rule with what it writes, not with the stream.
    """
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]},
        "Resource": pulumi.Output.concat(group, ":*"),
    }
    return document(
        [
            {**allowed, "Sid": "Streams", "Action": "logs:CreateLogStream"},
            {
                **allowed,
                "Sid": "Events",
                "Action": "logs:PutLogEvents",
                "Condition": {"ArnEquals": {"aws:SourceArn": source}},
            },
        ]
    )
