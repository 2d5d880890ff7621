"""Every service says what it does, in the trace of the upload that it does it for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.catalogs import record
from tests.unit.api.rig import Api
from tests.unit.batch.attempts import attempt
from tests.unit.fakes import MemoryEvents
from tests.unit.kept_spans import KeptSpans, keeping_spans
from tests.unit.memory_queue import MemoryQueue
from tests.unit.review_world import ANN
from tests.unit.review_world import World as Asked
from tests.unit.test_ingest_handler import GIF, World
from tests.unit.test_invalidate import FIRST, Edges
from worker.adapters.tracing import traced
from worker.domain import trace
from worker.domain.asset import ObjectVersion
from worker.domain.errors import EngineError, Throttled, Unreachable
from worker.domain.events import Event
from worker.domain.review import Choice
from worker.entrypoints import lambda_invalidate, lambda_outbox, lambda_workflow
from worker.services.invalidate import Invalidate
from worker.services.messages import announcement
from worker.services.outbox import Outbox

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TIME = "2026-11-28T04:00:00.000Z"


@pytest.fixture
def kept() -> Iterator[KeptSpans]:
    """The spans of one test."""
    with keeping_spans() as found:
        yield found


def refuse(*_: object, **__: object) -> Any:
    """In place of a method of a port."""
    raise Unreachable("a test wants it")


def message(upload: ObjectVersion, identity: str = "m", receives: int = 1) -> dict[str, Any]:
    """A message of one upload."""
    return {
        "messageId": identity,
        "receiptHandle": f"r-{identity}",
        "body": announcement(replace(upload, time=TIME), sender="a test"),
        "attributes": {"ApproximateReceiveCount": str(receives)},
    }


# --- ingest -------------------------------------------------------------------------------------


def test_an_upload_is_traced_from_its_event_to_its_record(kept: KeptSpans) -> None:
    """Each step lies in the one above it, and ports are called within a step."""
    world = World()
    world.app = replace(
        world.app,
        store=traced(world.store, "store"),
        catalog=traced(world.catalog, "catalog"),
    )
    upload = world.store.upload("intake", "anna.gif", GIF)
    world.handle({"Records": [message(upload)]})
    (made,) = world.catalog.records.values()
    root, ingest = kept.one("upload"), kept.one("ingest")
    assert root.traceparent == made.source.trace == upload.trace
    assert {one.trace for one in kept.spans} == {root.trace}
    assert (root.parent, ingest.parent) == ("", root.span_id)
    assert kept.one("wait intake").parent == root.span_id
    assert kept.one("wait intake").stop == ingest.start
    steps = [kept.one(name) for name in ("fetch", "render", "commit")]
    assert [one.parent for one in steps] == [ingest.span_id] * 3
    assert kept.one("store").parent == kept.one("commit").span_id
    # The recipe is kept for later too, but that is no part of storing the renditions.
    above = {one.parent for one in kept.named("store.put")}
    assert above == {kept.one("store").span_id, kept.one("commit").span_id}
    assert kept.one("catalog.commit").parent == kept.one("commit").span_id
    assert ingest.attributes["safelight.outcome"] == "accepted"
    assert ingest.attributes["safelight.asset"] == made.asset
    assert kept.flushed == ["ingest"]
    assert {one.service for one in kept.spans} == {"ingest"}
    assert "anna" not in repr([(one.name, one.attributes) for one in kept.spans])


def test_no_moment_of_an_upload_is_without_a_span(kept: KeptSpans) -> None:
    """Two uploads of a batch take turns, and each says when it waits for the other."""
    world = World()
    uploads = [world.store.upload("intake", f"{one}.gif", GIF + bytes([one])) for one in range(2)]
    records = [message(one, str(number)) for number, one in enumerate(uploads)]
    world.handle({"Records": records})
    tops = kept.named("ingest")
    assert len({one.trace for one in tops}) == 2
    for top in tops:
        parts = sorted(
            (one for one in kept.spans if one.parent == top.span_id), key=lambda one: one.start
        )
        assert [one.name for one in parts][::2] == ["fetch", "render", "commit"]
        assert [one.name for one in parts][1::2] == ["wait turn"] * 2
        for before, wait in zip(parts[::2], parts[1::2], strict=False):
            assert before.stop == wait.start
        for wait, after in zip(parts[1::2], parts[2::2], strict=True):
            # A line of Python lies between the two.
            assert wait.stop <= after.start


def test_the_trace_of_an_object_takes_along_what_was_read_to_find_it(kept: KeptSpans) -> None:
    """Until the metadata is read only the event's own id is known."""
    world = World()
    upload = world.store.upload("intake", "a.gif", GIF, {trace.NAME: SENT})
    world.handle({"Records": [message(upload)]})
    assert {one.trace for one in kept.spans} == {trace.trace_id(SENT)}
    # The id that was sent is that of the sender's own span.
    assert kept.one("upload").parent == kept.one("ingest").parent == trace.span_id(SENT)


