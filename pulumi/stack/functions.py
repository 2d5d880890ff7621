"""A Lambda function with its role, rights and log group. Always the four together.

Failures of a function that is invoked asynchronously go to a queue, which is part of it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, iam, lambda_

from stack import policies
from stack.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Code in a container image that holds every entry point."""

    uri: str
    command: str
    """``package.module.function``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zipped:
    """A few files of plain Python, without libraries."""

    files: Mapping[str, pulumi.Asset]
    handler: str
    """``module.function``."""
    runtime: str = "python3.13"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unattended:
    """Handling of asynchronous invocations."""

    failures: pulumi.Input[str]
    """ARN of the queue for those that failed; a standard one, Lambda knows no others here."""
    retries: int
    """How often Lambda itself tries again, at most twice: after one and after two minutes."""

    def __post_init__(self) -> None:
        if not 0 <= self.retries <= 2:
            raise ValueError(f"Lambda tries again at most twice, not {self.retries} times")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A network for a function. It reaches only what that network leads to."""

    subnets: Sequence[pulumi.Input[str]]
    groups: Sequence[pulumi.Input[str]]
    """Security groups."""


INTERFACES = (
    *("ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    *("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses"),
)
"""Permissions that Lambda needs to place a function in a network (AWS Lambda Developer Guide,
"Giving Lambda functions access to resources in an Amazon VPC")."""
EVENT_SECONDS = 6 * 3600
"""Longest that Lambda keeps such an event (API reference, PutFunctionEventInvokeConfig)."""


class LambdaFunction(pulumi.ComponentResource):
    """A function that may do what its statements say, and write its own log.

    Args:
        name: of the component and of each resource in it.
        scope: names and tags.
        component: for the tags.
        description: what it does, for people.
        code: what it runs.
        architecture: ``arm64`` or ``x86_64``.
        memory: megabytes.
        timeout: seconds.
        log_retention_days: of its log group.
        statements: what it may do.
        tracing: percent of its traces that it sends; 0 for none. Our own code does it, so it is of
            no effect on plain files, and in a network: nothing there leads to X-Ray.
        log_format: of what Lambda itself logs: ``JSON`` or ``Text``.
        reserved: how many instances are kept for it and are its most; 0 for none.
        snap_start: each published version starts from a snapshot of its memory.
        unattended: None for a function that is always waited for.
        environment: its variables.
        placement: its network; None for none.
        opts: of the component.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        component: str,
        description: str,
        code: Image | Zipped,
        architecture: str,
        memory: int,
        timeout: int,
        log_retention_days: int,
        statements: Sequence[policies.Statement],
        tracing: float = 0.0,
        log_format: str = "JSON",
        reserved: int = 0,
        snap_start: bool = False,
        unattended: Unattended | None = None,
        environment: Mapping[str, pulumi.Input[str]] | None = None,
        placement: Placement | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:functions:LambdaFunction", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(component)
        # Made here and not by the function's first run: with a retention, and gone with the stack.
        self.log_group = cloudwatch.LogGroup(
            name, retention_in_days=log_retention_days, tags=tags, opts=own
        )
        role = iam.Role(
            name,
            description=f"{description}: what it may do",
            assume_role_policy=policies.trust("lambda.amazonaws.com"),
            tags=tags,
            opts=own,
        )
        write_log = policies.allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [pulumi.Output.concat(self.log_group.arn, ":*")],
        )
        traces = tracing > 0 and isinstance(code, Image) and placement is None
        further = [policies.trace()] if traces else []
        variables = {
            **(environment or {}),
            **(policies.trace_environment(tracing) if traces else {}),
        }
        if unattended is not None:
            further.append(policies.allow(["sqs:SendMessage"], [unattended.failures]))
        if placement is not None:
            further += _placing(name, scope.account)
        self.rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document([write_log, *further, *statements]),
            opts=own,
        )
        """Wait for this before anything that makes AWS check the role."""
        image = code if isinstance(code, Image) else None
        zipped = code if isinstance(code, Zipped) else None
        self.function = lambda_.Function(
            name,
            description=description,
            role=role.arn,
            package_type="Image" if image else "Zip",
            image_uri=image.uri if image else None,
            image_config=lambda_.FunctionImageConfigArgs(commands=[image.command])
            if image
            else None,
            code=pulumi.AssetArchive(dict(zipped.files)) if zipped else None,
            handler=zipped.handler if zipped else None,
            runtime=zipped.runtime if zipped else None,
            architectures=[architecture],
            memory_size=memory,
            timeout=timeout,
            reserved_concurrent_executions=reserved or None,
            publish=True if snap_start else None,
            snap_start=lambda_.FunctionSnapStartArgs(apply_on="PublishedVersions")
            if snap_start
            else None,
            environment=lambda_.FunctionEnvironmentArgs(variables=variables) if variables else None,
            logging_config=lambda_.FunctionLoggingConfigArgs(
                log_format=log_format, log_group=self.log_group.name
            ),
            vpc_config=lambda_.FunctionVpcConfigArgs(
                subnet_ids=list(placement.subnets), security_group_ids=list(placement.groups)
            )
            if placement
            else None,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.rights]),
        )
        if unattended is not None:
            lambda_.FunctionEventInvokeConfig(
                name,
                function_name=self.function.name,
                maximum_retry_attempts=unattended.retries,
                maximum_event_age_in_seconds=EVENT_SECONDS,
                destination_config=lambda_.FunctionEventInvokeConfigDestinationConfigArgs(
                    on_failure=lambda_.FunctionEventInvokeConfigDestinationConfigOnFailureArgs(
                        destination=unattended.failures
                    )
                ),
                # Lambda tries the role on the queue.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[self.rights]),
            )
        self.name = self.function.name
        self.arn = self.function.arn
        self.register_outputs({"name": self.name, "arn": self.arn})


def _placing(name: str, account: str) -> list[policies.Statement]:
    """Let Lambda place a function in a network, and not the function's own code (the same page)."""
    code = f"arn:aws:lambda:*:{account}:function:{name}-*"
    allowed = policies.allow(INTERFACES, ["*"])
    condition = {"ArnLike": {"lambda:SourceFunctionArn": code}}
    return [allowed, {**allowed, "Effect": "Deny", "Condition": condition}]
