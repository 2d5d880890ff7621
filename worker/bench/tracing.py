"""Measures the cost of tracing for an upload: processor time of the ingest function without
tracing, at 1 %, and with every trace written.

Small pictures lie in the queue of a local stack whose own processes stand still. The function's
handler takes them one by one in a process of its own, in turns without tracing and with it, so that
all have the same machine. Pictures are small because tracing costs the same for each: what is left
of a photo's time, its pixels, would only hide it.
"""

from __future__ import annotations

import io
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.local import address as addresses
from worker.local.address import Address
from worker.local.event_source import Context, lambda_event
from worker.local.stack import HANDLER, on_new_stack
from worker.local.throughput import held_back

if TYPE_CHECKING:
    from worker.bootstrap import Application

MODES: Mapping[str, float | None] = {"without": None, "one_percent": 1.0, "every": 100.0}
"""Per cent of traces that are written; None: no spans at all."""
WARM_UP = 10
"""Uploads of each mode that do not count: they load codecs, clients and OpenTelemetry."""
SECONDS = 60.0
"""Of one upload, and until one is in the queue."""
MEMORY = 1769
"""Megabytes that the function is told it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingCost:
    """The measurements."""

    cpu_seconds: Mapping[str, Sequence[float]]
    """Processor time of each upload by mode, in the order in which they took turns."""
    spans: float
    """Of one upload, the mean."""
    span_bytes: float
    """As they are written, the mean."""

    def median(self, mode: str) -> float:
        """Seconds of processor time of an upload."""
        return statistics.median(self.cpu_seconds[mode])


def measure(uploads: int, *, say: Callable[[str], None]) -> TracingCost:
    """Handle so many uploads in each mode.

    Raises:
        EmulatorError: the stack does not start.
    """

    def work(address: Address, pids: Mapping[str, int]) -> TracingCost:
        say(f"{uploads} uploads of each kind")
        still = [pid for name, pid in pids.items() if name not in ("emulator", "cache")]
        with ExitStack() as held:
            for pid in still:
                held.enter_context(held_back(pid))
            # A process of its own: the stack forks this one, which must not have used libvips.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                return pool.submit(_measure, uploads, address.data).result()

    return on_new_stack(work, say=say)


def _measure(uploads: int, data: Path) -> TracingCost:
    from worker.adapters.aws.clients import AwsClients
    from worker.bootstrap import assemble
    from worker.local.emulator import client_environment
    from worker.settings import Settings

    address = addresses.read(data)
    assert address is not None
    variables = {**address.environment, "SAFELIGHT_TRACE_TO": ""}
    settings = Settings.from_environment(variables)

    def application() -> Application:
        return assemble(settings, AwsClients(client_environment(address.endpoint)))

    app = application()
    queue = str(address.outputs["uploadsQueue"])
    total = (uploads + WARM_UP) * len(MODES)
    for number in range(total):
        key, picture = f"bench/{number}.jpg", _picture(number)
        app.store.put(settings.intake_bucket, key, picture, content_type="image/jpeg")
    with tempfile.TemporaryDirectory(prefix="safelight-traces-") as folder:
        return in_turns(application, _events(app, queue, total), Path(folder))


def in_turns(
    application: Callable[[], Application], events: Iterable[Mapping[str, Any]], folder: Path
) -> TracingCost:
    """Let the handler take events, the first in the first mode, the next in the next.

    Args:
        application: wires the services; they are traced if spans are recorded by then.
        events: of one upload each, none twice.
        folder: spans are written to it, and it has no other files.
    """
    from worker.adapters.span_files import SpanFiles
    from worker.adapters.tracing import SpanBuffer
    from worker.domain import trace

    # As Lambda finds it: by the name of its handler.
    lambda_ingest: Any = import_module(HANDLER.partition(":")[0])
    logger, level = lambda_ingest.logger, lambda_ingest.logger.log_level
    recorders = {
        mode: None
        if percent is None
        else SpanBuffer(SpanFiles(folder / mode).send, percent=percent)
        for mode, percent in MODES.items()
    }
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    try:
        logger.setLevel(logging.ERROR)  # a line for each upload would go to the figures
        services: dict[str, Application] = {}
        for mode, recorder in recorders.items():
            trace.install(recorder)
            services[mode] = application()
        modes = list(MODES)
        for number, event in enumerate(events):
            mode = modes[number % len(modes)]
            trace.install(recorders[mode])
            context: Any = Context(
                function_name="bench",
                memory_limit_in_mb=MEMORY,
                deadline=time.monotonic() + SECONDS,
            )
            began = time.process_time()
            answer = lambda_ingest.handle(dict(event), context, services[mode])
            seconds[mode].append(time.process_time() - began)
            if answer["batchItemFailures"]:
                raise AssertionError(f"an upload was not handled: {answer}")
    finally:
        logger.setLevel(level)
        trace.install(None)
    spans, size = _written(folder / "every")
    return TracingCost(
        cpu_seconds={mode: found[WARM_UP:] for mode, found in seconds.items()},
        spans=spans / len(seconds["every"]),
        span_bytes=size / spans,
    )


def _events(app: Application, queue: str, count: int) -> Iterable[Mapping[str, Any]]:
    """Events as Lambda would pass them, with one message each."""
    left, until = count, time.monotonic() + SECONDS
    while left:
        messages = app.queue.receive(queue, limit=min(10, left))
        for message in messages:
            yield lambda_event([message], queue)
        app.queue.delete(queue, messages)
        left -= len(messages)
        if messages:
            until = time.monotonic() + SECONDS
        elif time.monotonic() > until:
            raise AssertionError(f"{left} of {count} uploads did not come into the queue")


def _written(folder: Path) -> tuple[int, int]:
    """How many spans there are, and their bytes without what surrounds them."""
    spans = [
        json.dumps(span, separators=(",", ":"))
        for path in folder.iterdir()
        for line in path.read_text("utf-8").splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    return len(spans), sum(map(len, spans))


def _picture(number: int) -> bytes:
    """A small JPEG, no two alike."""
    from PIL import Image

    body = io.BytesIO()
    Image.new("RGB", (32, 32), (number % 256, number // 256 % 256, 90)).save(body, "JPEG")
    # Bytes after the end of the picture are never decoded, but make the file unique.
    return body.getvalue() + number.to_bytes(4, "big")
