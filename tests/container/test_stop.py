"""`docker stop` in the middle of work: gone within ten seconds, and nothing half-written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from docker.models.containers import Container

from tests.container.emulated import cloud, event
from tests.container.engine import BATCH, LAMBDA, Engine, mount
from tests.container.lambda_function import function
from tests.unit.pictures import encoded, photo

SECONDS = 10
"""How long the engine waits before it kills."""
KILLED = 137


def wait_for(found: object, container: Container, seconds: float = 30) -> None:
    """Wait until a function says yes."""
    assert callable(found)
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.01)


def stopped(container: Container) -> int:
    """Stop a container as `docker stop` does; its exit code."""
    began = time.monotonic()
    container.stop(timeout=SECONDS)
    assert time.monotonic() - began < SECONDS
    return int(container.wait()["StatusCode"])


@pytest.mark.parametrize("image", [LAMBDA, BATCH])
def test_the_command_line_stops_between_two_files(engine: Engine, shared: Path, image: str) -> None:
    """Finished files are complete and listed, there are no others, and a second run continues."""
    pictures, out = shared / "in", shared / "out"
    pictures.mkdir()
    for number in range(40):
        (pictures / f"{number:02}.jpg").write_bytes(
            encoded(photo(2400, 1600, seed=number % 3), "JPEG")
        )
    command = ("process", "/data/in", "--out", "/data/out", "--jobs", "2")
    container = engine.start(image, *command, volumes=mount(shared))
    wait_for(lambda: len(list(out.glob("*/*.*"))) > 3, container)

    code = stopped(container)

    assert code == 130
    listed = json.loads((out / "manifest.json").read_text())
    named = {one["path"] for entry in listed for one in entry.get("renditions", [])}
    there = {path.relative_to(out).as_posix() for path in out.glob("*/*") if path.is_file()}
    assert there == named
    again = engine.run(image, *command, volumes=mount(shared))
    assert again.code == 0, again.errors
    assert len(list(out.glob("*/*.*"))) == 240


@pytest.mark.timeout(180)
def test_the_function_stops_in_the_middle_of_a_picture(
    engine: Engine, rie: Path, tmp_path: Path
) -> None:
    """A record is there only with all it promises; the messages are simply handled again."""
    with cloud(tmp_path) as aws:
        big = {f"big/{n}.jpg": encoded(photo(5000, 4000, seed=n), "JPEG") for n in range(3)}
        messages = aws.upload(big)
        with function(engine, rie, aws.environment) as ingest:
            assert ingest.invoke({"Records": []}) == {"batchItemFailures": []}
            asking = ingest.invoke_later(event(messages))
            delivery = aws.app.settings.delivery_bucket
            wait_for(lambda: any(aws.app.store.list(delivery)), ingest.container)

            code = stopped(ingest.container)

            assert code != KILLED
            asking.join()
        finished = [key for key in big if aws.record(key) is not None]
        assert len(finished) < len(big)
        for key in finished:
            aws.check_stored(key)
        # The messages come back, and another one goes on as if nothing had happened.
        with function(engine, rie, aws.environment) as ingest:
            assert ingest.invoke(event(messages, receives=2)) == {"batchItemFailures": []}
        for key in big:
            aws.check_stored(key)
