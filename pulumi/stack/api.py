"""The API: a function behind an HTTP API that checks tokens, limits the rate and logs who asked.

browser, phone, server -> HTTP API (authoriser, throttling, access log) -> function
                                                                            |-> table, queue, jobs
Files go to the intake bucket by tickets that the function signs, never through here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws import apigatewayv2, cloudwatch, lambda_

from stack import policies
from stack.catalog import CatalogTable
from stack.config import Config
from stack.delivery import Distribution
from stack.functions import Image, LambdaFunction
from stack.heavy import HeavyJobs
from stack.intake import Intake
from stack.scope import Scope
from stack.sign_in import Provider
from stack.storage import Buckets
from stack.workflow import StateMachines
from worker.adapters.aws.dynamodb.schema import INDEXES
from worker.domain import trace
from worker.domain.asset import UploadRoute
from worker.domain.workflow import Starts
from worker.settings import PREFIX

COMPONENT = "api"
ENTRY_POINT = "worker.entrypoints.lambda_api.handler"
TIMEOUT = 29
"""Seconds. An HTTP API waits 30 s at most."""
OPEN = ("GET /healthz", "GET /openapi.json")
"""Routes without a token."""
PREFLIGHT_SECONDS = 3600
LOGGED = {
    "time": "$context.requestTime",
    "request": "$context.requestId",
    "route": "$context.routeKey",
    "path": "$context.path",
    "status": "$context.status",
    "error": "$context.error.message",
    "refused": "$context.authorizer.error",
    "milliseconds": "$context.responseLatency",
    "bytes": "$context.responseLength",
}
"""Of each request. No token, no claim and no address: nothing of a person."""


class Api(pulumi.ComponentResource):
    """The HTTP API and its function."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        catalog: CatalogTable,
        intake: Intake,
        delivery: Distribution | None,
        sign_in: Provider,
        heavy: HeavyJobs | None,
        workflow: StateMachines | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:api:Api", scope.name(COMPONENT), None, opts)
        self._scope, self._config, self._sign_in = scope, config.api, sign_in
        self._origins: list[pulumi.Input[str]] = list(config.api.origins)
        if delivery is not None and config.console.enabled and "*" not in self._origins:
            self._origins.append(delivery.url)
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        name, chosen = scope.name(COMPONENT), config.api
        key = config.delivery.upload_key
        self.environment: Mapping[str, pulumi.Input[str]] = {
            **intake.environment,
            f"{PREFIX}API_ISSUER": sign_in.issuer,
            f"{PREFIX}API_AUDIENCE": sign_in.audience,
            **{PREFIX + name: value for name, value in sign_in.environment.items()},
            f"{PREFIX}BATCH_PREFIX": scope.prefix,
            f"{PREFIX}UPLOAD_ROUTES": ",".join(_routes(config)),
            **({f"{PREFIX}DELIVERY_URL": delivery.url} if delivery else {}),
            **({f"{PREFIX}UPLOAD_KEY": pulumi.Output.secret(key)} if key else {}),
            **({f"{PREFIX}WORKFLOWS": workflow.setting(Starts.HEAVY)} if workflow else {}),
            **(
                {f"{PREFIX}API_ORIGINS": pulumi.Output.all(*self._origins).apply(",".join)}
                if self._origins
                else {}
            ),
        }
        self.function = LambdaFunction(
            name,
            scope,
            component=COMPONENT,
            description="Answers requests for uploads and assets",
            code=Image(uri=config.image, command=ENTRY_POINT),
            architecture=config.intake.architecture,
            memory=chosen.memory,
            timeout=TIMEOUT,
            log_retention_days=chosen.log_retention_days,
            statements=_rights(
                scope,
                buckets=buckets,
                catalog=catalog,
                intake=intake,
                heavy=heavy,
                workflow=workflow,
            ),
            tracing=config.tracing,
            reserved=chosen.reserved_concurrency,
            environment=self.environment,
            opts=self._own,
        )
        self.gateway = apigatewayv2.Api(
            name,
            protocol_type="HTTP",
            description="Uploads and assets",
            cors_configuration=self._cors(),
            tags=self._tags,
            opts=self._own,
        )
        self._route()
        self._stage()
        self.url = self.gateway.api_endpoint
        self.register_outputs({"url": self.url})

    def _cors(self) -> apigatewayv2.ApiCorsConfigurationArgs | None:
        """Answered by the gateway: a preflight request has no token."""
        if not self._origins:
            return None
        return apigatewayv2.ApiCorsConfigurationArgs(
            allow_origins=self._origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", "idempotency-key", trace.NAME],
            expose_headers=["retry-after"],
            max_age=PREFLIGHT_SECONDS,
        )

    def _route(self) -> None:
        name = self._scope.name(COMPONENT)
        authorizer = apigatewayv2.Authorizer(
            name,
            api_id=self.gateway.id,
            authorizer_type="JWT",
            identity_sources=["$request.header.Authorization"],
            jwt_configuration=apigatewayv2.AuthorizerJwtConfigurationArgs(
                issuer=self._sign_in.issuer, audiences=[self._sign_in.audience]
            ),
            opts=self._own,
        )
        integration = apigatewayv2.Integration(
            name,
            api_id=self.gateway.id,
            integration_type="AWS_PROXY",
            integration_uri=self.function.function.invoke_arn,
            payload_format_version="2.0",
            opts=self._own,
        )
        target = pulumi.Output.concat("integrations/", integration.id)
        for what, key in (("health", OPEN[0]), ("document", OPEN[1]), ("all", "$default")):
            closed = key not in OPEN
            apigatewayv2.Route(
                self._scope.name(f"{COMPONENT}-{what}"),
                api_id=self.gateway.id,
                route_key=key,
                target=target,
                authorization_type="JWT" if closed else "NONE",
                authorizer_id=authorizer.id if closed else None,
                opts=self._own,
            )
        lambda_.Permission(
            name,
            action="lambda:InvokeFunction",
            function=self.function.name,
            principal="apigateway.amazonaws.com",
            source_arn=pulumi.Output.concat(self.gateway.execution_arn, "/*"),
            opts=self._own,
        )

    def _stage(self) -> None:
        name = self._scope.name(COMPONENT)
        log_group = cloudwatch.LogGroup(
            self._scope.name(f"{COMPONENT}-access"),
            retention_in_days=self._config.log_retention_days,
            tags=self._tags,
            opts=self._own,
        )
        apigatewayv2.Stage(
            name,
            api_id=self.gateway.id,
            name="$default",
            auto_deploy=True,
            default_route_settings=apigatewayv2.StageDefaultRouteSettingsArgs(
                throttling_rate_limit=self._config.requests_per_second,
                throttling_burst_limit=self._config.burst,
                detailed_metrics_enabled=True,
            ),
            access_log_settings=apigatewayv2.StageAccessLogSettingsArgs(
                destination_arn=log_group.arn, format=json.dumps(LOGGED)
            ),
            tags=self._tags,
            opts=self._own,
        )


