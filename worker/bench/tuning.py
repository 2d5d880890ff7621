"""The curve of the ingest function, measured in its image on this machine.

A container gets the processor time that Lambda gives (memory / 1,769 of a virtual processor, as a
quota of the kernel) and its memory. In it runs what runs on AWS, the image's own entry point and
Lambda's runtime client; :class:`RuntimeApi` is the other end of the Lambda Runtime API and times
each invocation. S3 and DynamoDB are the embedded AWS: their answers take other times than there.
Processors differ too, so shapes and ratios hold, seconds roughly.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.bootstrap import Application, assemble
from worker.domain.asset import ObjectVersion, Status, asset_id_of
from worker.domain.errors import ConfigurationError, InputError, TuningFailed
from worker.job_context import processors
from worker.local.deploy import deploy
from worker.local.emulator import client_environment, running
from worker.services.tune import (
    PREFIX,
    START,
    Photo,
    check_sizes,
    sqs_event,
)
from worker.services.tuning_curve import VCPU_MEGABYTES, DurationCurve, PhotoSet, Point, Where
from worker.settings import Settings

HANDLER = "worker.entrypoints.lambda_ingest.handler"
ENGINE = "docker"
VERSION = "/2018-06-01/runtime"
"""Of the Lambda Runtime API (AWS Lambda Developer Guide, "Lambda runtime API")."""
PERIOD = 20_000
"""Microseconds of the kernel's accounting. Shorter than an engine's usual 100,000: with little
memory a function would work in long bursts between long waits."""
ANSWER_SECONDS = 120.0
LOOK_SECONDS = 0.5
"""Between two looks whether the container is still there."""
ARCHITECTURES = {"amd64": "x86_64", "arm64": "arm64"}
_USED = "cat /sys/fs/cgroup/cpuacct/cpuacct.usage /sys/fs/cgroup/cpu.stat 2>/dev/null"
_PEAK = "cat /proc/[0-9]*/status 2>/dev/null | grep VmHWM"


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of a function."""

    seconds: float
    body: object
    failed: bool = False


class _RuntimeServer(ThreadingHTTPServer):
    """A function that is killed leaves a connection without an end, which is no news here."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class RuntimeApi:
    """The Lambda Runtime API for one function, on loopback; times are monotonic."""

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[tuple[float, bytes, bool]] = queue.Queue()
        self._sent = 0.0
        self.ready = threading.Event()
        """Set when the function asks for its first event: its INIT phase is over."""
        self.ready_at = 0.0
        """Seconds since the epoch."""
        api = self

        class RuntimeHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._next(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api._answers.put((time.monotonic(), body, not self.path.endswith("/response")))
                self._say(202, b"{}")

            def _say(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _RuntimeServer(("127.0.0.1", 0), RuntimeHandler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def _next(self, request: Any) -> None:
        if not self.ready.is_set():
            self.ready_at = time.time()
            self.ready.set()
        identity, body = self._events.get()
        deadline = int((time.time() + ANSWER_SECONDS) * 1000)
        self._sent = time.monotonic()
        request._say(
            200,
            body,
            Lambda_Runtime_Aws_Request_Id=identity,
            Content_Type="application/json",
            Lambda_Runtime_Trace_Id="Root=1-00000000-000000000000000000000000;Sampled=0",
            Lambda_Runtime_Deadline_Ms=str(deadline),
            Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:eu-central-1:000000000000:function:ingest",
        )

    def invoke(self, event: Mapping[str, Any], alive: Callable[[], str]) -> Answer:
        """Give the function an event and wait for its answer.

        Args:
            event: as JSON.
            alive: says why the function cannot answer any more; nothing as long as it can.

        Raises:
            TuningFailed: it has ended, or does not answer in time.
        """
        self._events.put((str(uuid.uuid4()), json.dumps(event).encode()))
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                at, body, failed = self._answers.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                said = alive() or (
                    f"no answer within {ANSWER_SECONDS:g} s" if time.monotonic() > deadline else ""
                )
                if said:
                    raise TuningFailed(said) from None
                continue
            try:
                answer = json.loads(body or b"null")
            except ValueError:
                answer, failed = f"{body!r:.80}", True
            return Answer(at - self._sent, answer, failed)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


# --- the engine ---------------------------------------------------------------------------------


def engine(*words: str, seconds: float = 60) -> str:
    """Run a command of the container engine; what it printed.

    Raises:
        ConfigurationError: it is not installed (``program_missing``), or refuses.
    """
    if shutil.which(ENGINE) is None:
        text = f"{ENGINE} is not installed, or not on PATH: the curve is measured in the image"
        raise ConfigurationError(text, code="program_missing")
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, words of ours
            [ENGINE, *words], capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"{ENGINE} {words[0]} did not answer in {seconds:g} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ConfigurationError(f"{ENGINE} {words[0]}: {last}")
    return done.stdout.strip()


def architecture_of(image: str) -> str:
    """``arm64`` or ``x86_64``. Raises ``ConfigurationError``: no such image or engine."""
    try:
        found = engine("image", "inspect", "--format", "{{.Architecture}}", image)
    except ConfigurationError as error:
        if "No such image" not in error.message:
            raise
        text = f"there is no image {image} here; `make build` makes it"
        raise ConfigurationError(text, code="input_missing") from None
    return ARCHITECTURES.get(found, found)


def limits(memory: int) -> list[str]:
    """Options of a container that has what Lambda gives a function of this size."""
    quota = round(PERIOD * memory / VCPU_MEGABYTES)
    return [
        *("--cpu-period", str(PERIOD), "--cpu-quota", str(quota)),
        *("--memory", f"{memory}m", "--memory-swap", f"{memory}m"),
    ]


@contextmanager
def container(
    image: str, memory: int, environment: Mapping[str, str], api: RuntimeApi
) -> Iterator[str]:
    """A started container of the image; its name. It is gone at the end."""
    name = f"safelight-tune-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    given = {
        **environment,
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": "ingest",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
    }
    words = ["run", "--detach", "--name", name, "--network", "host", "--read-only"]
    words += ["--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108 - the container's own
    words += limits(memory)
    for key, value in given.items():
        words += ["--env", f"{key}={value}"]
    engine(*words, image, HANDLER)
    try:
        yield name
    finally:
        engine("rm", "--force", "--volumes", name)


def gone(name: str) -> str:
    """Why a container has ended; empty while it runs."""
    form = "{{.State.Running}} {{.State.OOMKilled}} {{.State.ExitCode}}"
    is_running, killed, code = engine("inspect", "--format", form, name).split()
    if is_running == "true":
        return ""
    return "out_of_memory" if killed == "true" else f"the function ended with code {code}"


def peak(name: str) -> int | None:
    """Most megabytes that the largest process of a container had."""
    try:
        found = engine("exec", name, "sh", "-c", _PEAK)
    except ConfigurationError:
        return None
    sizes = [int(line.split()[1]) for line in found.splitlines() if line.split()[1].isdecimal()]
    return max(sizes) // 1024 if sizes else None


def cpu_seconds(name: str) -> float | None:
    """Processor time that a container has used so far; None where it cannot be read.

    The kernel's accounts are nanoseconds (cgroup v1) or lines of microseconds (v2).
    """
    try:
        found = engine("exec", name, "sh", "-c", f"{_USED} || true").split()
    except ConfigurationError:
        return None
    if found[:1] == ["usage_usec"] and found[1:2] and found[1].isdecimal():
        return int(found[1]) / 1e6
    return int(found[0]) / 1e9 if found and found[0].isdecimal() else None


def started_at(name: str) -> float:
    """When the container's first process began, in seconds since the epoch."""
    text = engine("inspect", "--format", "{{.State.StartedAt}}", name)
    whole, _, part = text.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return moment + float(f"0.{part or 0}")


