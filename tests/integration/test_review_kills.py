"""Reviews in a local stack whose processes are killed with SIGKILL in the middle: what people have
decided takes effect, once, and what they have not decided stays closed and stays asked.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.job_uploads import wait_for
from tests.integration.running import Running, picture, stack, until
from tests.integration.test_chaos_kills import dead, kill_all
from tests.integration.test_escalated import recipe, served
from worker.adapters.aws.clients import AwsClients
from worker.domain.asset import AssetRecord, Status
from worker.local.address import EVENTS
from worker.local.emulator import free_port

APPROVED_BY_PEOPLE = """
name = "reviewed"
version = 1
workflow = "approve"
[[renditions]]
name = "page"
width = 160
formats = ["jpeg"]
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc"),
    pytest.mark.timeout(600),
]


def asked(running: Running, asset: str) -> str:
    """The id of the open review of an asset, once its state machine waits for the answer."""
    found: list[str] = []

    def waits() -> bool:
        reviews = running.json("review", "list")
        # A machine that waits has set a deadline.
        found[:] = [one["id"] for one in reviews if one["asset"] == asset and one["deadline"]]
        return bool(found)

    until(waits)
    return found[0]


def ended(running: Running, asset: str, status: Status) -> AssetRecord:
    """The record, once it has the status."""
    return wait_for(running, asset, lambda one: one.status is status)


def told(running: Running, asset: str) -> Counter[str]:
    """How many different events of each type were told of an asset."""
    events = [json.loads(line) for line in (running.data / EVENTS).read_text().splitlines()]
    mine = {(one["type"], one["id"]) for one in events if one["asset"] == asset}
    return Counter(kind for kind, _ in mine)


def machines_end(running: Running) -> None:
    """Wait until no state machine runs any more, and hold that none has failed."""
    states = AwsClients(running.root).stepfunctions
    arn = running.ready["outputs"]["workflows"]["approve"]

    def over() -> bool:
        return not states.list_executions(stateMachineArn=arn, statusFilter="RUNNING")["executions"]

    until(over)
    runs = states.list_executions(stateMachineArn=arn)["executions"]
    assert {one["status"] for one in runs} == {"SUCCEEDED"}


def test_decisions_survive_the_loss_of_worker_and_emulator(tmp_path: Path) -> None:
    """One asset is approved, one rejected and one left open, each around a kill."""
    data, port = tmp_path / "data", free_port()
    options = ("--recipe", str(recipe(tmp_path, APPROVED_BY_PEOPLE)))
    files = [picture(tmp_path, f"{colour}.jpg", colour) for colour in ("teal", "navy", "olive")]
    with stack(data, *options, port=port) as running:
        approved, rejected, left = (running.json("put", file)["asset"] for file in files)
        os.kill(running.pids["worker-1"], signal.SIGKILL)
        for one in (approved, rejected, left):
            assert served(running, ended(running, one, Status.REVIEW), "page") == 403
        asked(running, approved)
        # The executions start again, with other tokens.
        running.kill_emulator()
        running.run("review", "approve", asked(running, approved))
        running.kill_emulator()
        record = ended(running, approved, Status.PUBLISHED)
        until(lambda: served(running, record, "page") == 200)
        running.run("review", "reject", asked(running, rejected), "--reason", "blurred faces")
        kill_all(running)
    with stack(data, *options, port=port) as second:
        record = ended(second, rejected, Status.REJECTED)
        assert record.verdict is not None
        assert "blurred faces" in record.verdict.message
        until(lambda: served(second, record, "page") in {404, 410})
        app, root = second.app, second.root_app
        until(lambda: not list(root.store.list(app.settings.intake_bucket, record.source.key)))
        assert list(root.store.list(app.settings.quarantine_bucket))

        assert served(second, ended(second, left, Status.REVIEW), "page") == 403
        os.kill(second.pids["services"], signal.SIGKILL)
        second.run("review", "approve", asked(second, left))
        record = ended(second, left, Status.PUBLISHED)
        until(lambda: served(second, record, "page") == 200)

        machines_end(second)
        ways = {
            approved: Counter({"asset.held": 1, "asset.approved": 1, "asset.published": 1}),
            rejected: Counter({"asset.held": 1, "asset.disapproved": 1, "asset.rejected": 1}),
            left: Counter({"asset.held": 1, "asset.approved": 1, "asset.published": 1}),
        }
        # What a killed process had taken from the queue comes again, after what is younger.
        for one, wanted in ways.items():
            until(lambda one=one, wanted=wanted: told(second, one) >= wanted)  # type: ignore[misc]
            assert {kind: told(second, one)[kind] for kind in wanted} == wanted
        assert dead(second) == 0
