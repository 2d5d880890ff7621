"""Files into the intake bucket, and waiting for their records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.fakes import MemoryCatalog, MemoryStore
from worker.domain.asset import (
    AssetRecord,
    JobRecord,
    LogEntry,
    ObjectVersion,
    Status,
    asset_id_of,
    version_of,
)
from worker.domain.errors import InputError, TransientError
from worker.services.put_files import Placed, Waited, await_records, await_verdicts, put_all


def file(folder: Path, name: str, data: bytes = b"abc") -> Path:
    """A file."""
    path = folder / name
    path.write_bytes(data)
    return path


def record_of(upload: ObjectVersion, status: Status = Status.ACCEPTED) -> AssetRecord:
    """A record of an upload."""
    return AssetRecord(
        asset=asset_id_of(upload.bucket, upload.key),
        source=upload,
        recipe="r",
        recipe_digest="d",
        version=version_of(upload.etag, upload.sequencer, "d"),
        status=status,
    )


def version(placed: Placed, **changes: str) -> ObjectVersion:
    """The upload that an event would tell of."""
    upload = ObjectVersion(
        bucket=placed.bucket,
        key=placed.key,
        etag=placed.etag,
        sequencer="0A",
        size=3,
        version_id=placed.version_id,
    )
    return replace(upload, **changes)  # type: ignore[arg-type]


# --- putting ----------------------------------------------------------------------------------


def test_files_are_stored_under_prefix_and_name(tmp_path: Path) -> None:
    """Key, asset and version are those that the event will name; the type is that of the bytes."""
    store = MemoryStore()
    gif = file(tmp_path, "a b+ü.jpg", b"GIF89a" + bytes(20))

    first, again = (
        next(iter(put_all([gif], store=store, bucket="intake", prefix="uploads/")))
        for _ in range(2)
    )

    assert first.key == "uploads/a b+ü.jpg"
    assert first.asset == again.asset == asset_id_of("intake", first.key)
    assert first.version_id != again.version_id
    assert store.head("intake", first.key).content_type == "image/gif"


def test_everything_is_checked_before_the_first_upload(tmp_path: Path) -> None:
    """A missing file, a folder, two files of one name, a name too long: nothing is uploaded."""
    good, store = file(tmp_path, "good"), MemoryStore()
    (tmp_path / "folder").mkdir()
    duplicate = file(tmp_path / "folder", "good")

    for bad in (tmp_path / "none", tmp_path / "folder", duplicate):
        with pytest.raises(InputError):
            list(put_all([good, bad], store=store, bucket="intake"))
    with pytest.raises(InputError, match="1027 bytes"):
        list(put_all([good], store=store, bucket="intake", prefix="x" * 1023))

    assert store.keys("intake") == set()


# --- waiting ----------------------------------------------------------------------------------


class Clock:
    """Seconds that only pauses move; something may happen at each."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def test_records_are_told_as_they_come(tmp_path: Path) -> None:
    """The second file is recorded first and told first."""
    store, catalog, clock = MemoryStore(), MemoryCatalog(), Clock()
    one, two = put_all([file(tmp_path, "one"), file(tmp_path, "two")], store=store, bucket="intake")
    catalog.records[two.asset] = record_of(version(two))

    told = await_records([one, two], catalog=catalog, seconds=5, pause=clock.pause)
    assert next(told)[0] == two
    catalog.records[one.asset] = record_of(version(one))
    assert [placed for placed, _ in told] == [one]


def test_the_record_of_an_earlier_upload_is_waited_out(tmp_path: Path) -> None:
    """The same name again: only the record of this very version counts, even with equal bytes."""
    store, catalog, clock = MemoryStore(), MemoryCatalog(), Clock()
    (one,) = put_all([file(tmp_path, "one")], store=store, bucket="intake")
    catalog.records[one.asset] = record_of(version(one, version_id="an earlier one"))

    with pytest.raises(TransientError, match="not recorded after 5 s: one") as caught:
        list(
            await_records(
                [one], catalog=catalog, seconds=5, pause=clock.pause, clock=lambda: clock.now
            )
        )

    assert (caught.value.code, caught.value.retryable) == ("not_recorded", True)
    assert clock.now == pytest.approx(5.1)


