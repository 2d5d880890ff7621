"""What the embedded AWS holds beside storage and queues: machines, jobs, functions, alarms, images.

It runs the state machine; the local stack does the rest. As read back: what the program declares is
there, by the names and ARNs that everything else refers to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import MockResourceArgs

from tests.emulators import make_sure
from tests.infra.configs import switched
from worker.local.actors import Actors
from worker.local.deploy import Outputs, deploy
from worker.local.deploy.kinds import KINDS, registered
from worker.local.deploy.kinds.kind import Aws
from worker.local.deploy.registrar import Registrar
from worker.local.emulator import Emulator, free_port, running, start
from worker.local.stack import HANDLER, WORKFLOW_HANDLER
from worker.local.workflows import SEND

NAME = "safelight-local"


class Held:
    """A deployed stack, and clients for it."""

    def __init__(self, aws: Aws, outputs: Outputs) -> None:
        self.aws, self.outputs = aws, outputs


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Deployed, stopped, and found again as it was kept."""
    make_sure(tmp_path_factory)
    folder, port = tmp_path_factory.mktemp("held"), free_port()
    (folder / "state").mkdir()

    def up() -> Emulator:
        log, state = folder / "emulator.log", folder / "state"
        return start(port=port, log=log, state=state, enforce_iam=True)

    with ExitStack() as stack:
        emulator = up()
        stack.callback(emulator.stop)
        outputs = deploy(emulator.endpoint, folder / "out.json")
        emulator.stop()
        # What a restarted stack relies on: it deploys nothing if nothing has changed.
        again = up()
        stack.callback(again.stop)
        yield Held(Aws(again.environment), outputs)


def test_machines_stand_in_a_network(held: Held) -> None:
    """Each compute environment names subnets, a group and a template that are there."""
    ec2, batch = held.aws.ec2, held.aws.batch
    (vpc,) = [one for one in ec2.describe_vpcs()["Vpcs"] if one["CidrBlock"] == "10.64.0.0/16"]
    subnets = {
        one["SubnetId"] for one in ec2.describe_subnets()["Subnets"] if one["VpcId"] == vpc["VpcId"]
    }
    groups = {one["GroupId"]: one for one in ec2.describe_security_groups()["SecurityGroups"]}
    environments = batch.describe_compute_environments()["computeEnvironments"]

    assert len(subnets) == 3
    assert environments
    for one in environments:
        resources = one["computeResources"]
        assert set(resources["subnets"]) == subnets
        (group,) = resources["securityGroupIds"]
        assert [rule["FromPort"] for rule in groups[group]["IpPermissionsEgress"]] == [443]
        assert groups[group]["IpPermissions"] == []
        template = resources["launchTemplate"]["launchTemplateId"]
        (found,) = ec2.describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
        assert found["LaunchTemplateName"] == f"{NAME}-machine"
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert {one["ServiceName"].rpartition(".")[2] for one in endpoints} == {"s3", "dynamodb"}


def test_queues_and_definitions_of_jobs(held: Held) -> None:
    """By the ARNs that are exported."""
    queues = held.aws.batch.describe_job_queues()["jobQueues"]
    definitions = held.aws.batch.describe_job_definitions()["jobDefinitions"]

    assert {one["jobQueueArn"] for one in queues} == {*held.outputs["jobQueues"].values()}
    exported = {*held.outputs["jobDefinitions"].values()}
    assert {one["jobDefinitionArn"] for one in definitions} == exported
    assert {one["revision"] for one in definitions} == {1}
    actor = Actors.of(held.outputs).jobs()
    assert {one["containerProperties"]["jobRoleArn"] for one in definitions} == {actor.role}


def test_functions_have_their_roles_and_permissions(held: Held) -> None:
    """And nothing is taken from a queue by the embedded AWS itself."""
    actors, functions = Actors.of(held.outputs), held.aws.functions
    ingest, workflow = actors.function(HANDLER), actors.function(WORKFLOW_HANDLER)

    for actor in (ingest, workflow, actors.pipe()[1]):
        found = functions.get_function(FunctionName=actor.arn)["Configuration"]
        assert (found["Role"], found["FunctionArn"]) == (actor.role, actor.arn)
    (mapping,) = functions.list_event_source_mappings()["EventSourceMappings"]
    assert (mapping["FunctionArn"], mapping["State"]) == (ingest.arn, "Disabled")
    (allowed,) = json.loads(functions.get_policy(FunctionName=workflow.arn)["Policy"])["Statement"]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}


