"""The embedded AWS killed with SIGKILL: what it has answered for is there at the next start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from tests.emulators import make_sure
from worker.local import emulator
from worker.local.durable.store import UNWRITABLE
from worker.local.roles import RootClients
from worker.subprocesses.child import Child
from worker.subprocesses.launch import tied_command

TABLE, BUCKET = "pictures", "originals"
NO_LOG = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
"""Whatever is written to the log fails."""
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Becomes a program that can write no file beyond 300 kB."""


class Kept:
    """An embedded AWS with a folder, killed and started again."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        """Nothing runs yet."""
        self.folder, self._ends = folder, ends
        (folder / "state").mkdir()

    def start(self, *launcher: str) -> RootClients:
        """Start it, with checks on; the root user's clients."""
        self.running = emulator.start(
            port=emulator.free_port(),
            log=self.folder / "log",
            state=self.folder / "state",
            enforce_iam=True,
            launcher=launcher or tied_command((), parent_death_signal=signal.SIGTERM),
        )
        self._ends.callback(self.running.stop)
        return RootClients(self.running.environment)

    def kill(self) -> None:
        """SIGKILL."""
        self.running.process.end()


@pytest.fixture
def kept(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One that does not run yet."""
    make_sure(tmp_path_factory)
    with ExitStack() as ends:
        yield Kept(tmp_path, ends)


def make_table(clients: RootClients) -> None:
    """A table with a sort key."""
    names = ("PK", "SK")
    clients.dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in names],
        BillingMode="PAY_PER_REQUEST",
    )


def texts(clients: RootClients, place: Any = None) -> tuple[list[str], str]:
    """What the stream of the table shows, and the number of its last change.

    Args:
        place: number of a change to begin behind; None begins with the oldest one.
    """
    reader: Any = clients._client("dynamodbstreams")
    [found] = reader.list_streams(TableName=TABLE)["Streams"]
    described = reader.describe_stream(StreamArn=found["StreamArn"])["StreamDescription"]
    [shard] = described["Shards"]
    named = {"StreamArn": found["StreamArn"], "ShardId": shard["ShardId"]}
    after = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place}
    begin = {"ShardIteratorType": "TRIM_HORIZON"} if place is None else after
    first = reader.get_shard_iterator(**named, **begin)["ShardIterator"]
    records = reader.get_records(ShardIterator=first)["Records"]
    assert all(one["dynamodb"]["NewImage"]["raw"] == {"B": b"\x00\xff"} for one in records)
    shown = [one["dynamodb"]["NewImage"]["text"]["S"] for one in records]
    return shown, records[-1]["dynamodb"]["SequenceNumber"] if records else ""


def test_a_change_and_its_record_in_the_stream_are_one(kept: Kept) -> None:
    """After a kill every answered change is in the stream once, and a reader continues after it."""
    clients = kept.start()
    make_table(clients)
    stream: Any = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    clients.dynamodb.update_table(TableName=TABLE, StreamSpecification=stream)
    for number in range(30):
        put(clients, "same", str(number))
    shown, place = texts(clients)
    assert shown == [str(number) for number in range(30)]

    for turn in range(2):
        kept.kill()
        clients = kept.start()
        assert texts(clients) == ([str(number) for number in range(30 + turn)], place)
        put(clients, "same", str(30 + turn))
        behind, last = texts(clients, place)
        assert behind == [str(30 + turn)]
        assert last > place
        place = last
    assert items(clients) == {"same": "31"}


def put(clients: RootClients, sk: str, text: str) -> None:
    """One item."""
    item: Any = {"PK": {"S": "a"}, "SK": {"S": sk}, "text": {"S": text}, "raw": {"B": b"\x00\xff"}}
    clients.dynamodb.put_item(TableName=TABLE, Item=item)


def items(clients: RootClients) -> dict[str, str]:
    """Texts by sort key."""
    found = clients.dynamodb.scan(TableName=TABLE)["Items"]
    assert all(item["raw"] == {"B": b"\x00\xff"} for item in found)
    return {item["SK"]["S"]: item["text"]["S"] for item in found}


def test_items_are_as_after_the_last_answer(kept: Kept) -> None:
    """Set, changed, removed, in a transaction, refused; a table that is made anew is empty."""
    clients = kept.start()
    make_table(clients)
    for number in range(4):
        put(clients, str(number), "old")
    key = {"PK": {"S": "a"}, "SK": {"S": "1"}}
    clients.dynamodb.delete_item(TableName=TABLE, Key=key)
    clients.dynamodb.transact_write_items(
        TransactItems=[
            {
                "Update": {
                    "TableName": TABLE,
                    "Key": {**key, "SK": {"S": "2"}},
                    "UpdateExpression": "SET #t = :new",
                    "ExpressionAttributeNames": {"#t": "text"},
                    "ExpressionAttributeValues": {":new": {"S": "ü🙂"}},
                }
            },
            {"Delete": {"TableName": TABLE, "Key": {**key, "SK": {"S": "3"}}}},
        ]
    )
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        clients.dynamodb.put_item(
            TableName=TABLE,
            Item={**key, "SK": {"S": "0"}},
            ConditionExpression="attribute_not_exists(PK)",
        )
    kept.kill()

    clients = kept.start()
    assert items(clients) == {"0": "old", "2": "ü🙂"}
    described = clients.dynamodb.describe_table(TableName=TABLE)["Table"]
    assert described["ItemCount"] == 2
    clients.dynamodb.delete_table(TableName=TABLE)
    make_table(clients)
    put(clients, "9", "of the second table")
    kept.kill()

    assert items(kept.start()) == {"9": "of the second table"}


def test_queues_lose_nothing_and_give_nothing_twice(kept: Kept) -> None:
    """Order, receipts, hidden messages, counts, deduplication, dead letters, purges."""
    clients = kept.start()
    sqs = clients.sqs
    dead = sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    named = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": named["Attributes"]["QueueArn"], "maxReceiveCount": "1"}
    attributes: Any = {"FifoQueue": "true", "RedrivePolicy": json.dumps(policy)}
    url = sqs.create_queue(QueueName="work.fifo", Attributes=attributes)["QueueUrl"]
    purged = sqs.create_queue(QueueName="purged")["QueueUrl"]
    for number in range(5):
        send(clients, url, number)
    sqs.send_message(QueueUrl=purged, MessageBody="x")
    sqs.purge_queue(QueueUrl=purged)
    (first,) = receive(clients, url, visibility=100)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    (second,) = receive(clients, url, visibility=100)
    kept.kill()

    clients = kept.start()
    assert receive(clients, url) == []  # the second is still held, and those behind it wait
    send(clients, url, 0)  # known: nothing is added
    clients.sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0
    )
    kept.kill()

    clients = kept.start()
    (third,) = receive(clients, url)  # the second has used up its receives
    assert (second["Body"], third["Body"]) == ("1", "2")
    clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    send(clients, url, 5)
    kept.kill()

    clients = kept.start()
    assert [one["Body"] for one in receive(clients, dead)] == ["1"]
    found = receive(clients, url)
    while found:
        assert int(found[0]["Attributes"]["SequenceNumber"]) > 0
        clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
        third, found = found[0], receive(clients, url)
    assert third["Body"] == "5"
    assert receive(clients, purged) == []
    sent = send(clients, url, 6)
    assert int(sent["SequenceNumber"]) > int(third["Attributes"]["SequenceNumber"])


def send(clients: RootClients, url: str, number: int) -> Any:
    """A message in the one group."""
    body = str(number)
    return clients.sqs.send_message(
        QueueUrl=url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body
    )


def receive(clients: RootClients, url: str, *, visibility: int = 30) -> list[Any]:
    """What can be had at once, one at most."""
    return list(
        clients.sqs.receive_message(
            QueueUrl=url, VisibilityTimeout=visibility, AttributeNames=["All"]
        ).get("Messages", [])
    )


def test_an_upload_and_its_event_are_one(kept: Kept) -> None:
    """Every version that was answered for is there and was told of, also right before the kill."""
    clients = kept.start()
    url = bucket_with_events(clients)
    versions = [
        clients.s3.put_object(Bucket=BUCKET, Key="a ü/1.jpg", Body=b"%d" % number)["VersionId"]
        for number in range(5)
    ]
    clients.s3.delete_object(Bucket=BUCKET, Key="a ü/1.jpg", VersionId=versions[1])
    assert [content(clients, version) for version in (versions[0], *versions[2:])] == [*b"0234"]
    kept.kill()

    clients = kept.start()
    told = []
    for message in clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
        body = json.loads(message["Body"])
        told += [one["s3"]["object"]["versionId"] for one in body.get("Records", [])]
    assert sorted(told) == sorted(versions)
    listed = clients.s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [one["VersionId"] for one in listed] == [*reversed(versions[2:]), versions[0]]
    assert [content(clients, version) for version in (versions[0], *versions[2:])] == [*b"0234"]
    assert clients.s3.get_object(Bucket=BUCKET, Key="a ü/1.jpg")["Body"].read() == b"4"
    clients.s3.delete_object(Bucket=BUCKET, Key="a ü/1.jpg", VersionId=versions[4])
    assert clients.s3.get_object(Bucket=BUCKET, Key="a ü/1.jpg")["Body"].read() == b"3"
    assert clients.s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"


def content(clients: RootClients, version: str) -> int:
    """The one byte of a version."""
    found = clients.s3.get_object(Bucket=BUCKET, Key="a ü/1.jpg", VersionId=version)
    (byte,) = found["Body"].read()
    return int(byte)


def bucket_with_events(
    clients: RootClients, events: Any = ("s3:ObjectCreated:*",), *, versions: str = "Enabled"
) -> str:
    """A bucket that tells a queue of its events; the queue's URL."""
    url = clients.sqs.create_queue(QueueName="uploads")["QueueUrl"]
    named = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = named["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    place: Any = {"LocationConstraint": emulator.REGION}
    clients.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    if versions:
        clients.s3.put_bucket_versioning(
            Bucket=BUCKET,
            VersioningConfiguration={"Status": versions},  # type: ignore[typeddict-item]
        )
    clients.s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": events}]},
    )
    return url


def test_who_has_taken_a_role_has_it_still(kept: Kept) -> None:
    """Keys of users and sessions of roles go on: nobody has to sign in again."""
    clients = kept.start()
    clients.iam.create_user(UserName="somebody")
    key = clients.iam.create_access_key(UserName="somebody")["AccessKey"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    role = clients.iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(trust))[
        "Role"
    ]["Arn"]
    sts = clients._client("sts")
    session = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    kept.kill()
    kept.start()

    for who in (
        (key["AccessKeyId"], key["SecretAccessKey"], ""),
        (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]),
    ):
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        environment = {**kept.running.environment, **dict(zip(names, who, strict=True))}
        found = RootClients(environment)._client("sts").get_caller_identity()
        assert found["Arn"].endswith(("user/somebody", "assumed-role/worker/test"))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")
