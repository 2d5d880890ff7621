"""The program's resources in the embedded AWS, by their effects and as read back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.infra.configs import switched
from tests.integration.running import copy_deployed
from worker.adapters.aws.dynamodb import schema
from worker.domain.asset import ObjectVersion
from worker.domain.errors import ConfigurationError, EmulatorError
from worker.local.deploy import Outputs, deploy, read_outputs
from worker.local.deploy.resource_types import EmulatorClients
from worker.local.emulator import Emulator, free_port, running, start
from worker.local.roles import Roles
from worker.local.stack import HANDLER, WORKFLOW_HANDLER
from worker.local.workflows import SEND
from worker.services.messages import changes_in
from worker.settings import Settings


class Stack:
    """A deployed stack and clients for it."""

    def __init__(self, emulator: Emulator, outputs: Outputs) -> None:
        self.outputs = outputs
        self.endpoint = emulator.endpoint
        session = boto3.Session("test", "test", region_name="eu-central-1")
        self.s3 = session.client("s3", endpoint_url=emulator.endpoint)
        self.sqs = session.client("sqs", endpoint_url=emulator.endpoint)
        self.dynamodb = session.client("dynamodb", endpoint_url=emulator.endpoint)
        self.iam = session.client("iam", endpoint_url=emulator.endpoint)
        self.events = session.client("events", endpoint_url=emulator.endpoint)
        self.states = session.client("stepfunctions", endpoint_url=emulator.endpoint)

    def attributes(self, output: str) -> dict[str, str]:
        """Attributes of a queue."""
        url = self.outputs[output]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return {str(name): text for name, text in found["Attributes"].items()}

    def take(self, output: str, *, wait: int = 5) -> list[dict[str, Any]]:
        """Messages of a queue, hidden for a while."""
        found = self.sqs.receive_message(
            QueueUrl=self.outputs[output],
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=60,
            MessageSystemAttributeNames=["All"],
        )
        return [dict(message) for message in found.get("Messages", [])]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack as it is by default, deployed again after a restart of the embedded AWS: the second
    time changes nothing.
    """
    folder, port = tmp_path_factory.mktemp("deployed") / "data", free_port()
    copy_deployed(folder, port)

    def up() -> Emulator:
        return start(port=port, log=folder / "emulator.log", state=folder / "state")

    emulator = up()
    try:
        first = Stack(emulator, read_outputs(folder / "outputs.json"))
        first.s3.put_object(Bucket=first.outputs["intakeBucket"], Key="kept", Body=b"1")
        emulator.stop()
        emulator = up()
        assert deploy(emulator.endpoint, folder / "outputs.json") == first.outputs
        yield Stack(emulator, read_outputs(folder / "outputs.json"))
    finally:
        emulator.stop()


# --- effects --------------------------------------------------------------------------------


def test_an_upload_arrives_in_the_standard_queue(stack: Stack) -> None:
    """The event names the stored object, for any key."""
    bucket = stack.outputs["intakeBucket"]
    key = "ab/Ferien 2024 + Grüße.jpg"

    put = stack.s3.put_object(Bucket=bucket, Key=key, Body=b"picture")

    found = [
        upload for message in stack.take("uploadsQueue") for upload in changes_in(message["Body"])
    ]
    (upload,) = [one for one in found if one.key == key]
    assert isinstance(upload, ObjectVersion)
    assert (upload.bucket, upload.size) == (bucket, 7)
    assert upload.etag == put["ETag"].strip('"')
    assert upload.version_id == put["VersionId"]


def test_a_repetition_is_dropped_by_the_fifo_queue(stack: Stack) -> None:
    """Same group and deduplication id: one message, with both ids readable."""
    url = stack.outputs["workQueue"]
    group, deduplication = "g" * 64, "d" * 64

    for _ in range(2):
        stack.sqs.send_message(
            QueueUrl=url,
            MessageBody="{}",
            MessageGroupId=group,
            MessageDeduplicationId=deduplication,
        )

    (message,) = stack.take("workQueue", wait=1)
    assert message["Attributes"]["MessageGroupId"] == group
    assert message["Attributes"]["MessageDeduplicationId"] == deduplication
    stack.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def test_a_message_that_fails_too_often_ends_in_the_dead_letters(stack: Stack) -> None:
    """After as many receives as configured, on the FIFO queue."""
    url, group = stack.outputs["workQueue"], "poison"
    stack.sqs.send_message(
        QueueUrl=url, MessageBody='{"poison": 1}', MessageGroupId=group, MessageDeduplicationId="p"
    )

    for _ in range(stack.outputs["ingest"]["maximumReceives"]):
        (message,) = stack.take("workQueue", wait=1)
        stack.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )

    assert stack.take("workQueue", wait=0) == []
    (dead,) = stack.take("workDeadLetters")
    assert dead["Body"] == '{"poison": 1}'


