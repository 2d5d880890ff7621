"""AWS clients: made late, once, from the environment that is given."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from worker.adapters.aws.clients import READ_SECONDS, AwsClients
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
    """Nothing said means the real service in the region."""
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
