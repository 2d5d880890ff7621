"""Moves originals to quarantine and removes them from the intake bucket.

Every function may be repeated.
"""

from __future__ import annotations

from worker.domain import keys
from worker.domain.asset import AssetRecord, ObjectVersion
from worker.domain.errors import ObjectMissing
from worker.ports import ObjectStore


def quarantine(store: ObjectStore, bucket: str, record: AssetRecord) -> bool:
    """Copy a rejected original to quarantine, with the reason.

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


def remove_original(store: ObjectStore, source: ObjectVersion) -> None:
    """Remove a version of an original for good.

    A delete marker is written before the removal. Otherwise the previous version would become
    current, and the bucket would show an original without a record.
    """
    # If it is no longer current, a newer upload is, and no older version becomes current.
    store.delete(source.bucket, source.key, etag=source.etag)
    if source.version_id is not None:
        store.delete(source.bucket, source.key, version_id=source.version_id)
