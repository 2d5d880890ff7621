"""The catalog on DynamoDB when the table refuses, is slow down, or does not answer at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.contract.catalogs import (
    Answer,
    answer,
    asset_id,
    at,
    bare,
    entry,
    make_table,
    record,
    refusal,
    watching,
)
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.dynamodb.catalog import DynamoCatalog
from worker.adapters.aws.dynamodb.requests import ATTEMPTS
from worker.domain.asset import JobRecord, LogEntry, Status, Verdict
from worker.domain.errors import (
    AccessDenied,
    ConfigurationError,
    EngineError,
    SafelightError,
    Throttled,
    Unreachable,
)
from worker.domain.review import Choice, Review, ReviewDecision, ReviewState
from worker.local.emulator import Emulator, free_port

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

ONE = asset_id(1)
JOB = JobRecord(asset=ONE, id="j", kind="k", state="s", created_at=at(1), updated_at=at(1))
QUESTION = Review(
    asset=ONE, version="0" * 16, reason=Verdict(code="held", message="why"), asked_at=at(1)
)
REVIEW = f"{ONE}.{QUESTION.version}.1"
DECISION = ReviewDecision(reviewer="ann", decision=Choice.APPROVE, time=at(2))

EVERY_METHOD: dict[str, Callable[[DynamoCatalog], object]] = {
    "get": lambda catalog: catalog.get(ONE),
    "commit": lambda catalog: catalog.commit(record(1), entry(record(1))),
    "update": lambda catalog: catalog.update(ONE, add_tags=["a"]),
    "delete": lambda catalog: catalog.delete(ONE),
    "list_assets": lambda catalog: catalog.list_assets(),
    "by_owner": lambda catalog: catalog.by_owner("anna"),
    "by_status": lambda catalog: catalog.by_status(Status.ACCEPTED),
    "by_tag": lambda catalog: catalog.by_tag("a"),
    "by_content": lambda catalog: catalog.by_content("0" * 64),
    "similar": lambda catalog: catalog.similar("0" * 16),
    "timeline": lambda catalog: catalog.timeline(ONE),
    "open_review": lambda catalog: catalog.open_review(QUESTION),
    "review": lambda catalog: catalog.review(REVIEW),
    "reviews_of": lambda catalog: catalog.reviews_of(ONE),
    "reviews": lambda catalog: catalog.reviews(ReviewState.OPEN),
    "decide_review": lambda catalog: catalog.decide_review(REVIEW, DECISION),
    "close_review": lambda catalog: catalog.close_review(REVIEW, ReviewState.EXPIRED, time=at(1)),
    "release_review": lambda catalog: catalog.release_review(REVIEW),
    "claim": lambda catalog: catalog.claim(ONE, "w/640.webp", holder="a", seconds=30),
    "log": lambda catalog: catalog.log(ONE, LogEntry(time=at(1), kind="seen")),
    "jobs": lambda catalog: catalog.jobs(ONE),
    "put_job": lambda catalog: catalog.put_job(JOB),
}

methods = pytest.mark.parametrize("method", EVERY_METHOD)


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[DynamoDBClient]:
    """A client that no other module's tests use: its events are listened to."""
    clients = AwsClients(emulator.environment)
    yield clients.dynamodb
    clients.close()


@pytest.fixture
def naps() -> list[float]:
    """Seconds that the catalog would have slept."""
    return []


@pytest.fixture
def catalog(
    client: DynamoDBClient, fresh: Callable[[str], str], naps: list[float]
) -> Iterator[DynamoCatalog]:
    """An empty catalog that writes down its sleep."""
    name = fresh("catalog")
    make_table(client, name)
    yield DynamoCatalog(client, name, sleep=naps.append)
    client.delete_table(TableName=name)


def test_every_method_is_tried() -> None:
    """The list of methods above has all that the adapter offers."""
    assert set(EVERY_METHOD) == {name for name in vars(DynamoCatalog) if not name.startswith("_")}


@methods
@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ProvisionedThroughputExceededException", 400, Throttled),
        ("ThrottlingException", 400, Throttled),
        ("RequestLimitExceeded", 400, Throttled),
        ("InternalServerError", 500, Unreachable),
        ("ServiceUnavailable", 503, Unreachable),
        ("AccessDeniedException", 400, AccessDenied),
        ("ResourceNotFoundException", 400, ConfigurationError),
        ("ValidationException", 400, EngineError),
    ],
)
def test_refusals_have_their_names(
    client: DynamoDBClient, method: str, code: str, status: int, expected: type[SafelightError]
) -> None:
    """Each method raises the error of ours that says what the service said."""
    catalog = DynamoCatalog(client, "any")

    with (
        watching(client, lambda _name, _number: refusal(code, status)),
        pytest.raises(expected, match="told so by a test") as caught,
    ):
        EVERY_METHOD[method](catalog)

    assert type(caught.value) is expected
    assert code in caught.value.message


