"""Workers and people at work on one catalog and one store, call by call, in an order by dice.

Every call of a port is a point at which another one may go on, at which the call may fail before or
after its effect, and at which the process may die. All of it follows from a seed, so that what goes
wrong can be seen again, and shrunk: only one thread runs at a time.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.cli_pipeline import ENVIRONMENT
from tests.unit.fakes import Fuse, Killed, MemoryCatalog, MemoryStore, Stored
from tests.unit.test_ingest import POLICY
from worker.domain.asset import ObjectVersion, Removal, Verdict, asset_id_of
from worker.domain.errors import AssetMissing, SafelightError, Throttled, Unreachable
from worker.domain.image import Probe, Recipe
from worker.imaging import engine
from worker.imaging.engine import ProcessedImage
from worker.services.access import Access
from worker.services.erase import Eraser
from worker.services.ingest import Ingest
from worker.services.invariants import Invariants, Violation
from worker.settings import Settings

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TICK = timedelta(milliseconds=400)
"""Of the store's clock, for each call."""
MOST_CALLS = 4_000
Strike = str
"""``before``, ``after``, ``kill_before`` or ``kill_after`` a call."""


class Turns(Fuse):
    """Lets one task at a time make one call, and strikes some calls."""

    def __init__(self, dice: random.Random, strikes: Mapping[int, Strike]) -> None:
        super().__init__()
        self.dice, self.strikes = dice, strikes
        self.count = 0
        self._waiting: dict[str, threading.Event] = {}
        self._back = threading.Semaphore(0)
        self._names = threading.local()

    def around(self, name: str, effect: Callable[[], object]) -> object:
        """Make a call, once it is this task's turn."""
        own = getattr(self._names, "name", None)
        if own is None:
            return effect()  # of the test itself
        self._pause(own)
        self.count += 1
        assert self.count < MOST_CALLS, "it never ends"
        self.calls.append(f"{own}: {name}")
        strike = self.strikes.get(self.count, "")
        if strike == "kill_before":
            raise Killed
        if strike == "before":
            raise Throttled("struck before it was done")
        result = effect()
        if strike == "kill_after":
            raise Killed
        if strike == "after":
            raise Unreachable("struck after it was done")
        return result

    def _pause(self, own: str) -> None:
        self._waiting[own].clear()
        self._back.release()
        self._waiting[own].wait()

    def run(self, tasks: Mapping[str, Callable[[], object]]) -> Mapping[str, BaseException | None]:
        """Run tasks to their ends; how each one ended."""
        ends: dict[str, BaseException | None] = {}

        def body(name: str, task: Callable[[], object]) -> None:
            self._names.name = name
            self._waiting[name].wait()
            try:
                task()
                ends[name] = None
            except BaseException as error:  # noqa: BLE001 - a task may die in any way
                ends[name] = error
            self._back.release()

        threads = {}
        for name, task in tasks.items():
            self._waiting[name] = threading.Event()
            threads[name] = threading.Thread(target=body, args=(name, task), daemon=True)
            threads[name].start()
        while len(ends) < len(tasks):
            name = self.dice.choice([one for one in tasks if one not in ends])
            self._waiting[name].set()
            self._back.acquire()
        for thread in threads.values():
            thread.join()
        return ends


