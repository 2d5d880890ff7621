"""Secrets in the Parameter Store of the emulator, and answers that are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from botocore.stub import Stubber

from tests.contract.canned import clients_for
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.parameters import KEEP_SECONDS, ParameterSecrets
from worker.domain.errors import AccessDenied, ConfigurationError, SafelightError, Throttled

NAME = "/safelight/test/webhooks/shop"


@pytest.fixture
def stubbed() -> Iterator[tuple[ParameterSecrets, Stubber]]:
    """Secrets whose answers are given."""
    with clients_for("http://127.0.0.1:1") as clients, Stubber(clients.ssm) as stub:
        yield ParameterSecrets(clients), stub


def test_what_is_written_is_read(clients: AwsClients, fresh: Callable[[str], str]) -> None:
    """A secret is made and replaced, and kept encrypted."""
    name = f"/safelight/{fresh('stack')}/webhooks/shop"
    secrets = ParameterSecrets(clients)
    with pytest.raises(ConfigurationError) as caught:
        secrets.read(name)
    assert caught.value.code == "secret_missing"
    secrets.write(name, "one")
    assert secrets.read(name) == "one"
    secrets.write(name, "two one")
    assert secrets.read(name) == "two one"
    assert clients.ssm.get_parameter(Name=name)["Parameter"]["Type"] == "SecureString"


def test_a_text_is_kept_for_some_minutes(clients: AwsClients, fresh: Callable[[str], str]) -> None:
    """Another process sees a rotation after ``KEEP_SECONDS``, and not by asking each time."""
    name, clock = f"/safelight/{fresh('stack')}/webhooks/shop", [0.0]
    here = ParameterSecrets(clients, clock=lambda: clock[0])
    there = ParameterSecrets(clients)
    there.write(name, "old")
    assert here.read(name) == "old"
    there.write(name, "new")
    clock[0] = KEEP_SECONDS - 1
    assert here.read(name) == "old"
    clock[0] = KEEP_SECONDS
    assert here.read(name) == "new"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", AccessDenied),
        ("ThrottlingException", Throttled),
        ("ParameterNotFound", ConfigurationError),
    ],
)
def test_errors_are_ours(
    stubbed: tuple[ParameterSecrets, Stubber], code: str, kind: type[SafelightError]
) -> None:
    """Errors of Systems Manager map to classes with the right ``retryable``."""
    secrets, stub = stubbed
    stub.add_client_error("get_parameter", code, "no", 400)
    with pytest.raises(kind):
        secrets.read(NAME)


def test_the_value_is_asked_for_decrypted(stubbed: tuple[ParameterSecrets, Stubber]) -> None:
    """The exact request."""
    secrets, stub = stubbed
    stub.add_response(
        "get_parameter",
        {"Parameter": {"Name": NAME, "Value": "text"}},
        {"Name": NAME, "WithDecryption": True},
    )
    assert secrets.read(NAME) == "text"
