"""SIGINT and SIGTERM, sent to real commands: they end at once, with 130 and without a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.job_uploads import clip
from tests.integration.running import COMMAND, Running, alive, environment, picture, stack, until
from worker.domain.asset import asset_id_of
from worker.local.address import JOBS
from worker.local.batch.table import FILE, opened
from worker.local.emulator import free_port

STOPPED = 130
AT_ONCE = 30.0
"""Seconds, on a busy machine: all have minutes of work before them."""

pytestmark = pytest.mark.timeout(240)


@contextmanager
def command(*words: str | Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A command at work; whatever happens, it is gone at the end."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        cwd=home,
        env={**environment(), "XDG_STATE_HOME": str(home / "state"), "TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str], number: int) -> str:
    """Send a signal; what the command says on standard error from then on."""
    process.send_signal(number)
    began = time.monotonic()
    _, said = process.communicate(timeout=AT_ONCE)
    assert process.returncode == STOPPED, said
    assert "Traceback" not in said
    assert time.monotonic() - began < AT_ONCE
    return said


def python(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a Python does that sends itself a signal."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        cwd=folder,
        timeout=AT_ONCE,
    )


def line_with(process: subprocess.Popen[str], text: str) -> None:
    """Read standard error up to a line."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended with {process.wait()} before it said {text!r}")


def test_samples_leave_whole_files_alone(tmp_path: Path) -> None:
    """While pictures are painted: at once, and nothing half-written stays."""
    out = tmp_path / "samples"
    with command("samples", out, home=tmp_path) as process:
        until(lambda: out.is_dir() and any(out.iterdir()))
        interrupted(process, signal.SIGTERM)

    assert [path.name for path in out.rglob(".*")] == []


def test_a_signal_while_a_library_calls_back_is_not_forgotten(tmp_path: Path) -> None:
    """An exception in a callback of libvips would be printed and lost, so the signal is delivered
    again."""
    script = """
import os, signal, time
from worker.entrypoints.interrupts import interrupting
frame = "def _log_handler_callback():\\n    os.kill(os.getpid(), signal.SIGINT)\\n    return 1\\n"
exec(compile(frame, "site-packages/pyvips/__init__.py", "exec"))
with interrupting():
    assert _log_handler_callback() == 1, "it came back"
    try:
        time.sleep(20)
    except KeyboardInterrupt:
        print("interrupted")
"""
    done = python("-c", script, folder=tmp_path)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_before_the_command_line_is_there_a_signal_ends_it_too(tmp_path: Path) -> None:
    """From the first line of ours on, while everything else is still imported."""
    script = (
        "import os, signal, sys\n"
        "class Late:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'worker.entrypoints.cli':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Late())\n"
        "from worker.__main__ import main\n"
        "main()\n"
    )
    done = python("-c", script, folder=tmp_path)
    assert (done.returncode, done.stderr) == (STOPPED, "")


def test_a_signal_while_a_dataclass_is_made_leaves_the_exit_code(tmp_path: Path) -> None:
    """Python would end itself by SIGINT at last, because the exception came through ``exec``."""
    (tmp_path / "late.py").write_text(
        'import os, signal\nexec("os.kill(os.getpid(), signal.SIGINT)")\n'
    )
    script = (
        "import sys\n"
        "from worker.entrypoints import cli\n"
        "cli.cli.commands_at = {'late': ('late:command', '')}\n"
        "sys.argv = ['safelight', 'late']\n"
        "from worker.__main__ import main\n"
        "main()\n"
    )
    (tmp_path / "start.py").write_text(script)
    done = python("-m", "start", folder=tmp_path)
    assert (done.returncode, done.stderr) == (STOPPED, "")


def test_a_benchmark_leaves_nothing(tmp_path: Path) -> None:
    """While photos are generated or measured; its temporary folder goes with it."""
    with command("bench", "--rounds", "50", home=tmp_path) as process:
        until(lambda: any(tmp_path.glob("safelight-bench-*/*")) or process.poll() is not None)
        interrupted(process, signal.SIGINT)

    assert list(tmp_path.glob("safelight-bench-*")) == []


