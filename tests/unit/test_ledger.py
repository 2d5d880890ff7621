"""The bookkeeper: which changes are work, each counted once, and when the limit is passed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.contract.catalogs import asset_id, at, entry, record
from tests.contract.test_catalog_faults import QUESTION
from tests.unit.fakes import MemoryCatalog
from tests.unit.memory_ledger import MemoryLedger
from tests.unit.test_outbox import ACCEPTED, FILES, REVIEW, change, changed, meta
from worker import prices
from worker.adapters.aws.dynamodb.items import job_item, review_item
from worker.adapters.aws.dynamodb.stream import change_of
from worker.domain import metrics
from worker.domain.asset import AssetRecord, JobRecord, Status
from worker.domain.errors import ConfigurationError, Throttled
from worker.domain.ledger import (
    VCPU_SECONDS,
    CountedWork,
    LedgerAccount,
    LedgerEntry,
    asked_of,
    work_of_job,
)
from worker.domain.moderation import Moderation, ModerationOutcome, ModerationTier
from worker.entrypoints import lambda_ledger
from worker.services.cost import cost
from worker.services.ledger import Bookkeeper

PRICE, NEED = prices.load()
DAY = "2026-05-09"
PROCESSING = replace(ACCEPTED, status=Status.PROCESSING, renditions=())
DONE = changed(ACCEPTED, status=Status.ACCEPTED)
JOB = JobRecord(
    asset=ACCEPTED.asset,
    id="j",
    kind="transcode",
    state="RUNNING",
    created_at=at(1),
    updated_at=at(1),
    detail={VCPU_SECONDS: "10.0"},
)
ENDED = replace(JOB, state="SUCCEEDED", detail={VCPU_SECONDS: "7200.0"})
ASKED = Moderation(outcome=ModerationOutcome.PASS, tier=ModerationTier.REKOGNITION, pictures=4)


@dataclass
class Refusing(MemoryLedger):
    """Writes, and then says that it could not, so many times."""

    times: int = 0

    def __post_init__(self) -> None:
        """Start empty."""
        MemoryLedger.__init__(self)

    def add(self, shard: str, counted: Sequence[LedgerEntry]) -> Mapping[str, CountedWork]:
        """See the port."""
        new = super().add(shard, counted)
        if self.times:
            self.times -= 1
            raise Throttled("told so by a test")
        return new


def books(ledger: MemoryLedger | None = None, limit: float = 0.0) -> Bookkeeper:
    """The service on an empty catalog."""
    return Bookkeeper(
        read=change_of,
        ledger=ledger or MemoryLedger(),
        catalog=MemoryCatalog(),
        prices=PRICE,
        need=NEED,
        limit=limit,
    )


def numbered(changes: Sequence[Mapping[str, Any]], first: int = 1) -> list[dict[str, Any]]:
    """Changes with rising sequence numbers."""
    return [
        {**one, "dynamodb": {**one["dynamodb"], "SequenceNumber": str(100 * (first + number))}}
        for number, one in enumerate(changes)
    ]


def arrival(number: int, **values: Any) -> dict[str, Any]:
    """An accepted upload."""
    return change(None, meta(replace(record(number), revision=1, created_at=at(0), **values)))


def whole(ledger: MemoryLedger) -> CountedWork:
    """The work of the day."""
    (line,) = ledger.lines(DAY, LedgerAccount.ALL)
    return line.work


SIZE = ACCEPTED.source.size
MADE = sum(one.bytes for one in ACCEPTED.renditions)
ARRIVED = CountedWork(objects=1, bytes=SIZE, files=6, stored=SIZE + MADE)


@pytest.mark.parametrize(
    ("old", "new", "work"),
    [
        (None, ACCEPTED, ARRIVED),
        (None, PROCESSING, CountedWork(objects=1, heavy=1, stored=SIZE)),
        (PROCESSING, DONE, CountedWork(files=6, stored=MADE)),
        (ACCEPTED, changed(ACCEPTED, tags=frozenset({"sea"})), CountedWork()),
        (REVIEW, changed(REVIEW, status=Status.PUBLISHED, verdict=None), CountedWork()),
        (ACCEPTED, REVIEW, CountedWork()),
        (ACCEPTED, None, CountedWork()),
        (None, replace(ACCEPTED, moderation=ASKED), ARRIVED + CountedWork(questions=4)),
        (ACCEPTED, changed(ACCEPTED, moderation=ASKED), CountedWork(questions=4)),
        (ACCEPTED, changed(ACCEPTED, labelled="rules"), CountedWork(questions=1)),
    ],
)
def test_what_a_change_counts_for(
    old: AssetRecord | None, new: AssetRecord | None, work: CountedWork
) -> None:
    """Arrivals, ends of jobs, questions; nothing of what people say or decide."""
    found = books().count("shard", numbered([change(meta(old), meta(new))]))
    assert found.work == work


@pytest.mark.parametrize(
    "known",
    [
        replace(ASKED, tier=ModerationTier.PERSON),
        replace(ASKED, tier=ModerationTier.EARLIER, pictures=0),
        replace(ASKED, tier=ModerationTier.CLASSIFIER),
    ],
)
def test_only_answers_of_rekognition_are_questions_to_it(known: Moderation) -> None:
    """A person, an earlier verdict and a classifier cost no question."""
    assert asked_of(None, replace(ACCEPTED, moderation=known)) == 0
    assert asked_of(replace(ACCEPTED, moderation=ASKED), replace(ACCEPTED, moderation=ASKED)) == 0


def test_files_that_are_encoded_again_are_work() -> None:
    """A write each, and processor time by their pixels."""
    again = tuple(replace(one, sha256="0" * 64) for one in FILES[:1])
    new = changed(ACCEPTED, renditions=(*again, *ACCEPTED.renditions[1:]))
    found = books().count("shard", numbered([change(meta(ACCEPTED), meta(new))]))
    assert (found.work.files, found.work.objects) == (1, 0)


@pytest.mark.parametrize(
    ("old", "new", "hours"),
    [
        (None, ENDED, 2.0),
        (JOB, ENDED, 2.0),
        (JOB, replace(ENDED, state="FAILED"), 2.0),
        (ENDED, ENDED, 0.0),
        (None, JOB, 0.0),
        (JOB, replace(ENDED, detail={}), 0.0),
        (JOB, replace(ENDED, detail={VCPU_SECONDS: "many"}), 0.0),
        (JOB, replace(ENDED, detail={VCPU_SECONDS: "nan"}), 0.0),
        (JOB, replace(ENDED, detail={VCPU_SECONDS: "-5"}), 0.0),
        (JOB, replace(ENDED, detail={VCPU_SECONDS: "1e300"}), 0.0),
    ],
)
def test_a_job_counts_when_it_ends(old: JobRecord | None, new: JobRecord, hours: float) -> None:
    """Once, with the time of all its attempts; a time that is none counts nothing."""
    assert work_of_job(old, new).job_hours == hours


def test_a_job_is_of_the_owner_and_recipe_of_its_asset() -> None:
    """The catalog knows them; of an asset that is gone it is nobody's."""
    service = books()
    service.catalog.commit(record(1), entry(record(1)))
    other = replace(ENDED, asset=asset_id(99))
    ended = [
        change(job_item(replace(one, state="RUNNING")), job_item(one)) for one in (ENDED, other)
    ]
    service.count("shard", numbered(ended))
    found = {one.name: one.work for one in service.ledger.lines(DAY, LedgerAccount.OWNER)}
    assert found == {name: CountedWork(job_hours=2.0) for name in (ACCEPTED.owner, "")}


