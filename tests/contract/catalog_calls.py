"""What the catalog's suites do with a catalog: commit, ask what became of it, act at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.contract.catalog_records import entry
from worker.domain.asset import AssetRecord
from worker.domain.errors import AlreadyRecorded, SafelightError, Superseded
from worker.ports import Catalog


def put(catalog: Catalog, *records: AssetRecord) -> AssetRecord:
    """Commit some outcomes in this order; the last one's record."""
    return [catalog.commit(one, entry(one)) for one in records][-1]


def outcome(catalog: Catalog, one: AssetRecord) -> str:
    """What a commit leads to: ``recorded`` or the error's code."""
    try:
        catalog.commit(one, entry(one))
    except (Superseded, AlreadyRecorded) as error:
        return error.code
    return "recorded"


def together(*calls: Callable[[], object]) -> list[object]:
    """Run some calls at the same time; their results or errors."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        start.wait()
        try:
            return call()
        except SafelightError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def phash_of(one: AssetRecord) -> str:
    """The perceptual hash of a record that has one."""
    assert one.metadata is not None
    return one.metadata.measures.phash


def sha_of(one: AssetRecord) -> str:
    """The digest of the bytes of a record that has one."""
    assert one.metadata is not None
    return one.metadata.sha256
