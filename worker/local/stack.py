"""The local stack: embedded AWS, resources, pipe, workers, event sink; in this order.

What lives here: what the processes are, with whose rights each works, and in what order they are
needed. How processes are kept alive is ``supervisor``'s, what is created inside the embedded AWS is
``deploy``'s, how rights are taken ``actors``'s.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.adapters.aws.clients import VARIABLE as CALLS
from worker.adapters.aws.clients import AwsClients
from worker.adapters.disk_errors import disk_call
from worker.domain.errors import EmulatorError
from worker.job_context import Stop
from worker.local import address as addresses
from worker.local import emulator, event_sink, iam_policies, parent_death_signal, workflows
from worker.local.address import Address
from worker.local.child import module
from worker.local.deploy import STACK, deploy
from worker.local.deploy.fingerprint import fingerprint
from worker.local.durable.store import NAME as STATE
from worker.local.roles import OPERATOR, PLUMBING, Actors, Identities
from worker.local.supervisor import Child, Supervisor
from worker.settings import DeletedOriginals

PORT = 4566
"""Of the embedded AWS, unless told; the port such emulators usually have."""
HANDLER = "worker.entrypoints.lambda_ingest:handler"
WORKFLOW_HANDLER = "worker.entrypoints.lambda_workflow:handler"
READY_SECONDS = 60.0
"""Longest wait for the workers; each imports the engine in about one second."""
HEAVY_RULE = f"safelight-{STACK}-heavy"
"""Of the Pulumi program: heavy uploads."""
LOG_BYTES = 10_000_000
"""A longer log or event file is put aside, as NAME.1, when the stack starts."""
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", CALLS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What is asked for."""

    data: Path
    port: int = PORT
    workers: int = 1
    deleted_originals: DeletedOriginals = DeletedOriginals.KEEP


