"""The record of calls: who asks for what of which resource, and nothing of what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from worker.adapters.aws.clients import VARIABLE, AwsClients, call_log, resources_of

ENVIRONMENT = {
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

    put(AwsClients(ENVIRONMENT))

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

    put(AwsClients({**ENVIRONMENT, "AWS_PROFILE": "safelight-local-ingest"}))

    assert lines(tmp_path / "calls")[0]["identity"] == "safelight-local-ingest"


def test_nothing_is_written_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off without the variable."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)

    put(AwsClients(ENVIRONMENT))

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
