"""``python -m worker.local.batch --folder DIR --queue URL ...``: the child of the local stack that
runs jobs, and does what state machines ask for (``worker.local.workflows``).

It works as the function that starts and finishes state machines; its jobs work as ``--profile``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.sqs import SqsQueue
from worker.job_context import Stop
from worker.local.batch.execution import ProcessExecutor
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.resources import job_environment, processors, resources_of
from worker.local.batch.runner import Runner
from worker.local.child import arguments, log, tell_ready
from worker.local.deploy import Outputs, read_outputs
from worker.local.iam_simulator import Permits
from worker.local.roles import PLUMBING, ROOT, Actors
from worker.local.root_clients import RootClients
from worker.local.workflows import AwsTaskTokens, Deployed, WorkflowTasks


def main() -> None:
    """Work until told to stop."""
    given = arguments("folder", "queue", "outputs", "handler", "profile")
    folder, outputs = Path(given.values["folder"]), read_outputs(Path(given.values["outputs"]))
    handler = _handler(given.values["handler"])
    handler({})  # wires the services: a mistake in the settings shows now, not at an upload
    clients = AwsClients(profile=PLUMBING)
    tasks = WorkflowTasks(
        queue=SqsQueue(clients),
        url=given.values["queue"],
        dead_letters=str(outputs["heavyDeadLetters"]),
        start=handler,
        jobs=LocalJobs(folder),
        tokens=AwsTaskTokens(clients),
        deployed=_deployed(outputs, given.values["handler"], handler),
    )
    runner = Runner(
        folder,
        resources=resources_of,
        executor=ProcessExecutor({**job_environment(), "AWS_PROFILE": given.values["profile"]}),
        slots=processors(),
        say=log,
    )
    stop = Stop()
    with stop.on_signals(), _in_background(tasks, stop):
        tell_ready(given.ready)
        # In this thread: jobs end with the thread that has started them.
        runner.run(stop)
    log("stopped")


@contextmanager
def _in_background(tasks: WorkflowTasks, stop: Stop) -> Iterator[None]:
    """Run the tasks in a thread for as long as the block lasts; its end, by a defect, is the end of
    the process, which is then started again."""

    def run() -> None:
        try:
            tasks.run(stop)
        finally:
            stop.request()

    thread = threading.Thread(target=run, name="tasks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join()


def _handler(name: str) -> Callable[[Any], Any]:
    deployed: Callable[[Any, Any], Any] = resolve_name(name)
    return lambda event: deployed(event, None)


def _deployed(outputs: Outputs, code: str, handler: Callable[[Any], Any]) -> Deployed:
    actors = Actors.of(outputs)
    return Deployed(
        kinds=_by_arn(outputs["jobDefinitions"]),
        queues=_by_arn(outputs["jobQueues"]),
        functions={actors.function(code).arn: handler},
        permit=Permits(RootClients(profile=ROOT), actors.machine().role).require,
    )


def _by_arn(arns: Mapping[str, str]) -> Mapping[str, str]:
    return {arn: name for name, arn in arns.items()}


if __name__ == "__main__":
    main()
