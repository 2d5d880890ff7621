"""The local stack: embedded AWS, resources, pipe, workers, event sink; in this order.

What lives here: what the processes are and in what order they are needed. How processes are kept
alive is ``supervisor``'s, what is created inside the embedded AWS is ``deploy``'s.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from worker.adapters.aws_clients import AwsClients
from worker.adapters.disk_errors import disk_call
from worker.bootstrap import FILE
from worker.errors import EmulatorError
from worker.local import address as addresses
from worker.local import emulator, event_sink, leash
from worker.local.address import Address
from worker.local.child import module
from worker.local.deploy import deploy
from worker.local.state_machine import process as state_machines
from worker.local.supervisor import Child, Supervisor
from worker.services.local_run.stop import Stop

PORT = 4566
"""Of the embedded AWS, unless told; the port such emulators usually have."""
HANDLER = "worker.entrypoints.ingest:handler"
WORKFLOW_HANDLER = "worker.entrypoints.workflow:handler"
READY_SECONDS = 60.0
"""Longest wait for the workers; each imports the engine in about one second."""
LOG_BYTES = 10_000_000
"""A longer log or event file is put aside, as NAME.1, when the stack starts."""
_LOST = (
    "catalog, queues and object versions are as at the last clean stop; the files in buckets are "
    "kept, and `safelight backfill` ingests those of the intake bucket again"
)
"""What the embedded AWS saves and when: measured, and held by tests/integration."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for."""

    data: Path
    port: int = PORT
    workers: int = 1


