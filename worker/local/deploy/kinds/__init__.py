"""Every type of resource the program may register, and how each is created. One file a service.

A type that is missing here fails the deploy, and so does an input that a kind does not name: what
the program says is done or refused, never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.local.deploy.kinds import buckets, queues, registered, rights, tables, telling
from worker.local.deploy.kinds.kind import Kind

KINDS: Mapping[str, Kind] = {
    **buckets.KINDS,
    **queues.KINDS,
    **tables.KINDS,
    **rights.KINDS,
    **telling.KINDS,
    **registered.KINDS,
}
