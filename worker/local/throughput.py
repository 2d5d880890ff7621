"""How fast the whole pipeline is beside the bare engine, and whether its memory stays flat.

One run, one machine: the engine alone does photos on one core; then the local stack does the same
photos, its one worker alone on that core, everything else (embedded AWS, pipe) on the others. On a
machine with one core all share it, and the result says so.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, cycle, islice
from math import ceil
from pathlib import Path

from worker import recipes
from worker.domain.errors import EngineError
from worker.local.address import EVENTS, Address
from worker.local.changes import read_events
from worker.local.stack import on_new_stack

LOOK_SECONDS = 0.05
"""Between two looks into the log of events."""
LIMIT_SECONDS = 60.0
"""Seconds without a new asset after which the run is given up as broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """One measurement."""

    images: int
    engine_seconds: float
    """Wall time of the engine alone, one process on one core."""
    pipeline_seconds: float
    """Wall time from the first message to the last event, one worker on that core."""
    engine_cpu_seconds: float
    """CPU time of the engine alone."""
    worker_cpu_seconds: float
    """CPU time of the worker: the engine, the AWS clients and all else; other processes do not
    count, so that it says more than wall time where the machine is busy."""
    apart: bool
    """The embedded AWS had cores of its own."""
    worker_mebibytes: tuple[int, ...]
    """Resident memory of the worker after each tenth of the images."""
    event_seconds: tuple[float, ...]
    """From each record to its event in the log, sorted; up to ``LOOK_SECONDS`` too much."""

    def event_percentile(self, percent: int) -> float:
        """Return the seconds within which a percentage of the events were sent, by the nearest
        rank."""
        return self.event_seconds[ceil(len(self.event_seconds) * percent / 100) - 1]

    @property
    def ratio(self) -> float:
        """Rate of the pipeline as a share of the engine's own."""
        return self.engine_seconds / self.pipeline_seconds

    @property
    def cpu_ratio(self) -> float:
        """Share of the worker's CPU time that the engine alone would take: an upper bound of
        ``ratio`` on an idle machine.
        """
        return self.engine_cpu_seconds / self.worker_cpu_seconds


def measure(photos: Mapping[str, Path], images: int, *, say: Callable[[str], None]) -> Throughput:
    """Run both and compare.

    Args:
        photos: what to upload, over and over, each time with other bytes, so that none is taken
            for a copy.
        images: how many uploads; the engine alone does each photo twice.
        say: told what happens.

    Raises:
        EmulatorError: the stack does not start.
        EngineError: assets stopped appearing.
    """
    return on_new_stack(lambda address, pids: _measure(photos, images, address, pids, say), say=say)


def _measure(
    photos: Mapping[str, Path],
    images: int,
    address: Address,
    pids: Mapping[str, int],
    say: Callable[[str], None],
) -> Throughput:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.s3 import S3ObjectStore

    cores = sorted(os.sched_getaffinity(0))
    own, others = {cores[0]}, set(cores[1:]) or {cores[0]}
    for name, pid in pids.items():
        _pin(pid, own if name.startswith("worker-") else others)
    (worker,) = (pid for name, pid in pids.items() if name.startswith("worker-"))

    say("the engine alone")
    per_photo = _engine_seconds(photos, own)
    say(f"uploading {images} photos")
    store = S3ObjectStore(AwsClients(address.environment))
    bucket = str(address.outputs["intakeBucket"])
    names: list[str] = []
    # The pipe stands still until all is there: the uploading is not measured.
    with held_back(pids["services"]):
        for name, data in islice(unique(photos), images):
            key = f"{len(names):06}-{name}"
            store.put(bucket, key, data, content_type="image/jpeg")
            names.append(name)
        say("the pipeline")
        started, spent = time.monotonic(), cpu_seconds(worker)
    memory, late = _await_events(address.data / EVENTS, images, lambda: _resident(worker))
    seconds = time.monotonic() - started
    return Throughput(
        images=images,
        engine_seconds=sum(per_photo[name][0] for name in names),
        pipeline_seconds=seconds,
        engine_cpu_seconds=sum(per_photo[name][1] for name in names),
        worker_cpu_seconds=cpu_seconds(worker) - spent,
        apart=own.isdisjoint(others),
        worker_mebibytes=memory,
        event_seconds=late,
    )


@contextlib.contextmanager
def held_back(pid: int) -> Iterator[None]:
    """Let a process do nothing in the block; whatever happens, it can be ended afterwards."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def unique(photos: Mapping[str, Path]) -> Iterator[tuple[str, bytes]]:
    """Yield photos without end, all with different bytes: each has another comment after its first
    marker."""
    contents = {name: path.read_bytes() for name, path in photos.items()}
    for number, (name, data) in zip(count(), cycle(contents.items()), strict=False):
        text = f"copy {number}".encode()
        # COM segment: marker, length of itself and the text (ITU-T T.81, B.2.4.5).
        comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
        yield name, data[:2] + comment + data[2:]


def _engine_seconds(photos: Mapping[str, Path], cores: set[int]) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of each photo in a process of its own, the lesser of two runs."""
    command = [sys.executable, "-m", "worker.local.throughput", *map(str, photos.values())]
    environment = {**os.environ, "VIPS_CONCURRENCY": "1"}
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    seconds = [(float(wall), float(cpu)) for wall, cpu in lines]
    return dict(zip(photos, seconds, strict=True))


def _pin(pid: int, cores: set[int]) -> None:
    """All threads of a process, those to come too."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _await_events(
    path: Path, images: int, resident: Callable[[], int]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Memory after each tenth of the images, and how long each event took after its record."""
    memory: list[int] = []
    late: list[float] = []
    cursor, last = "0-0", time.monotonic()
    while len(late) < images:
        time.sleep(LOOK_SECONDS)
        events, cursor = read_events(path, cursor)
        now = datetime.now(UTC)
        told = [one for one in events if one.type == "asset.accepted"]
        if told:
            last = time.monotonic()
            late += [(now - datetime.fromisoformat(one.time)).total_seconds() for one in told]
            while len(memory) < len(late) * 10 // images:
                memory.append(resident())
        elif time.monotonic() - last > LIMIT_SECONDS:
            raise EngineError(f"{len(late)} of {images} assets are there, and no more come")
    return tuple(memory), tuple(sorted(late))


def main(paths: list[str]) -> None:
    """Print the engine's wall and CPU seconds for each photo, a line each."""
    from worker.imaging.engine import process
    from worker.imaging.malloc import keep_memory

    keep_memory()
    recipe = recipes.load("default")
    process(Path(paths[0]).read_bytes(), recipe)  # imports and tables are not counted
    for path in paths:
        data = Path(path).read_bytes()
        wall = cpu = float("inf")
        for _ in range(2):
            started, spent = time.perf_counter(), time.process_time()
            process(data, recipe)
            wall = min(wall, time.perf_counter() - started)
            cpu = min(cpu, time.process_time() - spent)
        sys.stdout.write(f"{wall:.6f} {cpu:.6f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
