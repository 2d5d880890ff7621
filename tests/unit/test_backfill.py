"""Backfill: what lay there before, at a rate, resumably, without overruling a real event."""

from __future__ import annotations

import gzip
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fakes import MODIFIED, MemoryStore
from tests.unit.memory_queue import MemoryQueue
from worker import prices
from worker.domain.asset import ObjectVersion, sort_key
from worker.domain.errors import InputError, Throttled
from worker.domain.keys import cache_metadata
from worker.entrypoints.cli.backfill import load, save
from worker.prices import Assumptions, Prices
from worker.services import backfill
from worker.services.backfill import BackfillProgress, ListedObject, Listing
from worker.services.inventory import COLUMNS, open_inventory
from worker.services.messages import changes_in

TIME = "2026-01-02T03:04:05.678Z"
URL = "http://here/work.fifo"


def found(key: str, *, size: int = 10, bucket: str = "intake", mark: str = "") -> ListedObject:
    """An object."""
    return ListedObject(
        bucket=bucket, key=key, size=size, modified=TIME, etag="e", mark=mark or key
    )


@dataclass
class Objects:
    """A source of so many objects."""

    count: int
    name: str = "objects"

    def after(self, mark: str) -> Iterator[ListedObject]:
        """Objects 1 to count."""
        for number in range(int(mark or 0) + 1, self.count + 1):
            yield found(f"k{number}", mark=str(number))


class Run:
    """A queue, saved progress and a clock that only pauses move."""

    def __init__(self) -> None:
        """Start at the beginning."""
        self.queue = MemoryQueue()
        self.saved: list[BackfillProgress] = []
        self.seconds = 0.0

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def __call__(
        self, source: backfill.BackfillSource, *, rate: float = 1000, stop_after: int | None = None
    ) -> BackfillProgress:
        """Go on where the last run was."""
        return backfill.run(
            source,
            task=backfill.IngestTask(queue=self.queue, url=URL, bucket="intake"),
            rate=rate,
            progress=self.saved[-1] if self.saved else BackfillProgress(source=source.name),
            save=self.saved.append,
            stopped=lambda: stop_after is not None and len(self.queue.sent) >= stop_after,
            pause=self.pause,
            clock=lambda: self.seconds,
        )

    @property
    def keys(self) -> list[str]:
        """Keys of the messages sent, in order."""
        return [upload.key for _, body, *_ in self.queue.sent for upload in changes_in(body)]


# --- the sequencer ----------------------------------------------------------------------------


@given(
    real=st.integers(min_value=1, max_value=16**16 - 1),
    moment=st.datetimes(min_value=datetime(2006, 3, 14)),  # noqa: DTZ001 - strategies want it so
)
def test_a_real_event_is_newer_than_any_listed_object(real: int, moment: datetime) -> None:
    """The event wins for any sequencer of S3's 16 to 18 digits and any time of modification."""
    listed = backfill.sequencer_of(f"{moment}")

    for text in (f"{real:016X}", f"00{real:016X}"[:18]):
        if text.strip("0") and text[:16].strip("0"):
            assert sort_key(text) > sort_key(listed)


def test_of_two_listed_objects_the_later_one_is_newer() -> None:
    """A second backfill that sees a newer object under the key replaces the first one's record."""
    earlier, later = "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.679Z"

    assert sort_key(backfill.sequencer_of(later)) > sort_key(backfill.sequencer_of(earlier))
    assert backfill.sequencer_of(earlier) == backfill.sequencer_of("2026-01-02T04:04:05.678+01:00")
    assert int(backfill.sequencer_of(earlier), 16) > 0


# --- a run ------------------------------------------------------------------------------------


def test_objects_become_upload_events() -> None:
    """Ingest reads from the message what S3 would have told it, whatever is in the key."""
    run, store = Run(), MemoryStore()
    uploaded = store.upload("intake", "a b+c/ü%41.jpg", b"abc")
    store.upload("intake", "z", b"abc")

    run(Listing(store=store, bucket="intake"))

    (upload,) = changes_in(run.queue.sent[0][1])
    assert isinstance(upload, ObjectVersion)
    assert upload.key == "a b+c/ü%41.jpg"
    assert (upload.bucket, upload.size, upload.version_id) == ("intake", 3, None)
    assert (upload.etag, upload.time) == (uploaded.etag, MODIFIED)
    assert len({group for *_, group, _ in run.queue.sent}) == 2


