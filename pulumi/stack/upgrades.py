"""A function that once a day encodes what is viewed often at a higher effort. Off by default.

schedule -> function: [logs of the distribution] say what is viewed -> [delivery bucket], table, bus
"""

from __future__ import annotations

import pulumi
from pulumi_aws import cloudwatch, lambda_

from stack import policies
from stack.bucket import PrivateBucket
from stack.catalog import CatalogTable
from stack.config import Config
from stack.functions import Image, LambdaFunction
from stack.intake import Intake
from stack.scope import Scope
from stack.storage import Buckets
from worker.settings import PREFIX

COMPONENT = "upgrades"
ENTRY_POINT = "worker.entrypoints.lambda_upgrade.handler"
SCHEDULE = "rate(1 day)"
TIMEOUT = 900
"""Seconds, the most that Lambda allows."""
MEMORY = 3538
"""Megabytes: two processors, and room for the child process that encodes."""


class DailyUpgrades(pulumi.ComponentResource):
    """Schedule and function.

    Args:
        logs: the bucket of the distribution's logs.
    """

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        catalog: CatalogTable,
        intake: Intake,
        logs: PrivateBucket,
    ) -> None:
        super().__init__("safelight:upgrades:DailyUpgrades", scope.name(COMPONENT))
        own = pulumi.ResourceOptions(parent=self)
        name = scope.name("upgrade")
        self.timeout = TIMEOUT
        self.function = LambdaFunction(
            name,
            scope,
            component=COMPONENT,
            description="Encodes files that are viewed often at a higher effort",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=MEMORY,
            timeout=TIMEOUT,
            log_retention_days=config.intake.log_retention_days,
            statements=[
                policies.allow(
                    ["s3:ListBucket"], [logs.arn, buckets.intake.arn, buckets.delivery.arn]
                ),
                policies.allow(["s3:GetObject"], [logs.objects]),
                policies.allow(["s3:GetObject", "s3:GetObjectVersion"], [buckets.intake.objects]),
                policies.allow(
                    [
                        "s3:GetObject",
                        "s3:PutObject",
                        "s3:DeleteObject",  # of an asset that went meanwhile
                        "s3:GetObjectTagging",
                        "s3:PutObjectTagging",
                        "s3:DeleteObjectTagging",
                    ],
                    [buckets.delivery.objects],
                ),
                policies.allow(["dynamodb:GetItem", "dynamodb:PutItem"], [catalog.arn]),
            ],
            tracing=config.tracing,
            environment={
                **intake.environment,
                f"{PREFIX}EDGE_LOGS_BUCKET": logs.name,
                f"{PREFIX}UPGRADE_CENTS": str(config.delivery.upgrade_cents),
            },
            opts=own,
        )
        lambda_.FunctionEventInvokeConfig(
            name,
            function_name=self.function.name,
            # The next day's call does what is left. A second one today would spend twice.
            maximum_retry_attempts=0,
            opts=own,
        )
        rule = cloudwatch.EventRule(
            name,
            description="Once a day",
            schedule_expression=SCHEDULE,
            tags=scope.tags(COMPONENT),
            opts=own,
        )
        allowed = lambda_.Permission(
            name,
            action="lambda:InvokeFunction",
            function=self.function.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=own,
        )
        cloudwatch.EventTarget(
            name,
            rule=rule.name,
            arn=self.function.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        self.register_outputs({})
