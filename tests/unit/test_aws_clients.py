"""AWS clients: how they are made, and the log of what is asked of them."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from worker.adapters.aws.clients import READ_SECONDS, VARIABLE, AwsClients, call_log, resources_of
from worker.adapters.aws.sqs import WAIT_SECONDS
from worker.domain.errors import ConfigurationError

ENVIRONMENT = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1",
    "AWS_ENDPOINT_URL_SFN": "http://127.0.0.1:2",
    "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:3",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": "eu-north-1",
}


def test_importing_and_making_them_does_not_load_boto3() -> None:
    """A process that never asks AWS does not pay for loading its library."""
    program = (
        "import sys; from worker.adapters.aws.clients import AwsClients; AwsClients();"
        "sys.exit('boto3' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


def test_the_environment_decides_where_to() -> None:
    """One endpoint for all services, another for a service that has its own, by AWS's names."""
    clients = AwsClients(ENVIRONMENT)

    assert clients.s3.meta.endpoint_url == "http://127.0.0.1:4566"
    assert clients.dynamodb.meta.endpoint_url == "http://127.0.0.1:4566"
    assert clients.rekognition.meta.endpoint_url == "http://127.0.0.1:4566"
    assert clients.sqs.meta.endpoint_url == "http://127.0.0.1:1"
    assert clients.stepfunctions.meta.endpoint_url == "http://127.0.0.1:2"
    assert clients.events.meta.endpoint_url == "http://127.0.0.1:3"
    assert clients.s3.meta.region_name == "eu-north-1"
    clients.close()


def test_without_an_endpoint_it_is_aws() -> None:
    """Without an endpoint variable clients use the real service in the region."""
    clients = AwsClients({"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ENDPOINT_URL": ""})

    assert clients.sqs.meta.endpoint_url == "https://sqs.eu-central-1.amazonaws.com"
    clients.close()


@pytest.mark.parametrize(
    "wrong", [{"AWS_REGION": "not a region!"}, {"AWS_ENDPOINT_URL": "not a URL"}]
)
def test_a_mistake_in_the_environment_is_said(wrong: dict[str, str]) -> None:
    """An impossible region or endpoint is a mistake that somebody must mend, not a traceback."""
    with pytest.raises(ConfigurationError, match="not a "):
        _ = AwsClients(ENVIRONMENT | wrong).s3


def test_threads_get_the_same_client() -> None:
    """Threads that ask first at the same moment share one client, and so its connections."""
    clients = AwsClients(ENVIRONMENT)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: clients.sqs, range(16)))

    assert len({id(client) for client in made}) == 1
    clients.close()


def test_every_client_has_limits() -> None:
    """Attempts, times and connections are bounded; a long poll fits into the read timeout."""
    clients = AwsClients(ENVIRONMENT, attempts=2, connections=7)
    config: Any = clients.s3.meta.config  # the stubs leave out what is asked for here

    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
    assert config.max_pool_connections == 7
    assert config.connect_timeout < config.read_timeout == READ_SECONDS
    assert READ_SECONDS > WAIT_SECONDS
    clients.close()


def test_closed_clients_are_made_anew() -> None:
    """After a close the next use has a new client."""
    clients = AwsClients(ENVIRONMENT)
    before = clients.sqs
    clients.close()

    assert clients.sqs is not before
    clients.close()


# --- calls, written down ----------------------------------------------------------------------

NOWHERE = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "eu-central-1",
}


def lines(path: Path) -> list[dict[str, Any]]:
    """What was written."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def put(clients: AwsClients) -> None:
    """One call, answered."""
    with Stubber(clients.s3) as s3:
        s3.add_response("put_object", {})
        clients.s3.put_object(Bucket="b", Key="k/ü", Body=b"secret bytes", Metadata={"who": "me"})
    clients.close()


def test_a_call_is_written_with_its_caller_and_its_resources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The access key stands for who calls; the body and its metadata are not written."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "calls"))

    put(AwsClients(NOWHERE))

    assert lines(tmp_path / "calls") == [
        {
            "identity": "AKIA",
            "service": "s3",
            "operation": "PutObject",
            "resources": {"Bucket": "b", "Key": "k/ü"},
        }
    ]


def test_a_profile_is_who_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role's name says more than a key of one of its sessions."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "calls"))

    put(AwsClients({**NOWHERE, "AWS_PROFILE": "safelight-local-ingest"}))

    assert lines(tmp_path / "calls")[0]["identity"] == "safelight-local-ingest"


def test_nothing_is_written_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off without the variable."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)

    put(AwsClients(NOWHERE))

    assert call_log("x") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"CopySource": {"Bucket": "a", "Key": "b", "VersionId": "c"}, "Metadata": {"x": "y"}},
            {"CopySource": {"Bucket": "a", "Key": "b", "VersionId": "c"}},
        ),
        (
            {
                "TransactItems": [
                    {"Put": {"TableName": "t", "Item": {"secret": {"S": "x"}}}},
                    {"ConditionCheck": {"TableName": "u", "Key": {}}},
                ]
            },
            {"TransactItems": [["Put", "t"], ["ConditionCheck", "u"]]},
        ),
        ({"RequestItems": {"t": {"Keys": []}}}, {"RequestItems": ["t"]}),
        (
            {"Entries": [{"EventBusName": "b", "Detail": "x"}, {"EventBusName": "a"}]},
            {"EventBusNames": ["a", "b"]},
        ),
        ({"QueueUrl": "q", "Entries": [{"Id": "1", "MessageBody": "x"}]}, {"QueueUrl": "q"}),
    ],
)
def test_resources_are_found_inside_of_lists(
    params: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Names of buckets, keys, tables, queues and buses, and nothing else."""
    assert resources_of(params) == expected