def test_the_state_machine_is_the_shipped_one(held: Held) -> None:
    """With ARNs of what is there in all its places."""
    arn = held.outputs["heavyWorkflow"]
    found = held.aws.stepfunctions.describe_state_machine(stateMachineArn=arn)

    assert found["roleArn"] == Actors.of(held.outputs).machine().role
    assert held.outputs["jobDefinitions"]["transcode"] in found["definition"]
    assert "${" not in found["definition"]
    # It has no Batch and cannot run the function: both are asked for by a queue.
    resources = set(re.findall(r'"Resource": "([^"]+)"', found["definition"]))
    assert resources == {SEND}


def test_alarms_dashboard_and_who_hears_them(held: Held) -> None:
    """One that sums up, all with the topic as action, and a chart for each."""
    cloudwatch = held.aws.cloudwatch
    found = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    (topic,) = [one["TopicArn"] for one in held.aws.sns.list_topics()["Topics"]]
    dashboard = cloudwatch.get_dashboard(DashboardName=f"{NAME}-overview")

    assert len(found["MetricAlarms"]) > 10
    assert {tuple(one["AlarmActions"]) for one in found["MetricAlarms"]} == {(topic,)}
    (summed,) = found["CompositeAlarms"]
    assert f'ALARM("{NAME}-uploads-waiting")' in summed["AlarmRule"]
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    charts = {f"{NAME}-{one['properties']['title']}" for one in widgets}
    assert {one["AlarmName"] for one in found["MetricAlarms"]} < charts
    policy = held.aws.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    assert "events.amazonaws.com" in policy


def test_repositories_of_images(held: Held) -> None:
    """Both, with tags that never move, and rules for what is old."""
    found = held.aws.ecr.describe_repositories()["repositories"]

    assert {one["repositoryUri"] for one in found} == {*held.outputs["repositories"].values()}
    assert {one["imageTagMutability"] for one in found} == {"IMMUTABLE"}
    for one in found:
        text = held.aws.ecr.get_lifecycle_policy(repositoryName=one["repositoryName"])
        assert len(json.loads(text["lifecyclePolicyText"])["rules"]) == 2


def test_what_is_only_registered_says_why() -> None:
    """Everything else is created."""
    assert {kind for kind, one in KINDS.items() if one.reason} == {*registered.KINDS}
    assert all(one.reason for one in registered.KINDS.values())


# --- what the program declares only when it is asked to ---------------------------------------


def make(held: Held, kind: str, name: str, **inputs: Any) -> str:
    """Register one resource, twice, as the program would; its id."""
    registrar = Registrar(held.aws)
    args = MockResourceArgs(typ=kind, name=name, inputs=inputs, custom=True)
    first = registrar.new_resource(args)
    assert registrar.new_resource(args) == first
    return first[0]


def test_options_of_a_bucket(held: Held, tmp_path: Path) -> None:
    """Browsers, acceleration, access logs, a copy elsewhere."""
    s3, bucket = held.aws.s3, str(held.outputs["intakeBucket"])
    logs = make(held, "aws:s3/bucket:Bucket", "safelight-local-logs", forceDestroy=True, tags={})
    rule = {"id": "uploads", "allowedMethods": ["PUT"], "allowedOrigins": ["https://a.example"]}
    make(
        held,
        "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration",
        "cors",
        bucket=bucket,
        corsRules=[{**rule, "exposeHeaders": ["ETag"], "maxAgeSeconds": 60.0}],
    )
    make(
        held,
        "aws:s3/bucketAccelerateConfiguration:BucketAccelerateConfiguration",
        "fast",
        bucket=bucket,
        status="Enabled",
    )
    make(
        held,
        "aws:s3/bucketLogging:BucketLogging",
        "log",
        bucket=bucket,
        targetBucket=logs,
        targetPrefix="intake/",
    )
    replica = make(held, "aws:s3/bucket:Bucket", "safelight-local-replica", tags={})
    versions = {"status": "Enabled"}
    make(
        held,
        "aws:s3/bucketVersioning:BucketVersioning",
        "replica",
        bucket=replica,
        versioningConfiguration=versions,
    )
    make(
        held,
        "aws:s3/bucketReplicationConfig:BucketReplicationConfig",
        "copy",
        bucket=bucket,
        role=Actors.of(held.outputs).jobs().role,
        rules=[
            {
                "id": "originals",
                "status": "Enabled",
                "priority": 1.0,
                "filter": {"prefix": ""},
                "deleteMarkerReplication": {"status": "Disabled"},
                "destination": {"bucket": f"arn:aws:s3:::{replica}"},
            }
        ],
    )

    (cors,) = s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert (cors["AllowedMethods"], cors["MaxAgeSeconds"]) == (["PUT"], 60)
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == "Enabled"
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]["TargetBucket"] == logs
    found = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
    assert [one["ID"] for one in found] == ["originals"]


