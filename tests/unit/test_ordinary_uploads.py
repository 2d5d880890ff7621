"""What is ordinary costs nothing: no state transition, no question to Rekognition.

Pictures go through ingest, which has nobody to ask Rekognition, and the events that tell of their
records by the rule that starts state machines, which do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from tests.unit.pictures import encoded, photo
from tests.unit.test_ingest import POLICY, RECIPE, World
from worker.domain.asset import Status
from worker.domain.events import cloud_event, event_of
from worker.domain.image import Recipe
from worker.domain.label import LabelRules
from worker.domain.moderation import CategoryRule, ModerationLabel, ModerationRules, Seen
from worker.domain.workflow import APPROVE, MODERATE
from worker.services.ingest import Ingest

MANY = 1_000
RULES = ModerationRules(categories=(CategoryRule(name="explicit", blur=40, hold=60, reject=90),))
PLAIN = replace(RECIPE, renditions=RECIPE.renditions[1:])
LABELLED = replace(PLAIN, labels=LabelRules())
MODERATED = replace(LABELLED, workflow=MODERATE, moderation=RULES)


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
class Bill:
    """Counts what costs money: runs of state machines, which alone ask Rekognition."""

    runs: list[str] = field(default_factory=list)


@dataclass
class Uploads:
    """Pictures on their way."""

    recipe: Recipe
    classifier: Looker = field(default_factory=Looker)
    bill: Bill = field(default_factory=Bill)
    world: World = field(default_factory=World)
    handled: int = 0

    def ingest(self, count: int) -> None:
        """Upload so many different pictures, one by one."""
        service = Ingest(
            store=self.world.store,
            catalog=self.world.catalog,
            events=self.world.events,
            policy=replace(POLICY, recipe=self.recipe),
            classifier=self.classifier,
        )
        try:
            for number in range(count):
                data = encoded(photo(36, 24, seed=number), "JPEG")
                upload = self.world.store.upload("intake", f"uploads/{number}.jpg", data)
                service.commit(service.render(service.fetch(upload, receives=1)))
        finally:
            service.close()

    def tell(self) -> None:
        """Look at each record's event as the rule on the bus does that starts state machines."""
        for record in list(self.world.catalog.records.values()):
            event = event_of(record)
            detail = json.loads(json.dumps(cloud_event(event)))
            # The pattern of the rule, held in tests/infra: data.workflow exists.
            if "workflow" in detail["data"]:
                self.bill.runs.append(detail["id"])
            self.handled += 1

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
    assert uploads.bill == Bill()


def test_each_picture_that_is_escalated_is_one_run() -> None:
    """What is counted above would be counted: of ten pictures the classifier is uncertain of two,
    and the recipe that has people approve asks about each."""
    uploads = Uploads(MODERATED, Looker([0.5, 0.5, 30.0, 0.5, 0.5]))
    uploads.ingest(10)
    uploads.tell()
    assert len(uploads.bill.runs) == 2

    approved = Uploads(replace(PLAIN, workflow=APPROVE))
    approved.ingest(3)
    approved.tell()
    assert len(approved.bill.runs) == 3
    assert all(one != other for one, other in pairwise(approved.bill.runs))
