"""What is ordinary costs nothing: the embedded AWS's own record of executions, and requests to
Rekognition that its stand-in notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.running import Running, stack, until
from tests.unit.pictures import encoded, photo
from worker.adapters.aws.clients import AwsClients
from worker.domain.asset import Status

PICTURES = 200


def executions(running: Running) -> list[str]:
    """Names of all executions of all state machines, as the embedded AWS lists them."""
    sfn = AwsClients(running.root).stepfunctions
    machines = [one["stateMachineArn"] for one in sfn.list_state_machines()["stateMachines"]]
    assert machines, "nothing could be started here"
    return [
        one["name"]
        for arn in machines
        for one in sfn.list_executions(stateMachineArn=arn)["executions"]
    ]


def questions(running: Running) -> list[str]:
    """Requests to the stand-in for Rekognition."""
    path = running.data / "logs" / "rekognition.log"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.timeout(600)
def test_ordinary_pictures_start_no_execution(tmp_path: Path) -> None:
    """Two hundred pictures leave none; one file that is too much for ingest leaves one."""
    pictures = [tmp_path / f"{number}.jpg" for number in range(PICTURES)]
    for number, path in enumerate(pictures):
        path.write_bytes(encoded(photo(60, 40, seed=number), "JPEG"))
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0\0\0\x08free")
    with stack(tmp_path / "data", workers=2) as running:
        running.run("put", *pictures, "--wait")
        accepted = running.app.catalog.by_status(Status.ACCEPTED, limit=1_000)
        assert len(accepted.records) == PICTURES
        # Its event comes after those of all pictures.
        put = running.json("put", clip, "--wait", "--no-jobs")
        assert put["status"] == "processing"
        until(lambda: bool(executions(running)))

        assert [name.startswith(put["asset"]) for name in executions(running)] == [True]
        assert questions(running) == []
