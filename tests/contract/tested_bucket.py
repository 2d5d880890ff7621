"""A store with a bucket, for the suites of every object store."""

from __future__ import annotations

from dataclasses import dataclass

from worker.ports import ObjectStore


@dataclass(frozen=True)
class BucketUnderTest:
    """A store with an empty, versioned bucket in it."""

    store: ObjectStore
    bucket: str

    def put(self, key: str, data: bytes, **more: str) -> str:
        """Store some bytes whose type does not matter."""
        return self.store.put(self.bucket, key, data, content_type="image/jpeg", metadata=more)

    def keys(self, prefix: str = "", *, after: str = "") -> list[str]:
        """What is listed."""
        return [found.key for found in self.store.list(self.bucket, prefix, after=after)]
