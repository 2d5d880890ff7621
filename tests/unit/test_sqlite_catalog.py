"""The local catalog's file: shared by processes, damaged, full, of another version."""

from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.catalog_records import asset_id, bare, entry, record
from worker.adapters.sqlite_catalog import VERSION, SqliteCatalog, translate
from worker.errors import (
    AlreadyRecorded,
    ConfigurationError,
    StorageFull,
    Superseded,
    Throttled,
    Unreachable,
)
from worker.records import Status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a catalog may be."""
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Iterator[SqliteCatalog]:
    """An empty catalog."""
    catalog = SqliteCatalog(path)
    yield catalog
    catalog.close()


def work(path: Path, worker: int) -> int:
    """Open the file, commit every upload and tag every asset; how many commits counted."""
    catalog = SqliteCatalog(path)
    counted = 0
    for number in range(10):
        for turn in (1, 2, 3) if worker % 2 else (3, 1, 2):
            one = bare(number, turn)
            try:
                catalog.commit(one, entry(one))
                counted += 1
            except (AlreadyRecorded, Superseded):
                pass
        catalog.update(asset_id(number), add_tags=[f"worker {worker}"])
    catalog.close()
    return counted


def test_several_processes_share_one_file(path: Path) -> None:
    """Three processes that start at once make the file together and lose nothing."""
    spawned = multiprocessing.get_context("spawn")
    with spawned.Pool(3) as pool:
        counted = pool.starmap(work, [(path, worker) for worker in range(3)])

    catalog = SqliteCatalog(path)
    found = catalog.by_status(Status.REJECTED).records
    catalog.close()
    assert {one.version for one in found} == {bare(n, 3).version for n in range(10)}
    assert {one.tags for one in found} == {frozenset(f"worker {n}" for n in range(3))}
    assert sum(one.revision for one in found) == sum(counted) + 30


FORKING = """
import os, sys
from pathlib import Path
from worker.adapters.sqlite_catalog import SqliteCatalog
catalog = SqliteCatalog(Path(sys.argv[1]))
catalog.update(sys.argv[2], add_tags=["before"])
child = os.fork()
catalog.update(sys.argv[2], add_tags=["parent" if child else "child"])
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_opens_the_file_itself(path: Path, catalog: SqliteCatalog) -> None:
    """A connection does not cross a fork; both sides go on."""
    catalog.commit(record(1), entry(record(1)))

    # In a process of its own: this one has threads, which do not survive a fork.
    subprocess.run([sys.executable, "-c", FORKING, str(path), asset_id(1)], check=True, cwd=ROOT)

    known = catalog.get(asset_id(1))
    assert known is not None
    assert known.tags == {"before", "child", "parent"}


def test_the_file_keeps_what_was_recorded(path: Path, catalog: SqliteCatalog) -> None:
    """Closed and opened again, by this process or another, it says the same."""
    committed = catalog.commit(record(1), entry(record(1)))
    catalog.close()

    again = SqliteCatalog(path)

    assert again.get(committed.asset) == committed == catalog.get(committed.asset)
    again.close()


def test_a_failed_change_leaves_nothing(catalog: SqliteCatalog) -> None:
    """After a refused commit the next one finds the file free and as it was."""
    committed = catalog.commit(record(1, 2), entry(record(1, 2)))
    with pytest.raises(Superseded):
        catalog.commit(record(1, 1), entry(record(1, 1)))

    assert catalog.get(committed.asset) == committed
    assert catalog.update(committed.asset, add_tags=["a"]).revision == 2


def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    """A file that is no database is named, and not touched."""
    path.write_text("my diary, since 1998\n" * 100)

    with pytest.raises(ConfigurationError, match=r"catalog\.sqlite"):
        SqliteCatalog(path)

    assert path.read_text().startswith("my diary")


def test_a_catalog_of_a_newer_version_is_left_alone(path: Path, catalog: SqliteCatalog) -> None:
    """Tables that this code does not know are not written to."""
    catalog.close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()

    with pytest.raises(ConfigurationError, match=f"version {VERSION + 1}"):
        SqliteCatalog(path)


def test_a_missing_folder_is_unreachable(tmp_path: Path) -> None:
    """The folder of the file must be there."""
    with pytest.raises(Unreachable):
        SqliteCatalog(tmp_path / "nowhere" / "catalog.sqlite")


def test_a_file_that_stays_locked_is_throttled(path: Path, catalog: SqliteCatalog) -> None:
    """Another program that holds the write lock for too long makes a call fail, retryably."""
    hasty = SqliteCatalog(path, lock_seconds=0)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(Throttled):
            hasty.commit(record(1), entry(record(1)))

        assert hasty.get(asset_id(1)) is None
        other.execute("ROLLBACK")
    other.close()
    assert hasty.commit(record(1), entry(record(1))).revision == 1
    hasty.close()


def test_a_full_disk_is_named() -> None:
    """No space left is an error that may be retried."""
    db = sqlite3.connect(":memory:")
    db.execute("PRAGMA max_page_count = 2")
    db.execute("CREATE TABLE one (x)")

    with pytest.raises(sqlite3.Error) as caught:
        db.execute("INSERT INTO one VALUES (?)", ("x" * 100_000,))

    db.close()
    named = translate(caught.value, Path("catalog.sqlite"))
    assert isinstance(named, StorageFull)
    assert named.retryable
    assert "catalog.sqlite" in str(named)
