"""What is said about alarms, who hears them, and the dashboard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stack import metric_filters
from stack.alarms import Runbook
from tests.infra.configs import WITHOUT
from tests.infra.declared import Declaration, declare
from worker.domain import metrics
from worker.domain.metrics import METRICS, Source

README = Path(__file__).parents[2] / "pulumi" / "README.md"


def test_every_queue_every_function_and_the_workflow_are_watched(ordered: Declaration) -> None:
    """Waiting, dead letters, errors, refusals, slowness, and work that failed."""
    assert [one.name for one in ordered.of("cloudwatch/MetricAlarm")] == [
        "approve-failed",
        "catalog-throttled",
        "deliver-defects",
        "deliver-failing",
        "deliver-slow",
        "deliver-throttled",
        "heavy-undelivered",
        "ingest-defects",
        "ingest-errors",
        "ingest-slow",
        "ingest-throttled",
        "invalidate-defects",
        "invalidate-errors",
        "invalidate-slow",
        "invalidate-throttled",
        "invalidations-dead",
        "invalidations-waiting",
        "jobs-failed",
        "jobs-reclaimed",
        "ledger-defects",
        "ledger-errors",
        "ledger-late",
        "ledger-slow",
        "ledger-throttled",
        "moderate-failed",
        "ordered-dead",
        "ordered-waiting",
        "outbox-dead",
        "outbox-defects",
        "outbox-errors",
        "outbox-late",
        "outbox-slow",
        "outbox-throttled",
        "uploads-dead",
        "uploads-waiting",
        "video-failed",
        "workflow-defects",
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
        says, _, runbook = alarm.inputs["alarmDescription"].rpartition(" Runbook: ")
        assert len(says) > 40
        assert runbook.removeprefix("docs/runbooks/").removesuffix(".md") in {*Runbook}
        assert len(alarm.inputs["alarmDescription"]) <= 1024  # PutMetricAlarm
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


def test_the_price_of_the_alarms_is_what_the_readme_says(ordered: Declaration) -> None:
    """Amazon bills each metric in an alarm, and each that a filter makes."""
    watched = [
        query
        for one in ordered.of("cloudwatch/MetricAlarm")
        for query in one.inputs["metricQueries"]
        if "metric" in query
    ]
    counted = ordered.of("cloudwatch/LogMetricFilter")
    text = README.read_text("utf-8")

    assert f"$0.10 for each of {len(watched)} metrics in alarms" in text
    assert f"$0.30 for each of {len(counted)} figures from logs" in text


def test_slow_is_near_the_timeout(ordered: Declaration) -> None:
    """In milliseconds, four fifths of the function's own timeout."""
    alarm = ordered.one("cloudwatch/MetricAlarm", "ingest-slow").inputs
    function = ordered.one("lambda/Function", "ingest").inputs

    assert alarm["threshold"] == 800 * function["timeout"]


def test_one_alarm_sums_up_that_uploads_are_not_processed(ordered: Declaration) -> None:
    """The composite alarm combines the urgent alarms."""
    rule = ordered.one("cloudwatch/CompositeAlarm", "not-processed").inputs["alarmRule"]

    assert rule == " OR ".join(
        f'ALARM("safelight-test-{name}")'
        for name in ("uploads-waiting", "ordered-waiting", "ingest-errors", "outbox-late")
    )


