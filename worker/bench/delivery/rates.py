"""Files made on demand, hits, and a mix of both, beside thumbor and imgproxy.

Each server runs on the same one core, and the clients on another one if there is one. The servers
take turns, round by round, while the others wait. The best round of each counts, because other
load on the machine can only take away. No file is asked for twice, except where hits are measured.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from worker.bench.delivery import library, servers
from worker.bench.delivery.load import Connection, run
from worker.bench.delivery.servers import (
    COMPARED,
    Command,
    Name,
    PeakMemory,
    Server,
    ServerMissing,
    running,
)
from worker.domain.image import Format

R = TypeVar("R")

MISS_SHARE = 0.05
"""Of the requests of the mixed load."""
STORED, ORIGINAL = "stored", "original"
"""The source that a file is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand:
    """One server, one format."""

    server: str
    source: str
    format: str
    per_second: float
    """Of the best round, by the clock."""
    cpu_ms: float
    """Of the processor, a request, in the best round: says more where the machine is busy."""
    kilobytes: float
    """Mean size of a file."""
    ssimulacra2: float
    """Mean of the photos, against the original, resized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """One server under a load of hits with some misses, in its best round."""

    server: str
    per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRates:
    """Everything measured."""

    on_demand: Sequence[OnDemand]
    memory: Mapping[str, float]
    """Peak of each server in MiB, while it makes files, all its processes together."""
    hits_per_second: float
    """By the clock, in the best round."""
    hits_per_cpu_second: float
    mixed: Sequence[Mixed]
    apart: bool
    """The clients had a core of their own."""
    versions: Mapping[str, str]
    absent: Sequence[str]
    """Skipped measurements, with the reasons."""

    def of(self, server: Name, source: str, kind: Format) -> OnDemand | None:
        """One figure; None if it was not measured."""
        wanted = (server, source, kind)
        found = (one for one in self.on_demand if (one.server, one.source, one.format) == wanted)
        return next(found, None)


def measure(
    photos: Mapping[str, Path],
    scratch: Path,
    *,
    rounds: int,
    turns: int,
    requests: int,
    notice: Callable[[str], None],
) -> ServerRates:
    """Measure all servers that there are.

    Args:
        photos: JPEG files.
        scratch: an empty folder.
        rounds: how often each server has its turn.
        turns: how often each photo is asked for in a round, in each format.
        requests: of hits, and of the mixed load, in a round.
        notice: told what happens.

    Raises:
        EngineError: a server does not start, or gives another answer than a file.
    """
    folder, originals = scratch / "library", scratch / "photos"
    folder.mkdir()
    originals.mkdir()
    names = [f"{number}.jpg" for number in range(len(photos))]
    for name, path in zip(names, photos.values(), strict=True):
        shutil.copyfile(path, originals / name)
    notice("storing the renditions of the upload")
    _in_process(partial(library.create, folder, {name: originals / name for name in names}))
    bench = _Bench(folder=folder, originals=originals, scratch=scratch, names=names, notice=notice)
    cores = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {cores[0]})
        bench.cores = frozenset(cores[-1:])
        bench.find_servers()
        bench.on_demand(rounds, turns)
        bench.peaks()
        hits = bench.hits(rounds, requests)
        mixed = bench.mixed(rounds, requests)
    finally:
        os.sched_setaffinity(0, cores)
    notice("comparing the files with the originals")
    scores = _in_process(partial(_scores, originals, scratch / "files", names))
    return ServerRates(
        on_demand=[
            OnDemand(
                server=who,
                source=source,
                format=kind,
                per_second=max(one.per_second for one in turns_),
                cpu_ms=min(one.cpu_ms for one in turns_),
                kilobytes=turns_[0].kilobytes,
                ssimulacra2=scores[who, source, kind],
            )
            for (who, source, kind), turns_ in bench.turns.items()
        ],
        memory=bench.memory,
        hits_per_second=max(rate for rate, _ in hits),
        hits_per_cpu_second=max(rate for _, rate in hits),
        mixed=mixed,
        apart=len(cores) > 1,
        versions=bench.versions,
        absent=bench.absent,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    per_second: float
    cpu_ms: float
    kilobytes: float


_Makes = tuple[Name, str, Format]
"""Server, source and format."""


@dataclass(kw_only=True)
class _Bench:
    folder: Path
    originals: Path
    scratch: Path
    names: Sequence[str]
    notice: Callable[[str], None]
    cores: frozenset[int] = frozenset()
    commands: dict[tuple[Name, str], Callable[[], Command]] = field(default_factory=dict)
    with_storage: Callable[[], Command] | None = None
    turns: dict[_Makes, list[_Turn]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    _next: int = 0

    def find_servers(self) -> None:
        """The available implementations, and the missing ones."""
        for source in (STORED, ORIGINAL):
            self.commands[Name.OURS, source] = partial(
                servers.ours, self.folder, stored=source == STORED
            )
        try:
            python = servers.find_thumbor(servers.THUMBOR_FOLDER, notice=self.notice)
            made = partial(servers.thumbor, self.originals, self.scratch, python=python)
            self.commands[Name.THUMBOR, ORIGINAL] = partial(made, storage=False)
            self.with_storage = partial(made, storage=True)
        except ServerMissing as missing:
            self.absent.append(str(missing))
        try:
            program = servers.find_imgproxy()
            self.commands[Name.IMGPROXY, ORIGINAL] = partial(
                servers.imgproxy, self.originals, program
            )
        except ServerMissing as missing:
            self.absent.append(str(missing))

    def on_demand(self, rounds: int, turns: int) -> None:
        """Each server has its turn in each format, over and over."""
        with self._all_running() as started:
            for (_, source), server in started.items():
                for kind in self._formats(server.name):
                    self._keep(server, source, kind)
            for number in range(rounds):
                self.notice(f"files on demand, round {number + 1} of {rounds}")
                for kind in (*COMPARED, Format.JXL):
                    for (name, source), server in started.items():
                        if kind in self._formats(name):
                            made = self._turn(server, self._paths(name, kind, turns))
                            self.turns.setdefault((name, source, kind), []).append(made)

    def peaks(self) -> None:
        """Memory of each server, alone: what several processes share counts for each in part."""
        self.notice("peak memory")
        for (name, _), command in self.commands.items():
            with running(command(), cores=self.cores) as server, PeakMemory(server.memory) as peak:
                for kind in COMPARED:
                    run(server.address, self._paths(name, kind, 2))
            self.memory[name] = max(self.memory.get(name, 0.0), peak.bytes / 2**20)

    def hits(self, rounds: int, requests: int) -> list[tuple[float, float]]:
        """ServerRates of hits in our cache, by the clock and by the processor."""
        self.notice("hits")
        rates = []
        with running(self.commands[Name.OURS, STORED](), cores=self.cores) as server:
            hot = self._paths(Name.OURS, Format.JPEG, 1)
            run(server.address, hot)
            asked = [hot[number % len(hot)] for number in range(requests)]
            for _ in range(rounds):
                before = server.cpu_seconds()
                done = run(server.address, asked)
                spent = max(server.cpu_seconds() - before, 1e-9)
                rates.append((done.per_second, requests / spent))
        return rates

    def mixed(self, rounds: int, requests: int) -> list[Mixed]:
        """Both with what they keep of their results: 95 % of the requests are for that."""
        commands = {Name.OURS: self.commands[Name.OURS, STORED]}
        if self.with_storage is not None:
            commands[Name.THUMBOR] = self.with_storage
        found: list[Mixed] = []
        for name, command in commands.items():
            self.notice(f"mixed load, {name}")
            with running(command(), cores=self.cores) as server:
                hot = [path for kind in COMPARED for path in self._fresh(name, kind, 1)]
                run(server.address, hot)
                rounds_ = [
                    run(server.address, self._mix(name, hot, requests, seed))
                    for seed in range(rounds)
                ]
            best = min(rounds_, key=lambda one: one.percentile(0.99))
            found.append(
                Mixed(
                    server=name,
                    per_second=best.per_second,
                    p50_ms=1000 * best.percentile(0.5),
                    p99_ms=1000 * best.percentile(0.99),
                )
            )
        return found

    def _mix(self, name: Name, hot: Sequence[str], requests: int, seed: int) -> list[str]:
        """Hits and misses in an order that is the same for every server."""
        misses = max(1, round(requests * MISS_SHARE))
        turns = -(-misses // (len(COMPARED) * len(self.names)))
        new = [path for kind in COMPARED for path in self._fresh(name, kind, turns)]
        chance = random.Random(seed)
        paths = [*chance.choices(hot, k=requests - misses), *chance.sample(new, misses)]
        chance.shuffle(paths)
        return paths

    def _turn(self, server: Server, paths: Sequence[str]) -> _Turn:
        before = server.cpu_seconds()
        done = run(server.address, paths)
        return _Turn(
            per_second=done.per_second,
            cpu_ms=1000 * (server.cpu_seconds() - before) / len(paths),
            kilobytes=done.body_bytes / len(paths) / 1000,
        )

    @contextmanager
    def _all_running(self) -> Iterator[dict[tuple[Name, str], Server]]:
        with ExitStack() as stack:
            yield {
                key: stack.enter_context(running(command(), cores=self.cores))
                for key, command in self.commands.items()
            }

    def _keep(self, server: Server, source: str, kind: Format) -> None:
        """Ask for each photo once, which warms the server up; keep the files."""
        folder = self.scratch / "files"
        folder.mkdir(exist_ok=True)
        self.versions[server.name] = server.version
        client = Connection(server.address, {})
        for number, path in enumerate(self._paths(server.name, kind, 1)):
            name = f"{server.name}-{source}-{number}.{kind.extension}"
            (folder / name).write_bytes(client.get(path))
        client.close()

    def _formats(self, name: Name) -> Sequence[Format]:
        return (*COMPARED, Format.JXL) if name is Name.OURS else COMPARED

    def _paths(self, name: Name, kind: Format, turns: int) -> list[str]:
        """Paths of files that have to be made, each photo ``turns`` times."""
        if name is not Name.OURS:  # they make a file each time
            return [servers.path_of(name, photo, kind) for photo in self.names] * turns
        return [library.path_of(number, kind) for number in self._numbers(turns)]

    def _fresh(self, name: Name, kind: Format, turns: int) -> list[str]:
        """The same of a server that keeps its results: of photos by names of their own."""
        if name is Name.OURS:
            return self._paths(name, kind, turns)
        paths = []
        for number in self._numbers(turns):
            photo = self.originals / f"{number:06}.jpg"
            os.link(self.originals / self.names[number % len(self.names)], photo)
            paths.append(servers.path_of(name, photo.name, kind))
        return paths

    def _numbers(self, turns: int) -> range:
        first = self._next
        self._next += turns * len(self.names)
        return range(first, self._next)


def _in_process(work: Callable[[], R]) -> R:
    """Call something in a process of its own: this one stays without libvips, whose memory its
    servers would share, and thus be charged less for.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work).result()


def _scores(
    originals: Path, files: Path, names: Sequence[str]
) -> dict[tuple[str, str, str], float]:
    """Mean SSIMULACRA2 of the files of each server, source and format."""
    from worker.bench.measure import Original

    found: dict[tuple[str, str, str], list[float]] = {}
    for number, name in enumerate(names):
        original = Original((originals / name).read_bytes())
        for file in sorted(files.glob(f"*-{number}.*")):
            who, source, _ = file.stem.split("-")
            kind = next(one for one in Format if one.extension == file.suffix[1:])
            _, score = original.score(file.read_bytes(), cover=False)
            found.setdefault((who, source, kind.value), []).append(score)
    return {key: fmean(every) for key, every in found.items()}
