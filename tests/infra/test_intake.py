"""What is said about notification, queues, pipe, function and rights."""

from __future__ import annotations

from typing import Any

from tests.infra.declared import ACCOUNT, IMAGE, Declaration, declare
from worker.adapters.aws.quotas import CONCURRENCY
from worker.infra import preflight

SQS = "arn:aws:sqs:safelight-test"
S3 = "arn:aws:s3:safelight-test"


def _rights(declaration: Declaration, role: str) -> dict[tuple[str, ...], list[str]]:
    """Actions to resources of a role."""
    statements = declaration.one("iam/RolePolicy", role).statements()
    assert all(statement["Effect"] == "Allow" for statement in statements)
    return {tuple(statement["Action"]): statement["Resource"] for statement in statements}


# --- notification ---------------------------------------------------------------------------


def test_uploads_are_notified_to_the_standard_queue(ordered: Declaration) -> None:
    """And deletions, by whoever they are and by the bucket's rules."""
    notification = ordered.one("s3/BucketNotification", "intake")

    assert notification.inputs == {
        "bucket": "safelight-test-intake",
        "eventbridge": True,
        "queues": [
            {
                "id": "uploads",
                "queueArn": f"{SQS}-uploads",
                "events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"],
            }
        ],
    }


def test_the_notification_waits_for_the_queues_policy(ordered: Declaration) -> None:
    """S3 sends a test message at once and refuses a queue that does not take it."""
    notification = ordered.one("s3/BucketNotification", "intake")

    assert ("sqs/QueuePolicy", "uploads") in notification.waits_for


def test_only_our_bucket_may_send_to_the_queue(ordered: Declaration) -> None:
    """S3, for this bucket, of this account."""
    policy = ordered.one("sqs/QueuePolicy", "uploads")

    assert policy.statements() == [
        {
            "Sid": "Notifications",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": f"{SQS}-uploads",
            "Condition": {
                "ArnEquals": {"aws:SourceArn": f"{S3}-intake"},
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
            },
        }
    ]


def test_events_go_to_the_default_bus_unless_told(bare: Declaration) -> None:
    """For others to follow; nothing of ours reads them there."""
    assert bare.one("s3/BucketNotification", "intake").inputs["eventbridge"] is False


# --- queues ---------------------------------------------------------------------------------


def test_the_standard_queue_and_its_dead_letters(ordered: Declaration) -> None:
    """Exactly these attributes; none that only FIFO queues know."""
    tags = {"Project": "safelight", "Stack": "test", "Component": "intake"}

    assert ordered.one("sqs/Queue", "uploads").inputs == {
        "messageRetentionSeconds": 345_600,
        "receiveWaitTimeSeconds": 20,
        "redrivePolicy": f'{{"deadLetterTargetArn": "{SQS}-uploads-dead", "maxReceiveCount": 5}}',
        "sqsManagedSseEnabled": True,
        "tags": tags,
        "visibilityTimeoutSeconds": 720,
    }
    assert ordered.one("sqs/Queue", "uploads-dead").inputs == {
        "messageRetentionSeconds": 1_209_600,
        "sqsManagedSseEnabled": True,
        "tags": tags,
        "visibilityTimeoutSeconds": 720,
    }


def test_the_fifo_queue_counts_per_group(ordered: Declaration) -> None:
    """Else it would take 300 messages a second; its dead letters are FIFO too."""
    fifo = {
        "fifoQueue": True,
        "deduplicationScope": "messageGroup",
        "fifoThroughputLimit": "perMessageGroupId",
    }

    for name in ("ordered", "ordered-dead"):
        inputs = ordered.one("sqs/Queue", name).inputs
        assert {key: inputs[key] for key in fifo} == fifo
        assert "contentBasedDeduplication" not in inputs  # the pipe says what a repetition is


def test_dead_letters_are_taken_from_their_own_queue_only(ordered: Declaration) -> None:
    """No other queue of the account can fill them."""
    for name in ("uploads", "ordered"):
        policy = ordered.one("sqs/RedriveAllowPolicy", name)
        assert policy.inputs["queueUrl"].endswith(f"{name}-dead")
        assert policy.document("redriveAllowPolicy") == {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [f"{SQS}-{name}"],
        }


# --- pipe -----------------------------------------------------------------------------------


