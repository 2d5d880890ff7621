"""Budgets, cost alerts, allocation tags, power tuning and savings plans. Off by default.

CloudWatch cannot watch the bill from here: the metric of it is kept in us-east-1 alone, and an
alarm sees its own region. So a budget and Cost Anomaly Detection watch it, and tell the topic of
the alarms as well as an address.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pulumi
from pulumi_aws import budgets, cloudcontrol, costexplorer, savingsplans, serverlessrepository

from stack.config import CostConfig
from stack.functions import LambdaFunction
from stack.intake import Intake
from stack.observability import Observability
from stack.scope import Scope

COMPONENT = "cost"
THRESHOLDS = (("FORECASTED", 100), ("ACTUAL", 80), ("ACTUAL", 100))
"""Percent of the budget: on course to miss it, nearly used up, used up."""
STACK_TAG = "Stack"
ALLOCATED = ("Project", STACK_TAG, "Component")
"""Tags that the bill can be divided by (``scope``)."""
TUNING = "arn:aws:serverlessrepo:us-east-1:451282441545:applications/aws-lambda-power-tuning"
TUNING_VERSION = "4.4.0"
"""2025-11-19, Node.js 22 (github.com/alexcasalboni/aws-lambda-power-tuning, CHANGELOG.md)."""
TUNING_OUTPUT = "StateMachineARN"
"""Among the outputs of its template."""
YEAR = 365 * 24 * 3600
"""Seconds. The shortest term of a savings plan."""


class CostControls(pulumi.ComponentResource):
    """A budget, a watch, cost allocation tags, power tuning and a savings plan."""

    def __init__(
        self,
        scope: Scope,
        config: CostConfig,
        *,
        intake: Intake,
        observability: Observability | None,
    ) -> None:
        super().__init__("safelight:cost:CostControls", scope.name(COMPONENT))
        self._scope = scope
        self._config = config
        self._topic = topic = observability.topic if observability is not None else None
        self._tags = scope.tags(COMPONENT)
        self._own = pulumi.ResourceOptions(parent=self)
        # The sender first checks its permission on the topic.
        self._after_topic = pulumi.ResourceOptions(
            parent=self, depends_on=[topic.allowed] if topic is not None else None
        )
        if config.activate_tags:
            self._activate()
        if config.monthly_budget:
            self._budget()
        if config.anomaly_dollars:
            self._watch()
        self.tuning: pulumi.Output[str] | None = None
        """ARN of the state machine of power tuning."""
        if config.power_tuning:
            self.tuning = self._tuning(intake.ingest)
        if config.savings_plan_cents:
            self._commit()
        self.register_outputs({})

    def _activate(self) -> None:
        """They stay active when the stack goes: they are the account's, for all its stacks."""
        for key in ALLOCATED:
            costexplorer.CostAllocationTag(
                self._scope.name(f"by-{key.lower()}"),
                tag_key=key,
                status="Active",
                opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
            )

    def _budget(self) -> None:
        budgets.Budget(
            self._scope.name("month"),
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(self._config.monthly_budget),
            limit_unit="USD",
            # Known to billing once the tag is activated as a cost allocation tag.
            filter_expression=budgets.BudgetFilterExpressionArgs(
                tags=budgets.BudgetFilterExpressionTagsArgs(
                    key=STACK_TAG, values=[self._scope.stack], match_options=["EQUALS"]
                )
            ),
            # The billed amount, including tax and refunds, as budgets count by default.
            metrics="UnblendedCost",
            notifications=[
                budgets.BudgetNotificationArgs(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_email_addresses=[self._config.email] if self._config.email else None,
                    subscriber_sns_topic_arns=[self._topic.arn] if self._topic else None,
                )
                for kind, percent in THRESHOLDS
            ],
            tags=self._tags,
            opts=self._after_topic,
        )

    def _watch(self) -> None:
        monitor = self._config.anomaly_monitor or self._monitor()
        for what, frequency, subscriber in self._subscribers():
            costexplorer.AnomalySubscription(
                self._scope.name(what),
                frequency=frequency,
                monitor_arn_lists=[monitor],
                subscribers=[subscriber],
                threshold_expression=costexplorer.AnomalySubscriptionThresholdExpressionArgs(
                    dimension=costexplorer.AnomalySubscriptionThresholdExpressionDimensionArgs(
                        key="ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                        values=[str(self._config.anomaly_dollars)],
                        match_options=["GREATER_THAN_OR_EQUAL"],
                    )
                ),
                tags=self._tags,
                opts=self._after_topic,
            )

    def _monitor(self) -> pulumi.Output[str]:
        """The ARN of a monitor that AWS manages: it watches each value of a tag by itself.

        By Cloud Control, because ``costexplorer.AnomalyMonitor`` takes either the dimension TAG or
        the key of the tag, and AWS wants both (hashicorp/terraform-provider-aws, issue 48492).
        """
        name = self._scope.name("anomalies")
        wanted = {
            "MonitorName": name,
            "MonitorType": "DIMENSIONAL",
            "MonitorDimension": "TAG",
            "MonitorSpecification": json.dumps({"Tags": {"Key": STACK_TAG}}),
            "ResourceTags": [{"Key": key, "Value": value} for key, value in self._tags.items()],
        }
        made = cloudcontrol.Resource(
            name,
            type_name="AWS::CE::AnomalyMonitor",
            desired_state=json.dumps(wanted),
            opts=self._own,
        )
        return made.id.apply(str)

    def _subscribers(
        self,
    ) -> Sequence[tuple[str, str, costexplorer.AnomalySubscriptionSubscriberArgs]]:
        """E-mail comes once a day, a topic gets each message at once; neither can be otherwise."""
        found = []
        if self._config.email:
            one = costexplorer.AnomalySubscriptionSubscriberArgs(
                type="EMAIL", address=self._config.email
            )
            found.append(("anomalies", "DAILY", one))
        if self._topic is not None:
            one = costexplorer.AnomalySubscriptionSubscriberArgs(
                type="SNS", address=self._topic.arn
            )
            found.append(("anomalies-now", "IMMEDIATE", one))
        return found

    def _tuning(self, ingest: LambdaFunction) -> pulumi.Output[str]:
        """It runs when a person starts it, and may touch the ingest function alone."""
        application = serverlessrepository.CloudFormationStack(
            self._scope.name("power-tuning"),
            application_id=TUNING,
            semantic_version=TUNING_VERSION,
            capabilities=["CAPABILITY_IAM"],
            parameters={
                # Its versions and aliases too: one for each memory size that is tried.
                "lambdaResource": pulumi.Output.concat(ingest.arn, "*"),
                "totalExecutionTimeout": "900",
            },
            tags=self._tags,
            opts=self._own,
        )
        return application.outputs.apply(lambda found: (found or {}).get(TUNING_OUTPUT, ""))

    def _commit(self) -> None:
        """Compute for a year, nothing up front: for Lambda and for machines of every family.

        A plan cannot be cancelled. So it is bought once: protected, which makes Pulumi refuse to
        buy another one in its place when the sum changes, kept once that is lifted and the stack
        goes, and not bought anew because AWS numbers its offers differently.
        """
        offers = savingsplans.get_offerings(
            plan_types=["Compute"],
            payment_options=["No Upfront"],
            durations=[YEAR],
            currencies=["USD"],
        ).offerings
        if len(offers) != 1:
            raise pulumi.RunError(f"AWS offers {len(offers)} savings plans of this kind, not one")
        savingsplans.SavingsPlan(
            self._scope.name("compute"),
            savings_plan_offering_id=offers[0].offering_id,
            commitment=f"{self._config.savings_plan_cents / 100:.2f}",
            tags=self._tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=True,
                retain_on_delete=True,
                ignore_changes=["savingsPlanOfferingId"],
            ),
        )
