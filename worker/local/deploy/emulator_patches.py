"""Where a declared policy is changed before the emulator gets it, and why. No other module patches
the emulator.

Four places, because the emulator differs from AWS or the local stack from a deployment:

1. On AWS a service takes a role (Lambda, Pipes, Batch). Here the processes of the local stack do
   what those services do, so the account's root user, whose key the stack has, may take each role.
2. SQS has no actions for its batch operations: AWS asks ``sqs:SendMessage`` of the sender of a
   batch. The emulator asks ``sqs:SendMessageBatch``, which no policy of AWS can name.
3. The emulator asks for rights on every stream, whichever is read; AWS asks for the one.
4. Buckets refuse what does not come over TLS. The emulator speaks plain HTTP on loopback, where
   no other machine can listen: from there, and from nowhere else, it is let in.
"""

from __future__ import annotations

import json
from typing import Any

BATCHES = {
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:SendMessage": "sqs:SendMessageBatch",
}
"""The actions that the emulator checks for batch operations, by the actions of AWS."""
STREAMS = frozenset(
    f"dynamodb:{name}"
    for name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
)
"""Actions on streams of tables."""
LOOPBACK = "127.0.0.1/32"
TRANSPORT = frozenset({"aws:SecureTransport", "s3:TlsVersion"})
"""Conditions on how a request came."""


def trust(document: str, account: str) -> str:
    """A role's trust policy, with the root user of the account."""
    policy = json.loads(document)
    root = {
        "Sid": "LocalStack",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({**policy, "Statement": [*policy["Statement"], root]})


def rights(document: str) -> str:
    """Return a role's policy with the batch operations of its actions, and with every stream
    in place of one."""
    policy = json.loads(document)
    for statement in policy["Statement"]:
        actions = statement["Action"]
        more = [BATCHES[action] for action in actions if action in BATCHES]
        statement["Action"] = [*actions, *more]
        if STREAMS.issuperset(actions):
            statement["Resource"] = ["*"]
    return json.dumps(policy)


def bucket(document: str) -> str:
    """A bucket's policy, whose demands on the transport leave out loopback."""
    policy = json.loads(document)
    for statement in policy["Statement"]:
        condition: dict[str, dict[str, Any]] = statement.get("Condition", {})
        asked = {key for test in condition.values() for key in test}
        if statement["Effect"] == "Deny" and asked and asked <= TRANSPORT:
            # Both must hold for the refusal.
            statement["Condition"] = {**condition, "NotIpAddress": {"aws:SourceIp": LOOPBACK}}
    return json.dumps(policy)