def test_a_blocked_queue_of_jobs_is_told_as_well(ordered: Declaration) -> None:
    """For these queues only, and the topic lets the rule and the alarms of this account in."""
    rule = ordered.one("cloudwatch/EventRule", "stuck")
    publishers = {
        one["Principal"]["Service"]: one["Condition"]["ArnLike"]["aws:SourceArn"]
        for one in ordered.one("sns/TopicPolicy", "alarms").statements()
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


def test_the_message_of_a_blocked_queue_says_which_and_why(ordered: Declaration) -> None:
    """From the event's own fields (AWS Batch User Guide, "Job queue blocked events")."""
    made = ordered.one("cloudwatch/EventTarget", "stuck").inputs["inputTransformer"]
    detail = {
        "jobId": "4c7599ae",
        "jobQueue": "arn:aws:batch:eu-central-1:123456789012:job-queue/bulk",
        "statusReason": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - no machines",
    }
    text = made["inputTemplate"]
    for name, path in made["inputPaths"].items():
        text = text.replace(f"<{name}>", _at({"detail": detail}, path))

    assert json.loads(text) == (
        "The first job of the queue arn:aws:batch:eu-central-1:123456789012:job-queue/bulk cannot"
        " start (4c7599ae): CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - no machines. Runbook:"
        " docs/runbooks/jobs-stuck.md"
    )


def test_unusual_figures_are_alarms_where_chosen(chosen: Declaration) -> None:
    """Bands on uploads, failures, time and money; what one watches is returned too."""
    bands = [
        one
        for one in chosen.of("cloudwatch/MetricAlarm")
        if one.inputs.get("thresholdMetricId") == "band"
    ]

    assert [one.name for one in bands] == [
        "unusual-duration",
        "unusual-errors",
        "unusual-spend",
        "unusual-traffic",
    ]
    for one in bands:
        returned = [two["id"] for two in one.inputs["metricQueries"] if two.get("returnData")]
        assert returned[1:] == ["band"]
        page = "spending" if one.name == "unusual-spend" else one.name
        assert one.inputs["alarmDescription"].endswith(
            f" Runbook: https://ops.example.com/runbooks/{page}.md"
        )
    (subscription,) = chosen.of("sns/TopicSubscription")
    assert subscription.inputs["endpoint"] == "who@example.com"


def test_without_heavy_work_nothing_of_it_is_watched() -> None:
    """No rule, no log and no alarm about jobs; the topic hears of alarms alone."""
    declared = declare(WITHOUT["heavy"])
    names = {one.name for one in declared.of("cloudwatch/MetricAlarm")}
    (statement,) = declared.one("sns/TopicPolicy", "alarms").statements()

    assert not {name for name in names if name.startswith(("jobs", "heavy", "workflow"))}
    assert [one.name for one in declared.of("cloudwatch/EventRule")] == ["invalidations"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}


def test_errors_in_logs_are_counted(ordered: Declaration) -> None:
    """A batch that fails in part is no error for Lambda, and a job by hand nobody's execution."""
    found = {
        one.name: (one.inputs["logGroupName"], one.inputs["pattern"])
        for one in ordered.of("cloudwatch/LogMetricFilter")
        if one.name in ("ingest-defects", "workflow-defects", "jobs-failed")
    }

    assert found == {
        "ingest-defects": ("safelight-test-ingest", '{ $.level = "ERROR" }'),
        "workflow-defects": ("safelight-test-workflow", '{ $.level = "ERROR" }'),
        "jobs-failed": ("safelight-test-jobs", '{ $.event = "failed" }'),
    }


def test_what_is_counted_is_what_is_watched(ordered: Declaration) -> None:
    """Filter and alarm name the same figure of this stack."""
    counted = {
        (
            one.inputs["metricTransformation"]["namespace"],
            one.inputs["metricTransformation"]["name"],
        )
        for one in ordered.of("cloudwatch/LogMetricFilter")
    }
    watched = {
        (one["metric"]["namespace"], one["metric"]["metricName"])
        for alarm in ordered.of("cloudwatch/MetricAlarm")
        for one in alarm.inputs["metricQueries"]
        if "metric" in one and one["metric"]["namespace"].startswith("Safelight")
    }

    assert counted == watched
    assert {namespace for namespace, _ in counted} == {"Safelight/test"}


def test_states_of_jobs_are_kept_as_a_log(ordered: Declaration) -> None:
    """Of our queues only; EventBridge may write there for this rule."""
    rule = ordered.one("cloudwatch/EventRule", "job-states")
    policy = ordered.one("cloudwatch/LogResourcePolicy", "job-states")
    streams, events = policy.statements("policyDocument")
    group = "arn:aws:cloudwatch:safelight-test-job-states"

    assert rule.document("eventPattern") == {
        "source": ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        "detail": {
            "status": ["RUNNING", "RUNNABLE", "FAILED"],
            "jobQueue": [
                f"arn:aws:batch:safelight-test-{name}" for name in ("urgent", "standard", "bulk")
            ],
        },
    }
    assert streams["Resource"] == events["Resource"] == f"{group}:*"
    assert events["Condition"] == {"ArnEquals": {"aws:SourceArn": rule_arn()}}
    assert ordered.one("cloudwatch/EventTarget", "job-states").inputs["arn"] == group


def rule_arn() -> str:
    """Of the rule, as mocks have it."""
    return "arn:aws:cloudwatch:safelight-test-job-states"


SPOT = "Host EC2 (instance i-0123456789abcdef0) terminated."
ENDED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("status", "reasons", "lost"),
    [
        ("RUNNABLE", [], False),
        ("RUNNING", [SPOT], False),  # the next attempt begins: its loss was counted before
        ("RUNNABLE", [SPOT], True),
        ("RUNNABLE", [SPOT, SPOT], True),
        ("RUNNABLE", [ENDED, SPOT], True),
        ("RUNNABLE", [SPOT, ENDED], False),
        ("FAILED", [ENDED], False),
        ("FAILED", [SPOT] * 10, True),
    ],
)
def test_an_attempt_that_spot_took_is_counted_once(
    status: str, reasons: list[str], *, lost: bool
) -> None:
    """By the newest attempt of an event, which lists them all."""
    attempts = [{"statusReason": reason} for reason in reasons]
    event = {"detail": {"status": status, "attempts": attempts}}

    assert fits(metric_filters.reclaimed(), event) is lost
    assert fits(metric_filters.STARTED, event) is (status == "RUNNING")


