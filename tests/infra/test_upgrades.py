"""The daily function that encodes what is viewed often: off unless it has a budget."""

from __future__ import annotations

from tests.infra.declared import Declaration

BUCKET = "arn:aws:s3:safelight-test"


def test_nothing_is_encoded_again_without_a_budget(ordered: Declaration) -> None:
    """The default is no function and no schedule."""
    assert not [one for one in ordered.resources if one.name.startswith("upgrade")]


def test_a_schedule_calls_the_function_once_a_day(chosen: Declaration) -> None:
    """And no call is repeated: it would spend the budget of the day twice."""
    rule = chosen.one("cloudwatch/EventRule", "upgrade").inputs
    target = chosen.one("cloudwatch/EventTarget", "upgrade")

    assert rule["scheduleExpression"] == "rate(1 day)"
    assert target.inputs["arn"] == "arn:aws:lambda:safelight-test-upgrade"
    assert ("lambda/Permission", "upgrade") in target.waits_for
    again = chosen.one("lambda/FunctionEventInvokeConfig", "upgrade").inputs
    assert again["maximumRetryAttempts"] == 0
    permission = chosen.one("lambda/Permission", "upgrade").inputs
    assert permission["principal"] == "events.amazonaws.com"
    assert permission["sourceArn"].endswith("safelight-test-upgrade")


def test_the_function_knows_its_logs_and_its_budget(chosen: Declaration) -> None:
    """As the configuration says it."""
    function = chosen.one("lambda/Function", "upgrade").inputs
    variables = function["environment"]["variables"]

    assert variables["SAFELIGHT_EDGE_LOGS_BUCKET"] == "safelight-test-delivery-logs"
    assert variables["SAFELIGHT_UPGRADE_CENTS"] == "250"
    assert function["timeout"] == 900
    assert function["imageConfig"] == {"commands": ["worker.entrypoints.lambda_upgrade.handler"]}


def test_the_function_may_replace_renditions_and_no_original(chosen: Declaration) -> None:
    """It reads originals and logs, and tells the bus."""
    rights = {
        action: one["Resource"]
        for one in chosen.one("iam/RolePolicy", "upgrade").statements()
        for action in one["Action"]
        if action in ("s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion")
    }

    assert rights == {
        "s3:PutObject": [f"{BUCKET}-delivery/*"],
        "s3:DeleteObject": [f"{BUCKET}-delivery/*"],
        "s3:GetObjectVersion": [f"{BUCKET}-intake/*"],
    }
    names = {one.name for one in chosen.of("cloudwatch/MetricAlarm")}
    assert {"upgrade-errors", "upgrade-throttled", "upgrade-defects"} <= names