@pytest.mark.parametrize("log", ["elsewhere", "on the same disk"])
def test_what_the_disk_does_not_take_is_not_answered_for(kept: Kept, log: str) -> None:
    """A full disk ends the process before the answer, also if not even its log can be written;
    what was there before is there after."""
    here = log == "on the same disk"
    if here and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which takes nothing")
    clients = kept.start(sys.executable, "-c", (NO_LOG if here else "") + LIMITED)
    clients.s3.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    clients.s3.put_object(Bucket=BUCKET, Key="small", Body=b"x" * 1000)

    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        clients.s3.put_object(Bucket=BUCKET, Key="large", Body=b"x" * 400_000)
    assert kept.running.process.wait(10)
    assert kept.running.process.status == UNWRITABLE
    assert here or "cannot be kept" in (kept.folder / "log").read_text()

    clients = kept.start()
    listed = clients.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [(one["Key"], one["Size"]) for one in listed] == [("small", 1000)]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")
def test_an_event_is_on_disk_before_its_object(kept: Kept) -> None:
    """If the disk does not take the object, its event has been kept: never the other way round."""
    clients = kept.start(sys.executable, "-c", LIMITED)
    url = bucket_with_events(clients)
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        clients.s3.put_object(Bucket=BUCKET, Key="large", Body=b"x" * 400_000)
    assert kept.running.process.wait(10)

    clients = kept.start()
    assert events_of(clients, url) == [("ObjectCreated:Put", "large")]
    assert "Contents" not in clients.s3.list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("versions", ["Enabled", "Suspended"])
