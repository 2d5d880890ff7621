"""A stack with enforced IAM that writes down what is called, and who is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.rights.justified import NOBODY
from tests.integration.rights.policy import Grant, grants
from tests.integration.running import Running, acting
from worker.adapters.aws.clients import AwsClients
from worker.local.deploy.emulator_patches import BATCHES
from worker.local.roles import RoleHolder, Roles, RootClients
from worker.local.stack import API_HANDLER, HANDLER, WORKFLOW_HANDLER


class World:
    """A stack that writes down what is called, and who is in it."""

    def __init__(self, running: Running, calls: Path) -> None:
        """It runs."""
        self.running, self.calls = running, calls
        self.outputs: Mapping[str, Any] = running.ready["outputs"]
        self.roles = Roles.of(self.outputs)
        self.ingest = self.roles.function(HANDLER)
        self.workflow = self.roles.function(WORKFLOW_HANDLER)
        self.api = self.roles.function(API_HANDLER)
        self.pipe, self.order = self.roles.pipe()
        self.job, self.machine = self.roles.jobs(), self.roles.machine("safelight-local-video")

    def acting(self, holder: RoleHolder) -> AwsClients:
        """Clients with the rights of a role, by whose name their calls are written down."""
        return AwsClients({**acting(self.running.root, holder), "AWS_PROFILE": holder.profile})

    def policies(self) -> Iterator[tuple[str, list[Grant]]]:
        """What each role allows that somebody has here, without what only the emulator asks for."""
        iam = RootClients(self.running.root).iam
        for role in iam.list_roles()["Roles"]:
            name = role["RoleName"]
            if short(name) in NOBODY:
                continue
            found: list[Grant] = []
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                text = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                found += grants(text)  # type: ignore[arg-type]
            if found:
                yield name, [one for one in found if not _emulators(one)]


def _emulators(grant: Grant) -> bool:
    """Whether only the emulator asks for it."""
    return grant.action in BATCHES.values()


def short(role: str) -> str:
    """A role's name without project and stack."""
    return role.removeprefix("safelight-local-")


@contextmanager
def unannounced(world: World) -> Iterator[None]:
    """A block in which the intake bucket tells nobody of uploads."""
    s3, bucket = AwsClients(world.running.root).s3, str(world.outputs["intakeBucket"])
    told: Any = s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        yield
    finally:
        queues: Any = {"QueueConfigurations": told["QueueConfigurations"]}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=queues)
