"""What is written down and watched: log groups and what is counted in them, alarms, budgets."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind, camel_to_pascal


def _log_group(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    if "namePrefix" in inputs:  # Pulumi would add characters, as to a name of its own
        name = f"{inputs['namePrefix']}{'local'}"
    with contextlib.suppress(aws.logs.exceptions.ResourceAlreadyExistsException):
        aws.logs.create_log_group(logGroupName=name, tags=declared.tags)
    aws.logs.put_retention_policy(logGroupName=name, retentionInDays=inputs["retentionInDays"])
    return name, {"name": name, "arn": aws.arn("logs", f"log-group:{name}")}


def _metric_filter(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    counted = dict(inputs["metricTransformation"])
    # Pulumi has these two as text.
    for number in ("defaultValue",):
        if number in counted:
            counted[number] = float(counted[number])
    aws.logs.put_metric_filter(
        logGroupName=inputs["logGroupName"],
        filterName=name,
        filterPattern=inputs["pattern"],
        metricTransformations=[_transformation(counted)],
    )
    return name, {"name": name}


def _transformation(counted: Mapping[str, Any]) -> Any:
    named = {
        "name": "metricName",
        "namespace": "metricNamespace",
        "value": "metricValue",
    }
    return {named.get(key, key): value for key, value in counted.items()}


def _log_policy(aws: Aws, declared: Declared) -> Created:
    name = declared.inputs["policyName"]
    aws.logs.put_resource_policy(policyName=name, policyDocument=declared.inputs["policyDocument"])
    return name, {}


def _alarm(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    same = {key: value for key, value in inputs.items() if key not in _ALARM_SPELT}
    asked = camel_to_pascal(same)
    if "metricQueries" in inputs:
        asked["Metrics"] = [_query(one) for one in inputs["metricQueries"]]
    aws.cloudwatch.put_metric_alarm(
        AlarmName=name,
        AlarmDescription=inputs.get("alarmDescription", ""),
        OKActions=inputs.get("okActions", []),
        Tags=declared.tag_list,
        **asked,
    )
    return name, {"name": name, "arn": aws.arn("cloudwatch", f"alarm:{name}")}


_ALARM_SPELT = frozenset({"alarmDescription", "metricQueries", "name", "okActions", "tags"})
_ALARM_SAME = frozenset(
    {
        "alarmActions",
        "comparisonOperator",
        "datapointsToAlarm",
        "dimensions",
        "evaluationPeriods",
        "metricName",
        "namespace",
        "period",
        "statistic",
        "threshold",
        "thresholdMetricId",
        "treatMissingData",
    }
)


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    """One line of a formula."""
    asked: dict[str, Any] = camel_to_pascal({k: v for k, v in query.items() if k != "metric"})
    if "metric" in query:
        metric = query["metric"]
        asked["MetricStat"] = {
            "Metric": {
                "Namespace": metric["namespace"],
                "MetricName": metric["metricName"],
                "Dimensions": [
                    {"Name": key, "Value": text}
                    for key, text in metric.get("dimensions", {}).items()
                ],
            },
            "Period": metric["period"],
            "Stat": metric["stat"],
        }
    # What is not said to be the result is not.
    return {"ReturnData": False, **asked}


def _composite(aws: Aws, declared: Declared) -> Created:
    inputs, name = declared.inputs, declared.inputs["alarmName"]
    aws.cloudwatch.put_composite_alarm(
        AlarmName=name,
        AlarmDescription=inputs["alarmDescription"],
        AlarmRule=inputs["alarmRule"],
        AlarmActions=inputs["alarmActions"],
        OKActions=inputs.get("okActions", []),
        Tags=declared.tag_list,
    )
    return name, {"arn": aws.arn("cloudwatch", f"alarm:{name}")}


def _dashboard(aws: Aws, declared: Declared) -> Created:
    name = declared.inputs["dashboardName"]
    aws.cloudwatch.put_dashboard(DashboardName=name, DashboardBody=declared.inputs["dashboardBody"])
    return name, {"dashboardArn": f"arn:aws:cloudwatch::{aws.account}:dashboard/{name}"}


def _budget(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    budget = {
        "BudgetName": name,
        "BudgetType": inputs["budgetType"],
        "TimeUnit": inputs["timeUnit"],
        "BudgetLimit": {"Amount": inputs["limitAmount"], "Unit": inputs["limitUnit"]},
        "CostFilters": {one["name"]: list(one["values"]) for one in inputs["costFilters"]},
    }
    told = [
        {
            "Notification": {
                "NotificationType": one["notificationType"],
                "ComparisonOperator": one["comparisonOperator"],
                "Threshold": one["threshold"],
                "ThresholdType": one["thresholdType"],
            },
            "Subscribers": [
                *(
                    {"SubscriptionType": "EMAIL", "Address": address}
                    for address in one.get("subscriberEmailAddresses", ())
                ),
                *(
                    {"SubscriptionType": "SNS", "Address": topic}
                    for topic in one.get("subscriberSnsTopicArns", ())
                ),
            ],
        }
        for one in inputs["notifications"]
    ]
    try:
        aws.budgets.create_budget(
            AccountId=aws.account, Budget=budget, NotificationsWithSubscribers=told
        )
    except aws.budgets.exceptions.DuplicateRecordException:
        aws.budgets.update_budget(AccountId=aws.account, NewBudget=budget)
    return f"{aws.account}:{name}", {"name": name}


KINDS = {
    "aws:cloudwatch/logGroup:LogGroup": Kind(
        _log_group, frozenset({"name", "namePrefix", "retentionInDays", "tags"})
    ),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": Kind(
        _metric_filter, frozenset({"logGroupName", "metricTransformation", "name", "pattern"})
    ),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": Kind(
        _log_policy, frozenset({"policyDocument", "policyName"})
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Kind(_alarm, _ALARM_SPELT | _ALARM_SAME),
    "aws:cloudwatch/compositeAlarm:CompositeAlarm": Kind(
        _composite,
        frozenset(
            {"alarmActions", "alarmDescription", "alarmName", "alarmRule", "okActions", "tags"}
        ),
    ),
    "aws:cloudwatch/dashboard:Dashboard": Kind(
        _dashboard, frozenset({"dashboardBody", "dashboardName"})
    ),
    "aws:budgets/budget:Budget": Kind(
        _budget,
        frozenset(
            {
                "budgetType",
                "costFilters",
                "limitAmount",
                "limitUnit",
                "name",
                "notifications",
                "tags",
                "timeUnit",
            }
        ),
    ),
}
