"""The bus on which Safelight tells others what happened to an asset."""

from __future__ import annotations

import pulumi
from pulumi_aws import cloudwatch

from stack.scope import Scope

COMPONENT = "events"


class AssetEventBus(pulumi.ComponentResource):
    """A bus of our own: subscribers' rules see asset events and nothing else."""

    def __init__(self, scope: Scope) -> None:
        super().__init__("safelight:events:AssetEventBus", scope.name(COMPONENT))
        self.bus = cloudwatch.EventBus(
            scope.name("events"),
            description="What happened to assets: asset.accepted, asset.rejected and so on",
            tags=scope.tags(COMPONENT),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.name = self.bus.name
        self.arn = self.bus.arn
        self.register_outputs({"name": self.name, "arn": self.arn})
