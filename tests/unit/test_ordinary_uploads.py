"""What is ordinary costs nothing: no state transition, no question to Rekognition.

Pictures go through ingest, and every event that tells of their records through the function that
starts state machines and asks Rekognition. All that could cost anything counts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pytest

from tests.unit.finalize.world import FakeWorkflows
from tests.unit.memory_queue import MemoryQueue
from tests.unit.pictures import encoded, photo
from tests.unit.test_ingest import POLICY, World
from tests.unit.test_settings import COMPLETE
from worker import recipes
from worker.bootstrap import Application
from worker.domain.asset import Status
from worker.domain.events import cloud_event, event_of
from worker.domain.image import Recipe
from worker.domain.label import Label
from worker.domain.moderation import ModerationLabel, Seen
from worker.domain.workflow import APPROVE, MODERATE
from worker.entrypoints import lambda_workflow
from worker.services.ingest import Ingest
from worker.services.recipe_store import RecipeStore
from worker.settings import Settings

MANY = 1_000
TEXT = """
name = "ordinary"
version = 1
[[renditions]]
name = "tiny"
width = 16
formats = ["jpeg"]
"""
RULES = """
[moderation]
categories = [{ name = "explicit", blur = 40, hold = 60, reject = 90 }]
[labels]
"""
PLAIN = recipes.parse(TEXT)
APPROVED = recipes.parse(f'workflow = "approve"{TEXT}')
MODERATED = recipes.parse(TEXT + RULES)


@dataclass
class Looker:
    """A classifier that is as certain as it is told, of each picture in turn."""

    confidences: Sequence[float] = (0.5,)
    asked: int = 0

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator``."""
        assert jpeg
        confidence = self.confidences[self.asked % len(self.confidences)]
        self.asked += 1
        seen = ModerationLabel(name="skin", category="explicit", confidence=confidence)
        return Seen(labels=(seen,), model="test", model_version="1")


@dataclass
class Rekognition:
    """Counts questions, each of which costs money."""

    questions: int = 0

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator``."""
        self.questions += 1
        return Seen(model="rekognition")

    def label(self, jpeg: bytes, *, minimum: float) -> Sequence[Label]:
        """See ``Labeller``."""
        self.questions += 1
        return ()


@dataclass
class Uploads:
    """Pictures on their way."""

    recipe: Recipe
    classifier: Looker = field(default_factory=Looker)
    workflows: FakeWorkflows = field(default_factory=FakeWorkflows)
    rekognition: Rekognition = field(default_factory=Rekognition)
    world: World = field(default_factory=World)
    handled: int = 0

    def ingest(self, count: int) -> None:
        """Upload so many different pictures, one by one."""
        service = Ingest(
            store=self.world.store,
            catalog=self.world.catalog,
            policy=replace(POLICY, recipe=self.recipe),
            classifier=self.classifier,
            remember=RecipeStore(self.world.store, "delivery").keep,
        )
        try:
            for number in range(count):
                data = encoded(photo(36, 24, seed=number), "JPEG")
                upload = self.world.store.upload("intake", f"uploads/{number}.jpg", data)
                service.commit(service.render(service.fetch(upload, receives=1)))
        finally:
            service.close()

    @cached_property
    def app(self) -> Application:
        """What the workflow function has."""
        return Application(
            settings=Settings.from_environment(COMPLETE),
            store=self.world.store,
            catalog=self.world.catalog,
            queue=MemoryQueue(),
            workflows=self.workflows,
            rekognition=self.rekognition,
            labeller=self.rekognition,
        )

    def tell(self) -> None:
        """Hand the event of each record to the workflow function, if the rule on the bus does."""
        for record in list(self.world.catalog.records.values()):
            event = event_of(record)
            detail = json.loads(json.dumps(cloud_event(event)))
            # The pattern of the rule, held in tests/infra: data.workflow exists.
            if "workflow" in detail["data"]:
                lambda_workflow.handle({"detail-type": event.type, "detail": detail}, self.app)
            self.handled += 1

    def moderate(self) -> list[str]:
        """Call the stage of each run, as its state machine does; the outcomes."""
        calls = [payload for _, payload in self.workflows.started.values()]
        return [
            lambda_workflow.handle({**call, "task": "moderate", "stage": "ask"}, self.app)[
                "outcome"
            ]
            for call in calls
        ]

    @property
    def statuses(self) -> set[Status]:
        """Of all records."""
        return {one.status for one in self.world.catalog.records.values()}


@pytest.mark.parametrize("recipe", [PLAIN, MODERATED], ids=["plain", "moderated"])
def test_a_thousand_ordinary_pictures_cost_no_step_and_no_question(recipe: Recipe) -> None:
    """Also with moderation, if the classifier is certain of each."""
    uploads = Uploads(recipe)

    uploads.ingest(MANY)
    uploads.tell()

    assert (len(uploads.world.catalog.records), uploads.handled) == (MANY, MANY)
    assert uploads.statuses == {Status.ACCEPTED}
    assert uploads.classifier.asked == (MANY if recipe is MODERATED else 0)
    assert (uploads.workflows.started, uploads.rekognition.questions) == ({}, 0)


def test_what_is_escalated_is_counted() -> None:
    """The counters of the tests above work: of ten pictures the classifier is uncertain about two.
    Each of these has one run of a state machine, which asks one question. With the workflow approve
    each upload has a run."""
    uploads = Uploads(MODERATED, Looker([0.5, 0.5, 30.0, 0.5, 0.5]))
    uploads.ingest(10)
    uploads.tell()
    assert [name for name, _ in uploads.workflows.started.values()] == [MODERATE] * 2
    assert uploads.rekognition.questions == 0
    assert uploads.moderate() == ["pass", "pass"]
    assert uploads.rekognition.questions == 2

    approved = Uploads(APPROVED)
    approved.ingest(3)
    approved.tell()
    assert [name for name, _ in approved.workflows.started.values()] == [APPROVE] * 3
