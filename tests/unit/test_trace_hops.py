"""The trace of an upload goes through every hop: API, ingest, files, events, webhooks, jobs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from batch.reporting import Identity, JobReporter
from tests.unit import test_webhooks as webhooks
from tests.unit.api.rig import Api
from tests.unit.finalize.world import World as JobsWorld
from tests.unit.review_world import ANN
from tests.unit.review_world import World as ReviewWorld
from tests.unit.test_deliver import ASSET
from tests.unit.test_first_view import World as FirstViews
from tests.unit.test_ingest import PHOTO, World, asked
from worker.domain import trace
from worker.domain.asset import LogEntry, Status, Verdict
from worker.domain.events import event_of, of_line
from worker.domain.review import Choice
from worker.services.deliver import TRACED_DAYS, waits_for_viewer
from worker.services.finalize import JobReport

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NEW = {"name": "a.jpg", "size": len(PHOTO), "type": "image/jpeg"}


@pytest.mark.parametrize("sent", [SENT, "", "nonsense"])
def test_a_trace_begins_with_the_call_of_the_api(sent: str) -> None:
    """The asset that waits has it: the caller's with a span of its own, or a new one."""
    api = Api()

    made = [api.call("POST", "/uploads", NEW, traceparent=sent).json() for _ in range(2)]

    given = [api.catalog.records[one["asset"]].source.trace for one in made]
    assert all(map(trace.valid, given))
    assert len({SENT, *given}) == 3  # three spans
    assert [one[:35] == SENT[:35] for one in given] == [sent == SENT] * 2
    assert trace.current() == ""


def test_ingest_goes_on_with_the_trace_of_the_api() -> None:
    """No event of a bucket carries it: the record does, also when ingest has been there before.
    Every file that is made says it, for its first delivery."""
    world = World()
    upload = asked(world, "")
    (waiting,) = world.catalog.records.values()
    source = replace(waiting.source, traceparent=SENT)
    world.catalog.records[waiting.asset] = replace(waiting, source=source)

    traces = [world.ingest(upload, receives=one).upload.trace for one in (1, 2)]

    assert upload.trace != SENT
    assert traces == [SENT, SENT]
    record = world.catalog.records[waiting.asset]
    assert record.source.trace == SENT
    assert record.renditions
    for one in record.renditions:
        assert world.store.head("delivery", one.key).metadata[trace.NAME] == SENT


def test_a_newer_upload_of_a_key_has_a_trace_of_its_own() -> None:
    """The trace of the record belongs to the earlier upload."""
    world = World()
    first = world.ingest(world.store.upload("intake", "a.jpg", PHOTO, {trace.NAME: SENT}))
    second = world.ingest(world.store.upload("intake", "a.jpg", PHOTO))

    assert (first.asset, first.upload.trace) == (second.asset, SENT)
    assert trace.valid(second.upload.trace)
    assert second.upload.trace != SENT


def test_the_events_of_reviews_and_invalidations_carry_the_trace() -> None:
    """They follow from other items than the record."""
    world = ReviewWorld(Status.ACCEPTED)
    wanted = world.record.source.trace
    world.access.isolate(ASSET, Verdict(code="held", message="look"))
    review = world.catalog.reviews_of(ASSET)[-1]
    world.reviews.decide(ANN, review.id, Choice.REJECT, "no")

    told = {one.type: one.traceparent for one in world.catalog.told}
    assert {"asset.invalidated", "asset.disapproved"} <= told.keys()
    assert set(told.values()) == {wanted}


def test_a_question_of_a_workflow_carries_the_trace() -> None:
    """So does its answer."""
    world = ReviewWorld()
    world.reviews.ask(world.call("approve", token="t"))
    (review,) = world.catalog.reviews_of(ASSET)
    world.reviews.decide(ANN, review.id, Choice.APPROVE)

    (event,) = world.catalog.told
    assert (event.type, event.traceparent) == ("asset.approved", world.record.source.trace)


def test_jobs_and_their_failures_carry_the_trace() -> None:
    """A job that says how far it is, and one that an asset waits for in vain."""
    world = JobsWorld()
    trace_ = world.record.source.trace
    identity = Identity(kind="poster", job="j", asset=world.record.asset, traceparent=trace_)
    with JobReporter(identity, io.StringIO(), catalog=lambda: world.catalog) as reporter:
        reporter.record("SUCCEEDED")
    report = JobReport(kind="transcode", failed=True, error="E", cause="C")
    world.heavy.finish(world.record.asset, world.record.version, [report])

    told = {one.type: one.traceparent for one in world.catalog.told}
    assert {"job.succeeded", "asset.failed"} <= told.keys()
    assert set(told.values()) == {trace_}


