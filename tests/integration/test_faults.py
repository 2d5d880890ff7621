"""A short plan of faults on a real stack: whatever goes wrong, everything agrees afterwards.

`safelight chaos run` does it for ten minutes (docs/faults.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.integration.running import copy_deployed
from worker.job_context import Stop
from worker.local.faults.machine import Machine
from worker.local.faults.plan import FaultKind, FaultPlan, PlannedFault
from worker.local.faults.run import FaultRun, FaultRunOptions

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc"),
    pytest.mark.timeout(400),
]
PLAN = FaultPlan(
    seed=20261130,
    seconds=10,
    faults=(
        PlannedFault(at=0.5, kind=FaultKind.TWICE, target="sqs", seconds=6, share=0.5, amount=2),
        PlannedFault(at=1.0, kind=FaultKind.ERROR_AFTER, target="*", seconds=4, share=0.1),
        PlannedFault(at=1.5, kind=FaultKind.CLOCK, target="services", seconds=5, amount=-120),
        PlannedFault(at=2.5, kind=FaultKind.THROTTLE, target="dynamodb", seconds=3, share=0.2),
        PlannedFault(at=3.0, kind=FaultKind.KILL, target="worker-1"),
        PlannedFault(at=4.0, kind=FaultKind.SHUFFLE, target="sqs", seconds=3, share=0.5),
        PlannedFault(at=5.0, kind=FaultKind.DISK, seconds=1.5),
        PlannedFault(at=7.0, kind=FaultKind.KILL, target="emulator"),
    ),
)


def test_whatever_goes_wrong_everything_agrees_afterwards(tmp_path: Path) -> None:
    """Kills, a full disk, a wrong clock, throttling, lost answers, and messages that come twice."""
    machine = Machine(tmp_path, workers=1, say=lambda _: None, prepare=copy_deployed)
    options = FaultRunOptions(plan=PLAN, rate=2, load=0.5, videos=False)

    report = FaultRun(options, tmp_path, machine=machine).run(Stop())

    assert report.violations == ()
    assert report.uploads > 5
    assert report.clients > 0
    assert len(report.happened) == len(PLAN.faults)
    assert sum(report.hits.values()) > 5
    assert not (tmp_path / "data" / "ballast").exists()
