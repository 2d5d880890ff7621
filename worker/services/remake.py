"""Has an asset made again from its original: by the recipe of now, around the point of now.

The queue of uploads gets the message of the upload once more, and ingest sees that what is recorded
was made otherwise. The old files are served until the new files exist.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from worker.domain.asset import SERVED, AssetRecord, JobRecord, MediaType, medium_of
from worker.ports import Queue
from worker.services import ordering
from worker.services.messages import announcement
from worker.services.put_files import jobs_of


def settled(record: AssetRecord, jobs: Iterable[JobRecord]) -> str:
    """Why ingest cannot make an asset again from its original; empty if it can.

    Args:
        jobs: all that its record lists. Jobs that a user has started do not matter.
    """
    if record.status not in SERVED:
        return f"it is {record.status.value}: nothing was made of it"
    if medium_of(record) is MediaType.VIDEO:
        return "a video is not cropped, and its jobs would make the same files again"
    if jobs_of(record, jobs):
        return "it was made by jobs, which depend on the recipe alone and are not repeated"
    return ""


def announce(queue: Queue, url: str, record: AssetRecord, *, sender: str) -> None:
    """Send the message of an asset's upload again.

    Args:
        url: of the queue that the ingest function reads.
        sender: who asks, for whoever looks at the message.

    Raises:
        TransientError: the queue does not answer.
    """
    body = announcement(record.source, sender=sender)
    (answer,) = ordering.handler([{"body": body}])
    # A queue takes the same id for the same message, for five minutes.
    once = f"{answer['deduplication'][:32]}{secrets.token_hex(16)}"
    queue.send(url, [(body, answer["group"], once)])
