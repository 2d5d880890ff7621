"""How long a page of open reviews takes, of thousands: over HTTP, from the API of a local stack.

One picture goes through the stack; its record is then written for every asset, with a review each.
Pages are read from the first to the last, so that their place in the list counts too. A read of one
item, in turns with the pages, says what the embedded AWS takes for a request on this machine.
"""

from __future__ import annotations

import http.client
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from worker.bench.requests import RequestTimes
from worker.domain.asset import AssetRecord, LogEntry, Status, Verdict
from worker.domain.review import Review
from worker.local.address import Address
from worker.local.stack import on_new_stack
from worker.local.throughput import cpu_seconds

if TYPE_CHECKING:
    from worker.bootstrap import Application

PAGE = 50
"""Reviews of a page, the API's default."""
WRITTEN_TOGETHER = 25
"""Items of one BatchWriteItem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPages:
    """The measurements."""

    pages: RequestTimes
    """Processor time: of the API and the embedded AWS, one read of an item included."""
    reads: RequestTimes
    """Of one item of the table."""
    listed: int
    """Different reviews on all pages."""


def measure(reviews: int, *, say: Callable[[str], None]) -> ReviewPages:
    """List so many open reviews, page by page.

    Raises:
        EmulatorError: the stack does not start.
    """

    def work(address: Address, pids: Mapping[str, int]) -> ReviewPages:
        say(f"{reviews:,} reviews")
        return _measure(reviews, address, [pids["emulator"], pids["api"]])

    return on_new_stack(work, say=say)


def _measure(reviews: int, address: Address, pids: Sequence[int]) -> ReviewPages:
    from worker.adapters.aws.clients import AwsClients
    from worker.adapters.aws.dynamodb.items import Stored, meta_item, review_item
    from worker.bench.deletions import uploaded
    from worker.bootstrap import assemble
    from worker.local.emulator import client_environment
    from worker.settings import Settings

    (model,) = uploaded(1, address)
    clients = AwsClients(client_environment(address.endpoint))
    app = assemble(Settings.from_environment(address.environment), clients)
    table: Any = clients.dynamodb
    name = app.settings.table
    questions = _questions(model, reviews)
    while some := list(islice(questions, WRITTEN_TOGETHER // 2)):
        items = []
        for record, review in some:
            entry = LogEntry(time=record.updated_at, kind="held")
            items += [meta_item(Stored(record=record, entry=entry)), review_item(review)]
        table.batch_write_item(
            RequestItems={name: [{"PutRequest": {"Item": item}} for item in items]}
        )
    return _read(app, model.asset, address, pids)


def _questions(model: AssetRecord, count: int) -> Iterator[tuple[AssetRecord, Review]]:
    now = datetime.now(UTC)
    for number in range(count):
        record = replace(model, asset=str(uuid.uuid4()), status=Status.REVIEW, workflow="approve")
        yield (
            record,
            Review(
                asset=record.asset,
                version=record.version,
                number=1,
                owner=record.owner,
                reason=Verdict(code="approval", message="the recipe asks for a person"),
                asked_at=record.updated_at,
                # In another order than they are written.
                deadline=(now + timedelta(minutes=1 + number * 7919 % count)).isoformat(),
                execution=f"arn:aws:states:eu-central-1:0:execution:approve:{record.asset}",
                stage="people",
                token="t" * 900,  # about as long as those of Step Functions
                revision=1,
            ),
        )


def _read(app: Application, asset: str, address: Address, pids: Sequence[int]) -> ReviewPages:
    api = http.client.HTTPConnection(urlsplit(address.api).netloc, timeout=60)
    headers = {"authorization": f"Bearer {address.token}"}
    cursor, found = "", set[str]()
    pages, reads, busy = [], [], sum(map(cpu_seconds, pids))
    while True:
        more = f"&cursor={quote(cursor)}" if cursor else ""
        began = time.perf_counter()
        api.request("GET", f"/reviews?limit={PAGE}{more}", headers=headers)
        answer = api.getresponse()
        body = json.loads(answer.read())
        pages.append(time.perf_counter() - began)
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {body}")
        found |= {one["id"] for one in body["reviews"]}
        began = time.perf_counter()
        app.catalog.get(asset)
        reads.append(time.perf_counter() - began)
        cursor = body["cursor"] or ""
        if not cursor:
            break
    busy = (sum(map(cpu_seconds, pids)) - busy) / len(pages)
    return ReviewPages(
        pages=RequestTimes(seconds=sorted(pages), cpu_seconds=busy),
        reads=RequestTimes(seconds=sorted(reads), cpu_seconds=busy),
        listed=len(found),
    )
