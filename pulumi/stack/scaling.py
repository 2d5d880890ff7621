"""Provisioned capacity that follows the load: of a table and of each of its indexes."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_aws import appautoscaling, dynamodb

from stack.config import CatalogConfig
from stack.scope import Scope

SERVICE = "dynamodb"
USED_PERCENT = 70.0
"""How much of the capacity should be in use; the rest is for the minutes until more is there."""
COOLDOWN_SECONDS = 60
"""Between two changes in the same direction."""


def follow_load(
    table: dynamodb.Table,
    indexes: Sequence[str],
    scope: Scope,
    config: CatalogConfig,
    *,
    component: str,
    parent: pulumi.Resource,
) -> None:
    """Declare bounds and target for reads and writes of the table and its indexes.

    Args:
        table: with provisioned capacity that Pulumi does not hold on to.
        indexes: their names.
        scope: names and tags.
        config: the bounds.
        component: for the tags.
        parent: of everything declared.
    """
    bounds = {
        "Read": (config.minimum_reads, config.maximum_reads),
        "Write": (config.minimum_writes, config.maximum_writes),
    }
    whole = pulumi.Output.concat("table/", table.name)
    scalable = {"table": ("table", whole)} | {
        index.lower(): ("index", pulumi.Output.concat(whole, "/index/", index)) for index in indexes
    }
    for what, (kind, resource_id) in scalable.items():
        for direction, (least, most) in bounds.items():
            name = scope.name(f"catalog-{what}-{direction.lower()}")
            target = appautoscaling.Target(
                name,
                service_namespace=SERVICE,
                resource_id=resource_id,
                scalable_dimension=f"{SERVICE}:{kind}:{direction}CapacityUnits",
                min_capacity=least,
                max_capacity=most,
                tags=scope.tags(component),
                opts=pulumi.ResourceOptions(parent=parent, depends_on=[table]),
            )
            appautoscaling.Policy(
                name,
                policy_type="TargetTrackingScaling",
                service_namespace=target.service_namespace,
                resource_id=target.resource_id,
                scalable_dimension=target.scalable_dimension,
                target_tracking_scaling_policy_configuration=appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs(
                    target_value=USED_PERCENT,
                    scale_in_cooldown=COOLDOWN_SECONDS,
                    scale_out_cooldown=COOLDOWN_SECONDS,
                    predefined_metric_specification=appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs(
                        predefined_metric_type=f"DynamoDB{direction}CapacityUtilization"
                    ),
                ),
                opts=pulumi.ResourceOptions(parent=parent),
            )
