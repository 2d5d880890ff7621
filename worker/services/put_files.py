"""Putting files of this machine into the intake bucket, and waiting for their verdicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain import trace
from worker.domain.asset import AssetRecord, JobRecord, Status, asset_id_of
from worker.domain.errors import InputError, TransientError
from worker.domain.image import Format
from worker.domain.keys import jobs_prefix
from worker.domain.user_metadata import MAX_METADATA
from worker.imaging.formats.sniff import identify
from worker.ports import Catalog, ObjectStore

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0
"""Between two looks at uploads whose jobs run."""
RECORD_SECONDS = 120.0
"""Default of the maximum wait for a record; it takes a second or two."""
LONGEST_KEY = 1024
"""Bytes (Amazon S3 User Guide, "Naming Amazon S3 objects")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file that is in the bucket."""

    path: Path
    bucket: str
    key: str
    asset: str
    etag: str
    version_id: str | None

    def is_source_of(self, record: AssetRecord) -> bool:
        """Whether the record is about this upload, not about one before or after it."""
        if self.version_id is not None and record.source.version_id is not None:
            return record.source.version_id == self.version_id
        return record.source.etag == self.etag


def put_all(
    paths: Sequence[Path],
    *,
    store: ObjectStore,
    bucket: str,
    prefix: str = "",
    metadata: Mapping[str, str] | None = None,
) -> Iterator[Placed]:
    """Upload files as ``prefix`` + name, one after the other, each with this metadata.

    The same name again is a new version of the same asset. Everything that can be checked is
    checked before the first upload.

    Raises:
        InputError: a file is missing, cannot be read, or two have one name.
    """
    keys: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "no such file"
            raise InputError(f"{path}: {what}", code="input_missing")
        key = prefix + path.name
        try:
            size = len(key.encode())
        except UnicodeEncodeError as error:
            raise InputError(f"{path}: the name is not Unicode") from error
        if size > LONGEST_KEY:
            raise InputError(f"{path}: a key of {size} bytes; {LONGEST_KEY} is the most")
        if key in keys:
            raise InputError(f"{path} and {keys[key]} would both be {key}")
        keys[key] = path
    for key, path in keys.items():
        try:
            data = path.read_bytes()
        except OSError as error:
            text = f"{path}: {error.strerror}"
            raise InputError(text, code="input_unreadable") from error
        kind = identify(data)
        media_type = kind.media_type if isinstance(kind, Format) else "application/octet-stream"
        etag = store.put(bucket, key, data, content_type=media_type, metadata=_traced(metadata))
        yield Placed(
            path=path,
            bucket=bucket,
            key=key,
            asset=asset_id_of(bucket, key),
            etag=etag,
            version_id=store.head(bucket, key).version_id,
        )


def _traced(metadata: Mapping[str, str] | None) -> Mapping[str, str]:
    """The metadata with a new correlation id, if an object can carry that as well."""
    found = {**(metadata or {}), trace.NAME: trace.new()}
    size = sum(len(name) + len(value) for name, value in found.items())
    return found if size <= MAX_METADATA else metadata or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """The outcome of an upload."""

    upload: Placed
    record: AssetRecord
    """As it was last seen to be of this upload."""
    trouble: str = ""
    """The reason why its processing has stopped before the end; empty if it has ended."""


def await_verdicts(
    placed: Iterable[Placed],
    *,
    catalog: Catalog,
    seconds: float | None = None,
    watch: Callable[[Placed, Sequence[JobRecord]], None],
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Waited]:
    """Yield each upload once it is accepted, rejected or in review, after its jobs if it has any.

    Args:
        seconds: the longest wait; without it ``RECORD_SECONDS`` for the records, and none for jobs.
        watch: given an upload whose jobs run, and how they stand, again and again.

    Raises:
        TransientError: ``not_recorded`` or ``not_finished``: some are not after so many seconds.
    """
    began = clock()
    at_most = RECORD_SECONDS if seconds is None else seconds
    running: dict[Placed, AssetRecord] = {}
    for one, record in await_records(
        placed, catalog=catalog, seconds=at_most, pause=pause, clock=clock
    ):
        if record.status is Status.PROCESSING:
            running[one] = record
        else:
            yield Waited(upload=one, record=record)
    while running:
        for one, last in list(running.items()):
            found = catalog.get(one.asset)
            waited = _ended(one, last, found, catalog)
            if waited is None:
                watch(one, jobs_of(last, catalog.jobs(one.asset)))
                continue
            del running[one]
            yield waited
        if running:
            if seconds is not None and clock() > began + seconds:
                raise TransientError(
                    f"jobs still run after {seconds:g} s, and go on: {_listed(running)}",
                    code="not_finished",
                )
            pause(LOOK_SECONDS)


def jobs_of(record: AssetRecord, listed: Iterable[JobRecord]) -> tuple[JobRecord, ...]:
    """The jobs of the upload a record is about; ``listed`` has those of earlier ones too, and those
    that somebody asked for beside."""
    beside = f"/{jobs_prefix(record)}"
    outputs = ((job, job.detail.get("output", "")) for job in listed)
    return tuple(
        job
        for job, output in outputs
        if record.version in output.split("/") and beside not in output
    )


def _ended(
    one: Placed, last: AssetRecord, found: AssetRecord | None, catalog: Catalog
) -> Waited | None:
    """The end of an upload that jobs work on; None while they do."""
    if found is None:
        return Waited(upload=one, record=last, trouble="removed before its jobs had ended")
    if not one.is_source_of(found):
        return Waited(upload=one, record=last, trouble="overwritten before its jobs had ended")
    if found.status is not Status.PROCESSING:
        return Waited(upload=one, record=found)
    failed = [
        f"{line.detail.get('job', 'a job')} failed: {line.detail.get('cause', '')}"
        for line in catalog.timeline(one.asset)
        if line.kind == "job_failed" and line.detail.get("version") == found.version
    ]
    return Waited(upload=one, record=found, trouble="; ".join(failed)) if failed else None


def _listed(placed: Iterable[Placed]) -> str:
    names = [one.key for one in placed]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def await_records(
    placed: Iterable[Placed],
    *,
    catalog: Catalog,
    seconds: float,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Placed, AssetRecord]]:
    """Yield each upload with its record, as they are recorded.

    Raises:
        TransientError: ``not_recorded``: some are not after so many seconds.
    """
    deadline = clock() + seconds
    waiting = list(placed)
    while waiting:
        left = []
        for one in waiting:
            record = catalog.get(one.asset)
            if record is not None and one.is_source_of(record):
                yield one, record
            else:
                left.append(one)
        waiting = left
        if waiting:
            if clock() > deadline:
                raise TransientError(
                    f"not recorded after {seconds:g} s: {_listed(waiting)}", code="not_recorded"
                )
            pause(POLL_SECONDS)