def fits(pattern: str, event: Any) -> bool:
    """Whether CloudWatch's filter pattern matches, for the part of its language that is used
    (CloudWatch Logs User Guide, "Using filter patterns to match terms in JSON log events")."""
    words = re.findall(r'\$[\w.\[\]]+|"[^"]*"|NOT EXISTS|&&|\|\||!=|=|[()]', pattern)
    python = {"&&": "and", "||": "or", "!=": "!=", "=": "==", "NOT EXISTS": "== None"}
    text = []
    for word in words:
        if word.startswith("$"):
            value = _at(event, word)
            star = pattern.partition(f'{word} = "')[2].partition('"')[0]
            # A pattern that ends in * is cut where it ends, and so is what it is compared with.
            fixed = star.removesuffix("*")
            text.append(repr(value[: len(fixed)] if value and star.endswith("*") else value))
        else:
            text.append(python.get(word, word.replace("*", "")))
    return bool(eval(" ".join(text)))


def _at(event: Any, selector: str) -> Any:
    """What a selector names; None for what is not there."""
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", selector):
        try:
            event = event[name] if name else event[int(index)]
        except (KeyError, IndexError):
            return None
    return event


def test_the_share_of_lost_attempts_is_watched_by_the_hour(ordered: Declaration) -> None:
    """Of a few attempts a share says nothing."""
    alarm = ordered.one("cloudwatch/MetricAlarm", "jobs-reclaimed").inputs
    (formula,) = [one["expression"] for one in alarm["metricQueries"] if "expression" in one]
    periods = {one["metric"]["period"] for one in alarm["metricQueries"] if "metric" in one}

    assert formula == "IF(started >= 20, 100 * reclaimed / started, 0)"
    assert periods == {3600}
    assert (alarm["threshold"], alarm["evaluationPeriods"]) == (20, 1)