class Stack:
    """One local stack.

    Args:
        say: told, in a sentence, what happens.
    """

    def __init__(self, order: Order, *, say: Callable[[str], None]) -> None:
        self._order = order
        # Children work in DATA's parent or elsewhere: relative names would mean other files.
        self._data = order.data.absolute()
        self._say = say
        self._supervisor = Supervisor(say)
        self._endpoint = f"http://127.0.0.1:{order.port}"
        self._address: Address | None = None

    def run(self, stop: Stop, ready: Callable[[Address, Mapping[str, int]], None]) -> None:
        """Start everything, say so, keep it alive until asked to stop, stop everything.

        Args:
            stop: asks for the end.
            ready: told where the stack is and its processes, once a file put into the intake
                bucket will be processed.

        Raises:
            PortTaken: something listens on the port.
            InputError: ``output_busy``: another stack uses the folder.
            EmulatorError: something does not start; the message names its log.
        """
        emulator.require_free(self._order.port)
        with addresses.owned(self._data):
            self._prepare()
            try:
                self._start(stop)
                if not stop.requested:
                    assert self._address is not None
                    ready(self._address, self._supervisor.pids())
                self._supervisor.watch(stop)
            finally:
                self._supervisor.stop()
            if self._address is not None:
                addresses.write(replace(self._address, clean=True))

    # --- start ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        with disk_call(self._data):
            for name in ("logs", "run", "state"):
                (self._data / name).mkdir(exist_ok=True)
            for old in (self._data / "run").iterdir():
                old.unlink()
            for path in (*(self._data / "logs").glob("*.log"), self._data / addresses.EVENTS):
                if path.exists() and path.stat().st_size > LOG_BYTES:
                    path.replace(path.with_name(f"{path.name}.1"))
        before = addresses.read(self._data)
        if before is not None and not before.clean:
            self._say(f"the stack in this folder was killed last time: {_LOST}")

    def _start(self, stop: Stop) -> None:
        supervisor = self._supervisor
        supervisor.start([self._child("emulator", self._start_emulator, stop_seconds=20)])
        outputs = self._deploy()
        environment = self._environment(outputs)
        self._address = Address(
            data=self._data, endpoint=self._endpoint, outputs=outputs, environment=environment
        )
        sink, heavy = _attach(environment, outputs)
        addresses.write(self._address)
        supervisor.start(
            [
                self._program("events", self._sink(sink), environment),
                *(
                    self._program(name, command, environment)
                    for name, command in _pipes(outputs).items()
                ),
                self._program("batch", self._jobs(), environment),
                self._program("workflows", self._workflows(heavy), environment),
            ]
        )
        command = _worker(outputs)
        supervisor.start(
            [
                self._program(f"worker-{number}", command, environment)
                for number in range(1, self._order.workers + 1)
            ]
        )
        self._await_ready(stop)

    def _start_emulator(self) -> subprocess.Popen[bytes]:
        again = self._address is not None
        started = emulator.start(
            port=self._order.port,
            log=self._log("emulator"),
            state=self._data / "state",
            launcher=leash.command(()),
        )
        if again:
            # It has died and forgotten what it had not saved. The other children wait for it.
            try:
                outputs = self._deploy()
                _attach(self._environment(outputs), outputs)
            except BaseException:
                started.stop()
                raise
            self._say(f"the embedded AWS had died: {_LOST}")
        return started.process

    def _deploy(self) -> Mapping[str, Any]:
        """Create what the Pulumi program says, in a process of its own as its SDK wants."""
        return deploy(
            self._endpoint,
            self._data / "outputs.json",
            log=self._log("deploy"),
            launcher=leash.command,
        )

    def _environment(self, outputs: Mapping[str, Any]) -> Mapping[str, str]:
        """What the deployed function has, and what leads its clients to the embedded AWS."""
        return {
            **{str(name): str(text) for name, text in outputs["ingestEnvironment"].items()},
            **emulator.client_environment(self._endpoint),
            "SAFELIGHT_HEAVY_WORKFLOW": f"{FILE}{self._data / addresses.WORKFLOWS}",
        }

    def _await_ready(self, stop: Stop) -> None:
        deadline = time.monotonic() + READY_SECONDS
        wanted = {self._data / "run" / name for name in self._supervisor.pids()}
        wanted.discard(self._data / "run" / "emulator")
        while not stop.requested:
            missing = sorted(path.name for path in wanted if not path.exists())
            if not missing:
                return
            dead = self._supervisor.dead()
            if dead:
                log = self._log(dead[0])
                raise EmulatorError(f"{dead[0]} does not start: {_last_line(log)}; see {log}")
            if time.monotonic() > deadline:
                raise EmulatorError(f"{missing[0]} is not ready; see {self._log(missing[0])}")
            time.sleep(0.05)

    # --- children ---------------------------------------------------------------------------

    def _program(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        whole = leash.command([*command, "--ready", str(self._data / "run" / name)])

        def start() -> subprocess.Popen[bytes]:
            with self._log(name).open("ab") as output:
                return subprocess.Popen(
                    whole,
                    env={**_inherited(), **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C reaches the supervisor, which stops its children in order.
                    start_new_session=True,
                )

        return self._child(name, start, stop_seconds=15)

    def _child(
        self, name: str, start: Callable[[], subprocess.Popen[bytes]], *, stop_seconds: float
    ) -> Child:
        return Child(name=name, start=start, log=str(self._log(name)), stop_seconds=stop_seconds)

    def _sink(self, url: str) -> Sequence[str]:
        out = self._data / addresses.EVENTS
        return module("worker.local.event_sink", [("queue", url), ("out", out)])

    def _jobs(self) -> Sequence[str]:
        return module("worker.local.batch", [("folder", self._data / addresses.JOBS)])

    def _workflows(self, url: str) -> Sequence[str]:
        return module(
            "worker.local.state_machine",
            [
                ("queue", url),
                ("file", self._data / addresses.WORKFLOWS),
                ("jobs", self._data / addresses.JOBS),
                ("handler", WORKFLOW_HANDLER),
            ],
        )

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"


def _attach(environment: Mapping[str, str], outputs: Mapping[str, Any]) -> tuple[str, str]:
    """Make the queues of events that this stack reads itself; URLs of all and of heavy ones."""
    clients, bus = AwsClients(environment), str(outputs["eventBus"])
    return event_sink.attach(clients, bus), state_machines.attach(clients, bus)


def _pipes(outputs: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    source, target = outputs["uploadsQueue"], outputs["workQueue"]
    if source == target:
        return {}  # standard ordering: S3 notifies the queue that the workers read
    return {"pipe": module("worker.local.pipe", [("source", source), ("target", target)])}


def _worker(outputs: Mapping[str, Any]) -> Sequence[str]:
    ingest = outputs["ingest"]
    return module(
        "worker.local.event_source",
        [
            ("queue", outputs["workQueue"]),
            ("handler", HANDLER),
            ("name", outputs["ingestFunction"]),
            # Whole numbers come out of Pulumi as floats.
            ("timeout", ingest["timeout"]),
            ("memory", int(ingest["memory"])),
            ("batch-size", int(ingest["batchSize"])),
            ("window", ingest["batchWindow"]),
        ],
    )


def _inherited() -> dict[str, str]:
    """Of this process's environment what a child may have: nothing that leads to a real AWS."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # One picture at a time on one core, as in Lambda; the cores are for the other workers.
    return {**kept, "VIPS_CONCURRENCY": "1", "PYTHONUNBUFFERED": "1"}


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return "no output"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
