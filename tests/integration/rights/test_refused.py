"""What the embedded AWS refuses: a role what is another's, a stranger everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.integration.rights.policy import allowed
from tests.integration.rights.world import World
from tests.integration.running import acting
from worker.adapters.aws.clients import AwsClients
from worker.domain.errors import AccessDenied
from worker.local import address
from worker.local.iam_simulator import IamSimulator
from worker.local.roles import RoleHolder, RootClients


def test_a_role_gets_nothing_that_is_another_ones(world: World) -> None:
    """Enforced by the embedded AWS: each of these is a call of one role with another's rights."""
    outputs = world.outputs
    uploads, work = str(outputs["uploadsQueue"]), str(outputs["workQueue"])
    intake, delivery = str(outputs["intakeBucket"]), str(outputs["deliveryBucket"])
    table = str(outputs["table"])
    ingest, pipe = world.acting(world.ingest), world.acting(world.pipe)
    job, workflow, order = (world.acting(one) for one in (world.job, world.workflow, world.order))
    key = {"PK": {"S": "ASSET#x"}, "SK": {"S": "META"}}
    message = {"MessageBody": "{}", "MessageGroupId": "g", "MessageDeduplicationId": "d"}

    refused(lambda: pipe.s3.get_object(Bucket=delivery, Key="x"))
    refused(lambda: pipe.s3.list_objects_v2(Bucket=intake))
    refused(lambda: pipe.sqs.receive_message(QueueUrl=work))
    refused(lambda: pipe.dynamodb.get_item(TableName=table, Key=key))
    # Only S3 puts anything into the queue of uploads.
    refused(lambda: pipe.sqs.send_message(QueueUrl=uploads, MessageBody="{}"))
    refused(lambda: ingest.sqs.send_message(QueueUrl=uploads, MessageBody="{}"))
    refused(lambda: ingest.sqs.send_message(QueueUrl=work, **message))  # type: ignore[arg-type]
    # A version that was rejected goes; others are found only by who may erase.
    refused(lambda: ingest.s3.list_object_versions(Bucket=intake))
    refused(lambda: job.s3.delete_object(Bucket=intake, Key="x"))
    refused(lambda: ingest.s3.put_object(Bucket=intake, Key="x", Body=b""))
    refused(lambda: ingest.dynamodb.delete_item(TableName=table, Key=key))
    refused(lambda: ingest.dynamodb.scan(TableName=table))
    # Each index has bands of perceptual hashes, which moderation asks for, beside its other lists.
    refused(lambda: pipe.dynamodb.query(**by_owner(table)))
    refused(lambda: job.s3.put_object(Bucket=intake, Key="x", Body=b""))
    refused(lambda: job.sqs.receive_message(QueueUrl=work))
    refused(lambda: job.dynamodb.get_item(TableName=table, Key=key))
    refused(lambda: job.events.put_events(Entries=[event("default")]))
    # The workflow stores blurred pictures; originals come from uploads alone.
    refused(lambda: workflow.s3.put_object(Bucket=intake, Key="x", Body=b""))
    refused(lambda: workflow.events.put_events(Entries=[event("default")]))
    refused(lambda: order.s3.list_objects_v2(Bucket=intake))
    refused(lambda: ingest.stepfunctions.start_execution(stateMachineArn=world.machine.arn))
    refused(lambda: ingest.batch.describe_jobs(jobs=["x"]))
    refused(ingest.logs.describe_log_groups)
    refused(lambda: acting(acting(world.running.root, world.workflow), world.ingest))
    with pytest.raises(AccessDenied):
        asking(world, world.machine)("batch:SubmitJob", outputs["jobDefinitions"]["stitch"])
    with pytest.raises(AccessDenied):
        asking(world, world.pipe)("lambda:InvokeFunction", world.ingest.arn)
    with pytest.raises(AccessDenied):
        asking(world, world.ingest)("states:StartExecution", world.machine.arn)