def test_a_trace_that_is_none_is_in_no_event() -> None:
    """An invalid traceparent in an item is not passed on in the event."""
    detail = {"version": "v", "cause": "closed", trace.NAME: "x"}
    event = of_line(ASSET, LogEntry(time="t", kind="invalidated", detail=detail))
    assert event is not None
    assert event.traceparent == ""
    assert trace.NAME not in event.detail


@pytest.mark.parametrize("sent", [SENT, "x", 7, None])
def test_a_webhook_says_the_trace(sent: object) -> None:
    """As the header that the receiver's own tracing looks for, if the event has one."""
    world = webhooks.World()
    envelope = json.loads(webhooks.envelope())
    envelope["detail"][trace.NAME] = sent
    world.webhooks.deliver(world.shop, [world.taken(json.dumps(envelope))])

    ((_, body, headers),) = world.receivers.requests
    assert headers.get(trace.NAME) == (SENT if sent == SENT else None)
    webhooks.verify(webhooks.secret("a"), body, headers)


def test_an_event_of_a_record_goes_out_with_its_trace() -> None:
    """From the record to the header of the request."""
    world, record = webhooks.World(), JobsWorld().record
    world.webhooks.tell("shop", record)
    world.webhooks.deliver(world.shop, world.queue.receive(world.shop.queue, limit=1))

    ((_, _, headers),) = world.receivers.requests
    assert headers[trace.NAME] == record.source.trace == event_of(record).traceparent


# --- spans of what is done for an asset outside of its upload -----------------------------------


class Spans:
    """A recorder that keeps all."""

    def __init__(self) -> None:
        self.kept: list[trace.Span] = []

    def sampled(self, trace: str) -> bool:
        """See ``trace.Recorder``."""
        return bool(trace)

    def record(self, span: trace.Span) -> None:
        """See ``trace.Recorder``."""
        self.kept.append(span)

    def flush(self, service: str) -> None:
        """See ``trace.Recorder``."""


@pytest.fixture
def spans() -> Iterator[Spans]:
    """All spans of a test."""
    made = Spans()
    trace.install(made)
    yield made
    trace.install(None)


def test_a_webhook_is_a_span_of_the_trace_with_the_wait_before_it(spans: Spans) -> None:
    """The waits between two tries are those that its receiver has earned: no span says them."""
    world = webhooks.World()
    world.answer(500)
    envelope = json.loads(webhooks.envelope())
    envelope["detail"] |= {trace.NAME: SENT, "time": "2026-01-02T00:00:00Z", "asset": ASSET}
    for receives in (1, 2):
        message = world.taken(json.dumps(envelope), receives=receives)
        world.webhooks.deliver(world.shop, [message])

    assert [one.name for one in spans.kept] == ["wait webhook", "webhook", "webhook"]
    assert {(one.trace, one.parent) for one in spans.kept} == {(SENT[3:35], SENT[36:52])}
    wait, first, _ = spans.kept
    assert wait.start == trace.moment("2026-01-02T00:00:00Z")
    assert first.error == "webhook_refused"
    assert first.attributes["safelight.asset"] == ASSET
    assert not {"example", "hook"} & set(str(first.attributes).split())


def test_the_time_between_ticket_and_upload_is_a_step(spans: Spans) -> None:
    """From the record that waits to the moment of the store; of other uploads there is none."""
    world = World()
    upload = asked(world, "")
    (waiting,) = world.catalog.records.values()
    begun = datetime.fromisoformat(upload.time) - timedelta(seconds=7)
    world.catalog.records[waiting.asset] = replace(waiting, created_at=begun.isoformat())
    world.ingest(upload)
    world.ingest(world.store.upload("intake", "another.jpg", PHOTO))

    (wait,) = (one for one in spans.kept if one.name == "wait upload")
    assert wait.stop - wait.start == 7_000_000_000
    assert [one.name for one in spans.kept].count("upload") == 1


def test_a_file_made_at_first_view_is_delivered_in_the_trace_of_its_upload(spans: Spans) -> None:
    """The record says which trace that is; long after the upload its trace gets no more spans."""
    world = FirstViews()
    now = datetime.now(UTC)
    world.catalog.records[ASSET] = replace(world.record, updated_at=now.isoformat())
    source = world.record.source.trace

    assert world.get("w/320.jpg").status == 200

    wait, deliver = (one for one in spans.kept if one.name in ("wait viewer", "deliver"))
    assert wait.name == "wait viewer"
    assert wait.start == trace.moment(now.isoformat())
    assert {one.trace for one in (wait, deliver)} == {trace.trace_id(source)}
    assert deliver.attributes["safelight.status"] == 200
    spans.kept.clear()
    waits_for_viewer((now - timedelta(days=TRACED_DAYS + 1)).isoformat(), source)
    waits_for_viewer("", source)
    assert spans.kept == []
