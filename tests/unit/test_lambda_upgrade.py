"""The daily upgrade: logs of a day, within its time and its budget."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.test_settings import COMPLETE
from tests.unit.test_upgrade import World
from worker.bootstrap import Application
from worker.domain.errors import SettingsError
from worker.entrypoints import lambda_upgrade
from worker.services.popularity import Popularity, read_logs
from worker.settings import Settings

LOGS = "edge-logs"


def lines(world: World, count: int) -> bytes:
    """A log with views of the large JPEG XL file."""
    told = {
        "cs-method": "GET",
        "sc-status": "200",
        "sc-content-type": "image/jxl",
        "cs-uri-stem": f"/{world.asset}/{world.first.version}/large",
    }
    return (json.dumps(told) + "\n").encode() * count


def add_log(world: World, key: str, data: bytes, *, modified: str = "2999-01-01T00:00:00Z") -> None:
    """What CloudFront delivers."""
    world.store.put(LOGS, key, data, content_type="")
    world.store.versions[LOGS, key][-1].modified = modified


def application(world: World, **changes: Any) -> Application:
    """The services on the fakes of a world."""
    settings = replace(Settings.from_environment(COMPLETE), **{"edge_logs_bucket": LOGS, **changes})
    app = Application(
        settings=settings,
        store=world.store,
        catalog=world.catalog,
        queue=None,  # type: ignore[arg-type]
    )
    app.__dict__["upgrades"] = world.upgrades()
    return app


def clock(*seconds: float) -> Callable[[], float]:
    """What is left at each look; the last one for ever."""
    left = list(seconds)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_day_of_logs_becomes_upgrades() -> None:
    """Old logs are not read; what was done and what it costs is told."""
    world = World()
    add_log(world, "AWSLogs/new.gz", lines(world, 20_000))
    add_log(world, "AWSLogs/old.gz", lines(world, 5), modified="2020-01-01T00:00:00Z")

    done = lambda_upgrade.handle(application(world), remaining=clock(900.0))

    assert (done["lines"], done["ignored"], done["share"]) == (20_000, 0, 1.0)
    assert done["files"] == 1
    assert 0 < done["costs_usd"] < 1
    assert world.catalog.told[-2].type == "asset.upgraded"
    assert lambda_upgrade.handle(application(world), remaining=clock(900.0))["files"] == 0


def test_no_more_is_spent_than_the_budget() -> None:
    """With a budget of 0 no file is encoded."""
    world = World()
    add_log(world, "a", lines(world, 20_000))

    done = lambda_upgrade.handle(application(world, upgrade_cents=0), remaining=clock(900.0))

    assert (done["files"], world.encoded) == (0, 0)


def test_what_does_not_fit_into_the_time_is_left_to_the_next_day() -> None:
    """Logs that were not read count as those that were; no asset is begun too late."""
    world = World()
    for number in range(4):
        add_log(world, str(number), lines(world, 20_000))

    done = lambda_upgrade.handle(application(world), remaining=clock(900, 900, 900, 500, 300))

    assert (done["lines"], done["share"]) == (40_000, 0.5)
    assert (done["files"], world.encoded) == (0, 0)


def test_without_logs_nothing_is_looked_at() -> None:
    """A new distribution has none for hours."""
    world = World()

    done = lambda_upgrade.handle(application(world), remaining=clock(900.0))

    assert (done["lines"], done["share"], done["files"]) == (0, 0.0, 0)
    assert "catalog.get" not in world.fuse.calls


def test_a_log_that_expires_meanwhile_is_no_failure() -> None:
    """It is read as an empty one."""
    world = World()
    add_log(world, "a", lines(world, 3))
    add_log(world, "b", lines(world, 2))
    found = Popularity()

    def expire(logs: list[Any]) -> None:
        world.store.delete(LOGS, "a")

    since = datetime.now(UTC) - timedelta(days=1)
    share = read_logs(world.store, LOGS, since=since, popularity=found, shuffle=expire)

    assert (share, found.lines) == (1.0, 2)


def test_the_bucket_of_logs_must_be_named() -> None:
    """By the name of its variable."""
    app = application(World(), edge_logs_bucket=None)

    with pytest.raises(SettingsError, match="SAFELIGHT_EDGE_LOGS_BUCKET"):
        lambda_upgrade.handle(app, remaining=clock(900.0))
