"""The three buckets: intake (originals), delivery (renditions), quarantine (rejected originals).

Notifications of the intake bucket are ``intake``'s. Nothing here is reachable from outside: the
delivery network gets its own right when it comes.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_aws import s3

from stack import policies
from stack.config import Storage
from stack.scope import Scope

COMPONENT = "storage"
SMALLEST_TIERED = 128 * 1024
"""Bytes. Objects up to this size cost more in colder classes than they save."""

Rule = s3.BucketLifecycleConfigurationRuleArgs
"""Short: every bucket has a few."""


class PrivateBucket(pulumi.ComponentResource):
    """A bucket nobody outside can read: no ACLs, no public policy, TLS only, encrypted."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        *,
        rules: Sequence[Rule],
        versioned: bool,
        force_destroy: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:storage:PrivateBucket", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self.bucket = s3.Bucket(
            name, force_destroy=force_destroy, tags=scope.tags(COMPONENT), opts=own
        )
        block = s3.BucketPublicAccessBlock(
            name,
            bucket=self.bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=own,
        )
        s3.BucketOwnershipControls(
            name,
            bucket=self.bucket.bucket,
            rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=own,
        )
        s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=self.bucket.bucket,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    ),
                )
            ],
            opts=own,
        )
        # S3 refuses two changes of one bucket's access at the same time.
        s3.BucketPolicy(
            name,
            bucket=self.bucket.bucket,
            policy=policies.tls_only(self.bucket.arn),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[block]),
        )
        before_rules: list[pulumi.Resource] = []
        if versioned:
            before_rules.append(
                s3.BucketVersioning(
                    name,
                    bucket=self.bucket.bucket,
                    versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(
                        status="Enabled"
                    ),
                    opts=own,
                )
            )
        # Rules for noncurrent versions are refused as long as the bucket has no versions.
        s3.BucketLifecycleConfiguration(
            name,
            bucket=self.bucket.bucket,
            rules=[_abort_unfinished_uploads(), *rules],
            opts=pulumi.ResourceOptions(parent=self, depends_on=before_rules),
        )
        self.name = self.bucket.bucket
        self.arn = self.bucket.arn
        self.register_outputs({"name": self.name, "arn": self.arn})

    @property
    def objects(self) -> pulumi.Output[str]:
        """The ARN of all objects in it."""
        return pulumi.Output.concat(self.arn, "/*")


class Buckets(pulumi.ComponentResource):
    """Intake, delivery and quarantine."""

    def __init__(
        self,
        name: str,
        scope: Scope,
        config: Storage,
        *,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("safelight:storage:Buckets", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        self.intake = PrivateBucket(
            scope.name("intake"),
            scope,
            rules=_keep_originals(config),
            versioned=True,
            force_destroy=config.force_destroy,
            opts=own,
        )
        # Renditions can always be made again, under keys that are never written twice.
        self.delivery = PrivateBucket(
            scope.name("delivery"),
            scope,
            rules=[],
            versioned=False,
            force_destroy=config.force_destroy,
            opts=own,
        )
        self.quarantine = PrivateBucket(
            scope.name("quarantine"),
            scope,
            rules=[
                Rule(
                    id="expire",
                    status="Enabled",
                    filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(
                        days=config.quarantine_days
                    ),
                )
            ],
            versioned=False,
            force_destroy=config.force_destroy,
            opts=own,
        )
        self.register_outputs({})


def _abort_unfinished_uploads() -> Rule:
    """Parts of an upload that was never completed are paid for and listed nowhere."""
    return Rule(
        id="abort-unfinished-uploads",
        status="Enabled",
        filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
            days_after_initiation=1
        ),
    )


def _keep_originals(config: Storage) -> list[Rule]:
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
