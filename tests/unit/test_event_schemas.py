"""The published schemas of events: as the code has them, and true of every event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.contract.catalogs import at, everything
from tests.unit.finalize.world import World as Heavy
from tests.unit.test_outbox import CHANGES
from worker.adapters.aws.dynamodb.stream import events_of
from worker.adapters.event_log import event_line
from worker.domain.asset import Verdict
from worker.domain.event_schemas import DRAFT, file_of, schema, schemas
from worker.domain.events import MEANING, TYPES, Event, event_of, of_review, schema_of
from worker.domain.review import Choice, Review, ReviewDecision, ReviewState
from worker.entrypoints.cli import run

PUBLISHED = Path(__file__).parents[2] / "docs/events"


def consumer() -> dict[str, Any]:
    """What somebody has who knows the published files and nothing else: a validator for each
    schema, by its name."""
    found = {}
    for path in sorted(PUBLISHED.iterdir()):
        content = json.loads(path.read_text("utf-8"))
        found[content["$id"]] = jsonschema_rs.Draft202012Validator(content, validate_formats=True)
    return found


def read(readers: dict[str, Any], event: Event) -> None:
    """Read an event as it is sent, by the schema that it names."""
    sent = json.loads(event_line(event))
    readers[sent["dataschema"]].validate(sent)


def test_the_published_schemas_are_those_of_the_code(tmp_path: Path) -> None:
    """`safelight events schema --write docs/events` brings them in line."""
    assert run(["events", "schema", "--write", str(tmp_path)]) == 0

    made = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text("utf-8") for path in PUBLISHED.iterdir()}
    assert made.keys() == {file_of(kind) for kind in TYPES}


def test_every_type_has_a_meaning() -> None:
    """Consumers read it in docs/events.md."""
    assert MEANING.keys() == TYPES.keys()


@pytest.mark.parametrize("kind", TYPES)
def test_a_schema_is_one_of_the_draft_it_names(kind: str) -> None:
    """By its own metaschema; and it names itself as events name it."""
    found = schema(kind)

    assert (found["$schema"], found["$id"]) == (DRAFT, schema_of(kind))
    jsonschema_rs.meta.validate(found)


def test_whatever_is_told_is_read_by_the_published_schemas() -> None:
    """Changes of every kind of item, a record with everything, a video, a review."""
    readers = consumer()
    video = Heavy()
    video.leave_all()
    done = video.heavy.finish(video.record.asset, video.record.version)
    assert done.record is not None
    decision = ReviewDecision(reviewer="ann", decision=Choice.APPROVE, reason="", time=at(3))
    answered = Review(
        asset=done.record.asset,
        version=done.record.version,
        number=1,
        state=ReviewState.APPROVED,
        reason=Verdict(code="held", message="look"),
        asked_at=at(1),
        closed_at=at(3),
        decisions=(decision,),
        token="secret",
    )
    review = of_review(None, answered)
    assert review is not None
    told = [one for change, _ in CHANGES.values() for one in events_of(change)]
    told += [event_of(everything(3)), event_of(done.record), review]

    for event in told:
        read(readers, event)

    assert "secret" not in event_line(review)


@pytest.mark.parametrize(
    ("name", "value"),
    [("time", "yesterday"), ("type", "asset.eaten"), ("data", {}), ("asset", "7"), ("id", "")],
)
def test_a_schema_refuses_what_is_no_event_of_its_type(name: str, value: object) -> None:
    """A test that accepts everything would say nothing."""
    sent = json.loads(event_line(event_of(everything(3))))
    reader = consumer()[sent["dataschema"]]
    reader.validate(sent)

    assert not reader.is_valid({**sent, name: value})


def test_what_is_added_later_breaks_no_reader() -> None:
    """A new attribute and a new field keep the version."""
    sent = json.loads(event_line(event_of(everything(3))))

    sent["newer"], sent["data"]["newer"] = "x", [1]

    consumer()[sent["dataschema"]].validate(sent)


def test_the_command_prints_and_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A type that there is not is named, with those there are."""
    assert run(["events", "schema", "job.failed"]) == 0
    assert json.loads(capsys.readouterr().out) == schema("job.failed")
    assert run(["events", "schema"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(list(schemas()))
    assert run(["events", "schema", "asset.eaten"]) == 2
    assert run(["events", "tail", "--type", "asset.eaten"]) == 2
    assert run(["events", "replay", "--since", "2026-11-29", "--type", "asset.eaten"]) == 2
    assert "asset.accepted" in capsys.readouterr().err


def test_schemas_that_cannot_be_written_are_no_defect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").touch()
    assert run(["events", "schema", "--write", str(tmp_path / "file" / "folder")]) == 2
    assert "defect" not in capsys.readouterr().err