def test_the_same_object_is_the_same_message() -> None:
    """Two runs over one listing send equal groups and deduplication ids."""
    first, second = Run(), Run()
    first(Objects(3))
    second(Objects(3))

    assert first.queue.sent == second.queue.sent


def test_the_rate_is_kept() -> None:
    """100 objects at 20 a second: ten requests, the last one after 4.5 seconds."""
    run = Run()

    progress = run(Objects(100), rate=20)

    assert progress == BackfillProgress(
        source="objects", mark="100", sent=100, bytes=1000, finished=True
    )
    assert run.seconds == pytest.approx(4.5)


def test_a_stopped_run_goes_on_where_it_was() -> None:
    """Stopped after 30 of 95 and started again: every object once, in order."""
    run = Run()

    stopped = run(Objects(95), stop_after=30)
    assert (stopped.sent, stopped.finished) == (30, False)
    finished = run(Objects(95))

    assert (finished.sent, finished.finished) == (95, True)
    assert run.keys == [f"k{number}" for number in range(1, 96)]


def test_a_queue_that_fails_loses_nothing() -> None:
    """The next run sends messages that the queue did not accept; progress is stored after a send,
    never before."""
    run = Run()
    run.queue.fuse.burns_at = 3
    run.queue.fuse.error = lambda: Throttled("slow down")

    with pytest.raises(Throttled):
        run(Objects(35))
    assert run.saved[-1].mark == "20"
    run(Objects(35))

    assert run.keys == [f"k{number}" for number in range(1, 36)]


def test_folder_markers_are_passed_over() -> None:
    """The empty objects that consoles make to show a folder are no uploads."""

    class Mixed(Objects):
        def after(self, mark: str) -> Iterator[ListedObject]:
            return iter([found("a/", size=0), found("a/b"), found("c/", size=5)])

    run = Run()
    progress = run(Mixed(0))

    assert run.keys == ["a/b", "c/"]
    assert (progress.sent, progress.skipped) == (2, 1)


def test_another_bucket_is_refused() -> None:
    """Ingest passes over events of other buckets: enqueuing them would look like success."""

    class Foreign(Objects):
        def after(self, mark: str) -> Iterator[ListedObject]:
            return iter([found("a", bucket="elsewhere")])

    run = Run()
    with pytest.raises(InputError, match="elsewhere"):
        run(Foreign(0))
    with pytest.raises(InputError, match="elsewhere"):
        backfill.estimate(Foreign(0), bucket="intake", price=PRICE, need=NEED)
    assert run.queue.sent == []


PRICE, NEED = prices.load()
Figures = TypeVar("Figures", Prices, Assumptions)


def test_every_price_says_whence_and_when() -> None:
    """A figure without a source or a date is a rumour."""
    found = tomllib.loads(resources.files("worker").joinpath("prices.toml").read_text("utf-8"))
    lines = [line for name in ("prices", "assumptions") for line in found[name].values()]
    # Not of the file are the region of the prices and their steps.
    assert len(lines) == len(fields(Prices)) - 2 + len(fields(Assumptions))
    for line in lines:
        assert {"value", "of", "source", "noted"} <= set(line)
        assert line["value"] > 0
        assert line["source"].startswith(("https://", "docs/", "pulumi/"))
        assert isinstance(line["noted"], date)


def only(kind: type[Figures], **values: float) -> Figures:
    """Figures of which all others are nothing."""
    names = {one.name for one in fields(kind)} - {"region", "above"}
    whole: Any = dict.fromkeys(names, 0.0) | values
    return kind(**whole)