@methods
def test_a_table_that_cannot_be_reached_is_unreachable(method: str) -> None:
    """Every method raises a retryable error if no server listens."""
    clients = AwsClients(
        {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "eu-central-1",
        },
        attempts=1,
    )

    with pytest.raises(Unreachable) as caught:
        EVERY_METHOD[method](DynamoCatalog(clients.dynamodb, "any"))

    clients.close()
    assert caught.value.retryable


def test_a_missing_table_is_a_mistake_of_the_deployment(client: DynamoDBClient) -> None:
    """It is not taken for a missing asset: whoever did would lose uploads."""
    with pytest.raises(ConfigurationError):
        DynamoCatalog(client, "never-made").get(ONE)


def test_reads_refused_in_part_are_asked_for_again(
    client: DynamoDBClient, catalog: DynamoCatalog, naps: list[float]
) -> None:
    """A batch that comes back unread twice is read at the third try, whole and in order."""
    stored = [catalog.commit(bare(n, updated_at=at(n)), entry(bare(n))) for n in range(4)]
    table = catalog_table(client, catalog)
    refused: list[int] = []

    def refuse(name: str, _: int) -> Answer | None:
        if name != "BatchGetItem" or len(refused) == 2:
            return None
        refused.append(1)
        wanted = calls.parameters[-1]["RequestItems"][table]["Keys"]
        return answer(Responses={table: []}, UnprocessedKeys={table: {"Keys": wanted}})

    with watching(client, refuse) as calls:
        page = catalog.by_owner(stored[0].owner)

    assert list(page.records) == stored[::-1]
    assert len(naps) == 2


def test_deletes_refused_in_part_are_sent_again(
    client: DynamoDBClient, catalog: DynamoCatalog, naps: list[float]
) -> None:
    """Items that a batch did not delete are deleted at the next attempt."""
    catalog.commit(record(1), entry(record(1)))
    table = catalog_table(client, catalog)

    def refuse(name: str, _: int) -> Answer | None:
        if name != "BatchWriteItem" or calls.names.count(name) > 1:
            return None
        return answer(UnprocessedItems=calls.parameters[-1]["RequestItems"])

    with watching(client, refuse) as calls:
        catalog.delete(ONE)

    assert client.scan(TableName=table)["Count"] == 0
    assert len(naps) == 1


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem"])
def test_a_batch_that_is_refused_for_ever_is_throttled(
    client: DynamoDBClient, catalog: DynamoCatalog, naps: list[float], operation: str
) -> None:
    """After a few tries with growing pauses the caller is told to come later."""
    catalog.commit(record(1), entry(record(1)))
    table = catalog_table(client, catalog)

    def refuse(name: str, _: int) -> Answer | None:
        if name != operation:
            return None
        asked = calls.parameters[-1]["RequestItems"]
        if operation == "BatchGetItem":
            return answer(Responses={table: []}, UnprocessedKeys=asked)
        return answer(UnprocessedItems=asked)

    with watching(client, refuse) as calls, pytest.raises(Throttled):
        EVERY_METHOD["delete" if operation == "BatchWriteItem" else "by_status"](catalog)

    assert calls.names.count(operation) == len(naps) == ATTEMPTS
    assert sum(naps) < 1.5


@pytest.mark.parametrize("method", ["commit", "update", "open_review", "decide_review"])
def test_a_writer_that_is_never_the_fastest_is_throttled(
    client: DynamoDBClient, catalog: DynamoCatalog, naps: list[float], method: str
) -> None:
    """When others are always faster, the caller is told to come later."""
    catalog.commit(bare(1, 0), entry(bare(1, 0)))
    catalog.open_review(QUESTION)
    if method == "open_review":
        catalog.close_review(REVIEW, ReviewState.WITHDRAWN, time=at(1))

    def refuse(name: str, _: int) -> Answer | None:
        if name == "TransactWriteItems":
            reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
            return refusal("TransactionCanceledException", CancellationReasons=reasons)
        if name == "PutItem" and calls.parameters[-1]["Item"]["SK"]["S"][:4] in {"META", "REVI"}:
            return refusal("ConditionalCheckFailedException")
        return None

    with watching(client, refuse) as calls, pytest.raises(Throttled) as caught:
        EVERY_METHOD[method](catalog)

    assert caught.value.retryable
    assert len(naps) == ATTEMPTS


def test_a_throttled_part_of_a_transaction_is_throttled(
    client: DynamoDBClient, catalog: DynamoCatalog
) -> None:
    """A transaction cancelled for want of capacity is no conflict."""
    catalog.commit(bare(1), entry(bare(1)))

    def refuse(name: str, _: int) -> Answer | None:
        if name != "TransactWriteItems":
            return None
        reasons = [{"Code": "None"}, {"Code": "ThrottlingError"}]
        return refusal("TransactionCanceledException", CancellationReasons=reasons)

    with watching(client, refuse), pytest.raises(Throttled):
        EVERY_METHOD["update"](catalog)


def catalog_table(client: DynamoDBClient, catalog: DynamoCatalog) -> str:
    """The name of a catalog's table, as its calls have it."""
    with watching(client) as calls:
        catalog.get(ONE)
    name: str = calls.parameters[0]["TableName"]
    return name