def test_a_failed_step_is_an_error_of_its_upload(kept: KeptSpans) -> None:
    """By its code; the other upload of the batch is none the worse."""
    world = World()
    world.store.__dict__["put"] = refuse
    upload = world.store.upload("intake", "a.gif", GIF)
    world.handle({"Records": [message(upload)]})
    assert kept.one("commit").error == kept.one("ingest").error == "unreachable"
    assert kept.one("render").error == ""


def test_a_rejected_upload_is_an_answer(kept: KeptSpans) -> None:
    """It has a code and no error, so at 1 % it is not kept."""
    world = World()
    upload = world.store.upload("intake", "a.gif", b"no picture")
    world.handle({"Records": [message(upload)]})
    ingest = kept.one("ingest")
    assert ingest.attributes["safelight.outcome"] == "rejected"
    assert ingest.attributes["safelight.code"] == "unknown_format"
    assert not any(one.error for one in kept.spans)


# --- outbox and invalidations -------------------------------------------------------------------


def told(asset: str, traceparent: str) -> Event:
    """An event of an asset."""
    return Event(id=asset, type="asset.accepted", asset=asset, time=TIME, traceparent=traceparent)


@pytest.mark.parametrize("code", ["", "unreachable"])
def test_the_outbox_tells_in_the_trace_of_each_asset(kept: KeptSpans, code: str) -> None:
    """One call for several assets is a span in each of their traces, with the wait before it."""
    other = trace.derived("other")
    events = MemoryEvents()
    if code:
        events.__dict__["publish"] = refuse
    found = {"1": told("a", SENT), "2": told("b", other)}
    outbox = Outbox(
        read=lambda one: (found[one["dynamodb"]["SequenceNumber"]],),
        events=events,
        queue=MemoryQueue(),
        dead_letters="dead",
    )
    records = [{"dynamodb": {"SequenceNumber": number}} for number in found]
    lambda_outbox.handle({"Records": records}, outbox)
    for name in ("wait outbox", "tell"):
        first, second = kept.named(name)
        assert first.parent == trace.span_id(SENT)
        assert (first.trace, second.trace) == (trace.trace_id(SENT), trace.trace_id(other))
    assert kept.named("wait outbox")[0].start == trace.moment(TIME)
    assert kept.named("wait outbox")[0].stop <= kept.named("tell")[0].stop
    assert [one.error for one in kept.named("tell")] == [code] * 2
    assert kept.flushed == ["outbox"]


@pytest.mark.parametrize("code", ["", "throttled"])
def test_an_invalidation_is_in_the_trace_of_its_asset(kept: KeptSpans, code: str) -> None:
    """With the wait since its event."""
    detail = {"asset": FIRST, "time": TIME, trace.NAME: SENT}
    event = json.dumps({"id": "e", "detail-type": "asset.erased", "detail": detail})
    edges = Edges(Throttled("a test wants it") if code else None)
    lambda_invalidate.handle(
        {"Records": [{"messageId": "m", "body": event}]}, Invalidate(edges=edges)
    )
    wait, done = kept.spans
    assert (wait.name, done.name, done.error) == ("wait invalidate", "invalidate", code)
    assert {one.traceparent[:36] for one in kept.spans} == {SENT[:36]}
    assert wait.start == trace.moment(TIME)


# --- workflows, people, jobs --------------------------------------------------------------------


def test_stages_and_their_run_are_traced(kept: KeptSpans) -> None:
    """A stage by its task; the run with one id, which each stage writes again, longer."""
    world = World()
    upload = world.store.upload("intake", "a.gif", GIF, {trace.NAME: SENT})
    world.handle({"Records": [message(upload)]})
    (made,) = world.catalog.records.values()
    kept.spans.clear()
    call = {
        "task": "publish",
        "stage": "publish",
        "workflow": "approve",
        "asset": made.asset,
        "version": made.version,
        "execution": "arn:aws:states:eu-west-1:123456789012:execution:approve:one",
        "started": TIME,
        trace.NAME: SENT,
    }
    lambda_workflow.answer(call, world.app)
    lambda_workflow.answer({**call, "task": "expire"}, world.app)
    assert kept.one("stage publish").parent == trace.span_id(SENT)
    assert kept.one("stage publish").attributes["safelight.outcome"] == "done"
    first, second = kept.named("run")
    assert first.span_id == second.span_id != trace.span_id(SENT)
    assert first.start == second.start == trace.moment(TIME)
    assert first.stop <= second.stop
    assert {one.trace for one in kept.spans} == {trace.trace_id(SENT)}


