"""The shipped state machine, run by the embedded AWS, with jobs that end when a test says so."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import batch.workflows
from batch import catalogue
from tests.emulators import make_sure
from tests.integration.running import until
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.sqs import SqsQueue
from worker.adapters.aws.stepfunctions import StepFunctionsWorkflows
from worker.domain.job import JobRequest, JobState, JobStatus
from worker.local import emulator
from worker.local.batch.jobs import LocalJobs
from worker.local.batch.table import opened, request_of
from worker.local.workflows import QUEUE, AwsTaskTokens, Deployed, WorkflowTasks, on_queue
from worker.ports import Executions
from worker.subprocesses.launch import tied_command

INPUT = {
    "name": "a-1",
    "asset": "a",
    "version": "1",
    "media": "video",
    "divided": False,
    "groups": 5,
    "source": "s3://intake/film.mp4",
    "output": "s3://delivery/aa/a/1",
    "recipe": "default",
    "access": "open",
    "max_seconds": 60,
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
VIDEO = {"transcode", "poster", "storyboard", "preview", "video-metadata"}


class Machine:
    """An embedded AWS that can be killed, with the state machine; who does its tasks."""

    def __init__(self, folder: Path, ends: ExitStack, definition: str = "") -> None:
        """Deploy a definition; that of heavy uploads unless another is given."""
        self._folder, self._ends, self._port = folder, ends, emulator.free_port()
        (folder / "state").mkdir()
        self.start()
        self._clients = AwsClients(self._running.environment)
        self._clients.sqs.create_queue(QueueName=QUEUE)
        self._arn = self._clients.stepfunctions.create_state_machine(
            name="heavy",
            definition=on_queue(definition or shipped(), "heavy"),
            roleArn="arn:aws:iam::000000000000:role/r",
        )["stateMachineArn"]
        self.finished: list[Any] = []
        self.outcome = "accepted"
        self.jobs = LocalJobs(folder / "batch")
        self.names = 0

    def start(self) -> None:
        """Start it, where it was."""
        self._running = emulator.start(
            port=self._port,
            log=self._folder / "log",
            state=self._folder / "state",
            launcher=tied_command((), parent_death_signal=signal.SIGTERM),
        )
        self._ends.callback(self._running.stop)

    def kill(self) -> None:
        """SIGKILL."""
        self._running.process.end()

    @property
    def workflows(self) -> Executions:
        """What starts executions."""
        return StepFunctionsWorkflows(self._clients, {"heavy": self._arn})

    def tasks(self) -> WorkflowTasks:
        """In a process that has just been started."""
        kinds = {f"Job{one.title().replace('-', '')}": one for one in catalogue.KINDS}
        return WorkflowTasks(
            queue=SqsQueue(self._clients),
            url=QUEUE,
            dead_letters="dead",
            start=lambda _event: None,
            jobs=self.jobs,
            tokens=AwsTaskTokens(self._clients),
            deployed=Deployed(
                kinds=kinds, queues={"Queue": "standard"}, functions={"WorkflowFunction": self.call}
            ),
        )

    def call(self, event: Any) -> Any:
        """The workflow function."""
        self.finished.append(event)
        return {"outcome": self.outcome}

    def run(self, **changes: object) -> str:
        """Start an execution that nobody has started; its ARN."""
        self.names += 1
        name = f"{INPUT['name']}-{self.names}"
        self.finished.clear()
        return self.workflows.start("heavy", name, {**INPUT, "name": name, **changes})

    def mine(self) -> dict[str, JobStatus]:
        """The jobs of the last execution, by kind."""
        return {one.kind: one for one in self.jobs.named(f"{INPUT['name']}-{self.names}-")}

    def end(self, kind: str, state: JobState = JobState.SUCCEEDED) -> None:
        """A job ends."""
        code, id_ = int(state is JobState.FAILED), self.mine()[kind].id
        with opened(self._folder / "batch") as database:
            values = (state.value, code, id_)
            database.execute("UPDATE jobs SET state = ?, exit_code = ? WHERE id = ?", values)

    def until(self, condition: Callable[[], bool]) -> None:
        """Do tasks until something is so."""
        tasks = self.tasks()

        def worked() -> bool:
            tasks.once()
            return condition()

        until(worked)

    def until_submitted(self, *kinds: str) -> None:
        """Do tasks until jobs are there, which the catalogue accepts."""
        self.until(lambda: self.mine().keys() >= set(kinds))
        with opened(self._folder / "batch") as database:
            for one in self.mine().values():
                row = database.execute("SELECT * FROM jobs WHERE id = ?", (one.id,)).fetchone()
                check_request(request_of(database, row))

    def ended(self, arn: str) -> dict[str, Any]:
        """How an execution ended."""
        found: dict[str, Any] = {}

        def ends() -> bool:
            found.update(self._clients.stepfunctions.describe_execution(executionArn=arn))
            return bool(found["status"] != "RUNNING")

        self.until(ends)
        return found


def check_request(request: JobRequest) -> None:
    """A mistake in kind, parameters or array would show on AWS only."""
    kind = catalogue.kind(request.kind)
    assert set(request.parameters) <= {each.name for each in kind.parameters}, request
    assert kind.array or request.array_size is None
    assert request.inputs == (INPUT["source"],)
    # The jobs of a divided video share a place; a picture's lie where others do.
    place = "transcode" if kind.name.startswith("transcode-") else kind.name
    below = "" if kind.name == "batch-process" else f"/{place}"
    assert request.output == f"{INPUT['output']}{below}"
    assert (request.asset, request.traceparent) == (INPUT["asset"], INPUT["traceparent"])


def shipped() -> str:
    """With its names in the place of ARNs."""
    text = Path(batch.workflows.__file__).with_name("video.asl.json").read_text("utf-8")
    return re.sub(r"\$\{(\w+)\}", r"\1", text)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One for all."""
    make_sure(tmp_path_factory)
    with ExitStack() as ends:
        yield Machine(tmp_path_factory.mktemp("machine"), ends)


