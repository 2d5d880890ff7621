"""What is said about money: budget, watch, tags, power tuning, savings plan."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given, settings

from stack import outbox, webhooks, workflow
from stack.config import read
from tests.infra import configs, presets
from tests.infra.configs import MONITOR, WITHOUT
from tests.infra.declared import ACCOUNT, IMAGES, Declaration, declare
from worker import prices
from worker.domain.bill import COMMITMENTS, Traffic
from worker.domain.metrics import METRICS
from worker.infra.bill_design import design_of
from worker.services.bill import bill


def test_nobody_is_told_unless_asked_for(ordered: Declaration) -> None:
    """Every part is off by default."""
    for service in ("budgets", "costexplorer", "savingsplans", "serverlessrepository"):
        assert not [one for one in ordered.resources if one.kind.startswith(service)]


def test_a_budget_warns_of_the_forecast_and_of_what_is_spent(chosen: Declaration) -> None:
    """For this stack's tag, to the address that was given."""
    (budget,) = chosen.of("budgets/Budget")

    assert (budget.inputs["limitAmount"], budget.inputs["limitUnit"]) == ("250", "USD")
    assert budget.inputs["filterExpression"] == {
        "tags": {"key": "Stack", "values": ["test"], "matchOptions": ["EQUALS"]}
    }
    assert budget.inputs["metrics"] == "UnblendedCost"
    assert "costFilters" not in budget.inputs
    assert [
        (one["notificationType"], one["threshold"]) for one in budget.inputs["notifications"]
    ] == [("FORECASTED", 100), ("ACTUAL", 80), ("ACTUAL", 100)]
    assert {
        address
        for one in budget.inputs["notifications"]
        for address in one["subscriberEmailAddresses"]
    } == {"who@example.com"}


def test_the_topic_of_the_alarms_gets_warnings_of_cost_too(full: Declaration) -> None:
    """An alarm of CloudWatch sees no bill outside us-east-1; these tell the same people."""
    topic = "arn:aws:sns:safelight-test-alarms"
    (budget,) = full.of("budgets/Budget")
    publishers = {
        statement["Principal"]["Service"]: statement["Condition"]
        for statement in full.one("sns/TopicPolicy", "alarms").statements()
    }

    assert all(one["subscriberSnsTopicArns"] == [topic] for one in budget.inputs["notifications"])
    assert publishers["budgets.amazonaws.com"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:budgets::{ACCOUNT}:*"},
    }
    assert publishers["costalerts.amazonaws.com"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT}
    }


def test_without_a_topic_there_is_e_mail_alone() -> None:
    """Money is watched without alarms as well."""
    declared = declare(WITHOUT["observability"])
    (budget,) = declared.of("budgets/Budget")

    assert not any("subscriberSnsTopicArns" in one for one in budget.inputs["notifications"])
    assert [one.inputs["frequency"] for one in declared.of("costexplorer/AnomalySubscription")] == [
        "DAILY"
    ]


def test_unusual_spending_is_told_from_a_sum_on(chosen: Declaration) -> None:
    """A watch on this project's tag; at once on the topic, once a day by e-mail."""
    found = {
        one.inputs["frequency"]: one.inputs for one in chosen.of("costexplorer/AnomalySubscription")
    }

    assert {tuple(one["thresholdExpression"]["dimension"]["values"]) for one in found.values()} == {
        ("40",)
    }
    assert found["DAILY"]["subscribers"] == [{"type": "EMAIL", "address": "who@example.com"}]
    assert found["IMMEDIATE"]["subscribers"] == [
        {"type": "SNS", "address": "arn:aws:sns:safelight-test-alarms"}
    ]


