"""``python -m worker.local.batch --folder DIR [--slots N] [--ready FILE]``: the runner as a child
of the local stack."""

from __future__ import annotations

from pathlib import Path

from worker.job_context import Stop
from worker.local.batch import resources
from worker.local.batch.execution import ProcessExecutor
from worker.local.batch.runner import Runner
from worker.local.child import arguments, log, tell_ready


def main() -> None:
    """Run jobs until told to stop."""
    given = arguments("folder", optional={"slots": ""})
    runner = Runner(
        Path(given.values["folder"]),
        needs=resources.of_catalog,
        executor=ProcessExecutor(resources.environment()),
        slots=float(given.values["slots"] or resources.processors()),
        say=log,
    )
    stop = Stop()
    with stop.on_signals():
        tell_ready(given.ready)
        runner.run(stop)
    log("stopped")


if __name__ == "__main__":
    main()
