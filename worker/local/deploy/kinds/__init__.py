"""Every type of resource the program may register, and how each is created. One file a service.

A type that is missing here fails the deploy, and so does an input that a kind does not name: what
the program says is done or refused, never dropped. ``registered`` lists what the embedded AWS
cannot hold, with the reason; ``adapted`` the three places where what it gets is not what is
declared.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.local.deploy.kinds import (
    buckets,
    functions,
    images,
    jobs,
    network,
    queues,
    registered,
    rights,
    tables,
    telling,
    watching,
    workflows,
)
from worker.local.deploy.kinds.kind import Kind

KINDS: Mapping[str, Kind] = {
    **buckets.KINDS,
    **queues.KINDS,
    **tables.KINDS,
    **rights.KINDS,
    **telling.KINDS,
    **watching.KINDS,
    **functions.KINDS,
    **workflows.KINDS,
    **jobs.KINDS,
    **network.KINDS,
    **images.KINDS,
    **registered.KINDS,
}
