"""The topology of a stack for a simulation, read from the resources that the program declares.

The local stack is one more topology: a pipe of one thread, and so many processes in place of
instances.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker import recipes
from worker.infra import program, stack_file
from worker.infra.program import Declaration
from worker.settings import PREFIX
from worker.simulation.functions import SourceScaling
from worker.simulation.rules import Rules

INGEST, PIPE, WORK, UPLOADS, TABLE = "ingest", "order", "ordered", "uploads", "catalog"
"""Names of resources in the Pulumi program."""
VIDEO = "transcode"
"""The kind of job that a video waits for longest."""
RETRY_SECONDS = 10
"""The default of the setting ``retry_seconds``."""
EVERYWHERE_3000 = ("us-east-1", "us-west-2", "eu-west-1")
"""Regions with 3,000 executions of pipes at the same time (Amazon EventBridge User Guide,
"EventBridge Pipes quotas")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipeShape:
    """The pipe from the standard queue to the FIFO queue."""

    batch: int
    scaling: SourceScaling
    seconds: float
    """Of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """The catalog's table."""

    on_demand: bool
    least_writes: float = 0.0
    """Write units a second, if they are provisioned; for the table and for each index."""
    most_writes: float = 0.0
    target: float = 0.7
    warm_writes: float = 0.0
    """Write units a second that the table is warmed for; 0: as a new one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsShape:
    """Machines of jobs."""

    spot_vcpus: int
    steady_vcpus: int
    """On demand, always running."""
    overflow_vcpus: int
    vcpus: float
    """Of a video's job."""
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """A deployment."""

    name: str
    region: str
    fifo: bool
    pipe: PipeShape | None
    batch: int
    window: float
    source: SourceScaling
    provisioned: bool = False
    """The source has provisioned pollers."""
    memory: int
    timeout: float
    instances: float
    """Most instances of the ingest function: reserved ones, or those of the account."""
    reserved: bool = False
    maximum_receives: int
    retry_seconds: float = RETRY_SECONDS
    """Wait after a first failure; doubles with each further one."""
    notify_seconds: float
    queue_seconds: float
    table: TableShape | None = None
    """None: without limits of AWS, as in the local stack."""
    files: float = 0.0
    """Written for an upload."""
    requests_per_second: float = 0.0
    """Of the API; 0: uploads do not go through it."""
    burst: float = 0.0
    jobs: JobsShape | None = None


def of_preset(
    name: str,
    rules: Rules,
    *,
    settings: Sequence[str] = (),
    account_concurrency: float | None = None,
    files: float,
) -> Topology:
    """The topology of ``Pulumi.NAME.yaml``.

    Args:
        settings: ``intake.maximumConcurrency=700``, each in place of what the file says.
        account_concurrency: instances of all functions of the account; None for AWS's default.
        files: that the recipe leaves of an upload.

    Raises:
        CheckoutMissing: there is no Pulumi program.
        InputError: there is no such preset.
        ParameterError: a setting has not the form of one.
        ConfigurationError: the configuration has mistakes.
    """
    file = stack_file.of_stack(name)
    config = stack_file.overridden(file.config, settings)
    declared = program.declare(
        name, {**config, **stack_file.missing_images(config)}, region=file.region
    )
    return of_declaration(
        declared,
        rules,
        name=name,
        region=file.region or "",
        account_concurrency=account_concurrency or rules.account_concurrency,
        files=files,
    )


def of_declaration(
    declared: Declaration,
    rules: Rules,
    *,
    name: str,
    region: str,
    account_concurrency: float,
    files: float,
) -> Topology:
    """Read the resources that uploads pass."""
    function = declared.one("lambda/Function", INGEST).inputs
    source = declared.one("lambda/EventSourceMapping", INGEST).inputs
    fifo = any(one.name == WORK for one in declared.of("sqs/Queue"))
    queue = declared.one("sqs/Queue", WORK if fifo else UPLOADS)
    environment = function["environment"]["variables"]
    reserved = float(function.get("reservedConcurrentExecutions") or 0)
    return Topology(
        name=name,
        region=region,
        fifo=fifo,
        pipe=_pipe(declared, rules, region) if fifo else None,
        batch=int(source["batchSize"]),
        window=float(source.get("maximumBatchingWindowInSeconds") or 0),
        source=_scaling(source, rules),
        provisioned="provisionedPollerConfig" in source,
        memory=int(function["memorySize"]),
        timeout=float(function["timeout"]),
        instances=reserved or account_concurrency,
        reserved=reserved > 0,
        maximum_receives=int(queue.document("redrivePolicy")["maxReceiveCount"]),
        retry_seconds=float(environment.get(f"{PREFIX}RETRY_SECONDS", RETRY_SECONDS)),
        notify_seconds=rules.notify_seconds,
        queue_seconds=rules.queue_seconds,
        table=_table(declared),
        files=files,
        jobs=_jobs(declared),
        **_api(declared),
    )


