"""A Lambda function with its role, rights and log group. Always the four together."""

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


class Function(pulumi.ComponentResource):
    """A function that may do what its statements say, and write its own log."""

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
        environment: Mapping[str, pulumi.Input[str]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:functions:Function", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        tags = scope.tags(component)
        # Made here and not by the function's first run: with a retention, and gone with the stack.
        log_group = cloudwatch.LogGroup(
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
            [pulumi.Output.concat(log_group.arn, ":*")],
        )
        self.rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document([write_log, *statements]),
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
            environment=lambda_.FunctionEnvironmentArgs(variables=dict(environment))
            if environment
            else None,
            logging_config=lambda_.FunctionLoggingConfigArgs(
                log_format="JSON", log_group=log_group.name
            ),
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.rights]),
        )
        self.name = self.function.name
        self.arn = self.function.arn
        self.register_outputs({"name": self.name, "arn": self.arn})
