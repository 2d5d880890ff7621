"""Record and event never disagree: what sends events and the embedded AWS are killed between."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.running import picture, stack, until
from worker.adapters.event_log import parse_event
from worker.local.address import EVENTS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc"),
    pytest.mark.timeout(240),
]
COUNT = 6


def told(log: Path) -> set[tuple[str, str]]:
    """Assets and types of what was told so far."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    events = [one for line in lines if (one := parse_event(line)) is not None]
    return {(one.asset, one.type) for one in events}


def test_no_kill_parts_a_record_from_its_event(tmp_path: Path) -> None:
    """Each record is told, and nothing is told that is not recorded."""
    with stack(tmp_path / "data", workers=1) as running:
        for number in range(COUNT):
            running.run("put", picture(tmp_path, f"{number}.jpg", size=(320 + number, 200)))
        os.kill(running.pids["services"], signal.SIGKILL)
        running.kill_emulator()

        until(lambda: len(running.json("assets", "list", "--status", "accepted")) == COUNT)
        records = running.json("assets", "list")
        expected = {(one["asset"], f"asset.{one['status']}") for one in records}
        until(lambda: told(running.data / EVENTS) >= expected)
        assert told(running.data / EVENTS) == expected
