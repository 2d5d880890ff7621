"""Who is told when money goes faster than planned. Both parts are off unless asked for."""

from __future__ import annotations

import pulumi
from pulumi_aws import budgets, costexplorer

from stack.config import Cost as CostConfig
from stack.scope import PROJECT, Scope

COMPONENT = "cost"
THRESHOLDS = (("FORECASTED", 100), ("ACTUAL", 80), ("ACTUAL", 100))
"""Percent of the budget: on course to miss it, nearly used up, used up."""


class Cost(pulumi.ComponentResource):
    """A monthly budget of this stack's tags, and a watch for unusual spending."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        config: CostConfig,
        *,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:cost:Cost", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(COMPONENT)
        if config.monthly_budget:
            budgets.Budget(
                scope.name("month"),
                budget_type="COST",
                time_unit="MONTHLY",
                limit_amount=str(config.monthly_budget),
                limit_unit="USD",
                cost_filters=[
                    budgets.BudgetCostFilterArgs(
                        # Known to billing once the tag is activated as a cost allocation tag.
                        name="TagKeyValue",
                        values=[f"user:Stack${scope.stack}"],
                    )
                ],
                notifications=[
                    budgets.BudgetNotificationArgs(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                        subscriber_email_addresses=[config.email],
                    )
                    for kind, percent in THRESHOLDS
                ],
                tags=tags,
                opts=own,
            )
        if config.anomaly_dollars:
            monitor = costexplorer.AnomalyMonitor(
                scope.name("anomalies"),
                monitor_type="CUSTOM",
                monitor_specification=pulumi.Output.json_dumps(
                    {"Tags": {"Key": "Project", "Values": [PROJECT]}}
                ),
                tags=tags,
                opts=own,
            )
            costexplorer.AnomalySubscription(
                scope.name("anomalies"),
                frequency="DAILY",
                monitor_arn_lists=[monitor.arn],
                subscribers=[
                    costexplorer.AnomalySubscriptionSubscriberArgs(
                        type="EMAIL", address=config.email
                    )
                ],
                threshold_expression=costexplorer.AnomalySubscriptionThresholdExpressionArgs(
                    dimension=costexplorer.AnomalySubscriptionThresholdExpressionDimensionArgs(
                        key="ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                        values=[str(config.anomaly_dollars)],
                        match_options=["GREATER_THAN_OR_EQUAL"],
                    )
                ),
                tags=tags,
                opts=own,
            )
        self.register_outputs({})
