"""A workflow in the whole local stack: its embedded AWS and its worker are killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.integration.running import picture, stack, until
from worker.domain.asset import Status
from worker.domain.errors import TransientError
from worker.domain.review import Review

RECIPE = """
name = "people"
version = 1
workflow = "approve"
[[renditions]]
name = "one"
width = 64
formats = [{ format = "jpeg" }]
"""


def test_an_approval_outlives_the_emulator_and_the_worker(tmp_path: Path) -> None:
    """It asks again with another token, the answer counts, and each state is told by a command."""
    (tmp_path / "people.toml").write_text(RECIPE, "utf-8")
    with stack(tmp_path / "data", "--recipe", str(tmp_path / "people.toml")) as up:
        text = up.run("put", picture(tmp_path, "held.jpg"), "--wait", "--json")
        asset = json.loads(text.splitlines()[0])["asset"]
        app = up.root_app

        def asked(before: str = "") -> Review | None:
            with suppress(TransientError):
                for review in app.catalog.reviews_of(asset):
                    if review.token not in ("", before):
                        return review
            return None

        until(lambda: asked() is not None)
        first = asked()
        assert first is not None
        (run,) = up.json("workflow", "runs", "approve", "--state", "running")
        record = app.catalog.get(asset)
        assert record is not None
        assert (record.status, record.workflow) == (Status.REVIEW, "approve")
        assert run["name"] == f"{asset}-{record.version}"

        for name in ("emulator", "services"):
            os.kill(up.pids[name], signal.SIGKILL)
        until(lambda: asked(first.token) is not None)
        up.run("review", "approve", first.id, "--reviewer", "ann", "--reason", "fine")
        app.reviews.follow(asset)  # what the event of the decision is handled by

        def published() -> bool:
            now = app.catalog.get(asset)
            return now is not None and now.status is Status.PUBLISHED

        until(published)
        (ended,) = up.json("workflow", "runs", "approve", run["name"])
        assert ended["states"][-3:] == ["People", "People outcome", "Publish"]
        until(lambda: bool(up.json("workflow", "runs", "approve", "--state", "succeeded")))
        record = app.catalog.get(asset)
        assert record is not None
        assert record.workflow == ""