def _scaling(source: Mapping[str, Any], rules: Rules) -> SourceScaling:
    pollers = source.get("provisionedPollerConfig")
    if pollers:
        each = rules.poller_invocations
        return SourceScaling(
            start=pollers["minimumPollers"] * each,
            ramp=rules.poller_ramp,
            most=min(pollers["maximumPollers"] * each, rules.poller_most),
        )
    most = source.get("scalingConfig", {}).get("maximumConcurrency", rules.source_most)
    return SourceScaling(
        start=min(rules.source_start, most), ramp=rules.source_ramp, most=float(most)
    )


def _pipe(declared: Declaration, rules: Rules, region: str) -> PipeShape:
    pipe = declared.one("pipes/Pipe", PIPE).inputs
    account = 3000 if region in EVERYWHERE_3000 else rules.pipe_account
    return PipeShape(
        batch=int(pipe["sourceParameters"]["sqsQueueParameters"]["batchSize"]),
        scaling=SourceScaling(
            start=rules.source_start,
            ramp=rules.source_ramp,
            most=min(rules.pipe_most, account),
        ),
        seconds=rules.pipe_seconds,
    )


def _table(declared: Declaration) -> TableShape:
    table = declared.one("dynamodb/Table", TABLE).inputs
    warm = float(table.get("warmThroughput", {}).get("writeUnitsPerSecond") or 0)
    if table["billingMode"] == "PAY_PER_REQUEST":
        return TableShape(on_demand=True, warm_writes=warm)
    target = declared.one("appautoscaling/Target", "catalog-table-write").inputs
    policy = declared.one("appautoscaling/Policy", "catalog-table-write").inputs
    tracked = policy["targetTrackingScalingPolicyConfiguration"]["targetValue"]
    return TableShape(
        on_demand=False,
        least_writes=float(target["minCapacity"]),
        most_writes=float(target["maxCapacity"]),
        target=tracked / 100,
        warm_writes=warm,
    )


def _jobs(declared: Declaration) -> JobsShape | None:
    most = {
        one.name: int(one.inputs["computeResources"]["maxVcpus"])
        for one in declared.of("batch/ComputeEnvironment")
    }
    if not most:
        return None
    job = declared.one("batch/JobDefinition", VIDEO).inputs
    needs = json.loads(job["containerProperties"])["resourceRequirements"]
    return JobsShape(
        spot_vcpus=most.get("spot", 0),
        steady_vcpus=most.get("baseline", 0),
        overflow_vcpus=most.get("overflow", 0),
        vcpus=float(next(one["value"] for one in needs if one["type"] == "VCPU")),
        attempts=int(job["retryStrategy"]["attempts"]),
    )


def _api(declared: Declaration) -> dict[str, float]:
    for stage in declared.of("apigatewayv2/Stage"):
        limits = stage.inputs.get("defaultRouteSettings")
        if limits:
            return {
                "requests_per_second": float(limits["throttlingRateLimit"]),
                "burst": float(limits["throttlingBurstLimit"]),
            }
    return {}


def local(workers: int, *, pipe_seconds: float, notify_seconds: float, batch: int) -> Topology:
    """The local stack: so many worker processes, and a pipe that one thread carries on.

    Args:
        pipe_seconds: of a batch.
        notify_seconds: from an upload to its message.
        batch: most messages that a worker takes.
    """
    return Topology(
        name="local",
        region="",
        fifo=True,
        pipe=PipeShape(batch=10, scaling=SourceScaling.fixed(1), seconds=pipe_seconds),
        batch=batch,
        window=0.0,
        source=SourceScaling.fixed(workers),
        memory=0,
        timeout=120.0,
        instances=float(workers),
        maximum_receives=5,
        notify_seconds=notify_seconds,
        queue_seconds=0.0,
    )


def files_of(recipe: str) -> int:
    """Files that a shipped recipe makes of a picture, at most."""
    return sum(len(one.encodings) for one in recipes.load(recipe).renditions)