def test_an_event_is_on_disk_before_its_object_is_removed(kept: Kept, versions: str) -> None:
    """A process that ends right after the event has removed nothing."""
    clients = kept.start()
    both = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    url = bucket_with_events(clients, both, versions=versions)
    clients.s3.put_object(Bucket=BUCKET, Key="1.jpg", Body=b"1")
    assert events_of(clients, url) == [("ObjectCreated:Put", "1.jpg")]
    [described] = kept.folder.rglob("1.jpg.meta.json")
    before = described.read_bytes()
    described.unlink()
    described.mkdir()  # a file that can neither be written nor removed
    with suppress(ConnectionClosedError, EndpointConnectionError):
        clients.s3.delete_object(Bucket=BUCKET, Key="1.jpg")
    kept.kill()
    described.rmdir()
    described.write_bytes(before)

    clients = kept.start()
    [(event, key)] = events_of(clients, url)
    assert event.startswith("ObjectRemoved:")
    assert key == "1.jpg"


def events_of(clients: RootClients, url: str) -> list[tuple[str, str]]:
    """The events that wait in a queue, each with its key; they are removed."""
    found = []
    for message in clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
        clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        for one in json.loads(message["Body"]).get("Records", []):
            found.append((one["eventName"], one["s3"]["object"]["key"]))
    return found


