"""Heavy work: a job definition for each kind in ``batch.catalogue``, on machines of our own.

The catalogue has the needs of each kind (processors, memory, time, attempts); this module turns
them into job definitions. The machines are ``compute_environments``'s, what starts jobs is
``workflow``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi_aws import batch, cloudwatch, iam

from batch.catalogue import KINDS, RETRY, JobKind
from stack import policies
from stack.catalog import CatalogTable
from stack.compute_environments import ComputeEnvironments
from stack.config import Config
from stack.intake import Intake
from stack.network import Network
from stack.scope import Scope
from stack.storage import Buckets

COMPONENT = "heavy"
SCRATCH = "/scratch"
SMALL_VIRTUAL_DISK = 64
"""MiB of shared memory and of /tmp, all a job has beside its scratch folder."""


class HeavyJobs(pulumi.ComponentResource):
    """Job definitions with their role and log, queues and machines."""

    def __init__(
        self,
        scope: Scope,
        config: Config,
        *,
        buckets: Buckets,
        catalog: CatalogTable,
        intake: Intake,
    ) -> None:
        super().__init__("safelight:heavy:HeavyJobs", scope.name(COMPONENT))
        self._scope = scope
        self._config = config
        self._tags = scope.tags(COMPONENT)
        self._own = pulumi.ResourceOptions(parent=self)
        network = Network(
            scope.name("heavy"),
            scope,
            component=COMPONENT,
            zones=config.heavy.zones,
            public=not config.heavy.private_network,
            opts=self._own,
        )
        self.log_group = cloudwatch.LogGroup(
            scope.name("jobs"),
            retention_in_days=config.heavy.log_retention_days,
            tags=self._tags,
            opts=self._own,
        )
        machines = ComputeEnvironments(
            scope.name("compute-environments"),
            scope,
            config.heavy,
            network,
            image=config.batch_image,
            log_group=self.log_group,
            opts=self._own,
        )
        self.queues = machines.queues
        self._region = aws.get_region().region
        traces = policies.trace_environment(config.tracing) if config.tracing else {}
        self._environment = {**intake.environment, **traces}
        self._role = self._job_role(buckets, catalog)
        self.definitions = {kind.name: self._definition(kind) for kind in KINDS.values()}
        """Name and revision of each kind's definition, by the kind's name."""
        self.register_outputs({})

    def _job_role(self, buckets: Buckets, catalog: CatalogTable) -> iam.Role:
        name = self._scope.name("job")
        role = iam.Role(
            name,
            description="What a job may do",
            assume_role_policy=policies.trust(
                "ecs-tasks.amazonaws.com", account=self._scope.account
            ),
            tags=self._tags,
            opts=self._own,
        )
        iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document(
                [*_rights(buckets, catalog), *([policies.trace()] if self._config.tracing else ())]
            ),
            opts=self._own,
        )
        return role

    def _definition(self, kind: JobKind) -> batch.JobDefinition:
        properties = pulumi.Output.json_dumps(
            {
                "image": self._config.batch_image,
                "command": list(kind.command),
                "jobRoleArn": self._role.arn,
                "resourceRequirements": [
                    {"type": "VCPU", "value": f"{kind.vcpus:g}"},
                    {"type": "MEMORY", "value": str(kind.memory_mib)},
                ],
                "environment": [
                    {"name": name, "value": value}
                    for name, value in sorted({**self._environment, "TMPDIR": SCRATCH}.items())
                ],
                "readonlyRootFilesystem": True,
                "privileged": False,
                "linuxParameters": {
                    "initProcessEnabled": False,  # process 1 is ours: it passes SIGTERM on
                    "sharedMemorySize": SMALL_VIRTUAL_DISK,
                    "tmpfs": [
                        {
                            "containerPath": "/tmp",  # noqa: S108 - of the container
                            "size": SMALL_VIRTUAL_DISK,
                            "mountOptions": ["rw", "nosuid", "nodev", "noexec", "mode=1777"],
                        }
                    ],
                },
                # Without a host path the container's agent makes an empty volume a job and
                # deletes it afterwards. It has the owner and the mode of the image's folder.
                "volumes": [{"name": "scratch"}],
                "mountPoints": [
                    {"sourceVolume": "scratch", "containerPath": SCRATCH, "readOnly": False}
                ],
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {
                        "awslogs-group": self.log_group.name,
                        "awslogs-region": self._region,
                        "awslogs-stream-prefix": kind.name,
                    },
                },
            }
        )
        return batch.JobDefinition(
            self._scope.name(kind.name),
            type="container",
            platform_capabilities=["EC2"],
            container_properties=properties,
            retry_strategy=batch.JobDefinitionRetryStrategyArgs(
                attempts=kind.attempts,
                evaluate_on_exits=[
                    batch.JobDefinitionRetryStrategyEvaluateOnExitArgs(
                        action=rule.action,
                        on_status_reason=rule.status_reason,
                        on_exit_code=rule.exit_code,
                    )
                    for rule in RETRY
                ],
            ),
            timeout=batch.JobDefinitionTimeoutArgs(attempt_duration_seconds=kind.timeout_seconds),
            scheduling_priority=0,
            propagate_tags=True,
            tags={**self._tags, "Kind": kind.name},
            opts=self._own,
        )


def _rights(buckets: Buckets, catalog: CatalogTable) -> Sequence[Mapping[str, Any]]:
    """Permissions of a job: read originals, write results and checkpoints, report progress."""
    return [
        # The object that lies there when the job runs, not a version of it.
        policies.allow(["s3:GetObject"], [buckets.intake.objects]),
        policies.allow(["s3:ListBucket"], [buckets.intake.arn, buckets.delivery.arn]),
        policies.allow(
            [
                "s3:GetObject",
                "s3:PutObject",
                "s3:PutObjectTagging",  # of what waits for a person
                "s3:DeleteObject",  # checkpoints, once the result is complete
                "s3:AbortMultipartUpload",
            ],
            [buckets.delivery.objects],
        ),
        # Its own record among the asset's jobs: whether there is one, and how far it is.
        policies.allow(["dynamodb:Query", "dynamodb:PutItem"], [catalog.arn]),
    ]
