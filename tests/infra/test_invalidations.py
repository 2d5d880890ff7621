"""From an event of an asset to an invalidation: rule, queue, function and rights."""

from __future__ import annotations

from tests.infra.declared import Declaration

QUEUE = "arn:aws:sqs:safelight-test-invalidations"


def test_only_events_after_which_something_is_stale_are_invalidated(ordered: Declaration) -> None:
    """Each costs money; none may come before files are closed: see ``access.invalidate``."""
    rule = ordered.one("cloudwatch/EventRule", "invalidations")

    assert rule.inputs["eventBusName"] == "safelight-test-events"
    assert rule.document("eventPattern") == {
        "source": ["safelight"],
        "detail-type": ["asset.erased", "asset.invalidated"],
    }


def test_an_event_is_never_lost(ordered: Declaration) -> None:
    """The bus tries for a day, the queue for hours; then a dead letter waits for a person."""
    target = ordered.one("cloudwatch/EventTarget", "invalidations")
    queue = ordered.one("sqs/Queue", "invalidations")

    assert target.inputs["arn"] == QUEUE
    assert target.inputs["deadLetterConfig"] == {"arn": f"{QUEUE}-dead"}
    assert target.inputs["retryPolicy"] == {
        "maximumEventAgeInSeconds": 86_400,
        "maximumRetryAttempts": 185,
    }
    assert queue.document("redrivePolicy") == {
        "deadLetterTargetArn": f"{QUEUE}-dead",
        "maxReceiveCount": 60,
    }
    for name in ("invalidations", "invalidations-dead"):
        (may,) = ordered.one("sqs/QueuePolicy", name).statements()
        assert may["Principal"] == {"Service": "events.amazonaws.com"}
        source = may["Condition"]["ArnEquals"]["aws:SourceArn"]
        assert source.endswith("safelight-test-invalidations")
        assert ("sqs/QueuePolicy", name) in target.waits_for


def test_the_function_gets_batches_and_answers_which_failed(ordered: Declaration) -> None:
    """A hundred events are one invalidation; two instances are the fewest."""
    mapping = ordered.one("lambda/EventSourceMapping", "invalidate").inputs

    assert mapping["eventSourceArn"] == QUEUE
    assert (mapping["batchSize"], mapping["maximumBatchingWindowInSeconds"]) == (100, 1)
    assert mapping["functionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["scalingConfig"] == {"maximumConcurrency": 2}
    visible = ordered.one("sqs/Queue", "invalidations").inputs["visibilityTimeoutSeconds"]
    timeout = ordered.one("lambda/Function", "invalidate").inputs["timeout"]
    assert visible >= 6 * timeout


def test_the_function_may_invalidate_one_distribution_and_nothing_else(
    ordered: Declaration,
) -> None:
    """It reads its queue; catalog and buckets are none of its business."""
    rights = {
        action: one["Resource"]
        for one in ordered.one("iam/RolePolicy", "invalidate").statements()
        for action in one["Action"]
        if not action.startswith(("logs:", "xray:"))
    }

    assert rights.pop("cloudfront:CreateInvalidation") == [
        "arn:aws:cloudfront:safelight-test-delivery"
    ]
    assert rights.keys() == {
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
    }
    assert all(resource == [QUEUE] for resource in rights.values())
    variables = ordered.one("lambda/Function", "invalidate").inputs["environment"]["variables"]
    assert variables["SAFELIGHT_DISTRIBUTION"] == ordered.exports["distribution"]


def test_somebody_is_told_when_edges_are_not(ordered: Declaration) -> None:
    """Alarms on waiting events, dead letters and failures of the function."""
    names = {one.name for one in ordered.of("cloudwatch/MetricAlarm")}

    assert names >= {
        "invalidations-waiting",
        "invalidations-dead",
        "invalidate-errors",
        "invalidate-throttled",
        "invalidate-defects",
    }


def test_without_a_distribution_there_are_no_invalidations() -> None:
    """Signed addresses of the bucket are cached by nobody."""
    from tests.infra.configs import WITHOUT
    from tests.infra.declared import declare

    declared = declare(WITHOUT["delivery"])

    assert not [one for one in declared.resources if "invalid" in one.name]
    assert "invalidationsQueue" not in declared.exports