def test_aws_manages_the_watch_of_the_stack_tag(full: Declaration) -> None:
    """The request is what Cost Explorer's own model takes, with the key and no values of the tag.

    The provider's resource takes either the dimension or the key of the tag: it is made through
    Cloud Control.
    """
    assert not full.of("costexplorer/AnomalyMonitor")
    (made,) = full.of("cloudcontrol/Resource")
    wanted = json.loads(made.inputs["desiredState"])
    tags = {one["Key"]: one["Value"] for one in wanted.pop("ResourceTags")}

    assert made.inputs["typeName"] == "AWS::CE::AnomalyMonitor"
    assert wanted == {
        "MonitorName": "safelight-test-anomalies",
        "MonitorType": "DIMENSIONAL",
        "MonitorDimension": "TAG",
        "MonitorSpecification": '{"Tags": {"Key": "Stack"}}',
    }
    assert tags.items() >= {"Project": "safelight", "Stack": "test", "Component": "cost"}.items()
    specification = json.loads(wanted["MonitorSpecification"])
    service = botocore.session.get_session().get_service_model("ce")
    taken = service.operation_model("CreateAnomalyMonitor").input_shape
    assert taken is not None
    report = ParamValidator().validate(
        {
            "AnomalyMonitor": wanted | {"MonitorSpecification": specification},
            "ResourceTags": [{"Key": key, "Value": value} for key, value in tags.items()],
        },
        taken,
    )
    assert not report.has_errors(), report.generate_report()
    allowed = service.shape_for("MonitorDimension").metadata["enum"]
    assert wanted["MonitorDimension"] in allowed


def test_a_second_stack_of_an_account_uses_the_monitor_of_the_first(chosen: Declaration) -> None:
    """It watches every value of the tag, and an account may have one."""
    assert not chosen.of("cloudcontrol/Resource")
    assert all(
        one.inputs["monitorArnLists"] == [MONITOR]
        for one in chosen.of("costexplorer/AnomalySubscription")
    )


def test_a_budget_is_one_that_the_service_takes(chosen: Declaration) -> None:
    """By the names of its own model: the filter's, the metric's, and how a tag is compared."""
    (budget,) = chosen.of("budgets/Budget")
    tag = budget.inputs["filterExpression"]["tags"]
    service = botocore.session.get_session().get_service_model("budgets")
    report = ParamValidator().validate(
        {
            "BudgetName": "b",
            "TimeUnit": budget.inputs["timeUnit"],
            "BudgetType": budget.inputs["budgetType"],
            "FilterExpression": {
                "Tags": {
                    "Key": tag["key"],
                    "Values": tag["values"],
                    "MatchOptions": tag["matchOptions"],
                }
            },
            "Metrics": [budget.inputs["metrics"]],
        },
        service.shape_for("Budget"),
    )
    assert not report.has_errors(), report.generate_report()
    assert budget.inputs["metrics"] in service.shape_for("Metric").metadata["enum"]
    assert {*tag["matchOptions"]} <= {*service.shape_for("MatchOption").metadata["enum"]}


def test_the_daily_limit_is_told_to_the_functions(chosen: Declaration) -> None:
    """The functions that count work or pause it get the limit."""
    for name in ("ledger", "ingest", "workflow"):
        told = chosen.one("lambda/Function", name).inputs["environment"]["variables"]
        assert told["SAFELIGHT_DAILY_LIMIT"] == "75"
    assert chosen.exports["environment"]["SAFELIGHT_DAILY_LIMIT"] == "75"


def test_the_ledger_reads_the_stream_in_order(ordered: Declaration) -> None:
    """One batch of a shard at a time, and named: only so is each change counted once."""
    mapping = ordered.one("lambda/EventSourceMapping", "ledger").inputs

    assert mapping["parallelizationFactor"] == 1
    assert 0 < mapping["tumblingWindowInSeconds"] <= 900
    assert mapping["maximumBatchingWindowInSeconds"] <= mapping["tumblingWindowInSeconds"]
    assert mapping["startingPosition"] == "TRIM_HORIZON"
    assert mapping["bisectBatchOnFunctionError"]
    outbox_mapping = ordered.one("lambda/EventSourceMapping", "outbox").inputs
    assert mapping["filterCriteria"] == outbox_mapping["filterCriteria"]


def test_the_bill_can_be_divided_by_our_tags(full: Declaration) -> None:
    """They are the account's: one stack that goes does not take them from the others."""
    found = full.of("costexplorer/CostAllocationTag")

    assert {one.inputs["tagKey"] for one in found} == {"Project", "Stack", "Component"}
    assert {one.inputs["status"] for one in found} == {"Active"}
    assert all(one.options == {"retainOnDelete": True} for one in found)


