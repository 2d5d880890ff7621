"""The cache of hot files: its network, its user, and the function that uses it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pulumi_aws
import pytest
from redis import Redis

from stack.cache import ACCESS
from stack.config import read
from tests.contract.redis_server import PROGRAM, redis_running
from tests.infra.declared import IMAGES, Declaration
from worker.adapters.cache import RedisCache
from worker.domain.errors import ProblemsError
from worker.local.emulator import free_port


def test_the_cache_is_exactly_this(chosen: Declaration) -> None:
    """Valkey with the chosen limits, without snapshots, for one group of users."""
    cache = dict(chosen.one("elasticache/ServerlessCache", "cache").inputs)
    cache.pop("tags")

    assert cache == {
        "name": "safelight-test-cache",
        "description": "Hot files of delivery",
        "engine": "valkey",
        "majorEngineVersion": "8",
        "cacheUsageLimits": {
            "dataStorage": {"maximum": 7, "unit": "GB"},
            "ecpuPerSeconds": [{"maximum": 70_000}],
        },
        "snapshotRetentionLimit": 0,
        "securityGroupIds": ["id-safelight-test-cache"],
        "subnetIds": ["id-safelight-test-cache-1", "id-safelight-test-cache-2"],
        "userGroupId": "safelight-test-cache",
    }
    group = chosen.one("elasticache/UserGroup", "cache").inputs
    assert (group["engine"], group["userIds"]) == ("valkey", ["safelight-test-cache"])


def test_its_network_leads_nowhere_else(chosen: Declaration) -> None:
    """Two subnets without public addresses, gateways to S3 and DynamoDB, no route outside."""
    subnets = [one for one in chosen.of("ec2/Subnet") if one.name.startswith("cache")]
    zones = {one.inputs["availabilityZone"] for one in subnets}
    gateways = [one for one in chosen.of("ec2/VpcEndpoint") if one.name.startswith("cache")]
    clients = chosen.one("ec2/SecurityGroup", "cache-clients").inputs
    servers = chosen.one("ec2/SecurityGroup", "cache").inputs

    assert (len(subnets), len(zones)) == (2, 2)
    assert not any(one.inputs["mapPublicIpOnLaunch"] for one in subnets)
    assert {(one.inputs["serviceName"], one.inputs["vpcEndpointType"]) for one in gateways} == {
        ("com.amazonaws.eu-central-1.s3", "Gateway"),
        ("com.amazonaws.eu-central-1.dynamodb", "Gateway"),
    }
    outside = {"ec2/Route", "ec2/InternetGateway", "ec2/NatGateway"}
    assert not [one for one in chosen.resources if one.kind in outside and "cache" in one.name]
    assert clients["ingress"] == servers["egress"] == []
    stores, cache = clients["egress"]
    lists = ["pl-safelight-test-cache-s3", "pl-safelight-test-cache-dynamodb"]
    assert (stores["fromPort"], stores["prefixListIds"]) == (443, lists)
    assert (cache["fromPort"], cache["cidrBlocks"]) == (6379, ["10.64.0.0/16"])
    (enters,) = servers["ingress"]
    assert (enters["fromPort"], enters["securityGroups"]) == (
        6379,
        ["id-safelight-test-cache-clients"],
    )


def test_the_function_signs_in_by_its_role(chosen: Declaration, ordered: Declaration) -> None:
    """With the cache it stands in the network and may connect as that user; without, neither."""
    function = chosen.one("lambda/Function", "deliver").inputs
    variables = function["environment"]["variables"]
    rights = chosen.one("iam/RolePolicy", "deliver").statements()
    placing = [one for one in rights if "ec2:CreateNetworkInterface" in one["Action"]]

    assert function["vpcConfig"] == {
        "subnetIds": ["id-safelight-test-cache-1", "id-safelight-test-cache-2"],
        "securityGroupIds": ["id-safelight-test-cache-clients"],
    }
    url = "rediss://safelight-test-cache@safelight-test-cache.serverless:6379/0"
    assert variables["SAFELIGHT_REDIS_URL"] == url
    assert variables["SAFELIGHT_REDIS_IAM"] == "safelight-test-cache"
    (connect,) = (one for one in rights if "elasticache:Connect" in one["Action"])
    assert set(connect["Resource"]) == {"arn:aws:elasticache:safelight-test-cache"}
    assert [one["Effect"] for one in placing] == ["Allow", "Deny"]
    assert placing[1]["Condition"] == {
        "ArnLike": {
            "lambda:SourceFunctionArn": (
                "arn:aws:lambda:*:123456789012:function:safelight-test-deliver-*"
            )
        }
    }
    plain = ordered.one("lambda/Function", "deliver").inputs
    assert "vpcConfig" not in plain
    assert not {*plain["environment"]["variables"]} & {
        *("SAFELIGHT_REDIS_URL", "SAFELIGHT_REDIS_IAM")
    }


@pytest.mark.skipif(PROGRAM is None, reason="the program redis-server is not installed")
def test_its_user_may_do_what_the_adapter_does_and_no_more(tmp_path: Path) -> None:
    """A real server with these rules of access takes all calls of the adapter, and nothing else."""
    with redis_running(free_port(), tmp_path) as url, Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "deliver", *ACCESS.split(), ">password")
        named = url.replace("redis://", "redis://deliver:password@")
        cache = RedisCache(named, timeout=10)
        cache.put("key", b"value", seconds=60)
        assert cache.get("key") == b"value"
        assert not cache.add("key", b"other", seconds=60)
        cache.drop("key")
        assert cache.add("key", b"other", seconds=60)
        cache.close()
        assert admin.acl_log() == []
        allowed = (("GETRANGE", "safelight:key", "0", "1"), ("DEL", "safelight:key"))
        refused = (("GET", "safelight:key"), ("SET", "other", "x"), ("FLUSHALL",), ("KEYS", "*"))
        for command in (*allowed, *refused):
            said = admin.execute_command("ACL", "DRYRUN", "deliver", *command)
            assert (said == b"OK") is (command in allowed), command


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"delivery": {"enabled": False}}, "cache.enabled: needs delivery.enabled"),
        (
            {"settings": {"redis_url": "redis://other"}},
            "settings.redis_url: is that of the cache (cache.enabled)",
        ),
        ({"cache": {"gigabytes": 0}}, "cache.gigabytes: must be from 1 to 5000"),
        ({"cache": {"ecpusPerSecond": 999}}, "cache.ecpusPerSecond: must be from 1000"),
        ({"cache": {"public": True}}, "cache.public"),
    ],
)
def test_what_does_not_fit_is_said(config: dict[str, Any], said: str) -> None:
    """Limits of ElastiCache, and what cannot go together."""
    wrong = {**IMAGES, **config, "cache": {"enabled": True, **config.get("cache", {})}}
    with pytest.raises(ProblemsError) as caught:
        read(wrong, stack="test")
    assert said in str(caught.value)


def test_the_provider_has_no_public_endpoint_yet() -> None:
    """As soon as it has one, this fails, and docs/delivery.md and stack/cache.py are to change."""
    found = inspect.signature(pulumi_aws.elasticache.ServerlessCacheArgs).parameters

    assert not [name for name in found if "public" in name or "access" in name]
