"""SQS queues and their policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind

ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deduplicationScope": "DeduplicationScope",
    "fifoQueue": "FifoQueue",
    "fifoThroughputLimit": "FifoThroughputLimit",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
"""Inputs and what SQS calls them."""


def _queue(aws: Aws, declared: Declared) -> Created:
    fifo = bool(declared.inputs.get("fifoQueue"))
    name = declared.physical_name + (".fifo" if fifo else "")
    attributes: dict[str, str] = {
        attribute: _text(declared.inputs[given])
        for given, attribute in ATTRIBUTES.items()
        if given in declared.inputs
    }
    try:
        url = aws.sqs.create_queue(
            QueueName=name,
            Attributes=attributes,  # type: ignore[arg-type]
            tags=declared.inputs.get("tags", {}),
        )["QueueUrl"]
    except aws.sqs.exceptions.QueueNameExists:
        url = aws.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    # An emulator with the queue kept may answer with the old one and its old attributes.
    attributes.pop("FifoQueue", None)
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)  # type: ignore[arg-type]
    return url, {"name": name, "url": url, "arn": aws.arn("sqs", name)}


def _policy(attribute: str, given: str) -> Kind:
    def create(aws: Aws, declared: Declared) -> Created:
        url = declared.inputs["queueUrl"]
        values: Mapping[Any, str] = {attribute: declared.inputs[given]}
        aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=values)
        return url, {}

    return Kind(create, frozenset({"queueUrl", given}))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


KINDS = {
    "aws:sqs/queue:Queue": Kind(_queue, frozenset({*ATTRIBUTES, "name", "tags"})),
    "aws:sqs/queuePolicy:QueuePolicy": _policy("Policy", "policy"),
    "aws:sqs/redriveAllowPolicy:RedriveAllowPolicy": _policy(
        "RedriveAllowPolicy", "redriveAllowPolicy"
    ),
}
