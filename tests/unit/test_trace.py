"""One correlation id from an upload to its last event, through queue, workflow and jobs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from batch.arguments import read_arguments
from batch.reporting import Identity, JobReporter
from tests.unit.finalize.world import FILES, FakeWorkflows
from tests.unit.finalize.world import World as JobsWorld
from tests.unit.test_ingest_batch import body
from tests.unit.test_ingest_handler import GIF, World
from worker.adapters.event_log import event_line, parse_event
from worker.domain import trace
from worker.domain.asset import ObjectVersion
from worker.domain.job import JobRequest, command_line
from worker.entrypoints import lambda_workflow
from worker.services.messages import Envelope, changes_in, unwrapped, wrapped

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01"
VIDEO = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 100


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    """The trace of every log line of both functions."""
    found: list[Any] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(getattr(record, trace.NAME, None))

    noting = Noting()
    loggers = [logging.getLogger(name) for name in ("ingest", "workflow")]
    for each in loggers:
        each.addHandler(noting)
    yield found
    for each in loggers:
        each.removeHandler(noting)


def message(upload: ObjectVersion, attribute: str = "") -> dict[str, Any]:
    """An SQS event of one upload."""
    sent = {trace.NAME: {"stringValue": attribute, "dataType": "String"}} if attribute else {}
    record = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": body(upload),
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": sent,
    }
    return {"Records": [record]}


@pytest.mark.parametrize(
    ("metadata", "attribute", "wanted"),
    [
        ({trace.NAME: SENT}, OTHER, SENT),
        ({trace.NAME: "nonsense"}, OTHER, OTHER),
        ({}, OTHER, OTHER),
        ({}, "", None),
    ],
    ids=["metadata", "metadata that is none", "message", "neither"],
)
def test_an_upload_says_its_trace_or_has_one_of_its_own(
    metadata: dict[str, str], attribute: str, wanted: str | None, lines: list[Any]
) -> None:
    """The object's metadata stands over the message; the record, event and log lines have it."""
    world = World()
    upload = world.store.upload("intake", "a.gif", GIF, metadata)
    world.handle(message(upload, attribute))
    wanted = wanted or upload.trace
    assert trace.valid(wanted)
    (record,) = world.catalog.records.values()
    assert record.source.trace == wanted
    (event,) = world.catalog.told
    assert event.traceparent == wanted
    assert parse_event(event_line(event)) == event
    assert lines == [wanted]


def test_a_video_has_one_trace_to_its_end(lines: list[Any]) -> None:
    """Ingest, the event that starts the workflow, its input, the jobs' commands, the last event."""
    world = World()
    upload = world.store.upload("intake", "film.mov", VIDEO, {trace.NAME: SENT})
    world.handle(message(upload))
    (told,) = world.catalog.told
    workflows = FakeWorkflows()
    app = replace(world.app, workflows=workflows)
    event = {"detail-type": told.type, "detail": json.loads(event_line(told))}
    lambda_workflow.answer(event, app)
    ((_, payload),) = workflows.started.values()
    assert payload[trace.NAME] == SENT

    jobs = JobsWorld()
    jobs.store, jobs.catalog = world.store, world.catalog
    (jobs.record,) = world.catalog.records.values()
    for kind in FILES:
        jobs.leave(kind)
    end = {"task": "finish", "asset": told.asset, "version": jobs.record.version}
    lambda_workflow.answer({**end, trace.NAME: payload[trace.NAME], "jobs": []}, app)
    assert [one.type for one in world.catalog.told] == ["asset.processing", "asset.accepted"]
    assert {one.traceparent for one in world.catalog.told} == {SENT}
    assert lines == [SENT] * 3


def test_a_job_says_its_trace_in_every_line() -> None:
    """From the request through the command to the log; what is no trace is left out."""
    request = JobRequest(
        name="n",
        kind="poster",
        inputs=("s3://bucket/k",),
        output="s3://bucket/o",
        parameters={},
        traceparent=SENT,
    )
    order = read_arguments(command_line(request)[1:], {})
    assert order.traceparent == SENT
    log = io.StringIO()
    with JobReporter(Identity(kind="poster", job="j", traceparent=order.traceparent), log):
        pass
    assert {json.loads(line)[trace.NAME] for line in log.getvalue().splitlines()} == {SENT}
    assert (
        read_arguments([*command_line(replace(request, traceparent="no"))[1:]], {}).traceparent
        == ""
    )


def test_a_message_that_is_sent_back_keeps_its_trace() -> None:
    """The envelope of a dead letter carries it, and what is no envelope is itself."""
    plain = json.dumps({"Records": [json.loads(body(UPLOAD))["Records"][0]]})
    sent = Envelope(id="m", body=plain, traceparent=SENT, redriven=True)
    assert unwrapped(wrapped(sent)) == sent
    assert unwrapped(plain) == Envelope(id="", body=plain)
    (change,) = changes_in(wrapped(sent))
    assert isinstance(change, ObjectVersion)
    assert change.trace == SENT
    assert changes_in(plain)[0] == UPLOAD


UPLOAD = ObjectVersion(
    bucket="intake", key="a.gif", etag="e", sequencer="0A", size=1, version_id="v"
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        SENT.upper(),
        SENT[:-1],
        SENT + "0",
        "01" + SENT[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
    ],
)
def test_what_is_no_traceparent_is_none(text: object) -> None:
    """It comes from outside and goes into logs and commands."""
    assert trace.valid(text) == ""
    assert trace.valid(trace.new())
    assert trace.new() != trace.new()