# --- measuring ----------------------------------------------------------------------------------


@dataclass
class _Timings:
    """Of one size, in seconds."""

    warm: list[list[float]] = field(default_factory=list)
    """Of each round: for each upload, in the order of the photos."""
    cpu: list[float] = field(default_factory=list)
    """Of each round: processor time for an upload, mean."""
    init: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    failed: str = ""


def measure(
    image: str,
    photos: Sequence[Photo],
    sizes: Sequence[int],
    *,
    rounds: int,
    batch: int,
    recipe: str,
    today: str,
    say: Callable[[str], None] = lambda _: None,
) -> DurationCurve:
    """Measure every size, in turns: each round starts a container of each, in another order.

    Args:
        image: of ``images/lambda``.
        photos: each is uploaded once to each container.
        sizes: megabytes, at least two.
        rounds: containers of each size.
        batch: uploads in an invocation.
        recipe: of the deployment.
        today: ISO 8601.
        say: told, in a sentence, what takes time.

    Raises:
        InputError: too few sizes or photos, or a photo that the recipe does not accept.
        ConfigurationError: no engine, no image, or more memory than this machine has processors
            for.
        TuningFailed: no two sizes could be measured.
        EmulatorError: the embedded AWS does not start.
    """
    most = processors() * VCPU_MEGABYTES
    sizes = check_sizes(sizes)
    if sizes[-1] > most:
        raise InputError(
            f"{sizes[-1]} MB come with more than the {processors()} processors of this machine;"
            f" the most that can be measured here is {most} MB"
        )
    architecture = architecture_of(image)
    found = {size: _Timings() for size in sizes}
    with (
        tempfile.TemporaryDirectory(prefix="safelight-tune-") as folder,
        _stack(Path(folder), recipe) as stack,
    ):
        for number in range(rounds):
            turn = number % len(sizes)
            for size in (*sizes[turn:], *sizes[:turn]):
                if not found[size].failed:
                    say(f"round {number + 1} of {rounds}: {size} MB")
                    _round(stack, image, size, photos, found[size], batch=batch, number=number)
        pixels = stack.pixels
    return _curve(
        found,
        photos,
        architecture=architecture,
        batch=batch,
        recipe=recipe,
        today=today,
        pixels=pixels,
    )


