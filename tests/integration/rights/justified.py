"""Grants that no recorded call can use, each with why the role has it all the same.

Short, and kept short by the test that reads it: an entry that a call uses, or that no role has,
fails it. Keys: role, action, and what the resource's ARN contains (empty: whatever it is).
"""

from __future__ import annotations

from collections.abc import Mapping

_LOG = "Lambda writes the function's log with the function's role; here the log is a file"
_POLL = "asked by the service that reads queue or stream for the role, when it begins and to scale"
_FOUR_O_FOUR = "not called: S3 answers 403 instead of 404 to who may not list the bucket"
_DELIVERY = "Step Functions delivers its log with the machine's role, when the machine is made"
_TRACES = "the service that runs it sends traces with its role"
_FAILURES = "Lambda hands over what failed, with the function's role"
_RULE = "Step Functions hears of the ends of jobs through a rule of its own"

_NUMBERED = "IAM asks for the job as well; here a machine asks for queue and definition"
_RUNNER = "Batch is asked on AWS; here the local stack's runner has a table of its own"

NOBODY: Mapping[str, str] = {
    "machine": "of the container agent on machines of EC2, of which there is none here",
}
"""Roles with policies that no process works with here, each with why."""

_MACHINE: Mapping[str, str] = {
    "logs:CreateLogDelivery": _DELIVERY,
    "logs:GetLogDelivery": _DELIVERY,
    "logs:UpdateLogDelivery": _DELIVERY,
    "logs:DeleteLogDelivery": _DELIVERY,
    "logs:ListLogDeliveries": _DELIVERY,
    "logs:PutResourcePolicy": _DELIVERY,
    "logs:DescribeResourcePolicies": _DELIVERY,
    "logs:DescribeLogGroups": _DELIVERY,
}
"""Of each state machine."""

JUSTIFIED: Mapping[tuple[str, str, str], str] = {
    ("ingest", "logs:CreateLogStream", ""): _LOG,
    ("ingest", "logs:PutLogEvents", ""): _LOG,
    ("order", "logs:CreateLogStream", ""): _LOG,
    ("order", "logs:PutLogEvents", ""): _LOG,
    ("workflow", "logs:CreateLogStream", ""): _LOG,
    ("workflow", "logs:PutLogEvents", ""): _LOG,
    ("api", "logs:CreateLogStream", ""): _LOG,
    ("api", "logs:PutLogEvents", ""): _LOG,
    ("api", "xray:PutSpans", ""): _TRACES,
    ("api", "xray:PutSpansForIndexing", ""): _TRACES,
    ("api", "s3:ListBucket", "intake"): _FOUR_O_FOUR,
    (
        "api",
        "s3:GetObject",
        "delivery",
    ): "signed addresses of renditions, where nothing delivers them",
    ("deliver", "logs:CreateLogStream", ""): _LOG,
    ("deliver", "logs:PutLogEvents", ""): _LOG,
    ("deliver", "xray:PutSpans", ""): _TRACES,
    ("deliver", "xray:PutSpansForIndexing", ""): _TRACES,
    ("deliver", "s3:ListBucket", "delivery"): _FOUR_O_FOUR,
    ("deliver", "s3:ListBucket", "intake"): _FOUR_O_FOUR,
    ("deliver", "s3:GetObject", "intake"): "events of a backfill name no version",
    (
        "deliver",
        "s3:DeleteObject",
        "delivery",
    ): "only if an asset is erased while one of its files is made",
    ("invalidate", "logs:CreateLogStream", ""): _LOG,
    ("invalidate", "logs:PutLogEvents", ""): _LOG,
    ("invalidate", "xray:PutSpans", ""): _TRACES,
    ("invalidate", "xray:PutSpansForIndexing", ""): _TRACES,
    ("invalidate", "sqs:GetQueueAttributes", ""): _POLL,
    ("outbox", "logs:CreateLogStream", ""): _LOG,
    ("outbox", "logs:PutLogEvents", ""): _LOG,
    ("outbox", "xray:PutSpans", ""): _TRACES,
    ("outbox", "xray:PutSpansForIndexing", ""): _TRACES,
    ("outbox", "dynamodb:ListStreams", ""): _POLL,
    ("outbox", "sqs:SendMessage", ""): "only of changes that no event can be made of",
    ("ledger", "logs:CreateLogStream", ""): _LOG,
    ("ledger", "logs:PutLogEvents", ""): _LOG,
    ("ledger", "xray:PutSpans", ""): _TRACES,
    ("ledger", "xray:PutSpansForIndexing", ""): _TRACES,
    ("ledger", "dynamodb:ListStreams", ""): _POLL,
    ("api", "states:StartExecution", ""): "only for jobs that have failed for good",
    ("api", "batch:SubmitJob", ""): _RUNNER,
    ("api", "batch:TerminateJob", ""): _RUNNER,
    ("api", "batch:ListJobs", ""): _RUNNER,
    ("api", "batch:DescribeJobs", ""): _RUNNER,
    ("api", "batch:DescribeJobQueues", ""): _RUNNER,
    ("api", "batch:DescribeJobDefinitions", ""): _RUNNER,
    ("ingest", "xray:PutSpans", ""): _TRACES,
    ("ingest", "xray:PutSpansForIndexing", ""): _TRACES,
    ("workflow", "xray:PutSpans", ""): _TRACES,
    ("job", "xray:PutSpans", ""): _TRACES,
    ("job", "xray:PutSpansForIndexing", ""): _TRACES,
    ("workflow", "xray:PutSpansForIndexing", ""): _TRACES,
    ("ingest", "sqs:SendMessage", ""): _FAILURES,
    ("workflow", "sqs:SendMessage", ""): _FAILURES,
    ("workflow", "rekognition:DetectLabels", ""): "only of recipes with [labels]",
    ("workflow", "dynamodb:DeleteItem", ""): "only where the tag of a label goes",
    ("ingest", "sqs:GetQueueAttributes", ""): _POLL,
    ("order-pipe", "sqs:GetQueueAttributes", ""): _POLL,
    ("ingest", "s3:ListBucket", "intake"): _FOUR_O_FOUR,
    ("workflow", "s3:ListBucket", "intake"): _FOUR_O_FOUR,
    ("job", "s3:ListBucket", "intake"): _FOUR_O_FOUR,
    ("video", "events:PutTargets", ""): _RULE,
    ("video", "events:PutRule", ""): _RULE,
    ("video", "events:DescribeRule", ""): _RULE,
    ("video", "batch:SubmitJob", ":job/"): _NUMBERED,
    ("video", "batch:TerminateJob", ""): "only when somebody stops an execution",
    **{
        (machine, action, ""): reason
        for machine in ("video", "approve", "moderate", "label")
        for action, reason in _MACHINE.items()
    },
}