def test_an_event_that_starts_a_workflow_is_traced(kept: KeptSpans) -> None:
    """With the wait since the record, and the code if it fails."""
    detail = {
        "asset": "a",
        "time": TIME,
        trace.NAME: SENT,
        "data": {"workflow": "video", "version": "v"},
    }
    world = World()
    world.catalog.__dict__["get"] = refuse
    with pytest.raises(Unreachable):
        lambda_workflow.handle({"detail-type": "asset.processing", "detail": detail}, world.app)
    assert kept.one("wait workflow").start == trace.moment(TIME)
    assert kept.one("workflow").error == "unreachable"


def test_people_are_waited_for(kept: KeptSpans) -> None:
    """From the question to the decision, however long that is, written when it takes effect."""
    world = Asked()
    world.change(source=replace(world.record.source, traceparent=SENT))
    asked = world.ask()
    world.reviews.decide(ANN, asked.id, Choice.APPROVE)
    world.reviews.follow(world.record.asset)
    waited = kept.one("wait person")
    assert waited.trace == trace.trace_id(SENT)
    assert waited.start == trace.moment(asked.asked_at)
    assert waited.attributes == {"safelight.outcome": "approved"}


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "done"), (EngineError("a defect"), "failed")]
)
def test_a_job_is_traced(
    kept: KeptSpans, tmp_path: Path, error: EngineError | None, outcome: str
) -> None:
    """An attempt by its kind, with the wait since it was submitted before the first one."""
    (tmp_path / "video.mp4").write_bytes(b"data")
    words = [
        *("poster", "--input", str(tmp_path / "video.mp4"), "--output", str(tmp_path / "out")),
        *("--scratch", str(tmp_path), "--trace", SENT, "--submitted", TIME),
    ]

    def operation(_: object) -> dict[str, object]:
        if error is not None:
            raise error
        return {}

    attempt(*words, operation=operation)
    attempt(*words, operation=operation, environment={"AWS_BATCH_JOB_ATTEMPT": "2"})
    assert kept.one("wait job").start == trace.moment(TIME)
    first, second = kept.named("job poster")
    assert first.attributes["safelight.outcome"] == outcome
    assert first.error == ("engine_failed" if error else "")
    assert second.attributes["safelight.attempt"] == 2
    assert {one.trace for one in kept.spans} == {trace.trace_id(SENT)}
    assert kept.flushed == ["batch", "batch"]


# --- the API ------------------------------------------------------------------------------------


def test_the_request_of_an_upload_is_the_root_of_its_trace(kept: KeptSpans) -> None:
    """The record has the id of that very span; a caller's span is above it."""
    api = Api()
    made = api.begin()
    root = kept.one("upload")
    source = api.catalog.records[made["asset"]].source
    assert (root.traceparent, root.parent) == (source.traceparent, "")
    assert root.attributes == {
        "http.route": "/uploads",
        "http.response.status_code": 201,
    }
    wanted = {"name": "anna.jpg", "size": 1_000, "type": "image/jpeg"}
    api.call("POST", "/uploads", wanted, traceparent=SENT)
    _, below = kept.named("upload")
    assert (below.trace, below.parent) == (trace.trace_id(SENT), trace.span_id(SENT))
    assert kept.flushed == ["api", "api"]


def test_reading_is_traced_only_on_demand_and_when_it_fails(kept: KeptSpans) -> None:
    """Pages ask every second; a failure of ours is kept whatever it was."""
    api = Api()
    assert api.call("GET", "/assets").status_code == 200
    assert kept.spans == []
    assert api.call("GET", "/assets", traceparent=SENT).status_code == 200
    assert kept.one("request GET").attributes["http.route"] == "/assets"
    assert kept.one("request GET").trace == trace.trace_id(SENT)
    kept.spans.clear()
    api.catalog.__dict__["by_owner"] = refuse
    answered = api.call("GET", "/assets")
    assert answered.status_code >= 500
    failed = kept.one("request GET")
    assert failed.error == f"http_{answered.status_code}"
    assert failed.stop - failed.start > 0


def test_a_record_of_the_catalog_has_a_trace() -> None:
    """Every asset has a trace, for any kind of upload."""
    assert trace.valid(record(1).source.trace)
