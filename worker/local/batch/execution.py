"""How an attempt at a job is executed: as a child process, or as a container of the Batch image.

Commands, environments, signals, and the end of processes that a killed runner has left. When any of
it happens, and what follows from an exit code, is the runner's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from worker.domain.job import JobRequest, command_line
from worker.subprocesses.child import Child, kill_group
from worker.subprocesses.launch import tied_command

ORPHAN_LOOK_SECONDS = 0.02
"""Between two looks at processes that a killed runner has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One attempt at one job, or at one child of an array."""

    id: str
    attempt: int
    """From 1."""
    request: JobRequest
    child: int | None
    vcpus: float
    memory_mib: int
    log: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables that AWS Batch sets for a job (AWS Batch User Guide, "Environment
        variables")."""
        values = {
            "AWS_BATCH_JOB_ID": self.id,
            "AWS_BATCH_JOB_ATTEMPT": str(self.attempt),
            "AWS_BATCH_JQ_NAME": self.request.queue,
            "AWS_BATCH_CE_NAME": "local",
        }
        if self.child is not None:
            values["AWS_BATCH_JOB_ARRAY_INDEX"] = str(self.child)
            values["AWS_BATCH_JOB_ARRAY_SIZE"] = str(self.request.array_size)
        return values


class StartedAttempt:
    """A started attempt.

    Args:
        command: runs it; gets SIGTERM when this process dies.
        environment: of the command.
        log: its output goes to the end of this file.
        remove: removes what it has beside its process.

    Raises:
        TransientError: it could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        remove: Callable[[], None] = lambda: None,
    ) -> None:
        self._remove = remove
        with log.open("ab") as output:
            self._child = Child(
                tied_command(command, parent_death_signal=signal.SIGTERM),
                environment=environment,
                stdout=output.fileno(),
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Of the process that stands for it on this machine."""
        return self._child.pid

    def poll(self) -> int | None:
        """Its exit code once it has ended; 128 + n after signal n."""
        if not self._child.ended():
            return None
        self._child.end()  # as when a container ends: nothing of it goes on
        self._remove()
        return self._child.status if self._child.status >= 0 else 128 - self._child.status

    def terminate(self) -> None:
        """Ask it to end: SIGTERM to its first process, as an engine of containers does."""
        self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it with everything it has started."""
        self._remove()
        self._child.signal_group(signal.SIGKILL)


class Executor(Protocol):
    """Starts attempts."""

    def start(self, task: Task) -> StartedAttempt:
        """Start one; its output goes to the end of ``task.log``. Raises ``TransientError``."""
        ...

    def remove_orphan(self, id_: str, attempt: int, log: Path) -> None:
        """Remove what a killed runner may have left of an attempt, except its process."""
        ...


def batch_command(task: Task) -> Sequence[str]:
    """The job runner of this installation. ``-P``: a folder called batch here is not ours."""
    return [sys.executable, "-P", "-m", "batch", *command_line(task.request)]


class ProcessExecutor:
    """Child processes, which get SIGTERM when the runner dies.

    Args:
        environment: of every job.
        command: what to run.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        command: Callable[[Task], Sequence[str]] = batch_command,
    ) -> None:
        self._environment = dict(environment)
        self._command = command

    def start(self, task: Task) -> StartedAttempt:
        """Start the command in a session of its own."""
        return StartedAttempt(
            self._command(task), {**self._environment, **task.environment}, task.log
        )

    def remove_orphan(self, id_: str, attempt: int, log: Path) -> None:
        """Only the process is left, which the runner knows."""


