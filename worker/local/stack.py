"""The local stack: embedded AWS, resources, AWS services, workers; started in this order."""

from __future__ import annotations

import gc
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, TypeVar

from worker.adapters.aws.clients import VARIABLE as CALLS
from worker.adapters.aws.clients import AwsClients
from worker.adapters.disk_errors import disk_call
from worker.domain.errors import EmulatorError
from worker.job_context import Stop
from worker.local import (
    access_log,
    api,
    cache,
    delivery,
    emulator,
    iam_policies,
    rekognition,
    services,
    workflows,
)
from worker.local import address as addresses
from worker.local.address import Address
from worker.local.deploy import STACK, Outputs, deploy, shipped_workflows
from worker.local.deploy.fingerprint import fingerprint
from worker.local.durable.store import NAME as STATE
from worker.local.event_source import (
    EventSourceMapping,
    FunctionConfig,
    run_worker,
)
from worker.local.faults import clock
from worker.local.roles import OPERATOR, SERVICE, Profiles, Roles, RootClients
from worker.local.services import ServiceOptions
from worker.local.supervisor import ChildSpec, ForkedProcess, Supervisor
from worker.recipes import load as load_recipe
from worker.settings import PREFIX, DeletedOriginals
from worker.subprocesses.child import Process
from worker.subprocesses.launch import tied_command

PORT = 4566
"""Default port of the embedded AWS: the port that such emulators usually have."""
TRACES = "traces"
"""Folder of the spans, in that of the stack."""
HANDLER = "worker.entrypoints.lambda_ingest:handler"
WORKFLOW_HANDLER = "worker.entrypoints.lambda_workflow:handler"
API_HANDLER = "worker.entrypoints.lambda_api:handler"
WEBHOOK_HANDLER = "worker.entrypoints.lambda_webhook:handler"
INVALIDATION_HANDLER = "worker.entrypoints.lambda_invalidate:handler"
OUTBOX_HANDLER = "worker.entrypoints.lambda_outbox:handler"
LEDGER_HANDLER = "worker.entrypoints.lambda_ledger:handler"
DELIVER_HANDLER = "worker.entrypoints.lambda_deliver:handler"
READY_SECONDS = 180.0
"""Longest wait for the children; they are ready in less than a second on an idle machine."""
WORKFLOW_RULE = f"safelight-{STACK}-workflow"
INVALIDATIONS_RULE = f"safelight-{STACK}-invalidations"
WEBHOOK_RULE = f"safelight-{STACK}-webhook"
"""Of the Pulumi program: heavy uploads, assets whose files are invalidated, and the prefix of the
rules for endpoints."""
LOOPBACK = "127.0.0.0/8,::1/128"
"""Where receivers of webhooks are, beside those on the internet."""
REKOGNITION_RATE = 50
"""Requests a second to the stand-in for Rekognition, as in AWS's large regions."""
LOG_BYTES = 10_000_000
"""A longer log or event file is renamed to NAME.1 when the stack starts."""
_PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", CALLS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """Options chosen by the user."""

    data: Path
    port: int = PORT
    api_port: int | None = None
    """Of the API; None for the one after ``port``, 0 for any."""
    delivery_port: int | None = None
    """Port of the delivery server. None: the one after the API's, or any if that is any."""
    emulator_port: int | None = None
    """Where the embedded AWS listens itself, if something passes requests on that come to ``port``
    (``worker.local.faults``)."""
    workers: int = 1
    deleted_originals: DeletedOriginals = DeletedOriginals.KEEP
    recipe: str = "default"
    """Of uploads that choose none: a name, or the absolute path of a file."""
    webhooks: Mapping[str, str] = field(default_factory=dict)
    """URLs of endpoints, by name, that get every event."""
    daily_limit: float = 0.0
    """US dollars a day, as if this were AWS, from which on optional work pauses; 0 for no limit."""