class Heavy:
    """An upload whose jobs run, and somebody who waits for it."""

    def __init__(self, folder: Path) -> None:
        """Recorded as heavy."""
        self.catalog, self.clock = MemoryCatalog(), Clock()
        self.seen: list[tuple[str, list[str]]] = []
        (self.one,) = put_all([file(folder, "video")], store=MemoryStore(), bucket="intake")
        self.record = replace(record_of(version(self.one)), status=Status.PROCESSING)
        self.catalog.records[self.one.asset] = self.record
        self.then: list[Callable[[], object]] = []

    def watch(self, one: Placed, jobs: Sequence[JobRecord]) -> None:
        """What is told of; after that, something happens."""
        self.seen.append((one.key, [job.kind for job in jobs]))
        if self.then:
            self.then.pop(0)()

    def wait(self, seconds: float | None = None) -> list[Waited]:
        """Wait for it."""
        clock = self.clock
        return list(
            await_verdicts(
                [self.one],
                catalog=self.catalog,
                seconds=seconds,
                watch=self.watch,
                pause=clock.pause,
                clock=lambda: clock.now,
            )
        )


def job_of(record: AssetRecord, kind: str = "poster") -> JobRecord:
    """A job at work on an upload."""
    return JobRecord(
        asset=record.asset,
        id=kind + record.version,
        kind=kind,
        state="RUNNING",
        created_at="",
        updated_at="",
        detail={"output": f"s3://delivery/00/{record.asset}/{record.version}/{kind}"},
    )


def test_jobs_of_an_earlier_upload_are_not_told_of(tmp_path: Path) -> None:
    """After a second upload the command waits only for the jobs of that upload."""
    heavy = Heavy(tmp_path)
    earlier = replace(heavy.record, version="0123456789abcdef")
    heavy.catalog.put_job(job_of(earlier, "transcode"))
    heavy.catalog.put_job(job_of(heavy.record))
    accepted = replace(heavy.record, status=Status.ACCEPTED)
    heavy.then = [lambda: heavy.catalog.records.update({heavy.one.asset: accepted})]

    heavy.wait()

    assert heavy.seen == [("video", ["poster"])]


def test_jobs_are_waited_for_as_long_as_they_take(tmp_path: Path) -> None:
    """The record is there and says heavy; what its jobs do is told; its verdict ends the wait."""
    heavy = Heavy(tmp_path)
    job = job_of(heavy.record)
    accepted = replace(heavy.record, status=Status.ACCEPTED)
    heavy.then = [
        lambda: heavy.catalog.put_job(job),
        lambda: heavy.clock.pause(100_000),
        lambda: heavy.catalog.records.update({heavy.one.asset: accepted}),
    ]

    assert heavy.wait() == [Waited(upload=heavy.one, record=accepted)]
    assert heavy.seen == [("video", []), ("video", ["poster"]), ("video", ["poster"])]


def test_jobs_that_run_too_long_are_said_to_go_on(tmp_path: Path) -> None:
    """Only where a longest wait was named."""
    heavy = Heavy(tmp_path)

    with pytest.raises(TransientError, match="run after 30 s, and go on: video") as caught:
        heavy.wait(30)

    assert (caught.value.code, caught.value.retryable) == ("not_finished", True)
    assert 30 < heavy.clock.now < 33


@pytest.mark.parametrize("what", ["failed", "removed", "overwritten"])
def test_an_upload_that_comes_to_no_verdict_is_not_waited_for(tmp_path: Path, what: str) -> None:
    """Its jobs failed for no fault of it, or it is not there any more: said, not waited out."""
    heavy = Heavy(tmp_path)
    asset, catalog = heavy.one.asset, heavy.catalog
    newer = record_of(version(heavy.one, version_id="a newer one"))
    entry = LogEntry(
        time="2026-01-01T00:00:00Z",
        kind="job_failed",
        detail={"version": heavy.record.version, "job": "transcode", "cause": "no room"},
        id="1",
    )
    heavy.then = [
        {
            "failed": lambda: catalog.log(asset, entry),
            "removed": lambda: catalog.records.pop(asset),
            "overwritten": lambda: catalog.records.update({asset: newer}),
        }[what]
    ]

    (waited,) = heavy.wait()

    assert waited.record == heavy.record
    assert (
        waited.trouble
        == {
            "failed": "transcode failed: no room",
            "removed": "removed before its jobs had ended",
            "overwritten": "overwritten before its jobs had ended",
        }[what]
    )


def test_without_versions_the_etag_decides(tmp_path: Path) -> None:
    """A bucket that keeps no versions still tells one content from another."""
    (one,) = put_all([file(tmp_path, "one")], store=MemoryStore(), bucket="intake")
    bare = replace(one, version_id=None)

    assert bare.is_source_of(record_of(version(one)))
    assert not bare.is_source_of(record_of(version(one, etag="another")))


# --- taking back ------------------------------------------------------------------------------
