"""A local stack as a real process, and the commands on it, for whichever test needs one."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from PIL import Image

from worker.adapters.aws.clients import AwsClients
from worker.bootstrap import Application, assemble
from worker.entrypoints import cli
from worker.local import address
from worker.local.deploy.fingerprint import fingerprint
from worker.local.durable.store import NAME as STATE
from worker.local.emulator import client_environment, free_port
from worker.local.roles import RoleHolder
from worker.settings import DeletedOriginals, Settings

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "worker")
DEADLINE = 90.0


def environment() -> dict[str, str]:
    """Of a user who has the project installed and no AWS account."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SAFELIGHT_TABLE"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


def picture(
    folder: Path, name: str, colour: str = "teal", size: tuple[int, int] = (320, 200)
) -> Path:
    """A JPEG with something in it."""
    image = Image.new("RGB", size, colour)
    image.paste((250, 240, 200), (40, 40, 160, 120))
    path = folder / name
    image.save(path, "JPEG")
    return path


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens soon; fail if it does not."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children(parent: int) -> list[int]:
    """Of a process, those that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[1] == str(parent) and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


class Running:
    """A stack that is up, and the commands on it."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        """Wait until it is up."""
        self.process, self.data = process, data
        self.ready = self.line("ready")
        self.pids: Mapping[str, int] = self.ready["processes"]

    def line(self, state: str) -> dict[str, Any]:
        """The next thing of this kind that the stack says; pytest's timeout is the deadline."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            value: dict[str, Any] = json.loads(text)
            if value["state"] == state:
                return value
        assert self.process.stderr is not None
        raise AssertionError(f"the stack ended: {self.process.stderr.read()}")

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """One command on this stack, in this process; its output."""
        said, complaint = io.StringIO(), io.StringIO()
        with redirect_stdout(said), redirect_stderr(complaint):
            ended = cli.run([*map(str, arguments), "--data", str(self.data)])
        assert ended == code, complaint.getvalue()
        return said.getvalue()

    def failure(self, *arguments: str | Path, code: int) -> dict[str, Any]:
        """What a command says that fails."""
        return failure(self.data, *arguments, code=code)

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """One command's JSON."""
        return json.loads(self.run(*arguments, "--json", code=code))

    @property
    def app(self) -> Application:
        """The services, wired to this stack."""
        settings = Settings.from_environment(self.ready["environment"])
        return assemble(settings, AwsClients(self.ready["environment"]))

    @property
    def port(self) -> int:
        """Of the embedded AWS."""
        return int(self.ready["endpoint"].rpartition(":")[2])

    @property
    def root(self) -> dict[str, str]:
        """Variables of the account's root user, for what no commands and no roles may."""
        return client_environment(self.ready["endpoint"])

    @property
    def root_app(self) -> Application:
        """The services as the root user has them."""
        settings = Settings.from_environment(self.ready["environment"])
        return assemble(settings, AwsClients(self.root))

    def kill_emulator(self) -> None:
        """SIGKILL the embedded AWS, and wait until it is there again."""
        (pid,) = (
            pid
            for pid in children(self.process.pid)
            if b"durable" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        os.kill(pid, signal.SIGKILL)
        while "emulator runs again" not in self.line("note")["message"]:
            pass

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it as a person does, and wait."""
        self.process.send_signal(number)
        self.process.wait(DEADLINE)


def failure(data: Path, *arguments: str | Path, code: int) -> dict[str, Any]:
    """What a command says that fails, on the stack in a folder."""
    complaint = io.StringIO()
    with redirect_stderr(complaint):
        ended = cli.run([*map(str, arguments), "--json", "--data", str(data)])
    assert ended == code, complaint.getvalue()
    error: dict[str, Any] = json.loads(complaint.getvalue())["error"]
    return error


@contextmanager
def stack(
    data: Path, *options: str, workers: int = 1, port: int | None = None
) -> Iterator[Running]:
    """A stack for as long as the block lasts, with further options of ``up``.

    A new one begins with everything deployed, if no option changes that.
    """
    if not options and not data.exists():
        port = port or free_port()
        copy_deployed(data, port)
    with _up(data, *options, workers=workers, port=port or free_port()) as running:
        yield running


_shared: Path | None = None


def share(folder: Path) -> None:
    """Keep the stack that others are copied from in a folder that all processes of the run have."""
    global _shared  # noqa: PLW0603 - one test run, one folder
    folder.mkdir(exist_ok=True)
    _shared = folder


def copy_deployed(data: Path, port: int) -> None:
    """Begin a stack as a copy of one that was stopped as soon as it was up: a deployment is half of
    the work of a start. Names of queues have the port in them.
    """
    assert _shared is not None
    deployed = _shared / "data"
    with (_shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # whoever asks second waits for the first
        if not (_shared / "stopped").exists():
            with _up(deployed, workers=1, port=free_port()) as running:
                running.stop()
            (_shared / "stopped").touch()
    shutil.copytree(deployed, data, dirs_exist_ok=True)
    before = address.read(data)
    assert before is not None
    old, new = before.endpoint.rpartition(":")[2], str(port)
    for name in (address.NAME, address.OUTPUTS):
        path = data / name
        path.write_text(path.read_text().replace(f":{old}", f":{new}"))
    moved = address.read(data)
    assert moved is not None
    chosen = f"{moved.endpoint} {DeletedOriginals.KEEP.value} default"
    address.write(replace(moved, program=fingerprint(chosen)))
    with closing(sqlite3.connect(data / "state" / STATE, isolation_level=None)) as state:
        state.execute("UPDATE services SET state = replace(state, ?, ?)", (f":{old}", f":{new}"))


@contextmanager
def _up(data: Path, *options: str, workers: int, port: int) -> Iterator[Running]:
    process = subprocess.Popen(
        [
            *(*COMMAND, "up", "--json", "--data", str(data)),
            *("--port", str(port), "--api-port", "0", "--workers", str(workers), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )
    with process:
        try:
            yield Running(process, data)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def acting(who: Mapping[str, str], holder: RoleHolder) -> dict[str, str]:
    """Variables by which a process has the role of a holder for an hour.

    Args:
        who: those of whoever takes it; only the root user may.
        holder: whose role.
    """
    sts = boto3.client(
        "sts",
        endpoint_url=who["AWS_ENDPOINT_URL"],
        region_name=who["AWS_REGION"],
        aws_access_key_id=who["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=who["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=who.get("AWS_SESSION_TOKEN"),
    )
    session = sts.assume_role(RoleArn=holder.role, RoleSessionName="test")["Credentials"]
    sts.close()
    return {
        **who,
        "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
        "AWS_SESSION_TOKEN": session["SessionToken"],
    }