class Stack:
    """One local stack.

    Args:
        say: called with a sentence for each step.
    """

    def __init__(self, options: StackOptions, *, say: Callable[[str], None]) -> None:
        self._options = options
        # Children work in DATA's parent or elsewhere: relative names would mean other files.
        self._data = options.data.absolute()
        self._say = say
        self._supervisor = Supervisor(say)
        self._endpoint = f"http://127.0.0.1:{options.port}"
        self._emulator_port = options.emulator_port or options.port
        chosen = options.port % 65_535 + 1 if options.api_port is None else options.api_port
        self._api_port = chosen or emulator.free_port()
        behind = self._api_port % 65_535 + 1 if chosen else 0
        media = behind if options.delivery_port is None else options.delivery_port
        self._delivery_port = media or emulator.free_port()
        self._rekognition_port = emulator.free_port()
        self._profiles = Profiles(self._data / addresses.CONFIGURATION, self._endpoint)
        program = cache.program()
        self._cache: cache.CacheServer | None = None
        """None where no such server is installed."""
        if program is not None:
            folder, log = self._data / "run", self._log(cache.NAME)
            self._cache = cache.CacheServer(program=program, folder=folder, log=log)
        self._before: Address | None = None
        """Processes and files left by the last run."""
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
        emulator.require_free(self._emulator_port)
        api.listen(self._api_port).close()
        api.listen(self._delivery_port, "--delivery-port").close()
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
        if self._cache is not None:
            supervisor.start(
                [self._child(cache.NAME, self._cache.start, stop_seconds=cache.STOP_SECONDS)]
            )
        _load_shared(self._endpoint)
        outputs, queues = self._establish(stop)
        roles = Roles.of(outputs)
        service = ServiceOptions(
            outputs=outputs,
            event_queue=queues.events,
            task_queue=queues.heavy,
            event_log=self._data / addresses.EVENTS,
            jobs=self._data / addresses.JOBS,
            workflow_handler=WORKFLOW_HANDLER,
            invalidation_handler=INVALIDATION_HANDLER,
            outbox_handler=OUTBOX_HANDLER,
            ledger_handler=LEDGER_HANDLER,
            places=self._data / "state",
            rekognition=(self._rekognition_port, self._data),
            webhook_handler=WEBHOOK_HANDLER,
        )
        profile = roles.function(WORKFLOW_HANDLER).profile
        # The delivery server takes invalidations as CloudFront's API does.
        edges = {
            "AWS_ENDPOINT_URL_CLOUDFRONT": f"http://127.0.0.1:{self._delivery_port}",
            rekognition.VARIABLE: f"http://127.0.0.1:{self._rekognition_port}",
        }
        supervisor.start(
            [self._forked("services", lambda ready: services.run(service, ready), profile, edges)]
        )
        mapping = _mapping(outputs)
        profile = roles.function(HANDLER).profile
        supervisor.start(
            [
                self._forked(f"worker-{number}", partial(run_worker, HANDLER, mapping), profile)
                for number in range(1, self._options.workers + 1)
            ]
        )
        address = self._address
        assert address is not None
        profile = roles.function(API_HANDLER).profile
        supervisor.start([self._forked("api", lambda ready: api.run(address, ready), profile)])
        # The second origin has the read permissions of the distribution.
        profile, port = roles.function(DELIVER_HANDLER).profile, self._delivery_port
        requests = self._data / "logs" / access_log.NAME
        hot = {} if self._cache is None else {cache.VARIABLE: self._cache.url}
        supervisor.start(
            [
                self._forked(
                    "delivery", lambda ready: delivery.run(port, requests, ready), profile, hot
                )
            ]
        )
        self._await_ready(stop)

    def _start_emulator(self) -> Process:
        started = emulator.start(
            port=self._emulator_port,
            log=self._log("emulator"),
            state=self._data / "state",
            enforce_iam=True,
            launcher=tied_command((), parent_death_signal=signal.SIGTERM),
        )
        return started.process  # after a death, with all it had answered for; the others wait

    def _settings(self, outputs: Outputs) -> Mapping[str, str]:
        """The variables of the deployed functions, and where their spans go here: all of them."""
        machines = outputs["workflows"].items()
        return {
            **{str(name): str(text) for name, text in outputs["ingestEnvironment"].items()},
            "SAFELIGHT_WORKFLOWS": ",".join(f"{name}={arn}" for name, arn in machines),
            **{
                str(name): str(text) for name, text in outputs.get("webhookEnvironment", {}).items()
            },
            "SAFELIGHT_WEBHOOK_NETWORKS": LOOPBACK,
            "SAFELIGHT_DISTRIBUTION": str(outputs["distribution"]),
            "SAFELIGHT_OUTBOX_DLQ_URL": str(outputs["outboxDeadLetters"]),
            "SAFELIGHT_DAILY_LIMIT": str(self._options.daily_limit),
            "SAFELIGHT_TRACE_TO": f"file:{(self._data / TRACES).absolute()}",
            "SAFELIGHT_TRACE_PERCENT": "100",
        }

    def _establish(self, stop: Stop) -> tuple[Outputs, _Queues]:
        """Create the resources of the Pulumi program, and the users and profiles that use them."""
        deleted, recipe = self._options.deleted_originals.value, self._options.recipe
        chosen: dict[str, Any] = {
            "storage": {"deletedOriginals": deleted},
            "recipe": recipe,
            # A stand-in answers: worker.local.rekognition.
            "rekognition": {"moderation": True, "labels": True, "rate": REKOGNITION_RATE},
        }
        text = f"{self._endpoint} {deleted} {recipe}"
        own = own_workflow(recipe)
        if own is not None:
            chosen["heavy"] = {"workflows": [*shipped_workflows(), str(own)]}
            text += own.read_text("utf-8")
        if self._options.webhooks:
            every = {"events": ["*"]}
            found = {name: {"url": url, **every} for name, url in self._options.webhooks.items()}
            chosen["webhooks"] = {"endpoints": found}
            text += json.dumps(found)
        program, before = fingerprint(text), self._before
        if before is not None and before.program == program:
            outputs = before.outputs  # the embedded AWS has all of it
        else:
            outputs = deploy(  # in a process of its own, as its SDK wants
                self._endpoint,
                self._data / addresses.OUTPUTS,
                config=chosen,
                log=self._log("deploy"),
                launcher=partial(tied_command, parent_death_signal=signal.SIGTERM),
                stopped=lambda: stop.requested,
            )
        # In a process of its own: the clients that this needs stay in memory in no other.
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
            queues = pool.submit(_attach, self._endpoint, self._profiles, outputs).result()
        last = addresses.read(self._data)
        here = f"http://127.0.0.1:{self._api_port}"
        media = f"http://127.0.0.1:{self._delivery_port}"
        environment = {
            **{str(name): str(text) for name, text in outputs["apiEnvironment"].items()},
            **self._settings(outputs),  # of which the API has a part: it starts one workflow
            "SAFELIGHT_DELIVERY_URL": media,
            api.SECRET: api.secret_of(last.environment if last is not None else {}),
            **self._profiles.key_environment(OPERATOR),
        }
        self._address = Address(
            data=self._data,
            endpoint=self._endpoint,
            api=here,
            delivery=media,
            token=api.token(environment),
            outputs=outputs,
            environment=environment,
            program=program,
        )
        addresses.write(self._address)
        return outputs, queues

    def _await_ready(self, stop: Stop) -> None:
        deadline = time.monotonic() + READY_SECONDS
        wanted = {self._data / "run" / name for name in self._supervisor.pids()}
        # The first answers already, and no test or person needs the second to be there.
        wanted -= {self._data / "run" / name for name in ("emulator", cache.NAME)}
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

    def _forked(
        self,
        name: str,
        run: Callable[[Path], None],
        profile: str,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> ChildSpec:
        """A child that works with the rights of a role or user, and more variables if given."""
        assert self._address is not None
        variables = (
            self._address.environment if name == "api" else self._settings(self._address.outputs)
        )
        settings = {key: text for key, text in variables.items() if key.startswith(PREFIX)}
        environment = {**_inherited(), **settings, **self._profiles.environment(profile), **more}
        ready = self._data / "run" / name

        def start() -> Process:
            return ForkedProcess(
                lambda: clock.run_at(self._data, name, lambda: run(ready)),
                environment=environment,
                log=self._log(name),
            )

        return self._child(name, start, stop_seconds=15)

    def _child(self, name: str, start: Callable[[], Process], *, stop_seconds: float) -> ChildSpec:
        return ChildSpec(
            name=name, start=start, log=str(self._log(name)), stop_seconds=stop_seconds
        )

    def _log(self, name: str) -> Path:
        return self._data / "logs" / f"{name}.log"


def own_workflow(recipe: str) -> Path | None:
    """The file of the workflow that a recipe has beside it; None if it names a shipped one.

    Raises:
        RecipeError: the recipe, or its workflow, has a mistake.
    """
    named = load_recipe(recipe).workflow_file
    return Path(recipe).parent / named if named else None


Result = TypeVar("Result")


def on_new_stack(
    work: Callable[[Address, Mapping[str, int]], Result], *, say: Callable[[str], None]
) -> Result:
    """Run work on a temporary stack and return its result. The stack lies in a temporary folder and
    stops when the work ends.

    Args:
        work: is told where the stack is, and its processes.
        say: is told what happens.

    Raises:
        EmulatorError: the stack does not start.
    """
    results: list[Result] = []
    stop = Stop()

    with tempfile.TemporaryDirectory(prefix="safelight-stack-") as folder:

        def ready(address: Address, pids: Mapping[str, int]) -> None:
            try:
                results.append(work(address, pids))
            finally:
                stop.request()

        options = StackOptions(data=Path(folder, "data"), port=emulator.free_port(), api_port=0)
        Stack(options, say=say).run(stop, ready)
    return results[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Queues:
    """URLs of the queues that the local stack reads itself."""

    events: str
    """Of everything that the bus gets."""
    heavy: str


def _attach(endpoint: str, profiles: Profiles, outputs: Outputs) -> _Queues:
    """Make the queues that this stack reads itself, and write the profiles of its processes."""
    clients, bus = AwsClients(emulator.client_environment(endpoint)), str(outputs["eventBus"])
    queues = _Queues(
        events=services.attach_queue(
            clients, bus, services.EVENT_RULE, services.EVENT_QUEUE, pattern=services.EVERY_EVENT
        ),
        heavy=services.attach_queue(clients, bus, WORKFLOW_RULE, workflows.QUEUE),
    )
    invalidations = str(outputs["invalidationsQueue"]).rpartition("/")[2]
    services.attach_queue(clients, bus, INVALIDATIONS_RULE, invalidations)
    for name, queue in outputs.get("webhooks", {}).items():
        there = str(queue["queue"]).rpartition("/")[2]
        services.attach_queue(clients, bus, f"{WEBHOOK_RULE}-{name}", there)
    clients.close()
    profiles.write(
        roles=[holder.role for holder in Roles.of(outputs).all],
        users={
            OPERATOR: iam_policies.operator(outputs),
            SERVICE: iam_policies.service([queues.events, queues.heavy], outputs),
        },
    )
    return queues


def _load_shared(endpoint: str) -> None:
    """Load the modules that forked processes need: they share the memory, and start at once. A
    separate worker takes 68 MB, a forked worker about 20 MB.
    """
    os.environ["VIPS_CONCURRENCY"] = "1"  # libvips reads it as it is loaded; see _inherited
    for name in (HANDLER, WORKFLOW_HANDLER, API_HANDLER):
        resolve_name(name)
    clients = RootClients(emulator.client_environment(endpoint))
    for service in ("dynamodb", "events", "iam", "s3", "sqs", "stepfunctions"):
        getattr(clients, service)
    clients.close()
    # The collector would write into every object, and so copy every shared page.
    gc.collect()
    gc.freeze()


def _mapping(outputs: Outputs) -> EventSourceMapping:
    ingest = outputs["ingest"]
    return EventSourceMapping(
        queue_url=str(outputs["workQueue"]),
        # Whole numbers come out of Pulumi as floats.
        batch_size=int(ingest["batchSize"]),
        window=float(ingest["batchWindow"]),
        function=FunctionConfig(
            name=str(outputs["ingestFunction"]),
            timeout=float(ingest["timeout"]),
            memory=int(ingest["memory"]),
        ),
    )


def _inherited() -> dict[str, str]:
    """Return the part of this process's environment that a child may have: nothing that leads to a
    real AWS."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # One picture at a time on one core, as in Lambda; the cores are for the other workers.
    return {**kept, "VIPS_CONCURRENCY": "1"}


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return "no output"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
