"""How attempts are executed: the job runner's command, and containers with only what they need."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from batch.arguments import read_arguments
from worker.domain.job import JobRequest, command_line
from worker.local.batch.execution import (
    ContainerExecutor,
    StartedAttempt,
    Task,
    batch_command,
    start_ticks,
)

REQUEST = JobRequest(
    name="n",
    kind="stitch",
    inputs=("s3://b/a.jpg", '/videos/one, "two".jpg'),
    output="/results",
    parameters={"mode": "scans", "crop": "false"},
    asset="a1",
)


def task(folder: Path, request: JobRequest = REQUEST, child: int | None = None) -> Task:
    """The second attempt at a job."""
    return Task(
        id="uuid" if child is None else f"uuid:{child}",
        attempt=2,
        request=request,
        child=child,
        vcpus=1.5,
        memory_mib=2048,
        log=folder / "2.log",
    )


def test_a_command_line_says_all_of_a_request() -> None:
    """In an order that does not depend on how parameters were given."""
    assert command_line(REQUEST) == (
        *("run", "stitch", "--input", "s3://b/a.jpg", "--input", '/videos/one, "two".jpg'),
        *("--output", "/results", "--param", "crop=false", "--param", "mode=scans"),
        *("--asset", "a1"),
    )
    closed = command_line(replace(REQUEST, closed=True))
    assert closed == (*command_line(REQUEST), "--access", "closed")
    words = ["poster", "--input", "/a", "--output", "/b", "--access"]
    assert read_arguments([*words, "closed"], {}).closed
    assert not read_arguments([*words, "open"], {}).closed


def test_a_child_process_is_the_job_runner_of_this_installation(tmp_path: Path) -> None:
    """Not whatever is called batch in the present folder."""
    command = batch_command(task(tmp_path))

    assert command[:4] == [sys.executable, "-P", "-m", "batch"]
    assert tuple(command[4:]) == command_line(REQUEST)


def test_a_container_sees_its_inputs_its_output_and_nothing_else(tmp_path: Path) -> None:
    """Every path is mounted by itself; names with commas and quotes are only names."""
    environment = {"AWS_SECRET_ACCESS_KEY": "secret", "SAFELIGHT_TABLE": "t", "HOME": "/home"}
    command = ContainerExecutor("image:1", environment).command(task(tmp_path, child=3))
    place = command.index("image:1")
    options, arguments = command[:place], command[place + 1 :]

    mounts = [options[n + 1] for n, word in enumerate(options) if word == "--mount"]
    names = [options[n + 1] for n, word in enumerate(options) if word == "--env"]
    assert mounts == [
        f'"type=bind","source={tmp_path}/2.scratch","target=/tmp"',
        '"type=bind","source=/videos/one, ""two"".jpg","target=/in/1/one, ""two"".jpg","readonly"',
        '"type=bind","source=/results","target=/out"',
    ]
    assert arguments[:8] == [
        *("run", "stitch", "--input", "s3://b/a.jpg", "--input", '/in/1/one, "two".jpg'),
        *("--output", "/out"),
    ]
    assert names == [
        *("AWS_BATCH_CE_NAME", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
        *("AWS_BATCH_JOB_ATTEMPT", "AWS_BATCH_JOB_ID", "AWS_BATCH_JQ_NAME"),
        *("AWS_SECRET_ACCESS_KEY", "SAFELIGHT_TABLE"),
    ]
    assert "secret" not in " ".join(command)


def test_a_container_is_confined(tmp_path: Path) -> None:
    """No privileges, a memory and a processor limit, nothing writable but what is mounted."""
    command = " ".join(ContainerExecutor("i", {}).command(task(tmp_path)))

    for words in (
        "docker run --rm --name safelight-uuid-2",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        f"--user {os.getuid()}:{os.getgid()}",
        "--cpus 1.5 --memory 2048m",
    ):
        assert words in command


@pytest.mark.parametrize(
    ("changes", "network"),
    [
        ({"inputs": ("/a",)}, "none"),
        ({"inputs": ("s3://b/a",)}, "host"),
        ({"inputs": ("/a",), "output": "s3://b/out/"}, "host"),
    ],
)
def test_only_jobs_with_something_elsewhere_have_a_network(
    tmp_path: Path, changes: Mapping[str, object], network: str
) -> None:
    """Files on this machine need none."""
    request = replace(REQUEST, **changes)  # type: ignore[arg-type]
    command = ContainerExecutor("i", {}).command(task(tmp_path, request))

    assert command[command.index("--network") + 1] == network


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine of containers that writes down what it is told; ``run`` goes on for ever."""
    file = tmp_path / "engine"
    file.write_text(
        "#!/bin/sh\n"
        '[ "$1" != run ] || trap "exit 75" TERM\n'
        f'echo "$1 $AWS_BATCH_JOB_ID" >> {tmp_path}/told\n'
        'if [ "$1" = run ]; then while :; do sleep 0.05; done; fi\n'
    )
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def test_a_container_s_client_passes_signals_and_codes_on(tmp_path: Path, engine: Path) -> None:
    """SIGTERM goes to the client; when it has ended the container and its scratch are removed."""
    request = replace(REQUEST, output=str(tmp_path / "results"))
    executor = ContainerExecutor("i", {"PATH": os.environ["PATH"]}, engine=str(engine))

    running = executor.start(task(tmp_path, request))
    wait_for_line(tmp_path / "told")
    assert (tmp_path / "2.scratch").is_dir()
    assert (tmp_path / "results").is_dir()
    running.terminate()

    assert ending(running) == 75
    assert (tmp_path / "told").read_text() == "run uuid\nrm \n"
    assert not (tmp_path / "2.scratch").exists()


def test_a_killed_container_is_removed_by_its_engine(tmp_path: Path, engine: Path) -> None:
    """Killing the client alone would leave the container running."""
    request = replace(REQUEST, output=str(tmp_path / "results"))
    executor = ContainerExecutor("i", {"PATH": os.environ["PATH"]}, engine=str(engine))
    running = executor.start(task(tmp_path, request))
    wait_for_line(tmp_path / "told")

    running.kill()

    assert (tmp_path / "told").read_text().startswith("run uuid\nrm")
    assert ending(running) == 137
    assert start_ticks(running.pid) is None


def wait_for_line(path: Path) -> None:
    """Until a file has its first line: it is there, empty, before that."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))


def wait_for(happened: Callable[[], bool]) -> None:
    """Until something has happened."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ending(running: StartedAttempt) -> int:
    """The exit code, once there is one."""
    found: list[int] = []

    def over() -> bool:
        code = running.poll()
        if code is not None:
            found.append(code)
        return bool(found)

    wait_for(over)
    return found[0]