def test_power_tuning_may_touch_the_ingest_function_alone(full: Declaration) -> None:
    """The version that was read, not whatever is newest."""
    (found,) = full.of("serverlessrepository/CloudFormationStack")
    tags = found.inputs["tags"]

    assert found.inputs == {
        "applicationId": (
            "arn:aws:serverlessrepo:us-east-1:451282441545:applications/aws-lambda-power-tuning"
        ),
        "semanticVersion": "4.4.0",
        "capabilities": ["CAPABILITY_IAM"],
        "parameters": {
            "lambdaResource": "arn:aws:lambda:safelight-test-ingest*",
            "totalExecutionTimeout": "900",
        },
        "tags": tags,
    }


def test_power_tuning_can_read_the_log_of_the_function(
    full: Declaration, ordered: Declaration
) -> None:
    """It cannot read JSON; all other functions log that, and so does this one without it."""
    tuned = full.one("lambda/Function", "ingest").inputs["loggingConfig"]["logFormat"]
    formats = [one.inputs["loggingConfig"]["logFormat"] for one in full.of("lambda/Function")]
    usual = {one.inputs["loggingConfig"]["logFormat"] for one in ordered.of("lambda/Function")}

    assert tuned == "Text"
    assert formats.count("Text") == 1
    assert usual == {"JSON"}


def test_the_command_line_finds_power_tuning(full: Declaration, ordered: Declaration) -> None:
    """The state machine is an output of the application's template (its template.yml)."""
    assert full.exports["powerTuning"] == {
        "machine": "arn:aws:states:safelight-test-power-tuning",
        "function": "arn:aws:lambda:safelight-test-ingest",
    }
    assert "powerTuning" not in ordered.exports


def test_a_savings_plan_is_bought_once(chosen: Declaration) -> None:
    """It cannot be cancelled: no replacement buys another, and none is forgotten by mistake."""
    (plan,) = chosen.of("savingsplans/SavingsPlan")

    assert plan.inputs["commitment"] == "1.50"
    assert plan.inputs["savingsPlanOfferingId"] == "compute-for-a-year"
    assert plan.options == {
        "protect": True,
        "retainOnDelete": True,
        "ignoreChanges": ["savingsPlanOfferingId"],
    }


def test_nothing_else_is_protected_or_kept(full: Declaration) -> None:
    """`pulumi destroy` removes what it has made."""
    odd = {one.kind for one in full.resources if {"protect", "retainOnDelete"} & {*one.options}}

    assert odd == {"savingsplans/SavingsPlan", "costexplorer/CostAllocationTag"}


def test_the_bill_counts_what_the_preset_watches() -> None:
    """To within a tenth: metrics in alarms, a band being three and the one that sums up as dear as
    five, and all metrics of its own."""
    _, need = prices.load()
    watched = [
        query
        for one in presets.declared("prod").of("cloudwatch/MetricAlarm")
        for query in one.inputs["metricQueries"]
        if "metric" in query
    ]

    bands = [
        query
        for one in presets.declared("prod").of("cloudwatch/MetricAlarm")
        for query in one.inputs["metricQueries"]
        if "ANOMALY_DETECTION_BAND" in query.get("expression", "")
    ]
    assert need.alarms == pytest.approx(len(watched) + 2 * len(bands) + 5, rel=0.1)
    assert need.metrics == pytest.approx(sum(one.distinct for one in METRICS), rel=0.1)


@settings(max_examples=30)
@given(config=configs.configs)
def test_every_configuration_that_is_accepted_has_a_bill(config: dict[str, Any]) -> None:
    """A sum, whatever is chosen; a design never costs less than nothing."""
    price, need = prices.load()
    design = design_of(read({**IMAGES, **config}, stack="dev"))
    found = bill(design, Traffic(images_per_day=1e6, month=3), price, need)

    assert 0 < found.total < 1e6
    assert all(one.usd > 0 or one.group == COMMITMENTS for one in found.lines)


def test_escalation_is_priced_with_the_memory_that_functions_have() -> None:
    """`safelight cost escalation` multiplies it with their seconds."""
    _, need = prices.load()
    priced = (need.stage_gigabytes, need.outbox_gigabytes, need.webhook_gigabytes)

    assert priced == tuple(one.MEMORY / 1_024 for one in (workflow, outbox, webhooks))