def test_batches_that_are_cut_otherwise_count_each_change_once() -> None:
    """After calls that died, Lambda hands over halves, again and again, with duplicates inside."""
    changes = numbered([arrival(number, owner=f"owner {number % 5}") for number in range(1, 41)])
    chance = random.Random(17)
    ledger = Refusing(times=9)
    service, start = books(ledger), 0
    while start < len(changes):
        size = chance.choice((1, 3, 7, 20))
        batch = changes[start : start + size]
        # A change may be in a batch twice.
        batch = [*batch, *batch[: chance.randrange(2)]]
        try:
            service.count("shard", batch)
        except Throttled:
            continue  # written, and not told: the next batch begins at the same change
        start += chance.choice((size, max(1, size // 2)))
    assert whole(ledger).objects == 40
    owners = ledger.lines(DAY, LedgerAccount.OWNER)
    assert [line.work.objects for line in owners] == [8] * 5


def test_changes_that_cannot_be_read_are_passed_over() -> None:
    """They are dead letters of the outbox; those beside them count."""
    damaged = arrival(2)
    damaged["dynamodb"]["NewImage"]["body"] = {"B": "AAAA"}
    found = books().count("shard", numbered([arrival(1), damaged, arrival(3)]))
    assert (found.work.objects, found.unreadable) == (2, 1)


def test_items_that_are_no_work_are_passed_over() -> None:
    """Reviews come by the same filters as records."""
    found = books().count("shard", numbered([change(None, review_item(QUESTION))]))
    assert (found.work, found.unreadable, found.usd) == (CountedWork(), 0, 0.0)


def test_a_batch_of_no_shard_is_refused() -> None:
    """Positions of several shards in one line would lose work, so it is a mistake to be seen."""
    with pytest.raises(ConfigurationError, match="tumbling window"):
        books().count("", numbered([arrival(1)]))


# --- the limit ----------------------------------------------------------------------------------


def test_passing_the_limit_is_written_down_once() -> None:
    """By the change that passes it, with what was spent; the next batch says nothing new."""
    each = cost(ARRIVED, PRICE, NEED).total
    ledger = MemoryLedger()
    service = books(ledger, limit=2.5 * each)

    assert service.count("shard", numbered([arrival(1), arrival(2)])).tripped is None
    assert ledger.tripped() is None
    tripped = service.count("shard", numbered([arrival(3)], first=3)).tripped
    assert tripped is not None
    assert (tripped.day, tripped.limit) == (DAY, 2.5 * each)
    assert tripped.usd == pytest.approx(3 * each)
    assert service.count("shard", numbered([arrival(4)], first=4)).tripped is None
    assert ledger.tripped() == tripped


def test_without_a_limit_nothing_trips() -> None:
    """0 is no limit, not one that is passed at once."""
    ledger = MemoryLedger()
    books(ledger).count("shard", numbered([arrival(1)]))
    assert ledger.tripped() is None


def test_what_is_spent_is_counted_as_a_metric_once() -> None:
    """US dollars of what is new; the same batch again adds nothing."""
    metrics.take()
    service = books()
    for _ in range(2):
        service.count("shard", numbered([arrival(1), arrival(2)]))
    values = [
        value for one in metrics.take() if one.metric is metrics.SPEND for value in one.values
    ]
    assert sum(values) == pytest.approx(2 * cost(ARRIVED, PRICE, NEED).total)


def test_questions_get_cheaper_within_a_month() -> None:
    """By those of the days before, which are read once."""
    ledger = MemoryLedger()
    before = LedgerEntry(
        position="1",
        time="2026-05-01T00:00:00Z",
        asset="",
        owner="",
        recipe="",
        work=CountedWork(questions=50_000_000),
    )
    ledger.add("other", [before])
    asked = change(meta(ACCEPTED), meta(changed(ACCEPTED, moderation=ASKED)))
    found = books(ledger).count("shard", numbered([asked]))
    beyond = PRICE.usd("rekognition", 50_000_004) - PRICE.usd("rekognition", 50_000_000)
    assert found.usd == pytest.approx(beyond)
    assert beyond < PRICE.usd("rekognition", 4)


# --- the function -------------------------------------------------------------------------------

DONE_ANSWER: dict[str, Any] = {"state": {}, "batchItemFailures": []}


def test_the_function_answers_as_a_window_wants_it() -> None:
    """With a state, also at the end of a window, which has no changes."""
    service = books()
    event = {"shardId": "shard", "Records": numbered([arrival(1)]), "window": {}, "state": {}}
    assert lambda_ledger.handle(event, service) == DONE_ANSWER
    final = {"shardId": "shard", "Records": [], "isFinalInvokeForWindow": True, "state": {}}
    assert lambda_ledger.handle(final, service) == DONE_ANSWER
    assert lambda_ledger.handle({}, service) == DONE_ANSWER
    assert [line.work.objects for line in service.ledger.lines(DAY, LedgerAccount.ALL)] == [1]


def test_a_table_that_does_not_answer_fails_the_call() -> None:
    """Lambda hands the batch over again; nothing is told as done."""
    service = books(Refusing(times=1))
    event = {"shardId": "shard", "Records": numbered([arrival(1)])}
    with pytest.raises(Throttled):
        lambda_ledger.handle(event, service)
    assert lambda_ledger.handle(event, service) == DONE_ANSWER
    assert [line.work.objects for line in service.ledger.lines(DAY, LedgerAccount.ALL)] == [1]
