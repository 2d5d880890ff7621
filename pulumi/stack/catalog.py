"""The catalog's table, from the same data as the adapter that reads and writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_aws import dynamodb, lambda_

from stack import policies
from stack.config import Capacity, CatalogConfig
from stack.functions import LambdaFunction
from stack.scaling import follow_load
from stack.scope import Scope
from worker.adapters.aws.dynamodb import schema
from worker.adapters.aws.dynamodb.stream import FILTERS

COMPONENT = "catalog"
FOLLOWED = (
    "readCapacity",
    "writeCapacity",
    "globalSecondaryIndexes[*].readCapacity",
    "globalSecondaryIndexes[*].writeCapacity",
)
"""Properties that auto scaling changes between deployments."""
MOST_AGE = 6 * 3600
"""Seconds that a change is tried for. The stream keeps it for 18 hours more, in which a person can
have it read again by what a dead letter says. The ledger then leaves it out, and it alone."""


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
            # The filters and the stream of the outbox.
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

    def stream_rights(self) -> Sequence[policies.Statement]:
        """Permissions of a function's role for Lambda to read the stream."""
        return [
            policies.allow(
                ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"],
                [pulumi.Output.concat(self.arn, "/stream/*")],
            ),
            policies.allow(["dynamodb:ListStreams"], ["*"]),  # knows no resources
        ]

    def feed(
        self,
        function: LambdaFunction,
        name: str,
        *,
        tags: Mapping[str, str],
        parent: pulumi.Resource,
        **more: Any,
    ) -> None:
        """Let Lambda call a function with the changes of the table.

        Args:
            function: its role has ``stream_rights``.
            name: of the event source.
            tags: of the event source.
            parent: of the event source.
            more: its further arguments, the size of a batch among them.
        """
        lambda_.EventSourceMapping(
            name,
            event_source_arn=self.stream,
            function_name=function.arn,
            # From the first change of a new table on; and of one that is there, of the last day.
            starting_position="TRIM_HORIZON",
            filter_criteria=lambda_.EventSourceMappingFilterCriteriaArgs(
                filters=[
                    lambda_.EventSourceMappingFilterCriteriaFilterArgs(
                        pattern=json.dumps(one, sort_keys=True)
                    )
                    for one in FILTERS
                ]
            ),
            function_response_types=["ReportBatchItemFailures"],
            # A call that dies is tried again with half of its changes, down to the one it dies of.
            bisect_batch_on_function_error=True,
            maximum_record_age_in_seconds=MOST_AGE,
            maximum_retry_attempts=-1,
            tags=dict(tags),
            # Lambda tries the role on what it needs when the mapping is made.
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[function.rights]),
            **more,
        )
