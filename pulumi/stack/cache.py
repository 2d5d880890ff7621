"""The cache of hot files: Valkey on ElastiCache Serverless, for the delivery function alone.

It is reached over TLS from a network that has no other way out than to S3 and DynamoDB, by a role
that signs in by IAM: there is no password. The function stands in this network only with this.

A cache with a public endpoint would need no network, but pulumi-aws 7.51 cannot declare one.
"""

from __future__ import annotations

import pulumi
from pulumi_aws import ec2, elasticache

from stack import policies
from stack.config import CacheConfig
from stack.functions import Placement
from stack.network import BLOCK, Network
from stack.scope import Scope
from worker.adapters.cache import PREFIX as KEYS
from worker.settings import PREFIX

COMPONENT = "cache"
ENGINE = "valkey"
MAJOR_VERSION = "8"
PORT = 6379
ZONES = 2
"""ElastiCache Serverless wants subnets in at least two."""
COMMANDS = ("getrange", "set", "del")
"""Those that ``RedisCache`` sends."""
ACCESS = f"on ~{KEYS}* -@all {' '.join(f'+{one}' for one in COMMANDS)}"
"""Permissions of its user (Valkey's access rules): these commands, on Safelight's keys."""


class HotCache(pulumi.ComponentResource):
    """The cache, its network, and what lets a function use it."""

    def __init__(self, scope: Scope, config: CacheConfig) -> None:
        name = scope.name(COMPONENT)
        super().__init__("safelight:cache:HotCache", name)
        own, tags = pulumi.ResourceOptions(parent=self), scope.tags(COMPONENT)
        network = Network(name, scope, component=COMPONENT, zones=ZONES, public=False, opts=own)
        clients = network.group(
            scope.name("cache-clients"),
            "Delivery function: nothing comes in",
            egress=[
                ec2.SecurityGroupEgressArgs(
                    description="S3 and DynamoDB",
                    protocol="tcp",
                    from_port=443,
                    to_port=443,
                    prefix_list_ids=network.stores,
                ),
                ec2.SecurityGroupEgressArgs(
                    description="The cache",
                    protocol="tcp",
                    from_port=PORT,
                    to_port=PORT,
                    cidr_blocks=[BLOCK],
                ),
            ],
        )
        servers = network.group(
            name,
            "Cache: the delivery function comes in",
            ingress=[
                ec2.SecurityGroupIngressArgs(
                    description="From the delivery function",
                    protocol="tcp",
                    from_port=PORT,
                    to_port=PORT,
                    security_groups=[clients.id],
                )
            ],
        )
        # Names that are said here and not made: the function must know them to sign in.
        user = elasticache.User(
            name,
            user_id=name,
            user_name=name,  # for IAM the same as the id
            engine=ENGINE,
            access_string=ACCESS,
            authentication_mode=elasticache.UserAuthenticationModeArgs(type="iam"),
            tags=tags,
            opts=own,
        )
        group = elasticache.UserGroup(
            name, user_group_id=name, engine=ENGINE, user_ids=[user.user_id], tags=tags, opts=own
        )
        cache = elasticache.ServerlessCache(
            name,
            name=name,
            description="Hot files of delivery",
            engine=ENGINE,
            major_engine_version=MAJOR_VERSION,
            cache_usage_limits=elasticache.ServerlessCacheCacheUsageLimitsArgs(
                data_storage=elasticache.ServerlessCacheCacheUsageLimitsDataStorageArgs(
                    maximum=config.gigabytes, unit="GB"
                ),
                ecpu_per_seconds=[
                    elasticache.ServerlessCacheCacheUsageLimitsEcpuPerSecondArgs(
                        maximum=config.ecpus_per_second
                    )
                ],
            ),
            snapshot_retention_limit=0,  # everything in it can be made again
            security_group_ids=[servers.id],
            subnet_ids=network.subnets,
            user_group_id=group.user_group_id,
            tags=tags,
            opts=own,
        )
        host = cache.endpoints.apply(lambda found: found[0].address)
        self.environment: dict[str, pulumi.Input[str]] = {
            f"{PREFIX}REDIS_URL": pulumi.Output.concat(f"rediss://{name}@", host, f":{PORT}/0"),
            f"{PREFIX}REDIS_IAM": name,
        }
        """Variables of a function that uses it."""
        self.statement = policies.allow(["elasticache:Connect"], [cache.arn, user.arn])
        """The right that such a function needs."""
        self.placement = Placement(subnets=network.subnets, groups=[clients.id])
        """Where it must stand."""
        self.register_outputs({})
