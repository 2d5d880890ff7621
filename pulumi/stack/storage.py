"""The three buckets: intake (originals), delivery (renditions), quarantine (rejected originals).

A fourth for access logs, and a copy of the originals elsewhere, where they are asked for.
Notifications of the intake bucket are ``intake``'s. The buckets are reachable from outside only by
signed requests; the distribution (``delivery``) signs its requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_aws import iam, s3

from stack import policies
from stack.bucket import COMPONENT, PrivateBucket, Rule, expire
from stack.config import StorageConfig
from stack.scope import Scope
from worker.domain.asset import SUPERSEDED

SMALLEST_TIERED = 128 * 1024
"""Bytes. Objects up to this size cost more in colder classes than they save."""
PREFLIGHT_SECONDS = 3600
"""A browser asks again after so long whether it may upload."""


class Buckets(pulumi.ComponentResource):
    """Intake, delivery and quarantine."""

    def __init__(
        self,
        scope: Scope,
        config: StorageConfig,
    ) -> None:
        super().__init__("safelight:storage:Buckets", scope.name(COMPONENT))
        self._scope = scope
        self._config = config
        self._own = pulumi.ResourceOptions(parent=self)
        self.intake = self._bucket("intake", _keep_originals(config), versioned=True)
        # Renditions can always be made again, under keys that are never written twice.
        self.delivery = self._bucket(
            "delivery",
            [
                _expire_superseded(config.superseded_days),
                *([expire(config.rendition_days)] if config.rendition_days else []),
            ],
        )
        self.quarantine = self._bucket("quarantine", [expire(config.quarantine_days)])
        if config.acceleration:
            s3.BucketAccelerateConfiguration(
                scope.name("intake"), bucket=self.intake.name, status="Enabled", opts=self._own
            )
        if config.access_logs:
            self._log_access()
        if config.replicate_to:
            self._replicate()
        self.register_outputs({})

    def restrict(self, others: Mapping[str, Sequence[policies.Statement]]) -> None:
        """Give each bucket its policy. Call this once, when all statements for others are known.

        Args:
            others: policy statements, by the bucket's name here.
        """
        three = {"intake": self.intake, "delivery": self.delivery, "quarantine": self.quarantine}
        for name, bucket in three.items():
            bucket.restrict(others.get(name, ()))

    def _bucket(
        self,
        what: str,
        rules: Sequence[Rule],
        *,
        versioned: bool = False,
    ) -> PrivateBucket:
        return PrivateBucket(
            self._scope.name(what),
            self._scope,
            rules=rules,
            versioned=versioned,
            force_destroy=self._config.force_destroy,
            opts=self._own,
        )

    def let_browsers_upload(self, pages: Sequence[pulumi.Input[str]]) -> None:
        """By the forms and addresses that were signed for them: this alone permits nothing.

        Args:
            pages: origins beside those of the configuration.
        """
        origins: list[pulumi.Input[str]] = list(self._config.browser_origins)
        if "*" not in origins:
            origins += pages
        if origins:
            s3.BucketCorsConfiguration(
                self._scope.name("intake"),
                bucket=self.intake.name,
                cors_rules=[
                    s3.BucketCorsConfigurationCorsRuleArgs(
                        id="uploads",
                        # A form; a file or a part; listing and aborting parts by signed addresses.
                        allowed_methods=["POST", "PUT", "GET", "DELETE"],
                        allowed_origins=origins,
                        # If-None-Match makes a ticket one for one use.
                        allowed_headers=["content-type", "content-md5", "if-none-match", "x-amz-*"],
                        # Of each part: without it a browser cannot tell that an upload is complete.
                        expose_headers=["ETag"],
                        max_age_seconds=PREFLIGHT_SECONDS,
                    )
                ],
                opts=self._own,
            )

    def _log_access(self) -> None:
        watched = {"intake": self.intake, "delivery": self.delivery, "quarantine": self.quarantine}
        logs = self._bucket(
            "access-logs",
            [expire(self._config.access_log_days)],
        )
        sources = [bucket.arn for bucket in watched.values()]
        restricted = logs.restrict(
            [policies.access_logs(logs.objects, sources, account=self._scope.account)]
        )
        for what, bucket in watched.items():
            s3.BucketLogging(
                self._scope.name(what),
                bucket=bucket.name,
                target_bucket=logs.name,
                target_prefix=f"{what}/",
                # S3 looks whether it may write when the logs are switched on.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[restricted]),
            )

    def _replicate(self) -> None:
        """Every original, once. A deletion here is not replicated."""
        name, target = self._scope.name("replicate"), self._config.replicate_to
        role = iam.Role(
            name,
            description="Copies originals to the bucket that the configuration names",
            # S3 does not say on whose behalf when it replicates.
            assume_role_policy=policies.trust("s3.amazonaws.com"),
            tags=self._scope.tags(COMPONENT),
            opts=self._own,
        )
        rights = iam.RolePolicy(
            name,
            role=role.name,
            policy=policies.document(
                [
                    policies.allow(
                        ["s3:GetReplicationConfiguration", "s3:ListBucket"], [self.intake.arn]
                    ),
                    policies.allow(
                        [
                            "s3:GetObjectVersionForReplication",
                            "s3:GetObjectVersionAcl",
                            "s3:GetObjectVersionTagging",
                        ],
                        [self.intake.objects],
                    ),
                    policies.allow(["s3:ReplicateObject", "s3:ReplicateTags"], [f"{target}/*"]),
                ]
            ),
            opts=self._own,
        )
        assert self.intake.versioning is not None
        s3.BucketReplicationConfig(
            self._scope.name("intake"),
            bucket=self.intake.name,
            role=role.arn,
            rules=[
                s3.BucketReplicationConfigRuleArgs(
                    id="originals",
                    status="Enabled",
                    priority=1,
                    filter=s3.BucketReplicationConfigRuleFilterArgs(prefix=""),
                    delete_marker_replication=s3.BucketReplicationConfigRuleDeleteMarkerReplicationArgs(
                        status="Disabled"
                    ),
                    destination=s3.BucketReplicationConfigRuleDestinationArgs(
                        bucket=target, storage_class="INTELLIGENT_TIERING"
                    ),
                )
            ],
            # Refused as long as the bucket has no versions.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[rights, self.intake.versioning]),
        )


def _expire_superseded(days: int) -> Rule:
    """Deletes what ingest has tagged. The tag comes with a new write, from which the age counts."""
    ((key, value),) = SUPERSEDED.items()
    return Rule(
        id="superseded",
        status="Enabled",
        filter=s3.BucketLifecycleConfigurationRuleFilterArgs(
            tag=s3.BucketLifecycleConfigurationRuleFilterTagArgs(key=key, value=value)
        ),
        expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
    )


def _keep_originals(config: StorageConfig) -> list[Rule]:
    return [
        Rule(
            id="tier",
            status="Enabled",
            filter=s3.BucketLifecycleConfigurationRuleFilterArgs(
                object_size_greater_than=SMALLEST_TIERED
            ),
            transitions=[
                s3.BucketLifecycleConfigurationRuleTransitionArgs(
                    days=0, storage_class="INTELLIGENT_TIERING"
                ),
                s3.BucketLifecycleConfigurationRuleTransitionArgs(
                    days=config.glacier_after_days, storage_class="GLACIER_IR"
                ),
            ],
        ),
        Rule(
            id="forget-replaced",
            status="Enabled",
            filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=config.noncurrent_days
            ),
            # The marker of a deleted object goes with its last version.
            expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(
                expired_object_delete_marker=True
            ),
        ),
    ]
