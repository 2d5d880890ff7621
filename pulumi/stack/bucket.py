"""A private bucket: no public access, encryption and TLS, always together."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_aws import s3

from stack import policies
from stack.scope import Scope

COMPONENT = "storage"

Rule = s3.BucketLifecycleConfigurationRuleArgs
"""Short: every bucket has a few."""


class PrivateBucket(pulumi.ComponentResource):
    """A bucket with no ACLs, no public policy, TLS only, encrypted.

    Args:
        name: of the component and of each resource in it.
        scope: names and tags.
        rules: of its lifecycle, beside the one for unfinished uploads.
        versioned: whether what is replaced or deleted stays for a while.
        force_destroy: whether it may be deleted with what is in it.
        opts: of the component.
    """

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
        self.name = self.bucket.bucket
        self.arn = self.bucket.arn
        self._name = name
        self._block = s3.BucketPublicAccessBlock(
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
        self.versioning: s3.BucketVersioning | None = None
        before_rules: list[pulumi.Resource] = []
        if versioned:
            self.versioning = s3.BucketVersioning(
                name,
                bucket=self.bucket.bucket,
                versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(
                    status="Enabled"
                ),
                opts=own,
            )
            before_rules.append(self.versioning)
        # Rules for noncurrent versions are refused as long as the bucket has no versions.
        s3.BucketLifecycleConfiguration(
            name,
            bucket=self.bucket.bucket,
            rules=[_abort_unfinished_uploads(), *rules],
            opts=pulumi.ResourceOptions(parent=self, depends_on=before_rules),
        )
        self.register_outputs({"name": self.name, "arn": self.arn})

    def restrict(self, others: Sequence[policies.Statement] = ()) -> s3.BucketPolicy:
        """Refuse all that is not TLS. Call this once for each bucket, when all other statements of
        its policy are known.

        Args:
            others: those statements.
        """
        return s3.BucketPolicy(
            self._name,
            bucket=self.bucket.bucket,
            policy=policies.private(self.arn, also=others),
            # S3 refuses two changes of one bucket's access at the same time.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self._block]),
        )

    @property
    def objects(self) -> pulumi.Output[str]:
        """The ARN of all objects in it."""
        return pulumi.Output.concat(self.arn, "/*")


def expire(days: int) -> Rule:
    """Everything goes so many days after it came."""
    return Rule(
        id="expire",
        status="Enabled",
        filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
    )


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