def test_who_is_nobody_gets_nothing(world: World) -> None:
    """A key that is not known, a secret that is not the key's, an operator who would make users."""
    intake = str(world.outputs["intakeBucket"])

    def clients(key: str, secret: str) -> AwsClients:
        return AwsClients(
            {**world.running.root, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
        )

    refused(lambda: clients("AKIAIOSFODNN7EXAMPLE", "x").s3.list_objects_v2(Bucket=intake))
    mine = world.running.ready["environment"]
    refused(lambda: clients(mine["AWS_ACCESS_KEY_ID"], "x").s3.list_objects_v2(Bucket=intake))
    operator = RootClients(mine)
    assert operator.s3.list_objects_v2(Bucket=intake)["Name"] == intake
    refused(operator.iam.list_users)
    refused(lambda: operator.s3.put_bucket_policy(Bucket=intake, Policy="{}"))


@pytest.mark.parametrize(
    ("profile", "answer"), [("operator", "200"), ("safelight-local-order-pipe", "AccessDenied")]
)
def test_any_client_works_by_the_configuration(world: World, profile: str, answer: str) -> None:
    """A profile leads it to the embedded AWS and gives it a user's or a role's rights."""
    file = world.running.data / address.CONFIGURATION
    assert file.stat().st_mode & 0o777 == 0o600
    program = (
        "import boto3, botocore, sys\n"
        "try: answer = boto3.client('s3').list_objects_v2(Bucket=sys.argv[1])\n"
        "except botocore.exceptions.ClientError as error: print(error.response['Error']['Code'])\n"
        "else: print(answer['ResponseMetadata']['HTTPStatusCode'])"
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(world.outputs["intakeBucket"])],
        env={**kept, "AWS_CONFIG_FILE": str(file), "AWS_PROFILE": profile},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == answer


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_a_bucket_refuses_who_does_not_come_over_tls(world: World) -> None:
    """The declared policy holds; only this machine's own address is let in without TLS."""
    operator = AwsClients(world.running.ready["environment"])
    wanted = {"Bucket": str(world.outputs["intakeBucket"])}
    url = urlsplit(operator.s3.generate_presigned_url("list_objects_v2", Params=wanted))
    assert (url.hostname, url.scheme) == ("127.0.0.1", "http")

    def status(source: str) -> int:
        connection = HTTPConnection(url.netloc, source_address=(source, 0), timeout=30)
        with closing(connection):
            connection.request("GET", f"{url.path}?{url.query}")
            return connection.getresponse().status

    assert (status("127.0.0.1"), status("127.0.0.2")) == (200, 403)


def test_only_s3_may_fill_the_queue_of_uploads(world: World) -> None:
    """The queue's own policy, for one bucket of one account."""
    root = AwsClients(world.running.root)
    url = str(world.outputs["uploadsQueue"])
    found = root.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy", "QueueArn"])
    policy, arn = json.loads(found["Attributes"]["Policy"]), found["Attributes"]["QueueArn"]
    mine = {
        "Service": "s3.amazonaws.com",
        "aws:SourceArn": f"arn:aws:s3:::{world.outputs['intakeBucket']}",
        "aws:SourceAccount": "000000000000",
    }

    assert allowed(policy, "sqs:SendMessage", arn, mine)
    assert not allowed(policy, "sqs:ReceiveMessage", arn, mine)
    assert not allowed(policy, "sqs:SendMessage", arn, {**mine, "Service": "sns.amazonaws.com"})
    assert not allowed(policy, "sqs:SendMessage", arn, {**mine, "aws:SourceArn": "arn:aws:s3:::x"})
    assert not allowed(policy, "sqs:SendMessage", arn, {**mine, "aws:SourceAccount": "1" * 12})


def refused(call: Callable[[], Any]) -> None:
    """It is refused for want of rights or of a valid signature, not for anything else."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response["ResponseMetadata"]
    codes = {"AccessDenied", "AccessDeniedException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
    assert answer["HTTPStatusCode"] in {400, 403}
    assert caught.value.response["Error"]["Code"] in codes


def asking(world: World, holder: RoleHolder) -> Callable[[str, str], None]:
    """What the local stack asks where it acts in a service's place."""
    return IamSimulator(RootClients(world.running.root), holder.role).require


def by_owner(table: str) -> dict[str, Any]:
    """A query of an index that ingest has no business in."""
    return {
        "TableName": table,
        "IndexName": "GSI1",
        "KeyConditionExpression": "GSI1PK = :p",
        "ExpressionAttributeValues": {":p": {"S": "x"}},
    }


def event(bus: str) -> Any:
    """Any event."""
    return {"EventBusName": bus, "Source": "safelight", "DetailType": "x", "Detail": "{}"}
