"""Batch: compute environments, queues and job definitions. Held; the local stack runs the jobs."""

from __future__ import annotations

import json
from typing import Any

from worker.local.deploy.kinds.kind import Aws, Created, Declared, Kind

SPELT = {"maxVcpus": "maxvCpus", "minVcpus": "minvCpus", "desiredVcpus": "desiredvCpus"}
"""Pulumi's names of some of Batch's, which are camel case too, and Batch's own."""


def _environment(aws: Aws, declared: Declared) -> Created:
    name, resources = declared.physical_name, dict(declared.inputs["computeResources"])
    resources = {SPELT.get(key, key): value for key, value in resources.items()}
    if "ec2Configurations" in resources:
        resources["ec2Configuration"] = resources.pop("ec2Configurations")
    known = aws.batch.describe_compute_environments(computeEnvironments=[name])
    if known["computeEnvironments"]:
        arn = known["computeEnvironments"][0]["computeEnvironmentArn"]
        changed: Any = {
            key: value
            for key, value in resources.items()
            if key in {"maxvCpus", "minvCpus", "subnets", "securityGroupIds", "launchTemplate"}
        }
        aws.batch.update_compute_environment(computeEnvironment=name, computeResources=changed)
    else:
        role = declared.inputs.get("serviceRole")
        arn = aws.batch.create_compute_environment(
            computeEnvironmentName=name,
            type=declared.inputs["type"],
            computeResources=resources,  # type: ignore[arg-type]
            tags=declared.tags,
            **({"serviceRole": role} if role else {}),
        )["computeEnvironmentArn"]
    return name, {"name": name, "arn": arn}


def _queue(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    known = aws.batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    if known:  # the emulator cannot change one
        return name, {"name": name, "arn": known[0]["jobQueueArn"]}
    limits = inputs.get("jobStateTimeLimitActions", ())
    fair = inputs.get("schedulingPolicyArn")
    more: Any = {"schedulingPolicyArn": fair} if fair else {}
    made = aws.batch.create_job_queue(
        jobQueueName=name,
        state=inputs["state"],
        priority=inputs["priority"],
        computeEnvironmentOrder=[dict(one) for one in inputs["computeEnvironmentOrders"]],  # type: ignore[misc]
        jobStateTimeLimitActions=[dict(one) for one in limits],  # type: ignore[misc]
        tags=declared.tags,
        **more,
    )
    return name, {"name": name, "arn": made["jobQueueArn"]}


def _definition(aws: Aws, declared: Declared) -> Created:
    name, inputs = declared.physical_name, declared.inputs
    properties = json.loads(inputs["containerProperties"])
    known = aws.batch.describe_job_definitions(jobDefinitionName=name)["jobDefinitions"]
    latest = max(known, key=lambda one: one["revision"], default=None)
    if latest is not None and latest["containerProperties"] == properties:
        revision, arn = latest["revision"], latest["jobDefinitionArn"]
    else:  # a revision never changes: a change is another one
        retry = dict(inputs["retryStrategy"])
        retry["evaluateOnExit"] = retry.pop("evaluateOnExits", [])
        made = aws.batch.register_job_definition(
            jobDefinitionName=name,
            type=inputs["type"],
            containerProperties=properties,
            retryStrategy=retry,  # type: ignore[arg-type]
            timeout={"attemptDurationSeconds": inputs["timeout"]["attemptDurationSeconds"]},
            platformCapabilities=inputs["platformCapabilities"],
            schedulingPriority=inputs["schedulingPriority"],
            propagateTags=inputs["propagateTags"],
            tags=declared.tags,
        )
        revision, arn = made["revision"], made["jobDefinitionArn"]
    prefix = arn.rpartition(":")[0]
    return arn, {"name": name, "arn": arn, "arnPrefix": prefix, "revision": revision}


KINDS = {
    "aws:batch/computeEnvironment:ComputeEnvironment": Kind(
        _environment,
        frozenset({"computeResources", "name", "serviceRole", "tags", "type"}),
    ),
    "aws:batch/jobQueue:JobQueue": Kind(
        _queue,
        frozenset(
            {
                "computeEnvironmentOrders",
                "jobStateTimeLimitActions",
                "name",
                "priority",
                "schedulingPolicyArn",
                "state",
                "tags",
            }
        ),
    ),
    "aws:batch/jobDefinition:JobDefinition": Kind(
        _definition,
        frozenset(
            {
                "containerProperties",
                "name",
                "platformCapabilities",
                "propagateTags",
                "retryStrategy",
                "schedulingPriority",
                "tags",
                "timeout",
                "type",
            }
        ),
    ),
}
