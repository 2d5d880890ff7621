"""An asset that people are asked about, people, and a state machine that waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.fakes import Fuse
from tests.unit.test_access import World as Closing
from tests.unit.test_deliver import ASSET
from worker.domain.asset import AssetRecord, Status, Verdict
from worker.domain.errors import (
    TaskRefused,
)
from worker.domain.keys import quarantine_key
from worker.domain.review import Choice, Review, ReviewState
from worker.domain.workflow import StageCall
from worker.services.owned_assets import Caller
from worker.services.review import Reviews

ANN = Caller(owner="moderators", reviewer="ann", judges_all=True)
BOB = replace(ANN, reviewer="bob")
START = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = 3_600


class Machine:
    """Waits by tokens, and answers as AWS documents it: a token is good for one answer."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.gone: dict[str, str] = {}
        """Why AWS refuses a token, by the token."""
        self.answers: list[tuple[str, Any]] = []

    def start(self, workflow: str, name: str, payload: Mapping[str, object]) -> str:
        """See the port."""
        raise AssertionError("nothing is started here")

    def answer(self, token: str, output: Mapping[str, object]) -> None:
        """See the port."""
        if token not in self.waiting:
            code = self.gone.get(token, "task_unknown")
            raise TaskRefused("a test wants it", code=code)
        self.waiting.discard(token)
        self.gone[token] = "task_timed_out"  # AWS has one word for used and for timed out
        self.answers.append((token, output["outcome"]))


class World(Closing):
    """An asset with its original and its files, people and a machine."""

    def __init__(self, status: Status = Status.REVIEW, fuse: Fuse | None = None) -> None:
        super().__init__(status, fuse)
        self.clock = START
        self.original = self.store.upload("intake", "uploads/a.jpg", b"the original")
        self.change(source=self.original, verdict=Verdict(code="approval", message="by the recipe"))
        self.machine = Machine()
        self.access = replace(self.access, quarantine="quarantine", now=lambda: self.clock)
        self.reviews = Reviews(
            catalog=self.catalog,
            access=self.access,
            workflows=self.machine,
            now=lambda: self.clock,
        )
        self.fuse.calls.clear()

    def change(self, **fields: Any) -> None:
        """What somebody else does to the record."""
        self.catalog.records[ASSET] = replace(self.record, **fields)

    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.clock += timedelta(seconds=seconds)

    def call(self, task: str, token: str = "", **parameters: object) -> StageCall:
        """What a state machine asks for."""
        if token:
            self.machine.waiting.add(token)
        return StageCall(
            task=task,
            asset=ASSET,
            version=str(parameters.pop("version", self.record.version)),
            stage=str(parameters.pop("stage", "people")),
            workflow="approve",
            execution=str(parameters.pop("execution", "arn:run-1")),
            token=token,
            parameters=parameters,
        )

    def ask(self, token: str = "t1", **parameters: object) -> Review:
        """A stage asks, with an hour to answer; the review."""
        given = {"deadline_seconds": HOUR, **parameters}
        assert self.reviews.ask(self.call("approve", token, **given)) == "asked"
        return self.open

    @property
    def open(self) -> Review:
        """The one open review."""
        (found,) = self.catalog.reviews(ReviewState.OPEN).reviews
        return found

    def decide(self, choice: Choice, who: Caller = ANN, reason: str = "seen") -> Review:
        """A person decides about the newest review, and the event arrives."""
        newest = self.catalog.reviews_of(ASSET)[-1]
        decided = self.reviews.decide(who, newest.id, choice, reason).review
        self.reviews.follow(ASSET)
        return decided

    @property
    def quarantined(self) -> set[str]:
        """Keys in quarantine."""
        return self.store.keys("quarantine")


def approve(world: World, who: Caller = ANN) -> Review:
    """A person approves."""
    return world.decide(Choice.APPROVE, who)


def reject(world: World, who: Caller = ANN) -> Review:
    """A person rejects."""
    return world.decide(Choice.REJECT, who, "a logo of somebody else")


def prefix(record: AssetRecord) -> str:
    """What keys of a version begin with."""
    return "/".join(quarantine_key(record).split("/")[:3]) + "/"
