"""Which queues `safelight dlq` looks into on AWS: what the environment names."""

from __future__ import annotations

import pytest

from tests.unit.test_settings import COMPLETE
from worker.entrypoints.cli.target import find_target
from worker.services.dead_letters import QueuePair

WORK = QueuePair(queue="https://sqs.example/q", dead_letters="https://sqs.example/d")
PIPED = {
    "SAFELIGHT_UPLOADS_QUEUE_URL": "https://sqs.example/u",
    "SAFELIGHT_UPLOADS_DLQ_URL": "https://sqs.example/u-dead",
}


def pairs(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> tuple[QueuePair, ...]:
    """Of a deployment that is described so."""
    for name, value in (COMPLETE | environment | {"AWS_REGION": "eu-north-1"}).items():
        monkeypatch.setenv(name, value)
    return find_target(None).queue_pairs


def test_the_queue_before_the_pipe_is_looked_into_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that the pipe failed on are dead letters there, and are sent back to the pipe in
    S3's form."""
    before = QueuePair(
        queue="https://sqs.example/u", dead_letters="https://sqs.example/u-dead", direct=False
    )

    assert pairs(PIPED, monkeypatch) == (WORK, before)


def test_the_workflow_has_dead_letters_and_no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events come from a bus."""
    heavy = QueuePair(queue="", dead_letters="https://sqs.example/heavy-dead")

    told = {"SAFELIGHT_HEAVY_DLQ_URL": heavy.dead_letters}
    assert pairs(told, monkeypatch) == (WORK, heavy)
    assert heavy.name == "heavy-dead"


def test_invalidations_have_a_queue_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages sent back to it are not wrapped like uploads."""
    queue, dead = "https://sqs.example/invalidations", "https://sqs.example/invalidations-dead"
    told = {"SAFELIGHT_INVALIDATIONS_QUEUE_URL": queue, "SAFELIGHT_INVALIDATIONS_DLQ_URL": dead}

    found = pairs(told, monkeypatch)

    assert found == (WORK, QueuePair(queue=queue, dead_letters=dead, events=True))


def test_changes_that_were_not_told_have_dead_letters_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They come from a stream, and are not sent back."""
    untold = QueuePair(queue="", dead_letters="https://sqs.example/outbox-dead", changes=True)

    told = {"SAFELIGHT_OUTBOX_DLQ_URL": untold.dead_letters}
    assert pairs(told, monkeypatch) == (WORK, untold)


def test_without_a_pipe_there_is_one_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack without order names the same queue twice."""
    same = {
        "SAFELIGHT_UPLOADS_QUEUE_URL": WORK.queue,
        "SAFELIGHT_UPLOADS_DLQ_URL": WORK.dead_letters,
    }

    assert pairs(same, monkeypatch) == (WORK,)


def test_who_names_one_queue_only_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function's own variables are enough for everything else."""
    assert pairs({}, monkeypatch) == (WORK,)