def test_what_ingest_tells_reaches_a_subscriber(stack: Stack) -> None:
    """A rule on the bus gets what is put on it."""
    url = stack.sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    attributes = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    bus = stack.outputs["eventBus"]
    stack.events.put_rule(Name="all", EventBusName=bus, EventPattern='{"source": ["safelight"]}')
    stack.events.put_targets(
        Rule="all",
        EventBusName=bus,
        Targets=[{"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}],
    )

    stack.events.put_events(
        Entries=[
            {
                "EventBusName": bus,
                "Source": "safelight",
                "DetailType": "asset.accepted",
                "Detail": "{}",
            }
        ]
    )

    found = stack.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert [json.loads(one["Body"])["detail-type"] for one in found] == ["asset.accepted"]


# --- as read back ---------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["uploadsQueue", "workQueue"])
def test_every_queue_has_its_dead_letters(stack: Stack, output: str) -> None:
    """Of its own kind, after five receives, hidden for six function timeouts."""
    dead = output.replace("Queue", "DeadLetters")
    queue, dead_letters = stack.attributes(output), stack.attributes(dead)

    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead_letters["QueueArn"],
        "maxReceiveCount": 5,
    }
    assert queue["VisibilityTimeout"] == "720"
    assert queue.get("FifoQueue") == dead_letters.get("FifoQueue")
    assert (queue.get("FifoQueue") == "true") is (output == "workQueue")


def test_the_buckets_as_read_back(stack: Stack) -> None:
    """Versions of originals alone, TLS, tiers, uploads from browsers; the quarantine expires."""
    bucket = stack.outputs["intakeBucket"]

    assert stack.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    policy = json.loads(stack.s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert {one["Sid"] for one in policy["Statement"]} == {"TlsOnly", "NoOldTls"}
    rules = stack.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [rule["ID"] for rule in rules] == ["abort-unfinished-uploads", "tier", "forget-replaced"]
    (cors,) = stack.s3.get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert (cors["AllowedMethods"], cors["MaxAgeSeconds"]) == (
        ["POST", "PUT", "GET", "DELETE"],
        3600,
    )
    tags = stack.s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    assert {"Key": "Component", "Value": "storage"} in tags
    for output in ("deliveryBucket", "quarantineBucket"):
        assert "Status" not in stack.s3.get_bucket_versioning(Bucket=stack.outputs[output])
    rules = stack.s3.get_bucket_lifecycle_configuration(Bucket=stack.outputs["quarantineBucket"])[
        "Rules"
    ]
    assert {"Days": 30} in [rule.get("Expiration") for rule in rules]


def test_the_table_as_read_back(stack: Stack) -> None:
    """Keys, indexes, stream and time to live."""
    name = stack.outputs["table"]
    table = stack.dynamodb.describe_table(TableName=name)["Table"]

    def keys(schema_of: Any) -> list[str]:
        return [key["AttributeName"] for key in schema_of]

    assert keys(table["KeySchema"]) == [schema.PARTITION_KEY, schema.SORT_KEY]
    indexes = {one["IndexName"]: one for one in table["GlobalSecondaryIndexes"]}
    assert set(indexes) == set(schema.INDEXES)
    for index, found in indexes.items():
        assert keys(found["KeySchema"]) == list(schema.index_keys(index))
        assert found["Projection"]["ProjectionType"] == schema.INDEX_PROJECTION
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    ttl = stack.dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == schema.TTL_ATTRIBUTE


def test_the_functions_role_as_read_back(stack: Stack) -> None:
    """Lambda may take it; what it may do names the deployed resources."""
    name = stack.outputs["ingestFunction"]
    role = stack.iam.get_role(RoleName=name)["Role"]
    policy = stack.iam.get_role_policy(RoleName=name, PolicyName=name)["PolicyDocument"]

    text = json.dumps(role["AssumeRolePolicyDocument"]) + json.dumps(policy)
    assert "lambda.amazonaws.com" in text
    for resource in (
        f"arn:aws:s3:::{stack.outputs['intakeBucket']}/*",
        stack.attributes("workQueue")["QueueArn"],
        stack.dynamodb.describe_table(TableName=stack.outputs["table"])["Table"]["TableArn"],
    ):
        assert resource in text
    # Events follow from the record: the outbox alone sends them.
    assert stack.events.describe_event_bus(Name=stack.outputs["eventBus"])["Arn"] not in text


def test_the_state_machine_is_the_shipped_one(stack: Stack) -> None:
    """With ARNs of what is declared in all its places, and its own role."""
    found = stack.states.describe_state_machine(stateMachineArn=stack.outputs["workflows"]["video"])

    assert found["roleArn"] == Roles.of(stack.outputs).machine("safelight-local-video").role
    assert "${" not in found["definition"]
    # The embedded AWS has no Batch and cannot run the function: a queue asks for both.
    assert set(re.findall(r'"Resource": "([^"]+)"', found["definition"])) == {SEND}


def test_what_the_local_stack_runs_has_its_role(stack: Stack) -> None:
    """Functions, pipe, jobs: each with a role that is there, and the names that are exported."""
    roles = Roles.of(stack.outputs)
    pipe, enrichment = roles.pipe()
    found = (roles.function(HANDLER), roles.function(WORKFLOW_HANDLER), enrichment, pipe)

    for holder in (*found, roles.jobs()):
        assert stack.iam.get_role(RoleName=holder.profile)["Role"]["Arn"] == holder.role
    assert found[0].name == stack.outputs["ingestFunction"]
    assert {one.arn for one in roles.all if one.type == "JobDefinition"} == {
        *stack.outputs["jobDefinitions"].values()
    }


def test_the_outputs_make_a_workers_environment(stack: Stack) -> None:
    """Local workers get what the function gets."""
    settings = Settings.from_environment(stack.outputs["ingestEnvironment"])

    assert settings.intake_bucket == stack.outputs["intakeBucket"]
    assert settings.queue_url == stack.outputs["workQueue"]
    assert stack.outputs["endpoint"] == stack.endpoint


# --- other ways -----------------------------------------------------------------------------


def test_without_order_the_workers_read_the_queue_that_s3_fills(
    tmp_path: Path, stack: Stack
) -> None:
    """One queue, and the environment says so."""
    outputs = deploy(
        stack.endpoint, tmp_path / "out.json", config={"intake": {"ordering": "standard"}}
    )

    assert outputs["workQueue"] == outputs["uploadsQueue"]
    assert outputs["ingestEnvironment"]["SAFELIGHT_ORDERING"] == "standard"


def test_everything_that_can_be_switched_on_is_created_or_registered(tmp_path: Path) -> None:
    """The largest program there is, in an emulator of its own that enforces roles."""
    with running(tmp_path, enforce_iam=True) as emulator:
        outputs = deploy(emulator.endpoint, tmp_path / "out.json", config=switched(on=True))
        aws = EmulatorClients(emulator.environment)
        (cors,) = aws.s3.get_bucket_cors(Bucket=outputs["intakeBucket"])["CORSRules"]

    # The page that is named, and the console.
    assert cors["AllowedOrigins"] == ["https://a.example", "https://img.example.com"]
    assert outputs["alarmTopic"].endswith(":safelight-local-alarms")


def test_a_kept_state_is_found_again(stack: Stack) -> None:
    """Data survives a restart and a repeated deployment."""
    answer = stack.s3.get_object(Bucket=stack.outputs["intakeBucket"], Key="kept")
    assert answer["Body"].read() == b"1"


def test_a_mistaken_configuration_is_said_in_lines(tmp_path: Path, stack: Stack) -> None:
    """Every mistake by its key, without a traceback, and no outputs."""
    out = tmp_path / "out.json"

    with pytest.raises(ConfigurationError) as caught:
        deploy(stack.endpoint, out, config={"intake": {"memory": 1}, "colour": "red"})

    assert "intake.memory: must be from 512 to 10240, not 1" in caught.value.message
    assert "colour: is no key of Safelight" in caught.value.message
    assert "Traceback" not in caught.value.message
    assert not out.exists()


def test_an_emulator_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    """Without an emulator the deployment fails quickly with a clear error."""
    endpoint = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(EmulatorError) as caught:
        deploy(endpoint, tmp_path / "out.json")

    assert caught.value.message.startswith(f"reach the emulator at {endpoint}")
    assert len(caught.value.message.splitlines()) == 1
