"""Every type of resource the program may register, and what becomes of it here.

A type that is missing fails the deploy, and so does an input that a created type does not name:
what the program says is done, registered with a reason, or refused. ``emulator_patches`` has the
three places where what the emulator gets is not what is declared.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.local.deploy.kinds import created, registered, workflows
from worker.local.deploy.kinds.kind import ResourceType

RESOURCE_TYPES: Mapping[str, ResourceType] = {
    **created.RESOURCE_TYPES,
    **workflows.RESOURCE_TYPES,
    **registered.RESOURCE_TYPES,
}
