"""The roles and users of the local stack: each process has the rights of what it stands for.

``Roles`` reads from a deploy which role belongs to what the local stack runs itself.
``Profiles`` makes the two users that are no part of a deployment and writes the AWS configuration
by which every process takes its role: botocore assumes it at the first call and renews it before it
expires.
"""

from __future__ import annotations

import configparser
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.domain.errors import EmulatorError
from worker.local.deploy import ROLE_HOLDERS, Outputs, emulator_patches
from worker.local.emulator import REGION, ROOT_KEY, address_environment, client_environment

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

VERSION = "2012-10-17"
"""Of the language of policies."""
ROOT = "root"
"""Profile of the account's root user, who makes everything and does nothing of the pipeline's."""
OPERATOR = "operator"
"""Profile and user: who works with the commands."""
SERVICE = "service"
"""Profile and user: the local stack itself, where it takes the place of AWS services (for example
to pass an event of the bus to its targets)."""


class RootClients(AwsClients):
    """The clients of the account's root user, with IAM: the images do not hold its description."""

    @property
    def iam(self) -> IAMClient:
        """IAM."""
        client: IAMClient = self._client("iam")
        return client


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleHolder:
    """A function, pipe, state machine or kind of job that is deployed with a role."""

    type: str
    name: str
    arn: str
    role: str
    """ARN of the role."""
    code: str
    enrichment: str

    @property
    def profile(self) -> str:
        """Of the AWS configuration: the role's name."""
        return self.role.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Roles:
    """All role holders of a deploy."""

    all: Sequence[RoleHolder]

    @classmethod
    def of(cls, outputs: Outputs) -> Roles:
        """Those that a deploy has left."""
        return cls(tuple(RoleHolder(**one) for one in outputs[ROLE_HOLDERS]))

    def function(self, handler: str) -> RoleHolder:
        """The function that runs a handler, ``module:name``."""
        return self._one("Function", code=handler.replace(":", "."))

    def pipe(self) -> tuple[RoleHolder, RoleHolder]:
        """The pipe, and the function that enriches its messages."""
        pipe = self._one("Pipe")
        return pipe, self._one("Function", arn=pipe.enrichment)

    def machine(self, name: str) -> RoleHolder:
        """The state machine with a name."""
        return self._one("StateMachine", name=name)

    def jobs(self) -> RoleHolder:
        """One kind of job, for all: they share a role."""
        jobs = [one for one in self.all if one.type == "JobDefinition"]
        if len({one.role for one in jobs}) != 1:
            raise EmulatorError("jobs have several roles, and the local stack gives them one")
        return jobs[0]

    def _one(self, kind: str, **wanted: str) -> RoleHolder:
        found = [
            one
            for one in self.all
            if one.type == kind and all(getattr(one, name) == wanted[name] for name in wanted)
        ]
        if len(found) != 1:
            raise EmulatorError(f"the program declares {len(found)} of {kind} {wanted or ''}")
        return found[0]


class Profiles:
    """The AWS configuration of a local stack: one profile a role and user.

    Args:
        file: the configuration; only its owner may read it.
        endpoint: URL of the embedded AWS.
    """

    def __init__(self, file: Path, endpoint: str) -> None:
        self._file, self._endpoint = file, endpoint

    def write(self, roles: Iterable[str], users: Mapping[str, Sequence[Any]]) -> None:
        """Make the users and write the profiles of all. A user keeps the key that it has.

        Args:
            roles: ARNs.
            users: statements of each user's policy, by name.

        Raises:
            SafelightError: the embedded AWS or the disk refuses.
        """
        root = {"aws_access_key_id": ROOT_KEY, "aws_secret_access_key": ROOT_KEY}
        profiles = {ROOT: root}
        clients = RootClients(client_environment(self._endpoint))
        before = self._read()
        for name, statements in users.items():
            with aws_call(f"make the user {name}"):
                profiles[name] = _user(clients, name, statements, before.get(name, {}))
        for role in sorted(set(roles)):
            name = role.rpartition("/")[2]
            profiles[name] = {
                "role_arn": role,
                "source_profile": ROOT,
                "role_session_name": "local",
            }
        clients.close()
        self._write(profiles)

    def environment(self, profile: str) -> dict[str, str]:
        """Variables by which a process works with the rights of one profile only."""
        return {
            **address_environment(self._endpoint),
            "AWS_CONFIG_FILE": str(self._file),
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,  # what a person has there is not ours
            "AWS_PROFILE": profile,
        }

    def key_environment(self, user: str) -> dict[str, str]:
        """Variables by which a process works as a user, without a configuration."""
        section = self._read()[user]
        return {
            **address_environment(self._endpoint),
            "AWS_ACCESS_KEY_ID": section["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": section["aws_secret_access_key"],
        }

    def _read(self) -> dict[str, Mapping[str, str]]:
        """The profiles in the file; none if there is none, or no configuration."""
        read = configparser.ConfigParser(interpolation=None)
        try:
            read.read_string(self._file.read_text("utf-8"))
        except (FileNotFoundError, UnicodeDecodeError, configparser.Error):
            return {}
        return {name.removeprefix("profile "): read[name] for name in read.sections()}

    def _write(self, profiles: Mapping[str, Mapping[str, str]]) -> None:
        made = configparser.ConfigParser(interpolation=None)
        # With these a profile is all that any client needs: AWS_CONFIG_FILE=... AWS_PROFILE=...
        reached = {"region": REGION, "endpoint_url": self._endpoint}
        made.read_dict({f"profile {name}": {**reached, **profiles[name]} for name in profiles})
        text = io.StringIO()
        made.write(text)
        with disk_call(self._file):
            atomic_write(self._file, text.getvalue(), mode=0o600)


def _user(
    clients: RootClients, name: str, statements: Sequence[Any], before: Mapping[str, str]
) -> dict[str, str]:
    """Make a user; returns the key: the key in ``before``, if the embedded AWS has it."""
    iam, user = clients.iam, f"safelight-local-{name}"
    kept = False
    try:
        iam.create_user(UserName=user)
    except iam.exceptions.EntityAlreadyExistsException:
        for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
            if key["AccessKeyId"] == before.get("aws_access_key_id"):
                kept = "aws_secret_access_key" in before
            else:  # its secret is lost
                iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    document = emulator_patches.rights(
        json.dumps({"Version": VERSION, "Statement": list(statements)})
    )
    iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=document)
    if kept:
        return {name: before[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    key_ = iam.create_access_key(UserName=user)["AccessKey"]
    return {
        "aws_access_key_id": key_["AccessKeyId"],
        "aws_secret_access_key": key_["SecretAccessKey"],
    }
