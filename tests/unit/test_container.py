"""The first process of a container: what it starts, and what it does with signals and orphans."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker.entrypoints.container import started

ROOT = Path(__file__).parents[2]

WATCHED = """
import os, signal, sys
from worker.entrypoints.container import watch_over

def work():
    {body}

sys.exit(watch_over(work))
"""


def container(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The entry point of the Lambda image, as a plain process."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "worker.entrypoints.container", *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def watched(body: str) -> subprocess.Popen[str]:
    """A process that watches over a child with this body."""
    return subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(body=body)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_command_goes_to_the_command_line() -> None:
    """Anything that does not look like a handler is a command."""
    done = container("--version")

    assert (done.returncode, done.stdout[:10]) == (0, "safelight ")


def test_a_file_with_a_dot_is_no_handler_behind_a_command() -> None:
    """Only a sole argument can be a handler."""
    done = container("inspect", "no.such.file")

    assert done.returncode == 2
    assert "Lambda" not in done.stderr


def test_a_handler_without_lambda_is_explained() -> None:
    """Somebody ran the image without a command."""
    done = container("worker.entrypoints.lambda_ingest.handler")

    assert done.returncode == 2
    assert "--help" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_handler_becomes_the_runtime_client(tmp_path: Path) -> None:
    """With Lambda's address there, it is its client for that handler, and starts in one go."""
    client = tmp_path / "awslambdaric.py"
    client.write_text(
        "import gc, sys\n"
        "from worker.entrypoints.container import STARTING, USUAL, started\n"
        "assert gc.get_threshold()[0] == STARTING\n"
        "started()\n"
        "assert gc.get_threshold()[0] == USUAL and gc.get_freeze_count() > 0\n"
        "print(sys.argv[1:])\n"
    )

    done = container(
        "package.module.function",
        AWS_LAMBDA_RUNTIME_API="127.0.0.1:9001",
        PYTHONPATH=f"{ROOT}:{tmp_path}",
    )

    assert done.stdout.strip() == "['package.module.function']"


def test_only_a_start_is_ever_over() -> None:
    """A handler that nobody started this way leaves the collector as it was."""
    before = (gc.get_threshold(), gc.get_freeze_count())

    started()

    assert (gc.get_threshold(), gc.get_freeze_count()) == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return 0", 0),
        ("return 75", 75),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("raise ValueError('a defect')", 1),
    ],
)
def test_the_end_of_the_work_is_passed_on(body: str, code: int) -> None:
    """An exit code as it is; a signal as shells say it."""
    child = watched(body)
    child.communicate()

    assert child.returncode == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_work(number: signal.Signals) -> None:
    """They are sent to process 1 and meant for the work, which ends as it wants to."""
    body = (
        f"signal.signal({int(number)}, lambda *_: os._exit(9)); print('ready', flush=True);"
        " signal.pause()"
    )
    child = watched(body)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"

    child.send_signal(number)
    child.communicate()

    assert child.returncode == 9
