"""A services for jobs: S3 in memory with its transfers, a catalog, and attempts in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.arguments import read_arguments
from batch.job_services import JobServices
from batch.runner import perform
from batch.work import Operation
from tests.unit.fakes import MemoryCatalog, MemoryStore
from worker.domain.asset import JobRecord
from worker.domain.errors import ObjectChanged
from worker.job_context import Stop


class MemoryTransfers:
    """``outputs.Transfers`` on a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def download(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        etag: str | None = None,
        size: int | None = None,
        stop: Stop | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write an object to a file."""
        data, _ = self._store.get(bucket, key, etag=etag)
        if size is not None and len(data) != size:
            raise ObjectChanged("another size")
        path.write_bytes(data)
        if progress is not None:
            progress(len(data))

    def upload(
        self,
        path: Path,
        bucket: str,
        key: str,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> None:
        """Write a file to an object."""
        self._store.put(
            bucket,
            key,
            path.read_bytes(),
            content_type=content_type,
            cache_control=cache_control,
            metadata=metadata,
            tags=tags,
        )


class JobsCatalog(MemoryCatalog):
    """A catalog that remembers every write of a job."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.written: list[JobRecord] = []

    def jobs(self, asset: str) -> Sequence[JobRecord]:
        """See the port."""
        return list({job.id: job for job in self.written if job.asset == asset}.values())

    def put_job(self, job: JobRecord) -> None:
        """See the port."""
        self.written.append(job)


class MemoryServices(JobServices):
    """The services of a job, in memory."""

    def __init__(self) -> None:
        """Start empty."""
        self.memory, self.assets = MemoryStore(), JobsCatalog()
        super().__init__(self.memory, MemoryTransfers(self.memory), self.assets)


@dataclass(frozen=True)
class Ended:
    """How an attempt ended."""

    code: int
    lines: Sequence[Mapping[str, Any]]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """The lines of one event."""
        return [line for line in self.lines if line.get("event") == name]


def attempt(
    *arguments: str,
    operation: Operation | None = None,
    services: JobServices | None = None,
    stop: Stop | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run one attempt in this process."""
    log = io.StringIO()
    code = perform(
        read_arguments(arguments, environment or {}),
        services=services or MemoryServices(),
        stop=stop or Stop(),
        log=log,
        operation=operation,
    )
    return Ended(code, [json.loads(line) for line in log.getvalue().splitlines()])
