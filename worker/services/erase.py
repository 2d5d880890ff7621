"""Taking an asset back: its renditions, its original, what is known about it.

The record goes last: interrupted anywhere, the same call finds it and completes the work.
"""

from __future__ import annotations

from worker.errors import AssetMissing
from worker.ports import Catalog, ObjectStore
from worker.records import AssetRecord, Status
from worker.services.ingest.output import quarantine_key, version_prefix
from worker.settings import Settings


def erase(asset: str, *, catalog: Catalog, store: ObjectStore, settings: Settings) -> AssetRecord:
    """Remove an asset; returns what was known about it.

    The original goes behind a delete marker, as S3 keeps versions: the bucket's lifecycle rule
    for replaced versions ends them after its days. Copies of renditions that other assets made
    because their bytes are identical are theirs and stay.

    Raises:
        AssetMissing: no such asset.
        TransientError: a store does not answer; call again.
    """
    record = catalog.get(asset)
    if record is None:
        raise AssetMissing(f"there is no asset {asset}")
    for rendition in record.renditions:
        store.delete(settings.delivery_bucket, rendition.key)
    if record.media or record.status is Status.HEAVY:
        # Playlists name files that the record does not, and jobs may have left some already.
        for found in store.list(settings.delivery_bucket, version_prefix(record)):
            store.delete(settings.delivery_bucket, found.key)
    if record.status is Status.REJECTED:
        store.delete(settings.quarantine_bucket, quarantine_key(record))
    # Not only the version that was handled: a marker also hides the ones before it.
    store.delete(record.source.bucket, record.source.key)
    catalog.delete(asset)
    return record
