"""What pauses when the daily limit is spent, and that nothing else does."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.rig import Api
from tests.unit.api.test_work import ListedJobs, accepted
from tests.unit.cli_pipeline import pipeline
from tests.unit.memory_ledger import MemoryLedger
from tests.unit.memory_queue import MemoryQueue
from tests.unit.test_lambda_upgrade import add_log, application, lines
from tests.unit.test_moderate import Moderated
from tests.unit.test_upgrade import World
from worker.bootstrap import Application
from worker.domain import metrics
from worker.domain.ledger import Trip
from worker.entrypoints import lambda_upgrade
from worker.services.breaker import Breaker, OptionalWork
from worker.services.messages import changes_in
from worker.services.moderate import FirstLook
from worker.settings import Settings


def tripped() -> Breaker:
    """A breaker on a day whose limit is spent."""
    ledger, today = MemoryLedger(), datetime.now(UTC).strftime("%Y-%m-%d")
    now = datetime.now(UTC)
    ledger.trip(Trip(day=today, time=f"{today}T00:00:00Z", usd=101.5, limit=100.0))
    # Whatever the hour of the test run is, it is one day.
    return Breaker(ledger=ledger, limit=100.0, now=lambda: now)


@pytest.fixture
def api() -> Api:
    """An API whose daily limit is spent."""
    api = Api(jobs=ListedJobs())
    api.services.app.__dict__["breaker"] = tripped()
    return api


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/assets/{asset}/reprocess", None),
        ("PATCH", "/assets/{asset}", {"focal_point": {"x": 0.2, "y": 0.3}}),
        ("POST", "/jobs", {"kind": "denoise", "assets": ["{asset}"]}),
    ],
)
def test_what_may_wait_is_refused_and_nothing_changes(
    api: Api, method: str, path: str, body: Any
) -> None:
    """503 with the code and a time, without the sums; the record stays, no message is sent."""
    asset = accepted(api)
    before = api.catalog.records[asset]
    if body is not None and "assets" in body:
        body = {**body, "assets": [asset]}

    answered = api.call(method, path.format(asset=asset), body)

    assert (answered.status_code, answered.json()["code"]) == (503, "paused")
    assert 0 < int(answered.headers["retry-after"]) <= 86_400
    assert "101" not in answered.text
    assert api.catalog.records[asset] == before
    assert not api.queue.bodies("work.fifo")
    assert not api.services.jobs.requests  # type: ignore[union-attr]


def test_what_may_not_wait_goes_on(api: Api) -> None:
    """Uploads, tags and urgent jobs; and the restart of jobs that an upload waits for."""
    asset = accepted(api)

    assert api.begin()
    assert api.call("PATCH", f"/assets/{asset}", {"add_tags": ["sea"]}).status_code == 200
    urgent = {"kind": "denoise", "assets": [asset], "urgent": True}
    assert api.call("POST", "/jobs", urgent).status_code == 202


def test_the_daily_upgrades_wait_for_the_next_day() -> None:
    """No log is read, nothing is encoded, and it is counted."""
    world = World()
    add_log(world, "one", lines(world, 10_000))
    app = application(world)
    app.__dict__["breaker"] = tripped()
    metrics.take()

    assert lambda_upgrade.handle(app, remaining=lambda: 900.0) == {"paused": True}
    counted = [(one.metric, one.labels) for one in metrics.take()]
    assert counted == [(metrics.PAUSED, (("work", "upgrade"),))]


def test_no_sample_is_taken() -> None:
    """Pictures that the classifier passes are accepted; the classifier itself still runs."""
    world = Moderated()
    world.put_off = tripped().stops
    record = world.upload(sample=1.0)

    assert record.moderation is not None
    assert (record.moderation.outcome.value, record.moderation.sampled) == ("pass", False)
    assert record.workflow == ""


def test_a_backfill_ends_after_its_batch_and_goes_on_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is passed in the middle: exit code 75, and each object is enqueued once in all."""
    now = datetime.now(UTC)
    trip = Trip(day=now.date().isoformat(), time=now.isoformat(), usd=101.5, limit=100.0)

    with pipeline(tmp_path / "data", capsys, monkeypatch) as world:
        seconds = itertools.count(0, 61)  # so that each batch asks the ledger

        def assemble(settings: Settings, _: object) -> Application:
            app = world.assemble(settings)
            app.__dict__["breaker"] = Breaker(
                ledger=world.ledger, limit=100.0, now=lambda: now, clock=lambda: next(seconds)
            )
            return app

        class Queue(MemoryQueue):
            def send(self, queue: str, bodies: Any, **more: Any) -> None:
                super().send(queue, bodies, **more)
                if len(self.sent) == 20:
                    world.ledger.trip(trip)

        world.queue = Queue()
        monkeypatch.setattr("worker.bootstrap.assemble", assemble)
        keys = [f"before/{number:02}.jpg" for number in range(35)]
        for key in keys:
            world.store.upload("intake", key, b"x")
        words = ("backfill", "s3://intake/before/", "--state", tmp_path / "s.json", "--json")
        metrics.take()

        out, err = world.run(*words, code=75)
        assert (json.loads(out)["sent"], json.loads(out)["finished"]) == (20, False)
        assert json.loads(err)["error"]["code"] == "paused"
        counted = [(one.metric, one.labels) for one in metrics.take()]
        assert counted == [(metrics.PAUSED, (("work", "backfill"),))]
        assert json.loads(world.run(*words, code=75)[0])["sent"] == 20

        world.run("cost", "resume")
        assert json.loads(world.run(*words)[0])["sent"] == 35
        sent = [one.key for _, body, *_ in world.queue.sent for one in changes_in(body)]
        assert sent == keys


def test_every_kind_of_work_is_tried_here() -> None:
    """A new kind needs a place where it pauses, and a test of it."""
    assert {*OptionalWork} == {
        OptionalWork.REMAKE,
        OptionalWork.JOB,
        OptionalWork.UPGRADE,
        OptionalWork.MODERATION,
        OptionalWork.BACKFILL,
    }
    assert FirstLook(catalog=Api().catalog).put_off(OptionalWork.MODERATION) is False