@dataclass
class _Stack:
    app: Application
    environment: Mapping[str, str]
    pixels: list[int] = field(default_factory=list)


@contextmanager
def _stack(folder: Path, recipe: str) -> Iterator[_Stack]:
    with running(folder) as emulator:
        outputs = deploy(
            emulator.endpoint,
            folder / "outputs.json",
            config={"intake": {"ordering": "standard"}, "recipe": recipe},
        )
        function = {str(name): str(value) for name, value in outputs["ingestEnvironment"].items()}
        environment = {**function, **client_environment(emulator.endpoint)}
        clients = AwsClients(environment)
        try:
            app = assemble(Settings.from_environment(function), clients)
            yield _Stack(app=app, environment=environment)
        finally:
            clients.close()


def _round(
    stack: _Stack,
    image: str,
    size: int,
    photos: Sequence[Photo],
    into: _Timings,
    *,
    batch: int,
    number: int,
) -> None:
    """Start one container, upload every photo to it once, and keep what it took."""
    uploads = [_upload(stack, photo, f"{size}-{number}-{at}") for at, photo in enumerate(photos)]
    api = RuntimeApi()
    try:
        with container(image, size, stack.environment, api) as name:
            deadline = time.monotonic() + ANSWER_SECONDS
            while not api.ready.wait(LOOK_SECONDS):
                said = gone(name) or ("" if time.monotonic() < deadline else "it does not start")
                if said:
                    raise TuningFailed(said)

            def invoke(event: Mapping[str, Any]) -> float:
                answer = api.invoke(event, lambda: gone(name))
                if answer.failed or answer.body != {"batchItemFailures": []}:
                    raise TuningFailed(f"{_complaint(answer.body)}; is the image of this checkout?")
                return answer.seconds

            init = api.ready_at - started_at(name) + invoke(START)
            warm: list[float] = []
            before = cpu_seconds(name)
            for at in range(0, len(uploads), batch):
                some = uploads[at : at + batch]
                warm += [invoke(sqs_event(some)) / len(some)] * len(some)
            after = cpu_seconds(name)
            into.init.append(init)
            into.warm.append(warm)
            if before is not None and after is not None:
                into.cpu.append((after - before) / len(uploads))
            used = peak(name)
            into.peaks += [] if used is None else [used]
    except TuningFailed as error:
        into.failed = error.message
        return
    finally:
        api.close()
    for photo, upload in zip(photos, uploads, strict=True):
        record = stack.app.catalog.get(asset_id_of(upload.bucket, upload.key))
        if record is None or record.status is not Status.ACCEPTED or record.probe is None:
            verdict = record.verdict.code if record and record.verdict else "not recorded"
            raise InputError(f"{photo.name}: the recipe does not accept it: {verdict}")
        stack.pixels.append(record.probe.pixels)


def _complaint(body: object) -> str:
    """The error of a function, in one line."""
    said = body.get("errorMessage") if isinstance(body, Mapping) else None
    return f"it answered {' '.join(str(said or body).split()):.200}"


def _upload(stack: _Stack, photo: Photo, mark: str) -> ObjectVersion:
    bucket, key = stack.app.settings.intake_bucket, f"{PREFIX}{mark}.jpg"
    data = photo.marked(mark)
    etag = stack.app.store.put(bucket, key, data, content_type="image/jpeg")
    return ObjectVersion(
        bucket=bucket,
        key=key,
        etag=etag,
        sequencer=f"{time.time_ns():018X}",
        size=len(data),
        version_id=stack.app.store.head(bucket, key).version_id,
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    )


def _curve(
    found: Mapping[int, _Timings],
    photos: Sequence[Photo],
    *,
    architecture: str,
    batch: int,
    recipe: str,
    today: str,
    pixels: Sequence[int],
) -> DurationCurve:
    failed = {size: one.failed for size, one in found.items() if one.failed}
    points = []
    for size, one in found.items():
        if not one.failed:
            # Other work on this machine can only add time.
            fastest = [min(same) for same in zip(*one.warm, strict=True)]
            points.append(
                Point(
                    memory=size,
                    uploads=len(one.warm) * len(fastest),
                    seconds=round(statistics.fmean(fastest), 4),
                    longest=round(max(fastest), 4),
                    init_seconds=round(min(one.init), 4),
                    cpu_seconds=round(min(one.cpu), 4) if one.cpu else None,
                    peak=max(one.peaks, default=None),
                )
            )
    if len(points) < 2:
        said = "; ".join(f"{size} MB: {text}" for size, text in failed.items())
        raise TuningFailed(f"no two sizes could be measured: {said}")
    return DurationCurve(
        measured=today,
        where=Where.CONTAINER,
        architecture=architecture,
        recipe=recipe,
        photos=PhotoSet(
            count=len(photos),
            bytes=round(statistics.fmean(len(one.data) for one in photos), 1),
            pixels=round(statistics.fmean(pixels), 1),
        ),
        batch=batch,
        points=tuple(points),
        failed=failed,
    )