def test_options_of_the_rest(held: Held) -> None:
    """Insights of the table, retries of a function, figures from a log, a budget."""
    function = Actors.of(held.outputs).function(WORKFLOW_HANDLER).name
    table = str(held.outputs["table"])
    make(
        held,
        "aws:dynamodb/contributorInsights:ContributorInsights",
        "insights",
        tableName=table,
        indexName="GSI1",
    )
    make(
        held,
        "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
        "retries",
        functionName=function,
        maximumRetryAttempts=1.0,
        maximumEventAgeInSeconds=3600.0,
    )
    make(
        held,
        "aws:cloudwatch/logMetricFilter:LogMetricFilter",
        "errors",
        logGroupName=function,
        pattern='{ $.level = "ERROR" }',
        metricTransformation={"name": "Errors", "namespace": "S", "value": "1"},
    )
    make(
        held,
        "aws:cloudwatch/logResourcePolicy:LogResourcePolicy",
        "events",
        policyName="events",
        policyDocument='{"Version": "2012-10-17", "Statement": []}',
    )
    make(
        held,
        "aws:budgets/budget:Budget",
        "month",
        budgetType="COST",
        timeUnit="MONTHLY",
        limitAmount="100",
        limitUnit="USD",
        costFilters=[{"name": "TagKeyValue", "values": ["user:Stack$local"]}],
        notifications=[
            {
                "notificationType": "ACTUAL",
                "comparisonOperator": "GREATER_THAN",
                "threshold": 80.0,
                "thresholdType": "PERCENTAGE",
                "subscriberEmailAddresses": ["a@example.com"],
            }
        ],
    )

    insights = held.aws.dynamodb.describe_contributor_insights(TableName=table, IndexName="GSI1")
    assert insights["ContributorInsightsStatus"] in {"ENABLING", "ENABLED"}
    retries = held.aws.functions.get_function_event_invoke_config(FunctionName=function)
    assert retries["MaximumRetryAttempts"] == 1
    figures = held.aws.logs.describe_metric_filters(logGroupName=function)["metricFilters"]
    assert "Errors" in {one["metricTransformations"][0]["metricName"] for one in figures}
    (budget,) = held.aws.budgets.describe_budgets(AccountId=held.aws.account)["Budgets"]
    assert budget["BudgetLimit"]["Amount"].startswith("100")


def test_everything_that_can_be_switched_on_can_be_held(tmp_path: Path) -> None:
    """The largest program there is, in an embedded AWS of its own."""
    with running(tmp_path, enforce_iam=True) as emulator:
        outputs = deploy(emulator.endpoint, tmp_path / "out.json", config=switched(on=True))
        aws = Aws(emulator.environment)
        (cors,) = aws.s3.get_bucket_cors(Bucket=outputs["intakeBucket"])["CORSRules"]
        machines = aws.batch.describe_compute_environments()["computeEnvironments"]

    assert cors["AllowedOrigins"] == ["https://a.example"]
    assert {one["computeEnvironmentName"] for one in machines} == {
        f"{NAME}-{name}" for name in ("baseline", "spot", "overflow")
    }


@pytest.mark.parametrize("kind", sorted(registered.KINDS))
def test_what_is_registered_has_an_identity(held: Held, kind: str) -> None:
    """Others refer to it by its ARN."""
    registrar = Registrar(held.aws)
    inputs = {"roleArn": "arn:role", "enrichment": "arn:function"} if "pipes" in kind else {}
    args = MockResourceArgs(typ=kind, name="mine", inputs=inputs, custom=True)

    identity, state = registrar.new_resource(args)

    assert identity == "mine"
    assert state["arn"].startswith("arn:aws:")
