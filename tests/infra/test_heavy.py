"""What is said about machines, queues of jobs and job definitions."""

from __future__ import annotations

from typing import Any

from batch.catalogue import KINDS, RETRY
from tests.infra.declared import ACCOUNT, BATCH_IMAGE, Declaration


def _properties(declared: Declaration, kind: str) -> Any:
    return declared.one("batch/JobDefinition", kind).document("containerProperties")


def test_every_kind_has_a_definition_with_its_own_figures(ordered: Declaration) -> None:
    """Processors, memory, time and tries come from the catalogue, for all of it."""
    assert [one.name for one in ordered.of("batch/JobDefinition")] == sorted(KINDS)
    for kind in KINDS.values():
        definition = ordered.one("batch/JobDefinition", kind.name)
        found = _properties(ordered, kind.name)
        assert found["command"] == ["run", kind.name]
        assert found["image"] == BATCH_IMAGE
        assert found["resourceRequirements"] == [
            {"type": "VCPU", "value": f"{kind.vcpus:g}"},
            {"type": "MEMORY", "value": str(kind.memory_mib)},
        ]
        assert definition.inputs["timeout"] == {"attemptDurationSeconds": kind.timeout_seconds}
        assert definition.inputs["retryStrategy"]["attempts"] == kind.attempts


def test_a_job_is_tried_again_by_the_rules_of_the_catalogue(ordered: Declaration) -> None:
    """A reclaimed machine and an interrupted job are; bad input and anything else are not."""
    rules = ordered.one("batch/JobDefinition", "transcode").inputs["retryStrategy"]

    assert [
        (one["action"], one.get("onStatusReason"), one.get("onExitCode"))
        for one in rules["evaluateOnExits"]
    ] == [(one.action, one.status_reason, one.exit_code) for one in RETRY]


def test_a_job_is_confined(ordered: Declaration) -> None:
    """A root that cannot be written, no privileges, one folder to work in."""
    found = _properties(ordered, "denoise")

    assert found["readonlyRootFilesystem"] is True
    assert found["privileged"] is False
    assert found["mountPoints"] == [
        {"sourceVolume": "scratch", "containerPath": "/scratch", "readOnly": False}
    ]
    # Where jobs work unless told: /tmp has less room than any job asks for.
    assert {"name": "TMPDIR", "value": "/scratch"} in found["environment"]
    assert found["linuxParameters"]["initProcessEnabled"] is False


def test_a_job_knows_where_it_is_and_writes_its_own_log(ordered: Declaration) -> None:
    """The settings of the functions, and a stream named by the kind."""
    found = _properties(ordered, "poster")
    given = {one["name"]: one["value"] for one in found["environment"]}

    assert ordered.exports["ingestEnvironment"].items() <= given.items()
    assert found["logConfiguration"]["options"] == {
        "awslogs-group": "safelight-test-jobs",
        "awslogs-region": "eu-central-1",
        "awslogs-stream-prefix": "poster",
    }


def test_a_job_may_read_originals_and_write_results(ordered: Declaration) -> None:
    """And nothing else: not the quarantine, not the queues, not the bus."""
    assert [
        (set(one["Action"]), one["Resource"])
        for one in ordered.one("iam/RolePolicy", "job").statements()
    ] == [
        ({"s3:GetObject"}, ["arn:aws:s3:safelight-test-intake/*"]),
        (
            {"s3:ListBucket"},
            ["arn:aws:s3:safelight-test-intake", "arn:aws:s3:safelight-test-delivery"],
        ),
        (
            {
                *("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"),
                "s3:PutObjectTagging",
            },
            ["arn:aws:s3:safelight-test-delivery/*"],
        ),
        ({"dynamodb:Query", "dynamodb:PutItem"}, ["arn:aws:dynamodb:safelight-test-catalog"]),
        ({"xray:PutSpans", "xray:PutSpansForIndexing"}, ["*"]),
    ]


def test_everything_runs_on_spot_unless_more_is_asked_for(ordered: Declaration) -> None:
    """The default has no machine that idles."""
    (spot,) = ordered.of("batch/ComputeEnvironment")
    found = spot.inputs["computeResources"]

    assert (found["type"], found["allocationStrategy"]) == ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")
    assert (found["minVcpus"], found["maxVcpus"]) == (0, 64)
    assert len({one.partition(".")[0] for one in found["instanceTypes"]}) >= 5
    assert len(found["subnets"]) == 3


