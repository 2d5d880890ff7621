"""The delivery function: the second origin, for files that the delivery bucket does not have.

distribution -> [delivery bucket], which says 403 or 404 -> function URL -> function -> table

It makes files at their first view, from stored renditions and originals. Its URL accepts only
requests that the distribution has signed. With the cache of hot files it stands in a network that
leads to the cache, S3 and DynamoDB, and nowhere else.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pulumi
from pulumi_aws import lambda_

from stack import policies
from stack.cache import HotCache
from stack.catalog import CatalogTable
from stack.config import Config
from stack.functions import Image, LambdaFunction
from stack.intake import Intake
from stack.scope import Scope
from stack.storage import Buckets
from worker.domain.bill import FULL_VCPU

COMPONENT = "deliver"
ENTRY_POINT = "worker.entrypoints.lambda_deliver.handler"
ALIAS = "live"
TIMEOUT = 28
"""Seconds. CloudFront waits 30 s for an origin, and a claim on a file that is made ends after as
many (``worker.services.first_view.CLAIM_SECONDS``)."""


class DeliveryOrigin(pulumi.ComponentResource):
    """The function and its URL."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        catalog: CatalogTable,
        intake: Intake,
        cache: HotCache | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:origin:DeliveryOrigin", scope.name(COMPONENT), None, opts)
        self._scope = scope
        self._own = pulumi.ResourceOptions(parent=self)
        name = scope.name(COMPONENT)
        self.function = LambdaFunction(
            name,
            scope,
            component=COMPONENT,
            description="Makes or replaces files that the delivery bucket does not have",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            # It decodes the originals that ingest decodes. Here somebody waits: a whole vCPU.
            memory=max(config.intake.memory, FULL_VCPU),
            timeout=TIMEOUT,
            log_retention_days=config.intake.log_retention_days,
            statements=[
                # Without the right to list, S3 answers 403 for what is missing.
                policies.allow(["s3:ListBucket"], [buckets.intake.arn, buckets.delivery.arn]),
                policies.allow(["s3:GetObject", "s3:GetObjectVersion"], [buckets.intake.objects]),
                policies.allow(
                    [
                        "s3:GetObject",
                        "s3:PutObject",
                        "s3:DeleteObject",  # of an asset that was erased while a file was made
                    ],
                    [buckets.delivery.objects],
                ),
                policies.allow(
                    ["dynamodb:GetItem", "dynamodb:UpdateItem"],  # records; claims
                    [catalog.arn],
                ),
                *([cache.statement] if cache else []),
            ],
            tracing=config.tracing,
            snap_start=config.delivery.snap_start,
            environment={**intake.environment, **(cache.environment if cache else {})},
            placement=cache.placement if cache else None,
            opts=self._own,
        )
        self._qualifier: pulumi.Output[str] | None = None
        if config.delivery.snap_start:
            # Only published versions have snapshots, and the URL of an alias stays.
            alias = lambda_.Alias(
                name,
                name=ALIAS,
                function_name=self.function.name,
                function_version=self.function.function.version,
                opts=self._own,
            )
            self._qualifier = alias.name
        self._url = lambda_.FunctionUrl(
            name,
            function_name=self.function.name,
            qualifier=self._qualifier,
            authorization_type="AWS_IAM",
            opts=self._own,
        )
        self.host = self._url.function_url.apply(lambda url: urlsplit(url).netloc or url)
        self.register_outputs({"host": self.host})

    def let_in(self, distribution: pulumi.Input[str]) -> None:
        """Let a distribution call the function, only by its URL.

        A URL that was made since October 2025 needs both permissions.

        Args:
            distribution: its ARN.
        """
        for what, action in (
            ("url", "lambda:InvokeFunctionUrl"),
            ("call", "lambda:InvokeFunction"),
        ):
            lambda_.Permission(
                self._scope.name(f"{COMPONENT}-{what}"),
                function=self.function.name,
                qualifier=self._qualifier,
                action=action,
                principal="cloudfront.amazonaws.com",
                source_arn=distribution,
                function_url_auth_type="AWS_IAM" if what == "url" else None,
                invoked_via_function_url=True if what == "call" else None,
                opts=self._own,
            )
