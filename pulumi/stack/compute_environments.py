"""Machines for heavy work: compute environments and the queues in front of them.

``baseline`` on-demand machines that always run (none unless asked for), ``spot`` for nearly
everything, ``overflow`` on-demand machines for when Spot has none. Three is the most that Batch
takes for a queue, and all of a queue are of one architecture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi_aws import batch, cloudwatch, ec2, iam

from stack import policies, registry
from stack.config import HeavyConfig
from stack.network import Network
from stack.scope import Scope

COMPONENT = "heavy"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "arm64": ("c6g", "c7g", "c8g", "m6g", "m7g", "m8g"),
    "x86_64": ("c6i", "c6a", "c7i", "c7a", "m6i", "m6a", "m7i", "m7a"),
}
"""Two to four gigabytes a processor, as jobs ask for; several, because each is a Spot market."""
SIZES = ("xlarge", "2xlarge", "4xlarge")
"""4 to 16 processors: small enough to be filled, large enough for the largest job."""
IMAGE_TYPES: Mapping[str, str] = {"arm64": "ECS_AL2023", "x86_64": "ECS_AL2023"}

QUEUES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    # Priority, then environments in the order they are tried.
    "urgent": (100, ("baseline", "spot", "overflow")),
    "standard": (50, ("baseline", "spot", "overflow")),
    "bulk": (1, ("spot",)),  # reprocessing can wait for the cheap machines
}
SHARE_DECAY = 3600
"""Seconds: who used the machines an hour ago has paid for it by now."""


class ComputeEnvironments(pulumi.ComponentResource):
    """Compute environments and job queues."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        config: HeavyConfig,
        network: Network,
        *,
        image: str,
        log_group: cloudwatch.LogGroup,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:compute_environments:ComputeEnvironments", name, None, opts)
        self._scope = scope
        self._config = config
        self._network = network
        self._group = network.for_machines(private=config.private_network)
        self._own = pulumi.ResourceOptions(parent=self)
        self._tags = scope.tags(COMPONENT)
        profile = self._profile(image, log_group)
        template = self._template()
        sizes = {
            "baseline": ("EC2", (config.baseline_vcpus, config.baseline_vcpus)),
            "spot": ("SPOT", (0, config.spot_vcpus)),
            "overflow": ("EC2", (0, config.overflow_vcpus)),
        }
        environments = {
            what: self._environment(what, market, vcpus, profile, template)
            for what, (market, vcpus) in sizes.items()
            if vcpus[1]
        }
        self.queues = self._queues(environments)
        """ARN of each queue, by name."""
        self.register_outputs({})

    def _profile(self, image: str, log_group: cloudwatch.LogGroup) -> iam.InstanceProfile:
        name = self._scope.name("machine")
        role = iam.Role(
            name,
            description="Machines for heavy work: join the cluster, pull images, write logs",
            assume_role_policy=policies.trust("ec2.amazonaws.com"),
            tags=self._tags,
            opts=self._own,
        )
        rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document(self._rights(image, log_group)),
            opts=self._own,
        )
        return iam.InstanceProfile(
            name,
            role=role.name,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights]),
        )

    def _rights(self, image: str, log_group: cloudwatch.LogGroup) -> Sequence[policies.Statement]:
        """Permissions of the container agent (AmazonEC2ContainerServiceforEC2Role), limited to this
        stack's resources.

        Batch makes a cluster for each compute environment and puts the environment's name into
        the cluster's; which actions know what is in the Service Authorization Reference. Jobs have
        a role of their own.
        """
        ecs = f"arn:aws:ecs:{aws.get_region().region}:{self._scope.account}"
        ours = f"*{self._scope.name('*')}"
        pulled = registry.repository_of(image)
        return [
            policies.allow(
                [
                    "ecs:RegisterContainerInstance",
                    "ecs:DeregisterContainerInstance",
                    "ecs:SubmitAttachmentStateChanges",
                    "ecs:SubmitContainerStateChange",
                    "ecs:SubmitTaskStateChange",
                ],
                [f"{ecs}:cluster/{ours}"],
            ),
            policies.allow(
                ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"],
                [f"{ecs}:container-instance/{ours}"],
            ),
            # Tags come with the registration or not at all.
            policies.allow(
                ["ecs:TagResource"],
                [f"{ecs}:container-instance/{ours}"],
                conditions={"StringEquals": {"ecs:CreateAction": "RegisterContainerInstance"}},
            ),
            policies.allow(["ecs:DiscoverPollEndpoint"], ["*"]),  # knows no resources
            policies.allow(
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [pulumi.Output.concat(log_group.arn, ":*")],
            ),
            *([] if pulled is None else registry.may_pull(pulled)),
        ]

    def _template(self) -> ec2.LaunchTemplate:
        return ec2.LaunchTemplate(
            self._scope.name("machine"),
            update_default_version=True,
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=self._config.scratch_gib,
                        volume_type="gp3",
                        throughput=250,
                        encrypted="true",
                        delete_on_termination="true",
                    ),
                )
            ],
            # No hop further: a job gets its rights from the agent, never the machine's.
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_tokens="required", http_put_response_hop_limit=1, http_endpoint="enabled"
            ),
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=self._tags)
                for kind in ("instance", "volume")
            ],
            tags=self._tags,
            opts=self._own,
        )

    def _environment(
        self,
        what: str,
        market: str,
        vcpus: tuple[int, int],
        profile: iam.InstanceProfile,
        template: ec2.LaunchTemplate,
    ) -> batch.ComputeEnvironment:
        architecture = self._config.architecture
        spot = market == "SPOT"
        return batch.ComputeEnvironment(
            self._scope.name(what),
            type="MANAGED",
            compute_resources=batch.ComputeEnvironmentComputeResourcesArgs(
                type=market,
                # Deep markets first, then cheap ones: a reclaim costs a segment and a new start.
                allocation_strategy="SPOT_PRICE_CAPACITY_OPTIMIZED"
                if spot
                else "BEST_FIT_PROGRESSIVE",
                min_vcpus=vcpus[0],
                max_vcpus=vcpus[1],
                instance_types=[
                    f"{family}.{size}" for family in FAMILIES[architecture] for size in SIZES
                ],
                ec2_configurations=[
                    batch.ComputeEnvironmentComputeResourcesEc2ConfigurationArgs(
                        image_type=IMAGE_TYPES[architecture]
                    )
                ],
                instance_role=profile.arn,
                launch_template=batch.ComputeEnvironmentComputeResourcesLaunchTemplateArgs(
                    launch_template_id=template.id, version="$Latest"
                ),
                subnets=self._network.subnets,
                security_group_ids=[self._group.id],
                tags=self._tags,
            ),
            tags=self._tags,
            # A new one comes first; Batch lets go of the old one once no queue has it.
            opts=self._own,
        )

    def _queues(
        self, environments: Mapping[str, batch.ComputeEnvironment]
    ) -> Mapping[str, pulumi.Output[str]]:
        fair = batch.SchedulingPolicy(
            self._scope.name("fair"),
            fair_share_policy=batch.SchedulingPolicyFairSharePolicyArgs(
                share_decay_seconds=SHARE_DECAY, compute_reservation=10
            ),
            tags=self._tags,
            opts=self._own,
        )
        stuck = [
            batch.JobQueueJobStateTimeLimitActionArgs(
                action="CANCEL",
                state="RUNNABLE",
                reason=reason,
                max_time_seconds=60 * self._config.stuck_minutes,
            )
            # Reasons that no waiting mends (API reference, JobStateTimeLimitAction).
            for reason in (
                "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
                "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
            )
        ]
        found = {}
        for name, (priority, wanted) in QUEUES.items():
            there = [environments[what] for what in wanted if what in environments]
            found[name] = batch.JobQueue(
                self._scope.name(name),
                state="ENABLED",
                priority=priority,
                scheduling_policy_arn=fair.arn,
                compute_environment_orders=[
                    batch.JobQueueComputeEnvironmentOrderArgs(
                        order=number, compute_environment=one.arn
                    )
                    for number, one in enumerate(there, start=1)
                ],
                job_state_time_limit_actions=stuck,
                tags=self._tags,
                opts=self._own,
            ).arn
        return found
