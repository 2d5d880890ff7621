"""What is said about alarms, who hears them, and the dashboard."""

from __future__ import annotations

import json

from tests.infra.declared import Declaration, declare


def test_every_queue_every_function_and_the_workflow_are_watched(ordered: Declaration) -> None:
    """Waiting, dead letters, errors, refusals, slowness, and work that failed."""
    assert [one.name for one in ordered.of("cloudwatch/MetricAlarm")] == [
        "catalog-throttled",
        "heavy-failed",
        "heavy-undelivered",
        "ingest-errors",
        "ingest-slow",
        "ingest-throttled",
        "ordered-dead",
        "ordered-waiting",
        "uploads-dead",
        "uploads-waiting",
        "workflow-errors",
        "workflow-slow",
        "workflow-throttled",
    ]


def test_without_order_there_is_one_queue_to_watch(standard: Declaration) -> None:
    """No alarm on a queue that is not there."""
    names = {one.name for one in standard.of("cloudwatch/MetricAlarm")}

    assert {"uploads-waiting", "uploads-dead"} <= names
    assert not {name for name in names if name.startswith("ordered")}


def test_an_alarm_says_what_to_do_and_tells_the_topic(ordered: Declaration) -> None:
    """Also when it is over; no data is no alarm."""
    topic = "arn:aws:sns:safelight-test-alarms"
    for alarm in ordered.of("cloudwatch/MetricAlarm"):
        assert len(alarm.inputs["alarmDescription"]) > 40
        assert alarm.inputs["alarmActions"] == [topic]
        assert alarm.inputs["okActions"] == [topic]
        assert alarm.inputs["treatMissingData"] == "notBreaching"
        returned = [one for one in alarm.inputs["metricQueries"] if one.get("returnData")]
        assert len(returned) == 1


def test_errors_are_a_share_of_calls(ordered: Declaration) -> None:
    """One failure among many is no alarm, one among few is."""
    alarm = ordered.one("cloudwatch/MetricAlarm", "ingest-errors").inputs
    formula = next(one["expression"] for one in alarm["metricQueries"] if "expression" in one)

    assert formula == "100 * errors / calls"
    assert alarm["threshold"] == 5


def test_slow_is_near_the_timeout(ordered: Declaration) -> None:
    """In milliseconds, four fifths of the function's own timeout."""
    alarm = ordered.one("cloudwatch/MetricAlarm", "ingest-slow").inputs
    function = ordered.one("lambda/Function", "ingest").inputs

    assert alarm["threshold"] == 800 * function["timeout"]


def test_one_alarm_sums_up_that_uploads_are_not_processed(ordered: Declaration) -> None:
    """What a person is woken for."""
    rule = ordered.one("cloudwatch/CompositeAlarm", "not-processed").inputs["alarmRule"]

    assert rule == " OR ".join(
        f'ALARM("safelight-test-{name}")'
        for name in ("uploads-waiting", "ordered-waiting", "ingest-errors")
    )


def test_a_blocked_queue_of_jobs_is_told_as_well(ordered: Declaration) -> None:
    """For these queues only, and the topic lets the rule and the alarms of this account in."""
    rule = ordered.one("cloudwatch/EventRule", "stuck")
    publishers = {
        one["Principal"]["Service"]: one["Condition"]["ArnLike"]["aws:SourceArn"]
        for one in ordered.one("sns/TopicPolicy", "stuck").statements()
    }

    assert rule.document("eventPattern")["detail"]["jobQueue"] == [
        f"arn:aws:batch:safelight-test-{name}" for name in ("urgent", "standard", "bulk")
    ]
    assert publishers == {
        "events.amazonaws.com": "arn:aws:cloudwatch:safelight-test-stuck",
        "cloudwatch.amazonaws.com": (
            "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:safelight-test-*"
        ),
    }


def test_unusual_figures_are_alarms_where_chosen() -> None:
    """A band on the number of calls and on their time."""
    declared = declare({"observability": {"anomalies": True, "email": "who@example.com"}})
    bands = [
        one
        for one in declared.of("cloudwatch/MetricAlarm")
        if one.inputs.get("thresholdMetricId") == "band"
    ]

    assert [one.name for one in bands] == ["usual-load", "usual-time"]
    (subscription,) = declared.of("sns/TopicSubscription")
    assert subscription.inputs["endpoint"] == "who@example.com"


def test_the_dashboard_draws_every_alarm(ordered: Declaration) -> None:
    """Each with the line that must not be crossed, none on top of another."""
    body = json.loads(ordered.one("cloudwatch/Dashboard", "overview").inputs["dashboardBody"])
    places = {(one["x"], one["y"]) for one in body["widgets"]}
    titles = {one["properties"]["title"] for one in body["widgets"]}

    assert titles == {one.name for one in ordered.of("cloudwatch/MetricAlarm")}
    assert len(places) == len(body["widgets"])
    for one in body["widgets"]:
        assert one["properties"]["annotations"]["horizontal"][0]["label"] == "alarm"