def test_the_pipe_takes_group_and_deduplication_from_the_grouping_function(
    ordered: Declaration,
) -> None:
    """A key can be too long for a group id, and a pipe cannot hash: the function does."""
    pipe = ordered.one("pipes/Pipe", "order")

    assert pipe.inputs["source"] == f"{SQS}-uploads"
    assert pipe.inputs["sourceParameters"] == {"sqsQueueParameters": {"batchSize": 10}}
    assert pipe.inputs["enrichment"] == "arn:aws:lambda:safelight-test-order"
    assert pipe.inputs["target"] == f"{SQS}-ordered"
    assert pipe.inputs["targetParameters"] == {
        "sqsQueueParameters": {
            "messageGroupId": "$.group",
            "messageDeduplicationId": "$.deduplication",
        },
        "inputTemplate": "<$.body>",
    }
    assert ("iam/RolePolicy", "order-pipe") in pipe.waits_for


def test_the_grouping_function_is_one_file_of_plain_python(ordered: Declaration) -> None:
    """No image to pull and nothing to build: it starts in a moment."""
    function = ordered.one("lambda/Function", "order").inputs

    (name,) = function["code"].assets
    assert function["handler"] == f"{name.removesuffix('.py')}.handler" == "ordering.handler"
    assert (function["packageType"], function["memorySize"]) == ("Zip", 128)


def test_the_pipes_rights(ordered: Declaration) -> None:
    """Take from one queue, ask one function, send to one queue."""
    assert _rights(ordered, "order-pipe") == {
        ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"): [f"{SQS}-uploads"],
        ("lambda:InvokeFunction",): ["arn:aws:lambda:safelight-test-order"],
        ("sqs:SendMessage",): [f"{SQS}-ordered"],
    }
    trust = ordered.one("iam/Role", "order-pipe").statements("assumeRolePolicy")
    assert trust == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "pipes.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    ]


# --- function -------------------------------------------------------------------------------


def test_the_function_is_an_image_by_digest(chosen: Declaration) -> None:
    """Everything chosen arrives."""
    function = chosen.one("lambda/Function", "ingest").inputs

    assert (function["packageType"], function["imageUri"]) == ("Image", IMAGE)
    assert function["imageConfig"] == {"commands": ["worker.entrypoints.lambda_ingest.handler"]}
    assert function["architectures"] == ["x86_64"]
    assert (function["memorySize"], function["timeout"]) == (3008, 90)
    assert function["loggingConfig"] == {"logFormat": "JSON", "logGroup": "safelight-test-ingest"}
    variables = function["environment"]["variables"]
    assert variables["SAFELIGHT_RECIPE"] == "product"
    assert variables["SAFELIGHT_HEAVY_BYTES"] == "1000"
    assert chosen.one("cloudwatch/LogGroup", "ingest").inputs["retentionInDays"] == 7


def test_the_mapping_reports_single_failures(ordered: Declaration) -> None:
    """And never takes more of the account's concurrency than chosen."""
    mapping = ordered.one("lambda/EventSourceMapping", "ingest")

    tags = mapping.inputs["tags"]
    assert mapping.inputs == {
        "eventSourceArn": f"{SQS}-ordered",
        "functionName": "arn:aws:lambda:safelight-test-ingest",
        "batchSize": 10,
        "functionResponseTypes": ["ReportBatchItemFailures"],
        "scalingConfig": {"maximumConcurrency": 100},
        "tags": tags,
    }
    assert ("iam/RolePolicy", "ingest") in mapping.waits_for


def test_provisioned_pollers_stand_in_place_of_the_maximum_concurrency() -> None:
    """AWS takes one of the two; the account's quota is compared with ten calls of each poller."""
    declared = declare({"intake": {"minimumPollers": 3, "maximumPollers": 80}})
    mapping = declared.one("lambda/EventSourceMapping", "ingest").inputs

    assert mapping["provisionedPollerConfig"] == {"minimumPollers": 3, "maximumPollers": 80}
    assert "scalingConfig" not in mapping
    (calls,) = [one for one in preflight.demands(declared) if one.quota is CONCURRENCY]
    assert calls.needed > 800


def test_without_order_the_function_reads_the_standard_queue_in_larger_batches(
    standard: Declaration,
) -> None:
    """A window is possible there."""
    mapping = standard.one("lambda/EventSourceMapping", "ingest").inputs

    assert mapping["eventSourceArn"] == f"{SQS}-uploads"
    assert (mapping["batchSize"], mapping["maximumBatchingWindowInSeconds"]) == (50, 2)


