"""What is said about money: budget, watch, tags, power tuning, savings plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from stack import outbox, webhooks, workflow
from stack.config import read
from tests.infra import configs, presets
from tests.infra.configs import WITHOUT
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
    assert budget.inputs["costFilters"] == [{"name": "TagKeyValue", "values": ["user:Stack$test"]}]
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