def _routes(config: Config) -> Sequence[UploadRoute]:
    """The routes of uploads, the default first."""
    found = [UploadRoute.DIRECT]
    if config.delivery.upload_key:
        found.append(UploadRoute.DISTRIBUTION)
    if config.storage.acceleration:
        found.insert(0 if config.api.accelerated else 1, UploadRoute.ACCELERATED)
    return found


def _rights(
    scope: Scope,
    *,
    buckets: Buckets,
    catalog: CatalogTable,
    intake: Intake,
    heavy: HeavyJobs | None,
    workflow: StateMachines | None,
) -> Sequence[policies.Statement]:
    """Permissions of the routes, and of the tickets that they sign."""
    found = [
        # A ticket permits what its signer may do: an upload, whole or in parts.
        policies.allow(
            ["s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
            [buckets.intake.objects],
        ),
        # Whether an original is there; and removing an asset, with every version of its original.
        policies.allow(["s3:GetObject", "s3:DeleteObjectVersion"], [buckets.intake.objects]),
        policies.allow(["s3:ListBucketVersions"], [buckets.intake.arn]),
        policies.allow(
            ["s3:ListBucket"], [buckets.intake.arn, buckets.delivery.arn, buckets.quarantine.arn]
        ),
        # Addresses of renditions are signed here, too.
        policies.allow(["s3:GetObject", "s3:DeleteObject"], [buckets.delivery.objects]),
        policies.allow(["s3:DeleteObject"], [buckets.quarantine.objects]),
        policies.allow(
            [
                "dynamodb:BatchGetItem",
                "dynamodb:BatchWriteItem",
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
            ],
            [catalog.arn],
        ),
        policies.allow(["dynamodb:Query"], [catalog.index(index) for index in INDEXES]),
        # An asset that is made again is announced again.
        policies.allow(["sqs:SendMessage"], [intake.work.arn]),
    ]
    if workflow is not None:
        found.append(
            policies.allow(["states:StartExecution"], [*workflow.started(Starts.HEAVY).values()])
        )
    if heavy is not None:
        region = aws.get_region().region
        batch = f"arn:aws:batch:{region}:{scope.account}:job"
        found += [
            policies.allow(
                ["batch:SubmitJob"],
                [
                    *heavy.queues.values(),
                    *(one.arn for one in heavy.definitions.values()),
                    f"{batch}/*",
                ],
            ),
            # They know no resources.
            policies.allow(
                [
                    "batch:DescribeJobDefinitions",
                    "batch:DescribeJobQueues",
                    "batch:DescribeJobs",
                    "batch:ListJobs",
                ],
                ["*"],
            ),
            policies.allow(["batch:TerminateJob"], [f"{batch}/*"]),
        ]
    return found
