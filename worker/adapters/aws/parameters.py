"""Secrets in the Parameter Store of Systems Manager, encrypted with the account's own key."""

from __future__ import annotations

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code
from worker.domain.errors import ConfigurationError

KEEP_SECONDS = 300.0
"""A text is read again after so long: a rotation needs no new deployment, and an instance of a
function asks 288 times a day. Systems Manager answers 40 requests a second (its quotas)."""


class ParameterSecrets:
    """Texts under names like ``/safelight/prod/webhooks/shop``.

    Standard parameters cost nothing, a secret of Secrets Manager $0.40 a month (their pricing
    pages). Secrets Manager's rotation by a function would not help, because a person has to give
    the new secret to the receiver.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clients: AwsClients, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clients, self._clock = clients, clock
        self._kept: dict[str, tuple[float, str]] = {}

    def read(self, name: str) -> str:
        """See ``Secrets.read``. A text may be as old as ``KEEP_SECONDS``."""
        until, text = self._kept.get(name, (0.0, ""))
        if self._clock() >= until:
            text = self._get(name)
            self._kept[name] = (self._clock() + KEEP_SECONDS, text)
        return text

    def _get(self, name: str) -> str:
        with aws_call(f"read the parameter {name}"):
            try:
                answer = self._clients.ssm.get_parameter(Name=name, WithDecryption=True)
            except ClientError as error:
                if error_code(error) == "ParameterNotFound":
                    said = f"there is no parameter {name}"
                    raise ConfigurationError(said, code="secret_missing") from error
                raise
        return str(answer["Parameter"]["Value"])

    def write(self, name: str, text: str) -> None:
        """See ``Secrets.write``."""
        with aws_call(f"write the parameter {name}"):
            self._clients.ssm.put_parameter(
                Name=name, Value=text, Type="SecureString", Overwrite=True
            )
        self._kept.pop(name, None)