def test_what_ministack_has_saved_itself_is_taken_over(kept: Kept) -> None:
    """A folder of before: its items and messages are there, and what is removed stays removed."""
    started = plain(kept.folder)
    try:
        clients = RootClients(started.environment)
        make_table(clients)
        put(clients, "1", "kept")
        put(clients, "2", "to be removed")
        url = clients.sqs.create_queue(QueueName="work")["QueueUrl"]
        clients.sqs.send_message(QueueUrl=url, MessageBody="kept")
    finally:
        started.stop()

    clients = kept.start()
    assert items(clients) == {"1": "kept", "2": "to be removed"}
    removed: Any = {"PK": {"S": "a"}, "SK": {"S": "2"}}
    clients.dynamodb.delete_item(TableName=TABLE, Key=removed)
    kept.kill()

    clients = kept.start()
    assert items(clients) == {"1": "kept"}
    assert [one["Body"] for one in receive(clients, clients.sqs.list_queues()["QueueUrls"][0])]


def plain(folder: Path) -> emulator.Emulator:
    """ministack as it comes, saving at its end."""
    port = emulator.free_port()
    variables = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": emulator.REGION,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "IOT_MTLS_ENABLED": "0",
    }
    process = Child(
        [str(emulator.install())],
        environment={**os.environ, **variables},
        stderr=subprocess.DEVNULL,
    )
    started = emulator.Emulator(f"http://127.0.0.1:{port}", process)
    emulator._await_answer(started, folder / "log")
    return started


def test_pages_of_an_index_are_in_order_after_a_kill(kept: Kept) -> None:
    """In both directions, each item once, with items that were changed, removed and kept."""
    clients = kept.start()
    keys = ("PK", "SK", "IPK", "ISK")
    clients.dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "PK", "KeyType": "HASH"},
            {"AttributeName": "SK", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "turn",
                "KeySchema": [
                    {"AttributeName": "IPK", "KeyType": "HASH"},
                    {"AttributeName": "ISK", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in keys],
        BillingMode="PAY_PER_REQUEST",
    )

    def place(number: int, turn: int) -> None:
        texts = {"PK": f"a{number}", "SK": "s", "IPK": "open", "ISK": f"{turn:03}"}
        item: Any = {name: {"S": text} for name, text in texts.items()}
        clients.dynamodb.put_item(TableName=TABLE, Item=item)

    for number in range(12):
        place(number, number * 7 % 12)
    assert pages(clients, forward=True) == [f"{turn:03}" for turn in range(12)]
    place(3, 50)  # from 009
    gone: Any = {"PK": {"S": "a4"}, "SK": {"S": "s"}}  # 004
    clients.dynamodb.delete_item(TableName=TABLE, Key=gone)
    kept.kill()
    clients = kept.start()
    place(20, 4)

    expected = ["000", "001", "002", "003", "004", "005", "006", "007", "008", "010", "011", "050"]
    assert pages(clients, forward=True) == expected
    assert pages(clients, forward=False) == expected[::-1]


def pages(clients: RootClients, *, forward: bool) -> list[str]:
    """Sort keys of an index, page by page."""
    found: list[str] = []
    start: dict[str, Any] = {}
    while True:
        page: Any = clients.dynamodb.query(
            TableName=TABLE,
            IndexName="turn",
            KeyConditionExpression="#p = :p",
            ExpressionAttributeNames={"#p": "IPK"},
            ExpressionAttributeValues={":p": {"S": "open"}},
            ScanIndexForward=forward,
            Limit=5,
            **start,
        )
        found += [item["ISK"]["S"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
