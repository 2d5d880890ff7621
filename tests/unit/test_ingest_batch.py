"""Batches: the next download runs beside the encoding, and time is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

import pytest

from tests.unit.fakes import MemoryCatalog, MemoryStore
from tests.unit.test_ingest import OTHER, PHOTO, POLICY
from worker.domain.asset import ObjectVersion
from worker.domain.errors import MalformedMessage, Postponed
from worker.domain.image import Probe, Recipe
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.ports import StoredObject
from worker.services.ingest import Engine, Ingest, IngestOutcome
from worker.services.ingest_pipeline import Delivery, IngestPipeline


def body(upload: ObjectVersion) -> str:
    """The S3 notification of an upload."""
    entity = {
        "key": upload.key,
        "size": upload.size,
        "eTag": upload.etag,
        "versionId": upload.version_id,
        "sequencer": upload.sequencer,
    }
    record = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": upload.bucket}, "object": entity},
    }
    return json.dumps({"Records": [record]})


class WatchedStore(MemoryStore):
    """Says when the second download has begun."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.second = threading.Event()
        self.reads = 0

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        first: int | None = None,
    ) -> tuple[bytes, StoredObject]:
        """Count, then read."""
        self.reads += 1
        if self.reads == 2:
            self.second.set()
        return super().get(bucket, key, version_id=version_id, etag=etag, first=first)


def accept_two(store: MemoryStore, process: Engine) -> None:
    """Upload two pictures and handle both in one batch."""
    ingest = Ingest(
        store=store,
        catalog=MemoryCatalog(),
        policy=POLICY,
        process=process,
    )
    uploads = [store.upload("intake", key, data) for key, data in (("a", PHOTO), ("b", OTHER))]
    deliveries = [
        Delivery(id=str(index), body=body(upload)) for index, upload in enumerate(uploads)
    ]
    with IngestPipeline(ingest, deliveries) as pipeline:
        outcomes = [pipeline.handle(str(index))[0].outcome for index in range(2)]
    assert outcomes == [IngestOutcome.ACCEPTED] * 2


def test_the_next_download_runs_beside_the_encoding() -> None:
    """The engine, at work on the first picture, sees the second one being fetched."""
    store = WatchedStore()
    overlapped = []

    def process(data: bytes, recipe: Recipe, found: Probe, sha256: str) -> ProcessedImage:
        # Waits for the other thread; would time out, and say so, if nothing ran beside it.
        overlapped.append(store.second.wait(30))
        return engine.process(data, recipe, found, sha256)

    accept_two(store, process)
    assert overlapped == [True, True]


class WaitingStore(MemoryStore):
    """Stores the first rendition only when the second picture is being encoded."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.encoding_second = threading.Event()
        self.waited: list[bool] = []

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> str:
        """Wait, then store."""
        self.waited.append(self.encoding_second.wait(30))
        return super().put(
            bucket,
            key,
            data,
            content_type=content_type,
            cache_control=cache_control,
            metadata=metadata,
            tags=tags,
        )


def test_the_next_picture_is_encoded_beside_the_storing() -> None:
    """The second picture's encoding starts before the first picture is stored."""
    store = WaitingStore()
    begun = []

    def process(data: bytes, recipe: Recipe, found: Probe, sha256: str) -> ProcessedImage:
        begun.append(data)
        if len(begun) == 2:
            store.encoding_second.set()
        return engine.process(data, recipe, found, sha256)

    accept_two(store, process)
    assert store.waited == [True] * 6


def test_what_does_not_fit_into_the_time_left_is_postponed() -> None:
    """The slowest picture so far is the measure for the next."""
    world = MemoryStore()
    ingest = Ingest(store=world, catalog=MemoryCatalog(), policy=POLICY)
    deliveries = [
        Delivery(id=str(index), body=body(world.upload("intake", str(index), PHOTO)))
        for index in range(3)
    ]
    ticks = iter([0.0, 4.0, 4.0, 5.0])  # the first takes 4 seconds, the second 1
    # Asked before each delivery, and before rendering the one after it ahead of its turn.
    left = iter([30.0, 6.5, 6.0, 5.9, 5.5])
    with IngestPipeline(
        ingest, deliveries, remaining=lambda: next(left), clock=lambda: next(ticks)
    ) as pipeline:
        assert pipeline.handle("0")[0].outcome is IngestOutcome.ACCEPTED
        assert pipeline.handle("1")[0].outcome is IngestOutcome.ACCEPTED
        with pytest.raises(Postponed):
            pipeline.handle("2")


def test_a_broken_neighbour_harms_nobody() -> None:
    """A message that is no event fails alone, although it was read ahead."""
    world = MemoryStore()
    ingest = Ingest(store=world, catalog=MemoryCatalog(), policy=POLICY)
    good = [body(world.upload("intake", key, PHOTO)) for key in ("a", "b")]
    deliveries = [
        Delivery(id="0", body=good[0]),
        Delivery(id="1", body="{"),
        Delivery(id="2", body=good[1]),
    ]
    with IngestPipeline(ingest, deliveries) as pipeline:
        assert pipeline.handle("0")[0].outcome is IngestOutcome.ACCEPTED
        with pytest.raises(MalformedMessage):
            pipeline.handle("1")
        assert pipeline.handle("2")[0].outcome is IngestOutcome.ACCEPTED