def test_jobs_that_run_here_are_stopped(tmp_path: Path) -> None:
    """`submit --local`: the job is asked to end, and nothing of it is left."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    video = clip(tmp_path)
    words = ("submit", "transcode", video, "--local", "--out", "out", "--follow")
    with command(*words, "--param", "preset=slow", home=tmp_path) as process:
        line_with(process, "transcode started")
        said = interrupted(process, signal.SIGTERM)

    assert "the same command continues" in said
    assert list((tmp_path / "state" / "safelight" / "jobs").iterdir()) == []


def test_the_first_start_of_a_stack_is_stopped(tmp_path: Path) -> None:
    """While it is deployed: no process is left, and the next start can begin."""
    data = tmp_path / "data"
    words = ("up", "--data", data, "--port", str(free_port()), "--api-port", "0")
    with command(*words, home=tmp_path) as process:
        until((data / "logs" / "emulator.log").exists)
        interrupted(process, signal.SIGTERM)

    assert not [line for line in commands() if str(data) in line]


def commands() -> Sequence[str]:
    """Command lines of all processes that can be seen."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def hold_jobs(running: Running) -> None:
    """Stop the process that runs jobs at a moment when it does not hold the lock of their table."""
    pid = running.pids["services"]
    while True:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        table = sqlite3.connect(running.data / JOBS / FILE, timeout=0, isolation_level=None)
        with closing(table), suppress(sqlite3.OperationalError):
            table.execute("BEGIN IMMEDIATE")
            return
        os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen_jobs(running: Running) -> Iterator[None]:
    """A block in which everything works but jobs: each is stopped as soon as it runs."""
    over = threading.Event()

    def freeze() -> None:
        while not over.wait(0.05):
            with opened(running.data / JOBS) as table:
                for (pid,) in table.execute("SELECT pid FROM jobs WHERE state = 'RUNNING'"):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)

    os.kill(running.pids["services"], signal.SIGCONT)
    thread = threading.Thread(target=freeze)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        hold_jobs(running)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One stack for what needs one; its jobs run nowhere, so that they can be waited for."""
    with stack(tmp_path_factory.mktemp("interrupts") / "data") as up:
        hold_jobs(up)
        try:
            yield up
        finally:
            if alive(up.pids["services"]):
                os.kill(up.pids["services"], signal.SIGCONT)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGTERM, ("events", "tail")),
        (signal.SIGINT, ("chaos", "spot", "--probability", "0", "--every", "100")),
        (signal.SIGTERM, ("backfill", "--rate", "0.01")),
    ],
    ids=("events", "chaos", "backfill"),
)
def test_commands_that_follow_a_stack_end(
    number: int, words: tuple[str, ...], running: Running, tmp_path: Path
) -> None:
    """In the middle of a long wait."""
    app = running.app
    if words[0] == "backfill":
        bucket, data = app.settings.intake_bucket, picture(tmp_path, "a.jpg").read_bytes()
        for name in range(12):  # more than are enqueued at once
            app.store.put(bucket, f"before/{name}.jpg", data, content_type="image/jpeg")
        state = ("--state", str(tmp_path / "state.json"))
        words = ("backfill", f"s3://{bucket}/before/", *words[1:], *state)
    ready = {"events": "following", "chaos": "", "backfill": ""}[words[0]]
    with command(*words, "--data", running.data, home=tmp_path) as process:
        if ready:
            line_with(process, ready)
        elif words[0] == "chaos":
            assert process.stdout is not None
            process.stdout.readline()
        else:
            until((tmp_path / "state.json").exists)
        interrupted(process, number)


def test_who_waits_for_a_job_is_told_that_it_goes_on(running: Running, tmp_path: Path) -> None:
    """`submit --wait`: the job is as it was, and what follows, shows and stops it is said."""
    words = ("submit", "denoise", picture(tmp_path, "a.jpg"), "--wait")
    with command(*words, "--data", running.data, home=tmp_path) as process:
        assert process.stdout is not None
        job = process.stdout.readline().split()[0]
        line_with(process, ": ")
        said = interrupted(process, signal.SIGINT)

    assert "continue" in said
    for what in ("logs --follow", "show", "stop"):
        assert f"safelight jobs {what} {job} --data {running.data}" in said
    assert running.json("jobs", "show", job)["state"] == "SUBMITTED"
    running.run("jobs", "stop", job)


def test_who_waits_for_an_upload_is_told_that_it_goes_on(running: Running, tmp_path: Path) -> None:
    """`put --wait` of a video whose jobs do not run: how to look at it is said."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    video = clip(tmp_path).rename(tmp_path / "film.mov")
    with frozen_jobs(running):
        recorded = running.json("put", video, "--wait", "--no-jobs")
        assert recorded["status"] == "processing"
        late = running.run("put", video, "--wait", "--timeout", "4", code=75)
        assert late == ""
        # Another key: the record of the upload before may come late, and must not be mistaken.
        other = video.rename(tmp_path / "other.mov")
        asset = asset_id_of(recorded["bucket"], recorded["key"].replace(video.name, other.name))
        with command("put", other, "--wait", "--data", running.data, home=tmp_path) as process:
            until(lambda: running.app.catalog.get(asset) is not None)
            said = interrupted(process, signal.SIGTERM)

    assert f"safelight assets show {asset}" in said