def test_instances_are_kept_for_the_function_where_chosen(
    ordered: Declaration, chosen: Declaration
) -> None:
    """None by default: the queue's own limit bounds it, and the account's others keep theirs."""
    reserved = "reservedConcurrentExecutions"

    assert reserved not in ordered.one("lambda/Function", "ingest").inputs
    assert chosen.one("lambda/Function", "ingest").inputs[reserved] == 120


def test_a_call_that_nobody_waits_for_loses_no_upload(ordered: Declaration) -> None:
    """It is not made again, and its record lies with the other dead letters."""
    unattended = ordered.one("lambda/FunctionEventInvokeConfig", "ingest")

    assert unattended.inputs == {
        "functionName": "safelight-test-ingest",
        "maximumRetryAttempts": 0,
        "maximumEventAgeInSeconds": 21_600,
        "destinationConfig": {"onFailure": {"destination": f"{SQS}-uploads-dead"}},
    }
    # Lambda knows no FIFO queue as a destination.
    assert "fifoQueue" not in ordered.one("sqs/Queue", "uploads-dead").inputs


def test_functions_are_traced_unless_told(ordered: Declaration, bare: Declaration) -> None:
    """Functions with Safelight's code write spans; the small grouping function writes none."""
    may = ("xray:PutSpans", "xray:PutSpansForIndexing")
    wanted = {"SAFELIGHT_TRACE_TO": "xray", "SAFELIGHT_TRACE_PERCENT": "1"}
    for declared, name, traced in (
        (ordered, "ingest", True),
        (ordered, "order", False),
        (bare, "ingest", False),
    ):
        inputs = declared.one("lambda/Function", name).inputs
        variables = inputs.get("environment", {}).get("variables", {})
        assert (wanted.items() <= variables.items()) is traced
        assert (may in _rights(declared, name)) is traced


def test_the_functions_rights(ordered: Declaration) -> None:
    """Exactly these actions on exactly these resources."""
    table = "arn:aws:dynamodb:safelight-test-catalog"
    expected: dict[tuple[str, ...], Any] = {
        ("logs:CreateLogStream", "logs:PutLogEvents"): [
            "arn:aws:cloudwatch:safelight-test-ingest:*"
        ],
        ("xray:PutSpans", "xray:PutSpansForIndexing"): ["*"],
        ("sqs:SendMessage",): [f"{SQS}-uploads-dead"],
        (
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ChangeMessageVisibility",
        ): [f"{SQS}-ordered"],
        (
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
        ): [f"{S3}-intake/*"],
        ("s3:ListBucket",): [f"{S3}-intake", f"{S3}-delivery"],
        (
            *("s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObjectTagging"),
            *("s3:GetObject", "s3:DeleteObject"),
        ): [f"{S3}-delivery/*"],
        ("s3:PutObject", "s3:AbortMultipartUpload"): [f"{S3}-quarantine/*"],
        (
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
        ): [table],
        ("dynamodb:Query",): [
            table,
            *(f"{table}/index/GSI{number}" for number in range(1, 5)),
        ],
    }

    assert _rights(ordered, "ingest") == expected


def test_erasing_takes_further_rights_and_only_where_it_is_chosen(
    ordered: Declaration, chosen: Declaration
) -> None:
    """Every version of an original, quarantine, and all items of an asset."""
    table = "arn:aws:dynamodb:safelight-test-catalog"

    before, after = (
        [
            (one["Action"], one["Resource"])
            for one in declared.one("iam/RolePolicy", "ingest").statements()
        ]
        for declared in (ordered, chosen)
    )
    assert [one for one in after if one not in before] == [
        (["s3:ListBucketVersions"], [f"{S3}-intake"]),
        (["s3:ListBucket"], [f"{S3}-quarantine"]),
        (["s3:DeleteObject"], [f"{S3}-quarantine/*"]),
        (["dynamodb:BatchWriteItem"], [table]),
    ]
    settings = [
        declared.one("lambda/Function", "ingest").inputs["environment"]["variables"][
            "SAFELIGHT_DELETED_ORIGINALS"
        ]
        for declared in (ordered, chosen)
    ]
    assert settings == ["keep", "erase"]