class Stack:
    """One local stack.

    Args:
        say: told, in a sentence, what happens.
    """

    def __init__(self, order: StackOptions, *, say: Callable[[str], None]) -> None:
        self._order = order
        # Children work in DATA's parent or elsewhere: relative names would mean other files.
        self._data = order.data.absolute()
        self._say = say
        self._supervisor = Supervisor(say)
        self._endpoint = f"http://127.0.0.1:{order.port}"
        self._identities = Identities(self._data / addresses.CONFIGURATION, self._endpoint)
        self._before: Address | None = None
        """What the last run has left."""
        self._address: Address | None = None

    def run(self, stop: Stop, ready: Callable[[Address, Mapping[str, int]], None]) -> None:
        """Start everything, say so, keep it alive until asked to stop, stop everything.

        Args:
            stop: asks for the end.
            ready: told where the stack is and its processes, once a file put into the intake
                bucket will be processed.

        Raises:
            InputError: ``output_busy``: another stack uses the folder.
            PortTaken: something listens on the port.
            EmulatorError: something does not start; the message names its log.
        """
        addresses.require_unowned(self._data)
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
        if (self._data / "state" / STATE).exists():  # otherwise nothing of it is left
            self._before = addresses.read(self._data)

    def _start(self, stop: Stop) -> None:
        supervisor = self._supervisor
        supervisor.start([self._child("emulator", self._start_emulator, stop_seconds=20)])
        outputs, queues = self._establish(stop)
        actors, program = Actors.of(outputs), self._program
        ingest, finish = actors.function(HANDLER).profile, actors.function(WORKFLOW_HANDLER).profile
        supervisor.start(
            [
                program("events", self._sink(queues.events, outputs), PLUMBING),
                *self._pipe(outputs, actors),
                program("batch", self._jobs(queues.heavy, actors), finish),
            ]
        )
        command = _worker(outputs)
        supervisor.start(
            [
                program(f"worker-{number}", command, ingest)
                for number in range(1, self._order.workers + 1)
            ]
        )
        self._await_ready(stop)

    def _start_emulator(self) -> subprocess.Popen[bytes]:
        started = emulator.start(
            port=self._order.port,
            log=self._log("emulator"),
            state=self._data / "state",
            enforce_iam=True,
            launcher=parent_death_signal.command(()),
        )
        return started.process  # after a death, with all it had answered for; the others wait

    def _establish(self, stop: Stop) -> tuple[Mapping[str, Any], _Queues]:
        """Create what the Pulumi program says, and who works with it."""
        chosen = self._order.deleted_originals.value
        program, before = fingerprint(f"{self._endpoint} {chosen}"), self._before
        if before is not None and before.program == program:
            outputs = before.outputs  # the embedded AWS has all of it
        else:
            outputs = deploy(  # in a process of its own, as its SDK wants
                self._endpoint,
                self._data / addresses.OUTPUTS,
                config={"storage": {"deletedOriginals": chosen}},
                log=self._log("deploy"),
                launcher=parent_death_signal.command,
                stopped=lambda: stop.requested,
            )
        queues = _attach(
            AwsClients(emulator.client_environment(self._endpoint)), str(outputs["eventBus"])
        )
        self._identities.establish(
            roles=[actor.role for actor in Actors.of(outputs).all],
            users={
                OPERATOR: iam_policies.operator(outputs),
                PLUMBING: iam_policies.plumbing([queues.events, queues.heavy], outputs),
            },
        )
        environment = {**self._settings(outputs), **self._identities.keys(OPERATOR)}
        self._address = Address(
            data=self._data,
            endpoint=self._endpoint,
            outputs=outputs,
            environment=environment,
            program=program,
        )
        addresses.write(self._address)
        return outputs, queues

    def _settings(self, outputs: Mapping[str, Any]) -> Mapping[str, str]:
        """What the deployed functions have."""
        return {
            **{str(name): str(text) for name, text in outputs["ingestEnvironment"].items()},
            "SAFELIGHT_HEAVY_WORKFLOW": str(outputs["heavyWorkflow"]),
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

    def _program(self, name: str, command: Sequence[str], profile: str) -> Child:
        """A child that works as a profile, which is a role's or a user's name."""
        assert self._address is not None
        settings = self._settings(self._address.outputs)
        environment = {**_inherited(), **settings, **self._identities.taking(profile)}
        whole = parent_death_signal.command([*command, "--ready", str(self._data / "run" / name)])

        def start() -> subprocess.Popen[bytes]:
            with self._log(name).open("ab") as output:
                return subprocess.Popen(
                    whole,
                    env=environment,
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

    def _sink(self, url: str, outputs: Mapping[str, Any]) -> Sequence[str]:
        options = {
            "queue": url,
            "out": self._data / addresses.EVENTS,
            "buckets": ",".join(iam_policies.expiring(outputs)),
        }
        return module("worker.local.event_sink", [*options.items()])

    def _pipe(self, outputs: Mapping[str, Any], actors: Actors) -> Sequence[Child]:
        source, target = outputs["uploadsQueue"], outputs["workQueue"]
        if source == target:
            return ()  # standard ordering: S3 notifies the queue that the workers read
        pipe, grouping = actors.pipe()
        options = {
            "source": source,
            "target": target,
            "role": pipe.role,
            "enrichment": grouping.arn,
        }
        command = module("worker.local.pipe", [*options.items()])
        return [self._program("pipe", command, pipe.profile)]

    def _jobs(self, url: str, actors: Actors) -> Sequence[str]:
        return module(
            "worker.local.batch",
            [
                ("folder", self._data / addresses.JOBS),
                ("queue", url),
                ("outputs", self._data / addresses.OUTPUTS),
                ("handler", WORKFLOW_HANDLER),
                ("profile", actors.jobs().profile),
            ],
        )

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Queues:
    """URLs of the queues that the local stack reads itself."""

    events: str
    """Of everything that the bus gets."""
    heavy: str


def _attach(clients: AwsClients, bus: str) -> _Queues:
    """Make the queues of events that this stack reads itself."""
    found = _Queues(
        events=event_sink.attach(clients, bus), heavy=workflows.attach(clients, bus, HEAVY_RULE)
    )
    clients.close()
    return found


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
