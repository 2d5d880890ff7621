"""Policy documents as data: who may do what to which ARN. No resources here.

Every statement names its actions and its ARNs; a ``*`` in a resource stands only behind a name
(``bucket/*``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

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


def tls_only(bucket: pulumi.Input[str]) -> pulumi.Output[str]:
    """Refuse every request that does not come over TLS 1.2 or newer.

    Args:
        bucket: its ARN.
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
        ]
    )


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


def may_pull(service: str, *, account: str) -> pulumi.Output[str]:
    """Let a service pull images from the repository this is the policy of, for one account."""
    return document(
        [
            {
                "Sid": "Pull",
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            }
        ]
    )


def may_publish(
    topic: pulumi.Input[str], sources: Mapping[str, pulumi.Input[str]], *, account: str
) -> pulumi.Output[str]:
    """Let services publish to a topic, each for its own sources of one account (ARN patterns)."""
    return document(
        [
            {
                "Sid": service.partition(".")[0].title(),
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {
                    "ArnLike": {"aws:SourceArn": source},
                    "StringEquals": {"aws:SourceAccount": account},
                },
            }
            for service, source in sources.items()
        ]
    )