def test_an_estimate_counts_and_prices() -> None:
    """A million photos of 1 MB: each part of the price by hand from the prices in one place."""
    one = backfill.estimate(
        Objects(1),
        bucket="intake",
        price=only(
            Prices,
            get_request=1,
            put_request=10,
            queue_request=100,
            invocation=1000,
            event=10_000,
            gigabyte_second=1,
            write_unit=2,
            read_unit=3,
        ),
        need=only(
            Assumptions,
            seconds_fixed=1,
            seconds_per_megabyte=1e5,
            gigabytes=2,
            renditions=6,
            write_units=5,
            read_units=7,
            batch=10,
        ),
    )

    assert (one.objects, one.bytes, one.skipped) == (1, 10, 0)
    assert one.requests_usd == pytest.approx(2 + 60 + 30 + 100 + 10_000)
    assert one.compute_usd == pytest.approx((1 + 1) * 2)
    assert one.catalog_usd == pytest.approx(10 + 21)
    assert one.total_usd == pytest.approx(one.requests_usd + 4 + 31)


# --- inventories ------------------------------------------------------------------------------

ROW = '"intake","{key}","{size}","2026-01-02T03:04:05.000Z","e1"\n'


def inventory(folder: Path, text: str, *, packed: bool = False) -> Path:
    """An inventory file."""
    path = folder / ("inventory.csv.gz" if packed else "inventory.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_inventory_keys_are_decoded(tmp_path: Path, packed: bool) -> None:
    """Keys are URL-encoded in inventories; plain and gzip files read the same."""
    text = ROW.format(key="a+b%2Bc/%C3%BC.jpg", size=12) + ROW.format(key="z", size=3)

    first, second = open_inventory(inventory(tmp_path, text, packed=packed)).after("")

    assert (first.key, first.size, first.etag) == ("a b+c/ü.jpg", 12, "e1")
    assert (second.key, second.mark) == ("z", "2")


def test_an_inventory_goes_on_after_a_row(tmp_path: Path) -> None:
    """A mark is a number of rows, because inventories need not be sorted."""
    text = "".join(ROW.format(key=key, size=1) for key in "cab")

    assert [one.key for one in open_inventory(inventory(tmp_path, text)).after("1")] == ["a", "b"]


def test_old_versions_and_delete_markers_are_no_objects(tmp_path: Path) -> None:
    """Of an inventory with all versions, only the current ones are uploads."""
    columns = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate"
    rows = [
        '"intake","a","v2","true","false","5","2026-01-02T03:04:05.000Z"',
        '"intake","a","v1","false","false","5","2026-01-01T03:04:05.000Z"',
        '"intake","b","v3","true","true","","2026-01-02T03:04:05.000Z"',
    ]

    (only,) = open_inventory(inventory(tmp_path, "\n".join(rows)), columns).after("")

    assert (only.key, only.version_id, only.etag) == ("a", "v2", "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('"intake","a"\n', "row 1: 2 columns instead of 5"),
        (ROW.format(key="a", size="many"), "row 1"),
        ('"intake","a","5","yesterday","e"\n', "row 1"),
        ('"intake","a"x,"5"\n', "expected after"),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path: Path, text: str, says: str) -> None:
    """A bad row is never skipped silently: the error names the row and the mistake."""
    with pytest.raises(InputError, match=says):
        list(open_inventory(inventory(tmp_path, text)).after(""))


def test_a_damaged_gzip_file_is_an_input_error(tmp_path: Path) -> None:
    """An inventory that was cut off half-way is no shorter inventory."""
    path = inventory(tmp_path, ROW.format(key="a", size=1) * 100, packed=True)
    path.write_bytes(path.read_bytes()[:-12])

    with pytest.raises(InputError) as caught:
        list(open_inventory(path).after(""))
    assert caught.value.code == "input_unreadable"


def test_columns_that_are_needed_must_be_there(tmp_path: Path) -> None:
    """Without size and time there is no event to make; a missing file is said as such."""
    with pytest.raises(InputError, match="Size, LastModifiedDate"):
        open_inventory(inventory(tmp_path, ""), "Bucket, Key")
    with pytest.raises(InputError) as caught:
        open_inventory(tmp_path / "none.csv")
    assert caught.value.code == "input_missing"


def test_another_file_or_other_columns_are_another_source(tmp_path: Path) -> None:
    """The progress of one inventory is not taken for that of the next one of the same name."""
    path = inventory(tmp_path, ROW.format(key="a", size=1))
    first = open_inventory(path).name
    reordered = COLUMNS.replace("Size, LastModifiedDate", "LastModifiedDate, Size")

    assert open_inventory(path, reordered).name != first
    inventory(tmp_path, ROW.format(key="a", size=1) * 2)
    assert open_inventory(path).name != first


# --- the state file ---------------------------------------------------------------------------


def test_progress_survives_in_its_file(tmp_path: Path) -> None:
    """Saved, loaded, finished: a finished backfill begins anew."""
    path, progress = (
        tmp_path / "deep" / "state.json",
        BackfillProgress(source="s", mark="k", sent=7),
    )

    assert load(path, "s") == BackfillProgress(source="s")
    save(path, progress)
    assert load(path, "s") == progress
    assert [item.name for item in path.parent.iterdir()] == ["state.json"]
    save(path, replace(progress, finished=True))
    assert load(path, "s") == BackfillProgress(source="s")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"source": "s", "other": 1}', "\xff"])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, text: str) -> None:
    """Starting over silently could cost a million requests."""
    path = tmp_path / "state.json"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(InputError) as caught:
        load(path, "s")
    assert caught.value.code == "input_unreadable"


