"""What is asked of AWS, one call a line, for whoever compares it with what roles allow.

Off, and without any cost, unless ``SAFELIGHT_CALLS`` names a file. A line is JSON: who calls
(``identity``: the profile, else the access key), ``service`` and ``operation`` as botocore names
them, and of the parameters those that name resources. Bodies, messages and metadata are never
written. Any number of processes may write to one file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "SAFELIGHT_CALLS"
NAMES = frozenset(
    {
        "Bucket",
        "IndexName",
        "Key",
        "Prefix",
        "QueueUrl",
        "TableName",
        "VersionId",
        "jobDefinition",
        "jobId",
        "jobQueue",
        "jobs",
        "logGroupName",
        "stateMachineArn",
    }
)
"""Parameters that name a resource, as they are."""


class CallLog:
    """The file that calls are written to."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity

    def attach(self, session: Any) -> None:
        """Write every call of the clients that a boto3 session makes from now on."""
        # The first that botocore says of a call, and once, however often it is sent.
        session.events.register("provide-client-params", self._called)

    def write(self, service: str, operation: str, resources: Mapping[str, Any]) -> None:
        """Write one call."""
        line = {
            "identity": self._identity,
            "service": service,
            "operation": operation,
            "resources": resources,
        }
        # One write to the end of the file: lines of several processes do not mix.
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        try:
            os.write(descriptor, (json.dumps(line, sort_keys=True) + "\n").encode())
        finally:
            os.close(descriptor)

    def _called(self, *, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        if service != "sts":  # botocore itself, by which somebody else lets this one act
            self.write(service, model.name, resources_of(params))


def call_log(identity: str) -> CallLog | None:
    """The log of this process's environment; None if calls are not written down."""
    path = os.environ.get(VARIABLE)
    return CallLog(Path(path), identity) if path else None


def resources_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that name resources, those inside of lists too."""
    found = {name: value for name, value in params.items() if name in NAMES}
    source = params.get("CopySource")
    if isinstance(source, Mapping):
        found["CopySource"] = dict(source)
    if "Tagging" in params:  # which asks for a right of its own
        found["Tagging"] = True
    if "TransactItems" in params:  # DynamoDB: each is authorised as the operation inside of it
        found["TransactItems"] = [
            [member, item[member]["TableName"]]
            for item in params["TransactItems"]
            for member in item
        ]
    if "RequestItems" in params:
        found["RequestItems"] = sorted(params["RequestItems"])
    buses = {
        entry["EventBusName"] for entry in params.get("Entries", ()) if "EventBusName" in entry
    }
    if buses:
        found["EventBusNames"] = sorted(buses)
    return found