def test_a_baseline_comes_first_and_the_overflow_last(chosen: Declaration) -> None:
    """Machines that are paid for anyway, then cheap ones, then those that are always there."""
    markets = {
        one.name: (
            one.inputs["computeResources"]["type"],
            one.inputs["computeResources"]["minVcpus"],
            one.inputs["computeResources"]["maxVcpus"],
        )
        for one in chosen.of("batch/ComputeEnvironment")
    }
    orders = {
        queue.name: [
            one["computeEnvironment"].rpartition("test-")[2]
            for one in queue.inputs["computeEnvironmentOrders"]
        ]
        for queue in chosen.of("batch/JobQueue")
    }

    assert markets == {
        "baseline": ("EC2", 16, 16),
        "spot": ("SPOT", 0, 64),
        "overflow": ("EC2", 0, 32),
    }
    assert orders == {
        "urgent": ["baseline", "spot", "overflow"],
        "standard": ["baseline", "spot", "overflow"],
        "bulk": ["spot"],
    }


def test_urgent_jobs_go_first(ordered: Declaration) -> None:
    """Queues share machines; the higher number is asked first."""
    found = {one.name: one.inputs["priority"] for one in ordered.of("batch/JobQueue")}

    assert found["urgent"] > found["standard"] > found["bulk"]


def test_machines_are_of_the_images_architecture(ordered: Declaration, chosen: Declaration) -> None:
    """Graviton types end in g, the others do not; both are right-sized families."""
    for declared, graviton in ((ordered, True), (chosen, False)):
        spot = declared.one("batch/ComputeEnvironment", "spot").inputs["computeResources"]
        kinds = {one.partition(".")[0] for one in spot["instanceTypes"]}

        assert {one[0] for one in kinds} == {"c", "m"}
        assert {one[-1] == "g" for one in kinds} == {graviton}


def test_the_network_has_no_gateway_paid_by_the_gigabyte(ordered: Declaration) -> None:
    """S3 and DynamoDB by gateway endpoints; no NAT."""
    endpoints = {one.name: one.inputs["vpcEndpointType"] for one in ordered.of("ec2/VpcEndpoint")}

    assert endpoints == {"heavy-s3": "Gateway", "heavy-dynamodb": "Gateway"}
    assert not ordered.of("ec2/NatGateway")


def test_machines_may_join_clusters_of_this_stack_and_write_the_log_of_jobs(
    ordered: Declaration,
) -> None:
    """Not those of the account's other clusters, and no other log."""
    statements = ordered.one("iam/RolePolicy", "machine").statements()
    rights = {
        action: one["Resource"]
        for one in statements
        for action in one["Action"]
        if not action.startswith("ecr:")
    }
    ecs = f"arn:aws:ecs:eu-central-1:{ACCOUNT}"
    clusters, members = [
        f"{ecs}:{what}/*safelight-test-*" for what in ("cluster", "container-instance")
    ]

    assert rights == {
        "ecs:RegisterContainerInstance": [clusters],
        "ecs:DeregisterContainerInstance": [clusters],
        "ecs:SubmitAttachmentStateChanges": [clusters],
        "ecs:SubmitContainerStateChange": [clusters],
        "ecs:SubmitTaskStateChange": [clusters],
        "ecs:Poll": [members],
        "ecs:StartTelemetrySession": [members],
        "ecs:UpdateContainerInstancesState": [members],
        "ecs:TagResource": [members],
        "ecs:DiscoverPollEndpoint": ["*"],
        "logs:CreateLogStream": ["arn:aws:cloudwatch:safelight-test-jobs:*"],
        "logs:PutLogEvents": ["arn:aws:cloudwatch:safelight-test-jobs:*"],
    }
    (tagging,) = [one for one in statements if one["Action"] == ["ecs:TagResource"]]
    assert tagging["Condition"] == {
        "StringEquals": {"ecs:CreateAction": "RegisterContainerInstance"}
    }


def test_no_policy_of_somebody_elses_is_attached(full: Declaration) -> None:
    """The permissions of a role are all in this repository, because AWS may change managed
    policies."""
    assert not full.of("iam/RolePolicyAttachment")
    for role in full.of("iam/Role"):
        assert not {"managedPolicyArns", "inlinePolicies"} & {*role.inputs}


def test_a_private_network_has_endpoints_for_everything_else(chosen: Declaration) -> None:
    """No public address and no way out but these."""
    interfaces = [
        one.inputs["serviceName"].removeprefix("com.amazonaws.eu-central-1.")
        for one in chosen.of("ec2/VpcEndpoint")
        if one.inputs["vpcEndpointType"] == "Interface"
    ]

    assert sorted(interfaces) == ["ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs"]
    assert not chosen.of("ec2/InternetGateway")
    (out,) = chosen.one("ec2/SecurityGroup", "heavy").inputs["egress"]
    assert out["cidrBlocks"] == ["10.64.0.0/16"]
    assert out["prefixListIds"] == [
        "pl-safelight-test-heavy-s3",
        "pl-safelight-test-heavy-dynamodb",
    ]
    assert {one.inputs["mapPublicIpOnLaunch"] for one in chosen.of("ec2/Subnet")} == {False}