class _Inline:
    """A pool of threads that works at once: whose turn it is decides somebody else."""

    def __init__(self, *_: object, **__: object) -> None:
        """As many as you like."""

    def submit(self, call: Callable[..., Any], *values: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(call(*values, **named))
        except Exception as error:  # noqa: BLE001 - as a pool does
            done.set_exception(error)
        return done

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing waits."""

    def shutdown(self) -> None:
        """Nothing waits."""


class TimedStore(MemoryStore):
    """A store with a clock, whose deletions are told as S3 tells them."""

    def __init__(self, turns: Turns, told: Callable[[Removal], object]) -> None:
        super().__init__(turns)
        self._turns, self._told = turns, told

    @property
    def time(self) -> datetime:
        """Of the store."""
        return START + TICK * self._turns.count

    def _add(self, bucket: str, key: str, data: bytes) -> Stored:
        stored = super()._add(bucket, key, data)
        stored.modified = _text(self.time)
        return stored

    def renew(self, bucket: str, key: str, **more: Any) -> None:
        """As a copy onto itself."""
        super().renew(bucket, key, **more)
        for stored in self.versions.get((bucket, key), [])[-1:]:
            stored.modified = _text(self.time)

    def delete(
        self, bucket: str, key: str, *, version_id: str | None = None, etag: str | None = None
    ) -> None:
        """And an event of it, if there was something in the intake."""
        before = list(self.versions.get((bucket, key), ()))
        try:
            super().delete(bucket, key, version_id=version_id, etag=etag)
        finally:
            if bucket == "intake" and before != self.versions.get((bucket, key), []):
                removal = Removal(
                    bucket=bucket,
                    key=key,
                    sequencer=f"{next(self._ids):018X}",
                    version_id=version_id,
                    time=_text(self.time),
                )
                self._told(removal)


@dataclass
class _Pending:
    """A message of one object."""

    change: ObjectVersion | Removal
    receives: int = 0


@dataclass
class Story:
    """Some people and workers, by a seed.

    Args:
        strikes: what happens at which call; None throws the dice for it.
        make_store: another store, for a test of this.
    """

    seed: int
    keys: int = 2
    deeds: int = 7
    probability: float = 0.03
    strikes: Mapping[int, Strike] | None = None
    pictures: Sequence[bytes] = ()
    make_store: Callable[..., TimedStore] = TimedStore
    messages: list[_Pending] = field(default_factory=list)
    struck: dict[int, Strike] = field(default_factory=dict)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        if self.strikes is None:
            chance = random.Random(f"{self.seed} strikes")
            kinds = ("before", "after", "kill_before", "kill_after")
            self.strikes = {
                number: chance.choice(kinds)
                for number in range(1, MOST_CALLS)
                if chance.random() < self.probability
            }
        self.turns = Turns(dice, self.strikes)
        self.store = self.make_store(self.turns, lambda one: self.messages.append(_Pending(one)))
        self.catalog = MemoryCatalog(self.turns)
        self.settings = Settings.from_environment(ENVIRONMENT)
        self._dice, self._number = dice, 0
        self._cut: list[Callable[[], object]] = []
        self._erased: set[str] = set()

    # --- who works --------------------------------------------------------------------------

    def _clock(self) -> Callable[[], datetime]:
        """Of a process: most are right, some seconds early or late."""
        skew = timedelta(seconds=self._dice.choice([0, 0, 0, -3, 3]))
        return lambda: self.store.time + skew

    def _handle(self, message: _Pending) -> None:
        message.receives += 1
        service = Ingest(
            store=self.store,
            catalog=self.catalog,
            policy=POLICY,
            process=_process,
            now=self._clock(),
        )
        fetched = service.fetch(message.change, receives=message.receives)
        service.commit(service.render(fetched))

    def _deed(self) -> Callable[[], object]:
        """What somebody does next."""
        key = f"{self._dice.randrange(self.keys)}.jpg"
        asset = asset_id_of("intake", key)
        access = Access(
            catalog=self.catalog,
            store=self.store,
            bucket="delivery",
            quarantine="quarantine",
            now=self._clock(),
        )
        what = self._dice.choices(
            ["upload", "bad", "remove", "hold", "publish", "reject", "erase"],
            [8, 2, 2, 2, 2, 1, 2],
        )[0]
        picture = self._dice.choice(self.pictures)
        match what:
            case "upload" | "bad":
                data = picture if what == "upload" else b"no picture %d" % self._number
                return lambda: self._upload(key, data)
            case "remove":
                return lambda: self.store.delete("intake", key)
            case "hold":
                return lambda: access.hold(asset)
            case "publish":
                return lambda: access.publish(asset)
            case "reject":
                return lambda: access.reject(asset, Verdict(code="nudity", message="no"))
            case _:
                eraser = self._eraser(self._clock())
                self._erased.add(key)
                return lambda: eraser.erase(asset)

    def _eraser(self, now: Callable[[], datetime]) -> Eraser:
        return Eraser(
            catalog=self.catalog,
            store=self.store,
            settings=self.settings,
            pause=_never,
            now=now,
        )

    def _upload(self, key: str, data: bytes) -> None:
        upload = self.turns.around("people.upload", lambda: self.store.upload("intake", key, data))
        assert isinstance(upload, ObjectVersion)
        self.messages.append(_Pending(upload))

    # --- the story --------------------------------------------------------------------------

    def run(self) -> tuple[Violation, ...]:
        """Let everything happen, then let everything that was cut short be completed."""
        left = self.deeds
        rounds = 0
        while left or self.messages or self._cut:
            rounds += 1
            if rounds > 60:
                self.turns.strikes = {}  # in the end everything works
            assert rounds < 120, "messages never end"
            tasks: dict[str, Callable[[], object]] = {}
            messages = self._batch()
            for number, message in enumerate(messages):
                tasks[f"worker {rounds}.{number}"] = lambda message=message: self._handle(message)  # type: ignore[misc]
            again, self._cut = self._cut, []
            people = list(again)
            for _ in range(min(left, self._dice.randrange(3))):
                left -= 1
                self._number += 1
                people.append(self._deed())
            for number, deed in enumerate(people):
                tasks[f"person {rounds}.{number}"] = deed
            ends = self.turns.run(tasks)
            for number, message in enumerate(messages):
                self._answered(message, ends[f"worker {rounds}.{number}"])
            for number, deed in enumerate(people):
                error = ends[f"person {rounds}.{number}"]
                # What is cut short is completed by the same call; what is refused is refused.
                if isinstance(error, Killed) or (
                    isinstance(error, SafelightError) and error.retryable
                ):
                    if "upload" not in getattr(deed, "__qualname__", ""):
                        self._cut.append(deed)
                elif error is not None and not isinstance(error, SafelightError):
                    raise error
        self.struck = {n: s for n, s in self.turns.strikes.items() if n <= self.turns.count}
        self._remove_again()
        return self.check()

    def _remove_again(self) -> None:
        """Whoever has removed an asset and was cut short removes it again, later."""
        later = self._eraser(lambda: self.store.time + timedelta(hours=2))
        for key in self._erased:
            with suppress(AssetMissing):
                if self.catalog.get(asset_id_of("intake", key)) is None:
                    later.erase(asset_id_of("intake", key))

    def _batch(self) -> list[_Pending]:
        """Messages that are worked on at the same time, in any order; S3 sends some twice."""
        again = [_Pending(one.change) for one in self.messages if self._dice.random() < 0.1]
        if self.turns.strikes:
            self.messages += again
        return [one for one in self.messages if self._dice.random() < 0.6]

    def _answered(self, message: _Pending, error: BaseException | None) -> None:
        if error is None:
            with suppress(ValueError):
                if self._dice.random() > 0.1:  # else it comes again
                    self.messages.remove(message)
        elif not isinstance(error, Killed | SafelightError) or (
            isinstance(error, SafelightError) and not error.retryable
        ):
            raise error

    def check(self) -> tuple[Violation, ...]:
        """What is wrong once nothing happens any more."""
        return (
            Invariants(
                catalog=self.catalog,
                store=self.store,
                settings=self.settings,
                events=lambda: self.catalog.told,
                quiet=timedelta(0),
                now=lambda: self.store.time + timedelta(minutes=1),
            )
            .check()
            .violations
        )


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _never(_seconds: float) -> None:
    raise AssertionError("nothing waits here")


_MADE: dict[tuple[bytes, str], ProcessedImage] = {}


def _process(data: bytes, recipe: Recipe, found: Probe | None, sha256: str) -> ProcessedImage:
    """The engine, once for each picture."""
    name = (data, recipe.digest)
    if name not in _MADE:
        _MADE[name] = engine.process(data, recipe, found, sha256)
    return _MADE[name]


def unsandboxed(run: Callable[..., Any], *values: Any, **_: Any) -> Any:
    """In the place of the sandbox: what it costs is no part of a story."""
    return run(*values)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services without pools of threads and without a sandbox."""
    for module in ("access", "commit", "erase"):
        monkeypatch.setattr(f"worker.services.{module}.ThreadPoolExecutor", _Inline)
    monkeypatch.setattr("worker.services.ingest.sandbox.run", unsandboxed)
