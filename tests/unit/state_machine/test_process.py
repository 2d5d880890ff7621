"""The process that drives executions: what was started is taken up once and survives its death."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.memory_queue import MemoryQueue
from tests.unit.state_machine.fake_jobs import FakeJobs
from worker.adapters.local_workflows import LocalWorkflows
from worker.domain.errors import MalformedMessage, Unreachable
from worker.domain.job import JobState
from worker.job_context import Stop
from worker.local.state_machine import process
from worker.local.state_machine.process import Driver, shipped
from worker.local.state_machine.store import Execution, Executions
from worker.local.state_machine.tasks import LocalTasks

INPUT = {
    "name": "asset-1",
    "asset": "asset",
    "version": "1",
    "media": "video",
    "divided": False,
    "groups": 2,
    "source": "s3://intake/film.mp4",
    "output": "s3://delivery/aa/asset/1",
    "recipe": "default",
    "max_seconds": 60,
}
VIDEO = {"transcode", "poster", "storyboard", "preview", "video-metadata"}


class World:
    """The shipped workflow, on jobs that end when told."""

    def __init__(self, folder: Path) -> None:
        """Nothing is started yet."""
        self.file = folder / "workflows.sqlite"
        self.workflows = LocalWorkflows(self.file)
        self.jobs = FakeJobs()
        self.finished: list[Any] = []
        self.outcome = "accepted"

    def function(self, event: Any) -> Any:
        """The workflow function."""
        self.finished.append(event)
        return {"outcome": self.outcome}

    def driver(self) -> Driver:
        """A process that has just been started."""
        return Driver(
            workflows=self.workflows,
            executions=Executions(self.file),
            tasks=LocalTasks(self.jobs, {"workflow": self.function}),
            definitions={"heavy": shipped("heavy")},
        )

    def end(self, kind: str, state: JobState = JobState.SUCCEEDED) -> None:
        """A job of a kind ends."""
        self.jobs.end(f"asset-1-{kind}", state, exit_code=0 if state is JobState.SUCCEEDED else 1)

    def kinds(self) -> set[str]:
        """What was submitted."""
        return {request.kind for request in self.jobs.requests.values()}

    @property
    def run(self) -> Execution:
        """The one execution there is."""
        (found,) = Executions(self.file).all()
        return found


def test_a_video_goes_through_the_shipped_workflow(tmp_path: Path) -> None:
    """All jobs at once, the record when the last has ended; each process dies after one look."""
    world = World(tmp_path)
    world.workflows.start("heavy", "asset-1", INPUT)
    world.workflows.start("heavy", "asset-1", INPUT)
    world.driver().once()
    assert world.kinds() == VIDEO
    for kind in sorted(VIDEO):
        assert world.finished == []
        world.end(kind)
        world.driver().once()
    (event,) = world.finished
    assert (event["task"], event["asset"], event["version"]) == ("finish", "asset", "1")
    assert {(job["kind"], job["state"]) for job in event["jobs"]} == {(x, "done") for x in VIDEO}
    assert world.run.status == "SUCCEEDED"
    world.driver().once()
    assert len(world.finished) == 1


def test_a_large_video_is_planned_divided_and_assembled(tmp_path: Path) -> None:
    """One after the other; the children share one job."""
    world = World(tmp_path)
    world.workflows.start("heavy", "asset-1", {**INPUT, "divided": True, "groups": 5})
    driver = world.driver()
    driver.once()
    assert world.kinds() == VIDEO - {"transcode"} | {"transcode-plan"}
    world.end("transcode-plan")
    driver.once()
    part = world.jobs.requests["asset-1-transcode-part"]
    assert (part.array_size, part.parameters["groups"]) == (5, "5")
    assert "transcode-assemble" not in world.kinds()
    world.end("transcode-part")
    driver.once()
    assert "transcode-assemble" in world.kinds()


def test_an_oversize_picture_is_one_job(tmp_path: Path) -> None:
    """Its renditions lie where those of other pictures do."""
    world = World(tmp_path)
    world.workflows.start("heavy", "asset-1", {**INPUT, "media": "image"})
    driver = world.driver()
    driver.once()
    (request,) = world.jobs.requests.values()
    assert (request.kind, request.output) == ("batch-process", INPUT["output"])
    assert request.parameters == {"recipe": "default"}
    world.end("batch-process")
    driver.once()
    assert world.run.status == "SUCCEEDED"


def test_a_failed_job_is_reported_when_all_have_ended(tmp_path: Path) -> None:
    """The others go on: what one job refuses, the last task tells from what is left behind."""
    world = World(tmp_path)
    world.outcome = "failed"
    world.workflows.start("heavy", "asset-1", INPUT)
    driver = world.driver()
    driver.once()
    world.end("transcode", JobState.FAILED)
    driver.once()
    assert world.finished == []
    assert world.jobs.stopped == []
    for kind in VIDEO - {"transcode"}:
        world.end(kind)
    driver.once()
    (event,) = world.finished
    failed = [job for job in event["jobs"] if job["state"] == "failed"]
    assert [job["kind"] for job in failed] == ["transcode"]
    assert json.loads(failed[0]["cause"])["Container"] == {"ExitCode": 1}
    assert (world.run.status, world.run.error) == ("FAILED", "JobsFailed")


def test_neither_video_nor_image_fails_at_once(tmp_path: Path) -> None:
    """Nobody knows what to do with it."""
    world = World(tmp_path)
    world.workflows.start("heavy", "asset-1", {**INPUT, "media": "sound"})
    world.driver().once()
    assert (world.run.status, world.run.error) == ("FAILED", "UnknownMedium")
    assert world.kinds() == set()


def test_an_execution_keeps_its_definition(tmp_path: Path) -> None:
    """A file that changes while it runs changes nothing for it."""
    world = World(tmp_path)
    world.workflows.start("heavy", "asset-1", INPUT)
    world.driver().once()
    newer = Driver(
        workflows=world.workflows,
        executions=Executions(world.file),
        tasks=LocalTasks(world.jobs, {"workflow": world.function}),
        definitions={"heavy": json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})},
    )
    newer.once()
    assert world.run.status == "RUNNING"
    for kind in VIDEO:
        world.end(kind)
    newer.once()
    assert len(world.finished) == 1


def test_a_definition_that_cannot_be_used_fails_its_execution(tmp_path: Path) -> None:
    """Also when it was started by something else than this process."""
    world = World(tmp_path)
    world.workflows.start("other", "asset-1", INPUT)
    driver = world.driver()
    driver.once()
    assert (world.run.status, world.run.error) == ("FAILED", "States.Runtime")
    assert not driver.busy


@pytest.mark.parametrize(
    ("body", "error", "left", "dead"),
    [
        ("{}", None, 0, 0),
        ("not JSON", None, 0, 0),
        ("{}", MalformedMessage("what?"), 0, 1),
        ("{}", Unreachable("down"), 1, 0),
    ],
)
def test_events_are_done_when_they_are_done(
    body: str, error: Exception | None, left: int, dead: int
) -> None:
    """One whose handler may succeed later comes again; one that never can is a dead letter."""
    queue, stop = MemoryQueue(), Stop()
    queue.send("heavy", [(body, "", "")])

    def handler(_event: Any) -> None:
        if error is not None:
            raise error

    class Once:
        busy = True

        def once(self) -> None:
            """Stop after the first round."""
            stop.request()

    process.run(queue, Once(), handler, url="heavy", dead_letters="dead", stop=stop)
    assert len(queue.bodies("heavy")) == left
    records = [json.loads(text) for text in queue.bodies("dead")]
    answer = {"errorType": "MalformedMessage", "errorMessage": "what?"}
    assert records == [{"requestPayload": {}, "responsePayload": answer}] * dead
    stop.close()
