"""The catalog's table, from the same data as the adapter that reads and writes it."""

from __future__ import annotations

import pulumi
from pulumi_aws import dynamodb

from stack.config import Capacity, CatalogConfig
from stack.scaling import follow_load
from stack.scope import Scope
from worker.adapters.aws.dynamodb import schema

COMPONENT = "catalog"
FOLLOWED = (
    "readCapacity",
    "writeCapacity",
    "globalSecondaryIndexes[*].readCapacity",
    "globalSecondaryIndexes[*].writeCapacity",
)
"""What auto scaling changes between deployments."""


class CatalogTable(pulumi.ComponentResource):
    """One table with its indexes."""

    def __init__(
        self,
        scope: Scope,
        config: CatalogConfig,
    ) -> None:
        super().__init__("safelight:catalog:CatalogTable", scope.name(COMPONENT))
        provisioned = config.capacity is Capacity.PROVISIONED
        reads = config.minimum_reads if provisioned else None
        writes = config.minimum_writes if provisioned else None
        self.table = dynamodb.Table(
            scope.name("catalog"),
            billing_mode="PROVISIONED" if provisioned else schema.BILLING_MODE,
            read_capacity=reads,
            write_capacity=writes,
            hash_key=schema.PARTITION_KEY,
            range_key=schema.SORT_KEY,
            attributes=[
                dynamodb.TableAttributeArgs(name=attribute, type="S")
                for attribute in schema.ATTRIBUTES
            ],
            global_secondary_indexes=[
                dynamodb.TableGlobalSecondaryIndexArgs(
                    name=index,
                    key_schemas=[
                        dynamodb.TableGlobalSecondaryIndexKeySchemaArgs(
                            attribute_name=attribute, key_type=key_type
                        )
                        for attribute, key_type in zip(
                            schema.index_keys(index), ("HASH", "RANGE"), strict=True
                        )
                    ],
                    projection_type=schema.INDEX_PROJECTION,
                    read_capacity=reads,
                    write_capacity=writes,
                )
                for index in schema.INDEXES
            ],
            ttl=dynamodb.TableTtlArgs(enabled=True, attribute_name=schema.TTL_ATTRIBUTE),
            point_in_time_recovery=dynamodb.TablePointInTimeRecoveryArgs(
                enabled=config.point_in_time_recovery
            ),
            # Encrypted with a key that AWS owns, as every table is; a KMS key would cost a request
            # fee for nothing that IAM does not already keep.
            # What the outbox tells others of, and all that it knows.
            stream_enabled=True,
            stream_view_type="NEW_AND_OLD_IMAGES",
            deletion_protection_enabled=config.deletion_protection,
            tags=scope.tags(COMPONENT),
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=list(FOLLOWED) if provisioned else None
            ),
        )
        self.name = self.table.name
        self.arn = self.table.arn
        self.stream = self.table.stream_arn
        """ARN of the stream of changes."""
        if provisioned:
            follow_load(self.table, schema.INDEXES, scope, config, component=COMPONENT, parent=self)
        if config.contributor_insights:
            self._insights(scope)
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _insights(self, scope: Scope) -> None:
        """Of throttled keys alone: they are few, and only then do operators ask which."""
        for index in (None, *schema.INDEXES):
            what = "table" if index is None else index.lower()
            dynamodb.ContributorInsights(
                scope.name(f"catalog-{what}"),
                table_name=self.name,
                index_name=index,
                mode="THROTTLED_KEYS",
                opts=pulumi.ResourceOptions(parent=self),
            )

    def index(self, index: str) -> pulumi.Output[str]:
        """The ARN of one index."""
        return pulumi.Output.concat(self.arn, "/index/", index)
