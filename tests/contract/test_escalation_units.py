"""Units of DynamoDB that stages of a workflow take: `safelight cost escalation` prices them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.catalogs import at, entry, make_table, record, watching, write_units
from tests.unit.fakes import MemoryStore
from tests.unit.memory_queue import MemoryQueue
from tests.unit.review_world import ANN, Machine
from tests.unit.test_ingest import RECIPE
from worker import prices
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.domain.asset import Status, Verdict
from worker.domain.keys import cache_metadata
from worker.domain.label import BoundingBox, Label, LabelRules
from worker.domain.moderation import (
    MODERATION_UNDECIDED,
    CategoryRule,
    Moderation,
    ModerationLabel,
    ModerationOutcome,
    ModerationRules,
    ModerationTier,
    Seen,
)
from worker.domain.review import Choice, ReviewState
from worker.domain.workflow import StageCall
from worker.services.access import Access
from worker.services.label import LabelStage
from worker.services.moderate import ModerateStage
from worker.services.review import Reviews

if TYPE_CHECKING:
    from worker.adapters.aws.clients import AwsClients

JPEG = b"\xff\xd8\xff\xe0 a picture"
BOX = BoundingBox(left=0.1234, top=0.2345, width=0.3456, height=0.4567)
LABELS = [
    Label(name=f"Some Label {number}", confidence=99 - number, model_version="3.0", boxes=(BOX,))
    for number in range(10)
]
RULES = ModerationRules(categories=(CategoryRule(name="explicit", hold=60, reject=95),))


@dataclass
class Rekognition:
    """Sees ten labels in each picture, and skin as surely as it is told."""

    confidence: float

    def look(self, jpeg: bytes, *, minimum: float) -> Seen:
        """See ``Moderator``."""
        skin = ModerationLabel(name="Skin", category="explicit", confidence=self.confidence)
        return Seen(labels=(skin,), model="rekognition", model_version="7.0")

    def label(self, jpeg: bytes, *, minimum: float) -> Sequence[Label]:
        """See ``Labeller``."""
        return LABELS


@pytest.fixture
def catalog(clients: AwsClients, fresh: Callable[[str], str]) -> Iterator[DynamoCatalog]:
    """An empty table."""
    table = fresh("catalog")
    make_table(clients.dynamodb, table)
    yield DynamoCatalog(clients.dynamodb, table)
    clients.dynamodb.delete_table(TableName=table)


def units(name: str, given: Mapping[str, Any]) -> tuple[float, float]:
    """Write and read units of a call.

    A transaction takes twice as much (Amazon DynamoDB Developer Guide, "DynamoDB transactions").
    """
    if name == "PutItem":
        return write_units(given["Item"]), 0
    if name == "TransactWriteItems":
        puts = [one["Put"]["Item"] for one in given["TransactItems"] if "Put" in one]
        others = len(given["TransactItems"]) - len(puts)
        return 2 * (sum(map(write_units, puts)) + others), 0
    if name in ("UpdateItem", "DeleteItem"):
        return 2, 0  # the item, and an entry of an index
    return 0, {"GetItem": 1.0, "Query": 0.5, "BatchGetItem": 1.0}[name]


@pytest.mark.parametrize("way", ["machine", "person", "person, labelled"])
def test_the_assumed_units_are_the_measured_ones(
    clients: AwsClients, catalog: DynamoCatalog, way: str
) -> None:
    """Of all calls of the workflow function for an upload together, to within a third."""
    waits = Moderation(
        outcome=ModerationOutcome.UNCERTAIN, tier=ModerationTier.CLASSIFIER, time=at(1), minimum=50
    )
    verdict = Verdict(code=MODERATION_UNDECIDED, message="nobody was asked yet")
    one = record(1, status=Status.REVIEW, verdict=verdict, moderation=waits, workflow="moderate")
    store, queue, machine = MemoryStore(), MemoryQueue(), Machine()
    for file in one.renditions:
        store.put("delivery", file.key, JPEG, content_type="x/y", metadata=cache_metadata(file.key))
    catalog.commit(one, entry(one))
    asked = Rekognition(confidence=1 if way == "machine" else 70)
    recipe = replace(
        RECIPE, moderation=RULES, labels=LabelRules(confidence=50) if "labelled" in way else None
    )
    access = Access(
        catalog=catalog,
        store=store,
        bucket="delivery",
        quarantine="quarantine",
    )
    shared: dict[str, Any] = {
        "catalog": catalog,
        "store": store,
        "bucket": "delivery",
        "recipe": lambda _: recipe,
    }
    moderate = ModerateStage(**shared, access=access, rekognition=asked)
    label = LabelStage(**shared, labeller=asked, queue=queue, queue_url="work")
    reviews = Reviews(
        catalog=catalog, access=access, workflows=machine, now=lambda: datetime.now(UTC)
    )

    def call(task: str, **more: Any) -> StageCall:
        return StageCall(task=task, asset=one.asset, version=one.version, stage="people", **more)

    calls = 1  # the start of the machine, which reads the record
    with watching(clients.dynamodb) as seen:
        catalog.get(one.asset)
        outcome = moderate.run(call("moderate"))["outcome"]
        calls += 1
        if way != "machine":
            assert outcome == "hold"
            label.run(call("label"))
            machine.waiting.add("t")
            reviews.ask(call("approve", token="t", parameters={"deadline_seconds": 3_600}))
            (review,) = catalog.reviews(ReviewState.OPEN).reviews
            reviews.decide(ANN, review.id, Choice.APPROVE, "seen")
            reviews.follow(one.asset)
            calls += 3
        reviews.publish(call("publish"))
        calls += 1

    found = catalog.get(one.asset)
    assert found is not None
    assert found.status is Status.PUBLISHED
    need = prices.load()[1]
    each = [units(name, given) for name, given in zip(seen.names, seen.parameters, strict=True)]
    writes, reads = (sum(column) for column in zip(*each, strict=True))
    tags = need.label_write_units if "labelled" in way else 0
    assert calls * need.stage_write_units + tags == pytest.approx(writes, rel=1 / 3)
    assert calls * need.stage_read_units == pytest.approx(reads, rel=1 / 3)