def test_a_video_has_all_its_jobs_at_once(machine: Machine) -> None:
    """The record follows when the last one has ended; the same start again starts nothing."""
    run = machine.run()
    name = run.rpartition(":")[2]
    machine.until_submitted(*VIDEO)
    assert machine.mine().keys() == VIDEO
    for kind in sorted(VIDEO):
        machine.tasks().once()
        assert machine.finished == []
        machine.end(kind)

    assert machine.ended(run)["status"] == "SUCCEEDED"

    (event,) = machine.finished
    assert (event["task"], event["asset"], event["version"]) == ("finish", "a", "1")
    assert {(job["kind"], job["state"]) for job in event["jobs"]} == {(x, "done") for x in VIDEO}
    assert machine.workflows.start("heavy", name, INPUT) == run
    machine.tasks().once()
    assert len(machine.finished) == 1


def test_a_large_video_is_planned_divided_and_joined(machine: Machine) -> None:
    """One after the other; the parts are one array."""
    run = machine.run(divided=True)
    machine.until_submitted("transcode-plan", *VIDEO - {"transcode"})
    assert machine.mine().keys() == VIDEO - {"transcode"} | {"transcode-plan"}
    machine.end("transcode-plan")
    machine.until_submitted("transcode-part")
    assert machine.mine()["transcode-part"].array_size == 5
    assert "transcode-assemble" not in machine.mine()
    machine.end("transcode-part")
    machine.until_submitted("transcode-assemble")
    for kind in ("transcode-assemble", *VIDEO - {"transcode"}):
        machine.end(kind)
    assert machine.ended(run)["status"] == "SUCCEEDED"


def test_an_oversize_picture_is_one_job(machine: Machine) -> None:
    """And nothing else."""
    run = machine.run(media="image")
    machine.until_submitted("batch-process")
    assert machine.mine().keys() == {"batch-process"}
    machine.end("batch-process")

    assert machine.ended(run)["status"] == "SUCCEEDED"


def test_a_failed_job_is_reported_when_all_have_ended(machine: Machine) -> None:
    """The others go on: what one job refuses, the last task tells from what is left behind."""
    run, machine.outcome = machine.run(), "failed"
    machine.until_submitted(*VIDEO)
    machine.end("transcode", JobState.FAILED)
    machine.tasks().once()
    assert machine.finished == []
    for kind in VIDEO - {"transcode"}:
        machine.end(kind)

    found = machine.ended(run)

    machine.outcome = "accepted"
    assert (found["status"], found["error"]) == ("FAILED", "JobsFailed")
    (event,) = machine.finished
    (failed,) = [job for job in event["jobs"] if job["state"] == "failed"]
    assert (failed["kind"], failed["error"]) == ("transcode", "States.TaskFailed")
    assert json.loads(failed["cause"])["Container"] == {"ExitCode": 1}


def test_neither_video_nor_image_fails_at_once(machine: Machine) -> None:
    """The workflow has no branch for it."""
    found = machine.ended(machine.run(media="sound"))

    assert (found["status"], found["error"]) == ("FAILED", "UnknownMedium")
    assert machine.mine() == {}


def test_an_execution_that_a_kill_has_lost_is_started_again(machine: Machine) -> None:
    """Under its name, from the start: it finds the jobs that it had. What has ended stays so."""
    before = machine.run(media="sound")
    machine.ended(before)
    run = machine.run(divided=True)
    machine.until_submitted("transcode-plan", "poster")
    machine.end("transcode-plan")
    machine.until_submitted("transcode-part")
    jobs = {job.id for job in machine.mine().values()}

    machine.kill()
    machine.start()

    machine.until_submitted("transcode-part")
    machine.end("transcode-part")
    machine.until_submitted("transcode-assemble")
    assert jobs < {job.id for job in machine.mine().values()}
    for kind in ("transcode-assemble", *VIDEO - {"transcode"}):
        machine.end(kind)
    assert machine.ended(run)["status"] == "SUCCEEDED"
    assert len(machine.finished) == 1
    assert machine.jobs.awaited() == {}
    assert machine.ended(before)["error"] == "UnknownMedium"