class ContainerExecutor:
    """Containers of the Batch image, with nothing they do not need.

    Inputs on disk are mounted read-only one by one under ``/in/``, the output folder as ``/out``
    and a scratch folder, removed afterwards, as ``/tmp``. Without any ``s3://`` address there is
    no network. An embedded AWS on loopback is reached through the network of the host.

    Args:
        image: of ``images/batch``.
        environment: of every job; of it only what leads to AWS and Safelight's own is passed on.
        engine: the engine's command line program.
    """

    def __init__(
        self,
        image: str,
        environment: Mapping[str, str],
        *,
        engine: str = "docker",
    ) -> None:
        self._image = image
        self._environment = dict(environment)
        self._engine = engine

    def start(self, task: Task) -> StartedAttempt:
        """Start a container and a client process that stands for it."""
        _scratch(task.log).mkdir(parents=True, exist_ok=True)
        if "://" not in task.request.output:
            Path(task.request.output).mkdir(parents=True, exist_ok=True)
        environment = {**self._environment, **task.environment}
        # The client passes SIGTERM on and ends with the container's exit code.
        return StartedAttempt(
            self.command(task),
            environment,
            task.log,
            remove=lambda: self.remove_orphan(task.id, task.attempt, task.log),
        )

    def remove_orphan(self, id_: str, attempt: int, log: Path) -> None:
        """Kill and remove the container, if it is there, and its scratch folder."""
        command = [self._engine, "rm", "--force", container_name(id_, attempt)]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, check=False, timeout=60)
        shutil.rmtree(_scratch(log), ignore_errors=True)

    def command(self, task: Task) -> list[str]:
        """The engine's command for an attempt."""
        request, mounts = _mounted(task.request)
        remote = any("://" in place for place in (*request.inputs, request.output))
        ours = [name for name in self._environment if name.startswith(("AWS_", "SAFELIGHT_"))]
        words = [self._engine, "run", "--rm", "--name", container_name(task.id, task.attempt)]
        words += ["--network", "host" if remote else "none"]
        words += ["--read-only", "--cap-drop", "ALL"]
        words += ["--security-opt", "no-new-privileges", "--pids-limit", "1024"]
        words += ["--user", f"{os.getuid()}:{os.getgid()}"]
        words += ["--cpus", f"{task.vcpus:g}", "--memory", f"{task.memory_mib}m"]
        # On disk: videos are larger than memory.
        for mount in (_bind(str(_scratch(task.log)), "/tmp"), *mounts):  # noqa: S108 - the container's own
            words += ["--mount", mount]
        for name in sorted({*ours, *task.environment}):
            words += [
                "--env",
                name,
            ]  # without its value, which others could see in a list of processes
        return [*words, self._image, *command_line(request)]


def _scratch(log: Path) -> Path:
    return log.absolute().with_suffix(".scratch")


def container_name(id_: str, attempt: int) -> str:
    """The name of an attempt's container."""
    return f"safelight-{id_.replace(':', '-')}-{attempt}"


def _mounted(request: JobRequest) -> tuple[JobRequest, list[str]]:
    """The request as the container sees it, and the mounts that make it so."""
    mounts, inputs = [], []
    for number, place in enumerate(request.inputs):
        if "://" in place:
            inputs.append(place)
            continue
        inside = f"/in/{number}/{Path(place).name}"
        mounts.append(_bind(place, inside, "readonly"))
        inputs.append(inside)
    output = request.output
    if "://" not in output:
        mounts.append(_bind(output, "/out"))
        output = "/out"
    return replace(request, inputs=tuple(inputs), output=output), mounts


def _bind(source: str, target: str, *more: str) -> str:
    # The engine reads this as a line of CSV: quoted, a comma in a name is only a comma.
    fields = ("type=bind", f"source={source}", f"target={target}", *more)
    return ",".join('"' + field.replace('"', '""') + '"' for field in fields)


# --- orphans ----------------------------------------------------------------------------------


def start_ticks(pid: int) -> int | None:
    """When a process started, in the kernel's ticks since boot; None if it has ended.

    Source: proc(5), ``/proc/PID/stat``, field 22. A zombie has ended. Elsewhere than on Linux
    nothing is known.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The second field, a name in parentheses, may hold spaces and parentheses of its own.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def end_orphans(processes: Sequence[tuple[int, int | None]], *, seconds: float) -> None:
    """Wait until processes have ended, and kill those that have not after ``seconds``.

    A process is known by its number and its start: the kernel gives a number to another process
    later. They were told to end when their runner died: see ``worker.subprocesses.launch``.
    """
    deadline = time.monotonic() + seconds
    left = [(pid, at) for pid, at in processes if at is not None]
    while True:
        left = [(pid, at) for pid, at in left if start_ticks(pid) == at]
        if not left:
            return
        if time.monotonic() >= deadline:
            for pid, _ in left:
                kill_group(pid)
        time.sleep(ORPHAN_LOOK_SECONDS)