def test_the_state_of_another_source_is_refused(tmp_path: Path) -> None:
    """A mark means nothing in another listing."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"source": "s3://a/"}))

    with pytest.raises(InputError, match="s3://a/"):
        load(path, "s3://b/")


# --- cache tags -------------------------------------------------------------------------------

OF_ASSET = "0b/01890f6e-0000-7000-8000-000000000001/0123456789abcdef/large.jpg"


def test_cache_tags_are_given_to_what_lacks_them() -> None:
    """Everything of an asset has its tag afterwards; what has it or is of none stays."""
    run, store = Run(), MemoryStore()
    tagged = OF_ASSET.replace("large", "medium")
    store.put("renditions", OF_ASSET, b"large", content_type="image/jpeg", metadata={"a": "b"})
    store.put(
        "renditions", tagged, b"m", content_type="image/jpeg", metadata=cache_metadata(tagged)
    )
    store.put("renditions", "recipes/0.json", b"{}", content_type="application/json")
    store.renew("renditions", OF_ASSET, tags={"superseded": "true"})
    store.fuse.calls.clear()

    done = backfill.run(
        Listing(store=store, bucket="renditions"),
        task=backfill.CacheTagTask(store=store, bucket="renditions"),
        rate=1000,
        progress=BackfillProgress(source="s3://renditions/"),
        save=run.saved.append,
        pause=run.pause,
        clock=lambda: run.seconds,
    )

    assert (done.sent, done.skipped, done.finished) == (2, 1, True)
    asset = OF_ASSET.split("/")[1]
    found = store.versions["renditions", OF_ASSET][-1]
    assert found.metadata == {"a": "b", "cache-tag": f"a:{asset}"}
    assert found.tags == {"superseded": "true"}
    assert store.fuse.calls.count("store.renew") == 1


def test_cache_tags_are_for_the_delivery_bucket_alone() -> None:
    """An inventory of another bucket is refused before anything is written."""
    task = backfill.CacheTagTask(store=MemoryStore(), bucket="renditions")

    with pytest.raises(InputError, match="only the delivery bucket"):
        task.wants(found(OF_ASSET, bucket="intake"))


def test_the_cost_of_cache_tags_is_that_of_requests() -> None:
    """Two reads and a write for each object that may lack its tag."""
    store = MemoryStore()
    store.put("renditions", OF_ASSET, b"12345", content_type="image/jpeg")
    store.put("renditions", "recipes/0.json", b"{}", content_type="application/json")
    price, _ = prices.load()

    made = backfill.CacheTagTask(store=store, bucket="renditions").estimate(
        Listing(store=store, bucket="renditions"), after="", price=price
    )

    assert (made.objects, made.skipped, made.bytes, made.compute_usd) == (1, 1, 5, 0)
    assert made.total_usd == pytest.approx(
        2 * price.get_request + price.put_request + 2 / 1000 * price.list_request
    )
