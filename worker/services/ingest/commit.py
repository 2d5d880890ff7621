"""What surrounds the commit of an outcome, whoever commits it: ingest, or the end of heavy work.

Everything here may be repeated: a retry that finds the commit does these again, with one effect.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.domain import keys
from worker.domain.asset import AssetRecord, LogEntry, Status
from worker.domain.errors import ObjectMissing
from worker.ports import Events, ObjectStore

_IGNORED = 1_000
"""Characters of what a line of the timeline says about metadata that was left out."""


def quarantine(store: ObjectStore, bucket: str, record: AssetRecord) -> bool:
    """Keep a copy of a rejected original where nobody serves it, with the reason.

    Returns:
        False if the original is gone.
    """
    source, verdict = record.source, record.verdict
    assert verdict is not None
    try:
        store.copy(
            (source.bucket, source.key),
            (bucket, keys.quarantine_key(record)),
            version_id=source.version_id,
            metadata={
                "reason-code": verdict.code,
                "reason-message": verdict.message[:500],
                "source-key": source.key,
                "sequencer": source.sequencer,
            },
        )
    except ObjectMissing:
        return False
    return True


def entry_of(record: AssetRecord, *, ignored: Sequence[str] = ()) -> LogEntry:
    """The line of the timeline that goes with a commit.

    Args:
        ignored: what of the object's metadata could not be used, with reasons.
    """
    return LogEntry(
        time=record.updated_at,
        kind=record.status.value,
        detail={"version": record.version}
        | ({"code": record.verdict.code} if record.verdict is not None else {})
        | ({"ignored": "; ".join(ignored)[:_IGNORED]} if ignored else {}),
        id=record.version,
    )


def conclude(store: ObjectStore, events: Events, record: AssetRecord) -> None:
    """What follows a commit: a rejected original leaves the intake bucket, others are told.

    A marker of the deletion goes before it. Else the version below would come to light, and the
    bucket would show an original that the record does not know.
    """
    source = record.source
    # Without a version id a delete could hit a newer upload: then expiry does it.
    if record.status is Status.REJECTED and source.version_id is not None:
        # If it is not the current one any more, a newer upload is, and nothing comes to light.
        store.delete(source.bucket, source.key, etag=source.etag)
        store.delete(source.bucket, source.key, version_id=source.version_id)
    events.publish([keys.event_of(record)])