def charts(declared: Declaration) -> list[dict[str, Any]]:
    """The charts of a stack's dashboard."""
    body = json.loads(declared.one("cloudwatch/Dashboard", "overview").inputs["dashboardBody"])
    return [one["properties"] for one in body["widgets"] if one["type"] == "metric"]


def shown(chart: dict[str, Any]) -> set[tuple[str, str]]:
    """Namespaces and names of the metrics in a chart."""
    found = set()
    for line in chart["metrics"]:
        if isinstance(line[0], str):
            found.add((line[0], line[1]))
        found |= set(re.findall(r'"([^"]+)"(?:,\w+)*} MetricName="(\w+)"', str(line[0])))
    return found


def test_the_dashboard_draws_every_alarm(ordered: Declaration) -> None:
    """Each with its line that must not be crossed, and no widget lies on top of another."""
    body = json.loads(ordered.one("cloudwatch/Dashboard", "overview").inputs["dashboardBody"])
    covered = [
        (x, y)
        for one in body["widgets"]
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    titles = {one["title"]: one for one in charts(ordered)}

    assert len(covered) == len(set(covered))
    assert max(x for x, _ in covered) < 24
    for alarm in ordered.of("cloudwatch/MetricAlarm"):
        assert titles[alarm.name]["annotations"]["horizontal"][0]["label"] == "alarm"


def test_what_is_counted_is_shown_and_nothing_else(ordered: Declaration) -> None:
    """The dashboard has each metric of the list, under the names that CloudWatch knows it by."""
    drawn = set().union(*(shown(one) for one in charts(ordered)))
    ours = {name for space, name in drawn if not space.startswith("AWS/")}

    assert ours == {name for one in METRICS for name in one.names}
    assert {space for space, _ in drawn if not space.startswith("AWS/")} == {"Safelight/test"}


def test_dimensions_are_searched_for_by_their_names(ordered: Declaration) -> None:
    """A metric that does not exist yet is found once it does, and its statistic is the list's."""
    expressions = {
        re.findall(r'MetricName="(\w+)"', one["metrics"][0][0]["expression"])[0]: one
        for one in charts(ordered)
        if "SEARCH" in str(one["metrics"][0][0])
    }

    assert expressions.keys() == {
        one.name for one in METRICS if one.dimensions and one.source is Source.CODE
    }
    jobs, stages = expressions["Jobs"], expressions["StageSeconds"]
    assert jobs["metrics"][0][0]["expression"] == (
        "SEARCH('{\"Safelight/test\",kind,outcome} MetricName=\"Jobs\"', 'Sum', 300)"
    )
    assert "'p90'" in stages["metrics"][0][0]["expression"]
    assert stages["title"] == "StageSeconds (seconds, p90)"


def test_functions_and_jobs_know_the_namespace(ordered: Declaration) -> None:
    """Metrics are emitted and shown in the same namespace, that of the stack."""
    functions = [
        one.inputs["environment"]["variables"]
        for one in ordered.of("lambda/Function")
        if one.inputs.get("packageType") == "Image"
    ]
    jobs = [
        {pair["name"]: pair["value"] for pair in one.document("containerProperties")["environment"]}
        for one in ordered.of("batch/JobDefinition")
    ]

    assert len(functions) > 3
    assert len(jobs) > 10
    for environment in (*functions, *jobs):
        assert environment["SAFELIGHT_METRICS_NAMESPACE"] == "Safelight/test"


def test_each_function_with_defects_is_in_the_list(ordered: Declaration) -> None:
    """A filter counts under the name that the list has for that function."""
    names = {
        one.inputs["metricTransformation"]["name"]
        for one in ordered.of("cloudwatch/LogMetricFilter")
    }

    assert {"IngestDefects", "OutboxDefects", "WorkflowDefects"} <= names
    assert names <= {name for one in METRICS for name in one.names if one.source is Source.LOG}
    with pytest.raises(ValueError, match="not counted for 'stranger'"):
        metrics.DEFECTS.name_of("stranger")
